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

use highwater_persistence::log::room::ROOM_BYTES;
use highwater_persistence::log::{
    Lineage, LogFiles, LogOffset, LogWriter, Prepared, ReplicationId, Rewrite, SyncHandle,
};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::release::Progress;
use super::shared::Shared;
use crate::clock::mono_us;
use crate::config::Config;
use crate::config::choices::AppendFsync;
use crate::node::Node;
use crate::state::stream::{Stream, select_command};

/// An append that takes longer than this sends the following ones to the commit thread.
const SLOW_APPEND_US: u64 = 2_000;

/// For so long.
const SLOW_APPEND_REST_US: u64 = 1_000_000;

/// A sync that is late by this much counts as delayed.
const DELAYED_SYNC_US: u64 = 2_000_000;

/// Time between tries after a failed append.
const RETRY: Duration = Duration::from_micros(RETRY_US);
const RETRY_US: u64 = 1_000_000;

/// Time between two looks of a rewrite for the switch to its file.
const SWITCH_POLL: Duration = Duration::from_millis(1);

/// Something to be done to the file, in order.
#[derive(Debug)]
enum Step {
    /// Append whole units that end at `end`; `comments` (start and length) are no part of the stream.
    Append { bytes: Vec<u8>, comments: Vec<(usize, usize)>, end: u64 },
    /// The bytes that follow have other ids.
    NewId(Lineage),
    /// Go on in the prepared file; `db` is selected in the stream there.
    Switch { offset: u64, db: Option<u32> },
}

/// What only the one who commits touches.
#[derive(Debug, Default)]
struct Inner {
    writer: Option<LogWriter>,
    /// How often the log has been opened or closed: what a sync reports may concern a log that is no longer open.
    generation: u64,
    queue: VecDeque<Step>,
    /// A buffer to swap with the node's.
    spare: Vec<u8>,
    /// The file that the next switch goes to.
    prepared: Option<Prepared>,
    /// The second half of a rewrite whose switch has been made.
    switched: Option<Rewrite>,
    /// Why the last append failed.
    failed: Option<String>,
    /// It is not tried again before then, however often somebody asks.
    retry_due_us: u64,
    /// Why a sync failed: nothing counts as durable before a rewrite has finished.
    sync_failed: Option<String>,
    /// Offset of the last idle mark.
    marked: u64,
    /// A log is about to be opened that begins with what is pending.
    held: bool,
    /// The last byte has been appended, and said to be the last: none may reach replicas after it.
    ended: bool,
}

impl Inner {
    /// Nothing is open.
    fn closed(generation: u64) -> Self {
        Self { generation, ..Self::default() }
    }
}

/// Appends, syncs, releases.
#[derive(Debug)]
pub(super) struct Committer {
    inner: Mutex<Inner>,
    /// Somebody found the lock taken and has bytes pending. Whoever lets the lock go looks at this afterwards.
    again: AtomicBool,
    progress: Progress,
    /// The files of the open log; not behind `inner`, which is held while an append hangs.
    files: Mutex<Option<Arc<LogFiles>>>,
    syncing: AtomicBool,
    slow_until_us: AtomicU64,
    failing: AtomicBool,
    kicked: Mutex<bool>,
    kick: Condvar,
    pub(super) delayed_syncs: AtomicU64,
    /// Longest append, and longest sync under `always`, since the driver last asked, in microseconds.
    longest_us: [AtomicU64; 2],
}

impl Committer {
    /// A committer without a file: everything is released at once.
    pub(super) fn new(policy: AppendFsync) -> Self {
        Self {
            inner: Mutex::new(Inner::default()),
            again: AtomicBool::new(false),
            progress: Progress::new(policy),
            files: Mutex::new(None),
            syncing: AtomicBool::new(false),
            slow_until_us: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            kicked: Mutex::new(false),
            kick: Condvar::new(),
            delayed_syncs: AtomicU64::new(0),
            longest_us: Default::default(),
        }
    }

    /// Changes `appendfsync`.
    pub(super) fn set_policy(&self, shared: &Shared, policy: AppendFsync) {
        self.progress.set_policy(policy);
        shared.wake_all();
        // What has been written and waits for a sync from now on gets it.
        self.kick();
    }

    /// Offset up to which replies may leave.
    #[inline]
    pub(super) fn released(&self) -> u64 {
        self.progress.released()
    }

    /// Offsets written and durable, for INFO. Nothing is durable while no log is in force.
    pub(super) fn progress(&self) -> (u64, u64) {
        let durable = if self.is_on() { self.progress.durable() } else { 0 };
        (self.progress.written(), durable)
    }

    /// Looks at what is inside the lock, for a moment. Who came to commit meanwhile has gone again, so the commit thread
    /// is sent.
    fn inside<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        let result = look(&mut self.inner.lock());
        self.look_again();
        result
    }

    /// The longest append and the longest sync under `always` since the last call, in microseconds.
    pub(super) fn take_longest_us(&self) -> [u64; 2] {
        self.longest_us.each_ref().map(|longest| longest.swap(0, Ordering::Relaxed))
    }

    /// After the lock was held for something else than a commit.
    fn look_again(&self) {
        if self.again.load(Ordering::SeqCst) {
            self.kick();
        }
    }

    /// Sizes of the log and of what growth is measured against. Nothing where that would have to be waited for: an I/O
    /// thread asks, and an append may hang with the disk.
    pub(super) fn sizes(&self) -> Option<(u64, u64)> {
        let inner = self.inner.try_lock()?;
        let writer = inner.writer.as_ref();
        let sizes = writer.map(|writer| (writer.current_size(), writer.files().base_size()));
        drop(inner);
        self.look_again();
        sizes
    }

    /// Starts to append with `writer`; everything before its end is durable. Acknowledgements wait from now on if
    /// `waits` says so.
    pub(super) fn open(&self, shared: &Shared, writer: LogWriter, waits: bool) {
        self.inside(|inner| {
            let end = writer.end().0;
            *self.files.lock() = Some(Arc::clone(writer.files()));
            self.progress.start_at(end);
            let generation = inner.generation + 1;
            *inner = Inner { writer: Some(writer), marked: end, ..Inner::closed(generation) };
        });
        if waits {
            self.wait_from_now_on(shared);
        }
    }

    /// Has `begin` decide where a log that is opened later begins. What came before goes to replicas; what follows waits
    /// until the log is open, or [`Committer::close`] says that it will not be.
    pub(super) fn hold<T>(
        &self,
        shared: &Shared,
        begin: impl FnOnce(&mut Node) -> Option<T>,
    ) -> Option<T> {
        self.inside(|inner| {
            let mut node = shared.node.lock();
            self.take_from(inner, &mut node, shared);
            let begun = begin(&mut node);
            drop(node);
            inner.held = begun.is_some();
            self.carry_out_and_tell(inner, shared);
            begun
        })
    }

    /// Whether what is pending still waits for a log to be opened.
    pub(super) fn is_holding(&self) -> bool {
        self.inside(|inner| inner.held)
    }

    /// The node's stream is another from here on, which goes on at `end`, in the files of `writer` where there is a log.
    /// What was on its way to the old files reaches nobody any more.
    pub(super) fn begin_history(
        &self,
        shared: &Shared,
        writer: Option<LogWriter>,
        end: u64,
        limits: (u64, u64),
    ) {
        let logs = writer.is_some();
        self.inside(|inner| {
            *self.files.lock() = writer.as_ref().map(|writer| Arc::clone(writer.files()));
            self.progress.start_at(end);
            let generation = inner.generation + 1;
            *inner = Inner { writer, marked: end, ..Inner::closed(generation) };
            // Kept also where nobody follows yet: the node may be promoted.
            shared.relay.start(end, limits);
            self.tell_node(inner, shared);
        });
        self.progress.set_on(logs);
        shared.wake_all();
    }

    /// Acknowledgements wait for the log from now on. False: it has been closed since.
    pub(super) fn wait_from_now_on(&self, shared: &Shared) -> bool {
        let is_open = self.inside(|inner| {
            let is_open = inner.writer.is_some();
            self.progress.set_on(is_open);
            is_open
        });
        shared.wake_all();
        is_open
    }

    /// Whether acknowledgements wait for the log.
    pub(super) fn is_on(&self) -> bool {
        self.progress.is_on()
    }

    /// Stops appending; everything is released. The last bytes are appended and synced as well as that goes.
    pub(super) fn close(&self, shared: &Shared) {
        self.inside(|inner| {
            inner.retry_due_us = 0;
            self.take(inner, shared);
            if let Err(error) = self.carry_out(inner, shared) {
                tracing::warn!("The end of the log that is being switched off is missing: {error}");
            }
            if let Some(mut writer) = inner.writer.take() {
                let cut = writer.drop_room().map_err(|error| error.to_string());
                let synced =
                    cut.and_then(|()| writer.sync_handle().sync_data().map_err(|e| e.to_string()));
                if let Err(error) = synced {
                    tracing::warn!("Can't sync the log that is being switched off: {error}");
                }
            }
            // What the log could not take goes to replicas all the same: it counts as written from here on.
            if let Err(error) = self.carry_out(inner, shared) {
                tracing::warn!("Replicas miss the end of the log: {error}");
            }
            *self.files.lock() = None;
            *inner = Inner::closed(inner.generation + 1);
            self.tell_node(inner, shared);
        });
        self.progress.set_on(false);
        shared.wake_all();
    }

    /// Whether a reply to a write waits for a sync (`always`).
    #[inline]
    pub(super) fn replies_wait_for_syncs(&self) -> bool {
        self.is_on() && self.progress.is_always()
    }

    /// Called by an I/O thread at the end of its turn: commits at once, or has it done.
    pub(super) fn commit_turn(&self, shared: &Shared) {
        let must_not_wait = self.progress.is_always()
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
        let ended_us = mono_us();
        if ended_us - started_us > SLOW_APPEND_US {
            self.slow_until_us.store(ended_us + SLOW_APPEND_REST_US, Ordering::Relaxed);
        }
        if self.progress.is_always() {
            // The policy has changed meanwhile, and these bytes may have missed the sync that the change asked for.
            self.kick();
        }
    }

    /// Has pending bytes appended for which nobody waits.
    pub(super) fn kick_if_pending(&self, shared: &Shared) {
        if !shared.node.lock().state.stream.pending.is_empty() {
            self.kick();
        }
    }

    /// Appends and syncs all that is pending, however long that takes. The caller sees to it that nothing is added.
    ///
    /// # Errors
    /// Why the file does not hold everything.
    pub(super) fn drain(&self, shared: &Shared) -> Result<(), String> {
        self.inside(|inner| {
            inner.retry_due_us = 0;
            self.take(inner, shared);
            self.carry_out_and_tell(inner, shared);
            inner.failed.clone().map_or(Ok(()), Err)
        })?;
        self.release(shared);
        self.sync(shared);
        self.inside(|inner| inner.sync_failed.clone()).map_or(Ok(()), Err)
    }

    /// `no-appendfsync-on-rewrite`: syncs stop while a rewrite or a snapshot runs, and go on afterwards.
    pub(super) fn suspend_syncs(&self, shared: &Shared, suspend: bool) {
        self.progress.suspend_syncs(suspend);
        self.kick();
        shared.wake_all();
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
        self.carry_out_and_tell(&mut inner, shared);
        drop(inner);
        self.release(shared);
    }

    /// Does the steps in the queue and tells the node when that begins or ceases to fail.
    fn carry_out_and_tell(&self, inner: &mut Inner, shared: &Shared) {
        let before = inner.failed.is_some();
        if before && mono_us() < inner.retry_due_us {
            return;
        }
        let started_us = mono_us();
        inner.failed = self.carry_out(inner, shared).err();
        self.longest_us[0].fetch_max(mono_us() - started_us, Ordering::Relaxed);
        if let Some(reason) = &inner.failed {
            inner.retry_due_us = mono_us() + RETRY_US;
            if !before {
                tracing::warn!("Error writing to the AOF file: {reason}");
            }
        } else if before {
            tracing::warn!("AOF write error looks solved, the log is written again.");
        }
        if before != inner.failed.is_some() {
            self.tell_node(inner, shared);
        }
    }

    /// Takes the node's pending bytes.
    fn take(&self, inner: &mut Inner, shared: &Shared) {
        self.take_from(inner, &mut shared.node.lock(), shared);
    }

    fn take_from(&self, inner: &mut Inner, node: &mut Node, shared: &Shared) {
        if inner.writer.is_none() && (inner.held || inner.ended || !shared.relay.is_active()) {
            return;
        }
        let mut bytes = std::mem::take(&mut inner.spare);
        let stream = &mut node.state.stream;
        std::mem::swap(&mut stream.pending, &mut bytes);
        let (marks, comments, end) =
            (marks(stream), std::mem::take(&mut stream.comments), stream.end);
        if marks.is_empty() {
            if bytes.is_empty() {
                inner.spare = bytes;
            } else {
                inner.queue.push_back(Step::Append { bytes, comments, end });
            }
            return;
        }
        queue_with_marks(&mut inner.queue, (bytes, comments, end), marks);
    }

    /// Does the steps in the queue; the one that fails stays at its front.
    fn carry_out(&self, inner: &mut Inner, shared: &Shared) -> Result<(), String> {
        let durable = LogOffset(self.progress.durable());
        while let Some(step) = inner.queue.front_mut() {
            match (step, &mut inner.writer) {
                (Step::Append { bytes, comments, end }, writer) => {
                    if let Some(writer) = writer {
                        writer.make_room(if self.progress.is_always() { ROOM_BYTES } else { 0 });
                        writer
                            .append(bytes, LogOffset(*end), durable)
                            .map_err(|error| error.to_string())?;
                    }
                    self.progress.note_written(*end);
                    // Replicas get what the log has, never more.
                    shared.relay.feed(bytes, comments, *end);
                }
                (Step::NewId(lineage), writer) => {
                    if let Some(writer) = writer {
                        // One that could not be written waits in the writer: it is not to be said twice.
                        let is_said = writer.lineage() == *lineage;
                        let written = if is_said { writer.flush() } else { writer.head(*lineage) };
                        written.map_err(|error| error.to_string())?;
                    }
                    // Nobody who believes in the old id may get a byte of the new one's.
                    shared.relay.end_history();
                }
                (_, None) => {}
                (Step::Switch { offset, db }, Some(writer)) => {
                    // Puts the old file in order where it is not; so the switch cannot fail, which takes the new one.
                    let flushed = writer.flush().and_then(|()| writer.drop_room());
                    flushed.map_err(|error| error.to_string())?;
                    let prepared = inner.prepared.take().ok_or("no file was prepared")?;
                    let local = db.map(select_command).unwrap_or_default();
                    let lineage = writer.lineage();
                    let switched = writer
                        .switch(prepared, lineage, LogOffset(*offset), &local)
                        .map_err(|error| error.to_string())?;
                    inner.switched = Some(switched.rewrite);
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

    /// Tells the node what is wrong with the log, if anything. Inside the lock, so that what is told last is true.
    fn tell_node(&self, inner: &Inner, shared: &Shared) {
        let is_failing = inner.failed.is_some() || inner.sync_failed.is_some();
        self.failing.store(is_failing, Ordering::SeqCst);
        let mut node = shared.node.lock();
        let persistence = &mut node.state.persistence;
        persistence.log_error = inner.sync_failed.clone().or_else(|| inner.failed.clone());
        persistence.log_needs_rewrite = inner.sync_failed.is_some();
    }

    /// Recomputes what may leave, and wakes those who wait for it, on whichever thread they are.
    fn release(&self, shared: &Shared) {
        if self.progress.release() {
            shared.wake_all();
        }
    }
}

/// Something between two bytes of what is pending: where, and what is to be done there.
type MarkAt = (usize, u64, Step);

/// Where in the pending bytes something else than appending is to be done.
fn marks(stream: &mut Stream) -> Vec<MarkAt> {
    if stream.cut.is_none() && stream.new_ids.is_empty() {
        return Vec::new();
    }
    let mut marks: Vec<MarkAt> = Vec::new();
    for new in stream.new_ids.drain(..) {
        let lineage = lineage(&new.id, new.former.as_ref());
        marks.push((new.at, new.offset, Step::NewId(lineage)));
    }
    if let Some(cut) = stream.cut.take() {
        let switch = Step::Switch { offset: cut.offset, db: cut.db };
        marks.push((cut.at, cut.offset, switch));
    }
    marks.sort_by_key(|(at, ..)| *at);
    marks
}

/// Queues pending bytes in pieces, with what is to be done between them.
fn queue_with_marks(
    queue: &mut VecDeque<Step>,
    (mut bytes, mut comments, end): (Vec<u8>, Vec<(usize, usize)>, u64),
    marks: Vec<MarkAt>,
) {
    let mut taken = 0;
    for (at, offset, step) in marks {
        let behind = bytes.split_off(at - taken);
        let first_behind = comments.partition_point(|(start, _)| *start < at - taken);
        let mut comments_behind = comments.split_off(first_behind);
        comments_behind.iter_mut().for_each(|(start, _)| *start -= at - taken);
        if !bytes.is_empty() {
            queue.push_back(Step::Append { bytes, comments, end: offset });
        }
        queue.push_back(step);
        (bytes, comments, taken) = (behind, comments_behind, at);
    }
    if !bytes.is_empty() {
        queue.push_back(Step::Append { bytes, comments, end });
    }
}

/// Replicas.
impl Committer {
    /// Begins to keep the stream for replicas. With the log off that is what makes the node record it.
    pub(super) fn start_relay(&self, shared: &Shared) {
        self.inside(|inner| {
            if shared.relay.is_active() {
                return;
            }
            let mut node = shared.node.lock();
            let limits = relay_limits(&node.state.config);
            let is_replica = node.state.is_replica();
            let stream = &mut node.state.stream;
            let mut start = stream.end;
            if stream.recording {
                start = inner.writer.as_ref().map_or(start, |writer| writer.end().0);
            } else {
                stream.recording = true;
                if !is_replica {
                    // Who follows from here knows of no database. A replica cannot select in its primary's stream; its
                    // own followers are told the database with the snapshot.
                    stream.db = None;
                }
            }
            shared.relay.start(start, limits);
        });
    }

    /// Appends and hands on what is pending, unless another thread is at it.
    pub(super) fn settle(&self, shared: &Shared) {
        self.inside(|inner| {
            self.take(inner, shared);
            self.carry_out_and_tell(inner, shared);
        });
        self.release(shared);
    }

    /// Keeps nothing for replicas any more.
    pub(super) fn stop_relay(&self, shared: &Shared) {
        self.inside(|inner| {
            let mut node = shared.node.lock();
            if !node.state.replication.replicas.is_empty() {
                return;
            }
            if inner.writer.is_none() {
                node.state.stream.recording = false;
                node.state.stream.forget_pending();
            }
            shared.relay.stop();
            tracing::info!("Replication backlog freed: no replica has been connected for a while");
        });
    }
}

/// Bytes of the stream that are kept in any case, and for a replica that is slow.
pub(super) fn relay_limits(config: &Config) -> (u64, u64) {
    let least = config.repl_backlog_size;
    if config.appendonly {
        // What is older is read from the files of the log.
        return (least, least);
    }
    let hard = config.client_output_buffer_limit.replica.hard;
    let most = if hard == 0 { u64::MAX } else { hard };
    (least, most.max(least))
}

/// Rewrites.
impl Committer {
    /// The files of the log, where it is on.
    pub(super) fn files(&self) -> Option<Arc<LogFiles>> {
        self.files.lock().clone()
    }

    /// Offers the file that the next cut of the stream switches to.
    pub(super) fn offer(&self, prepared: Prepared) {
        self.inside(|inner| inner.prepared = Some(prepared));
    }

    /// Waits until the switch has been made, and gives the rest of the rewrite. Nothing: the log has been closed.
    pub(super) fn wait_for_switch(&self, shared: &Shared) -> Option<Rewrite> {
        self.kick();
        loop {
            let (switched, is_open) =
                self.inside(|inner| (inner.switched.take(), inner.writer.is_some()));
            if switched.is_some() || !is_open || shared.is_stopping() {
                return switched;
            }
            std::thread::sleep(SWITCH_POLL);
        }
    }

    /// Size of the file being appended to, for the end of a rewrite.
    pub(super) fn file_size(&self) -> u64 {
        self.inside(|inner| inner.writer.as_ref().map_or(0, LogWriter::file_size))
    }

    /// A rewrite has put everything into new files: what a failed sync lost no longer matters.
    pub(super) fn rewrite_finished(&self, shared: &Shared) {
        self.inside(|inner| {
            if inner.sync_failed.take().is_some() {
                tracing::warn!("The log is whole again: everything is in newly synced files.");
                self.tell_node(inner, shared);
            }
        });
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
            if self.progress.is_always() && self.progress.is_behind() {
                self.sync(shared);
            }
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
            let behind = self.progress.is_behind();
            if behind && self.progress.is_every_second() {
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
        let handle = self.inside(|inner| {
            let writer = inner.writer.as_ref().filter(|_| inner.sync_failed.is_none())?;
            Some((writer.sync_handle(), writer.end().0, inner.generation))
        });
        let Some((handle, end, generation)) = handle else { return };
        self.syncing.store(true, Ordering::SeqCst);
        let started_us = mono_us();
        let result = SyncHandle::sync_data(&handle);
        self.syncing.store(false, Ordering::SeqCst);
        if self.progress.is_always() {
            self.longest_us[1].fetch_max(mono_us() - started_us, Ordering::Relaxed);
        }
        match result {
            Ok(()) => {
                self.progress.note_durable(end);
                self.release(shared);
            }
            Err(error) => self.sync_has_failed(shared, generation, &error),
        }
    }

    /// The node asks for a rewrite once it hears of this, and again each minute until one has finished.
    #[cold]
    fn sync_has_failed(&self, shared: &Shared, generation: u64, error: &std::io::Error) {
        self.inside(|inner| {
            if inner.generation != generation {
                // That log is closed.
                return;
            }
            inner.sync_failed = Some(format!("fsync: {error}"));
            tracing::error!(
                "The AOF file can't be synced: {error}. What was written since the last sync may be lost although later syncs succeed, so writes are refused until BGREWRITEAOF has put everything into new files."
            );
            self.tell_node(inner, shared);
        });
    }

    /// Puts the last sync on record once the log is idle.
    fn mark_idle(&self) {
        let durable = self.progress.durable();
        self.inside(|inner| {
            if inner.marked == durable || !inner.queue.is_empty() || inner.sync_failed.is_some() {
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
        });
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
        let Some(mut writer) = inner.writer.take() else { return Ok(()) };
        inner.generation += 1;
        inner.ended = true;
        carried_out?;
        if let Some(reason) = inner.sync_failed.take() {
            return Err(reason);
        }
        let end = writer.end();
        let handle = writer.sync_handle();
        handle.sync_data().map_err(|error| error.to_string())?;
        // The history that a replica's log holds is its primary's: started as a primary, it must take an id of its own.
        writer.follow(shared.node.lock().state.is_replica());
        writer.mark(end, true).map_err(|error| error.to_string())?;
        handle.sync_data().map_err(|error| error.to_string())?;
        self.progress.note_durable(end.0);
        drop(inner);
        self.release(shared);
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
mod tests;
