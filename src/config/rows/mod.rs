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

#[cfg(test)]
mod tests {
    use super::super::row::Kind;
    use super::*;
    use crate::config::Config;
    use proptest::prelude::*;

    fn set(row: &Row, words: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut config = Config::default();
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        row.parse(config.values_mut(), &words, false).map(|()| row.print(&config))
    }

    #[test]
    fn both_ends_of_a_range_fit_the_field() {
        for row in all() {
            let (low, high) = match row.kind {
                Kind::Number { min, max, .. } => (min.to_string(), max.to_string()),
                Kind::Memory { min, max, .. } => (min.to_string(), max.to_string()),
                _ => continue,
            };
            for end in [low, high] {
                assert_eq!(set(row, &[end.as_bytes()]), Ok(end.into_bytes()), "{}", row.name);
            }
        }
    }

    #[test]
    fn text_must_be_utf8_and_a_secret_need_not() {
        let row = |name| find(name).expect("it is in the tables");
        assert!(set(row("pidfile"), &[b"\xff"]).is_err());
        assert!(set(row("save"), &[b"\xff", b"1"]).is_err());
        assert_eq!(set(row("requirepass"), &[b"\xff"]), Ok(vec![0xff]));
    }

    proptest! {
        // Each case goes through all rows.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_words_are_taken_or_refused(
            words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 0..5)
        ) {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            for row in all().filter(|row| row.name != "dir") {
                // What is taken prints, and what is printed is taken and prints the same.
                if let Ok(printed) = set(row, &words) && !row.file_only && !row.takes_words() {
                    prop_assert_eq!(set(row, &[&printed]), Ok(printed), "{}", row.name);
                }
            }
        }
    }
}
