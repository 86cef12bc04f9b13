use std::sync::Arc;

use super::*;
use crate::log::{LogWriter, Salts};
use crate::storage::Storage;
use crate::storage::faulty::FaultyStorage;

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const INCR: &str = "aof/log.1.incr.aof";
const MANIFEST: &str = "aof/log.manifest";

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn options() -> Options {
    Options {
        names: LogNames::new("aof", "log"),
        load_truncated: true,
        keep_history: false,
        retain: 0,
    }
}

fn look(storage: &FaultyStorage) -> Result<Plan, RecoveryError> {
    plan(&storage.shared(), &options())
}

/// Plans and carries out, as a node does at its start.
fn start(storage: &FaultyStorage, fresh: u8) -> (Plan, LogWriter) {
    let plan = look(storage).unwrap();
    let salts = Salts::counted_from(u64::from(fresh) << 8);
    let writer = carry_out(&storage.shared(), &plan, plan.successor(id(fresh)), salts).unwrap();
    (plan, writer)
}

/// Appends `count` SETs, each a batch, durable up to before the last.
fn append(writer: &mut LogWriter, count: usize) {
    for _ in 0..count {
        let sync = writer.end();
        writer.append(&mut SET.to_vec(), sync.advanced(SET.len()), sync).unwrap();
    }
}

fn edit(storage: &FaultyStorage, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> FaultyStorage {
    let mut files = storage.files();
    change(files.get_mut(name).unwrap());
    FaultyStorage::holding(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
}

/// A log that a stock server left.
fn stock(incr: &[u8]) -> FaultyStorage {
    let manifest = b"file log.1.incr.aof seq 1 type i\n".to_vec();
    FaultyStorage::holding([(MANIFEST, manifest), (INCR, incr.to_vec())])
}

fn refusal(storage: &FaultyStorage) -> String {
    look(storage).unwrap_err().to_string()
}

#[test]
fn an_empty_folder_starts_a_log_at_offset_0() {
    let storage = FaultyStorage::new();
    let (plan, writer) = start(&storage, 1);
    assert!(plan.is_empty() && !plan.clean);
    assert_eq!((writer.end(), writer.lineage()), (LogOffset(0), Lineage::new(id(1))));
    let (plan, writer) = start(&storage, 2);
    assert_eq!(writer.lineage(), Lineage { id: id(2), id2: id(1), off2: LogOffset(0) });
    assert_eq!(plan.offset, LogOffset(0));
}

#[test]
fn an_orderly_stop_keeps_the_id_and_an_unclean_one_does_not() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 3);
    writer.mark(writer.end(), true).unwrap();
    let (plan, mut writer) = start(&storage, 2);
    assert!(plan.clean);
    assert_eq!((plan.offset, writer.lineage()), (LogOffset(81), Lineage::new(id(1))));
    append(&mut writer, 1);
    let (plan, writer) = start(&storage, 3);
    assert!(!plan.clean);
    assert_eq!(writer.lineage(), Lineage { id: id(3), id2: id(1), off2: LogOffset(108) });
    assert_eq!(plan.steps[0].unverified, 0);
}

#[test]
fn a_node_that_goes_on_behind_its_own_mark_of_a_stop_begins_with_a_head() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 1);
    writer.mark(writer.end(), true).unwrap();
    assert!(look(&storage).unwrap().clean);
    // The stop came to nothing, say because a sync failed.
    append(&mut writer, 2);
    let plan = look(&storage).unwrap();
    assert_eq!((plan.offset, plan.clean, plan.dropped.is_none()), (LogOffset(81), false, true));
    writer.mark(writer.end(), true).unwrap();
    writer.mark(writer.end(), true).unwrap();
    assert!(look(&storage).unwrap().clean);
}

#[test]
fn a_torn_tail_is_dropped_to_the_last_batch_and_said() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 1);
    let whole = storage.files()[INCR].len();
    append(&mut writer, 1);
    let full = storage.files()[INCR].len();
    for size in whole..full {
        let cut = edit(&storage, INCR, |bytes| bytes.truncate(size));
        let (plan, writer) = start(&cut, 2);
        assert_eq!(plan.offset, LogOffset(27), "cut at {size}");
        let dropped = plan.dropped.as_ref().map_or(0, |dropped| dropped.bytes);
        assert_eq!(dropped, u64::try_from(size - whole).unwrap());
        assert_eq!(writer.lineage().off2, LogOffset(27));
        assert_eq!(look(&cut).unwrap().dropped, None, "carried out");
        let padded = edit(&cut, INCR, |bytes| bytes.extend([0; 500]));
        let plan = look(&padded).unwrap();
        assert_eq!(plan.offset, LogOffset(27));
        assert!(plan.to_string().contains("dropping 500 bytes"), "{plan}");
    }
    let mut strict = options();
    strict.load_truncated = false;
    let cut = edit(&storage, INCR, |bytes| bytes.truncate(full - 1));
    let error = plan(&cut.shared(), &strict).unwrap_err().to_string();
    assert!(
        error.starts_with("Unexpected end of file reading the append only file aof/log.1"),
        "{error}"
    );
}

#[test]
fn damage_below_a_sync_is_refused_and_above_it_dropped() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 4);
    let bytes = &storage.files()[INCR];
    let places: Vec<_> = memchr::memmem::find_iter(bytes, b"SET").collect();
    for (index, place) in places.iter().enumerate() {
        let broken = edit(&storage, INCR, |bytes| bytes[*place] ^= 1);
        if index + 1 < places.len() {
            let error = refusal(&broken);
            assert!(error.contains("damage to synced data"), "{index}: {error}");
            assert!(error.contains("durable up to 81"), "{index}: {error}");
        } else {
            assert_eq!(look(&broken).unwrap().offset, LogOffset(81));
        }
    }
}

#[test]
fn an_unsynced_tail_with_holes_is_dropped_with_the_good_batches_in_it() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    for _ in 0..4 {
        let end = writer.end().advanced(SET.len());
        writer.append(&mut SET.to_vec(), end, LogOffset(0)).unwrap();
    }
    let place = memchr::memmem::find(&storage.files()[INCR], b"SET").unwrap();
    let holed = edit(&storage, INCR, |bytes| bytes[place..place + 5].fill(0));
    let plan = look(&holed).unwrap();
    assert_eq!(plan.offset, LogOffset(0));
    assert_eq!(plan.dropped.as_ref().unwrap().batches, 3);
    // The same with one of them on record as durable.
    writer.mark(LogOffset(27), false).unwrap();
    let holed = edit(&storage, INCR, |bytes| bytes[place..place + 5].fill(0));
    assert!(refusal(&holed).contains("damage to synced data"));
}

#[test]
fn every_flipped_bit_is_refused_or_drops_only_what_was_not_durable() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 3);
    let (_, mut writer) = start(&storage, 2);
    append(&mut writer, 2);
    writer.mark(writer.end(), false).unwrap();
    let ends = [0, 27, 54, 81, 108, 135];
    let bytes = storage.files()[INCR].clone();
    let mark = memchr::memmem::rfind(&bytes, b"#hw mark").unwrap();
    for bit in 0..bytes.len() * 8 {
        let broken = edit(&storage, INCR, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        match look(&broken) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(plan) => {
                assert!(bit / 8 >= mark, "bit {bit} of byte {} went through: {plan}", bit / 8);
                assert_eq!(plan.offset, LogOffset(135), "{plan}");
                assert!(ends.contains(&plan.offset.0));
            }
        }
    }
}

#[test]
fn a_lost_head_does_not_hide_what_was_durable() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 3);
    let hole = edit(&storage, INCR, |bytes| bytes[..200].fill(0));
    assert!(refusal(&hole).contains("damage to synced data"));
    // Values made up to look like annotations count for nothing in a tail that is merely cut.
    let line = b"\r\n#hw batch end=9999 len=1 sync=9999 crc=0123456789abcdef\r\n".repeat(3);
    let value =
        [format!("*2\r\n$4\r\nECHO\r\n${}\r\n", line.len()).as_bytes(), &line, b"\r\n"].concat();
    let end = writer.end().advanced(value.len());
    writer.append(&mut value.clone(), end, LogOffset(81)).unwrap();
    let cut = edit(&storage, INCR, |bytes| bytes.truncate(bytes.len() - 3));
    assert_eq!(look(&cut).unwrap().offset, LogOffset(81));
}

#[test]
fn stock_logs_load_and_are_continued() {
    let storage = stock(&SET.repeat(3));
    let (plan, mut writer) = start(&storage, 1);
    assert_eq!((plan.offset, plan.lineage), (LogOffset(81), None));
    assert_eq!(plan.steps[0].unverified, 81);
    append(&mut writer, 2);
    writer.mark(writer.end(), true).unwrap();
    let plan = look(&storage).unwrap();
    assert_eq!((plan.offset, plan.clean), (LogOffset(135), true));
    // A stock server goes on behind an orderly stop.
    let continued = edit(&storage, INCR, |bytes| bytes.extend(SET.repeat(2)));
    let plan = look(&continued).unwrap();
    assert_eq!(
        (plan.offset, plan.lineage_end, plan.clean),
        (LogOffset(189), LogOffset(135), false)
    );
    assert_eq!(plan.successor(id(9)).off2, LogOffset(135));
    let broken = edit(&storage, INCR, |bytes| bytes[50] = b'x');
    assert!(refusal(&broken).contains("damage"), "{}", refusal(&broken));
}

#[test]
fn ends_of_stock_logs_are_treated_as_stock_does() {
    let open = [SET, MULTI, SET].concat();
    for bytes in [&open[..], &open[..30], &open[..50]] {
        let plan = look(&stock(bytes)).unwrap();
        assert_eq!(plan.dropped.unwrap().position, 27);
    }
    let padded = [SET, &[0; 100]].concat();
    let error = refusal(&stock(&padded));
    assert!(error.starts_with("Bad file format reading the append only file"), "{error}");
    let manifest = b"file log.1.incr.aof seq 1 type i\nfile log.2.incr.aof seq 2 type i\n".to_vec();
    let second = ("aof/log.2.incr.aof", SET.to_vec());
    let two = FaultyStorage::holding([(MANIFEST, manifest), (INCR, open), second]);
    assert!(refusal(&two).starts_with("Fatal error: the truncated file is not the last file"));
}

#[test]
fn missing_and_exchanged_pieces_are_refused() {
    let storage = FaultyStorage::new();
    let (_, mut writer) = start(&storage, 1);
    append(&mut writer, 2);
    let files = Arc::clone(writer.files());
    let lineage = writer.lineage();
    for _ in 0..2 {
        let end = writer.end();
        writer.switch(files.prepare_next().unwrap(), lineage, end, b"").unwrap();
        append(&mut writer, 2);
    }
    assert_eq!(look(&storage).unwrap().steps.len(), 3);
    let emptied = edit(&storage, "aof/log.2.incr.aof", Vec::clear);
    assert!(refusal(&emptied).contains("a piece of the log is missing"), "{}", refusal(&emptied));
    let other = storage.files()["aof/log.3.incr.aof"].clone();
    let exchanged = edit(&storage, "aof/log.2.incr.aof", |bytes| *bytes = other);
    assert!(refusal(&exchanged).contains("a piece of the log is missing"));
    storage.remove("aof/log.2.incr.aof").unwrap();
    assert!(refusal(&storage).starts_with("The AOF file aof/log.2.incr.aof doesn't exist, but"));
    storage.remove(MANIFEST).unwrap();
    assert!(refusal(&storage).contains("the manifest aof/log.manifest is missing"));
}

#[test]
fn an_old_single_file_moves_into_the_folder() {
    let preamble = b"REDIS0003\xfe\x00\x00\x01k\x05hello\xff".to_vec();
    let tail = [&preamble[..], SET, &SET[..9]].concat();
    for (bytes, kind, good) in [
        (SET.repeat(2), StepKind::BaseCommands, 54),
        (preamble.clone(), StepKind::Snapshot, preamble.len()),
        (tail, StepKind::Snapshot, preamble.len() + 27),
    ] {
        let storage = FaultyStorage::holding([("log", bytes.clone())]);
        let (plan, mut writer) = start(&storage, 1);
        assert_eq!((plan.steps[0].kind, plan.steps[0].name.as_str()), (kind, "log"));
        assert_eq!(plan.steps[0].range.end, u64::try_from(good).unwrap());
        append(&mut writer, 1);
        let files = storage.files();
        assert_eq!(files["aof/log"], bytes[..good]);
        assert!(!files.contains_key("log"));
        let plan = look(&storage).unwrap();
        assert_eq!((plan.steps.len(), plan.offset), (2, LogOffset(27)));
    }
}

#[test]
fn leftovers_are_removed() {
    let storage = FaultyStorage::new();
    start(&storage, 1);
    for name in [
        "temp-rewriteaof-12.aof",
        "temp-rewriteaof-bg-12.aof",
        "temp-99.rdb",
        "temp-99-0.rdb",
        "temp-1700000000.99.rdb",
        "aof/log.7.base.rdb",
        "aof/log.9.incr.aof",
        "aof/temp-log.manifest",
        "aof/temp-log.incr",
    ] {
        storage.create(name).unwrap();
    }
    for name in ["dump.rdb", "temp-notes.txt", "aof/log.x.incr.aof", "aof/notes"] {
        storage.create(name).unwrap();
    }
    start(&storage, 2);
    let names: Vec<_> = storage.files().into_keys().collect();
    let kept = ["aof/log.1.incr.aof", MANIFEST, "aof/log.x.incr.aof", "aof/notes", "dump.rdb"];
    assert_eq!(names, [&kept[..], &["temp-notes.txt"]].concat());
}
