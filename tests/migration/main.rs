//! Slots that move as a whole between processes: with clients at them all along, with nodes that are killed, held, full.
//!
//! Needs Debian's Redis 7.0 for its `redis-cli`. Everything listens on loopback and lives in temporary folders. `SEED` asks for
//! other random tests, `ROUNDS` for more of each.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot go on has failed")]

mod counters;
#[path = "../cluster/member.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
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
#[path = "../cluster/shards.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
mod shards;

mod dialects;
mod jobs;
mod moves;
mod under_fire;
