//! Slots on their way from one primary to another as a whole: the jobs, and what the log says of them.
//!
//! A job is known to both nodes by its *notes* in their logs ([`note`]). A note is a PING with an argument: any Redis that
//! loads or follows the log passes over it. So a job survives what the log survives, a replica knows of it what its primary
//! knew, and no file of its own can disagree with the data. `docs/cluster.md` has the states and the argument.

mod jobs;
pub mod note;
mod ranges;

/// What a job is doing whose turn has not come.
pub const QUEUED: &str = "queued";

pub use jobs::{Ended, Job, Jobs, Outcome, Progress, Role, Stage};
pub use note::{Note, Said};
pub use ranges::{parse_ranges, shown_ranges};
