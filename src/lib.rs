//! Highwater: a persistent node for Redis Cluster.

pub mod alloc;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod glob;
pub mod keyspace;
pub mod logging;
pub mod migration;
pub mod net;
pub mod node;
pub mod prefetch;
pub mod pubsub;
pub mod random;
pub mod replication;
pub mod resp;
pub mod state;
pub mod types;

/// The Redis release whose commands, settings and texts this server has.
pub const REDIS_VERSION: &str = "7.2.4";
