//! What a stop left behind, and how to go on from it.
//!
//! [`plan`] looks and changes nothing; its [`Plan`] says what to load, what would be dropped and why, and with which
//! id and offset the node resumes. [`carry_out`] makes it so and returns the writer. The caller loads in between, and
//! drops what it read before it carries the plan out (files are mapped while they are read).
//!
//! Spec: `docs/format.md`, section 3; `docs/durability.md`, "Order of steps: start".

mod carry_out;
mod error;
mod look;
mod report;
mod retained;

use std::ops::Range;

pub use carry_out::carry_out;
pub use error::RecoveryError;
pub use look::plan;

use crate::log::manifest::ManifestFile;
use crate::log::{Lineage, LogNames, LogOffset, Manifest, ReadError, ReplicationId};

/// What recovery needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the files are called.
    pub names: LogNames,
    /// Whether an end that was never known to be durable may be dropped (`aof-load-truncated`).
    pub load_truncated: bool,
    /// Whether files that are no longer part of the log stay on disk (`aof-disable-auto-gc`).
    pub keep_history: bool,
    /// How many bytes of them stay to be read back ([`crate::log::LogFiles::retain`]).
    pub retain: u64,
}

/// What is in a file to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A snapshot; commands may follow it in the same file (old single-file logs).
    Snapshot,
    /// Commands that build up the state the log starts from; they are no part of the stream.
    BaseCommands,
    /// A piece of the log.
    Log,
}

/// Something to load. The steps of a plan are loaded in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// File, a name inside the storage.
    pub name: String,
    /// What is in it.
    pub kind: StepKind,
    /// The bytes that are to be loaded; others are to be dropped.
    pub range: Range<u64>,
    /// Offset before the first stream byte.
    pub start: LogOffset,
    /// Offset behind the last stream byte.
    pub end: LogOffset,
    /// Bytes that no checksum covers.
    pub unverified: u64,
}

/// What is dropped from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// File, a name inside the storage.
    pub name: String,
    /// Size that is left of it.
    pub position: u64,
    /// Bytes dropped, those of later files included.
    pub bytes: u64,
    /// Whole batches among them.
    pub batches: usize,
    /// Why the good part ends there.
    pub cause: ReadError,
    /// Later files, dropped whole: names inside the storage.
    pub later: Vec<String>,
}

/// What was found, and what is to be done. `Display` prints it for people.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What to load, in order.
    pub steps: Vec<Step>,
    /// Whose bytes the log holds, as far as it says.
    pub lineage: Option<Lineage>,
    /// Up to here they are; a stock server may have appended more.
    pub lineage_end: LogOffset,
    /// The offset the node resumes with.
    pub offset: LogOffset,
    /// The largest offset known to be durable.
    pub durable: LogOffset,
    /// Whether the node stopped in an orderly way, and nothing happened to the files since.
    pub clean: bool,
    /// Whether it stopped as a replica: the id is its primary's, and no other node may go on under it.
    pub follows: bool,
    /// What is dropped, if anything.
    pub dropped: Option<Dropped>,
    options: Options,
    /// The manifest found (or the one an old single file gets).
    manifest: Manifest,
    /// Whether the manifest is on disk.
    listed: bool,
    /// An old single file that moves into the folder.
    upgrade: bool,
    /// Files of history that join the log, oldest first: they stay, to be read back.
    retained: Vec<ManifestFile>,
    /// Files that nothing names, to be removed.
    orphans: Vec<String>,
    /// Sizes in bytes of the base and of the incr files that stay, as they will be.
    base_size: u64,
    incr_sizes: Vec<u64>,
}

impl Plan {
    /// The ids to go on with: the same after an orderly stop of a primary, else `fresh` as successor of what the log holds.
    #[must_use]
    pub fn successor(&self, fresh: ReplicationId) -> Lineage {
        match self.lineage {
            Some(lineage) if self.clean && !self.follows => lineage,
            Some(lineage) => lineage.succeeded_by(fresh, self.lineage_end),
            None => Lineage::new(fresh),
        }
    }

    /// The id that the log's last bytes were written under.
    #[must_use]
    pub fn id(&self) -> Option<ReplicationId> {
        self.lineage.map(|lineage| lineage.id)
    }

    /// Whether there is nothing to load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.range.is_empty())
    }

    /// Bytes to load.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.range.end - step.range.start).sum()
    }
}

#[cfg(test)]
mod tests;
