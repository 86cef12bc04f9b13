//! The log as a backlog: stream bytes of the past, read from the files while others append to them and remove them.
//!
//! A replica that asks for bytes older than the memory holds gets them from here, and a full sync gets everything
//! behind its base. What is handed out has been verified: a batch whose checksum is wrong is never served.
//!
//! The files that hold what is wanted are opened at once, under the lock of those who change their list, so a rewrite
//! that removes them does no harm. The file appended to may end in bytes that are being written just now; so nothing is
//! looked at behind the offset that the caller knows to be written.

mod piece;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use memchr::memmem;

use self::piece::{Piece, Step, Wanted};
use super::annotation::{ANNOTATION_BYTES_MAX, Annotation, Line, PREFIX, Parsed};
use super::reader::{ReadError, ReadErrorKind};
use super::{LogFiles, LogOffset};
use crate::storage::ReadFile;

/// Bytes handed out at a time, roughly: no further batch is added to as many.
pub const PIECE_BYTES: usize = 64 << 10;

/// Bytes at the end of a file among which its last annotation stands, unless room follows that a power cut brought back.
const TAIL_BYTES: u64 = 64 << 10;

/// Why the past cannot be read on.
#[derive(Debug)]
pub enum ReadBackError {
    /// The system's error.
    Io {
        /// File, as it is called in messages.
        path: String,
        /// The error.
        source: io::Error,
    },
    /// A file does not hold what was written.
    Damaged {
        /// File, as it is called in messages.
        path: String,
        /// What is wrong, and where.
        error: ReadError,
    },
    /// The files that hold what comes next have been removed.
    Gone {
        /// Offset of the next byte.
        offset: LogOffset,
        /// Where the files that are still there go on, as far as is known.
        next: Option<LogOffset>,
    },
}

impl fmt::Display for ReadBackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "cannot read {path}: {source}"),
            Self::Damaged { path, error } => write!(f, "{path}, {error}"),
            Self::Gone { offset, next: Some(next) } => {
                write!(f, "the log from offset {offset} to {next} is no longer on disk")
            }
            Self::Gone { offset, next: None } => {
                write!(f, "the log behind offset {offset} is no longer on disk")
            }
        }
    }
}

impl std::error::Error for ReadBackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Damaged { error, .. } => Some(error),
            Self::Gone { .. } => None,
        }
    }
}

/// A file of the log, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    /// As it is called in messages.
    pub(super) path: String,
    pub(super) sequence: u64,
    pub(super) file: Arc<dyn ReadFile>,
    /// Offset of its first stream byte, where known.
    pub(super) start: Option<LogOffset>,
    /// Whether it must begin with a head.
    pub(super) annotated: bool,
}

impl Opened {
    /// Looks for the start of a file that began after it was listed.
    fn look_for_start(&mut self) -> Result<(), ReadBackError> {
        if self.start.is_none() {
            let found = head_start(&*self.file);
            self.start =
                found.map_err(|source| ReadBackError::Io { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    fn is_empty(&self) -> Result<bool, ReadBackError> {
        let size = self.file.size();
        size.map(|size| size == 0)
            .map_err(|source| ReadBackError::Io { path: self.path.clone(), source })
    }
}

/// Reads stream bytes from an offset on. Made by [`LogFiles::read_back`].
#[derive(Debug)]
pub struct LogReadBack {
    files: Arc<LogFiles>,
    piece: Piece,
    /// The files behind, oldest first.
    behind: VecDeque<Opened>,
    /// Number of the last file that was opened.
    last_sequence: u64,
    /// Offset of the next byte.
    offset: LogOffset,
    /// What was known to be written when the files were last read.
    written: LogOffset,
}

impl LogReadBack {
    /// A reader from `from` on, which the first of `opened` holds: it starts at `start`.
    pub(super) fn new(
        files: Arc<LogFiles>,
        from: LogOffset,
        (first, start): (Opened, LogOffset),
        behind: VecDeque<Opened>,
    ) -> Self {
        assert!(start <= from, "the first file holds the first byte");
        let last_sequence = behind.back().unwrap_or(&first).sequence;
        let piece = Piece::begin(first, start);
        Self { files, piece, behind, last_sequence, offset: from, written: LogOffset(0) }
    }

    /// Offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> LogOffset {
        self.offset
    }

    /// Appends the next stream bytes to `out` and says how many: whole batches (whole commands where a stock server
    /// wrote), some [`PIECE_BYTES`] of them or one batch if that is larger, none when everything before `up_to` has been
    /// handed out. `up_to` is an offset known to be written. The first call goes through the file up to where the
    /// reader begins, verifying it, which may take a while: at the pace of reading from disk.
    ///
    /// # Errors
    /// Nothing was appended to `out`, and a next call begins at the same byte. After [`ReadBackError::Damaged`] and
    /// [`ReadBackError::Gone`] the files before are not offered again ([`LogFiles::first_offset`]).
    pub fn next(&mut self, up_to: LogOffset, out: &mut Vec<u8>) -> Result<usize, ReadBackError> {
        let own = out.len();
        if self.written != up_to {
            // What was read behind the offset then known may have been half written, or was cut back since.
            self.written = up_to;
            self.piece.refresh(up_to);
        }
        while self.offset < up_to && out.len() - own < PIECE_BYTES {
            let before = out.len();
            match self.step(up_to, out) {
                Ok(true) => self.offset = self.offset.advanced(out.len() - before),
                Ok(false) => break,
                // What is good comes first; the next call meets the same error.
                Err(_) if before > own => break,
                Err(error) => {
                    if !matches!(error, ReadBackError::Io { .. }) {
                        self.files.stop_serving(self.piece.sequence());
                    }
                    return Err(error);
                }
            }
        }
        Ok(out.len() - own)
    }

    /// One step on; whether there is more to do.
    fn step(&mut self, up_to: LogOffset, out: &mut Vec<u8>) -> Result<bool, ReadBackError> {
        let at = self.piece.at();
        if self.behind.front().is_some_and(|next| next.start == Some(at)) {
            // What else stands in this file is no part of the log: a tail that a power cut left, say.
            self.advance()?;
            return Ok(true);
        }
        match self.piece.step(Wanted { from: self.offset, up_to }, out)? {
            Step::Passed => Ok(true),
            Step::NotYet => Ok(false),
            Step::End => self.advance().map(|()| true),
        }
    }

    /// Goes on to the next file that holds anything.
    fn advance(&mut self) -> Result<(), ReadBackError> {
        let offset = self.piece.at();
        loop {
            if self.behind.is_empty() {
                self.behind = self.files.open_behind(self.last_sequence)?;
                if let Some(last) = self.behind.back() {
                    self.last_sequence = last.sequence;
                }
            }
            let Some(next) = self.behind.front_mut() else {
                return Err(self.piece.bad(ReadErrorKind::CutShort));
            };
            next.look_for_start()?;
            let (joins, next_start) = (next.start == Some(offset), next.start);
            // A file that was prepared by a rewrite, and never appended to, is passed over.
            if !joins && (next_start.is_some() || !next.is_empty()?) {
                return Err(ReadBackError::Gone { offset, next: next_start });
            }
            if let Some(next) = self.behind.pop_front().filter(|_| joins) {
                self.piece = Piece::begin(next, offset);
                self.piece.refresh(self.written);
                return Ok(());
            }
        }
    }
}

/// Where the first section of a file starts, as far as its head tells. The checksum is left to those who read on.
pub(super) fn head_start(file: &dyn ReadFile) -> io::Result<Option<LogOffset>> {
    let mut bytes = [0; ANNOTATION_BYTES_MAX];
    let read = file.read_at(0, &mut bytes)?;
    Ok(match Line::parse(&bytes[..read]) {
        Parsed::Line(Line { annotation: Annotation::Head(head), .. }) => Some(head.start),
        _ => None,
    })
}

/// Where the stream stands at the end of a file, as far as the last annotation near its end tells. The checksum is left to
/// those who read on.
pub(crate) fn tail_offset(file: &dyn ReadFile) -> io::Result<Option<LogOffset>> {
    let from = file.size()?.saturating_sub(TAIL_BYTES);
    let mut bytes = vec![0; usize::try_from(TAIL_BYTES).expect("some kilobytes")];
    let read = file.read_at(from, &mut bytes)?;
    let bytes = &bytes[..read];
    let lines = memmem::rfind_iter(bytes, PREFIX);
    let mut offsets = lines.filter_map(|place| {
        let begins = match place.checked_sub(1) {
            Some(before) => bytes[before] == b'\n',
            None => from == 0,
        };
        match Line::parse(&bytes[place..]) {
            Parsed::Line(line) if begins => Some(match line.annotation {
                Annotation::Head(head) => head.start,
                Annotation::Batch(batch) => batch.end,
                Annotation::Mark(mark) => mark.end,
            }),
            _ => None,
        }
    });
    Ok(offsets.next())
}

#[cfg(test)]
pub(super) mod tests;
