//! Primaries and replicas as processes of their own: killed, cut off, promoted, lied to; beside stock servers and among
//! themselves.
//!
//! Needs Debian's Redis 7.0 (`scripts/test` sees to that). Everything listens on loopback ports that the system picks and
//! lives in temporary folders. `SEED` asks for other random tests, `ROUNDS` for more of each.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod liar;
mod load;
mod logs;
mod node;
#[path = "../compat/peer.rs"]
#[allow(dead_code, reason = "servers are started by `node` here")]
mod peer;
mod proxy;
mod seeds;
#[path = "../blackbox/server.rs"]
#[allow(dead_code, reason = "not every test does everything to a server")]
mod server;

mod bad_input;
mod counts;
mod fields;
mod handover;
mod histories;
mod pubsub;
mod resuming;
mod roles;
mod rounds;
mod slow;
mod waiting;
