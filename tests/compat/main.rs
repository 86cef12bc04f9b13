//! Comparisons with a stock `redis-server` 7.0, which must be installed (`scripts/test` sees to that).
//!
//! Commands are compared by sending the same requests to a stock server and to a node in this process, or, where clients
//! hear of each other, to our program; replies are compared byte for byte. Where 7.0 and our reference 7.2 differ, the module that meets the difference normalises it by
//! name; `docs/compatibility.md` lists them all.

mod gates;
mod generic;
mod geo;
#[path = "../blackbox/judge.rs"]
#[allow(dead_code, reason = "parts of it are for tests of files")]
mod judge;
mod ours;
mod peer;
#[path = "../blackbox/server.rs"]
#[allow(dead_code, reason = "most comparisons are with a node in this process")]
mod program;
mod pubsub;
mod random;
mod replayed;

mod bitmaps;
mod bus;
mod declarations;
mod harness;
mod hashes;
mod heard;
mod hyperloglogs;
mod lists;
mod looks;
mod notices;
mod odd;
mod server;
mod sets;
mod settings;
mod several;
mod sort;
mod streams;
mod streams_log;
mod streams_wait;
mod strings;
mod tree;
mod values;
mod zsets;
