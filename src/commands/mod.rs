//! The commands: one file per family, declaration beside implementation.
//!
//! Adding a command means writing its constant and its function in a family's file and naming the constant in that
//! file's list. Nothing else has to be told.

pub mod arguments;
pub mod auth;
pub mod bitfield;
pub mod bitmap;
pub mod bitmap_count;
mod blocking;
pub mod categories;
pub mod client;
mod client_control;
mod client_list;
pub mod cluster;
mod cluster_handover;
mod cluster_map;
mod cluster_migration;
mod cluster_nodes;
mod cluster_slots;
mod cluster_stats;
#[cfg(test)]
mod cluster_tests;
mod collections;
pub mod command;
mod command_age;
mod command_docs;
pub mod command_info;
mod command_keys;
mod command_syntax;
pub mod config;
pub mod connection;
#[cfg(test)]
mod connection_tests;
pub mod context;
pub mod debug;
mod debug_protocol;
mod debug_values;
pub mod document;
mod double;
pub mod dump;
pub mod expire;
pub mod extended;
pub mod failover;
pub mod flush;
pub mod generic;
pub mod generic_move;
#[cfg(test)]
mod generic_tests;
pub mod geo;
mod geo_hash;
pub mod geo_search;
mod geo_shape;
pub mod hash;
pub mod hash_expiry;
pub mod hash_extended;
pub mod hash_number;
pub mod hash_scan;
#[cfg(test)]
mod hash_tests;
mod help;
pub mod hyperloglog;
pub mod hyperloglog_debug;
pub mod info;
mod info_memory;
mod info_persistence;
mod info_replication;
mod info_server;
mod info_stats;
pub mod keys;
pub mod latency;
mod latency_report;
pub mod lcs;
pub mod list;
pub mod list_move;
pub mod list_pop;
pub mod list_position;
pub mod lolwut;
pub mod memory;
pub mod migrate;
pub mod monitor;
pub mod object;
pub mod persistence;
pub mod pubsub;
#[cfg(test)]
mod pubsub_tests;
pub mod replication;
pub mod scan;
pub mod server;
#[cfg(test)]
mod server_tests;
pub mod set;
pub mod set_algebra;
pub mod set_random;
pub mod slowlog;
pub mod sort;
mod sort_order;
mod sort_pattern;
pub mod stream;
pub mod stream_claim;
mod stream_effects;
pub mod stream_group;
mod stream_id;
pub mod stream_info;
pub mod stream_pending;
pub mod stream_range;
pub mod stream_read;
mod stream_trim;
pub mod string;
pub mod string_compare;
pub mod string_many;
pub mod string_number;
pub mod string_options;
pub mod string_range;
pub mod subscribe;
pub mod table;
pub mod transaction;
pub mod zset;
pub mod zset_algebra;
mod zset_bounds;
pub mod zset_pop;
pub mod zset_random;
pub mod zset_range;
pub mod zset_rank;

pub use client_list::describe as describe_client;
pub use command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec};
pub use command_docs::documentation;
pub use context::{Context, Then};
pub use keys::keys_of;
pub use table::{Entry, Table, table};

/// The lists of all families.
pub const FAMILIES: &[&[Command]] = &[
    connection::COMMANDS,
    string::COMMANDS,
    string_range::COMMANDS,
    string_number::COMMANDS,
    string_compare::COMMANDS,
    string_many::COMMANDS,
    lcs::COMMANDS,
    bitmap::COMMANDS,
    bitmap_count::COMMANDS,
    bitfield::COMMANDS,
    list::COMMANDS,
    list_pop::COMMANDS,
    list_move::COMMANDS,
    list_position::COMMANDS,
    hash::COMMANDS,
    hash_number::COMMANDS,
    hash_scan::COMMANDS,
    hash_expiry::COMMANDS,
    hash_extended::COMMANDS,
    set::COMMANDS,
    set_random::COMMANDS,
    set_algebra::COMMANDS,
    hyperloglog::COMMANDS,
    hyperloglog_debug::COMMANDS,
    stream::COMMANDS,
    stream_range::COMMANDS,
    stream_read::COMMANDS,
    stream_group::COMMANDS,
    stream_pending::COMMANDS,
    stream_claim::COMMANDS,
    stream_info::COMMANDS,
    zset::COMMANDS,
    zset_range::COMMANDS,
    zset_rank::COMMANDS,
    zset_pop::COMMANDS,
    zset_random::COMMANDS,
    zset_algebra::COMMANDS,
    geo::COMMANDS,
    geo_search::COMMANDS,
    generic::COMMANDS,
    generic_move::COMMANDS,
    expire::COMMANDS,
    scan::COMMANDS,
    object::COMMANDS,
    sort::COMMANDS,
    dump::COMMANDS,
    migrate::COMMANDS,
    flush::COMMANDS,
    auth::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command_info::COMMANDS,
    config::COMMANDS,
    debug::COMMANDS,
    latency::COMMANDS,
    lolwut::COMMANDS,
    memory::COMMANDS,
    monitor::COMMANDS,
    persistence::COMMANDS,
    pubsub::COMMANDS,
    replication::COMMANDS,
    failover::COMMANDS,
    server::COMMANDS,
    slowlog::COMMANDS,
    subscribe::COMMANDS,
    info::COMMANDS,
    transaction::COMMANDS,
];
