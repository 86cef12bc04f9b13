//! Memory maps of finished files: the only unsafe code of this crate.
//!
//! A map saves the copy of a file that is read once from front to back, and lets the kernel read ahead. It is taken
//! only of files that nobody writes: a file cut by somebody while it is mapped kills the process that touches the
//! missing pages. Small files are copied, as is every file that cannot be mapped; a test compares the two paths.

use std::fs::File;
use std::io::{self, Read};

use memmap2::{Advice, Mmap};

use super::{Bytes, Contents};

/// Below this size in bytes a copy is cheaper than a map and its page faults.
const MAPPED_BYTES_MIN: u64 = 64 * 1024;

/// A read-only map of a whole file.
#[derive(Debug)]
pub(super) struct Mapping(Mmap);

impl Mapping {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The whole of `file`: mapped when it is large and can be mapped, else copied.
pub(super) fn contents(file: &File) -> io::Result<Contents> {
    let size = file.metadata()?.len();
    if size >= MAPPED_BYTES_MIN
        && let Ok(mapping) = map(file)
    {
        return Ok(Contents(Bytes::Mapped(mapping)));
    }
    copy(file, size)
}

#[expect(unsafe_code, reason = "a map's contents change when somebody writes the file")]
fn map(file: &File) -> io::Result<Mapping> {
    // SAFETY: `Storage::read` promises on behalf of its caller that nobody writes or cuts the file while the
    // contents live. Recovery keeps that: it reads before the log is opened for appending, and drops what it read
    // before it cuts.
    let mapping = unsafe { Mmap::map(file)? };
    // A hint: reading ahead is what makes the map fast. Without it everything works, more slowly.
    if let Err(error) = mapping.advise(Advice::Sequential) {
        debug_assert!(error.raw_os_error().is_some(), "advice is a system call: {error}");
    }
    Ok(Mapping(mapping))
}

fn copy(mut file: &File, size: u64) -> io::Result<Contents> {
    // The size is a hint for the first allocation; files change sizes only under people's hands here.
    let room = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.read_to_end(&mut bytes)?;
    Ok(Contents::copied(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn map_and_copy_show_the_same_bytes() {
        for size in [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, MAPPED_BYTES_MIN * 3 + 7] {
            let mut file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251).to_le_bytes()[0]).collect();
            file.write_all(&bytes).unwrap();
            let read = {
                use std::io::Seek;
                file.rewind().unwrap();
                contents(&file).unwrap()
            };
            assert_eq!(&*read, &bytes[..]);
            assert_eq!(matches!(read.0, Bytes::Mapped(_)), size >= MAPPED_BYTES_MIN);
            if size > 0 {
                assert_eq!(map(&file).unwrap().bytes(), &bytes[..]);
            }
        }
    }
}
