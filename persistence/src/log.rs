//! The log: one stream of effects, kept in stock multi-part AOF files.
//!
//! [`annotation`] is the format of the lines that stock loaders skip; [`writer`] appends batches; [`manifest`]
//! lists the files; [`rewrite`] changes the list; [`read_back`] serves what they hold. See `docs/format.md`, sections 1 to 4.

pub mod annotation;
mod history;
mod ids;
pub mod manifest;
pub mod read_back;
pub mod reader;
pub mod rewrite;
pub mod room;
pub mod scan;
pub mod writer;

pub use history::SyncSource;
pub use ids::{Lineage, LogOffset, ParseIdError, ReplicationId};
pub use manifest::Manifest;
pub use read_back::{LogReadBack, ReadBackError};
pub use reader::{Args, Entries, Entry, EntryKind, ReadError, ReadErrorKind, UnitPart};
pub use rewrite::{BaseKind, Finished, LogFiles, LogNames, Prepared, Rewrite, RewriteError};
pub use writer::{LogWriter, Salts, Switched, SyncHandle, WriteError};
