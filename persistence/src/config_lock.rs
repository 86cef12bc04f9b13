//! One process per `nodes.conf`, although the file is replaced.
//!
//! Two nodes with one identity would vote twice. A lock on the file itself goes with the old file when a new one is renamed
//! over it, so there are two locks (`flock`; the system takes them back however the process ends):
//!
//! * on `nodes.conf.lock`, which is never replaced and never removed: it keeps our own kind away;
//! * on `nodes.conf`, which stock locks at its start. Each new file is locked *before* it gets the name, and the one before
//!   it stays locked for one more replacement, for somebody may have opened it just before and lock it just behind.
//!
//! The lock file also says where the node was when it was used last: a folder that was copied, with the node's identity in
//! it, is told from one that is where it was. `docs/format.md`, section 7.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::replace::{ReplaceError, Replacement};
use crate::storage::{RealStorage, Storage};
use crate::words::{quoted, split_words};

/// How often a file may be replaced while it is being locked.
const TRIES_MAX: usize = 16;
/// The most files that are held where the system does not say which one is in place.
const HELD_MAX: usize = 4;
/// Nobody writes a longer lock file: a path of the system's longest, each byte written as four.
const PLACE_BYTES_MAX: u64 = 32 << 10;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct ConfigLock {
    path: PathBuf,
    /// Name of the file in its folder.
    name: String,
    storage: Arc<dyn Storage>,
    /// What keeps our own kind away.
    _lock: File,
    /// The file in place, last, and the one before. More only where it is unknown which one is in place.
    held: Vec<File>,
    replacements: u64,
    moved: Option<Moved>,
}

/// The folder is not the one that the lock file speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The node that was there.
    pub id: String,
    /// Where that was.
    pub from: String,
}

/// Why a file could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Busy(PathBuf),
    /// The system's error, and the file it is about.
    Io(PathBuf, io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(path) => write!(
                f,
                "Sorry, the cluster configuration file {} is already used by a different Redis Cluster node",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{} can't be locked: {error}", path.display()),
        }
    }
}

impl std::error::Error for LockError {}

impl ConfigLock {
    /// Locks the file at `path`, and makes an empty one where there is none. What replacements that were cut off left
    /// behind is removed.
    ///
    /// # Errors
    /// [`LockError`]; nothing is locked then.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |error| LockError::Io(path.to_owned(), error);
        let name = path.file_name().and_then(OsStr::to_str).map(str::to_owned);
        let name = name.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let folder = folder_of(path);
        let lock = lock_in_place(&lock_path(path), path)?;
        let held = vec![lock_in_place(path, path)?];
        let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder));
        remove_leftovers(&storage, &name).map_err(failed)?;
        let here = Place::of(folder).map_err(failed)?;
        let moved = read_place(&lock, &lock_path(path))?
            .filter(|(_, place)| !place.is_same(&here))
            .map(|(id, place)| Moved { id, from: place.path });
        let path = path.to_owned();
        Ok(Self { path, name, storage, _lock: lock, held, replacements: 0, moved })
    }

    /// The file that is locked.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the node was used last, if that is not here: the folder is a copy, or was moved.
    #[must_use]
    pub fn moved(&self) -> Option<&Moved> {
        self.moved.as_ref()
    }

    /// Notes that the node `id` is used here, for the next [`ConfigLock::take`].
    ///
    /// # Errors
    /// The next one may then know nothing. The lock is not affected.
    pub fn note_place(&mut self, id: &str) -> io::Result<()> {
        let place = Place::of(folder_of(&self.path))?;
        let line = place.line(id);
        // In place: a file of another name would be another lock. A line that is torn is taken for none.
        let file = self.storage.open_append(&format!("{}.lock", self.name))?;
        file.truncate(0)?;
        file.append(line.as_bytes())?;
        file.sync_data()?;
        self.moved = None;
        Ok(())
    }

    /// Replaces the file by `bytes`, durable when it returns. The lock goes over to the new file.
    ///
    /// # Errors
    /// See [`ReplaceError`]. Both files stay locked.
    pub fn replace(&mut self, bytes: &[u8]) -> Result<(), ReplaceError> {
        self.replacements += 1;
        let temp = temporary_name(&self.name, std::process::id(), self.replacements);
        let mut replacement = Replacement::begin(&self.storage, &temp, &self.name)
            .map_err(ReplaceError::Unchanged)?;
        replacement.write_all(bytes).map_err(ReplaceError::Unchanged)?;
        let next = lock_new(&folder_of(&self.path).join(&temp)).map_err(ReplaceError::Unchanged)?;
        let result = replacement.commit();
        if !matches!(result, Err(ReplaceError::Unchanged(_))) {
            self.held.push(next);
            self.let_go();
        }
        assert!(!self.held.is_empty(), "the file in place is locked");
        result
    }

    /// Lets go of files that nobody can come across any more. Which one is in place is looked up: a replacement that failed
    /// may have been put there, or not.
    fn let_go(&mut self) {
        let Some(current) = self.place_of_current() else {
            // Nobody knows: those that were in place last, and the newest.
            if self.held.len() > HELD_MAX {
                self.held.remove(HELD_MAX / 2);
            }
            return;
        };
        self.held.truncate(current + 1);
        self.held.drain(..current.saturating_sub(1));
    }

    fn place_of_current(&self) -> Option<usize> {
        let there = fs::metadata(&self.path).ok()?;
        let is_there = |file: &File| {
            let facts = file.metadata();
            facts.is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        self.held.iter().rposition(is_there)
    }
}

/// Name of the file that is to become `name`, unlike any other of this process.
#[must_use]
pub fn temporary_name(name: &str, process: u32, number: u64) -> String {
    format!("{name}.tmp-{process}-{number}")
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Opens and locks the file at `at`; `shown` is what the lock is about.
fn lock_in_place(at: &Path, shown: &Path) -> Result<File, LockError> {
    let failed = |error| LockError::Io(at.to_owned(), error);
    for _ in 0..TRIES_MAX {
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(at);
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Busy(shown.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Somebody may have put another file there since it was opened: the lock would hold nobody off.
        let ours = file.metadata().map_err(failed)?;
        match fs::metadata(at) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(LockError::Busy(shown.to_owned()))
}

/// Locks a file that nobody else knows of.
fn lock_new(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    file.try_lock()?;
    Ok(file)
}

fn remove_leftovers(storage: &Arc<dyn Storage>, name: &str) -> io::Result<()> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_leftover = |file: &str| {
        let numbers = file.strip_prefix(name).and_then(|rest| rest.strip_prefix(".tmp-"));
        let numbers = numbers.and_then(|rest| rest.split_once('-'));
        numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
    };
    let files = storage.list("")?;
    files.iter().filter(|file| is_leftover(file)).try_for_each(|file| storage.remove(file))
}

/// A folder, as the system tells it from others.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    path: String,
}

impl Place {
    fn of(folder: &Path) -> io::Result<Self> {
        let (facts, path) = (fs::metadata(folder)?, fs::canonicalize(folder)?);
        Ok(Self { device: facts.dev(), inode: facts.ino(), path: path.display().to_string() })
    }

    /// A renamed folder is the same; and numbers of devices may change when a machine starts again.
    fn is_same(&self, other: &Self) -> bool {
        self.inode == other.inode && (self.device == other.device || self.path == other.path)
    }

    fn line(&self, id: &str) -> String {
        let (device, inode, path) = (self.device, self.inode, quoted(&self.path));
        format!("identity-of: {id} dev={device} ino={inode} path={path}\n")
    }

    /// What [`Place::line`] wrote.
    fn read(line: &[u8]) -> Option<(String, Self)> {
        let words = split_words(line.strip_suffix(b"\n")?)?;
        let words: Option<Vec<String>> =
            words.into_iter().map(|word| String::from_utf8(word).ok()).collect();
        let [title, id, device, inode, path] = words?.try_into().ok()?;
        if title != "identity-of:" {
            return None;
        }
        let number = |word: &str, name: &str| word.strip_prefix(name)?.parse().ok();
        let (device, inode) = (number(&device, "dev=")?, number(&inode, "ino=")?);
        Some((id, Self { device, inode, path: path.strip_prefix("path=")?.to_owned() }))
    }
}

/// What the lock file says; `None` where it says nothing that makes sense.
fn read_place(lock: &File, path: &Path) -> Result<Option<(String, Place)>, LockError> {
    let failed = |error| LockError::Io(path.to_owned(), error);
    if lock.metadata().map_err(failed)?.len() > PLACE_BYTES_MAX {
        return Ok(None);
    }
    Ok(Place::read(&fs::read(path).map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Contents, ReadFile, StorageFile};

    fn config(folder: &Path) -> PathBuf {
        folder.join("nodes.conf")
    }

    fn is_busy(path: &Path) -> bool {
        matches!(ConfigLock::take(path), Err(LockError::Busy(_)))
    }

    /// Whether stock, which locks nothing but the file, is kept away.
    fn stock_is_refused(path: &Path) -> bool {
        matches!(File::open(path).unwrap().try_lock(), Err(TryLockError::WouldBlock))
    }

    fn names(folder: &Path) -> Vec<String> {
        RealStorage::new(folder).list("").unwrap()
    }

    #[test]
    fn the_lock_outlives_replacements() {
        let folder = tempfile::tempdir().unwrap();
        let path = config(folder.path());
        let mut lock = ConfigLock::take(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        for text in ["one", "two", "three", "four"] {
            assert!(is_busy(&path) && stock_is_refused(&path), "before {text}");
            let before = File::open(&path).unwrap();
            lock.replace(text.as_bytes()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
            let late = matches!(before.try_lock(), Err(TryLockError::WouldBlock));
            assert!(late, "who has opened the file before {text} is refused behind it");
        }
        assert!(is_busy(&path) && stock_is_refused(&path));
        assert_eq!(lock.held.len(), 2);
        drop(lock);
        assert!(!stock_is_refused(&path) && !is_busy(&path));
        assert_eq!(names(folder.path()), ["nodes.conf", "nodes.conf.lock"]);
        assert_eq!(fs::read(&path).unwrap(), b"four");
    }

    #[test]
    fn a_file_that_stock_has_locked_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let path = config(folder.path());
        let stock = File::create(&path).unwrap();
        stock.lock().unwrap();
        assert!(is_busy(&path));
        drop(stock);
        let error = ConfigLock::take(&folder.path().join("none/nodes.conf")).unwrap_err();
        assert!(matches!(error, LockError::Io(..)), "{error}");
        assert!(!is_busy(&path));
    }

    #[test]
    fn what_was_cut_off_is_removed_and_what_others_left_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["nodes.conf.tmp-12-1", "nodes.conf.tmp-1-1700000000000", "nodes.conf.tmp-x-1"]
        {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::write(folder.path().join("other.conf.tmp-12-1"), "").unwrap();
        drop(ConfigLock::take(&config(folder.path())).unwrap());
        let left = ["nodes.conf", "nodes.conf.lock", "nodes.conf.tmp-x-1", "other.conf.tmp-12-1"];
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn a_failed_replacement_leaves_file_and_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = config(folder.path());
        let mut lock = ConfigLock::take(&path).unwrap();
        lock.replace(b"good").unwrap();
        // A folder of that name cannot be opened as a file, whoever asks.
        let temp = temporary_name("nodes.conf", std::process::id(), 2);
        fs::create_dir(folder.path().join(temp)).unwrap();
        assert!(matches!(lock.replace(b"bad"), Err(ReplaceError::Unchanged(_))));
        assert!(is_busy(&path) && stock_is_refused(&path));
        lock.replace(b"better").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"better");
    }

    /// The real storage, whose names cannot be made durable, or not even given.
    #[derive(Debug)]
    struct Failing {
        real: RealStorage,
        renames: bool,
    }

    impl Storage for Failing {
        fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
            self.real.create(name)
        }
        fn open_append(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
            self.real.open_append(name)
        }
        fn open_read(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
            self.real.open_read(name)
        }
        fn read(&self, name: &str) -> io::Result<Contents> {
            self.real.read(name)
        }
        fn size(&self, name: &str) -> io::Result<Option<u64>> {
            self.real.size(name)
        }
        fn list(&self, folder: &str) -> io::Result<Vec<String>> {
            self.real.list(folder)
        }
        fn create_folder(&self, folder: &str) -> io::Result<()> {
            self.real.create_folder(folder)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            if self.renames { self.real.rename(from, to) } else { Err(io::ErrorKind::Other.into()) }
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.real.remove(name)
        }
        fn sync_folder(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
    }

    #[test]
    fn replacements_that_fail_for_long_hold_two_files_and_the_lock() {
        for renames in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = config(folder.path());
            let mut lock = ConfigLock::take(&path).unwrap();
            lock.replace(b"good").unwrap();
            let real = RealStorage::new(folder.path());
            let storage = std::mem::replace(&mut lock.storage, Arc::new(Failing { real, renames }));
            for round in 0..10 {
                let before = File::open(&path).unwrap();
                assert!(matches!(lock.replace(b"bad"), Err(ReplaceError::Uncertain(_))));
                assert_eq!(lock.held.len(), 2, "round {round}, {renames}");
                assert!(is_busy(&path) && stock_is_refused(&path), "round {round}, {renames}");
                assert!(before.try_lock().is_err(), "round {round}, {renames}");
            }
            lock.storage = storage;
            lock.replace(b"better").unwrap();
            assert_eq!(lock.held.len(), 2);
            assert_eq!(fs::read(&path).unwrap(), b"better");
            assert!(is_busy(&path) && stock_is_refused(&path));
        }
    }

    #[test]
    fn a_copied_folder_is_told_from_a_renamed_one() {
        let top = tempfile::tempdir().unwrap();
        let [first, renamed, copy] =
            ["a \"b\"", "renamed", "copy"].map(|name| top.path().join(name));
        fs::create_dir(&first).unwrap();
        let mut lock = ConfigLock::take(&config(&first)).unwrap();
        assert_eq!(lock.moved(), None);
        lock.note_place("me").unwrap();
        lock.note_place("me").unwrap();
        assert!(is_busy(&config(&first)));
        drop(lock);
        assert_eq!(ConfigLock::take(&config(&first)).unwrap().moved(), None);
        fs::create_dir(&copy).unwrap();
        for name in ["nodes.conf", "nodes.conf.lock"] {
            fs::copy(first.join(name), copy.join(name)).unwrap();
        }
        let mut lock = ConfigLock::take(&config(&copy)).unwrap();
        let from = first.canonicalize().unwrap().display().to_string();
        assert_eq!(lock.moved(), Some(&Moved { id: "me".to_owned(), from }));
        lock.note_place("me").unwrap();
        assert_eq!(lock.moved(), None);
        drop(lock);
        assert_eq!(ConfigLock::take(&config(&copy)).unwrap().moved(), None);
        RealStorage::new(top.path()).rename("a \"b\"", "renamed").unwrap();
        assert_eq!(ConfigLock::take(&config(&renamed)).unwrap().moved(), None);
    }

    #[test]
    fn notes_that_make_no_sense_are_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(folder.path()).unwrap();
        let line = place.line("me");
        assert_eq!(Place::read(line.as_bytes()), Some(("me".to_owned(), place)));
        for end in 0..line.len() {
            assert_eq!(Place::read(&line.as_bytes()[..end]), None);
        }
        fs::write(folder.path().join("nodes.conf.lock"), &line[..line.len() / 2]).unwrap();
        assert_eq!(ConfigLock::take(&config(folder.path())).unwrap().moved(), None);
    }
}
