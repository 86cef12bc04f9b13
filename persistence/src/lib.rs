//! The log, the snapshot and their recovery: Redis files on disk, useful without a server.
//!
//! What is durable when:
//!
//! * bytes of the log are *written* when [`log::LogWriter::append`] returns (a killed process loses nothing of
//!   them), and *durable* when a [`log::SyncHandle`] taken before has synced (a power cut loses nothing of them);
//! * a file replaced through [`replace`] is the old one or the new one, whole, after any crash;
//! * [`recovery::plan`] looks at what a crash left and says what is good; [`recovery::carry_out`] makes it so;
//! * [`nodes_conf`] is what a node of a cluster keeps, [`config_lock`] sees to it that one process does.
//!
//! The formats are described byte by byte in `docs/format.md`, the failures in `docs/durability.md`.

pub mod checksum;
pub mod config_lock;
pub mod log;
pub mod nodes_conf;
pub mod recovery;
pub mod replace;
pub mod snapshot;
pub mod storage;
mod words;
