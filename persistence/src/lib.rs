//! The log, the snapshot and their recovery: Redis files on disk, useful without a server.
//!
//! What is durable when:
//!
//! * bytes of the log are *written* when [`log::LogWriter::append`] returns (a killed process loses nothing of
//!   them), and *durable* when a [`log::SyncHandle`] taken before has synced (a power cut loses nothing of them);
//! * a file replaced through [`replace`] is the old one or the new one, whole, after any crash.
//!
//! The formats are described byte by byte in `docs/format.md`, the failures in `docs/durability.md`.

pub mod checksum;
pub mod log;
pub mod replace;
pub mod snapshot;
pub mod storage;
