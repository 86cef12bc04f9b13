//! What can be wrong with a snapshot.
//!
//! "Cut short", "malformed" and "wrong checksum" are different variants because an operator does different
//! things: fetch the rest, look for another copy, suspect the disk.

use std::{fmt, io};

/// Why a snapshot or a DUMP payload cannot be read or written.
///
/// Offsets count bytes from the start of the file (or payload).
#[derive(Debug)]
pub enum SnapshotError {
    /// The source or the target failed.
    Io {
        /// How far reading or writing had come.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// The input ends in the middle of something.
    CutShort {
        /// Where the thing that is cut begins.
        offset: u64,
        /// What was being read.
        reading: &'static str,
    },
    /// The bytes contradict the format.
    Malformed {
        /// Where the contradiction was found.
        offset: u64,
        /// What was being read.
        reading: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Everything could be read, but the footer disagrees.
    WrongChecksum {
        /// Where the footer stands.
        offset: u64,
        /// The checksum in the footer.
        stored: u64,
        /// The checksum of the bytes before it.
        computed: u64,
    },
    /// The first bytes are not those of a snapshot.
    WrongSignature,
    /// The snapshot comes from a server newer than what is known here.
    UnsupportedVersion {
        /// The number in the header.
        version: u32,
    },
    /// A value, or another record, of a kind that cannot be read: a module's, or a newer server's.
    UnsupportedType {
        /// Where its type stands.
        offset: u64,
        /// The type byte.
        code: u8,
        /// What it is, as far as is known.
        what: String,
    },
    /// The caller gave events in an order, or with contents, that cannot be written.
    Unwritable {
        /// What the format has no place for.
        problem: String,
    },
}

impl SnapshotError {
    /// Whether the input simply ends too early, so that more bytes could cure it.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        matches!(self, Self::CutShort { .. })
    }

    /// Where the error was found, when it has a place.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Io { offset, .. }
            | Self::CutShort { offset, .. }
            | Self::Malformed { offset, .. }
            | Self::WrongChecksum { offset, .. }
            | Self::UnsupportedType { offset, .. } => Some(*offset),
            Self::WrongSignature => Some(0),
            Self::UnsupportedVersion { .. } | Self::Unwritable { .. } => None,
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { offset, error } => write!(f, "{error} (at offset {offset})"),
            Self::CutShort { offset, reading } => {
                write!(
                    f,
                    "cut short: the input ends inside a {reading} that begins at offset {offset}"
                )
            }
            Self::Malformed { offset, reading, problem } => {
                write!(f, "malformed {reading} at offset {offset}: {problem}")
            }
            Self::WrongChecksum { offset, stored, computed } => write!(
                f,
                "Wrong RDB checksum expected: ({computed:x}) but got ({stored:x}) at offset {offset}"
            ),
            Self::WrongSignature => f.write_str("Wrong signature trying to load DB from file"),
            Self::UnsupportedVersion { version } => {
                write!(f, "Can't handle RDB format version {version}")
            }
            Self::UnsupportedType { offset, code, what } => {
                write!(f, "{what} (type {code} at offset {offset})")
            }
            Self::Unwritable { problem } => write!(f, "cannot be written: {problem}"),
        }
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
