//! One process per log: the folder of the log is locked as long as it is in use.
//!
//! Two processes that append to the same files would destroy them. The lock is on the folder itself (`flock`), so it
//! leaves nothing behind: the system takes it back when the process ends, however it ends. Snapshots need none, since
//! they are put in place by a rename; as with stock servers, several processes may share `dir` for them.

use std::fs::{File, TryLockError};
use std::path::Path;

use parking_lot::Mutex;

use crate::config::Config;

/// The lock of the log's folder, while the log is on.
#[derive(Debug, Default)]
pub(super) struct FolderLock(Mutex<Option<File>>);

impl FolderLock {
    /// Takes the folder of the log, making it where it is missing. Taking it again changes nothing.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made; in a sentence for the operator.
    pub(super) fn take(&self, config: &Config) -> Result<(), String> {
        let mut lock = self.0.lock();
        if lock.is_some() {
            return Ok(());
        }
        let path = Path::new(&config.dir).join(&config.appenddirname);
        let shown = path.display();
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(format!("Can't create the folder of the log {shown}: {error}"));
            }
            _ => {}
        }
        let folder = File::open(&path).map_err(|error| format!("{shown}: {error}"))?;
        match folder.try_lock() {
            Ok(()) => {
                *lock = Some(folder);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => {
                Err(format!("{shown} is in use by another process: its lock is taken. Exiting."))
            }
            Err(TryLockError::Error(error)) => {
                // Some network file systems have no locks; going on is what stock servers do everywhere.
                tracing::warn!(
                    "{shown} can't be locked: {error}. Keep other processes away from it."
                );
                Ok(())
            }
        }
    }

    /// Gives the folder back.
    pub(super) fn release(&self) {
        *self.0.lock() = None;
    }
}
