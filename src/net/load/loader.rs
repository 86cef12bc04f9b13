//! Loading files into a node that serves nobody.

use std::sync::Arc;

use highwater_persistence::log::LogWriter;
use highwater_persistence::recovery::{Step, StepKind};
use highwater_persistence::storage::Storage;

use super::{Loaded, crew, empty_keyspace, new_id, parallel, snapshot};
use crate::clock::{self, Time};
use crate::config::Config;
use crate::keyspace::{HashKey, Keyspace};
use crate::net::shared::Shared;
use crate::node::Node;
use crate::node::replay::Replay;
use crate::state::run::Run;
use crate::state::stream::Stream;

/// Entries between two reports of progress.
const REPORT_ENTRIES: u64 = 65_536;

/// Loads files into a node that serves nobody.
pub(super) struct Loader<'a> {
    pub(super) replay: Replay,
    pub(super) hash_key: HashKey,
    /// Expired keys are kept: the log says when they go. Otherwise they are dropped.
    pub(super) keeps_expired: bool,
    pub(super) now_ms: u64,
    pub(super) progress: Progress<'a>,
    pub(super) keys: u64,
    pub(super) expired: u64,
}

impl<'a> Loader<'a> {
    pub(super) fn new(shared: &'a Shared, config: &Config, keeps_expired: bool) -> Self {
        let time = clock::now();
        let keyspace = empty_keyspace(config);
        let hash_key = keyspace.hash_key();
        let run = Run { first_replication_id: new_id().to_string(), ..Run::default() };
        let node = Node::new(config.clone(), keyspace, run, time);
        Self {
            replay: Replay::new(node, time),
            hash_key,
            keeps_expired,
            now_ms: time.unix_ms(),
            progress: Progress { shared, done_bytes: 0, entries: 0, reported_percent: 0 },
            keys: 0,
            expired: 0,
        }
    }

    pub(super) fn step(&mut self, storage: &Arc<dyn Storage>, step: &Step) -> Result<(), String> {
        let contents = storage.read(&step.name).map_err(|error| error.to_string())?;
        let (start, end) = (narrow(step.range.start), narrow(step.range.end));
        let bytes = contents.get(..end).ok_or("the file has become shorter")?;
        let mut at = start;
        if step.kind == StepKind::Snapshot {
            let read = self.snapshot(&bytes[start..]).map_err(|error| {
                format!(
                    "{error}. The snapshot cannot be used, and nothing was changed. 'highwater check rdb FILE' looks \
                     into it; restore it from a copy"
                )
            })?;
            at = start + narrow(read);
        }
        if at < end {
            let progress = &mut self.progress;
            let plan = parallel::Plan::new(end - at);
            plan.play(&mut self.replay, bytes, at, |position| progress.count(position))?;
        }
        self.progress.done_bytes += step.range.end - step.range.start;
        Ok(())
    }

    /// Loads a snapshot; returns its length in bytes.
    pub(super) fn snapshot(&mut self, bytes: &[u8]) -> Result<u64, String> {
        let workers = crew::workers_for(bytes.len());
        let plan =
            snapshot::Plan { workers, now_ms: self.now_ms, keeps_expired: self.keeps_expired };
        let progress = &mut self.progress;
        let state = &mut self.replay.node().state;
        let held = plan.load(&mut state.keyspace, bytes, |position| progress.count(position))?;
        state.functions.extend(held.functions);
        let now = Time { unix_us: self.now_ms * 1000, mono_us: clock::mono_us() };
        for note in &held.notes {
            state.migrations.hear(note, now);
        }
        self.keys += held.counts.stored;
        self.expired += held.counts.expired;
        Ok(held.size)
    }

    pub(super) fn finish(
        self,
        stream: Stream,
        writer: Option<LogWriter>,
    ) -> Result<Loaded, String> {
        let (failed, error) = &self.replay.failed;
        if let Some(error) = error {
            tracing::warn!(
                "{failed} commands of the log answered an error, the last: {}",
                error.text()
            );
        }
        let (keys, expired) = (self.keys, self.expired);
        let mut node = self.replay.finish();
        let databases = node.state.config.databases;
        let keyspace =
            std::mem::replace(&mut node.state.keyspace, Keyspace::new(databases, self.hash_key, 0));
        let beside = node.state.beside();
        Ok(Loaded { keyspace, beside, stream, writer, keys, expired })
    }
}

/// How far loading has come.
pub(super) struct Progress<'a> {
    shared: &'a Shared,
    /// Bytes of the steps before.
    done_bytes: u64,
    entries: u64,
    reported_percent: u64,
}

impl Progress<'_> {
    /// Counts an entry and reports progress every now and then; `at` is a position in the file being loaded.
    #[inline]
    pub(super) fn count(&mut self, at: u64) {
        self.entries += 1;
        if self.entries.is_multiple_of(REPORT_ENTRIES) {
            self.report(at);
        }
    }

    fn report(&mut self, at: u64) {
        let mut node = self.shared.node.lock();
        let Some(loading) = &mut node.state.persistence.loading else { return };
        loading.loaded_bytes = (self.done_bytes + at).min(loading.total_bytes);
        let percent = loading.loaded_bytes * 100 / loading.total_bytes.max(1);
        drop(node);
        if percent >= self.reported_percent + 10 {
            self.reported_percent = percent;
            tracing::info!("Loading: {percent}% done");
        }
    }
}

fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).expect("this machine has 64 bits")
}
