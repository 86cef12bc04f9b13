//! Which files make up the log, and how that changes.
//!
//! A rewrite puts a new base in the place of everything older, in steps of which each may be the last before a crash
//! (`docs/durability.md`, "Order of steps: rewrite"):
//!
//! | steps | who | where |
//! |---|---|---|
//! | 1, 2: a new, empty incr file, listed | any thread | [`LogFiles::prepare_next`] |
//! | 3: appends go to it | the appender | [`LogWriter::switch`](super::LogWriter::switch) |
//! | 4: the base as a temporary file, synced | a walk | the caller |
//! | 5 to 7: base in place, manifest, history removed | any thread | [`Rewrite::finish`] |
//!
//! What becomes history goes, or stays to be read back ([`LogFiles::retain`]). A rewrite that fails leaves the old files in force, with one incr file more. Names are never used twice in a
//! process: after a failure nobody knows whether the disk's manifest names the file.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::{Manifest, ManifestError, ManifestFile};
use super::writer::{LogWriter, Salts, Sizes, SyncHandle, Tail};
use super::{Lineage, LogOffset};
use crate::replace::{ReplaceError, replace};
use crate::storage::{Storage, join};

/// How the files of a log are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogNames {
    folder: String,
    file: String,
}

impl LogNames {
    /// Names from the settings `appenddirname` and `appendfilename`. Either is a plain name, not a path.
    #[must_use]
    pub fn new(folder: &str, file: &str) -> Self {
        Self { folder: folder.to_owned(), file: file.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The name that all others derive from, which is that of an old single-file log too.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.file
    }

    /// The manifest, folder included.
    #[must_use]
    pub fn manifest(&self) -> String {
        self.inside(&format!("{}.manifest", self.file))
    }

    /// What the manifest is written as before it is in place.
    #[must_use]
    pub fn temp_manifest(&self) -> String {
        self.inside(&format!("temp-{}.manifest", self.file))
    }

    /// The incr file of a log that is being switched on, until its base is there.
    #[must_use]
    pub fn temp_incr(&self) -> String {
        self.inside(&format!("temp-{}.incr", self.file))
    }

    /// `file` with the folder in front.
    #[must_use]
    pub fn inside(&self, file: &str) -> String {
        join(&self.folder, file)
    }

    /// The base with that number, without the folder.
    #[must_use]
    pub fn base(&self, sequence: u64, kind: BaseKind) -> String {
        let suffix = if kind == BaseKind::Rdb { "rdb" } else { "aof" };
        format!("{}.{sequence}.base.{suffix}", self.file)
    }

    /// The incr file with that number, without the folder.
    #[must_use]
    pub fn incr(&self, sequence: u64) -> String {
        format!("{}.{sequence}.incr.aof", self.file)
    }
}

/// How a base is encoded (`aof-use-rdb-preamble`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseKind {
    /// A snapshot.
    Rdb,
    /// Commands.
    Resp,
}

/// A rewrite, or another change of the set of files, that did not happen. The old files are in force.
#[derive(Debug)]
pub struct RewriteError {
    /// The step that failed.
    pub step: &'static str,
    /// The file it was about, as it is called in messages.
    pub path: String,
    /// The system's error.
    pub source: io::Error,
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.step, self.path, self.source)
    }
}

impl std::error::Error for RewriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The files of a log; shared by the appender and those who rewrite.
#[derive(Debug)]
pub struct LogFiles {
    pub(super) storage: Arc<dyn Storage>,
    names: LogNames,
    state: Mutex<State>,
    /// History stays on disk and in the manifest.
    pub(super) keeps_history: AtomicBool,
    /// Bytes of history that stay to be read back.
    pub(super) retains: AtomicU64,
    pub(super) sizes: Sizes,
}

/// What only those who change the manifest look at. The appender never waits for this lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) manifest: Manifest,
    /// Number of the first incr file from which on the files are one stream, without damage known; `None` while the log
    /// is off.
    pub(super) served_from: Option<u64>,
    next_base: u64,
    next_incr: u64,
    /// Files of failed changes that the disk's manifest may or may not name: removed once a later manifest is known
    /// to be in place.
    leftovers: Vec<String>,
}

/// An empty incr file, durable and listed: where appends go after the switch.
#[derive(Debug)]
pub struct Prepared {
    pub(super) file: ManifestFile,
    pub(super) tail: Arc<Tail>,
}

impl LogFiles {
    /// The files that `manifest` lists, as recovery left them. `sizes` are those of all but the last incr file,
    /// and of the base, in bytes. Names of files in `gone` are not used again. From the incr file numbered `served_from`
    /// on the files are one stream.
    pub(crate) fn new(
        storage: &Arc<dyn Storage>,
        names: &LogNames,
        manifest: Manifest,
        (closed, base): (u64, u64),
        gone: &[ManifestFile],
        served_from: Option<u64>,
    ) -> Arc<Self> {
        let (mut next_base, mut next_incr) = (1, 1);
        for file in manifest.loaded().chain(&manifest.history).chain(gone) {
            let is_base = file.name.contains(".base.");
            let next = if is_base { &mut next_base } else { &mut next_incr };
            *next = file.sequence.saturating_add(1).max(*next);
        }
        let leftovers = Vec::new();
        let state = State { manifest, served_from, next_base, next_incr, leftovers };
        let state = Mutex::new(state);
        let sizes = Sizes::default();
        sizes.set(closed, base);
        let (storage, names) = (Arc::clone(storage), names.clone());
        let (keeps_history, retains) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { storage, names, state, keeps_history, retains, sizes })
    }

    /// The files of a log that is off (`appendonly no`): what the manifest lists stays as it is until the log is
    /// switched on with [`LogFiles::begin`].
    ///
    /// # Errors
    /// When the manifest cannot be read or understood.
    pub fn open(storage: &Arc<dyn Storage>, names: &LogNames) -> Result<Arc<Self>, OpenError> {
        let manifest = read_manifest(storage.as_ref(), names)?.unwrap_or_default();
        Ok(Self::new(storage, names, manifest, (0, 0), &[], None))
    }

    /// Size in bytes that growth is measured against (`aof_base_size`).
    #[must_use]
    pub fn base_size(&self) -> u64 {
        self.sizes.base()
    }

    /// The names of the files.
    #[must_use]
    pub fn names(&self) -> &LogNames {
        &self.names
    }

    /// The manifest in force.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        self.state().manifest.clone()
    }

    /// Name, with the folder, of a file that the manifest lists.
    pub(super) fn inside(&self, file: &ManifestFile) -> String {
        self.names.inside(&file.name)
    }

    pub(super) fn display(&self, name: &str) -> String {
        self.storage.display(name)
    }

    /// Steps 1 and 2 of a rewrite: creates the next incr file, empty, lists it, syncs all. The appender may go on
    /// meanwhile.
    ///
    /// # Errors
    /// The log goes on in its files; call again for a next attempt.
    pub fn prepare_next(&self) -> Result<Prepared, RewriteError> {
        let mut state = self.state();
        let sequence = state.next_incr;
        state.next_incr += 1;
        let file = ManifestFile::new(self.names.incr(sequence), sequence).annotated(None);
        let name = self.names.inside(&file.name);
        let created = self.storage.create(&name).map_err(|e| self.error("create", &name, e))?;
        let mut manifest = state.manifest.clone();
        manifest.incrs.push(file.clone());
        created.sync_data().map_err(|error| self.error("sync", &name, error))?;
        self.put_in_force(&mut state, manifest, std::slice::from_ref(&name))?;
        Ok(Prepared { file, tail: Tail::new(name, created) })
    }

    /// Switches the log on: a writer for a file that is no part of the log until the returned rewrite finishes with
    /// a base of the state at `start`. `local` as in [`LogWriter::switch`].
    ///
    /// # Errors
    /// The log stays off.
    pub fn begin(
        self: &Arc<Self>,
        lineage: Lineage,
        start: LogOffset,
        local: &[u8],
        salts: Salts,
    ) -> Result<(LogWriter, Rewrite), RewriteError> {
        let name = self.names.temp_incr();
        let sequence = {
            let mut state = self.state();
            self.storage
                .create_folder(self.names.folder())
                .and_then(|()| self.storage.sync_folder(""))
                .map_err(|error| self.error("create", self.names.folder(), error))?;
            if state.manifest == Manifest::default() {
                // Files without any manifest would look like a log whose manifest was lost.
                self.put_in_force(&mut state, Manifest::default(), &[])?;
            }
            state.next_incr += 1;
            state.next_incr - 1
        };
        let file =
            self.storage.create(&name).map_err(|error| self.error("create", &name, error))?;
        let tail = Tail::new(name.clone(), file);
        self.sizes.set(0, 0);
        let rewrite = Rewrite::new(self, sequence, start, &tail).enabling();
        let handle = SyncHandle(tail);
        let writer =
            LogWriter::continuing(Arc::clone(self), handle, 0, (lineage, start), local, salts);
        let mut writer = writer.map_err(|error| self.error("write", &name, error.source))?;
        writer.flush().map_err(|error| self.error("write", &name, error.source))?;
        Ok((writer, rewrite))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn error(&self, step: &'static str, name: &str, source: io::Error) -> RewriteError {
        RewriteError { step, path: self.display(name), source }
    }

    /// Replaces the manifest. On failure `new_files`, which only the new manifest names, are removed if that is
    /// safe, else remembered.
    pub(super) fn put_in_force(
        &self,
        state: &mut State,
        manifest: Manifest,
        new_files: &[String],
    ) -> Result<(), RewriteError> {
        let target = self.names.manifest();
        match replace(&self.storage, &self.names.temp_manifest(), &target, &manifest.to_bytes()) {
            Ok(()) => {
                state.manifest = manifest;
                let leftovers = std::mem::take(&mut state.leftovers);
                self.remove(leftovers.iter());
                Ok(())
            }
            Err(error) => {
                match &error {
                    ReplaceError::Unchanged(_) => self.remove(new_files.iter()),
                    ReplaceError::Uncertain(_) => state.leftovers.extend_from_slice(new_files),
                }
                Err(self.error("replace", &target, error.into()))
            }
        }
    }

    /// Removes files that nothing names. What cannot be removed is an orphan, removed at the next start.
    fn remove<'a>(&self, names: impl Iterator<Item = &'a String>) {
        for name in names {
            self.storage.remove(name).unwrap_or_else(drop);
        }
    }
}

/// The second half of a rewrite: it waits for the base.
#[derive(Debug)]
pub struct Rewrite {
    files: Arc<LogFiles>,
    /// Number of the first incr file behind the new base.
    sequence: u64,
    start: LogOffset,
    tail: Arc<Tail>,
    enabling: bool,
}

/// What a finished rewrite says.
#[derive(Debug)]
pub struct Finished {
    /// Size of the new base in bytes.
    pub base_size: u64,
    /// Why history could not be removed (it is tried again at the next start).
    pub cleanup: Option<RewriteError>,
}

impl Rewrite {
    pub(super) fn new(
        files: &Arc<LogFiles>,
        sequence: u64,
        start: LogOffset,
        tail: &Arc<Tail>,
    ) -> Self {
        let (files, tail) = (Arc::clone(files), Arc::clone(tail));
        Self { files, sequence, start, tail, enabling: false }
    }

    fn enabling(mut self) -> Self {
        self.enabling = true;
        self
    }

    /// Where the log is, and so where the temporary base belongs.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.files.storage
    }

    /// The cut: the base must hold the state at this offset.
    #[must_use]
    pub fn cut(&self) -> LogOffset {
        self.start
    }

    /// Steps 5 to 7: gives the synced file `temp_base` (a name inside the storage) its place as base, and drops
    /// everything older from the log. `size_now` is the size of the current incr file in bytes.
    ///
    /// # Errors
    /// The old files stay in force; `temp_base` is gone or will be at the next start.
    pub fn finish(
        self,
        temp_base: &str,
        kind: BaseKind,
        size_now: u64,
    ) -> Result<Finished, RewriteError> {
        let files = &*self.files;
        let mut state = files.state();
        let sequence = state.next_base;
        state.next_base += 1;
        let base = ManifestFile::new(files.names.base(sequence, kind), sequence);
        let base_name = files.names.inside(&base.name);
        let mut new_files = vec![base_name.clone()];
        let placed = self.place(temp_base, &base_name, &mut new_files);
        let base_size = placed.inspect_err(|_| {
            files.remove([temp_base.to_owned()].iter().chain(&new_files));
        })?;
        let manifest = self.next_manifest(&state.manifest, base);
        files.put_in_force(&mut state, manifest, &new_files)?;
        if self.enabling {
            state.served_from = Some(self.sequence);
        }
        self.tail.forget_previous();
        files.sizes.set(base_size, base_size.saturating_add(size_now));
        drop(state);
        let cleanup = files.remove_history().err();
        Ok(Finished { base_size, cleanup })
    }

    /// Gives up: the old files stay in force, `temp_base` is removed.
    pub fn abandon(self, temp_base: &str) {
        let enabling = self.enabling.then(|| self.files.names.temp_incr());
        self.files.remove([temp_base.to_owned()].iter().chain(&enabling));
    }

    /// Puts base (and a temporary incr file) in place, durable, and returns the size of the base.
    fn place(
        &self,
        temp_base: &str,
        base: &str,
        new_files: &mut Vec<String>,
    ) -> Result<u64, RewriteError> {
        let files = &*self.files;
        let storage = files.storage.as_ref();
        // The head of the new section must not be younger than the manifest that relies on it.
        self.tail.sync_alone().map_err(|error| files.error("sync", &self.tail_name(), error))?;
        let size =
            storage.size(temp_base).and_then(|size| size.ok_or(io::ErrorKind::NotFound.into()));
        let size = size.map_err(|error| files.error("find", temp_base, error))?;
        storage.rename(temp_base, base).map_err(|error| files.error("rename", temp_base, error))?;
        if self.enabling {
            let temp = files.names.temp_incr();
            let name = self.tail_name();
            storage.rename(&temp, &name).map_err(|error| files.error("rename", &temp, error))?;
            new_files.push(name);
        }
        let folder = files.names.folder();
        storage.sync_folder(folder).map_err(|error| files.error("sync", folder, error))?;
        Ok(size)
    }

    fn tail_name(&self) -> String {
        self.files.names.inside(&self.files.names.incr(self.sequence))
    }

    fn next_manifest(&self, old: &Manifest, base: ManifestFile) -> Manifest {
        let (mut history, mut incrs) = (old.history.clone(), Vec::new());
        history.extend(old.base.clone());
        for file in &old.incrs {
            if file.sequence < self.sequence {
                history.push(ManifestFile { start: self.files.start_of(file), ..file.clone() });
            } else {
                incrs.push(file.clone());
            }
        }
        if self.enabling {
            // What a former log held is no piece of this one, though its offsets may happen to join.
            history.iter_mut().for_each(|file| file.start = None);
            assert!(incrs.is_empty(), "a log that is off gets no incr files");
            let name = self.files.names.incr(self.sequence);
            incrs.push(ManifestFile::new(name, self.sequence).annotated(None));
        }
        assert_eq!(incrs[0].sequence, self.sequence, "the prepared file is listed");
        incrs[0].start = Some(self.start);
        Manifest { base: Some(base), history, incrs }
    }
}

/// A manifest that cannot be read.
#[derive(Debug)]
pub enum OpenError {
    /// The system's error.
    Io(String, io::Error),
    /// It is not a manifest.
    Manifest(String, ManifestError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{path}: {error}"),
            Self::Manifest(path, error) => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// The manifest on disk; `None` when there is no such file.
pub(crate) fn read_manifest(
    storage: &dyn Storage,
    names: &LogNames,
) -> Result<Option<Manifest>, OpenError> {
    let name = names.manifest();
    let bytes = match storage.read(&name) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::Io(storage.display(&name), error)),
    };
    let manifest = Manifest::parse(&bytes);
    manifest.map(Some).map_err(|error| OpenError::Manifest(storage.display(&name), error))
}
