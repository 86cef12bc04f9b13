//! Standard output, or a file that others may rename or remove at any time.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where lines are written.
pub(super) enum Sink {
    Stdout,
    File(LogFile),
}

/// An open file and the path it should be at.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode, by which a file that was put in its place is told apart.
    identity: (u64, u64),
}

impl Sink {
    /// Standard output without a path.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout) };
        // Absolute, because `dir` may change the working folder later.
        Ok(Self::File(LogFile::open(std::path::absolute(path)?)?))
    }

    /// Writes a whole line. A line that cannot be written is lost: there is nobody to tell.
    pub(super) fn write(&mut self, line: &str) {
        let written = match self {
            Self::Stdout => io::stdout().lock().write_all(line.as_bytes()),
            Self::File(file) => file.write(line.as_bytes()),
        };
        drop(written);
    }
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let meta = file.metadata()?;
        Ok(Self { path, file, identity: (meta.dev(), meta.ino()) })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // One look at the path per line costs about a microsecond and spares logrotate a signal. If no new file can be
        // made, the old one still takes the line.
        let there = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        if there.ok() != Some(self.identity)
            && let Ok(new) = Self::open(self.path.clone())
        {
            *self = new;
        }
        self.file.write_all(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn file_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let old = folder.path().join("a.log.1");
        let mut sink = Sink::open(Some(&path)).unwrap();
        sink.write("one\n");
        fs::hard_link(&path, &old).unwrap();
        fs::remove_file(&path).unwrap();
        sink.write("two\n");
        fs::remove_file(&path).unwrap();
        sink.write("three\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn file_cut_in_place_goes_on_at_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = Sink::open(Some(&path)).unwrap();
        sink.write("one\n");
        fs::write(&path, "").unwrap();
        sink.write("two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn missing_folder_is_an_error() {
        assert!(Sink::open(Some(Path::new("/no/such/folder/a.log"))).is_err());
    }
}
