//! Whole-file replacement: after any crash the target is the old file or the new one, whole.
//!
//! The order is the point: write a temporary file, sync it, rename it over the target, sync the folder. Without the
//! first sync the name can become durable before the bytes (an empty file in the old one's place); without the
//! second a replacement that somebody was promised can vanish.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use crate::storage::{Storage, StorageFile, folder_of};

/// Replaces `target` by `bytes`, through the temporary file `temp`.
///
/// # Errors
/// See [`ReplaceError`]; the temporary file is gone.
pub fn replace(
    storage: &Arc<dyn Storage>,
    temp: &str,
    target: &str,
    bytes: &[u8],
) -> Result<(), ReplaceError> {
    let replacement = Replacement::begin(storage, temp, target).map_err(ReplaceError::Unchanged)?;
    replacement.file.append(bytes).map_err(ReplaceError::Unchanged)?;
    replacement.commit()
}

/// A failed replacement. Which of the two it was decides what may be cleaned up.
#[derive(Debug)]
pub enum ReplaceError {
    /// The target is as it was.
    Unchanged(io::Error),
    /// The target is the old file or the new one, and may be the other after a crash.
    Uncertain(io::Error),
}

impl ReplaceError {
    /// The system's error.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Unchanged(error) | Self::Uncertain(error) => error,
        }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged(error) => write!(f, "{error}"),
            Self::Uncertain(error) => write!(f, "{error}, while the new file was put in place"),
        }
    }
}

impl std::error::Error for ReplaceError {}

impl From<ReplaceError> for io::Error {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Unchanged(error) | ReplaceError::Uncertain(error) => error,
        }
    }
}

/// A replacement being written. Writes are not buffered here: hand it large pieces. Dropped without
/// [`Replacement::commit`] it removes its temporary file.
#[derive(Debug)]
pub struct Replacement {
    storage: Arc<dyn Storage>,
    file: Arc<dyn StorageFile>,
    temp: String,
    target: String,
    done: bool,
}

impl Replacement {
    /// Creates the temporary file `temp` that is to become `target`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn begin(storage: &Arc<dyn Storage>, temp: &str, target: &str) -> io::Result<Self> {
        assert_ne!(temp, target, "a file cannot replace itself");
        let file = storage.create(temp)?;
        let storage = Arc::clone(storage);
        Ok(Self { storage, file, temp: temp.to_owned(), target: target.to_owned(), done: false })
    }

    /// Makes what has been written so far durable, so that the last sync has less to do.
    ///
    /// # Errors
    /// Give the replacement up then: a failed sync is not retried.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Syncs the temporary file, gives it the target's name, syncs the folder.
    ///
    /// # Errors
    /// See [`ReplaceError`].
    pub fn commit(mut self) -> Result<(), ReplaceError> {
        self.file.sync_data().map_err(ReplaceError::Unchanged)?;
        self.storage.rename(&self.temp, &self.target).map_err(ReplaceError::Uncertain)?;
        self.done = true;
        self.storage.sync_folder(folder_of(&self.target)).map_err(ReplaceError::Uncertain)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = self.storage.remove(&self.temp)
        {
            // Nothing is lost: the next start removes what begins with `temp-`.
            debug_assert!(!self.temp.is_empty(), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealStorage;

    #[test]
    fn target_is_replaced_and_the_temporary_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder.path()));
        replace(&storage, "temp-x", "x", b"one").unwrap();
        replace(&storage, "temp-x", "x", b"two").unwrap();
        assert_eq!(&*storage.read("x").unwrap(), b"two");
        let mut given_up = Replacement::begin(&storage, "temp-x", "x").unwrap();
        given_up.write_all(b"three").unwrap();
        drop(given_up);
        assert_eq!(storage.list("").unwrap(), ["x"]);
        assert_eq!(&*storage.read("x").unwrap(), b"two");
    }
}
