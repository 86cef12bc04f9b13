//! The committer: takes what the node has logged, appends it, and releases the replies that wait for it.
//!
//! ```text
//!   node.stream.pending --take--> queue --append--> file --sync--> disk
//!                                          |written        |durable
//!                               everysec, no: released   always: released
//! ```
//!
//! Whoever finds bytes pending may commit: at the end of its turn an I/O thread does so itself, which costs no switch of
//! threads. It leaves the work to the commit thread when that could make it wait: under `always`, while a sync runs,
//! after an append that was slow, and after a failure. One lock makes them take turns; the node's lock is taken inside
//! it, for a swap of buffers only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use highwater_persistence::log::{
    Lineage, LogOffset, LogWriter, Prepared, ReplicationId, Rewrite, SyncHandle,
};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::shared::Shared;
use crate::clock::mono_us;
use crate::config::choices::AppendFsync;
use crate::state::stream::select_command;

/// An append that takes longer than this sends the following ones to the commit thread.
const SLOW_APPEND_US: u64 = 2_000;

/// For so long.
const SLOW_APPEND_REST_US: u64 = 1_000_000;

/// A sync that is late by this much counts as delayed.
const DELAYED_SYNC_US: u64 = 2_000_000;

/// Time between tries after a failed append.
const RETRY: Duration = Duration::from_secs(1);

/// Something to be done to the file, in order.
#[derive(Debug)]
enum Step {
    /// Append whole units that end at `end`.
    Append { bytes: Vec<u8>, end: u64 },
    /// Go on in the prepared file; `db` is selected in the stream there.
    Switch { offset: u64, db: Option<u32> },
}

/// What only the one who commits touches.
#[derive(Debug, Default)]
struct Inner {
    writer: Option<LogWriter>,
    queue: VecDeque<Step>,
    /// A buffer to swap with the node's.
    spare: Vec<u8>,
    /// The file that the next switch goes to.
    prepared: Option<Prepared>,
    /// The second half of a rewrite whose switch has been made.
    switched: Option<Rewrite>,
    /// Why the last append failed.
    failed: Option<String>,
    /// A sync failed: nothing counts as durable before a rewrite has finished.
    sync_failed: bool,
    /// Offset of the last idle mark.
    marked: u64,
}

/// Appends, syncs, releases.
#[derive(Debug)]
pub(super) struct Committer {
    inner: Mutex<Inner>,
    /// Somebody found the lock taken and has bytes pending.
    again: AtomicBool,
    /// Replies that wait for an offset up to here may leave.
    released: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    policy: AtomicU64,
    syncing: AtomicBool,
    slow_until_us: AtomicU64,
    failing: AtomicBool,
    /// The log is on, and acknowledgements wait for it.
    on: AtomicBool,
    kicked: Mutex<bool>,
    kick: Condvar,
    switch_done: Condvar,
    pub(super) delayed_syncs: AtomicU64,
}

impl Committer {
    /// A committer without a file: everything is released at once.
    pub(super) fn new(policy: AppendFsync) -> Self {
        let committer = Self {
            inner: Mutex::new(Inner::default()),
            again: AtomicBool::new(false),
            released: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            policy: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
            slow_until_us: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            on: AtomicBool::new(false),
            kicked: Mutex::new(false),
            kick: Condvar::new(),
            switch_done: Condvar::new(),
            delayed_syncs: AtomicU64::new(0),
        };
        committer.set_policy(policy);
        committer
    }

    /// Changes `appendfsync`.
    pub(super) fn set_policy(&self, policy: AppendFsync) {
        self.policy.store(policy as u64, Ordering::SeqCst);
    }

    #[inline]
    fn always(&self) -> bool {
        self.policy.load(Ordering::Relaxed) == AppendFsync::Always as u64
    }

    fn every_second(&self) -> bool {
        self.policy.load(Ordering::Relaxed) == AppendFsync::EverySec as u64
    }

    /// Offset up to which replies may leave.
    #[inline]
    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::SeqCst)
    }

    /// Offsets written and durable, for INFO.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.written.load(Ordering::SeqCst), self.durable.load(Ordering::SeqCst))
    }

    /// Sizes of the log and of what growth is measured against.
    pub(super) fn sizes(&self) -> Option<(u64, u64)> {
        let inner = self.inner.try_lock()?;
        let writer = inner.writer.as_ref()?;
        Some((writer.current_size(), writer.files().base_size()))
    }

    /// Starts to append with `writer`; everything before its end is durable. Acknowledgements wait from now on if
    /// `waits` says so.
    pub(super) fn open(&self, writer: LogWriter, waits: bool) {
        let mut inner = self.inner.lock();
        let end = writer.end().0;
        self.written.store(end, Ordering::SeqCst);
        self.durable.store(end, Ordering::SeqCst);
        *inner = Inner { writer: Some(writer), marked: end, ..Inner::default() };
        drop(inner);
        if waits {
            self.wait_from_now_on();
        }
    }

    /// Acknowledgements wait for the log from now on.
    pub(super) fn wait_from_now_on(&self) {
        self.on.store(true, Ordering::SeqCst);
        self.release();
    }

    /// Whether acknowledgements wait for the log.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Stops appending; everything is released. The last bytes are appended and synced as well as that goes.
    pub(super) fn close(&self, shared: &Shared) {
        self.commit(shared);
        let mut inner = self.inner.lock();
        if let Some(writer) = inner.writer.take()
            && let Err(error) = writer.sync_handle().sync_data()
        {
            tracing::warn!("Can't sync the log that is being switched off: {error}");
        }
        *inner = Inner::default();
        drop(inner);
        self.on.store(false, Ordering::SeqCst);
        self.failing.store(false, Ordering::SeqCst);
        self.released.store(u64::MAX, Ordering::SeqCst);
        shared.wake_all();
    }

    /// Called by an I/O thread at the end of its turn: commits at once, or has it done.
    pub(super) fn commit_turn(&self, shared: &Shared) {
        let must_not_wait = self.always()
            || self.syncing.load(Ordering::Relaxed)
            || self.failing.load(Ordering::Relaxed)
            || self.slow_until_us.load(Ordering::Relaxed) > 0
                && mono_us() < self.slow_until_us.load(Ordering::Relaxed);
        if must_not_wait {
            self.kick();
            return;
        }
        let started_us = mono_us();
        self.commit(shared);
        // What was appended may be another thread's, which found the lock taken and waits.
        shared.wake_all();
        let ended_us = mono_us();
        if ended_us - started_us > SLOW_APPEND_US {
            self.slow_until_us.store(ended_us + SLOW_APPEND_REST_US, Ordering::Relaxed);
        }
    }

    /// Has pending bytes appended for which nobody waits.
    pub(super) fn kick_if_pending(&self, shared: &Shared) {
        if !shared.node.lock().state.stream.pending.is_empty() {
            self.kick();
        }
    }

    /// Appends and syncs all that is pending, however long that takes.
    pub(super) fn drain(&self, shared: &Shared) {
        self.commit(shared);
        self.sync(shared);
    }

    /// Wakes the commit thread.
    pub(super) fn kick(&self) {
        let mut kicked = self.kicked.lock();
        if !*kicked {
            *kicked = true;
            self.kick.notify_one();
        }
    }

    /// Appends all that is pending, unless somebody else is at it and will.
    fn commit(&self, shared: &Shared) {
        loop {
            match self.inner.try_lock() {
                Some(inner) => self.commit_with(inner, shared),
                None => {
                    // Whoever holds the lock looks at the flag after letting go; look again in case it just did.
                    self.again.store(true, Ordering::SeqCst);
                    match self.inner.try_lock() {
                        Some(inner) => self.commit_with(inner, shared),
                        None => return,
                    }
                }
            }
            if !self.again.swap(false, Ordering::SeqCst) {
                return;
            }
        }
    }

    fn commit_with(&self, mut inner: MutexGuard<'_, Inner>, shared: &Shared) {
        self.take(&mut inner, shared);
        let before = inner.failed.is_some();
        let result = self.carry_out(&mut inner, shared);
        inner.failed = result.err();
        let failed = inner.failed.clone();
        let after = failed.is_some();
        self.failing.store(after || inner.sync_failed, Ordering::SeqCst);
        drop(inner);
        if before != after {
            self.tell_node(shared, failed);
        }
        self.release();
    }

    /// Takes the node's pending bytes.
    fn take(&self, inner: &mut Inner, shared: &Shared) {
        if inner.writer.is_none() {
            return;
        }
        let mut bytes = std::mem::take(&mut inner.spare);
        let (cut, end) = {
            let mut node = shared.node.lock();
            let stream = &mut node.state.stream;
            std::mem::swap(&mut stream.pending, &mut bytes);
            (stream.cut.take(), stream.end)
        };
        let Some(cut) = cut else {
            if bytes.is_empty() {
                inner.spare = bytes;
            } else {
                inner.queue.push_back(Step::Append { bytes, end });
            }
            return;
        };
        let behind = bytes.split_off(cut.at);
        if !bytes.is_empty() {
            inner.queue.push_back(Step::Append { bytes, end: cut.offset });
        }
        inner.queue.push_back(Step::Switch { offset: cut.offset, db: cut.db });
        if !behind.is_empty() {
            inner.queue.push_back(Step::Append { bytes: behind, end });
        }
    }

    /// Does the steps in the queue; the one that fails stays at its front.
    fn carry_out(&self, inner: &mut Inner, shared: &Shared) -> Result<(), String> {
        let durable = LogOffset(self.durable.load(Ordering::SeqCst));
        while let Some(step) = inner.queue.front_mut() {
            let Some(writer) = &mut inner.writer else { return Ok(()) };
            match step {
                Step::Append { bytes, end } => {
                    writer
                        .append(bytes, LogOffset(*end), durable)
                        .map_err(|error| error.to_string())?;
                    self.written.store(*end, Ordering::SeqCst);
                }
                Step::Switch { offset, db } => {
                    let prepared = inner.prepared.take().ok_or("no file was prepared")?;
                    let local = db.map(select_command).unwrap_or_default();
                    let lineage = writer.lineage();
                    let switched = writer
                        .switch(prepared, lineage, LogOffset(*offset), &local)
                        .map_err(|error| error.to_string())?;
                    inner.switched = Some(switched.rewrite);
                    self.switch_done.notify_all();
                }
            }
            if let Some(Step::Append { mut bytes, .. }) = inner.queue.pop_front() {
                bytes.clear();
                bytes.shrink_to(shared.buffer_kept);
                inner.spare = bytes;
            }
        }
        Ok(())
    }

    /// Tells the node whether the log can be appended to.
    fn tell_node(&self, shared: &Shared, failed: Option<String>) {
        match &failed {
            Some(reason) => tracing::warn!("Error writing to the AOF file: {reason}"),
            None => tracing::warn!("AOF write error looks solved, the log is written again."),
        }
        let sync_failed = self.inner.lock().sync_failed;
        let mut node = shared.node.lock();
        if failed.is_some() || !sync_failed {
            node.state.persistence.log_error = failed;
        }
    }

    /// Recomputes what may leave.
    fn release(&self) {
        // Several threads may be here at once. Whoever stores last looks once more, so that an older offset than another
        // thread's does not stay.
        let mut offset = self.releasable();
        loop {
            self.released.store(offset, Ordering::SeqCst);
            let now = self.releasable();
            if now == offset {
                return;
            }
            offset = now;
        }
    }

    /// What the policy of this moment lets go.
    fn releasable(&self) -> u64 {
        if !self.on.load(Ordering::SeqCst) {
            return u64::MAX;
        }
        let offset = if self.always() { &self.durable } else { &self.written };
        offset.load(Ordering::SeqCst)
    }
}

/// Rewrites.
impl Committer {
    /// The files of the log, where it is on.
    pub(super) fn files(&self) -> Option<Arc<highwater_persistence::log::LogFiles>> {
        self.inner.lock().writer.as_ref().map(|writer| Arc::clone(writer.files()))
    }

    /// Offers the file that the next cut of the stream switches to.
    pub(super) fn offer(&self, prepared: Prepared) {
        self.inner.lock().prepared = Some(prepared);
    }

    /// Waits until the switch has been made, and gives the rest of the rewrite.
    pub(super) fn wait_for_switch(&self, shared: &Shared) -> Option<Rewrite> {
        self.kick();
        let mut inner = self.inner.lock();
        while inner.switched.is_none() {
            inner.writer.as_ref()?;
            if shared.is_stopping() {
                return None;
            }
            self.switch_done.wait_for(&mut inner, Duration::from_millis(100));
        }
        inner.switched.take()
    }

    /// Size of the file being appended to, for the end of a rewrite.
    pub(super) fn file_size(&self) -> u64 {
        self.inner.lock().writer.as_ref().map_or(0, LogWriter::file_size)
    }

    /// A rewrite has put everything into new files: what a failed sync lost no longer matters.
    pub(super) fn rewrite_finished(&self, shared: &Shared) {
        let mut inner = self.inner.lock();
        if !std::mem::take(&mut inner.sync_failed) {
            return;
        }
        let failed = inner.failed.clone();
        drop(inner);
        self.failing.store(failed.is_some(), Ordering::SeqCst);
        tracing::warn!("The log is whole again: everything is in newly synced files.");
        shared.node.lock().state.persistence.log_error = failed;
        self.kick();
    }
}

/// The commit thread and the sync thread.
impl Committer {
    /// Commits when asked to, and syncs after that under `always`. Runs until the process stops.
    pub(super) fn commit_thread(&self, shared: &Shared) {
        loop {
            {
                let mut kicked = self.kicked.lock();
                while !*kicked {
                    // A failed append is tried again by itself.
                    let waited = self.kick.wait_for(&mut kicked, RETRY);
                    if waited.timed_out() && self.failing.load(Ordering::SeqCst) {
                        break;
                    }
                }
                *kicked = false;
            }
            self.commit(shared);
            if self.always()
                && self.written.load(Ordering::SeqCst) > self.durable.load(Ordering::SeqCst)
            {
                self.sync(shared);
            }
            shared.wake_all();
        }
    }

    /// Syncs once a second under `everysec`. Runs until the process stops.
    pub(super) fn sync_thread(&self, shared: &Shared) {
        let mut due_us = mono_us();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now_us = mono_us();
            if now_us < due_us + 1_000_000 {
                continue;
            }
            let behind = self.written.load(Ordering::SeqCst) > self.durable.load(Ordering::SeqCst);
            if behind && self.every_second() && !shared.rewrite_suspends_syncs() {
                self.sync(shared);
                if mono_us() - now_us > DELAYED_SYNC_US {
                    self.delayed_syncs.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!("Asynchronous AOF fsync is taking too long (disk is busy?).");
                }
            } else if !behind {
                self.mark_idle();
            }
            due_us = now_us;
        }
    }

    /// Syncs what is written, outside of all locks.
    fn sync(&self, shared: &Shared) {
        let (handle, end) = {
            let inner = self.inner.lock();
            if inner.sync_failed {
                return;
            }
            let Some(writer) = &inner.writer else { return };
            (writer.sync_handle(), writer.end().0)
        };
        self.syncing.store(true, Ordering::SeqCst);
        let result = SyncHandle::sync_data(&handle);
        self.syncing.store(false, Ordering::SeqCst);
        match result {
            Ok(()) => {
                self.durable.fetch_max(end, Ordering::SeqCst);
                self.release();
            }
            Err(error) => self.sync_has_failed(shared, &error),
        }
    }

    #[cold]
    fn sync_has_failed(&self, shared: &Shared, error: &std::io::Error) {
        self.inner.lock().sync_failed = true;
        self.failing.store(true, Ordering::SeqCst);
        let reason = format!("fsync: {error}");
        tracing::error!(
            "The AOF file can't be synced: {error}. What was written since the last sync may be lost although later syncs succeed, so writes are refused until BGREWRITEAOF has put everything into new files."
        );
        let mut node = shared.node.lock();
        node.state.persistence.log_error = Some(reason);
        node.state.request_rewrite();
    }

    /// Puts the last sync on record once the log is idle.
    fn mark_idle(&self) {
        let durable = self.durable.load(Ordering::SeqCst);
        let mut inner = self.inner.lock();
        if inner.marked == durable || !inner.queue.is_empty() || inner.sync_failed {
            return;
        }
        let Some(writer) = &mut inner.writer else { return };
        if writer.end().0 != durable {
            return;
        }
        match writer.mark(LogOffset(durable), false) {
            Ok(()) => inner.marked = durable,
            // The next append reports what is wrong with the disk.
            Err(error) => tracing::debug!("no idle mark: {error}"),
        }
    }

    /// The end of an orderly stop: everything appended and synced, and said so. Nothing is appended after that; the
    /// caller sees to it that the node executes nothing more.
    ///
    /// # Errors
    /// What could not be written or synced.
    pub(super) fn finish(&self, shared: &Shared) -> Result<(), String> {
        let mut inner = self.inner.lock();
        self.take(&mut inner, shared);
        let carried_out = self.carry_out(&mut inner, shared);
        let sync_failed = inner.sync_failed;
        let Some(mut writer) = inner.writer.take() else { return Ok(()) };
        carried_out?;
        if sync_failed {
            return Err("a sync failed before".to_owned());
        }
        let end = writer.end();
        let handle = writer.sync_handle();
        handle.sync_data().map_err(|error| error.to_string())?;
        writer.mark(end, true).map_err(|error| error.to_string())?;
        handle.sync_data().map_err(|error| error.to_string())?;
        self.durable.fetch_max(end.0, Ordering::SeqCst);
        self.release();
        shared.wake_all();
        Ok(())
    }
}

/// The lineage of a stream in the log's terms.
///
/// # Panics
/// If an id is not 40 hex digits: they are made by this node or were checked when read.
pub(super) fn lineage(id: &str, former: Option<&(String, u64)>) -> Lineage {
    let parse = |id: &str| id.parse::<ReplicationId>().expect("ids were checked when they came in");
    match former {
        None => Lineage::new(parse(id)),
        Some((former, offset)) => {
            Lineage { id: parse(id), id2: parse(former), off2: LogOffset(*offset) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_releases_what_is_synced_and_the_others_what_is_written() {
        let committer = Committer::new(AppendFsync::Always);
        assert_eq!(committer.released(), u64::MAX, "without a log nobody waits");
        committer.written.store(20, Ordering::SeqCst);
        committer.durable.store(10, Ordering::SeqCst);
        committer.wait_from_now_on();
        assert_eq!(committer.released(), 10);
        for policy in [AppendFsync::EverySec, AppendFsync::No] {
            committer.set_policy(policy);
            committer.release();
            assert_eq!(committer.released(), 20, "{policy:?}");
        }
        committer.set_policy(AppendFsync::Always);
        committer.release();
        assert_eq!(committer.released(), 10, "never more than the policy of now promises");
    }
}
