//! Whole snapshots: those of a stock server, those of other versions, broken ones, and ours in a stock server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod fixtures;
mod random;
#[path = "../server/mod.rs"]
mod server;
mod stock;
mod versions;

use std::path::PathBuf;

use highwater_persistence::snapshot::{
    Event, OwnedEvent, RawValueReader, ReaderOptions, SnapshotError, SnapshotReader,
    SnapshotWriter, WriterOptions,
};

/// The files that a stock server made.
const FIXTURES: [&str; 7] = [
    "strings.rdb",
    "plain.rdb",
    "collections.rdb",
    "streams.rdb",
    "keys.rdb",
    "idle.rdb",
    "empty.rdb",
];

fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/snapshot").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixture_path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All events of a file whose size the reader knows. Whatever the file, reading the values apart gives the same events
/// or the same error.
fn events(file: &[u8]) -> Result<Vec<OwnedEvent>, SnapshotError> {
    let options = ReaderOptions { total: Some(file.len() as u64), ..ReaderOptions::default() };
    let events = events_of(SnapshotReader::with_options(file, &options));
    match (&events, events_apart(file, &options)) {
        (Ok(events), Ok(apart)) => assert!(*events == apart, "other events"),
        (Err(error), Err(apart)) => assert_eq!(error.to_string(), apart.to_string()),
        (Ok(_), Err(apart)) => panic!("only with the values apart: {apart}"),
        (Err(error), Ok(_)) => panic!("not with the values apart: {error}"),
    }
    events
}

/// The same, with the values passed over and read on their own.
fn events_apart(file: &[u8], options: &ReaderOptions) -> Result<Vec<OwnedEvent>, SnapshotError> {
    let mut reader = SnapshotReader::with_options(file, options);
    let mut values = RawValueReader::new(file, options);
    let mut events = Vec::new();
    while let Some(event) = reader.next()? {
        events.push(event.to_owned());
        if !matches!(events.last(), Some(OwnedEvent::Key { .. })) {
            continue;
        }
        let start = reader.offset();
        let (value, passed) = reader.pass_value();
        assert_eq!(value.start(), start);
        values.begin(&value);
        while events.last() != Some(&OwnedEvent::ValueEnd) {
            events.push(values.next()?.to_owned());
        }
        passed?;
    }
    Ok(events)
}

fn events_of<R: std::io::Read>(
    mut reader: SnapshotReader<R>,
) -> Result<Vec<OwnedEvent>, SnapshotError> {
    let mut events = Vec::new();
    while let Some(event) = reader.next()? {
        events.push(event.to_owned());
    }
    Ok(events)
}

/// Reads a file and writes it again.
fn rewrite(file: &[u8], options: &WriterOptions) -> Result<Vec<u8>, SnapshotError> {
    let mut reader = SnapshotReader::new(file);
    let mut writer = SnapshotWriter::new(Vec::new(), options);
    while let Some(event) = reader.next()? {
        writer.put(event)?;
    }
    writer.finish()
}

/// A file's keys and values, comparable: without what depends on encodings, members of unordered collections sorted.
fn content(file: &[u8]) -> Vec<String> {
    let mut keys: Vec<Vec<String>> = Vec::new();
    let mut db = 0;
    for event in events(file).unwrap() {
        let line = format!("{:?}", event.borrow().map(|bytes| bytes.escape_ascii().to_string()));
        match event.borrow() {
            Event::SelectDb(number) => db = number,
            Event::Key { .. } => keys.push(vec![format!("db {db} {line}")]),
            Event::String(_) => keys.last_mut().unwrap().push(line),
            Event::ListBegin { .. } | Event::SetBegin { .. } | Event::Eof { .. } => {}
            Event::HashBegin { .. } | Event::ZsetBegin { .. } => {}
            Event::ValueEnd => {
                let value = keys.last_mut().unwrap();
                if value[1..]
                    .iter()
                    .all(|line| line.starts_with("SetM") || line.starts_with("Hash"))
                    || value[1..].iter().all(|line| line.starts_with("Zset"))
                {
                    value[1..].sort();
                }
            }
            _ => {
                if let Some(value) = keys.last_mut() {
                    value.push(line);
                }
            }
        }
    }
    let mut keys: Vec<String> = keys.into_iter().map(|lines| lines.join("\n")).collect();
    keys.sort();
    keys
}

/// Compares the content of two files; says only where they differ, not all of both.
fn assert_same_content(found: &[u8], expected: &[u8], what: &str) {
    let (found, expected) = (content(found), content(expected));
    assert_eq!(found.len(), expected.len(), "{what}: number of keys");
    for (found, expected) in found.iter().zip(&expected) {
        let at = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
        let around = |text: &str| text.chars().skip(at.saturating_sub(40)).take(120).collect();
        let (a, b): (String, String) = (around(found), around(expected));
        assert!(found == expected, "{what}, from character {at}:\n{a}\n{b}");
    }
}
