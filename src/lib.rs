//! Highwater: a persistent node for Redis Cluster.

pub mod clock;
pub mod resp;
