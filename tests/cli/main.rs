//! The client beside Debian's `redis-cli` 7.0, which must be installed (`scripts/test` sees to that): the same arguments,
//! the same input, the same server, byte for byte the same output and the same exit status.
//!
//! What is better than there, and so differs, has tests of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod both;
#[path = "../compat/peer.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
mod peer;
#[path = "../replication/seeds.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
mod seeds;
#[path = "../blackbox/server.rs"]
#[allow(dead_code, reason = "not every test does everything to a server")]
mod server;

mod calls;
mod cluster;
mod forms;
mod keys;
mod lines;
mod pipes;
mod snapshots;
mod terminal;
