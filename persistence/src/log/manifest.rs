//! The manifest: which files make up the log, in order.
//!
//! Stock's grammar, one line per file:
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.1.incr.aof seq 1 type h startoffset 0 annotated yes
//! file appendonly.aof.2.incr.aof seq 2 type i startoffset 1234 annotated yes
//! #hw manifest crc=<16 hex>
//! ```
//!
//! `startoffset` is a pair that stock 7 ignores and Redis 8 writes too; a line of history has it when the file is a piece
//! of this log that is kept to be read back. `annotated yes` stands for files that a node
//! of ours created: they begin with a head, or their beginning never was durable. The last line is a comment to stock; it holds
//! the CRC-64/XZ of all lines before it, for one flipped bit turns `i` into `h`, and history is removed.
//! Spec: `docs/format.md`, section 4.

use std::fmt;

use super::LogOffset;
use crate::checksum::log_crc;
use crate::words::{quoted, split_words};

/// Longest line in bytes, line end included: what stock refuses from here on.
const LINE_BYTES_MAX: usize = 1024;

const CHECKSUM_LINE: &[u8] = b"#hw manifest crc=";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Name inside the folder of the log.
    pub name: String,
    /// Number among files of its kind, from 1.
    pub sequence: u64,
    /// Offset of the first stream byte, where known. Pieces of the log only: incr files, and history that was one.
    pub start: Option<LogOffset>,
    /// Whether the file was created to begin with a head. As above.
    pub annotated: bool,
}

impl ManifestFile {
    /// A line that says nothing but name and number.
    #[must_use]
    pub fn new(name: impl Into<String>, sequence: u64) -> Self {
        Self { name: name.into(), sequence, start: None, annotated: false }
    }

    /// The same for an incr file that begins with a head.
    #[must_use]
    pub fn annotated(self, start: Option<LogOffset>) -> Self {
        Self { start, annotated: true, ..self }
    }
}

/// The files of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The snapshot (or stock RESP file) that the log starts from.
    pub base: Option<ManifestFile>,
    /// Files that are no longer loaded and may be removed. Those with a start are pieces of the log before the base.
    pub history: Vec<ManifestFile>,
    /// Pieces of the log, in order.
    pub incrs: Vec<ManifestFile>,
}

/// Why a manifest is refused. `Display` of the kind is stock's text where stock has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Line number, from 1; 0 when it is about the whole file.
    pub line: usize,
    /// The line, as far as it is text.
    pub text: String,
    /// What is wrong with it.
    pub kind: ManifestErrorKind,
}

/// Kinds of [`ManifestError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestErrorKind {
    /// No line at all.
    Empty,
    /// A line of 1024 bytes or more, or without an end.
    TooLongLine,
    /// Anything else that is not the grammar.
    InvalidFormat,
    /// A name with a `/`.
    Path,
    /// A second base.
    DuplicateBase,
    /// Sequence numbers of incr files that do not grow.
    NonMonotonic,
    /// A type other than `b`, `h`, `i`.
    UnknownType,
    /// The lines are not those that the checksum was made of.
    WrongChecksum,
}

impl fmt::Display for ManifestErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Found an empty AOF manifest",
            Self::TooLongLine => "The AOF manifest file contains too long line",
            Self::InvalidFormat => "Invalid AOF manifest file format",
            Self::Path => "File can't be a path, just a filename",
            Self::DuplicateBase => "Found duplicate base file information",
            Self::NonMonotonic => "Found a non-monotonic sequence number",
            Self::UnknownType => "Unknown AOF file type",
            Self::WrongChecksum => {
                "The lines are not those the checksum was made of (remove the checksum line to accept them)"
            }
        })
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at line {}: '{}'", self.kind, self.line, self.text)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.is_empty() {
            return Err(ManifestError {
                line: 0,
                text: String::new(),
                kind: ManifestErrorKind::Empty,
            });
        }
        let mut manifest = Self::default();
        let mut position = 0;
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let error = |kind| ManifestError {
                line: index + 1,
                text: String::from_utf8_lossy(line.trim_ascii_end()).into_owned(),
                kind,
            };
            if line.len() >= LINE_BYTES_MAX || !line.ends_with(b"\n") {
                return Err(error(ManifestErrorKind::TooLongLine));
            }
            if let Some(crc) = line.strip_prefix(CHECKSUM_LINE) {
                let expected = format!("{:016x}\n", log_crc(&bytes[..position]));
                if crc != expected.as_bytes() {
                    return Err(error(ManifestErrorKind::WrongChecksum));
                }
            } else if !line.starts_with(b"#") {
                manifest.add(line).map_err(error)?;
            }
            position += line.len();
        }
        Ok(manifest)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), ManifestErrorKind> {
        let (file, kind) = parse_line(line)?;
        match kind {
            b'b' if self.base.is_some() => return Err(ManifestErrorKind::DuplicateBase),
            b'b' => self.base = Some(file),
            b'h' => self.history.push(file),
            b'i' if self.incrs.last().is_some_and(|last| last.sequence >= file.sequence) => {
                return Err(ManifestErrorKind::NonMonotonic);
            }
            b'i' => self.incrs.push(file),
            _ => return Err(ManifestErrorKind::UnknownType),
        }
        Ok(())
    }

    /// The manifest as it stands on disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        let groups = [(self.base.as_slice(), 'b'), (&self.history, 'h'), (&self.incrs, 'i')];
        for (file, kind) in
            groups.iter().flat_map(|(files, kind)| files.iter().map(move |f| (f, kind)))
        {
            let name = quoted(&file.name);
            text += &format!("file {name} seq {} type {kind}", file.sequence);
            if let Some(start) = file.start {
                debug_assert_ne!(*kind, 'b', "a base is no piece of the stream");
                text += &format!(" startoffset {start}");
            }
            if file.annotated {
                text += " annotated yes";
            }
            text.push('\n');
        }
        if text.is_empty() {
            // Stock refuses an empty file, and takes a comment for a log without files.
            text += "# no files yet\n";
        }
        let crc = log_crc(text.as_bytes());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(CHECKSUM_LINE);
        bytes.extend_from_slice(format!("{crc:016x}\n").as_bytes());
        bytes
    }

    /// Base and incr files, in the order in which they are loaded.
    pub fn loaded(&self) -> impl Iterator<Item = &ManifestFile> {
        self.base.iter().chain(&self.incrs)
    }
}

fn parse_line(line: &[u8]) -> Result<(ManifestFile, u8), ManifestErrorKind> {
    let tokens = split_words(line).ok_or(ManifestErrorKind::InvalidFormat)?;
    if tokens.len() < 6 || tokens.len() % 2 != 0 {
        return Err(ManifestErrorKind::InvalidFormat);
    }
    let (mut name, mut sequence, mut kind, mut start) = (None, None, None, None);
    let mut annotated = false;
    for pair in tokens.chunks_exact(2) {
        let value = std::str::from_utf8(&pair[1]).map_err(|_| ManifestErrorKind::InvalidFormat)?;
        match pair[0].to_ascii_lowercase().as_slice() {
            b"file" if value.contains('/') => return Err(ManifestErrorKind::Path),
            b"file" => name = Some(value.to_owned()),
            b"seq" => sequence = value.parse().ok().filter(|sequence| *sequence > 0),
            b"type" => kind = value.bytes().next(),
            b"startoffset" => {
                let offset = value.parse().map_err(|_| ManifestErrorKind::InvalidFormat)?;
                start = Some(LogOffset(offset));
            }
            b"annotated" => annotated = value == "yes",
            _ => {}
        }
    }
    match (name, sequence, kind) {
        (Some(name), Some(sequence), Some(kind)) if !matches!(name.as_str(), "" | "." | "..") => {
            Ok((ManifestFile { name, sequence, start, annotated }, kind))
        }
        _ => Err(ManifestErrorKind::InvalidFormat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, sequence: u64, start: Option<u64>) -> ManifestFile {
        ManifestFile { start: start.map(LogOffset), ..ManifestFile::new(name, sequence) }
    }

    fn check_refused(text: &str, line: usize, kind: ManifestErrorKind) {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.kind), (line, kind), "{text:?}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let manifest = Manifest {
            base: Some(file("appendonly.aof.2.base.rdb", 2, None)),
            history: vec![
                file("a b", 1, None),
                file("q\"\\\t\u{fc}", 1, None),
                file("h", 1, Some(7)).annotated(Some(LogOffset(7))),
            ],
            incrs: vec![file("x", 2, Some(1234)), file("y", 3, None).annotated(None)],
        };
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        let empty = Manifest::default();
        assert_eq!(Manifest::parse(&empty.to_bytes()).unwrap(), empty);
    }

    #[test]
    fn stock_files_are_read() {
        let manifest = Manifest::parse(
            b"# comment\nfile \"x y\" seq 7 type b\nFILE i1 SEQ 2 TYPE incr new thing startoffset 9\n",
        )
        .unwrap();
        assert_eq!(manifest.base, Some(file("x y", 7, None)));
        assert_eq!(manifest.incrs, [file("i1", 2, Some(9))]);
    }

    #[test]
    fn mistakes_are_refused_with_the_line() {
        use ManifestErrorKind as Kind;
        check_refused("", 0, Kind::Empty);
        check_refused("file a seq 1 type b", 1, Kind::TooLongLine);
        check_refused(&format!("#{}\n", "x".repeat(1023)), 1, Kind::TooLongLine);
        check_refused("file a seq 1 type i\n\n", 2, Kind::InvalidFormat);
        check_refused("file a seq 1\n", 1, Kind::InvalidFormat);
        check_refused("file a seq 1 type b extra\n", 1, Kind::InvalidFormat);
        check_refused("file a seq 0 type b\n", 1, Kind::InvalidFormat);
        check_refused("file \"a seq 1 type b\n", 1, Kind::InvalidFormat);
        check_refused("file a seq 1 type i startoffset x\n", 1, Kind::InvalidFormat);
        check_refused("file .. seq 1 type i\n", 1, Kind::InvalidFormat);
        check_refused("file a/b seq 1 type b\n", 1, Kind::Path);
        check_refused("file a seq 1 type b\nfile b seq 2 type b\n", 2, Kind::DuplicateBase);
        check_refused("file a seq 2 type i\nfile b seq 2 type i\n", 2, Kind::NonMonotonic);
        check_refused("file a seq 2 type x\n", 1, Kind::UnknownType);
        check_refused(
            "file a seq 2 type h\n#hw manifest crc=0000000000000000\n",
            2,
            Kind::WrongChecksum,
        );
    }

    #[test]
    fn every_flipped_bit_is_refused_or_harmless() {
        let manifest = Manifest {
            base: Some(file("b", 1, None)),
            history: Vec::new(),
            incrs: vec![file("i1", 1, Some(0)), file("i2", 2, Some(500))],
        };
        let bytes = manifest.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Manifest::parse(&broken) {
                assert_eq!(read, manifest, "bit {bit}");
            }
        }
    }
}
