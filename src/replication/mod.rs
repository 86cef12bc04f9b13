//! Replication as decisions: which resync, which ids and offsets, when a link is given up, who has acknowledged what.
//!
//! Nothing here knows of sockets, files or clocks: bytes, facts and times go in, decisions come out, and `net` carries
//! them out. Source: Redis documentation, "Replication"; `docs/replication.md`.

pub mod backlog;
pub mod failover;
pub mod link;
pub mod replicas;
pub mod resync;
pub mod units;

pub use backlog::Backlog;
pub use link::Link;
pub use replicas::{Replica, Replicas};
