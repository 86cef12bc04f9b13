//! The entries of a log file: commands, annotations, foreign comments, one after the other.
//!
//! The reader works on the bytes of a whole file and copies nothing: a command's arguments are places in those bytes,
//! noted in a list that is used again for the next command. Lengths in the file are compared with what is left, and
//! never taken for an allocation.

use super::LogOffset;
use super::annotation::{self, Annotation, Line, Parsed};
use super::room;
use crate::checksum::LogCrc;

/// Longest comment line in bytes, line end included, that stock loaders skip.
pub const COMMENT_BYTES_MAX: usize = 1023;

/// Bounds on what a command may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest argument in bytes.
    pub argument_bytes_max: u64,
    /// Most arguments of a command, its name included.
    pub arguments_max: u64,
}

impl Default for Limits {
    /// What no command that a server took can pass: `proto-max-bulk-len` may be set to anything, so the bound on an
    /// argument is what can be mapped at all; a request may have 2^31 - 1 arguments. Neither is ever allocated for:
    /// lengths are compared with what is left of the file.
    fn default() -> Self {
        Self { argument_bytes_max: 1 << 48, arguments_max: i32::MAX.unsigned_abs().into() }
    }
}

/// Where a reading stopped, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadError {
    /// Position in the file of the entry at fault.
    pub position: usize,
    /// What is wrong with it.
    pub kind: ReadErrorKind,
}

/// Kinds of [`ReadError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadErrorKind {
    /// The file ends inside the entry.
    CutShort,
    /// The file ends inside `MULTI` .. `EXEC`; the position is that of the `MULTI`.
    OpenTransaction,
    /// The bytes are not those of an entry.
    Malformed(&'static str),
    /// The bytes before an annotation are not those it was made of.
    WrongChecksum,
    /// An annotation names another offset than the bytes before it lead to.
    Gap {
        /// Offset that the bytes before lead to.
        expected: LogOffset,
        /// Offset that the annotation names.
        found: LogOffset,
    },
    /// Annotations of a later version.
    NewerVersion(u64),
}

impl std::fmt::Display for ReadErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CutShort => f.write_str("cut short"),
            Self::OpenTransaction => f.write_str("the file ends inside MULTI"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::WrongChecksum => f.write_str("wrong checksum"),
            Self::Gap { expected, found } => {
                write!(f, "offsets do not join: {expected} before, {found} behind")
            }
            Self::NewerVersion(version) => write!(f, "annotations of version {version}"),
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at byte {}: {}", self.position, self.kind)
    }
}

impl std::error::Error for ReadError {}

/// One entry of a file.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'e> {
    /// Position in the file.
    pub position: usize,
    /// Bytes of the entry.
    pub size: usize,
    /// Offset in the log before the entry.
    pub offset: LogOffset,
    /// What it is.
    pub kind: EntryKind<'e>,
}

/// Kinds of [`Entry`].
#[derive(Debug, Clone, Copy)]
pub enum EntryKind<'e> {
    /// A command.
    Command {
        /// Its name and arguments.
        args: Args<'e>,
        /// Which part of an execution unit it is.
        unit: UnitPart,
        /// Whether it is a local command, no part of the stream.
        local: bool,
    },
    /// A line of ours.
    Annotation(Line<'e>),
    /// Another comment line, line end included.
    Comment(&'e [u8]),
}

/// Part of an execution unit that a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitPart {
    /// A unit of its own.
    Whole,
    /// `MULTI`.
    First,
    /// Between `MULTI` and `EXEC`.
    Inner,
    /// `EXEC`.
    Last,
}

/// Name and arguments of a command; at least one.
#[derive(Clone, Copy)]
pub struct Args<'e> {
    bytes: &'e [u8],
    places: &'e [(usize, usize)],
}

impl<'e> Args<'e> {
    /// How many there are, the name included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a name")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Argument number `index`; 0 is the name.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'e [u8]> {
        self.places.get(index).map(|(start, end)| &self.bytes[*start..*end])
    }

    /// The command's name as it stands in the file.
    #[must_use]
    pub fn name(&self) -> &'e [u8] {
        self.get(0).expect("a command has a name")
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'e [u8]> + use<'e> {
        let bytes = self.bytes;
        self.places.iter().map(move |(start, end)| &bytes[*start..*end])
    }

    /// Start and end of each in the bytes of the file.
    #[must_use]
    pub fn places(&self) -> &'e [(usize, usize)] {
        self.places
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(<[u8]>::escape_ascii).map(|a| a.to_string()))
            .finish()
    }
}

/// Goes through a file from front to back, up to the room at its end. After an error there are no more entries.
#[derive(Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    offset: LogOffset,
    /// Whether a head must start at `offset`; if not, it says where that is.
    anchored: bool,
    local_left: u64,
    places: Vec<(usize, usize)>,
    limits: Limits,
    /// Position and offset of the open `MULTI`.
    open: Option<(usize, LogOffset)>,
    /// Checksums are looked at; holds the section's seed.
    verify: bool,
    seed: Option<LogCrc>,
    /// Where the bytes begin that the next batch annotation covers.
    batch_start: usize,
    /// The room at the end, once anything has looked like it.
    room: Option<room::End>,
    failed: bool,
}

impl<'a> Entries<'a> {
    /// The entries of a whole file. With `start` the first head must start there; without, counting begins at 0
    /// until a head tells. Checksums are verified.
    #[must_use]
    pub fn new(bytes: &'a [u8], start: Option<LogOffset>) -> Self {
        Self {
            bytes,
            at: 0,
            offset: start.unwrap_or_default(),
            anchored: start.is_some(),
            local_left: 0,
            places: Vec::new(),
            limits: Limits::default(),
            open: None,
            verify: true,
            seed: None,
            batch_start: 0,
            room: None,
            failed: false,
        }
    }

    /// Changes the bounds on commands.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads without looking at checksums and joins: for bytes that a plan has verified, or to look at broken ones.
    #[must_use]
    pub fn unverified(mut self) -> Self {
        self.verify = false;
        self
    }

    /// Takes the word of somebody who has looked for the room at the end of the file.
    pub(super) fn with_room(mut self, room: room::End) -> Self {
        self.room = Some(room);
        self
    }

    /// Begins at `position` in the file, which must be that of an entry.
    #[must_use]
    pub fn from_position(mut self, position: usize) -> Self {
        self.at = position;
        self.batch_start = position;
        self
    }

    /// Position behind the last entry returned.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Offset behind the last entry returned.
    #[must_use]
    pub fn offset(&self) -> LogOffset {
        self.offset
    }

    /// Position and offset behind the last whole execution unit: where a file without annotations may be cut.
    #[must_use]
    pub fn whole(&self) -> (usize, LogOffset) {
        self.open.unwrap_or((self.at, self.offset))
    }

    /// The next entry, `None` at the end of the file or behind an error.
    ///
    /// # Errors
    /// [`ReadError`]: the position is that of the entry at fault, all before it were good.
    #[expect(clippy::should_implement_trait, reason = "entries borrow from the reader")]
    pub fn next(&mut self) -> Option<Result<Entry<'_>, ReadError>> {
        if self.failed {
            return None;
        }
        let position = self.at;
        if position >= self.bytes.len() || self.is_at_room() {
            let (position, _) = self.open?;
            self.failed = true;
            return Some(Err(ReadError { position, kind: ReadErrorKind::OpenTransaction }));
        }
        let result = if self.bytes[position] == b'#' { self.comment() } else { self.command() };
        match result {
            Ok(found) => {
                let (size, offset) = (self.at - position, found.offset);
                let kind = match found.kind {
                    Kind::Command { unit, local } => {
                        let args = Args { bytes: self.bytes, places: &self.places };
                        EntryKind::Command { args, unit, local }
                    }
                    Kind::Annotation(line) => EntryKind::Annotation(line),
                    Kind::Comment(text) => EntryKind::Comment(text),
                };
                Some(Ok(Entry { position, size, offset, kind }))
            }
            Err(kind) => {
                self.failed = true;
                Some(Err(ReadError { position, kind }))
            }
        }
    }

    fn is_at_room(&mut self) -> bool {
        room::begins_like_room(&self.bytes[self.at..])
            && self
                .room
                .get_or_insert_with(|| room::End::find(self.bytes))
                .is_at(self.bytes, self.at)
    }

    fn comment(&mut self) -> Result<Found<'a>, ReadErrorKind> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(annotation::PREFIX) {
            match Line::parse(rest) {
                Parsed::Line(line) => return self.annotation(line),
                Parsed::NewerVersion(version) => return Err(ReadErrorKind::NewerVersion(version)),
                Parsed::Other => {}
            }
        }
        let window = &rest[..rest.len().min(COMMENT_BYTES_MAX)];
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            return Err(if rest.len() < COMMENT_BYTES_MAX {
                ReadErrorKind::CutShort
            } else {
                ReadErrorKind::Malformed("a comment line of 1024 bytes or more")
            });
        };
        let text = &rest[..=end];
        self.at += text.len();
        self.local_left = self.local_left.saturating_sub(as_u64(text.len()));
        Ok(Found { kind: Kind::Comment(text), offset: self.offset })
    }

    fn annotation(&mut self, line: Line<'a>) -> Result<Found<'a>, ReadErrorKind> {
        if self.verify {
            self.check(&line)?;
        }
        let offset = self.offset;
        self.at += line.size;
        self.batch_start = self.at;
        if let Annotation::Head(head) = line.annotation {
            self.seed = Some(annotation::seed(head.salt));
            self.offset = head.start;
            self.anchored = true;
            self.local_left = head.local;
            let local = usize::try_from(head.local).unwrap_or(usize::MAX);
            self.batch_start = self.at.saturating_add(local).min(self.bytes.len());
        }
        Ok(Found { kind: Kind::Annotation(line), offset })
    }

    fn check(&self, line: &Line<'_>) -> Result<(), ReadErrorKind> {
        let named = match line.annotation {
            Annotation::Head(head) => {
                let rest = &self.bytes[self.at + line.size..];
                let local = usize::try_from(head.local).ok().and_then(|local| rest.get(..local));
                let mut covered = annotation::seed(head.salt);
                covered.update(local.ok_or(ReadErrorKind::CutShort)?);
                if !line.is_good(&covered) {
                    return Err(ReadErrorKind::WrongChecksum);
                }
                if self.seed.is_some() && self.batch_start != self.at {
                    return Err(ReadErrorKind::Malformed("a head inside a batch"));
                }
                if !self.anchored {
                    return Ok(());
                }
                head.start
            }
            Annotation::Batch(batch) => {
                self.check_covered(line, self.batch_start, batch.len)?;
                batch.end
            }
            Annotation::Mark(mark) => {
                self.check_covered(line, self.at, as_u64(self.at.abs_diff(self.batch_start)))?;
                mark.end
            }
        };
        if named != self.offset {
            return Err(ReadErrorKind::Gap { expected: self.offset, found: named });
        }
        Ok(())
    }

    fn check_covered(&self, line: &Line<'_>, from: usize, len: u64) -> Result<(), ReadErrorKind> {
        let Some(seed) = &self.seed else {
            return Err(ReadErrorKind::Malformed("an annotation without a head"));
        };
        let mut covered = seed.clone();
        covered.update(&self.bytes[from.min(self.at)..self.at]);
        let covers_all = len == as_u64(self.at.abs_diff(self.batch_start));
        let good = covers_all && line.is_good(&covered);
        if good { Ok(()) } else { Err(ReadErrorKind::WrongChecksum) }
    }

    fn command(&mut self) -> Result<Found<'a>, ReadErrorKind> {
        let start = self.at;
        let (count, mut at) = self.number(start, b'*', self.limits.arguments_max)?;
        if count == 0 {
            return Err(ReadErrorKind::Malformed("a command without a name"));
        }
        self.places.clear();
        for _ in 0..count {
            let (length, from) = self.number(at, b'$', self.limits.argument_bytes_max)?;
            let to = usize::try_from(length).ok().and_then(|length| from.checked_add(length));
            let to = to.ok_or(ReadErrorKind::CutShort)?;
            match self.bytes.get(to..to.saturating_add(2)) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ReadErrorKind::Malformed("no line end behind an argument")),
                None => return Err(ReadErrorKind::CutShort),
            }
            self.places.push((from, to));
            at = to + 2;
        }
        let offset = self.offset;
        let unit = self.unit(start)?;
        let size = as_u64(at - start);
        let local = self.local_left >= size;
        if local {
            self.local_left -= size;
        } else {
            // A head may name any offset, and a damaged one does where checksums are not looked at.
            let after = offset.0.checked_add(size);
            self.offset =
                after.map(LogOffset).ok_or(ReadErrorKind::Malformed("an offset past 2^64"))?;
        }
        self.at = at;
        Ok(Found { kind: Kind::Command { unit, local }, offset })
    }

    fn unit(&mut self, start: usize) -> Result<UnitPart, ReadErrorKind> {
        let (from, to) = self.places[0];
        let name = &self.bytes[from..to];
        // Both names have a length few others have, so most commands cost one comparison here.
        let multi = name.len() == 5 && name.eq_ignore_ascii_case(b"multi");
        match (self.open, multi) {
            (None, true) => {
                self.open = Some((start, self.offset));
                Ok(UnitPart::First)
            }
            (None, false) => Ok(UnitPart::Whole),
            (Some(_), true) => Err(ReadErrorKind::Malformed("MULTI inside MULTI")),
            (Some(_), false) if name.len() == 4 && name.eq_ignore_ascii_case(b"exec") => {
                self.open = None;
                Ok(UnitPart::Last)
            }
            (Some(_), false) => Ok(UnitPart::Inner),
        }
    }

    /// The number of the line at `at`, which begins with `marker`, and the position behind the line.
    fn number(&self, at: usize, marker: u8, max: u64) -> Result<(u64, usize), ReadErrorKind> {
        let Some(rest) = self.bytes.get(at..) else { return Err(ReadErrorKind::CutShort) };
        let Some((first, digits)) = rest.split_first() else { return Err(ReadErrorKind::CutShort) };
        if *first != marker {
            return Err(ReadErrorKind::Malformed(if marker == b'*' {
                "no command where one must begin"
            } else {
                "no argument where one must begin"
            }));
        }
        let mut value: u64 = 0;
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = digits.get(length) {
            value = value * 10 + u64::from(digit - b'0');
            if value > max {
                return Err(ReadErrorKind::Malformed("a number past its bound"));
            }
            length += 1;
        }
        match digits.get(length..length + 2) {
            Some(b"\r\n") if length > 0 => Ok((value, at + 1 + length + 2)),
            Some(_) => Err(ReadErrorKind::Malformed("no number where one must stand")),
            None if digits.len() == length || (length > 0 && digits[length..] == *b"\r") => {
                Err(ReadErrorKind::CutShort)
            }
            None => Err(ReadErrorKind::Malformed("no number where one must stand")),
        }
    }
}

/// An entry before its arguments are borrowed.
struct Found<'a> {
    kind: Kind<'a>,
    offset: LogOffset,
}

enum Kind<'a> {
    Command { unit: UnitPart, local: bool },
    Annotation(Line<'a>),
    Comment(&'a [u8]),
}

fn as_u64(size: usize) -> u64 {
    u64::try_from(size).expect("a usize is at most 64 bits")
}

#[cfg(test)]
mod tests;
