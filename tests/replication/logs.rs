//! The streams in two logs, compared byte by byte.

use std::path::Path;
use std::sync::Arc;

use highwater_persistence::log::{Entries, EntryKind, LogNames, LogOffset};
use highwater_persistence::recovery::{self, Options, StepKind};
use highwater_persistence::storage::{RealStorage, Storage};

use crate::node::Node;

/// The stream bytes that the files of a log hold.
pub(crate) struct LogStream {
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

impl LogStream {
    /// Reads the files in a node's folder; annotations, comments and local commands are left out.
    pub(crate) fn read(folder: &Path) -> LogStream {
        let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder));
        let names = LogNames::new("appendonlydir", "appendonly.aof");
        let options = Options { names, load_truncated: true, keep_history: true, retain: 0 };
        let plan = recovery::plan(&storage, &options).expect("the log is whole");
        let mut stream: Option<LogStream> = None;
        for step in plan.steps.iter().filter(|step| step.kind != StepKind::Snapshot) {
            let contents = storage.read(&step.name).expect("it was planned with");
            let bytes = &contents[..usize::try_from(step.range.end).unwrap()];
            let mut entries = Entries::new(bytes, Some(step.start));
            let stream = stream.get_or_insert(LogStream { start: step.start.0, bytes: Vec::new() });
            assert_eq!(step.start, LogOffset(stream.end()), "{} joins", step.name);
            while let Some(entry) = entries.next() {
                let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", step.name));
                if let EntryKind::Command { local: false, .. } = entry.kind {
                    assert_eq!(entry.offset.0, stream.end(), "{}", step.name);
                    stream.bytes.extend_from_slice(&bytes[entry.position..][..entry.size]);
                }
            }
        }
        stream.expect("a log has a file that is appended to")
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Compares what both logs hold, from the later start to the earlier end. Returns how many bytes that are.
pub(crate) fn compare(left: &Node, right: &Node) -> u64 {
    let streams = [left, right].map(|node| LogStream::read(node.path()));
    let start = streams[0].start.max(streams[1].start);
    let end = streams[0].end().min(streams[1].end());
    assert!(start <= end, "the logs have nothing in common");
    let common = streams.each_ref().map(|stream| {
        let place = |offset: u64| usize::try_from(offset - stream.start).unwrap();
        &stream.bytes[place(start)..place(end)]
    });
    let differs = common[0].iter().zip(common[1]).position(|(left, right)| left != right);
    if let Some(at) = differs {
        let around = |bytes: &[u8]| {
            let cut = at.saturating_sub(60)..(at + 60).min(bytes.len());
            bytes[cut].escape_ascii().to_string()
        };
        let (left, right) = (around(common[0]), around(common[1]));
        panic!("the logs differ at offset {}:\n{left}\n{right}", start + at as u64);
    }
    end - start
}
