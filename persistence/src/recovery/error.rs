//! Why a node does not start from its files.

use std::fmt;
use std::io;

use crate::log::manifest::ManifestError;
use crate::log::{LogOffset, ReadError};

/// A refusal to start. Nothing on disk was changed by a plan that ended so.
///
/// Where a stock server has a text for the situation, `Display` gives that text.
#[derive(Debug)]
pub enum RecoveryError {
    /// The system's error.
    Io {
        /// File, as it is called in messages.
        path: String,
        /// What was to be done with it.
        action: &'static str,
        /// The error.
        source: io::Error,
    },
    /// The manifest is none.
    Manifest {
        /// File, as it is called in messages.
        path: String,
        /// What is wrong.
        error: ManifestError,
    },
    /// There are files of a log but no manifest.
    ManifestLost {
        /// The manifest, as it is called in messages.
        path: String,
        /// One of the files.
        found: String,
    },
    /// A file that the manifest lists is not there.
    Missing {
        /// File, as it is called in messages.
        path: String,
    },
    /// Two pieces of the log do not join.
    Gap {
        /// File that does not join what is before it.
        path: String,
        /// Position in it.
        position: usize,
        /// Offset that the pieces before lead to.
        expected: LogOffset,
        /// Offset at which the file goes on.
        found: LogOffset,
    },
    /// Bytes that had been durable are not what they were.
    Damaged {
        /// File, as it is called in messages.
        path: String,
        /// What is wrong, and where.
        error: ReadError,
        /// Offset up to which the log is good.
        good: LogOffset,
        /// Offset up to which it had been durable.
        durable: LogOffset,
        /// Bytes behind the good part, later files included.
        bytes: u64,
    },
    /// A file ends too early, and `aof-load-truncated` is `no`.
    ShortRead {
        /// File, as it is called in messages.
        path: String,
    },
    /// A file that is not the last one ends too early.
    NotLast {
        /// File, as it is called in messages.
        path: String,
    },
    /// A file without annotations that is none of a log.
    Format {
        /// File, as it is called in messages.
        path: String,
        /// What is wrong, and where.
        error: ReadError,
    },
    /// The snapshot at the beginning of a log cannot be read.
    Base {
        /// File, as it is called in messages.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Annotations of a version this program does not know.
    NewerVersion {
        /// File, as it is called in messages.
        path: String,
        /// The version.
        version: u64,
    },
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, action, source } => write!(f, "cannot {action} {path}: {source}"),
            Self::Manifest { path, error } => {
                write!(f, "*** FATAL AOF MANIFEST FILE ERROR *** {path}")?;
                if error.line > 0 {
                    write!(f, ", at line {}: '{}'", error.line, error.text)?;
                }
                write!(
                    f,
                    ": {}. Nothing was changed. Restore the manifest, or write its lines anew: docs/format.md tells how",
                    error.kind
                )
            }
            Self::ManifestLost { path, found } => write!(
                f,
                "{found} is a file of a log, but the manifest {path} is missing. Bring it back, or move the files \
                 away to start with empty data"
            ),
            Self::Missing { path } => write!(
                f,
                "The AOF file {path} doesn't exist, but the manifest beside it names it. Nothing was changed. Bring \
                 the file back; or, to go on without what it held, take its line and the '#hw manifest' line out of \
                 the manifest"
            ),
            Self::Gap { path, position, expected, found } => write!(
                f,
                "{path}, at byte {position}: a piece of the log is missing or exchanged: the files before end at \
                 offset {expected}, this one goes on at {found}"
            ),
            Self::Damaged { path, error, good, durable, bytes } => write!(
                f,
                "{path}, {error}: damage to synced data. The log is good up to offset {good}, and had been durable \
                 up to {durable}; {bytes} bytes stand behind. Nothing was changed. Restore the file, or copy the \
                 folder and give up what is behind the damage with 'highwater check aof --fix <filename.manifest>'"
            ),
            Self::ShortRead { path } => write!(
                f,
                "Unexpected end of file reading the append only file {path}. You can: 1) Make a backup of your AOF \
                 file, then use 'highwater check aof --fix <filename.manifest>'. 2) Alternatively you can set the \
                 'aof-load-truncated' configuration option to yes and restart the server."
            ),
            Self::NotLast { path } => {
                write!(f, "Fatal error: the truncated file is not the last file ({path})")
            }
            Self::Format { path, error } => write!(
                f,
                "Bad file format reading the append only file {path}: make a backup of your AOF file, then use \
                 'highwater check aof --fix <filename.manifest>' ({error})"
            ),
            Self::Base { path, reason } => {
                write!(f, "Error reading the RDB base file {path}, AOF loading aborted: {reason}")
            }
            Self::NewerVersion { path, version } => {
                write!(f, "{path}: written by a later program (annotations of version {version})")
            }
        }
    }
}

impl std::error::Error for RecoveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Manifest { error, .. } => Some(error),
            _ => None,
        }
    }
}
