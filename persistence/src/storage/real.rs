//! A folder of the file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Contents, ReadFile, Storage, StorageFile, map};

/// The files below a folder.
#[derive(Debug, Clone)]
pub struct RealStorage {
    root: PathBuf,
}

impl RealStorage {
    /// The storage whose `""` is `root`. Nothing is created.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `name` lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

impl Storage for RealStorage {
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.path(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile { file, end: AtomicU64::new(0) }))
    }

    fn open_append(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        let end = AtomicU64::new(file.metadata()?.len());
        Ok(Arc::new(RealFile { file, end }))
    }

    fn open_read(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(RealReadFile(File::open(self.path(name))?)))
    }

    fn read(&self, name: &str) -> io::Result<Contents> {
        map::contents(&File::open(self.path(name))?)
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(name)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not text is none of ours.
            if let (true, Ok(name)) =
                (entry.file_type()?.is_file(), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(self.path(folder))
    }

    #[expect(clippy::disallowed_methods, reason = "storage owns renames")]
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    #[expect(clippy::disallowed_methods, reason = "storage owns syncs")]
    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }

    fn display(&self, name: &str) -> String {
        Path::display(&self.path(name)).to_string()
    }
}

/// Not opened with O_APPEND, under which the kernel would append positioned writes too.
#[derive(Debug)]
struct RealFile {
    file: File,
    /// Where the next append goes: the size.
    end: AtomicU64,
}

impl StorageFile for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_at(self.end.load(Ordering::Relaxed), bytes)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let size = u64::try_from(bytes.len()).expect("a usize is at most 64 bits");
        let written = self.file.write_all_at(bytes, position);
        let end = match written {
            Ok(()) => position + size,
            // How far it came is not known.
            Err(_) => self.file.metadata().map_or(position + size, |metadata| metadata.len()),
        };
        self.end.fetch_max(end, Ordering::Relaxed);
        written
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.end.store(size, Ordering::Relaxed);
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "storage owns syncs")]
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[derive(Debug)]
struct RealReadFile(File);

impl ReadFile for RealReadFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            let at = position + u64::try_from(read).expect("a usize is at most 64 bits");
            match self.0.read_at(&mut buffer[read..], at) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_go_to_the_end_after_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let storage = RealStorage::new(folder.path());
        let file = storage.create("a").unwrap();
        file.append(b"0123456789").unwrap();
        file.truncate(4).unwrap();
        file.append(b"ab").unwrap();
        file.sync_data().unwrap();
        assert_eq!(&*storage.read("a").unwrap(), b"0123ab");
        assert_eq!(file.size().unwrap(), 6);
        file.write_at(2, b"xy").unwrap();
        file.write_at(6, b"z").unwrap();
        file.append(b"?").unwrap();
        assert_eq!(&*storage.read("a").unwrap(), b"01xyabz?");
        file.truncate(6).unwrap();
        storage.open_append("a").unwrap().append(b"!").unwrap();
        assert_eq!(storage.size("a").unwrap(), Some(7));
        storage.create("a").unwrap();
        assert_eq!(storage.size("a").unwrap(), Some(0));
    }

    #[test]
    fn a_file_open_for_reading_outlives_its_name() {
        let folder = tempfile::tempdir().unwrap();
        check_read_file(&RealStorage::new(folder.path()));
        check_read_file(&crate::storage::faulty::FaultyStorage::new());
    }

    fn check_read_file(storage: &dyn Storage) {
        assert_eq!(storage.open_read("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        let written = storage.create("a").unwrap();
        let read = storage.open_read("a").unwrap();
        written.append(b"0123456789").unwrap();
        storage.rename("a", "b").unwrap();
        storage.create("a").unwrap().append(b"another").unwrap();
        let mut buffer = [0; 6];
        assert_eq!(read.read_at(2, &mut buffer).unwrap(), 6);
        assert_eq!(&buffer, b"234567");
        storage.remove("b").unwrap();
        written.append(b"ab").unwrap();
        assert_eq!(read.size().unwrap(), 12);
        assert_eq!(read.read_at(8, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"89ab");
        assert_eq!(read.read_at(12, &mut buffer).unwrap(), 0);
        assert_eq!(read.read_at(100, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn names_are_listed_renamed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = RealStorage::new(folder.path());
        assert_eq!(storage.list("logs").unwrap(), Vec::<String>::new());
        storage.create_folder("logs").unwrap();
        storage.create_folder("logs").unwrap();
        storage.create("b").unwrap();
        storage.create("logs/a").unwrap();
        storage.rename("b", "logs/c").unwrap();
        storage.sync_folder("logs").unwrap();
        storage.sync_folder("").unwrap();
        assert_eq!(storage.list("logs").unwrap(), ["a", "c"]);
        assert_eq!(storage.list("").unwrap(), Vec::<String>::new());
        storage.remove("logs/a").unwrap();
        assert_eq!(storage.size("logs/a").unwrap(), None);
        assert_eq!(storage.open_append("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(storage.read("none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
