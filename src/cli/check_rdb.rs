//! `highwater check rdb FILE`, also called by the name `redis-check-rdb`: reads a snapshot to its end.
//!
//! Output and exit status are those that scripts written for the stock program expect.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use highwater_persistence::snapshot::{Checksum, Event, SnapshotError, SnapshotReader};

use super::{complain, say};

/// Checks the file that `arguments` name.
pub(super) fn run(arguments: &[OsString], program: &str) -> ExitCode {
    let [file] = arguments else {
        complain(&format!("Usage: {program} <rdb-file-name>"));
        return ExitCode::FAILURE;
    };
    let name = file.to_string_lossy();
    if matches!(&*name, "-h" | "--help") {
        say(&format!(
            "Usage: {program} <rdb-file-name>\n\nReads a snapshot to its end and says what is in it. Nothing is changed."
        ));
        return ExitCode::SUCCESS;
    }
    match std::fs::read(Path::new(file)) {
        Ok(bytes) if check(&bytes, &name).is_some() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("[offset 0] Checking RDB file {name}"));
            complain(&format!("Cannot open file {name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What was counted on the way.
#[derive(Default)]
struct Counts {
    keys: u64,
    expires: u64,
    expired: u64,
}

/// Reads the snapshot at the beginning of `bytes` and says what is in it. Its length, or `None` when it is not good.
pub(super) fn check(bytes: &[u8], name: &str) -> Option<usize> {
    say(&format!("[offset 0] Checking RDB file {name}"));
    let mut counts = Counts::default();
    let result = read(bytes, &mut counts);
    if let Err((offset, error)) = &result {
        say("--- RDB ERROR DETECTED ---");
        say(&format!("[offset {offset}] {error}"));
    }
    say(&format!("[info] {} keys read", counts.keys));
    say(&format!("[info] {} expires", counts.expires));
    say(&format!("[info] {} already expired", counts.expired));
    result.ok()
}

fn read(bytes: &[u8], counts: &mut Counts) -> Result<usize, (u64, SnapshotError)> {
    let now_ms = i64::try_from(crate::clock::now().unix_ms()).unwrap_or(i64::MAX);
    let mut reader = SnapshotReader::new(bytes);
    loop {
        let line = match reader.next() {
            Ok(None) => break,
            Ok(Some(event)) => line(&event, counts, now_ms),
            Err(error) => return Err((error.offset().unwrap_or(reader.offset()), error)),
        };
        if let Some(line) = line {
            say(&format!("[offset {}] {line}", reader.offset()));
        }
    }
    let end = reader.offset();
    say(&format!("[offset {end}] \\o/ RDB looks OK! \\o/"));
    Ok(usize::try_from(end).unwrap_or(bytes.len()).min(bytes.len()))
}

/// What is said of an event, if anything.
fn line(event: &Event<'_>, counts: &mut Counts, now_ms: i64) -> Option<String> {
    match event {
        Event::Aux { key, value } => {
            Some(format!("AUX FIELD {} = '{}'", key.escape_ascii(), value.escape_ascii()))
        }
        Event::SelectDb(db) => Some(format!("Selecting DB ID {db}")),
        Event::Key { expires_ms, .. } => {
            counts.keys += 1;
            counts.expires += u64::from(expires_ms.is_some());
            counts.expired += u64::from(expires_ms.is_some_and(|at| at < now_ms));
            None
        }
        Event::Eof { checksum } => Some(
            match checksum {
                Checksum::Verified => "Checksum OK",
                Checksum::Disabled => {
                    "RDB file was saved with checksum disabled: no check performed."
                }
                Checksum::Absent => "This version has no checksum",
            }
            .to_owned(),
        ),
        _ => None,
    }
}
