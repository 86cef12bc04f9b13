//! Clusters of processes: ours, stock's, and both in one. Killed, paused, restarted, moved; with clients writing all along.
//!
//! Needs Debian's Redis 7.0, iproute2 and a Python with its `redis` package in `target/venv` (`scripts/test` sees to that).
//! Everything listens on loopback, or in network namespaces that are made for it, and lives in temporary folders.
//! `SEED` asks for other random tests, `ROUNDS` for more of each.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod claims;
mod hosts;
mod member;
#[path = "../compat/peer.rs"]
#[allow(dead_code, reason = "servers are started by `member` here")]
mod peer;
#[path = "../replication/seeds.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
mod seeds;
#[path = "../blackbox/server.rs"]
#[allow(dead_code, reason = "not every test does everything to a server")]
mod server;
mod shards;
mod writers;

mod addresses;
mod clients;
mod failover;
mod folders;
mod guard;
mod messages;
mod migrate;
mod namespaces;
mod open_slots;
mod replies;
mod reshard;
mod restarts;
mod rounds;
mod settings;
mod strangers;
mod tools;
mod trimming;
