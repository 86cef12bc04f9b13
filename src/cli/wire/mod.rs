//! How the tools talk to a server: a blocking connection, and replies as values.

mod connection;
mod reply;

pub(super) use connection::{Address, Connection, Credentials, Failure};
pub(super) use reply::Reply;
