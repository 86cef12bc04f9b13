//! The stream bytes of one file of the log, from front to back.
//!
//! As in [`scan`](crate::log::scan) the way goes from annotation to annotation, and the checksum over everything in
//! between decides; only parts without annotations are parsed. Here the file is not in memory as a whole, and grows.

use memchr::memmem;

use super::window::Window;
use super::{Opened, PIECE_BYTES, ReadBackError};
use crate::checksum::LogCrc;
use crate::log::annotation::{self, ANNOTATION_BYTES_MAX, Annotation, Batch, Head, Line, Parsed};
use crate::log::reader::{Entries, EntryKind, Limits, ReadError, ReadErrorKind};
use crate::log::{LogOffset, room};

/// Up to this size a batch is kept while its end is searched for. A larger one is read twice: once for the checksum,
/// block by block, and once its size is known, into memory of that size.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Longest command in a part without annotations. Nothing tells whether its length is right before it has been read.
const COMMAND_BYTES_MAX: usize = 1 << 30;

/// What was written once is served; whether it may be executed is for others to say.
const LIMITS: Limits = Limits { argument_bytes_max: u64::MAX / 16, arguments_max: u64::MAX / 16 };

/// Where somebody stands in a file.
#[derive(Debug)]
pub(super) struct Piece {
    path: String,
    sequence: u64,
    window: Window,
    position: u64,
    /// Offset of the stream at `position`.
    at: LogOffset,
    /// Start of the checksums of the section; `None` where there are no annotations.
    seed: Option<LogCrc>,
    /// Whether a mark of an orderly stop stands right before `position`.
    clean: bool,
    /// Whether a head must come before anything else.
    needs_head: bool,
    finder: memmem::Finder<'static>,
}

/// What a caller wants of the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Bytes before this offset are passed over.
    pub(super) from: LogOffset,
    /// Nothing behind this offset is looked at.
    pub(super) up_to: LogOffset,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The piece stands further on.
    Passed,
    /// What stands here reaches past what is wanted.
    NotYet,
    /// The file ends here.
    End,
}

impl Piece {
    /// At the beginning of a file whose first stream byte is at `at`.
    pub(super) fn begin(opened: Opened, at: LogOffset) -> Self {
        Self {
            path: opened.path,
            sequence: opened.sequence,
            window: Window::new(opened.file),
            position: 0,
            at,
            seed: None,
            clean: false,
            needs_head: opened.annotated,
            finder: memmem::Finder::new(b"\n#hw batch "),
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Offset up to which the file has been gone through.
    pub(super) fn at(&self) -> LogOffset {
        self.at
    }

    /// Forgets what was read of the file when less of it was known to be written.
    pub(super) fn refresh(&mut self, up_to: LogOffset) {
        // Annotations take some room beside the stream, so this is mostly one read.
        let left = up_to.since(self.at).unwrap_or(0).saturating_mul(2);
        self.window.forget(left);
    }

    /// Goes over what stands here: an annotation, a batch, or commands without annotations. Wanted stream bytes are
    /// appended to `out`.
    ///
    /// # Errors
    /// Nothing was appended, and the piece stands where it stood.
    pub(super) fn step(
        &mut self,
        wanted: Wanted,
        out: &mut Vec<u8>,
    ) -> Result<Step, ReadBackError> {
        if self.is_at_end()? {
            return Ok(Step::End);
        }
        let rest = self.window.at(self.position, ANNOTATION_BYTES_MAX);
        let rest = rest.map_err(|source| io_error(&self.path, source))?;
        let is_foreign = self.clean && (rest.starts_with(b"*") || rest.starts_with(b"#TS:"));
        match Line::parse(rest) {
            Parsed::NewerVersion(version) => Err(self.bad(ReadErrorKind::NewerVersion(version))),
            Parsed::Line(Line { annotation: Annotation::Head(head), size, .. }) => {
                self.head(&head, size)
            }
            Parsed::Line(line @ Line { annotation: Annotation::Mark(mark), .. }) => {
                let good = self.seed.as_ref().is_some_and(|seed| line.is_good(seed));
                let size = line.size;
                self.mark(mark.end, mark.clean, size, good)
            }
            _ => match self.seed.clone() {
                Some(seed) if !is_foreign => self.batch(&seed, wanted, out),
                _ if self.needs_head => {
                    Err(self.bad(ReadErrorKind::Malformed("no head at the beginning of the file")))
                }
                _ => self.commands(wanted, out),
            },
        }
    }

    /// Whether nothing stands here but room, if anything.
    fn is_at_end(&mut self) -> Result<bool, ReadBackError> {
        // A multiple of a line of the room.
        const CHUNK: usize = 64 << 10;
        let mut at = self.position;
        loop {
            let bytes = self.window.at(at, if at == self.position { 64 } else { CHUNK });
            let bytes = bytes.map_err(|source| io_error(&self.path, source))?;
            if at == self.position {
                if bytes.is_empty() {
                    return Ok(true);
                }
                if !room::is_room(&bytes[..bytes.len().min(64)]) {
                    return Ok(false);
                }
                if bytes.len() < 64 {
                    return Ok(true);
                }
                at += 64;
                continue;
            }
            let chunk = &bytes[..bytes.len().min(CHUNK)];
            if !room::goes_on(chunk) {
                return Ok(false);
            }
            if chunk.len() < CHUNK {
                return Ok(true);
            }
            at += as_u64(CHUNK);
        }
    }

    fn head(&mut self, head: &Head, size: usize) -> Result<Step, ReadBackError> {
        let start = self.position + as_u64(size);
        let end = self.window.file().size().map_err(|source| io_error(&self.path, source))?;
        if head.local > end.saturating_sub(start) {
            return Err(self.bad(ReadErrorKind::CutShort));
        }
        let local = usize::try_from(head.local).map_err(|_| self.bad(ReadErrorKind::CutShort))?;
        let bytes = self.window.at(self.position, size + local);
        let bytes = bytes.map_err(|source| io_error(&self.path, source))?;
        let mut covered = annotation::seed(head.salt);
        covered.update(bytes.get(size..size + local).unwrap_or_default());
        let good = matches!(Line::parse(bytes), Parsed::Line(line) if line.is_good(&covered));
        if !good {
            return Err(self.bad(ReadErrorKind::WrongChecksum));
        }
        self.check_join(head.start)?;
        self.seed = Some(annotation::seed(head.salt));
        (self.clean, self.needs_head) = (false, false);
        self.position = start + head.local;
        Ok(Step::Passed)
    }

    fn mark(
        &mut self,
        end: LogOffset,
        clean: bool,
        size: usize,
        good: bool,
    ) -> Result<Step, ReadBackError> {
        if !good {
            return Err(self.bad(ReadErrorKind::WrongChecksum));
        }
        self.check_join(end)?;
        self.clean = clean;
        self.position += as_u64(size);
        Ok(Step::Passed)
    }

    fn batch(
        &mut self,
        seed: &LogCrc,
        wanted: Wanted,
        out: &mut Vec<u8>,
    ) -> Result<Step, ReadBackError> {
        let (batch, line_size) = self.find_batch(seed)?;
        let stream = batch.end.since(self.at).and_then(|stream| usize::try_from(stream).ok());
        let len = usize::try_from(batch.len).ok();
        let (Some(stream), Some(len)) = (stream, len) else {
            return Err(self.bad(ReadErrorKind::Malformed("a batch larger than memory")));
        };
        if batch.end > wanted.up_to {
            return Ok(Step::NotYet);
        }
        if batch.end > wanted.from {
            let own = out.len();
            let taken = self.take(seed, len, stream, out);
            taken.inspect_err(|_| out.truncate(own))?;
            let passed = wanted.from.since(self.at).unwrap_or(0);
            let passed = usize::try_from(passed).expect("less than the batch, which fits");
            out.drain(own..own + passed);
        }
        self.position += batch.len + as_u64(line_size);
        self.at = batch.end;
        self.clean = false;
        Ok(Step::Passed)
    }

    /// The batch that begins here, its checksum right, and the size of its annotation.
    fn find_batch(&mut self, seed: &LogCrc) -> Result<(Batch, usize), ReadBackError> {
        let start = self.position;
        let mut covered = seed.clone();
        let (mut covered_to, mut search) = (start, start);
        let mut kind = ReadErrorKind::CutShort;
        loop {
            let kept = if search - start < as_u64(KEPT_BYTES_MAX) { start } else { covered_to };
            let skip = as_usize(search - kept);
            let wanted = skip + self.finder.needle().len() + ANNOTATION_BYTES_MAX;
            let bytes = self.window.at(kept, wanted);
            let bytes = bytes.map_err(|source| io_error(&self.path, source))?;
            let Some(found) = self.finder.find(&bytes[skip..]) else {
                if bytes.len() < wanted {
                    return Err(self.bad(kind));
                }
                // The last bytes may be the beginning of what is searched for.
                let next = bytes.len() - self.finder.needle().len();
                covered.update(&bytes[as_usize(covered_to - kept)..next]);
                search = kept + as_u64(next);
                covered_to = search;
                continue;
            };
            let place = skip + found + 1;
            let bytes = self.window.at(kept, place + ANNOTATION_BYTES_MAX);
            let bytes = bytes.map_err(|source| io_error(&self.path, source))?;
            // The window can only move on with the checksum, so every candidate counts, not just the one that fits.
            covered.update(&bytes[as_usize(covered_to - kept)..place]);
            search = kept + as_u64(place);
            covered_to = search;
            let Parsed::Line(line) = Line::parse(&bytes[place..]) else { continue };
            let Annotation::Batch(batch) = line.annotation else { continue };
            kind = ReadErrorKind::WrongChecksum;
            if batch.len != search - start {
                continue;
            }
            let stream = batch.end.since(self.at);
            if line.is_good(&covered) && stream.is_some_and(|stream| stream <= batch.len) {
                return Ok((batch, line.size));
            }
        }
    }

    /// Appends the `stream` stream bytes among the `len` bytes from here on, which are a batch.
    fn take(
        &mut self,
        seed: &LogCrc,
        len: usize,
        stream: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadBackError> {
        let own = out.len();
        if let Some(bytes) = self.window.held(self.position, len) {
            out.extend_from_slice(bytes);
        } else {
            self.read_again(seed, len, out)?;
        }
        if stream < len {
            keep_commands(out, own).map_err(|kind| self.bad(kind))?;
        }
        if out.len() - own == stream {
            Ok(())
        } else {
            Err(self.bad(ReadErrorKind::Malformed("more or fewer bytes of stream than it says")))
        }
    }

    /// Appends the batch of `len` bytes from here on, which was too large to be kept. What is handed out is what the
    /// checksum has seen, so it is looked at once more.
    fn read_again(
        &mut self,
        seed: &LogCrc,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadBackError> {
        let failed = |source| io_error(&self.path, source);
        let own = out.len();
        out.try_reserve_exact(len).map_err(|_| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        out.resize(own + len, 0);
        let file = self.window.file();
        let read = file.read_at(self.position, &mut out[own..]).map_err(failed)?;
        let mut line = [0; ANNOTATION_BYTES_MAX];
        let line_at = self.position + as_u64(len);
        let line_read = file.read_at(line_at, &mut line).map_err(failed)?;
        let mut covered = seed.clone();
        covered.update(&out[own..]);
        match Line::parse(&line[..line_read]) {
            Parsed::Line(line) if read == len && line.is_good(&covered) => Ok(()),
            _ => Err(self.bad(ReadErrorKind::WrongChecksum)),
        }
    }

    /// Goes over commands that no annotation covers, as many as one piece holds.
    fn commands(&mut self, wanted: Wanted, out: &mut Vec<u8>) -> Result<Step, ReadBackError> {
        let mut least = 1;
        loop {
            let bytes = self.window.at(self.position, least);
            let bytes = bytes.map_err(|source| io_error(&self.path, source))?;
            let found = Commands::find(bytes, self.at, wanted, out);
            if found.size > 0 {
                self.position += as_u64(found.size);
                self.at = found.at;
                (self.seed, self.clean) = (None, false);
                return Ok(Step::Passed);
            }
            let (is_all, held) = (bytes.len() < least, bytes.len());
            match found.stop {
                Stop::Wanted => return Ok(Step::NotYet),
                Stop::Cut if is_all => return Err(self.bad(ReadErrorKind::CutShort)),
                Stop::Cut if held >= COMMAND_BYTES_MAX => {
                    return Err(self.bad(ReadErrorKind::Malformed("a command past its bound")));
                }
                Stop::Cut => least = held.saturating_mul(2).max(ANNOTATION_BYTES_MAX),
                Stop::Bad(kind) => return Err(self.bad(kind)),
            }
        }
    }

    fn check_join(&self, found: LogOffset) -> Result<(), ReadBackError> {
        let expected = self.at;
        if found == expected {
            return Ok(());
        }
        Err(self.bad(ReadErrorKind::Gap { expected, found }))
    }

    pub(super) fn bad(&self, kind: ReadErrorKind) -> ReadBackError {
        let position = usize::try_from(self.position).unwrap_or(usize::MAX);
        ReadBackError::Damaged { path: self.path.clone(), error: ReadError { position, kind } }
    }
}

/// What was found among commands without annotations.
struct Commands {
    /// Bytes gone over.
    size: usize,
    /// Offset behind them.
    at: LogOffset,
    stop: Stop,
}

enum Stop {
    /// Enough, or all that is wanted.
    Wanted,
    /// The bytes end, maybe inside a command.
    Cut,
    Bad(ReadErrorKind),
}

impl Commands {
    fn find(bytes: &[u8], at: LogOffset, wanted: Wanted, out: &mut Vec<u8>) -> Self {
        let own = out.len();
        let mut found = Self { size: 0, at, stop: Stop::Cut };
        let mut entries = Entries::new(bytes, Some(at)).with_limits(LIMITS).unverified();
        while out.len() - own < PIECE_BYTES {
            let Some(entry) = entries.next() else { return found };
            match entry {
                Ok(entry) => match entry.kind {
                    EntryKind::Comment(_) => {}
                    EntryKind::Annotation(_) => {
                        // A head is looked at on its own; anything else has lost its head.
                        let lost = ReadErrorKind::Malformed("an annotation without a head");
                        return Self { stop: Stop::Bad(lost), ..found };
                    }
                    EntryKind::Command { .. } => {
                        let end = entry.offset.advanced(entry.size);
                        if end > wanted.up_to {
                            return Self { stop: Stop::Wanted, ..found };
                        }
                        let passed = wanted.from.since(entry.offset).unwrap_or(0);
                        let passed = usize::try_from(passed).unwrap_or(usize::MAX).min(entry.size);
                        let range = entry.position + passed..entry.position + entry.size;
                        out.extend_from_slice(&bytes[range]);
                        found.at = end;
                    }
                },
                Err(ReadError {
                    kind: ReadErrorKind::CutShort | ReadErrorKind::OpenTransaction,
                    ..
                }) => return found,
                Err(error) => return Self { stop: Stop::Bad(error.kind), ..found },
            }
            found.size = entries.position();
        }
        Self { stop: Stop::Wanted, ..found }
    }
}

/// Takes out of `out`, from `own` on, what is no command.
fn keep_commands(out: &mut Vec<u8>, own: usize) -> Result<(), ReadErrorKind> {
    let mut commands = Vec::new();
    let mut entries = Entries::new(&out[own..], None).with_limits(LIMITS).unverified();
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if matches!(entry.kind, EntryKind::Command { .. }) => {
                let from = own + entry.position;
                commands.push(from..from + entry.size);
            }
            Ok(_) => {}
            Err(ReadError { kind: ReadErrorKind::OpenTransaction, .. }) => break,
            Err(error) => return Err(error.kind),
        }
    }
    let mut end = own;
    for command in commands {
        let size = command.len();
        out.copy_within(command, end);
        end += size;
    }
    out.truncate(end);
    Ok(())
}

fn io_error(path: &str, source: std::io::Error) -> ReadBackError {
    ReadBackError::Io { path: path.to_owned(), source }
}

fn as_u64(size: usize) -> u64 {
    u64::try_from(size).expect("a usize is at most 64 bits")
}

fn as_usize(size: u64) -> usize {
    usize::try_from(size).expect("a part of what is in memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::read_back::tests::Node;
    use crate::storage::Storage;

    #[test]
    fn a_batch_full_of_what_looks_like_its_end_is_not_kept() {
        let mut node = Node::new(1);
        let fake = b"\r\n#hw batch end=9 len=9 sync=0 crc=0123456789abcdef\r\n";
        let size = 4 * KEPT_BYTES_MAX;
        let value: Vec<u8> = fake.iter().copied().cycle().take(size).collect();
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${size}\r\n");
        let unit = [head.as_bytes(), &value, b"\r\n"].concat();
        let mut batch = Vec::new();
        node.add(&unit, &mut batch);
        node.write(batch);
        let opened = Opened {
            path: node.file.clone(),
            sequence: 1,
            file: node.storage.open_read(&node.file).unwrap(),
            start: Some(LogOffset(0)),
            annotated: true,
        };
        let mut piece = Piece::begin(opened, LogOffset(0));
        let wanted = Wanted { from: LogOffset(0), up_to: node.end() };
        let mut out = Vec::new();
        assert_eq!(piece.step(wanted, &mut out).unwrap(), Step::Passed);
        let begins = piece.position;
        assert_eq!(piece.step(wanted, &mut out).unwrap(), Step::Passed);
        assert!(out == unit);
        assert!(piece.window.held(begins + as_u64(KEPT_BYTES_MAX), size / 2).is_none());
    }
}
