//! The real binary as a process of its own: killed, filled up, damaged on disk, misused over the wire.
//!
//! Where a stock `redis-server` reads our files, or we read its, Debian's 7.0 has to be installed (`scripts/test` sees to
//! that). Everything listens on loopback ports that the system picks and lives in temporary folders.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod journal;
mod judge;
#[path = "../compat/peer.rs"]
mod peer;
#[allow(dead_code, reason = "some of it is for the other tests")]
mod server;

mod crash;
mod damage;
mod disk;
mod files;
mod large_values;
mod limits;
mod listening;
mod payloads;
mod protocol;
mod pubsub;
mod replay;
mod startup;
mod stock;
mod switching;
mod threads;
mod waiting;
