//! Prints the entries of a log with their offsets, and where and why it stops.
//!
//! ```text
//! cargo run -p highwater-persistence --example replay -- fixtures/log/tail_cut
//! ```
//! The argument is a node's data folder (with the default names of files), or one file of a log.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use highwater_persistence::log::{Entries, EntryKind, LogNames, LogOffset};
use highwater_persistence::recovery::{self, Options, StepKind};
use highwater_persistence::snapshot::SnapshotReader;
use highwater_persistence::storage::{RealStorage, Storage};

fn main() -> ExitCode {
    let Some(argument) = std::env::args_os().nth(1) else {
        eprintln!("usage: replay FOLDER|FILE");
        return ExitCode::FAILURE;
    };
    let path = Path::new(&argument);
    let result = if path.is_dir() { folder(path) } else { file(path) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn folder(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(path));
    let names = LogNames::new("appendonlydir", "appendonly.aof");
    let plan = recovery::plan(
        &storage,
        &Options { names, load_truncated: true, keep_history: false, retain: 0 },
    )?;
    for step in &plan.steps {
        let bytes = storage.read(&step.name)?;
        let bytes = &bytes[..usize::try_from(step.range.end)?];
        println!("== {step}");
        let mut position = 0;
        if step.kind == StepKind::Snapshot {
            let mut reader = SnapshotReader::new(bytes);
            let mut events = 0;
            while reader.next()?.is_some() {
                events += 1;
            }
            position = usize::try_from(reader.offset())?;
            println!("{events} events of a snapshot");
        }
        print_entries(bytes, position, Some(step.start))?;
    }
    println!("== {plan}");
    Ok(())
}

fn file(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    print_entries(&std::fs::read(path)?, 0, None)
}

fn print_entries(
    bytes: &[u8],
    position: usize,
    start: Option<LogOffset>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let mut entries = Entries::new(bytes, start).from_position(position);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                writeln!(out, "stopped {error}")?;
                break;
            }
        };
        write!(out, "{:>8} {:>8} ", entry.position, entry.offset)?;
        match entry.kind {
            EntryKind::Command { args, unit, local } => {
                let local = if local { " (local)" } else { "" };
                writeln!(out, "{unit:?}{local} {args:?}")?;
            }
            EntryKind::Annotation(line) => writeln!(out, "{:?}", line.annotation)?,
            EntryKind::Comment(text) => writeln!(out, "{}", text.trim_ascii_end().escape_ascii())?,
        }
    }
    Ok(())
}
