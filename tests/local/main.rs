//! `highwater cluster up` as its users call it: the real program, its processes, its terminal and another one.
//!
//! Needs `redis-cli` (`scripts/test` sees to that). Everything listens on loopback and lives in temporary folders.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod host;

mod background;
mod creation;
mod failures;
mod growth;
mod processes;
mod refusals;
