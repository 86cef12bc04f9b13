//! A part of a file in memory, which moves on with whoever reads it.

use std::io;
use std::sync::Arc;

use crate::storage::ReadFile;

/// Bytes read at a time, unless the reader needs more: enough to make a call cheap beside what it copies.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// The bytes of a file from some position on.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn ReadFile>,
    start: u64,
    bytes: Vec<u8>,
    block: usize,
}

impl Window {
    pub(super) fn new(file: Arc<dyn ReadFile>) -> Self {
        Self { file, start: 0, bytes: Vec::new(), block: BLOCK_BYTES }
    }

    /// Forgets what was read, since the file may have changed. Later reads take `block` bytes, within bounds: there is
    /// no use in reading far behind what anybody will look at.
    pub(super) fn forget(&mut self, block: u64) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BLOCK_BYTES);
        self.block = usize::try_from(block).unwrap_or(usize::MAX).clamp(4096, BLOCK_BYTES);
    }

    /// The bytes from `position` on that are at hand, at least `wanted` of them unless the file ends before. What
    /// stands before `position` is forgotten.
    ///
    /// # Errors
    /// The file cannot be read, or there is no memory for `wanted` bytes.
    pub(super) fn at(&mut self, position: u64, wanted: usize) -> io::Result<&[u8]> {
        let skip = position.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| *skip <= self.bytes.len());
        if let Some(skip) = skip
            && self.bytes.len() - skip >= wanted
        {
            return Ok(&self.bytes[skip..]);
        }
        match skip {
            Some(skip) => drop(self.bytes.drain(..skip)),
            None => self.bytes.clear(),
        }
        self.start = position;
        while self.bytes.len() < wanted {
            if self.read_more(wanted)? == 0 {
                break;
            }
        }
        Ok(&self.bytes)
    }

    fn read_more(&mut self, wanted: usize) -> io::Result<usize> {
        let held = self.bytes.len();
        let more = self.block.max(wanted - held);
        self.bytes.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.bytes.resize(held + more, 0);
        let from = self.start + u64::try_from(held).expect("a usize is at most 64 bits");
        let read = self.file.read_at(from, &mut self.bytes[held..]);
        self.bytes.truncate(held + read.as_ref().map_or(0, |read| *read));
        read
    }

    /// The `len` bytes from `position` on, if they are at hand.
    pub(super) fn held(&self, position: u64, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(len)?)
    }

    /// The file itself.
    pub(super) fn file(&self) -> &dyn ReadFile {
        &*self.file
    }
}
