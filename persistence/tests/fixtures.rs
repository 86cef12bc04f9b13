//! Logs that stock servers made, ours, broken ones; and a stock server as reader of ours.

#![expect(clippy::unwrap_used, reason = "a test: what cannot fail may panic")]

mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_persistence::log::{
    Entries, EntryKind, Lineage, LogNames, LogOffset, LogWriter, ReplicationId, Salts,
};
use highwater_persistence::recovery::{self, Options, Plan, RecoveryError, StepKind};
use highwater_persistence::storage::faulty::FaultyStorage;
use highwater_persistence::storage::{RealStorage, Storage};

use server::{Server, stock};

const FOLDER: &str = "appendonlydir";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/log")
}

fn options() -> Options {
    Options {
        names: LogNames::new(FOLDER, "appendonly.aof"),
        load_truncated: true,
        keep_history: false,
        retain: 0,
    }
}

/// The files of a fixture, on a disk that tests may change.
fn open(name: &str) -> FaultyStorage {
    let folder = fixtures().join(name);
    let mut files = Vec::new();
    for inside in ["", FOLDER] {
        let Ok(entries) = std::fs::read_dir(folder.join(inside)) else { continue };
        for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let file = Path::new(inside).join(entry.file_name()).to_str().unwrap().to_owned();
            files.push((file, std::fs::read(entry.path()).unwrap()));
        }
    }
    assert!(!files.is_empty(), "no fixture {name}");
    FaultyStorage::holding(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
}

fn look(storage: &FaultyStorage) -> Result<Plan, RecoveryError> {
    recovery::plan(&storage.shared(), &options())
}

/// The commands a plan loads behind its snapshot, one string each.
fn commands(storage: &FaultyStorage, plan: &Plan) -> Vec<String> {
    let mut commands = Vec::new();
    for step in &plan.steps {
        let bytes = storage.read(&step.name).unwrap();
        let bytes = &bytes[..usize::try_from(step.range.end).unwrap()];
        let mut position = 0;
        if step.kind == StepKind::Snapshot {
            let mut reader = highwater_persistence::snapshot::SnapshotReader::new(bytes);
            while reader.next().unwrap().is_some() {}
            position = usize::try_from(reader.offset()).unwrap();
        }
        let mut entries = Entries::new(bytes, Some(step.start)).from_position(position);
        while let Some(entry) = entries.next() {
            if let EntryKind::Command { args, .. } = entry.unwrap().kind {
                let words: Vec<_> =
                    args.iter().map(|word| word.escape_ascii().to_string()).collect();
                commands.push(words.join(" "));
            }
        }
    }
    commands
}

const TAIL: [&str; 8] =
    ["SELECT 0", "SET after rewrite", "SELECT 3", "DEL b", "MULTI", "SET c 1", "SET d 2", "EXEC"];

fn cut_at(storage: &FaultyStorage, name: &str, size: usize) -> FaultyStorage {
    let mut files = storage.files();
    files.get_mut(name).unwrap().truncate(size);
    FaultyStorage::holding(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
}

fn zero_pad(storage: &FaultyStorage, name: &str, zeros: usize) -> FaultyStorage {
    let mut files = storage.files();
    files.get_mut(name).unwrap().extend(std::iter::repeat_n(0, zeros));
    FaultyStorage::holding(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
}

#[test]
fn logs_of_a_stock_server_are_read() {
    for name in ["stock_rdb_base", "stock_resp_base", "old_single_file"] {
        let storage = open(name);
        let plan = look(&storage).unwrap();
        assert!(plan.dropped.is_none() && plan.lineage.is_none(), "{name}: {plan}");
        let commands = commands(&storage, &plan);
        assert_eq!(commands[commands.len() - TAIL.len()..], TAIL, "{name}");
    }
    let storage = open("stock_timestamps");
    let plan = look(&storage).unwrap();
    let commands = commands(&storage, &plan);
    assert_eq!(commands[..2], ["SELECT 0", "SET a 1"]);
    assert_eq!(commands.last().unwrap(), "PEXPIREAT a 4102444800000");
}

#[test]
fn stock_logs_cut_anywhere_load_up_to_the_last_whole_unit() {
    for (name, file) in [
        ("stock_rdb_base", "appendonlydir/appendonly.aof.2.incr.aof"),
        ("old_single_file", "appendonly.aof"),
    ] {
        let storage = open(name);
        let bytes = storage.files()[file].clone();
        let from = memchr::memmem::find(&bytes, b"*2\r\n$6\r\nSELECT").unwrap();
        for size in from..bytes.len() {
            let cut = cut_at(&storage, file, size);
            let plan = look(&cut).unwrap();
            let commands = commands(&cut, &plan);
            assert!(TAIL.starts_with(&commands.iter().map(String::as_str).collect::<Vec<_>>()));
            assert!(!commands.contains(&"MULTI".to_owned()), "half a transaction, cut at {size}");
        }
        let error = look(&zero_pad(&storage, file, 100)).unwrap_err().to_string();
        assert!(error.starts_with("Bad file format reading the append only file"), "{error}");
    }
}

/// The bytes of a command.
fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// A log with everything in it that ours may hold.
fn write_log(storage: &Arc<dyn Storage>) -> LogWriter {
    let id: ReplicationId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let plan = recovery::plan(storage, &options()).unwrap();
    let salts = Salts::counted_from(0xaa);
    let mut writer = recovery::carry_out(storage, &plan, Lineage::new(id), salts).unwrap();
    let append = |writer: &mut LogWriter, comment: &[u8], words: &[&[&str]]| {
        let stream: Vec<u8> = words.iter().flat_map(|words| request(words)).collect();
        let (sync, end) = (writer.end(), writer.end().advanced(stream.len()));
        writer.append(&mut [comment, &stream].concat(), end, sync).unwrap();
    };
    append(&mut writer, b"", &[&["SELECT", "0"], &["SET", "k", "v"]]);
    append(
        &mut writer,
        b"#TS:1700000000\r\n",
        &[&["MULTI"], &["SET", "a", "1"], &["INCR", "a"], &["EXEC"]],
    );
    append(&mut writer, b"", &[&["PING"], &["REPLCONF", "GETACK", "*"]]);
    let next = ReplicationId::from_random([7; 20]);
    writer.head(writer.lineage().succeeded_by(next, writer.end())).unwrap();
    append(&mut writer, b"", &[&["SELECT", "3"], &["RPUSH", "list", "x", "y"]]);
    let prepared = writer.files().prepare_next().unwrap();
    let (lineage, end) = (writer.lineage(), writer.end());
    writer.switch(prepared, lineage, end, &request(&["SELECT", "3"])).unwrap();
    append(&mut writer, b"", &[&["SET", "last", "one"]]);
    writer
}

/// `UPDATE=1` writes the fixture anew.
#[test]
fn a_tail_cut_in_a_batch_is_dropped() {
    let storage = FaultyStorage::new();
    write_log(&storage.shared());
    let second = "appendonlydir/appendonly.aof.2.incr.aof";
    let size = storage.files()[second].len();
    let cut = cut_at(&storage, second, size - 70);
    if std::env::var_os("UPDATE").is_some() {
        let folder = fixtures().join("tail_cut");
        std::fs::create_dir_all(folder.join(FOLDER)).unwrap();
        for (name, bytes) in cut.files() {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let kept = open("tail_cut");
    for (name, bytes) in cut.files() {
        assert!(kept.files()[&name] == bytes, "the format has changed: {name}");
    }
    let plan = look(&kept).unwrap();
    let whole = look(&storage).unwrap();
    assert_eq!(whole.offset, plan.offset.advanced(request(&["SET", "last", "one"]).len()));
    let said = plan.to_string();
    assert!(
        said.contains(&format!("behind byte {} of {second}", plan.steps[1].range.end)),
        "{said}"
    );
    assert_eq!(commands(&kept, &plan).last().unwrap(), "SELECT 3");
    assert_eq!(plan.id(), Some(ReplicationId::from_random([7; 20])));
}

#[test]
fn stock_tools_approve_of_our_logs() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder.path()));
    let mut writer = write_log(&storage);
    writer.mark(writer.end(), true).unwrap();
    let manifest = folder.path().join(FOLDER).join("appendonly.aof.manifest");
    let output = stock("redis-check-aof").arg(&manifest).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("All AOF files and manifest are valid"),
        "{text}"
    );
    assert_eq!(writer.end(), recovery::plan(&storage, &options()).unwrap().offset);
}

#[test]
fn a_stock_server_loads_our_logs_and_we_load_what_it_adds() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder.path()));
    let mut writer = write_log(&storage);
    writer.mark(writer.end(), true).unwrap();
    let end = writer.end();
    let server = Server::start(folder.path(), &["--appendonly", "yes"]);
    assert_eq!(server.ask(&["GET", "a"]), "2");
    assert_eq!(server.ask(&["-n", "3", "LRANGE", "list", "0", "-1"]), "x\ny");
    assert_eq!(server.ask(&["-n", "3", "GET", "last"]), "one");
    assert_eq!(server.ask(&["SET", "from", "stock"]), "OK");
    server.ask(&["SHUTDOWN"]);
    drop(server);
    let plan = recovery::plan(&storage, &options()).unwrap();
    let added = [&["SELECT", "0"][..], &["SET", "from", "stock"]].map(request).concat();
    assert_eq!((plan.lineage_end, plan.offset), (end, end.advanced(added.len())), "{plan}");
    assert!(!plan.clean && plan.dropped.is_none());
    assert_eq!(plan.offset.since(LogOffset(0)).unwrap(), plan.offset.0);
}
