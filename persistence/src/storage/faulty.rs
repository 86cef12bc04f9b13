//! A disk in memory that keeps exactly the promises a real one makes, and breaks on request.
//!
//! What was written and what is durable are kept apart, for bytes and for names. Every operation that changes
//! something is counted, so that a test can run a workload once to learn how many there are, and then again with a
//! fault at each of them: a crash (an append may be torn anywhere), or an error (an append may have written a part).
//! After a crash, [`FaultyStorage::after_kill`] shows what a killed process leaves, and
//! [`FaultyStorage::after_power_cut`] one of the many things that a power cut may leave.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Contents, ReadFile, Storage, StorageFile, folder_of};

/// Bytes that reach the disk together or not at all. Small, so that small tests have many of them.
const SECTOR_BYTES: usize = 32;

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation is the last: an append writes the first `torn` bytes (all when there are fewer), anything else
    /// happens if `torn` is not 0. Every later operation fails.
    Crash {
        /// Bytes that an append still writes.
        torn: usize,
    },
    /// The operation fails with this error, having written the first `torn` bytes of an append. A failed sync loses
    /// what it was to save for good, as kernels do.
    Error {
        /// The error.
        kind: io::ErrorKind,
        /// Bytes that an append still writes.
        torn: usize,
        /// How many operations fail, this one included. Reading and removing never fail.
        count: u64,
    },
}

/// What of the unsynced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Nothing.
    OnlySynced,
    /// Everything.
    AllWritten,
    /// A mixture drawn from a seed: of each folder's unsynced names a prefix in order, of each file's unsynced
    /// sectors some written, some as before or zero, the size anything between.
    Mixed(u64),
}

/// The disk. Clones share it.
#[derive(Debug, Clone)]
pub struct FaultyStorage(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    files: Vec<FileState>,
    /// Names as a process sees them.
    names: BTreeMap<String, usize>,
    /// Names as a power cut leaves them.
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since, in order, each in the folder that must be synced for it.
    unsynced: Vec<(String, NameChange)>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    /// What was done, for messages of failing tests.
    journal: Vec<String>,
}

#[derive(Debug, Default, Clone)]
struct FileState {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Bytes from here on may differ between the two.
    differs_from: usize,
    /// From here on a failed sync has lost bytes that no later sync of theirs saves.
    lost_from: Option<usize>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

impl Default for FaultyStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyStorage {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// A disk that holds `files`, durable.
    pub fn holding<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let storage = Self::new();
        {
            let mut disk = storage.disk();
            for (name, bytes) in files {
                let state = FileState {
                    differs_from: bytes.len(),
                    synced: bytes.clone(),
                    written: bytes,
                    lost_from: None,
                };
                let id = disk.files.len();
                disk.files.push(state);
                disk.names.insert(name.to_owned(), id);
            }
            disk.durable_names = disk.names.clone();
        }
        storage
    }

    /// This disk as a shared storage.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// Lets `fault` happen at operation number `at`, counted from 0.
    pub fn inject(&self, at: u64, fault: Fault) {
        self.disk().fault = Some((at, fault));
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Whether the crash has happened.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.disk().crashed
    }

    /// What was done, one operation after the other.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        self.disk().journal.clone()
    }

    /// All files by name.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        disk.names
            .iter()
            .map(|(name, id)| (name.clone(), disk.files[*id].written.clone()))
            .collect()
    }

    /// The disk as a killed process leaves it.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let disk = self.disk();
        let next = Disk {
            files: disk.files.clone(),
            names: disk.names.clone(),
            durable_names: disk.durable_names.clone(),
            unsynced: disk.unsynced.clone(),
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(next)))
    }

    /// The disk as a power cut may leave it.
    #[must_use]
    pub fn after_power_cut(&self, view: View) -> Self {
        let disk = self.disk();
        let mut random = Random(match view {
            View::Mixed(seed) => seed,
            View::OnlySynced | View::AllWritten => 0,
        });
        let mut names = disk.durable_names.clone();
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for (folder, _) in &disk.unsynced {
            *kept.entry(folder).or_default() += 1;
        }
        for count in kept.values_mut() {
            *count = match view {
                View::OnlySynced => 0,
                View::AllWritten => *count,
                View::Mixed(_) => random.below(*count + 1),
            };
        }
        for (folder, change) in &disk.unsynced {
            let left = kept.get_mut(folder.as_str()).expect("counted above");
            if *left > 0 {
                *left -= 1;
                change.apply(&mut names);
            }
        }
        let contents: Vec<_> =
            disk.files.iter().map(|file| file.after_power_cut(view, &mut random)).collect();
        Self::holding(names.iter().map(|(name, id)| (name.as_str(), contents[*id].clone())))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Rename(from, to, id) => {
                if names.get(from) == Some(id) {
                    names.remove(from);
                }
                names.insert(to.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl FileState {
    fn after_power_cut(&self, view: View, random: &mut Random) -> Vec<u8> {
        match view {
            View::OnlySynced => self.synced.clone(),
            View::AllWritten => self.written.clone(),
            View::Mixed(_) => {
                let same = self.differs_from;
                let longest = self.written.len().max(self.synced.len());
                let size = same + random.below(longest - same + 1);
                let mut bytes = self.written[..same].to_vec();
                while bytes.len() < size {
                    let end = ((bytes.len() / SECTOR_BYTES + 1) * SECTOR_BYTES).min(size);
                    let source: &[u8] = [&self.written[..], &self.synced, &[]][random.below(3)];
                    let from = bytes.len();
                    bytes.extend((from..end).map(|at| source.get(at).copied().unwrap_or(0)));
                }
                bytes
            }
        }
    }

    fn sync(&mut self) {
        let end = self.lost_from.unwrap_or(self.written.len()).min(self.written.len());
        self.synced = self.written[..end].to_vec();
        self.differs_from = end;
    }

    fn write(&mut self, position: usize, bytes: &[u8]) {
        let over = bytes.len().min(self.written.len() - position);
        self.written[position..position + over].copy_from_slice(&bytes[..over]);
        self.written.extend_from_slice(&bytes[over..]);
        self.differs_from = self.differs_from.min(position);
    }

    fn truncate(&mut self, size: usize) {
        self.written.resize(size, 0);
        self.differs_from = self.differs_from.min(size);
        if self.lost_from.is_some_and(|lost| lost >= size) {
            self.lost_from = None;
        }
    }
}

/// What an operation is to do.
enum Verdict {
    /// All of it.
    Done,
    /// The first bytes of an append; then the error.
    Partly(usize, io::Error),
}

impl Disk {
    fn operation(&mut self, what: String) -> Verdict {
        let number = self.operations;
        self.operations += 1;
        if self.crashed {
            return Verdict::Partly(0, io::Error::other("the node has crashed"));
        }
        self.journal.push(what);
        match self.fault {
            Some((at, Fault::Crash { torn })) if at == number => {
                self.crashed = true;
                Verdict::Partly(torn, io::Error::other("crash"))
            }
            Some((at, Fault::Error { kind, torn, count }))
                if number >= at && number - at < count =>
            {
                Verdict::Partly(torn, kind.into())
            }
            _ => Verdict::Done,
        }
    }

    /// An operation that happens or not.
    fn whole(&mut self, what: String, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        match self.operation(what) {
            Verdict::Done => {
                change(self);
                Ok(())
            }
            Verdict::Partly(torn, error) => {
                if self.crashed && torn > 0 {
                    change(self);
                }
                Err(error)
            }
        }
    }

    fn change_name(&mut self, folder: &str, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push((folder.to_owned(), change));
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for FaultyStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk();
        let mut id = disk.names.get(name).copied();
        disk.whole(format!("create {name}"), |disk| match id {
            Some(id) => disk.files[id].truncate(0),
            None => {
                let new = disk.files.len();
                disk.files.push(FileState::default());
                disk.change_name(folder_of(name), NameChange::Set(name.to_owned(), new));
                id = Some(new);
            }
        })?;
        let id = id.expect("created above");
        Ok(Arc::new(FaultyFile { storage: self.clone(), name: name.to_owned(), id }))
    }

    fn open_append(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let id = self.disk().find(name)?;
        Ok(Arc::new(FaultyFile { storage: self.clone(), name: name.to_owned(), id }))
    }

    fn open_read(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        let id = self.disk().find(name)?;
        Ok(Arc::new(FaultyReadFile { storage: self.clone(), id }))
    }

    fn read(&self, name: &str) -> io::Result<Contents> {
        let disk = self.disk();
        let id = disk.find(name)?;
        Ok(Contents::copied(disk.files[id].written.clone()))
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        let disk = self.disk();
        let id = disk.names.get(name);
        Ok(id.map(|id| u64::try_from(disk.files[*id].written.len()).expect("fits")))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let inside = disk.names.keys().filter(|name| folder_of(name) == folder);
        Ok(inside.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        // Folders come into being with their first file here: one less thing that tests have to mention.
        self.disk().whole(format!("create folder {folder}"), |_| {})
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let id = disk.find(from)?;
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), id);
        disk.whole(format!("rename {from} to {to}"), |disk| {
            disk.change_name(folder_of(to), change);
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.find(name)?;
        let removed = disk.whole(format!("remove {name}"), |disk| {
            disk.change_name(folder_of(name), NameChange::Remove(name.to_owned()));
        });
        match (removed, disk.crashed) {
            // Only a crash keeps a name: a full disk has room for less.
            (Err(_), false) => {
                disk.change_name(folder_of(name), NameChange::Remove(name.to_owned()));
                Ok(())
            }
            (result, _) => result,
        }
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.disk().whole(format!("sync folder {folder}"), |disk| {
            let (synced, left) = std::mem::take(&mut disk.unsynced)
                .into_iter()
                .partition::<Vec<_>, _>(|(of, _)| of == folder);
            for (_, change) in synced {
                change.apply(&mut disk.durable_names);
            }
            disk.unsynced = left;
        })
    }
}

#[derive(Debug)]
struct FaultyFile {
    storage: FaultyStorage,
    name: String,
    id: usize,
}

impl StorageFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.size()?;
        self.write_at(end, bytes)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut disk = self.storage.disk();
        let what = format!("write {} bytes to {} at {position}", bytes.len(), self.name);
        let verdict = disk.operation(what);
        let file = &mut disk.files[self.id];
        assert!(position <= file.written.len(), "a hole in {}", self.name);
        match verdict {
            Verdict::Done => {
                file.write(position, bytes);
                Ok(())
            }
            Verdict::Partly(torn, error) => {
                file.write(position, &bytes[..torn.min(bytes.len())]);
                Err(error)
            }
        }
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut disk = self.storage.disk();
        disk.whole(format!("cut {} to {size}", self.name), |disk| {
            disk.files[self.id].truncate(size)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.storage.disk();
        let result = disk.whole(format!("sync {}", self.name), |disk| disk.files[self.id].sync());
        if result.is_err() && !disk.crashed {
            let file = &mut disk.files[self.id];
            file.lost_from =
                Some(file.lost_from.unwrap_or(file.differs_from).min(file.differs_from));
        }
        result
    }

    fn size(&self) -> io::Result<u64> {
        let disk = self.storage.disk();
        Ok(u64::try_from(disk.files[self.id].written.len()).expect("fits"))
    }
}

/// Reading is no operation: it changes nothing, and no fault strikes there.
#[derive(Debug)]
struct FaultyReadFile {
    storage: FaultyStorage,
    id: usize,
}

impl ReadFile for FaultyReadFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.storage.disk();
        let written = &disk.files[self.id].written;
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(written.len());
        let read = buffer.len().min(written.len() - from);
        buffer[..read].copy_from_slice(&written[from..from + read]);
        Ok(read)
    }

    fn size(&self) -> io::Result<u64> {
        let disk = self.storage.disk();
        Ok(u64::try_from(disk.files[self.id].written.len()).expect("fits"))
    }
}

/// SplitMix64: the mixtures need a seed, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^= value >> 31;
        let bound = u64::try_from(bound).expect("fits");
        usize::try_from(value % bound).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_synced_bytes_and_names_survive_a_power_cut() {
        let storage = FaultyStorage::new();
        let file = storage.create("a/x").unwrap();
        file.append(b"one").unwrap();
        file.sync_data().unwrap();
        assert!(storage.after_power_cut(View::OnlySynced).files().is_empty(), "no name yet");
        storage.sync_folder("a").unwrap();
        file.append(b"two").unwrap();
        let left = storage.after_power_cut(View::OnlySynced).files();
        assert_eq!(left["a/x"], b"one");
        let left = storage.after_power_cut(View::AllWritten).files();
        assert_eq!(left["a/x"], b"onetwo");
        assert_eq!(storage.after_kill().files()["a/x"], b"onetwo");
    }

    #[test]
    fn overwritten_bytes_are_the_old_ones_until_synced() {
        let storage = FaultyStorage::new();
        let file = storage.create("x").unwrap();
        storage.sync_folder("").unwrap();
        file.append(b"0123456789").unwrap();
        file.sync_data().unwrap();
        file.write_at(4, b"abc").unwrap();
        file.write_at(9, b"de").unwrap();
        assert_eq!(storage.after_kill().files()["x"], b"0123abc78de");
        assert_eq!(storage.after_power_cut(View::OnlySynced).files()["x"], b"0123456789");
        file.sync_data().unwrap();
        assert_eq!(storage.after_power_cut(View::OnlySynced).files()["x"], b"0123abc78de");
    }

    #[test]
    fn a_failed_sync_loses_bytes_for_good() {
        let storage = FaultyStorage::new();
        let file = storage.create("x").unwrap();
        storage.sync_folder("").unwrap();
        file.append(b"one").unwrap();
        let at = storage.operations();
        storage.inject(at, Fault::Error { kind: io::ErrorKind::Other, torn: 0, count: 1 });
        file.sync_data().unwrap_err();
        file.append(b"two").unwrap();
        file.sync_data().unwrap();
        assert_eq!(storage.after_power_cut(View::OnlySynced).files()["x"], b"");
    }

    #[test]
    fn a_crash_tears_an_append_and_stops_everything() {
        let storage = FaultyStorage::new();
        let file = storage.create("x").unwrap();
        storage.inject(1, Fault::Crash { torn: 2 });
        file.append(b"one").unwrap_err();
        file.append(b"two").unwrap_err();
        assert!(storage.has_crashed());
        assert_eq!(storage.after_kill().files()["x"], b"on");
    }

    #[test]
    fn mixtures_keep_what_was_synced() {
        let storage = FaultyStorage::new();
        let file = storage.create("x").unwrap();
        storage.sync_folder("").unwrap();
        file.append(&[1; 100]).unwrap();
        file.sync_data().unwrap();
        file.append(&[2; 100]).unwrap();
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let left = storage.after_power_cut(View::Mixed(seed)).files().remove("x").unwrap();
            assert_eq!(left[..100], [1; 100]);
            assert!(left[100..].iter().all(|byte| matches!(byte, 0 | 2)), "{left:?}");
            sizes.insert(left.len());
        }
        assert!(sizes.len() > 20, "{sizes:?}");
    }
}
