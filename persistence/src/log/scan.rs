//! How far a file of the log is good, and what stands behind.
//!
//! Where annotations tell the end of each batch, commands need not be parsed: the next annotation is searched for, and
//! the checksum over everything in between decides. No value that a client chose can pass for an annotation, since
//! every checksum starts from the section's random salt. Parts without annotations (files of stock servers) are
//! parsed, because only that tells whether they are whole.
//!
//! Behind the first bad place only one question is left: was the bad place ever durable? The largest `sync` of the
//! annotations there answers it. Spec: `docs/format.md`, section 3.

use memchr::memmem;

use super::annotation::{self, Annotation, Batch, Head, Line, Parsed};
use super::reader::{Entries, EntryKind, ReadError, ReadErrorKind};
use super::room;
use super::{Lineage, LogOffset};
use crate::checksum::LogCrc;

/// How many times the size of a bad part may be read to verify what stands in it. Lines made up to look like
/// annotations of overlapping batches must not keep a node from starting.
const VERIFY_TIMES_MAX: usize = 16;

/// What is known at a place between two entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Offset in the log.
    pub offset: LogOffset,
    /// Whether anything has told the offset; otherwise bytes were counted from 0.
    pub anchored: bool,
    /// Whose bytes they are, as far as a head told.
    pub lineage: Option<Lineage>,
    /// Up to here the bytes are those of `lineage`; a stock server may have appended more.
    pub lineage_end: LogOffset,
    /// Whether a mark of an orderly stop stands right before this place.
    pub clean: bool,
    /// Whether that was the stop of a replica.
    pub follows: bool,
}

impl Standing {
    /// At the beginning of a log whose first byte is at `start`, if that is known.
    #[must_use]
    pub fn at_start(start: Option<LogOffset>) -> Self {
        Self {
            offset: start.unwrap_or_default(),
            anchored: start.is_some(),
            lineage: None,
            lineage_end: start.unwrap_or_default(),
            clean: false,
            follows: false,
        }
    }
}

/// What was found in a file.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Size of the good part in bytes.
    pub good: usize,
    /// Offset before the first stream byte, as the beginning or the first head told.
    pub start: LogOffset,
    /// What is known at its end.
    pub standing: Standing,
    /// Why it ends there; `None`: the whole file is good.
    pub problem: Option<ReadError>,
    /// Largest `sync` of the annotations in the good part.
    pub durable: LogOffset,
    /// Bytes that no annotation covers.
    pub unverified: usize,
    /// Bytes of room behind the good part, up to the end of the file.
    pub room: usize,
    /// What stands behind the good part.
    pub behind: Behind,
    /// Whether the problem is one of annotations, rather than of a file that has none.
    pub annotated: bool,
}

/// What stands behind the first bad place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behind {
    /// Whole batches whose checksum is right.
    pub batches: usize,
    /// Lines of the grammar of annotations.
    pub lines: usize,
    /// Largest `sync` that has to be believed.
    pub durable: LogOffset,
}

/// Looks at `bytes`, a whole file, which begins at `from`. `begins_with_head`: the manifest says that a node of ours
/// created it, so whatever else stands at its beginning never was durable, or is damaged.
#[must_use]
pub fn scan(bytes: &[u8], from: Standing, begins_with_head: bool) -> Scan {
    let mut scanner = Scanner {
        bytes,
        room: room::End::find(bytes),
        at: 0,
        start: from.offset,
        standing: from,
        seed: None,
        needs_head: begins_with_head,
        durable: LogOffset(0),
        unverified: 0,
    };
    let problem = scanner.run();
    let behind = match problem {
        Some(_) => behind(bytes, scanner.at, scanner.seed.clone()),
        None => Behind::default(),
    };
    Scan {
        good: scanner.at,
        start: scanner.start,
        standing: scanner.standing,
        problem,
        durable: scanner.durable,
        unverified: scanner.unverified,
        room: if problem.is_none() { bytes.len() - scanner.at } else { 0 },
        behind,
        annotated: begins_with_head || scanner.seed.is_some() || behind.lines > 0,
    }
}

/// Goes from annotation to annotation; everything before `at` is good.
struct Scanner<'a> {
    bytes: &'a [u8],
    /// The room at its end.
    room: room::End,
    at: usize,
    start: LogOffset,
    standing: Standing,
    /// Start of the checksums of the section; `None` where there are no annotations.
    seed: Option<LogCrc>,
    /// Whether a head must come before anything else.
    needs_head: bool,
    durable: LogOffset,
    unverified: usize,
}

impl Scanner<'_> {
    /// Goes on as far as everything is good; the first problem, if any.
    fn run(&mut self) -> Option<ReadError> {
        while self.at < self.bytes.len() && !self.room.is_at(self.bytes, self.at) {
            if let Err(error) = self.step() {
                return Some(error);
            }
        }
        None
    }

    fn step(&mut self) -> Result<(), ReadError> {
        let rest = &self.bytes[self.at..];
        match Line::parse(rest) {
            Parsed::NewerVersion(version) => Err(self.error(ReadErrorKind::NewerVersion(version))),
            Parsed::Line(Line { annotation: Annotation::Head(head), .. }) => self.head(&head),
            Parsed::Line(line) if matches!(line.annotation, Annotation::Mark(_)) => {
                self.mark(&line)
            }
            _ => {
                match self.seed.clone() {
                    Some(seed) if !self.is_foreign(rest) => self.batch(&seed),
                    _ if self.needs_head => Err(self
                        .error(ReadErrorKind::Malformed("no head at the beginning of the file"))),
                    _ => self.part_without_annotations(),
                }
            }
        }
    }

    /// Whether a stock server went on behind an orderly stop. A node of ours begins with a head.
    fn is_foreign(&self, rest: &[u8]) -> bool {
        self.standing.clean && (rest.starts_with(b"*") || rest.starts_with(b"#TS:"))
    }

    fn head(&mut self, head: &Head) -> Result<(), ReadError> {
        let end = head_end(self.bytes, self.at).map_err(|kind| self.error(kind))?;
        if self.standing.anchored && head.start != self.standing.offset {
            let (expected, found) = (self.standing.offset, head.start);
            return Err(self.error(ReadErrorKind::Gap { expected, found }));
        }
        if !self.standing.anchored {
            // What stands before the first head was counted from 0, files before this one included.
            let counted = self.standing.offset.0 - self.start.0;
            self.start = LogOffset(head.start.0.saturating_sub(counted));
        }
        self.at = end;
        self.needs_head = false;
        self.seed = Some(annotation::seed(head.salt));
        self.standing = Standing {
            offset: head.start,
            anchored: true,
            lineage: Some(head.lineage),
            lineage_end: head.start,
            clean: false,
            follows: false,
        };
        Ok(())
    }

    fn mark(&mut self, line: &Line<'_>) -> Result<(), ReadError> {
        let Annotation::Mark(mark) = line.annotation else { unreachable!("the caller looked") };
        let Some(seed) = &self.seed else {
            return Err(self.error(ReadErrorKind::Malformed("an annotation without a head")));
        };
        if !line.is_good(seed) {
            return Err(self.error(ReadErrorKind::WrongChecksum));
        }
        if mark.end != self.standing.offset {
            let (expected, found) = (self.standing.offset, mark.end);
            return Err(self.error(ReadErrorKind::Gap { expected, found }));
        }
        self.at += line.size;
        self.durable = self.durable.max(mark.sync);
        (self.standing.clean, self.standing.follows) = (mark.clean, mark.follows);
        Ok(())
    }

    fn batch(&mut self, seed: &LogCrc) -> Result<(), ReadError> {
        let mut covered = seed.clone();
        let mut covered_to = self.at;
        let mut kind = ReadErrorKind::CutShort;
        for found in memmem::find_iter(&self.bytes[self.at..], b"\n#hw batch ") {
            let position = self.at + found + 1;
            let Parsed::Line(line) = Line::parse(&self.bytes[position..]) else { continue };
            let Annotation::Batch(batch) = line.annotation else { continue };
            kind = ReadErrorKind::WrongChecksum;
            if batch.len != as_u64(position - self.at) {
                continue;
            }
            covered.update(&self.bytes[covered_to..position]);
            covered_to = position;
            let stream = batch.end.since(self.standing.offset);
            if line.is_good(&covered) && stream.is_some_and(|stream| stream <= batch.len) {
                self.accept(&batch, position + line.size);
                return Ok(());
            }
        }
        Err(self.error(kind))
    }

    fn accept(&mut self, batch: &Batch, end: usize) {
        self.at = end;
        self.durable = self.durable.max(batch.sync);
        self.standing.offset = batch.end;
        self.standing.lineage_end = batch.end;
        self.standing.clean = false;
    }

    fn part_without_annotations(&mut self) -> Result<(), ReadError> {
        let (start, offset) = (self.at, self.standing.offset);
        let entries = Entries::new(self.bytes, Some(offset)).with_room(self.room);
        let mut entries = entries.unverified().from_position(start);
        let mut stop = None;
        let mut whole = entries.whole();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => match entry.kind {
                    EntryKind::Annotation(line) => {
                        let is_head = matches!(line.annotation, Annotation::Head(_));
                        stop = Some((is_head, entry.position));
                        break;
                    }
                    EntryKind::Command { .. } | EntryKind::Comment(_) => whole = entries.whole(),
                },
                Err(error) => {
                    let kind = error.kind;
                    self.pass_unverified(whole);
                    return Err(ReadError { position: error.position, kind });
                }
            }
        }
        match stop {
            // A head inside MULTI is none of ours.
            Some((true, position)) if whole.0 == position && position > start => {
                self.pass_unverified(whole);
                Ok(())
            }
            // The head of what was read is lost, so nothing of it can be believed.
            Some(_) => Err(self.error(ReadErrorKind::Malformed("an annotation without a head"))),
            None => {
                self.pass_unverified(whole);
                Ok(())
            }
        }
    }

    fn pass_unverified(&mut self, (position, offset): (usize, LogOffset)) {
        self.unverified += position - self.at;
        self.at = position;
        self.standing.offset = offset;
        self.standing.clean = false;
        self.seed = None;
    }

    fn error(&self, kind: ReadErrorKind) -> ReadError {
        ReadError { position: self.at, kind }
    }
}

/// Where the head at `at` and its local bytes end, if its checksum is right.
fn head_end(bytes: &[u8], at: usize) -> Result<usize, ReadErrorKind> {
    let Parsed::Line(line) = Line::parse(&bytes[at..]) else { return Err(ReadErrorKind::CutShort) };
    let Annotation::Head(head) = line.annotation else { return Err(ReadErrorKind::CutShort) };
    let start = at + line.size;
    let local = usize::try_from(head.local).ok().and_then(|local| start.checked_add(local));
    let local = local.and_then(|end| bytes.get(start..end)).ok_or(ReadErrorKind::CutShort)?;
    let mut covered = annotation::seed(head.salt);
    covered.update(local);
    if line.is_good(&covered) { Ok(start + local.len()) } else { Err(ReadErrorKind::WrongChecksum) }
}

/// What stands behind `from`, the end of the good part. `seed` is that of the section, if there is one.
///
/// An annotation whose checksum is right is believed wherever it stands. Where the head of a section is lost, its
/// checksums cannot be looked at; then lines of the exact grammar are believed too, if they stand where an annotation
/// may stand: between entries, or behind a place that cannot be read. The first of them is not, since it closes the
/// bad part itself. This errs on the side of refusing: an honest `sync` never lies past what was durable.
#[must_use]
pub fn behind(bytes: &[u8], from: usize, mut seed: Option<LogCrc>) -> Behind {
    let (places, unreadable) = places_between_entries(bytes, from);
    let mut behind = Behind::default();
    let mut budget = (bytes.len() - from).saturating_mul(VERIFY_TIMES_MAX);
    let mut closing_seen = false;
    for found in memmem::find_iter(&bytes[from..], annotation::PREFIX) {
        let position = from + found;
        let Parsed::Line(line) = Line::parse(&bytes[position..]) else { continue };
        behind.lines += 1;
        if let Annotation::Head(head) = line.annotation {
            if verified_head(bytes, position, &head, &mut budget) {
                seed = Some(annotation::seed(head.salt));
            }
            continue;
        }
        let sync = line.annotation.sync().expect("batches and marks have one");
        if verified(bytes, position, &line, seed.as_ref(), &mut budget) {
            behind.batches += usize::from(matches!(line.annotation, Annotation::Batch(_)));
            behind.durable = behind.durable.max(sync);
            continue;
        }
        let begins = position == from || bytes[position - 1] == b'\n';
        let may_stand =
            places.binary_search(&position).is_ok() || (begins && position >= unreadable);
        if may_stand && closing_seen {
            behind.durable = behind.durable.max(sync);
        }
        closing_seen |= may_stand;
    }
    behind
}

/// Whether the checksum of a head is right; one with more local bytes than may still be read is not.
fn verified_head(bytes: &[u8], position: usize, head: &Head, budget: &mut usize) -> bool {
    // Local bytes past the end of the file are never read, so they cost nothing.
    let local = usize::try_from(head.local).ok().filter(|local| *local < bytes.len() - position);
    let Some(left) = local.and_then(|local| budget.checked_sub(local)) else { return false };
    *budget = left;
    head_end(bytes, position).is_ok()
}

/// Whether the checksum of a batch or mark is right; a batch of which too much would have to be read is not.
fn verified(
    bytes: &[u8],
    position: usize,
    line: &Line<'_>,
    seed: Option<&LogCrc>,
    budget: &mut usize,
) -> bool {
    let Some(seed) = seed else { return false };
    let Annotation::Batch(batch) = line.annotation else { return line.is_good(seed) };
    let Ok(len) = usize::try_from(batch.len) else { return false };
    let (Some(start), Some(left)) = (position.checked_sub(len), budget.checked_sub(len)) else {
        return false;
    };
    *budget = left;
    let mut covered = seed.clone();
    covered.update(&bytes[start..position]);
    line.is_good(&covered)
}

/// Positions of annotations between entries, and where entries can no longer be read though bytes follow (or the
/// size of the file).
fn places_between_entries(bytes: &[u8], from: usize) -> (Vec<usize>, usize) {
    let mut places = Vec::new();
    let mut entries = Entries::new(bytes, None).unverified().from_position(from);
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) if matches!(entry.kind, EntryKind::Annotation(_)) => {
                places.push(entry.position)
            }
            Ok(_) => {}
            // An entry that reaches past the end: what stands in it is a value, for all anybody can tell.
            Err(ReadError {
                kind: ReadErrorKind::CutShort | ReadErrorKind::OpenTransaction,
                ..
            }) => break,
            Err(error) => return (places, error.position),
        }
    }
    (places, bytes.len())
}

fn as_u64(size: usize) -> u64 {
    u64::try_from(size).expect("a usize is at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::ReplicationId;
    use crate::log::annotation::Mark;

    #[test]
    fn local_bytes_of_heads_are_read_within_the_budget() {
        const LOCAL: usize = 100_000;
        let head = |local: usize, covered: &LogCrc| {
            let lineage = Lineage::new(ReplicationId::NONE);
            let head = Head { lineage, start: LogOffset(0), local: as_u64(local), salt: 1 };
            let mut line = Vec::new();
            annotation::write(&mut line, &Annotation::Head(head), covered);
            line
        };
        // A section whose head has many local bytes, with a mark behind them.
        let local = vec![b'x'; LOCAL];
        let mut covered = annotation::seed(1);
        covered.update(&local);
        let mut good = [head(LOCAL, &covered), local].concat();
        let mark = Annotation::Mark(Mark {
            end: LogOffset(9),
            sync: LogOffset(9),
            clean: false,
            follows: false,
        });
        annotation::write(&mut good, &mark, &annotation::seed(1));
        // Before it heads whose local bytes would be all the rest of the file, if their checksums were right.
        for (heads, is_believed) in [(2, true), (VERIFY_TIMES_MAX + 4, false)] {
            let mut bytes = good.clone();
            for _ in 0..heads {
                let front = head(bytes.len(), &annotation::seed(1));
                bytes.splice(0..0, front);
            }
            let behind = behind(&bytes, 0, None);
            assert_eq!(behind.lines, heads + 2);
            assert_eq!(behind.durable == LogOffset(9), is_believed, "{heads} heads");
        }
    }
}
