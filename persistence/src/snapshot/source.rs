//! Buffered input: counts offsets, sums the checksum in large pieces, and keeps the bytes of an event in place.
//!
//! A small string is not copied: it stays in the buffer and is named by a [`Span`]. The buffer keeps everything
//! from the begin of the current event on, so several spans stay good while an event is put together. What cannot
//! stay there (large strings, decompressed ones, integers as text) goes to the scratch space of the event.
//!
//! Lengths in a file may lie. Memory for a large string is therefore taken as its bytes arrive, and a length is
//! compared with what is left of the input where that is known.

use std::io::{self, Read};

use super::encoding::push_integer;
use super::format::{length, special};
use super::{SnapshotError, lzf};
use crate::checksum::SnapshotCrc;

/// Size of the buffer. Large enough that system calls and checksums cost little per byte.
const BUFFER_BYTES: usize = 256 * 1024;
/// Longest string that stays in the buffer; an event has at most three, and they must fit together.
const IN_PLACE_MAX: usize = 32 * 1024;
/// How much memory is taken ahead of the bytes that arrive.
const STEP_BYTES: usize = 1024 * 1024;
/// Scratch space above this is given back after the event that needed it.
const SCRATCH_KEPT_BYTES: usize = 1024 * 1024;

const _: () = assert!(3 * IN_PLACE_MAX + 256 < BUFFER_BYTES);

/// Bytes of the current event, wherever they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Span {
    /// In the buffer, counted from the begin of the event.
    Buffer { start: usize, len: usize },
    /// In the scratch space.
    Scratch { start: usize, len: usize },
    /// In the packed collection being read.
    Blob { start: usize, len: usize },
}

/// A length, or what stands in its place where a string is expected.
enum Prefix {
    Length(u64),
    Special(u8),
}

/// The input of a reader.
pub(crate) struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Next byte to hand out, and end of what is in the buffer.
    at: usize,
    end: usize,
    /// Offset in the file of the buffer's first byte.
    base: u64,
    /// Bytes of the buffer before this are in the checksum.
    summed: usize,
    /// Bytes from here on belong to the current event.
    event: usize,
    crc: Option<SnapshotCrc>,
    /// Size of the whole input, where it is known.
    total: Option<u64>,
    string_bytes_max: u64,
    scratch: Vec<u8>,
    /// Compressed bytes too long to stay in the buffer.
    packed: Vec<u8>,
    /// What is being read, for errors.
    reading: &'static str,
    /// Where that began.
    reading_from: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(
        inner: R,
        total: Option<u64>,
        string_bytes_max: u64,
        with_checksum: bool,
    ) -> Self {
        // A short input, such as a DUMP payload, needs no large buffer.
        let room = total.and_then(|total| usize::try_from(total).ok()).unwrap_or(BUFFER_BYTES);
        Self {
            inner,
            buffer: vec![0; room.min(BUFFER_BYTES)],
            at: 0,
            end: 0,
            base: 0,
            summed: 0,
            event: 0,
            crc: with_checksum.then(SnapshotCrc::new),
            total,
            string_bytes_max,
            scratch: Vec::new(),
            packed: Vec::new(),
            reading: "header",
            reading_from: 0,
        }
    }

    /// Goes on with another piece of the same input: `inner` begins at `offset` of it. The memory of the buffers stays.
    pub(crate) fn restart(&mut self, inner: R, offset: u64) {
        self.inner = inner;
        (self.at, self.end, self.summed) = (0, 0, 0);
        self.base = offset;
        self.begin_event();
    }

    /// Offset of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Whether all of an input of known size has been used.
    pub(crate) fn is_at_end(&self) -> bool {
        self.left() == Some(0)
    }

    /// Ends the current event: its spans are no longer good.
    pub(crate) fn begin_event(&mut self) {
        self.event = self.at;
        if self.scratch.capacity() > SCRATCH_KEPT_BYTES {
            self.scratch = Vec::new();
        }
        self.scratch.clear();
    }

    /// Says what is read next, for errors.
    pub(crate) fn reading(&mut self, what: &'static str) {
        self.reading = what;
        self.reading_from = self.offset();
    }

    /// An error about what is being read.
    pub(crate) fn malformed(&self, problem: impl Into<String>) -> SnapshotError {
        SnapshotError::Malformed {
            offset: self.reading_from,
            reading: self.reading,
            problem: problem.into(),
        }
    }

    fn cut_short(&self) -> SnapshotError {
        SnapshotError::CutShort { offset: self.reading_from, reading: self.reading }
    }

    /// What is left of the input, where its size is known.
    fn left(&self) -> Option<u64> {
        self.total.map(|total| total.saturating_sub(self.offset()))
    }

    /// Refuses a claim of `count` things of at least `bytes_each` bytes that cannot be in what is left.
    pub(crate) fn check_count(&self, count: u64, bytes_each: u64) -> Result<(), SnapshotError> {
        match self.left() {
            Some(left) if count.saturating_mul(bytes_each) > left => Err(self.cut_short()),
            _ => Ok(()),
        }
    }

    /// The checksum of all bytes handed out so far.
    pub(crate) fn checksum(&mut self) -> Option<u64> {
        self.sum();
        self.crc.as_ref().map(SnapshotCrc::value)
    }

    fn sum(&mut self) {
        if let Some(crc) = &mut self.crc {
            crc.update(&self.buffer[self.summed..self.at]);
        }
        self.summed = self.at;
    }

    /// Makes sure that `bytes` bytes from `self.at` on are in the buffer.
    #[inline]
    fn need(&mut self, bytes: usize) -> Result<(), SnapshotError> {
        if self.end - self.at >= bytes { Ok(()) } else { self.refill(bytes) }
    }

    #[cold]
    fn refill(&mut self, bytes: usize) -> Result<(), SnapshotError> {
        // A short input has a buffer of its own size, so this also keeps the demand within the buffer.
        if self.left().is_some_and(|left| bytes as u64 > left) {
            return Err(self.cut_short());
        }
        self.sum();
        self.buffer.copy_within(self.event..self.end, 0);
        self.base += self.event as u64;
        self.at -= self.event;
        self.end -= self.event;
        self.summed -= self.event;
        self.event = 0;
        assert!(self.at + bytes <= self.buffer.len(), "the strings of one event fit the buffer");
        while self.end - self.at < bytes {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(self.cut_short()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SnapshotError::Io { offset: self.offset(), error }),
            }
        }
        Ok(())
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        self.need(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.at..self.at + N]);
        self.at += N;
        Ok(bytes)
    }

    /// The next byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, SnapshotError> {
        self.need(1)?;
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn prefix(&mut self) -> Result<Prefix, SnapshotError> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            length::BITS_6 => Prefix::Length(u64::from(first)),
            length::BITS_14 => {
                Prefix::Length(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?))
            }
            length::SPECIAL => Prefix::Special(first & 0x3f),
            _ if first == length::BITS_32 => {
                Prefix::Length(u64::from(u32::from_be_bytes(self.array()?)))
            }
            _ if first == length::BITS_64 => Prefix::Length(u64::from_be_bytes(self.array()?)),
            _ => return Err(self.malformed(format!("{first:#04x} begins no length"))),
        })
    }

    /// A length, or a number spelled as one.
    pub(crate) fn length(&mut self) -> Result<u64, SnapshotError> {
        match self.prefix()? {
            Prefix::Length(length) => Ok(length),
            Prefix::Special(_) => Err(self.malformed("a string stands where a number must")),
        }
    }

    /// A string, where it can stay in the buffer or else in the scratch space.
    pub(crate) fn string(&mut self) -> Result<Span, SnapshotError> {
        match self.prefix()? {
            Prefix::Length(length) => {
                let len = self.string_length(length)?;
                if len > IN_PLACE_MAX {
                    let start = self.scratch.len();
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let done = self.read_large(len, &mut scratch);
                    self.scratch = scratch;
                    return done.map(|()| Span::Scratch { start, len });
                }
                self.need(len)?;
                let start = self.at - self.event;
                self.at += len;
                Ok(Span::Buffer { start, len })
            }
            Prefix::Special(special::LZF) => self.compressed_string(),
            Prefix::Special(code) => {
                let value = match code {
                    special::INT8 => i64::from(i8::from_le_bytes(self.array()?)),
                    special::INT16 => i64::from(i16::from_le_bytes(self.array()?)),
                    special::INT32 => i64::from(i32::from_le_bytes(self.array()?)),
                    _ => return Err(self.unknown_encoding(code)),
                };
                Ok(self.integer(value))
            }
        }
    }

    /// Passes over a string without looking into it. Ends the current event.
    pub(crate) fn pass_string(&mut self) -> Result<(), SnapshotError> {
        let len = match self.prefix()? {
            Prefix::Length(length) => self.string_length(length)?,
            Prefix::Special(special::LZF) => {
                let packed_length = self.length()?;
                let packed_len = self.string_length(packed_length)?;
                self.length()?;
                packed_len
            }
            Prefix::Special(special::INT8) => 1,
            Prefix::Special(special::INT16) => 2,
            Prefix::Special(special::INT32) => 4,
            Prefix::Special(code) => return Err(self.unknown_encoding(code)),
        };
        self.pass(len)
    }

    /// Passes over `len` bytes. Ends the current event.
    #[inline]
    pub(crate) fn pass(&mut self, len: usize) -> Result<(), SnapshotError> {
        let mut left = len;
        loop {
            let step = left.min(self.end - self.at);
            self.at += step;
            self.event = self.at;
            left -= step;
            if left == 0 {
                return Ok(());
            }
            // A buffer may be as small as a short input, and what is left of the string is in that input.
            self.need(left.min(IN_PLACE_MAX))?;
        }
    }

    fn unknown_encoding(&self, code: u8) -> SnapshotError {
        self.malformed(format!("unknown string encoding {code}"))
    }

    /// The bytes a span names; `blob` is the packed collection being read, if any.
    #[inline]
    pub(crate) fn bytes<'a>(&'a self, span: Span, blob: &'a [u8]) -> &'a [u8] {
        match span {
            Span::Buffer { start, len } => &self.buffer[self.event + start..][..len],
            Span::Scratch { start, len } => &self.scratch[start..start + len],
            Span::Blob { start, len } => &blob[start..start + len],
        }
    }

    /// Gives the input back; bytes that were buffered but not handed out are lost.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Puts the text of an integer into the scratch space.
    pub(crate) fn integer(&mut self, value: i64) -> Span {
        let start = self.scratch.len();
        push_integer(value, &mut self.scratch);
        Span::Scratch { start, len: self.scratch.len() - start }
    }

    /// A string of the file, into `target`, whose content it replaces.
    pub(crate) fn string_into(&mut self, target: &mut Vec<u8>) -> Result<(), SnapshotError> {
        target.clear();
        let scratch_before = self.scratch.len();
        let span = self.string()?;
        if let Span::Scratch { start: 0, len } = span
            && len > IN_PLACE_MAX
        {
            std::mem::swap(&mut self.scratch, target);
            return Ok(());
        }
        target.extend_from_slice(self.bytes(span, &[]));
        self.scratch.truncate(scratch_before);
        Ok(())
    }

    fn string_length(&self, length: u64) -> Result<usize, SnapshotError> {
        if self.left().is_some_and(|left| length > left) {
            return Err(self.cut_short());
        }
        if length > self.string_bytes_max {
            let max = self.string_bytes_max;
            return Err(
                self.malformed(format!("a string of {length} bytes; at most {max} are read"))
            );
        }
        usize::try_from(length).map_err(|_| self.malformed("a string longer than memory"))
    }

    fn compressed_string(&mut self) -> Result<Span, SnapshotError> {
        let packed_length = self.length()?;
        let packed_len = self.string_length(packed_length)?;
        let length = self.length()?;
        if length > self.string_bytes_max {
            let max = self.string_bytes_max;
            return Err(
                self.malformed(format!("a string of {length} bytes; at most {max} are read"))
            );
        }
        let len = usize::try_from(length).map_err(|_| self.malformed("too long for memory"))?;
        let start = self.scratch.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        let done = if packed_len <= IN_PLACE_MAX {
            self.need(packed_len)?;
            let from = self.at;
            self.at += packed_len;
            lzf::decompress(&self.buffer[from..from + packed_len], len, &mut scratch)
        } else {
            let mut packed = std::mem::take(&mut self.packed);
            packed.clear();
            self.read_large(packed_len, &mut packed)?;
            let done = lzf::decompress(&packed, len, &mut scratch);
            if packed.capacity() <= SCRATCH_KEPT_BYTES {
                self.packed = packed;
            }
            done
        };
        self.scratch = scratch;
        done.map_err(|problem| self.malformed(problem))?;
        Ok(Span::Scratch { start, len })
    }

    /// Appends the next `len` bytes to `target`, taking memory as they arrive.
    fn read_large(&mut self, len: usize, target: &mut Vec<u8>) -> Result<(), SnapshotError> {
        let from = self.at;
        let buffered = len.min(self.end - from);
        target.extend_from_slice(&self.buffer[from..from + buffered]);
        self.at += buffered;
        self.sum();
        // The string is not needed in the buffer, and would crowd out the strings of the event that are: what is
        // behind it closes up, and only the offset by which the buffer is known moves on.
        self.buffer.copy_within(self.at..self.end, from);
        self.end -= buffered;
        self.at = from;
        self.summed = from;
        self.base += buffered as u64;
        let mut left = len - buffered;
        while left > 0 {
            let step = left.min(STEP_BYTES);
            let from = target.len();
            target.resize(from + step, 0);
            self.read_exact(&mut target[from..])?;
            if let Some(crc) = &mut self.crc {
                crc.update(&target[from..]);
            }
            self.base += step as u64;
            left -= step;
        }
        Ok(())
    }

    fn read_exact(&mut self, target: &mut [u8]) -> Result<(), SnapshotError> {
        let mut filled = 0;
        while filled < target.len() {
            match self.inner.read(&mut target[filled..]) {
                Ok(0) => return Err(self.cut_short()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SnapshotError::Io { offset: self.offset(), error }),
            }
        }
        Ok(())
    }
}
