//! Snapshots (RDB files) and DUMP payloads, as streams of events.
//!
//! Spec: `docs/format.md`, "Snapshots".

mod error;
mod event;

pub use error::SnapshotError;
pub use event::{Checksum, Event, EventOf, ModuleId, OwnedEvent, StreamId, StreamMeta, Vendor};
