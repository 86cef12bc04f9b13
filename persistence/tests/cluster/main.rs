//! What a node of a cluster keeps, with stock beside it and with other processes that want the same file.

#![expect(clippy::unwrap_used, reason = "a test: what cannot fail may panic")]

mod config_lock;
mod nodes_conf;
#[path = "../server/mod.rs"]
mod server;
