//! The cluster manager beside stock's: the same words on equal clusters give the same lines and the same exit code.
//!
//! Needs Debian's Redis 7.0. Everything listens on loopback and lives in temporary folders.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod both;
mod dialogue;
#[path = "../cluster/member.rs"]
#[allow(dead_code, reason = "not every test does everything to a node")]
mod member;
#[path = "../compat/peer.rs"]
#[allow(dead_code, reason = "servers are started by `member` here")]
mod peer;
#[path = "../blackbox/server.rs"]
#[allow(dead_code, reason = "not every test does everything to a server")]
mod server;

mod copies;
mod creating;
mod fixing;
mod looking;
mod membership;
mod moving;
mod own;
