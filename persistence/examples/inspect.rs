//! Says what is in a snapshot: `cargo run -p highwater-persistence --example inspect -- FILE [--keys]`.
//!
//! Try `fixtures/snapshot/streams.rdb`. With `--keys` each key is listed; otherwise the totals alone.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::collections::BTreeMap;
use std::fs::File;
use std::process::ExitCode;

use highwater_persistence::snapshot::{Event, ReaderOptions, SnapshotError, SnapshotReader};

/// What was counted of one kind of value.
#[derive(Default)]
struct Count {
    keys: u64,
    elements: u64,
    bytes: u64,
}

/// All counts, and the kind of the value being read.
#[derive(Default)]
struct Counts {
    by_kind: BTreeMap<&'static str, Count>,
    kind: &'static str,
}

impl Counts {
    fn add(&mut self, event: &Event<'_>) {
        let begun = match event {
            Event::String(_) => "string",
            Event::ListBegin { .. } => "list",
            Event::SetBegin { .. } => "set",
            Event::HashBegin { .. } => "hash",
            Event::ZsetBegin { .. } => "sorted set",
            Event::StreamBegin => "stream",
            _ => "",
        };
        if !begun.is_empty() {
            self.kind = begun;
            self.by_kind.entry(begun).or_default().keys += 1;
        }
        let bytes = match event {
            Event::String(bytes) | Event::ListItem(bytes) | Event::SetMember(bytes) => bytes.len(),
            Event::ZsetMember { member, .. } => member.len(),
            Event::HashField { field, value, .. } | Event::StreamField { field, value } => {
                field.len() + value.len()
            }
            _ => return,
        };
        if let Some(count) = self.by_kind.get_mut(self.kind) {
            count.elements += 1;
            count.bytes += bytes as u64;
        }
    }

    fn print(&self) {
        for (kind, Count { keys, elements, bytes }) in &self.by_kind {
            println!("{kind}: {keys} keys, {elements} elements, {bytes} bytes");
        }
    }
}

/// Reads the file and prints; returns how long the snapshot in it is.
fn inspect(file: File, total: u64, list_keys: bool) -> Result<u64, SnapshotError> {
    let options = ReaderOptions { total: Some(total), ..ReaderOptions::default() };
    let mut reader = SnapshotReader::with_options(file, &options);
    let mut counts = Counts::default();
    while let Some(event) = reader.next()? {
        match event {
            Event::Header { version, vendor } => println!("format version {version} ({vendor:?})"),
            Event::Aux { key, value } => {
                println!("{} = {}", key.escape_ascii(), value.escape_ascii());
            }
            Event::SelectDb(db) => println!("database {db}"),
            Event::Key { key, expires_ms, .. } if list_keys => {
                println!("key {} expires {expires_ms:?}", key.escape_ascii());
            }
            Event::Eof { checksum } => println!("checksum: {checksum:?}"),
            event => counts.add(&event),
        }
    }
    counts.print();
    Ok(reader.offset())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        println!("usage: inspect FILE [--keys]");
        return ExitCode::FAILURE;
    };
    let list_keys = arguments.any(|argument| argument == "--keys");
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (total, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            println!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match inspect(file, total, list_keys) {
        Ok(length) => {
            println!("whole: {length} of {total} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
