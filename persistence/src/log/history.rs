//! The files of a log as a source: for a replica that asks for bytes of the past, and for one that needs everything.
//!
//! A rewrite leaves files behind that are no longer loaded. Some of them may stay, the newest, up to a bound, so that
//! replicas that were away for longer find what they missed. A line of history with a start is a piece of this very log, left behind by a rewrite. Such pieces and the incr files
//! in force are one stream, from [`State::served_from`] on.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::LogOffset;
use super::manifest::{Manifest, ManifestFile};
use super::read_back::{LogReadBack, Opened, ReadBackError, head_start};
use super::rewrite::{LogFiles, RewriteError, State};
use crate::storage::ReadFile;

/// A snapshot that is open for reading, and its size in bytes.
type Base = (Arc<dyn ReadFile>, u64);

/// What a full sync sends: the base, then the log from where the base was cut.
#[derive(Debug)]
pub struct SyncSource {
    /// The base, a snapshot, and its size in bytes. `None`: the log starts from empty data.
    pub base: Option<Base>,
    /// Offset of the state that the base holds.
    pub offset: LogOffset,
    /// Reads on from there: opened together with the base, since a rewrite may finish while that is sent.
    pub log: LogReadBack,
}

impl State {
    /// The files that are one stream, oldest first.
    fn served(&self) -> impl DoubleEndedIterator<Item = &ManifestFile> {
        let Manifest { history, incrs, .. } = &self.manifest;
        let pieces = history.iter().filter(|file| file.start.is_some()).chain(incrs);
        let from = self.served_from.unwrap_or(u64::MAX);
        pieces.filter(move |file| file.sequence >= from)
    }
}

impl LogFiles {
    /// Whether files that a rewrite makes history stay from now on (`aof-disable-auto-gc`).
    pub fn keep_history(&self, keep: bool) {
        self.keeps_history.store(keep, Ordering::Relaxed);
    }

    /// How many bytes of files that rewrites make history stay from now on, to be read back. Takes effect with the next
    /// rewrite, or [`LogFiles::remove_history`].
    pub fn retain(&self, bytes: u64) {
        self.retains.store(bytes, Ordering::Relaxed);
    }

    /// Removes the history that is not to be kept, if there is any.
    ///
    /// # Errors
    /// A file cannot be removed, or the manifest cannot be replaced; both are tried again after the next rewrite.
    pub fn remove_history(&self) -> Result<(), RewriteError> {
        let mut state = self.state();
        if state.manifest.history.is_empty() || self.keeps_history.load(Ordering::Relaxed) {
            return Ok(());
        }
        let kept = self.retained(&state);
        if kept.len() == state.manifest.history.len() {
            return Ok(());
        }
        self.remove_all_history_but(&mut state, kept)
    }

    /// The files first, then their lines: a line without its file is harmless.
    fn remove_all_history_but(
        &self,
        state: &mut State,
        kept: Vec<ManifestFile>,
    ) -> Result<(), RewriteError> {
        let mut manifest = state.manifest.clone();
        let first = kept.iter().chain(&manifest.incrs).map(|file| file.sequence).next();
        if let (Some(from), Some(first)) = (&mut state.served_from, first) {
            *from = first.max(*from);
        }
        let history = std::mem::replace(&mut manifest.history, kept);
        for file in history.iter().filter(|file| !manifest.history.contains(file)) {
            let name = self.inside(file);
            match self.storage.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.error("remove", &name, error));
                }
                _ => {}
            }
        }
        self.put_in_force(state, manifest, &[])
    }

    /// The newest pieces of history that fit into the bound.
    fn retained(&self, state: &State) -> Vec<ManifestFile> {
        let mut left = self.retains.load(Ordering::Relaxed);
        let mut kept = Vec::new();
        if left == 0 {
            return kept;
        }
        for file in state.served().rev().filter(|file| state.manifest.history.contains(file)) {
            // Where nobody can tell the size the rest of the past is given up.
            let size = self.storage.size(&self.inside(file)).ok().flatten();
            let Some(rest) = size.and_then(|size| left.checked_sub(size)) else { break };
            left = rest;
            kept.push(file.clone());
        }
        kept.reverse();
        kept
    }

    /// Where `file` starts, by its line or its head.
    pub(super) fn start_of(&self, file: &ManifestFile) -> Option<LogOffset> {
        let opened = || self.open_file(file).ok().flatten();
        file.start.or_else(|| opened().and_then(|opened| opened.start))
    }

    /// The oldest offset that [`LogFiles::read_back`] can serve from, going by the manifest. `None`: it says of no file
    /// where it starts, or the log is off.
    #[must_use]
    pub fn first_offset(&self) -> Option<LogOffset> {
        self.state().served().find_map(|file| file.start)
    }

    /// A reader of the stream bytes from `from` on. It keeps the files it needs, whatever a rewrite does to their names.
    /// `None`: the files do not reach back that far.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn read_back(
        self: &Arc<Self>,
        from: LogOffset,
    ) -> Result<Option<LogReadBack>, ReadBackError> {
        self.read_back_locked(&mut self.state(), from)
    }

    /// The same for one who holds the lock already.
    fn read_back_locked(
        self: &Arc<Self>,
        state: &mut State,
        from: LogOffset,
    ) -> Result<Option<LogReadBack>, ReadBackError> {
        let mut behind = VecDeque::new();
        let mut missing = None;
        for file in state.served().rev() {
            let Some(opened) = self.open_file(file)? else {
                missing = Some(file.sequence);
                break;
            };
            match opened.start {
                Some(start) if start <= from => {
                    let first = (opened, start);
                    return Ok(Some(LogReadBack::new(Arc::clone(self), from, first, behind)));
                }
                _ => behind.push_front(opened),
            }
        }
        if let Some(sequence) = missing {
            state.stop_serving(sequence);
        }
        Ok(None)
    }

    /// The files behind the one numbered `sequence`, oldest first.
    pub(super) fn open_behind(&self, sequence: u64) -> Result<VecDeque<Opened>, ReadBackError> {
        let state = self.state();
        let mut opened = VecDeque::new();
        for file in state.served().filter(|file| file.sequence > sequence) {
            // A file that is missing shows as a gap to whoever reads on.
            opened.extend(self.open_file(file)?);
        }
        Ok(opened)
    }

    /// `None` when somebody has removed the file.
    fn open_file(&self, file: &ManifestFile) -> Result<Option<Opened>, ReadBackError> {
        let name = self.inside(file);
        let path = self.display(&name);
        let read = match self.storage.open_read(&name) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadBackError::Io { path, source }),
        };
        let mut start = file.start;
        if start.is_none() {
            let path = path.clone();
            start = head_start(&*read).map_err(|source| ReadBackError::Io { path, source })?;
        }
        let (sequence, annotated) = (file.sequence, file.annotated);
        Ok(Some(Opened { path, sequence, file: read, start, annotated }))
    }

    /// The file numbered `sequence` is not what it was: neither it nor what is older is served from now on.
    pub(super) fn stop_serving(&self, sequence: u64) {
        self.state().stop_serving(sequence);
    }

    /// What a full sync from files sends. `None` where that cannot be done: the log is off or damaged, the base is not
    /// a snapshot alone, it is not known at which offset it was cut, or the log behind it is not there.
    ///
    /// # Errors
    /// The base or a file of the log cannot be opened.
    pub fn sync_source(self: &Arc<Self>) -> Result<Option<SyncSource>, ReadBackError> {
        let mut state = self.state();
        let Some(first) = state.manifest.incrs.first() else { return Ok(None) };
        let is_served = state.served_from.is_some_and(|from| from <= first.sequence);
        let Some(offset) = first.start.filter(|_| is_served) else { return Ok(None) };
        let base = match &state.manifest.base {
            None => None,
            Some(file) => match self.open_base(file)? {
                None => return Ok(None),
                base => base,
            },
        };
        let log = self.read_back_locked(&mut state, offset)?;
        Ok(log.map(|log| SyncSource { base, offset, log }))
    }

    /// The base and its size, if it is a snapshot alone.
    fn open_base(&self, file: &ManifestFile) -> Result<Option<Base>, ReadBackError> {
        // Only a name that promises a snapshot means that no commands follow in the same file.
        if !file.name.ends_with(".rdb") {
            return Ok(None);
        }
        let name = self.inside(file);
        let failed = |source| ReadBackError::Io { path: self.display(&name), source };
        let base = self.storage.open_read(&name).map_err(failed)?;
        let mut magic = [0; 6];
        let read = base.read_at(0, &mut magic).map_err(failed)?;
        if !magic[..read].starts_with(b"REDIS") && !magic[..read].starts_with(b"VALKEY") {
            return Ok(None);
        }
        let size = base.size().map_err(failed)?;
        Ok(Some((base, size)))
    }
}

impl State {
    fn stop_serving(&mut self, sequence: u64) {
        if let Some(from) = &mut self.served_from {
            *from = sequence.saturating_add(1).max(*from);
        }
    }
}

#[cfg(test)]
mod tests;
