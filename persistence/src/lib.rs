//! Logs and snapshots.

pub mod checksum;
pub mod snapshot;
