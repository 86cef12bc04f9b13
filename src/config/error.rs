//! What can be wrong with settings: at the start, in CONFIG SET, in CONFIG REWRITE.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why CONFIG SET changed nothing. `Display` gives stock's text, without the leading `ERR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No such setting.
    Unknown {
        /// As the client wrote it.
        name: String,
    },
    /// A setting that cannot be changed, or not to that value.
    Refused {
        /// As the client wrote it.
        name: String,
        /// In stock's words.
        reason: String,
    },
    /// A setting that has to wait until the data set is loaded: answer `-LOADING`.
    Loading,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Refused { name, reason } => {
                write!(f, "CONFIG SET failed (possibly related to argument '{name}') - {reason}")
            }
            Self::Loading => write!(f, "the data set is being loaded"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why the settings of a start are not usable. `Display` is the message for the operator, in the form of a stock server.
#[derive(Debug)]
pub enum LoadError {
    /// A file or standard input cannot be read.
    Unreadable {
        /// Path as given, or `-`.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is wrong.
    Line {
        /// Where it stands: a path, `standard input`, or `the command line`.
        source: String,
        /// From 1.
        number: usize,
        /// The line itself.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(
                    f,
                    "Fatal error, can't open config file '{}': {}",
                    path.display(),
                    os_reason(error)
                )
            }
            Self::Line { source, number, line, reason } => write!(
                f,
                "\n*** FATAL CONFIG FILE ERROR (Redis {}) ***\n\
                 Reading the configuration file, at line {number}\n\
                 >>> '{line}'\n\
                 {reason}\n\
                 (in {source})",
                crate::REDIS_VERSION
            ),
        }
    }
}

impl std::error::Error for LoadError {}

/// Why CONFIG REWRITE changed nothing.
#[derive(Debug)]
pub enum RewriteError {
    /// The server runs without a file.
    NoFile,
    /// The file cannot be read or replaced.
    File(io::Error),
    /// The new file would not give the settings of now, because of what it includes.
    WouldDiffer {
        /// The first setting that would differ.
        name: &'static str,
    },
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => write!(f, "The server is running without a config file"),
            Self::File(error) => write!(f, "{}", os_reason(error)),
            Self::WouldDiffer { name } => {
                write!(f, "'{name}' would not keep its value, because of an included file")
            }
        }
    }
}

impl std::error::Error for RewriteError {}

/// The system's words for an error, without the number that Rust adds.
#[must_use]
pub fn os_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
