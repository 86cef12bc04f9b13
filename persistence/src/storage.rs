//! The seam to the disk: everything this crate reads, writes, renames or syncs goes through [`Storage`].
//!
//! So a test can stand in for the disk ([`faulty::FaultyStorage`]), stop at any operation and show what a power cut
//! could have left. Names are relative to the node's data folder, with `/` between folder and file; the folder
//! itself is `""`.
//!
//! What a crash may lose, for every implementation:
//!
//! * bytes appended or cut, until [`StorageFile::sync_data`] has returned;
//! * files created, renamed or removed, until [`Storage::sync_folder`] of their folder has returned (a synced file
//!   whose name was never synced is a file nobody can find).

pub mod faulty;
mod map;
mod real;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

pub use real::RealStorage;

/// A folder of files. Methods take `&self`: several threads use one storage.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates `name`, or empties it when it exists, and opens it for appending.
    ///
    /// # Errors
    /// The file may then exist or not.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the existing `name` for appending.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn open_append(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the existing `name` for reading, while others append to it, give it another name, or remove it: the result
    /// goes on showing the same file.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn open_read(&self, name: &str) -> io::Result<Arc<dyn ReadFile>>;

    /// The whole of `name`, which nobody may write or cut while the result lives (it may be a memory map).
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn read(&self, name: &str) -> io::Result<Contents>;

    /// Size of `name` in bytes, `None` when there is no such file.
    ///
    /// # Errors
    /// When the storage cannot tell.
    fn size(&self, name: &str) -> io::Result<Option<u64>>;

    /// Names (without the folder) of the files in `folder`, sorted; empty when there is no such folder.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Creates `folder` (mode 0755) unless it exists.
    ///
    /// # Errors
    /// The folder may then exist or not.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Gives the file `from` the name `to`; a file of that name is replaced atomically.
    ///
    /// # Errors
    /// The file then has one of the two names.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes `name`.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in `folder` durable.
    ///
    /// # Errors
    /// Nothing is known then: any of them may be lost in a power cut.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// How `name` is called in messages to people.
    fn display(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// An open file, written by one thread at a time.
pub trait StorageFile: Send + Sync + fmt::Debug {
    /// Appends all of `bytes`, as few write calls as the system allows (one, as a rule).
    ///
    /// # Errors
    /// Any number of the bytes may be in the file then: cut it before the next append.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `position`, which lies in the file or at its end, over what stands there.
    ///
    /// # Errors
    /// Any number of the bytes may be in the file then.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `size` bytes.
    ///
    /// # Errors
    /// The size is then unknown.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes everything that was appended or cut before the call durable. May take long; call it from a thread
    /// that may wait.
    ///
    /// # Errors
    /// Bytes may be lost *although a later sync succeeds*: the kernel forgets what it could not write. Never retry.
    fn sync_data(&self) -> io::Result<()>;

    /// Size in bytes.
    ///
    /// # Errors
    /// When the storage cannot tell.
    fn size(&self) -> io::Result<u64>;
}

/// A file open for reading, whatever happens to its name meanwhile. Reading changes nothing and has no position, so
/// several threads may share one.
pub trait ReadFile: Send + Sync + fmt::Debug {
    /// Reads bytes from `position` on into `buffer`, and says how many: fewer than fit only at the end of the file as it
    /// is right now, 0 at or behind it.
    ///
    /// # Errors
    /// What is in `buffer` then means nothing.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Size in bytes, right now.
    ///
    /// # Errors
    /// When the storage cannot tell.
    fn size(&self) -> io::Result<u64>;
}

/// The bytes of a file: a memory map of a finished file, or a copy.
#[derive(Debug)]
pub struct Contents(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(map::Mapping),
    Copied(Vec<u8>),
}

impl Contents {
    /// Contents that hold their own copy.
    #[must_use]
    pub fn copied(bytes: Vec<u8>) -> Self {
        Self(Bytes::Copied(bytes))
    }
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(mapping) => mapping.bytes(),
            Bytes::Copied(bytes) => bytes,
        }
    }
}

/// Folder part of a name: `a/b` is in `a`, `b` is in `""`.
#[must_use]
pub fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The name of `file` inside `folder`.
#[must_use]
pub fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}
