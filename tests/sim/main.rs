//! Whole nodes as values in one thread: network, clocks and disks are played from one number.
//!
//! No sockets, no files, no threads. What a driver does around a node (carry out its outputs in order, save, commit, sync,
//! feed replicas) is played here as `net` does it; see `bus.rs`, `stream.rs` and `disk.rs`. `check.rs` says what has to hold
//! with every step, `heal.rs` what has to hold in the end, each scenario what its writers were promised.
//!
//! `SEED=n cargo test --test sim NAME` plays one world again, `SEEDS=n` plays so many, `TRACE=1` shows what happens.

mod bus;
mod check;
mod clients;
mod disk;
mod driver;
mod events;
mod faults;
mod heal;
mod jobs;
mod machine;
mod moves;
mod network;
mod scale;
mod scenarios;
mod seeds;
mod served;
mod slots;
mod stream;
mod world;
