//! Snapshots (RDB files) and DUMP payloads, as streams of events.
//!
//! Spec: `docs/format.md`, "Snapshots". A file is
//!
//! ```text
//! magic: REDIS and four digits, or VALKEY and three
//! records: one byte that says what it is, then its data (see `format.rs`)
//! FF, and the CRC-64/Jones of everything before it (0: not computed; absent before version 5)
//! ```
//!
//! Numbers are spelled as *lengths*, most significant byte first, in as few bytes as they need; strings are a
//! length and bytes, or an integer in disguise, or compressed with LZF.

mod dump;
mod encoder;
mod encoding;
mod error;
mod event;
mod format;
pub mod lzf;
mod primitive;
mod raw_value;
mod reader;
mod source;
mod stream_encoder;
mod stream_reader;
mod thresholds;
mod value_reader;
mod writer;

pub use dump::{Dump, DumpError, DumpReader, decode_dump, encode_dump, seal_dump, verify_dump};
pub use encoder::{EncoderOptions, ValueEncoder};
pub use encoding::{EditableListpack, Items, Needle, PackedItem, Place, listpack_item_bytes};
pub use error::SnapshotError;
pub use event::{
    Checksum, Event, EventOf, KeyMeta, ModuleId, OwnedEvent, PackedShape, StreamId, StreamMeta,
    Vendor,
};
pub use format::{REDIS_VERSION_MAX, VALKEY_VERSIONS, VERSION_DEFAULT};
pub use raw_value::{RawValue, RawValueReader};
pub use reader::{ReaderOptions, SnapshotReader};
pub use thresholds::Thresholds;
pub use value_reader::FIELD_EXPIRY_MAX;
pub use writer::{SnapshotWriter, WriterOptions};
