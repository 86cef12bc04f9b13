//! Appending to the log.
//!
//! One [`LogWriter`] per node appends whole batches, each in one write, each closed by an annotation. It never syncs:
//! a [`SyncHandle`] taken from it does, from a thread that may wait. A failed append is cut back, so that the file
//! ends at a batch boundary whenever the next append begins, and the caller may offer the same batch again.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::annotation::{self, Annotation, Batch, Head, Mark};
use super::rewrite::{LogFiles, Prepared, Rewrite};
use super::room;
use super::{Lineage, LogOffset};
use crate::checksum::LogCrc;
use crate::storage::StorageFile;

/// Where the salts of heads come from: the system's randomness, or a seed in tests.
#[derive(Debug, Clone)]
pub struct Salts(Option<u64>);

impl Salts {
    /// Salts that nobody can predict.
    #[must_use]
    pub fn random() -> Self {
        Self(None)
    }

    /// The salts `first`, `first + 1`, and so on: for tests and worked examples.
    #[must_use]
    pub fn counted_from(first: u64) -> Self {
        Self(Some(first))
    }

    fn next(&mut self) -> Result<u64, io::Error> {
        if let Some(next) = &mut self.0 {
            let salt = *next;
            *next = next.wrapping_add(1);
            return Ok(salt);
        }
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(u64::from_be_bytes(salt))
    }
}

/// A failed append. The file is, or will be before the next append, as it was.
#[derive(Debug)]
pub struct WriteError {
    /// File, as it is called in messages.
    pub path: String,
    /// Size in bytes of the file's good part.
    pub position: u64,
    /// The system's error.
    pub source: io::Error,
}

impl WriteError {
    /// Whether there was no room: space or quota.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot append at byte {}: {}", self.path, self.position, self.source)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An incr file that is or was appended to, shared with those who sync it.
#[derive(Debug)]
pub(super) struct Tail {
    name: String,
    file: Arc<dyn StorageFile>,
    /// The file before this one until it is known to be durable: nothing here counts as durable before.
    previous: Mutex<Option<Arc<Tail>>>,
    /// Set for ever by a failed sync: the kernel may have dropped bytes that a later sync says nothing about.
    failed: AtomicBool,
}

impl Tail {
    pub(super) fn new(name: String, file: Arc<dyn StorageFile>) -> Arc<Self> {
        Arc::new(Self { name, file, previous: Mutex::new(None), failed: AtomicBool::new(false) })
    }

    fn previous(&self) -> MutexGuard<'_, Option<Arc<Tail>>> {
        self.previous.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs this file alone.
    pub(super) fn sync_alone(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other(format!("an earlier sync of {} failed", self.name)));
        }
        self.file.sync_data().inspect_err(|_| self.failed.store(true, Ordering::Release))
    }

    fn sync_in_order(&self) -> io::Result<()> {
        let mut previous = self.previous();
        if let Some(tail) = &*previous {
            tail.sync_in_order()?;
            *previous = None;
        }
        drop(previous);
        self.sync_alone()
    }

    /// The files before no longer matter: a base that holds what they held is durable.
    pub(super) fn forget_previous(&self) {
        *self.previous() = None;
    }
}

/// Syncs a file of the log from any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SyncHandle(pub(super) Arc<Tail>);

impl SyncHandle {
    /// A handle for a file that nothing is owed for.
    pub(crate) fn of(name: String, file: Arc<dyn StorageFile>) -> Self {
        Self(Tail::new(name, file))
    }

    /// Makes durable what was appended to the file before the call, and everything in the files before it.
    ///
    /// # Errors
    /// Some of it may be lost for good. Every later call fails too, until a rewrite into new files has finished: a
    /// second sync that succeeds would say nothing of what the first one lost.
    pub fn sync_data(&self) -> io::Result<()> {
        self.0.sync_in_order()
    }
}

/// What [`LogWriter::switch`] leaves to others.
#[derive(Debug)]
pub struct Switched {
    /// The file that was appended to until now.
    pub old: SyncHandle,
    /// The second half of the rewrite, for the thread that writes the base.
    pub rewrite: Rewrite,
}

/// The appending end of the log.
#[derive(Debug)]
pub struct LogWriter {
    files: Arc<LogFiles>,
    tail: Arc<Tail>,
    /// Size of the file up to the last whole annotation.
    size: u64,
    /// Whether the file may hold more than `size` bytes, left by an append that failed.
    owes_cut: bool,
    /// Room made at a time, in bytes; 0: none.
    room_bytes: u64,
    /// The history is another node's.
    follows: bool,
    /// Size of the file with its room; `size` or less where there is none.
    room_end: u64,
    /// No room is made before the log has grown to this size: the last attempt failed.
    room_due: u64,
    end: LogOffset,
    lineage: Lineage,
    /// The checksum every annotation of the section starts from.
    seed: LogCrc,
    /// A head, and its local bytes, not yet in the file: they go in front of the next write.
    pending: Vec<u8>,
    scratch: Vec<u8>,
    salts: Salts,
}

impl LogWriter {
    /// A writer that goes on behind the first `size` bytes of a file; a head is due.
    pub(crate) fn continuing(
        files: Arc<LogFiles>,
        tail: SyncHandle,
        size: u64,
        (lineage, end): (Lineage, LogOffset),
        local: &[u8],
        salts: Salts,
    ) -> Result<Self, WriteError> {
        let mut writer = Self {
            files,
            tail: tail.0,
            size,
            owes_cut: false,
            room_bytes: 0,
            follows: false,
            room_end: 0,
            room_due: 0,
            end,
            lineage,
            seed: LogCrc::new(),
            pending: Vec::new(),
            scratch: Vec::new(),
            salts,
        };
        writer.open_section(lineage, local)?;
        Ok(writer)
    }

    /// Offset after the last stream byte appended.
    #[must_use]
    pub fn end(&self) -> LogOffset {
        self.end
    }

    /// Whose bytes are being appended.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// The files that this writer appends to.
    #[must_use]
    pub fn files(&self) -> &Arc<LogFiles> {
        &self.files
    }

    /// Size of base and incr files in bytes (`aof_current_size`).
    #[must_use]
    pub fn current_size(&self) -> u64 {
        self.files.sizes.closed() + self.size
    }

    /// Size in bytes of the file being appended to.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.size
    }

    /// Whether the history is another node's: an orderly stop is marked as that of a replica.
    pub fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    /// Keeps the file longer than the log by up to `bytes`, a multiple of [`room::LINE_BYTES`] (0: not at all), which makes
    /// syncs cheaper and each byte written twice. Room that is there is used up in any case.
    pub fn make_room(&mut self, bytes: u64) {
        assert_eq!(bytes % room::LINE_BYTES as u64, 0, "room is whole lines");
        self.room_bytes = bytes;
    }

    /// A handle for the file now being appended to.
    #[must_use]
    pub fn sync_handle(&self) -> SyncHandle {
        SyncHandle(Arc::clone(&self.tail))
    }

    /// Appends `batch`, whole execution units that end at offset `end`, in one write. `sync` is the offset known to
    /// be durable. `batch` is as it was when this returns, so that it can be offered again after an error, or be
    /// sent to others after success. No memory is taken once `batch` has room for one annotation more.
    ///
    /// # Errors
    /// Nothing of the batch counts as appended.
    pub fn append(
        &mut self,
        batch: &mut Vec<u8>,
        end: LogOffset,
        sync: LogOffset,
    ) -> Result<(), WriteError> {
        let stream = end.since(self.end).expect("offsets grow");
        let len = u64::try_from(batch.len()).expect("a usize is at most 64 bits");
        assert!(stream <= len, "{stream} bytes of stream in a batch of {len}");
        assert!(sync <= end, "durable offset {sync} past the end {end}");
        if len == 0 {
            return Ok(());
        }
        let mut covered = self.seed.clone();
        covered.update(batch);
        let own = batch.len();
        annotation::write(batch, &Annotation::Batch(Batch { end, len, sync }), &covered);
        self.pad(batch);
        let result = self.write(batch).map(|()| self.extend_room(batch.len()));
        batch.truncate(own);
        if result.is_ok() {
            self.end = end;
        }
        result
    }

    /// Records that everything up to `sync` is durable, and whether the node stops right here.
    ///
    /// # Errors
    /// The mark is not in the file.
    pub fn mark(&mut self, sync: LogOffset, clean: bool) -> Result<(), WriteError> {
        assert!(sync <= self.end, "durable offset {sync} past the end {}", self.end);
        if clean {
            self.drop_room()?;
        }
        let mut line = std::mem::take(&mut self.scratch);
        line.clear();
        let mark = Mark { end: self.end, sync, clean, follows: clean && self.follows };
        annotation::write(&mut line, &Annotation::Mark(mark), &self.seed);
        if self.room_end > self.size {
            self.pad(&mut line);
        }
        let result = self.write(&mut line);
        self.scratch = line;
        if clean && result.is_ok() {
            // Bytes right behind such a mark are a stock server's. Should the stop come to nothing, ours begin with a head.
            self.open_section(self.lineage, &[])?;
        }
        result
    }

    /// Records a change of ids: a new section of the same file.
    ///
    /// # Errors
    /// The head is not in the file yet; it goes in front of the next append, so the change is not lost.
    pub fn head(&mut self, lineage: Lineage) -> Result<(), WriteError> {
        self.open_section(lineage, &[])?;
        self.flush()
    }

    /// Cuts the room off, which others than a node need not see.
    ///
    /// # Errors
    /// It is still there.
    pub fn drop_room(&mut self) -> Result<(), WriteError> {
        self.owes_cut |= self.room_end > self.size;
        self.repair()
    }

    /// Writes what is waiting to go in front of the next append, if anything.
    ///
    /// # Errors
    /// It goes on waiting.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if !self.pending.is_empty() {
            // A head cannot be padded: local bytes may follow it.
            self.drop_room()?;
        }
        self.write(&mut Vec::new())
    }

    /// From here on appends go to the prepared file, which begins with `local` bytes that a stock loader needs and
    /// that are no part of the stream. Everything up to the cut `start` must have been appended. Nothing is synced:
    /// [`SyncHandle::sync_data`] of the new file syncs the old one first.
    ///
    /// # Errors
    /// The old file could not be left at a batch boundary; appends still go to it.
    pub fn switch(
        &mut self,
        prepared: Prepared,
        lineage: Lineage,
        start: LogOffset,
        local: &[u8],
    ) -> Result<Switched, WriteError> {
        assert_eq!(start, self.end, "the cut is where the old file ends");
        self.drop_room()?;
        let old = std::mem::replace(&mut self.tail, prepared.tail);
        *self.tail.previous() = Some(Arc::clone(&old));
        self.files.sizes.add_closed(self.size);
        (self.size, self.room_end, self.room_due) = (0, 0, 0);
        let rewrite = Rewrite::new(&self.files, prepared.file.sequence, start, &self.tail);
        let switched = Switched { old: SyncHandle(old), rewrite };
        // A head that was due in the old file is said by the new one.
        self.pending.clear();
        self.open_section(lineage, local)?;
        // When this fails the head goes in front of the next append, which reports what is wrong.
        self.flush().unwrap_or_else(drop);
        Ok(switched)
    }

    fn open_section(&mut self, lineage: Lineage, local: &[u8]) -> Result<(), WriteError> {
        let salt = self.salts.next().map_err(|error| self.error(error))?;
        let local_len = u64::try_from(local.len()).expect("a usize is at most 64 bits");
        let head = Head { lineage, start: self.end, local: local_len, salt };
        self.seed = annotation::seed(salt);
        self.lineage = lineage;
        let mut covered = self.seed.clone();
        covered.update(local);
        annotation::write(&mut self.pending, &Annotation::Head(head), &covered);
        self.pending.extend_from_slice(local);
        Ok(())
    }

    /// Writes pending bytes and `bytes` in one write; on failure cuts the file back.
    fn write(&mut self, bytes: &mut Vec<u8>) -> Result<(), WriteError> {
        self.repair()?;
        let pending = self.pending.len();
        if pending > 0 {
            // Rare (a switch, a change of ids) and short, so moving the batch is cheaper than a second write.
            bytes.splice(0..0, self.pending.iter().copied());
        }
        let file = &self.tail.file;
        let result = if bytes.is_empty() { Ok(()) } else { file.write_at(self.size, bytes) };
        match result {
            Ok(()) => {
                self.size += u64::try_from(bytes.len()).expect("a usize is at most 64 bits");
                self.pending.clear();
                bytes.drain(..pending);
                Ok(())
            }
            Err(error) => {
                bytes.drain(..pending);
                self.owes_cut = true;
                // When this fails too it is tried again before the next append.
                self.repair().unwrap_or_else(drop);
                Err(self.error(error))
            }
        }
    }

    /// Cuts what a failed append left, and the room with it.
    fn repair(&mut self) -> Result<(), WriteError> {
        if self.owes_cut {
            self.tail.file.truncate(self.size).map_err(|error| self.error(error))?;
            self.owes_cut = false;
            self.room_end = self.size;
        }
        Ok(())
    }

    /// Lengthens the annotation at the end of `bytes`, which is to be written next, to where a line of the room begins.
    fn pad(&self, bytes: &mut Vec<u8>) {
        if self.room_bytes > 0 || self.room_end > self.size {
            let pending = u64::try_from(self.pending.len()).expect("a usize is at most 64 bits");
            room::pad(bytes, self.size + pending);
        }
    }

    /// Makes room behind an append of `written` bytes that has used up what there was. Where that fails the log goes on
    /// without.
    fn extend_room(&mut self, written: usize) {
        let large = u64::try_from(written).is_ok_and(|written| written > self.room_bytes / 8);
        let is_needed = self.room_end <= self.size && self.size >= self.room_due;
        if self.room_bytes == 0 || large || !is_needed {
            return;
        }
        self.room_due = self.size + self.room_bytes;
        match room::make(&*self.tail.file, self.size, self.room_bytes) {
            Ok(()) => self.room_end = self.size + self.room_bytes,
            Err(_) => self.owes_cut = true,
        }
    }

    fn error(&self, source: io::Error) -> WriteError {
        let path = self.files.display(&self.tail.name);
        WriteError { path, position: self.size, source }
    }
}

/// Sizes for INFO, read while files change.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Base, and incr files that are no longer appended to.
    closed: AtomicU64,
    /// What growth is measured against.
    base: AtomicU64,
}

impl Sizes {
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn base(&self) -> u64 {
        self.base.load(Ordering::Relaxed)
    }

    fn add_closed(&self, bytes: u64) {
        self.closed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set(&self, closed: u64, base: u64) {
        self.closed.store(closed, Ordering::Relaxed);
        self.base.store(base, Ordering::Relaxed);
    }
}
