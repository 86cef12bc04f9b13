//! Logs and snapshots.
