//! Annotations: the lines that make a stock AOF a verifiable log.
//!
//! ```text
//! #hw head v=1 id=<40 hex> id2=<40 hex> off2=<n> start=<n> local=<n> salt=<16 hex> crc=<16 hex>\r\n
//! #hw batch end=<n> len=<n> sync=<n> crc=<16 hex>\r\n
//! #hw mark end=<n> sync=<n> clean=<0|1|2> crc=<16 hex>\r\n
//! ```
//!
//! Stock loaders skip them as comments. The grammar is exact, so that one changed byte makes a line no annotation;
//! what a changed digit means is caught by the checksum. Spec: `docs/format.md`, section 2.

use super::{Lineage, LogOffset, ReplicationId};
use crate::checksum::LogCrc;

/// What every annotation begins with.
pub const PREFIX: &[u8] = b"#hw ";

/// Longest annotation in bytes, line end included. Stock loaders skip comment lines of up to 1023 bytes.
pub const ANNOTATION_BYTES_MAX: usize = 255;

/// The version of annotations that this crate reads and writes.
pub const VERSION: u64 = 1;

/// What an annotation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotation {
    /// A section begins: whose bytes follow and where they stand.
    Head(Head),
    /// The bytes before this line are a whole batch.
    Batch(Batch),
    /// Nothing was written since the annotation before; what is durable is on record.
    Mark(Mark),
}

/// Opens a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose bytes follow.
    pub lineage: Lineage,
    /// Offset before the first stream byte that follows.
    pub start: LogOffset,
    /// Bytes after the line that are not stream.
    pub local: u64,
    /// Starts every checksum of the section.
    pub salt: u64,
}

/// Closes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Offset after the last stream byte before the line.
    pub end: LogOffset,
    /// Bytes of the file that the line covers, those right before it.
    pub len: u64,
    /// Offset known to be durable when the line was written.
    pub sync: LogOffset,
}

/// Records what is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Offset after the last stream byte before the line.
    pub end: LogOffset,
    /// Offset known to be durable when the line was written.
    pub sync: LogOffset,
    /// Whether the node stopped in an orderly way right here.
    pub clean: bool,
    /// Whether it did so as a replica: the history is another node's, who may have gone on with it.
    pub follows: bool,
}

impl Annotation {
    /// The offset known to be durable when the line was written. A head says nothing of that (`None`).
    #[must_use]
    pub fn sync(&self) -> Option<LogOffset> {
        match self {
            Self::Head(_) => None,
            Self::Batch(batch) => Some(batch.sync),
            Self::Mark(mark) => Some(mark.sync),
        }
    }
}

/// A checksum that has seen `salt`: where every checksum of a section starts.
#[must_use]
pub fn seed(salt: u64) -> LogCrc {
    let mut crc = LogCrc::new();
    crc.update(&salt.to_be_bytes());
    crc
}

/// Appends `annotation` to `out` as a line. `covered` is the checksum of salt and covered bytes; no memory is
/// taken when `out` has room for [`ANNOTATION_BYTES_MAX`] more.
pub fn write(out: &mut Vec<u8>, annotation: &Annotation, covered: &LogCrc) {
    let start = out.len();
    out.extend_from_slice(PREFIX);
    match annotation {
        Annotation::Head(head) => {
            out.extend_from_slice(b"head v=1 id=");
            out.extend_from_slice(head.lineage.id.as_bytes());
            out.extend_from_slice(b" id2=");
            out.extend_from_slice(head.lineage.id2.as_bytes());
            number(out, b" off2=", head.lineage.off2.0);
            number(out, b" start=", head.start.0);
            number(out, b" local=", head.local);
            out.extend_from_slice(b" salt=");
            hex(out, head.salt);
        }
        Annotation::Batch(batch) => {
            number(out, b"batch end=", batch.end.0);
            number(out, b" len=", batch.len);
            number(out, b" sync=", batch.sync.0);
        }
        Annotation::Mark(mark) => {
            number(out, b"mark end=", mark.end.0);
            number(out, b" sync=", mark.sync.0);
            out.extend_from_slice(match (mark.clean, mark.follows) {
                (false, _) => b" clean=0",
                (true, false) => b" clean=1",
                (true, true) => b" clean=2",
            });
        }
    }
    out.extend_from_slice(b" crc=");
    let mut crc = covered.clone();
    crc.update(&out[start..]);
    hex(out, crc.value());
    out.extend_from_slice(b"\r\n");
    debug_assert!(out.len() - start <= ANNOTATION_BYTES_MAX, "an annotation stays short");
}

fn number(out: &mut Vec<u8>, name: &[u8], mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(name);
    out.extend_from_slice(&digits[at..]);
}

fn hex(out: &mut Vec<u8>, value: u64) {
    for nibble in (0..16).rev() {
        let digit = (value >> (nibble * 4)) & 15;
        out.push(b"0123456789abcdef"[usize::try_from(digit).expect("four bits")]);
    }
}

/// A line of the exact grammar of an annotation, its checksum not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What the line says.
    pub annotation: Annotation,
    /// Bytes of the line, line end included.
    pub size: usize,
    signed: &'a [u8],
    crc: u64,
}

/// What stands at a place where an annotation may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A line of the exact grammar.
    Line(Line<'a>),
    /// A head of a version that this crate does not know.
    NewerVersion(u64),
    /// Anything else.
    Other,
}

impl<'a> Line<'a> {
    /// The line that `bytes` begins with.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Parsed<'a> {
        let mut fields = Fields { bytes, at: 0 };
        match fields.line() {
            Some(parsed) => parsed,
            None => Parsed::Other,
        }
    }

    /// Whether the checksum is that of the line after the bytes that `covered` has seen.
    #[must_use]
    pub fn is_good(&self, covered: &LogCrc) -> bool {
        let mut crc = covered.clone();
        crc.update(self.signed);
        crc.value() == self.crc
    }
}

/// A cursor over the fields of a line; every method is `None` at the first deviation.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn line(&mut self) -> Option<Parsed<'a>> {
        self.literal(PREFIX)?;
        let annotation = if self.literal(b"head v=").is_some() {
            let version = self.number()?;
            if version != VERSION {
                // Named only if the line looks like one of ours to its end.
                let line =
                    self.bytes[..self.bytes.len().min(ANNOTATION_BYTES_MAX)].split(|b| *b == b'\n');
                let whole = line.into_iter().next()?.ends_with(b"\r");
                return whole.then_some(Parsed::NewerVersion(version));
            }
            self.head()?
        } else if self.literal(b"batch ").is_some() {
            self.batch()?
        } else {
            self.literal(b"mark ")?;
            self.mark()?
        };
        self.literal(b" crc=")?;
        let signed = &self.bytes[..self.at];
        let crc = self.hex()?;
        let size = self.line_end()?;
        Some(Parsed::Line(Line { annotation, size, signed, crc }))
    }

    fn head(&mut self) -> Option<Annotation> {
        self.literal(b" id=")?;
        let id = self.id()?;
        self.literal(b" id2=")?;
        let id2 = self.id()?;
        self.literal(b" off2=")?;
        let off2 = LogOffset(self.number()?);
        self.literal(b" start=")?;
        let start = LogOffset(self.number()?);
        self.literal(b" local=")?;
        let local = self.number()?;
        self.literal(b" salt=")?;
        let salt = self.hex()?;
        Some(Annotation::Head(Head { lineage: Lineage { id, id2, off2 }, start, local, salt }))
    }

    fn batch(&mut self) -> Option<Annotation> {
        self.literal(b"end=")?;
        let end = LogOffset(self.number()?);
        self.literal(b" len=")?;
        let len = self.number()?;
        self.literal(b" sync=")?;
        let sync = LogOffset(self.number()?);
        (sync <= end).then_some(Annotation::Batch(Batch { end, len, sync }))
    }

    fn mark(&mut self) -> Option<Annotation> {
        self.literal(b"end=")?;
        let end = LogOffset(self.number()?);
        self.literal(b" sync=")?;
        let sync = LogOffset(self.number()?);
        self.literal(b" clean=")?;
        let (clean, follows) = match self.number()? {
            0 => (false, false),
            1 => (true, false),
            2 => (true, true),
            _ => return None,
        };
        (sync <= end).then_some(Annotation::Mark(Mark { end, sync, clean, follows }))
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        let found = self.bytes.get(self.at..self.at.checked_add(text.len())?)? == text;
        found.then(|| self.at += text.len())
    }

    /// A decimal number without leading zeros.
    fn number(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        let digits = self.at - start;
        (digits == 1 || digits > 1 && self.bytes[start] != b'0').then_some(value)
    }

    fn hex(&mut self) -> Option<u64> {
        let digits = self.bytes.get(self.at..self.at + 16)?;
        let mut value = 0;
        for digit in digits {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u64::from(nibble);
        }
        self.at += 16;
        Some(value)
    }

    fn id(&mut self) -> Option<ReplicationId> {
        let id = ReplicationId::from_bytes(self.bytes.get(self.at..self.at + 40)?).ok()?;
        self.at += 40;
        Some(id)
    }

    /// Skips the fields of later versions, ` name=value` each, and the line end.
    fn line_end(&mut self) -> Option<usize> {
        let rest = &self.bytes[self.at..self.bytes.len().min(ANNOTATION_BYTES_MAX)];
        let length = rest.iter().position(|byte| !matches!(byte, b' '..=b'~'))?;
        if !rest[length..].starts_with(b"\r\n") {
            return None;
        }
        let named =
            |field: &[u8]| field.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0);
        if let Some((first, fields)) = rest[..length].split_first()
            && !(*first == b' ' && fields.split(|byte| *byte == b' ').all(named))
        {
            return None;
        }
        Some(self.at + length + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Annotation; 5] {
        let id = ReplicationId::from_random([0x1f; 20]);
        let lineage = Lineage { id, id2: ReplicationId::NONE, off2: LogOffset(7) };
        let (end, sync) = (LogOffset(u64::MAX), LogOffset(10));
        [
            Annotation::Head(Head { lineage, start: LogOffset(50), local: 23, salt: 0xaa }),
            Annotation::Batch(Batch { end, len: 1 << 40, sync }),
            Annotation::Mark(Mark { end, sync, clean: true, follows: false }),
            Annotation::Mark(Mark { end, sync, clean: true, follows: true }),
            Annotation::Mark(Mark { end: sync, sync, clean: false, follows: false }),
        ]
    }

    fn written(annotation: &Annotation) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, annotation, &seed(0xaa));
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        for annotation in samples() {
            let bytes = written(&annotation);
            let Parsed::Line(line) = Line::parse(&bytes) else { panic!("{annotation:?}") };
            assert_eq!((line.annotation, line.size), (annotation, bytes.len()));
            assert!(line.is_good(&seed(0xaa)));
            assert!(!line.is_good(&seed(0xab)), "another salt");
            assert!(bytes.len() <= ANNOTATION_BYTES_MAX);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for annotation in samples() {
            let bytes = written(&annotation);
            for bit in 0..bytes.len() * 8 {
                let mut broken = bytes.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                if let Parsed::Line(line) = Line::parse(&broken) {
                    assert!(!line.is_good(&seed(0xaa)), "bit {bit} of {annotation:?}");
                }
            }
            for size in 0..bytes.len() {
                assert_eq!(Line::parse(&bytes[..size]), Parsed::Other, "cut at {size}");
            }
        }
    }

    #[test]
    fn fields_of_later_versions_are_ignored_behind_the_checksum_only() {
        let bytes = written(&samples()[1]);
        let line = &bytes[..bytes.len() - 2];
        let with = |tail: &str| [line, tail.as_bytes(), b"\r\n"].concat();
        assert!(
            matches!(Line::parse(&with(" more=1 other=x")), Parsed::Line(line) if line.is_good(&seed(0xaa)))
        );
        for tail in [" ", "x", " more", "  more=1", " =1", " a=1\r", &" a=1".repeat(70)] {
            assert_eq!(Line::parse(&with(tail)), Parsed::Other, "{tail:?}");
        }
    }

    #[test]
    fn deviations_are_no_annotations() {
        for line in [
            "#hw batch end=01 len=1 sync=0 crc=0123456789abcdef\r\n",
            "#hw batch end=1 len=1 sync=2 crc=0123456789abcdef\r\n",
            "#hw batch end= len=1 sync=0 crc=0123456789abcdef\r\n",
            "#hw batch end=1 len=1  sync=0 crc=0123456789abcdef\r\n",
            "#hw batch end=1 len=18446744073709551616 sync=0 crc=0123456789abcdef\r\n",
            "#hw batch end=1 len=1 sync=0 crc=0123456789ABCDEF\r\n",
            "#hw batch end=1 len=1 sync=0 crc=0123456789abcdef\n",
            "#hw mark end=1 sync=0 clean=3 crc=0123456789abcdef\r\n",
            "#hw note end=1 sync=0 clean=1 crc=0123456789abcdef\r\n",
            "#TS:1700000000\r\n",
        ] {
            assert_eq!(Line::parse(line.as_bytes()), Parsed::Other, "{line}");
        }
        assert_eq!(Line::parse(b"#hw head v=2 anything\r\n"), Parsed::NewerVersion(2));
        assert_eq!(Line::parse(b"#hw head v=2 anything"), Parsed::Other);
    }
}
