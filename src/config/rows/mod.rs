//! The rows of all settings, one file per topic.

mod access;
mod cluster;
mod encoding;
mod log;
mod memory;
mod network;
mod process;
mod replication;
mod snapshot;
mod tls;
mod watch;

use super::row::Row;

/// Upper end of a range.
const I32_MAX: i64 = i32::MAX as i64;
/// Upper end of a range without a sensible bound.
const I64_MAX: i64 = i64::MAX;
/// Upper end of a size without a sensible bound, as stock servers print it.
const SIZE_MAX: u64 = i64::MAX as u64;

/// A topic and its rows.
#[derive(Clone, Copy)]
pub struct Topic {
    /// Title, as in the documentation.
    pub title: &'static str,
    /// Rows in the order in which they are shown.
    pub rows: &'static [Row],
}

/// All topics, in the order in which they are documented.
pub const TOPICS: &[Topic] = &[
    Topic { title: "Network and clients", rows: network::ROWS },
    Topic { title: "TLS", rows: tls::ROWS },
    Topic { title: "Process and log lines", rows: process::ROWS },
    Topic { title: "Access", rows: access::ROWS },
    Topic { title: "Memory, expiry and eviction", rows: memory::ROWS },
    Topic { title: "The log", rows: log::ROWS },
    Topic { title: "Snapshots", rows: snapshot::ROWS },
    Topic { title: "Replication", rows: replication::ROWS },
    Topic { title: "Cluster", rows: cluster::ROWS },
    Topic { title: "Encodings of values", rows: encoding::ROWS },
    Topic { title: "Scripts, events and what is watched", rows: watch::ROWS },
];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Row> {
    TOPICS.iter().flat_map(|topic| topic.rows)
}

/// The row called `name` or with that alias, in any case.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    all().find(|row| {
        row.name.eq_ignore_ascii_case(name)
            || row.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// A text that is a file name without a folder, not empty.
fn file_name(setting: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{setting} can't be empty"));
    }
    bare_name(setting, text)
}

/// A text without a folder in it.
fn bare_name(setting: &str, text: &str) -> Result<(), String> {
    if text.contains(['/', '\\']) {
        return Err(format!("{setting} can't be a path, just a filename"));
    }
    Ok(())
}
