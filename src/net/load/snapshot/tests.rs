use std::fmt::Write;

use highwater_persistence::snapshot::{
    EncoderOptions, Event, KeyMeta, OwnedEvent, SnapshotWriter, WriterOptions,
};

use super::*;
use crate::keyspace::{Entry, HashKey, KeyRef, Value, ValueRef};
use crate::types::Limits;
use crate::types::convert::{Built, ValueBuilder, write_object};

const DATABASES: u32 = 16;
const NOW_MS: u64 = 1_700_000_000_000;

/// Key, value, expiry and access clock.
type Stored = (Vec<u8>, String, Option<u64>, u32);

/// All there is to compare.
#[derive(Debug, PartialEq)]
struct Outcome {
    held: Held,
    /// Of each database, sorted.
    entries: Vec<Vec<Stored>>,
    positions: Vec<u64>,
}

fn keyspace(lfu: bool) -> Keyspace {
    let mut keyspace = Keyspace::new(DATABASES, HashKey::from_seed(1), 2);
    keyspace.settings.access.lfu = lfu;
    keyspace
}

fn contents(keyspace: &Keyspace) -> Vec<Vec<Stored>> {
    keyspace.check_invariants();
    let one = |entry: &Entry| {
        let value = match entry.value() {
            ValueRef::Object(object) => {
                let mut events = String::new();
                let put = |event: Event<'_>| write!(events, "{event:?}");
                write_object(object, put).expect("text can always be added to");
                events
            }
            string => format!("{:?}", string.to_string_bytes()),
        };
        (entry.key().to_vec(), value, entry.expiry_ms(), entry.access())
    };
    let of_db = |db| {
        let mut entries: Vec<Stored> = keyspace.entries(db).map(one).collect();
        entries.sort();
        entries
    };
    (0..DATABASES).map(of_db).collect()
}

fn load(file: &[u8], workers: usize, keeps_expired: bool, lfu: bool) -> Result<Outcome, String> {
    let mut keyspace = keyspace(lfu);
    let mut positions = Vec::new();
    let plan = Plan { workers, now_ms: NOW_MS, keeps_expired };
    let held = plan.load(&mut keyspace, file, |position| positions.push(position))?;
    Ok(Outcome { held, entries: contents(&keyspace), positions })
}

/// What loading means, without places, batches and threads: one event after the other.
fn load_plainly(file: &[u8], keeps_expired: bool, lfu: bool) -> Result<Outcome, String> {
    let mut reader = SnapshotReader::with_options(file, &Plan::options(file));
    let mut keyspace = keyspace(lfu);
    let (mut held, mut positions) = (Held::default(), Vec::new());
    let text = |error: highwater_persistence::snapshot::SnapshotError| error.to_string();
    let mut db = 0;
    loop {
        let at = reader.offset();
        let Some(event) = reader.next().map_err(text)? else { break };
        match event {
            Event::SelectDb(number) if number >= DATABASES => {
                return Err(format!(
                    "FATAL: Data file was created with a Redis server configured to handle more than {DATABASES} \
                     databases. Exiting"
                ));
            }
            Event::SelectDb(number) => db = number,
            Event::Function(code) => held.functions.push(code.to_vec()),
            Event::Key { key, expires_ms, idle_s, freq } => {
                positions.push(at);
                let key = key.to_vec();
                let expires_ms = expires_ms.map(|when| u64::try_from(when).unwrap_or(0));
                let access = keyspace.settings.access;
                let clock = match (lfu, freq, idle_s) {
                    (true, Some(freq), _) => access.with_frequency(freq, NOW_MS),
                    (false, _, Some(idle_s)) => access.with_idle(idle_s, NOW_MS),
                    _ => access.fresh(NOW_MS),
                };
                let mut builder = ValueBuilder::new(reader.offset(), Limits::default());
                let built = loop {
                    let event = reader.next().map_err(text)?.expect("a value ends");
                    if let Some(built) = builder.put(event).map_err(text)? {
                        break built;
                    }
                };
                let value = match &built {
                    Built::Empty => continue,
                    Built::String(bytes) => Value::string(bytes),
                    Built::Object(object) => Value::Object(object.clone()),
                };
                if !keeps_expired && expires_ms.is_some_and(|when| when < NOW_MS) {
                    held.counts.expired += 1;
                    continue;
                }
                let mut entry = Entry::new(&key, value, expires_ms);
                entry.set_access(clock);
                let key_ref = KeyRef::new(&keyspace.hash_key(), &key);
                if !keyspace.load(db, &key_ref, entry, 0) {
                    return Err(format!(
                        "Duplicated key found in RDB file: {}",
                        key.escape_ascii()
                    ));
                }
                held.counts.stored += 1;
            }
            _ => {}
        }
    }
    held.size = reader.offset();
    Ok(Outcome { held, entries: contents(&keyspace), positions })
}

/// Compares two outcomes without printing all of them.
fn assert_same(found: &Result<Outcome, String>, expected: &Result<Outcome, String>, what: &str) {
    match (found, expected) {
        (Ok(found), Ok(expected)) => {
            assert_eq!(found.held, expected.held, "{what}");
            assert!(found.positions == expected.positions, "{what}: positions");
            for (found, expected) in found.entries.iter().zip(&expected.entries) {
                assert_eq!(found.len(), expected.len(), "{what}: number of keys");
                let differing =
                    found.iter().zip(expected).find(|(found, expected)| found != expected);
                assert_eq!(differing, None, "{what}");
            }
        }
        (found, expected) => {
            assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{what}");
        }
    }
}

/// Loads `file` in all ways and returns what all of them gave.
fn load_in_all_ways(file: &[u8], what: &str) -> Result<Outcome, String> {
    let expected = load_plainly(file, false, false);
    for workers in 1..=3 {
        assert_same(&load(file, workers, false, false), &expected, what);
    }
    assert_same(&load(file, 4, true, true), &load_plainly(file, true, true), what);
    expected
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/snapshot/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const FIXTURES: [&str; 7] = [
    "strings.rdb",
    "plain.rdb",
    "collections.rdb",
    "streams.rdb",
    "keys.rdb",
    "idle.rdb",
    "empty.rdb",
];

fn key(rng: &mut fastrand::Rng, number: usize) -> Vec<u8> {
    match rng.u8(..20) {
        // As a number, and compressed: the file does not have the key's own bytes.
        0 => format!("{}{number}", rng.u8(1..100)).into_bytes(),
        1 => [vec![b'x'; rng.usize(30..2000)], number.to_string().into_bytes()].concat(),
        2 => format!("{{tag}}{number}").into_bytes(),
        _ => format!("key:{number:08}").into_bytes(),
    }
}

fn value(rng: &mut fastrand::Rng) -> Vec<OwnedEvent> {
    let mut bytes = || -> Vec<u8> {
        match rng.u8(..4) {
            0 => rng.i32(..).to_string().into_bytes(),
            1 => vec![b'y'; rng.usize(..1000)],
            _ => (0..rng.usize(..100)).map(|_| rng.u8(..)).collect(),
        }
    };
    let string = bytes();
    let items: Vec<_> = (0..3).map(|_| bytes()).collect();
    let count = [1, 3, 200][rng.usize(..3)];
    let numbers = || (0..count).map(|number: usize| number.to_string().into_bytes());
    let (begin, elements): (_, Vec<OwnedEvent>) = match rng.u8(..12) {
        0 => (
            OwnedEvent::ListBegin { len: None },
            numbers().chain(items).map(OwnedEvent::ListItem).collect(),
        ),
        1 => (
            OwnedEvent::SetBegin { len: None },
            numbers().map(|number| OwnedEvent::SetMember([b"m", &number[..]].concat())).collect(),
        ),
        2 => {
            let field =
                |field| OwnedEvent::HashField { field, value: string.clone(), expires_ms: None };
            (OwnedEvent::HashBegin { len: None }, numbers().map(field).collect())
        }
        3 => {
            let member = |member| OwnedEvent::ZsetMember { member, score: 0.5 };
            (OwnedEvent::ZsetBegin { len: None }, numbers().map(member).collect())
        }
        _ => (OwnedEvent::String(string), Vec::new()),
    };
    [vec![begin], elements, vec![OwnedEvent::ValueEnd]].concat()
}

/// A snapshot of random keys, in three databases, with hints that may be wrong.
fn random_file(rng: &mut fastrand::Rng, keys: usize, checksum: bool) -> Vec<u8> {
    let options = WriterOptions { checksum, ..WriterOptions::default() };
    let mut writer = SnapshotWriter::new(Vec::new(), &options);
    writer.function(b"#!lua name=one").unwrap();
    for db in 0..3 {
        writer.select_db(db).unwrap();
        if rng.bool() {
            let hint = [keys as u64 / 3, 100 * SLOT_COUNT as u64, u64::MAX][rng.usize(..3)];
            writer.resize_db(hint, 0).unwrap();
        }
        for number in 0..keys / 3 {
            let key = key(rng, number);
            let meta = KeyMeta {
                expires_ms: (rng.u8(..4) == 0).then(|| (NOW_MS as i64) + rng.i64(-1000..1000)),
                idle_s: (rng.u8(..9) == 0).then(|| rng.u64(..5000)),
                freq: (rng.u8(..9) == 0).then(|| rng.u8(..)),
            };
            writer.key(&key, meta).unwrap();
            value(rng).iter().for_each(|event| writer.value(event.borrow()).unwrap());
        }
    }
    writer.finish().unwrap()
}

#[test]
fn workers_load_what_reading_event_by_event_loads() {
    for name in FIXTURES {
        assert!(load_in_all_ways(&fixture(name), name).is_ok(), "{name}");
    }
    for (seed, keys) in [(1, 30), (2, 600), (3, 3000)] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let file = random_file(&mut rng, keys, true);
        let outcome = load_in_all_ways(&file, &format!("seed {seed}")).unwrap();
        let Counts { stored, expired } = outcome.held.counts;
        assert_eq!(stored + expired, keys as u64);
        assert_eq!(outcome.held.functions.len(), 1);
        assert_eq!(outcome.held.size, file.len() as u64);
    }
}

#[test]
fn what_follows_a_snapshot_is_left_alone() {
    let mut rng = fastrand::Rng::with_seed(4);
    let file = random_file(&mut rng, 300, true);
    let longer = [&file[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    assert_eq!(load_in_all_ways(&longer, "longer").unwrap().held.size, file.len() as u64);
}

#[test]
fn the_first_error_of_a_damaged_file_is_told() {
    let mut rng = fastrand::Rng::with_seed(5);
    let collections = fixture("collections.rdb");
    let (mut refused, mut kinds) = (0, std::collections::BTreeSet::new());
    for round in 0..30 {
        let mut file = match round % 3 {
            0 => collections.clone(),
            _ => random_file(&mut rng, 900, round % 3 == 1),
        };
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..file.len());
            file[at] = rng.u8(..);
        }
        if round % 5 == 0 {
            file.truncate(rng.usize(..file.len()));
        }
        if let Err(error) = load_in_all_ways(&file, &format!("round {round}")) {
            refused += 1;
            kinds.extend(error.split_whitespace().next().map(str::to_owned));
        }
    }
    assert!(refused > 15 && kinds.len() > 2, "{refused} refused: {kinds:?}");
}

#[test]
fn the_first_key_that_comes_twice_is_told() {
    let mut writer = SnapshotWriter::new(Vec::new(), &WriterOptions::default());
    writer.select_db(0).unwrap();
    // Twice are 900, 901, ..., in neighbouring slots and more than a batch behind one another.
    for number in (0..1000).chain(900..5000) {
        writer.key(format!("key:{number}").as_bytes(), KeyMeta::default()).unwrap();
        writer.value(Event::String(b"value")).unwrap();
        writer.value(Event::ValueEnd).unwrap();
    }
    // And at the end something that the reader itself does not like.
    let mut file = writer.finish().unwrap();
    file.truncate(file.len() - 9);
    let error = load_in_all_ways(&file, "twice").unwrap_err();
    assert_eq!(error, "Duplicated key found in RDB file: key:900");
}

#[test]
fn a_database_too_many_is_refused() {
    let mut writer = SnapshotWriter::new(Vec::new(), &WriterOptions::default());
    writer.select_db(DATABASES).unwrap();
    let file = writer.finish().unwrap();
    assert!(load_in_all_ways(&file, "databases").unwrap_err().contains("more than 16 databases"));
}

#[test]
fn a_hint_costs_no_more_than_the_file_could_need() {
    // However many databases there are, it is one file.
    for (databases, keys) in [(1, 20_000), (DATABASES, 4000)] {
        let (honest, file_bytes) = overhead(databases, keys, keys);
        let (lied, _) = overhead(databases, keys, u64::MAX);
        assert!(lied > honest, "a hint is followed");
        assert!(
            lied - honest < 4 * file_bytes,
            "{lied} instead of {honest} for {file_bytes} bytes, {databases} databases"
        );
    }
}

/// Bytes beside the entries of databases of `keys` keys each, loaded with that hint, and the size of the file.
fn overhead(databases: u32, keys: u64, hint: u64) -> (usize, usize) {
    let encoder = EncoderOptions { compress: false, ..EncoderOptions::default() };
    let options = WriterOptions { encoder, checksum: true };
    let mut writer = SnapshotWriter::new(Vec::new(), &options);
    for db in 0..databases {
        writer.select_db(db).unwrap();
        writer.resize_db(hint, hint).unwrap();
        for number in 0..keys {
            writer.key(format!("key:{number}").as_bytes(), KeyMeta::default()).unwrap();
            writer.value(Event::String(&[0x80; 70])).unwrap();
            writer.value(Event::ValueEnd).unwrap();
        }
    }
    let file = writer.finish().unwrap();
    let mut keyspace = keyspace(false);
    let plan = Plan { workers: 2, now_ms: NOW_MS, keeps_expired: true };
    plan.load(&mut keyspace, &file, |_| ()).unwrap();
    keyspace.check_invariants();
    let of_db = |db| keyspace.db(db).map_or(0, |db| db.overhead_bytes());
    ((0..databases).map(of_db).sum(), file.len())
}
