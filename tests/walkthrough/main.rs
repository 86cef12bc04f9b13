//! Walkthroughs played from their first line to the last, as somebody types them: the one of `README.md`, and the
//! usual one for clusters of Redis. Each with our client and manager, and with Debian's `redis-cli`.
//!
//! Needs Debian's `redis-cli` 7.0 (`scripts/test` sees to that). Everything listens on loopback and lives in temporary
//! folders. Ports are those of the text where they are free, else others of the same pattern.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod classic;
#[path = "../manager/dialogue.rs"]
mod dialogue;
mod document;
mod foreground;
mod nodes;
mod ports;
mod processes;
mod readme;
mod terminal;
mod writer;
