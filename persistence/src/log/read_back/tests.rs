use super::*;
use crate::log::{
    BaseKind, Lineage, LogNames, LogWriter, Manifest, Prepared, ReplicationId, Rewrite, Salts,
};
use crate::recovery::{self, Options};
use crate::storage::Storage;
use crate::storage::faulty::FaultyStorage;

pub(in crate::log) const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
pub(in crate::log) const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
const STAMP: &[u8] = b"#TS:1700000000\r\n";
pub(in crate::log) const TEMP_BASE: &str = "temp-rewriteaof-1.aof";

pub(in crate::log) fn id(number: u8) -> ReplicationId {
    ReplicationId::from_random([number; 20])
}

/// Starts a log on `storage`, or goes on with the one that is there.
pub(in crate::log) fn start(storage: &FaultyStorage, retain: u64) -> LogWriter {
    let names = LogNames::new("aof", "log");
    let options = Options { names, load_truncated: true, keep_history: false, retain };
    let plan = recovery::plan(&storage.shared(), &options).unwrap();
    let lineage = plan.successor(id(1));
    recovery::carry_out(&storage.shared(), &plan, lineage, Salts::counted_from(1)).unwrap()
}

/// The appending half of a node that meets no faults.
pub(in crate::log) struct Node {
    pub(in crate::log) storage: FaultyStorage,
    pub(in crate::log) writer: LogWriter,
    pub(in crate::log) random: fastrand::Rng,
    /// Every stream byte since offset 0.
    pub(in crate::log) stream: Vec<u8>,
    pub(in crate::log) prepared: Option<Prepared>,
    pub(in crate::log) rewrite: Option<Rewrite>,
    /// The file that is appended to.
    pub(in crate::log) file: String,
    pub(in crate::log) ids: u8,
}

impl Node {
    pub(in crate::log) fn new(seed: u64) -> Self {
        let storage = FaultyStorage::new();
        let writer = start(&storage, 0);
        let random = fastrand::Rng::with_seed(seed);
        let stream = Vec::new();
        let file = writer.files().names().inside(&writer.files().names().incr(1));
        Self { storage, writer, random, stream, prepared: None, rewrite: None, file, ids: 1 }
    }

    pub(in crate::log) fn files(&self) -> &Arc<LogFiles> {
        self.writer.files()
    }

    pub(in crate::log) fn end(&self) -> LogOffset {
        LogOffset(self.stream.len() as u64)
    }

    pub(in crate::log) fn turn(&mut self, rewrites: bool) {
        match self.random.u8(0..12) {
            0 => self.writer.mark(self.end(), false).unwrap(),
            1 => {
                self.ids += 1;
                let next = self.writer.lineage().succeeded_by(id(self.ids), self.end());
                self.writer.head(next).unwrap();
            }
            2 if rewrites => self.rewrite(),
            3 => self.writer.make_room([0, 4096][self.random.usize(0..2)]),
            _ => self.append(),
        }
    }

    pub(in crate::log) fn append(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..self.random.u8(1..4) {
            if self.random.u8(0..4) == 0 {
                batch.extend_from_slice(STAMP);
            }
            let size = self.random.usize(0..60);
            // A value that looks like the end of a batch.
            let fake =
                format!("\r\n#hw batch end={size} len={size} sync=0 crc=0123456789abcdef\r\n");
            let value = if self.random.u8(0..4) == 0 { fake } else { "x".repeat(size) };
            let unit = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len())
                .into_bytes();
            self.add(&unit, &mut batch);
        }
        self.write(batch);
    }

    pub(in crate::log) fn add(&mut self, unit: &[u8], batch: &mut Vec<u8>) {
        batch.extend_from_slice(unit);
        self.stream.extend_from_slice(unit);
    }

    pub(in crate::log) fn write(&mut self, mut batch: Vec<u8>) {
        let sync = self.writer.end();
        self.writer.append(&mut batch, self.end(), sync).unwrap();
    }

    /// One stage of a rewrite, which may be given up.
    pub(in crate::log) fn rewrite(&mut self) {
        if let Some(rewrite) = self.rewrite.take() {
            if self.random.u8(0..3) == 0 {
                return rewrite.abandon(TEMP_BASE);
            }
            let base = self.storage.create(TEMP_BASE).unwrap();
            base.append(format!("REDIS0010 at {}", rewrite.cut()).as_bytes()).unwrap();
            rewrite.finish(TEMP_BASE, BaseKind::Rdb, self.writer.file_size()).unwrap();
        } else if let Some(prepared) = self.prepared.take() {
            if self.random.u8(0..4) > 0 {
                self.file = self.files().inside(&prepared.file);
                let (lineage, end) = (self.writer.lineage(), self.end());
                let switched = self.writer.switch(prepared, lineage, end, SELECT).unwrap();
                self.rewrite = Some(switched.rewrite);
            }
        } else {
            self.prepared = Some(self.files().prepare_next().unwrap());
        }
    }

    /// Everything from `from` on, read in one go.
    pub(in crate::log) fn read(&self, from: LogOffset) -> Result<Vec<u8>, ReadBackError> {
        let reader = self.files().read_back(from)?;
        read_to(&mut reader.expect("it is on disk"), self.end())
    }

    pub(in crate::log) fn check(&self, from: LogOffset) {
        let bytes = self.read(from).unwrap_or_else(|error| panic!("from {from}: {error}"));
        let expected = &self.stream[usize::try_from(from.0).unwrap()..];
        assert!(bytes == expected, "from {from}: {}", bytes.escape_ascii());
    }

    /// The incr files, with their names.
    pub(in crate::log) fn incrs(&self) -> Vec<(String, Vec<u8>)> {
        self.storage.files().into_iter().filter(|(name, _)| name.contains(".incr.")).collect()
    }
}

pub(in crate::log) fn read_to(
    reader: &mut LogReadBack,
    end: LogOffset,
) -> Result<Vec<u8>, ReadBackError> {
    let mut bytes = Vec::new();
    let from = reader.offset();
    while reader.next(end, &mut bytes)? > 0 {}
    assert_eq!(reader.offset(), from.max(end).max(from.advanced(bytes.len())));
    Ok(bytes)
}

pub(in crate::log) fn with_seeds(
    seeds: std::ops::Range<u64>,
    body: impl Fn(u64) + std::panic::RefUnwindSafe,
) {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    for seed in chosen.map_or(seeds, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| body(seed)) {
            eprintln!("again: SEED={seed} cargo test -p highwater-persistence --lib log");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_offset_on_disk_is_served_to_the_end() {
    with_seeds(1..10, |seed| {
        let mut node = Node::new(seed);
        for _ in 0..40 {
            node.turn(true);
        }
        let first = node.files().first_offset().unwrap();
        for from in first.0..=node.end().0 {
            node.check(LogOffset(from));
        }
        if let Some(before) = first.0.checked_sub(1) {
            assert!(node.files().read_back(LogOffset(before)).unwrap().is_none());
        }
    });
}

#[test]
fn a_reader_follows_a_writer_through_rewrites() {
    with_seeds(1..60, |seed| {
        let mut node = Node::new(seed);
        let mut reader = node.files().read_back(LogOffset(0)).unwrap().unwrap();
        let mut bytes = Vec::new();
        for turn in 0..300 {
            node.turn(true);
            // Behind what is written stands what is being written.
            let torn = format!("*3\r\n$3\r\nSET\r\n{turn}");
            let file = node.storage.open_append(&node.file).unwrap();
            let size = file.size().unwrap();
            if turn % 3 == 0 && size == node.writer.file_size() {
                file.append(torn.as_bytes()).unwrap();
            }
            reader.next(node.end(), &mut bytes).unwrap();
            file.truncate(size).unwrap();
            assert!(bytes == node.stream, "turn {turn}: {}", bytes.escape_ascii());
        }
    });
}

#[test]
fn a_reader_in_a_removed_file_reads_on() {
    let mut node = Node::new(1);
    for _ in 0..30 {
        node.turn(false);
    }
    let mut readers: Vec<_> = (0..node.stream.len() as u64)
        .map(|from| node.files().read_back(LogOffset(from)).unwrap().unwrap())
        .collect();
    let old = node.incrs();
    while node.storage.files().contains_key(&old[0].0) {
        node.turn(true);
    }
    for (from, reader) in readers.iter_mut().enumerate() {
        assert_eq!(read_to(reader, node.end()).unwrap(), node.stream[from..]);
    }
    assert!(node.files().read_back(LogOffset(0)).unwrap().is_none());
    // One that was not looked at while two rewrites went by has missed a file.
    let mut late = node.files().read_back(node.end()).unwrap().unwrap();
    let (end, files) = (node.end(), node.incrs().len());
    for _ in 0..2 {
        let names = node.incrs();
        while names.iter().any(|(name, _)| node.storage.files().contains_key(name)) {
            node.append();
            node.rewrite();
        }
    }
    assert!(files <= 2, "the reader had opened what was there");
    let error = read_to(&mut late, node.end()).unwrap_err();
    assert!(matches!(error, ReadBackError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("no longer on disk"), "{error}");
    assert!(late.offset() >= end);
    node.check(node.files().first_offset().unwrap());
}

#[test]
fn a_flipped_bit_is_an_error_and_nothing_of_its_batch_is_handed_out() {
    let mut node = Node::new(3);
    for _ in 0..12 {
        node.turn(true);
    }
    for (name, good) in node.incrs() {
        for bit in 0..good.len() * 8 {
            let file = node.storage.open_append(&name).unwrap();
            let byte = good[bit / 8] ^ 1 << (bit % 8);
            file.write_at((bit / 8) as u64, &[byte]).unwrap();
            // Damage is remembered, so each look is that of another process.
            let reader = reopened(&node).read_back(node.files().first_offset().unwrap()).unwrap();
            let mut bytes = Vec::new();
            let mut reader = reader.expect("the manifest is good");
            let from = usize::try_from(reader.offset().0).unwrap();
            let result = loop {
                match reader.next(node.end(), &mut bytes) {
                    Ok(0) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            assert!(node.stream[from..].starts_with(&bytes), "bit {bit} of {name}");
            assert_eq!(reader.offset(), LogOffset((from + bytes.len()) as u64));
            match result {
                Err(ReadBackError::Damaged { path, error }) => {
                    assert_eq!(path, name);
                    assert!(error.position <= bit / 8, "{error}, bit {bit}");
                }
                Err(error) => assert!(matches!(error, ReadBackError::Gone { .. }), "{error}"),
                Ok(()) => assert!(!is_needed(&good, bit / 8), "bit {bit} of {name}"),
            }
            file.write_at((bit / 8) as u64, &good[bit / 8..=bit / 8]).unwrap();
        }
    }
}

/// The files as another process finds them.
fn reopened(node: &Node) -> Arc<LogFiles> {
    let (files, storage) = (node.files(), node.storage.shared());
    let served_from = files.state().served_from;
    LogFiles::new(&storage, files.names(), files.manifest(), (0, 0), &[], served_from)
}

/// Whether a reader of the whole file needs the byte at `place`: not if it is padding, or behind the last batch.
fn is_needed(good: &[u8], place: usize) -> bool {
    let begins = memchr::memrchr(b'\n', &good[..place]).map_or(0, |end| end + 1);
    let padding = memchr::memmem::find(&good[begins..], b" pad=").map(|pad| begins + pad);
    if good[begins..].starts_with(b"#hw ") && padding.is_some_and(|pad| pad < place) {
        let line = memchr::memchr(b'\n', &good[begins..]).unwrap();
        // A line end or another `=` makes it no annotation.
        return place >= begins + line - 1 || place < padding.unwrap() + 5;
    }
    memchr::memmem::rfind(good, b"#hw batch ").is_some_and(|last| place < last)
}

#[test]
fn damage_is_not_offered_again() {
    let mut node = Node::new(4);
    while node.incrs().len() < 2 || node.rewrite.is_none() || node.writer.file_size() < 400 {
        node.append();
        if node.rewrite.is_none() {
            node.rewrite();
        }
    }
    let first = node.files().first_offset().unwrap();
    let (name, bytes) = node.incrs().remove(0);
    let place = memchr::memmem::find(&bytes, b"SET").unwrap() as u64;
    node.storage.open_append(&name).unwrap().write_at(place, b"sET").unwrap();
    let error = node.read(first).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{name}, at byte ")), "{error}");
    assert!(error.to_string().ends_with("wrong checksum"), "{error}");
    let reader = node.files().read_back(first).unwrap();
    assert!(reader.is_none());
    assert_ne!(node.files().first_offset(), Some(first));
    assert!(node.files().sync_source().unwrap().is_none(), "the log behind the base is damaged");
}

#[test]
fn batches_larger_than_any_block_are_served_whole() {
    let mut node = Node::new(5);
    node.append();
    for (size, stamp) in [(3 << 20, true), (5 << 20, false), (1 << 20, true)] {
        // Values full of what looks like annotations.
        let fake = b"\r\n#hw batch end=9 len=9 sync=0 crc=0123456789abcdef\r\n";
        let value: Vec<u8> = fake.iter().copied().cycle().take(size).collect();
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${size}\r\n");
        let unit = [head.as_bytes(), &value, b"\r\n"].concat();
        let mut batch = if stamp { STAMP.to_vec() } else { Vec::new() };
        node.add(&unit, &mut batch);
        if stamp {
            batch.extend_from_slice(STAMP);
        }
        node.add(SET, &mut batch);
        node.write(batch);
        node.append();
    }
    for from in [0, 1, 1000, 4 << 20, (4 << 20) + 77, node.stream.len() as u64 - 5] {
        node.check(LogOffset(from));
    }
    // Each comes as one piece, and nothing behind it before it is asked for.
    let mut reader = node.files().read_back(LogOffset(0)).unwrap().unwrap();
    let mut bytes = Vec::new();
    assert!(reader.next(node.end(), &mut bytes).unwrap() > 3 << 20);
    assert!(bytes.len() < 4 << 20);
    // One changed byte anywhere in it.
    let size = node.incrs()[0].1.len() as u64;
    let file = node.storage.open_append(&node.file).unwrap();
    for place in [2000, 3 << 20, 6 << 20] {
        let good = node.incrs()[0].1[place];
        file.write_at(place as u64, &[good ^ 4]).unwrap();
        let mut reader = reopened(&node).read_back(LogOffset(0)).unwrap().unwrap();
        let mut bytes = Vec::new();
        let error = loop {
            match reader.next(node.end(), &mut bytes) {
                Ok(served) => assert!(served > 0),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().ends_with("wrong checksum"), "{error}");
        assert!(node.stream.starts_with(&bytes) && bytes.len() < place);
        file.write_at(place as u64, &[good]).unwrap();
    }
    assert_eq!(file.size().unwrap(), size);
}

#[test]
fn an_offset_inside_a_batch_is_the_end_of_what_is_served_before_it() {
    let mut node = Node::new(6);
    let mut ends = vec![LogOffset(0)];
    for _ in 0..10 {
        node.append();
        ends.push(node.end());
    }
    let mut reader = node.files().read_back(LogOffset(3)).unwrap().unwrap();
    let mut bytes = Vec::new();
    for up_to in 0..=node.end().0 {
        reader.next(LogOffset(up_to), &mut bytes).unwrap();
        let whole = ends.iter().rev().find(|end| end.0 <= up_to).unwrap();
        assert_eq!(reader.offset().0, whole.0.max(3), "up to {up_to}");
        assert_eq!(bytes, node.stream[3..usize::try_from(reader.offset().0).unwrap()]);
    }
}

#[test]
fn what_a_stock_server_wrote_is_served_too() {
    let manifest = b"file log.1.incr.aof seq 1 type i\nfile log.2.incr.aof seq 2 type i\n".to_vec();
    let multi =
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nEXEC\r\n";
    let large = [b"*2\r\n$4\r\nECHO\r\n$700000\r\n", &[b'#'; 700_000][..], b"\r\n"].concat();
    let second = [STAMP, SET, multi, STAMP, &large, SET].concat();
    let storage = FaultyStorage::holding([
        ("aof/log.manifest", manifest),
        ("aof/log.1.incr.aof", [SELECT, STAMP, SET].concat()),
        ("aof/log.2.incr.aof", second),
    ]);
    let mut stream = [SELECT, SET, SET, multi, &large, SET].concat();
    let mut writer = start(&storage, 0);
    let append = |writer: &mut LogWriter, stream: &mut Vec<u8>| {
        stream.extend_from_slice(SET);
        let end = LogOffset(stream.len() as u64);
        writer.append(&mut SET.to_vec(), end, LogOffset(0)).unwrap();
    };
    append(&mut writer, &mut stream);
    writer.mark(writer.end(), true).unwrap();
    // It goes on behind an orderly stop.
    let file = storage.open_append("aof/log.2.incr.aof").unwrap();
    file.append(&[SET, multi].concat()).unwrap();
    stream.extend_from_slice(&[SET, multi].concat());
    let mut writer = start(&storage, 0);
    append(&mut writer, &mut stream);
    let files = writer.files();
    assert_eq!(files.first_offset(), Some(LogOffset(0)));
    let near = (0..400).chain(700_200..stream.len() as u64);
    for from in near.chain([5000, 699_999, 700_100]) {
        let mut reader = files.read_back(LogOffset(from)).unwrap().unwrap();
        let bytes = read_to(&mut reader, writer.end()).unwrap();
        assert!(bytes == stream[usize::try_from(from).unwrap()..], "from {from}");
    }
    // What is cut there is no end that anybody wrote.
    file.truncate(300).unwrap();
    let mut reader = files.read_back(LogOffset(0)).unwrap().unwrap();
    let error = read_to(&mut reader, writer.end()).unwrap_err();
    assert!(error.to_string().ends_with("cut short"), "{error}");
}

#[test]
fn a_log_that_is_being_switched_on_serves_nothing_before_its_base_is_there() {
    let mut node = Node::new(7);
    node.append();
    let names = node.files().names().clone();
    let files = LogFiles::open(&node.storage.shared(), &names).unwrap();
    let start = LogOffset(1000);
    let (mut writer, rewrite) =
        files.begin(Lineage::new(id(2)), start, SELECT, Salts::counted_from(50)).unwrap();
    writer.append(&mut SET.to_vec(), start.advanced(SET.len()), start).unwrap();
    assert!(files.read_back(start).unwrap().is_none() && files.sync_source().unwrap().is_none());
    node.storage.create(TEMP_BASE).unwrap().append(b"REDIS0010").unwrap();
    rewrite.finish(TEMP_BASE, BaseKind::Rdb, writer.file_size()).unwrap();
    assert_eq!(files.first_offset(), Some(start));
    let mut reader = files.read_back(start).unwrap().unwrap();
    assert_eq!(read_to(&mut reader, writer.end()).unwrap(), SET);
    assert!(files.read_back(LogOffset(0)).unwrap().is_none());
}

#[test]
fn a_full_sync_gets_the_base_and_the_log_behind_it() {
    let mut node = Node::new(8);
    node.append();
    let source = node.files().sync_source().unwrap().unwrap();
    assert!(source.base.is_none() && source.offset == LogOffset(0));
    while node.files().manifest().base.is_none() {
        node.append();
        node.rewrite();
    }
    let source = node.files().sync_source().unwrap().unwrap();
    let (base, size) = source.base.unwrap();
    let mut reader = source.log;
    node.append();
    let names = node.incrs();
    while names.iter().any(|(name, _)| node.storage.files().contains_key(name)) {
        node.append();
        node.rewrite();
    }
    // Both go on after the next rewrite has removed them.
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    assert_eq!(base.read_at(0, &mut bytes).unwrap(), bytes.len());
    assert_eq!(bytes, format!("REDIS0010 at {}", source.offset).as_bytes());
    let from = usize::try_from(source.offset.0).unwrap();
    assert_eq!(read_to(&mut reader, node.end()).unwrap(), node.stream[from..]);
    // What is no snapshot alone cannot be sent.
    let manifest =
        b"file log.1.base.aof seq 1 type b\nfile log.1.incr.aof seq 1 type i startoffset 5\n";
    for (base, name) in [(SELECT, "log.1.base.aof"), (b"REDIS0010", "log.1.base.aof")] {
        let storage = FaultyStorage::holding([("aof/log.manifest", manifest.to_vec())]);
        storage.create(&format!("aof/{name}")).unwrap().append(base).unwrap();
        let manifest = Manifest::parse(manifest).unwrap();
        let names = LogNames::new("aof", "log");
        let files = LogFiles::new(&storage.shared(), &names, manifest, (0, 0), &[], Some(1));
        assert!(files.sync_source().unwrap().is_none());
    }
}
