//! What a node says of slots that it moves by itself: entries of CLUSTER GETSLOTMIGRATIONS.

use std::time::Duration;

use super::super::wire::Reply;
use super::progress::Figures;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_export: bool,
    /// Ranges as the node writes them: `0-9 20-29`.
    pub(super) ranges: String,
    pub(super) target: Option<String>,
    pub(super) state: String,
    pub(super) message: String,
    pub(super) figures: Figures,
}

/// How an entry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Failed,
}

impl Entry {
    /// Reads an entry. `None`: it has no name.
    fn read(reply: &Reply) -> Option<Self> {
        let text = |key: &str| reply.get(key).and_then(Reply::text);
        let number = |key: &str| {
            let value = reply.get(key)?;
            value.integer().or_else(|| value.text()?.parse().ok())
        };
        let count = |key: &str| number(key).and_then(|number| u64::try_from(number).ok());
        let is_export = text("operation")?.eq_ignore_ascii_case("EXPORT");
        let figures = Figures {
            keys_total: count("keys_total").unwrap_or(0),
            keys_sent: count("keys_sent").unwrap_or(0),
            bytes_sent: count("bytes_sent").unwrap_or(0),
            bytes_per_second: count("rate_bytes_per_sec").unwrap_or(0),
            // Negative: unknown.
            left: count("eta_ms").map(Duration::from_millis),
            // Writes wait at the source; the other side knows nothing of it.
            pause: count("pause_us").filter(|_| is_export).map(Duration::from_micros),
        };
        Some(Self {
            name: text("name")?,
            is_export,
            ranges: text("slot_ranges").unwrap_or_default(),
            target: text("target_node"),
            state: text("state").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            figures,
        })
    }

    /// Reads all entries of a reply.
    pub(super) fn read_all(reply: &Reply) -> Vec<Self> {
        reply.elements().unwrap_or_default().iter().filter_map(Self::read).collect()
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        match self.state.as_str() {
            "success" => Some(End::Success),
            "failed" | "cancelled" => Some(End::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_either_protocol() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let pairs = vec![
            (bulk("name"), bulk("aa")),
            (bulk("operation"), bulk("EXPORT")),
            (bulk("slot_ranges"), bulk("0-9 20-29")),
            (bulk("target_node"), bulk("bb")),
            (bulk("state"), bulk("snapshotting")),
            (bulk("keys_total"), Reply::Integer(7)),
            (bulk("keys_sent"), Reply::Integer(3)),
            (bulk("eta_ms"), Reply::Integer(-1)),
        ];
        let flat = pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
        let [entries, others] = [Reply::Map(pairs), Reply::Array(flat)]
            .map(|entry| Entry::read_all(&Reply::Array(vec![entry])));
        assert_eq!(entries, others);
        let entry = &entries[0];
        assert!(entry.is_export && entry.end().is_none());
        assert_eq!((entry.ranges.as_str(), entry.target.as_deref()), ("0-9 20-29", Some("bb")));
        assert_eq!((entry.figures.keys_total, entry.figures.left), (7, None));
    }

    #[test]
    fn pause_is_known_to_the_side_that_gives() {
        let pause = |operation: &str| {
            let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
            let words = ["name", "a", "operation", operation, "pause_us", "0"];
            Entry::read(&Reply::Array(words.map(bulk).to_vec())).unwrap().figures.pause
        };
        assert_eq!([pause("EXPORT"), pause("IMPORT")], [Some(Duration::ZERO), None]);
    }

    #[test]
    fn three_states_are_ends() {
        let end = |state: &str| {
            let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
            let words = ["name", "a", "operation", "IMPORT", "state", state];
            Entry::read(&Reply::Array(words.map(bulk).to_vec())).unwrap().end()
        };
        assert_eq!(end("success"), Some(End::Success));
        assert_eq!([end("failed"), end("cancelled")], [Some(End::Failed); 2]);
        assert_eq!(end("replicating"), None);
    }
}
