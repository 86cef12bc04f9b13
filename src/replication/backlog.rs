//! The last bytes of the stream in memory, for all replicas together.
//!
//! ```text
//!   first          size            end
//!     | block | block | block | blo..|        blocks are filled once, given up whole, and used again
//! ```

use std::collections::VecDeque;

/// Bytes of a block.
const BLOCK_BYTES: usize = 16 * 1024;

/// Blocks given up that are kept to be filled again.
const SPARE_BLOCKS: usize = 4;

/// The bytes of the stream from one offset to another.
#[derive(Debug)]
pub struct Backlog {
    /// All but the last are full.
    blocks: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    first: u64,
    end: u64,
    bytes_min: u64,
}

impl Backlog {
    /// Holds nothing yet: the next byte is the one behind offset `end`. Keeps the last `bytes_min` bytes, and up to a
    /// block more.
    #[must_use]
    pub fn new(end: u64, bytes_min: u64) -> Self {
        let (blocks, spare) = (VecDeque::new(), Vec::new());
        Self { blocks, spare, first: end, end, bytes_min }
    }

    /// Offset before the first byte held.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Offset behind the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == self.first
    }

    /// How many bytes are kept at least.
    #[must_use]
    pub fn bytes_min(&self) -> u64 {
        self.bytes_min
    }

    /// Changes how many bytes are kept at least (`repl-backlog-size`).
    pub fn resize(&mut self, bytes_min: u64) {
        self.bytes_min = bytes_min;
    }

    /// Adds `bytes` behind the end. Gives up what is older than the last `bytes_min` bytes, but nothing behind
    /// `needed_from`.
    pub fn append(&mut self, mut bytes: &[u8], needed_from: u64) {
        while !bytes.is_empty() {
            if self.blocks.back().is_none_or(|block| block.len() == BLOCK_BYTES) {
                let block = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
                self.blocks.push_back(block);
            }
            let block = self.blocks.back_mut().expect("there is one now");
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - block.len()));
            block.extend_from_slice(now);
            self.end += now.len() as u64;
            bytes = later;
        }
        self.give_up(needed_from);
    }

    fn give_up(&mut self, needed_from: u64) {
        while let Some(block) = self.blocks.front() {
            let next = self.first + block.len() as u64;
            if self.end - next < self.bytes_min || next > needed_from {
                return;
            }
            let mut block = self.blocks.pop_front().expect("it was looked at");
            self.first = next;
            if self.spare.len() < SPARE_BLOCKS {
                block.clear();
                self.spare.push(block);
            }
        }
    }

    /// Copies the bytes behind offset `from` into `buffer`, as many as there are and fit. `None`: they are no longer
    /// held, or have never been.
    pub fn read(&self, from: u64, buffer: &mut [u8]) -> Option<usize> {
        if from < self.first || from > self.end {
            return None;
        }
        let skipped = usize::try_from(from - self.first).expect("it is held in memory");
        let (mut block, mut at) = (skipped / BLOCK_BYTES, skipped % BLOCK_BYTES);
        let mut copied = 0;
        while copied < buffer.len() && block < self.blocks.len() {
            let bytes = &self.blocks[block][at..];
            let count = bytes.len().min(buffer.len() - copied);
            buffer[copied..copied + count].copy_from_slice(&bytes[..count]);
            copied += count;
            (block, at) = (block + 1, 0);
        }
        Some(copied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is behind `from`, read in pieces of `piece` bytes.
    fn read_all(backlog: &Backlog, mut from: u64, piece: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            let count = backlog.read(from, &mut buffer).expect("it is held");
            if count == 0 {
                return all;
            }
            all.extend_from_slice(&buffer[..count]);
            from += count as u64;
        }
    }

    #[test]
    fn every_offset_held_gives_the_bytes_behind_it() {
        let mut random = fastrand::Rng::with_seed(11);
        let start = 1000;
        let mut stream: Vec<u8> = Vec::new();
        let mut backlog = Backlog::new(start, 100_000);
        for _ in 0..300 {
            let piece: Vec<u8> = (0..random.usize(0..5000)).map(|_| random.u8(..)).collect();
            stream.extend_from_slice(&piece);
            backlog.append(&piece, u64::MAX);
            assert_eq!(backlog.end(), start + stream.len() as u64);
            let from = random.u64(backlog.first()..=backlog.end());
            let skipped = usize::try_from(from - start).expect("small");
            let expected = &stream[skipped..];
            assert_eq!(read_all(&backlog, from, random.usize(1..40_000)), expected);
            assert!(backlog.len() >= stream.len().min(100_000) as u64);
            assert!(backlog.len() < 100_000 + BLOCK_BYTES as u64);
        }
        assert!(backlog.read(backlog.first() - 1, &mut [0]).is_none());
        assert!(backlog.read(backlog.end() + 1, &mut [0]).is_none());
    }

    #[test]
    fn what_somebody_needs_is_kept() {
        let mut backlog = Backlog::new(0, 1);
        for _ in 0..100 {
            backlog.append(&[1; 3000], 5000);
        }
        assert!(backlog.first() <= 5000 && backlog.end() == 300_000, "{}", backlog.first());
        backlog.append(&[1], u64::MAX);
        assert!(backlog.len() <= BLOCK_BYTES as u64);
    }
}
