//! Streams: entries in the order of their ids, and consumer groups that read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_persistence::snapshot::{StreamId, StreamMeta};

use crate::alloc::size_class;

/// Fields of an entry with their values, in the order given; names may repeat.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Live entries.
    pub entries: BTreeMap<StreamId, Fields>,
    /// The highest id ever added.
    pub last_id: StreamId,
    /// The highest id ever deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// Consumer groups by name.
    pub groups: BTreeMap<Vec<u8>, Group>,
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last id delivered.
    pub last_id: StreamId,
    /// How many entries were read, where that is known.
    pub entries_read: Option<u64>,
    /// Entries delivered and not acknowledged.
    pub pending: BTreeMap<StreamId, Pending>,
    /// Consumers by name.
    pub consumers: BTreeMap<Arc<[u8]>, Consumer>,
}

/// An entry delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Name of the consumer it was delivered to; a key of [`Group::consumers`].
    pub consumer: Arc<[u8]>,
    /// Unix time in milliseconds of the last delivery.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A consumer of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// When it last tried to do something, Unix time in milliseconds.
    pub seen_ms: i64,
    /// When it last got or claimed something, if it ever did.
    pub active_ms: Option<i64>,
}

impl Stream {
    /// The stream's numbers, as snapshots have them.
    pub fn meta(&self) -> StreamMeta {
        StreamMeta {
            length: self.entries.len() as u64,
            last_id: self.last_id,
            first_id: self.entries.first_key_value().map_or(StreamId::ZERO, |(id, _)| *id),
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        const NODE_BYTES: usize = 64;
        let bytes = |bytes: &[u8]| size_class(bytes.len());
        let fields = self.entries.values().flatten();
        let entries: usize = fields.map(|(field, value)| bytes(field) + bytes(value) + 48).sum();
        let groups = self.groups.values();
        let pending: usize =
            groups.map(|group| (group.pending.len() + group.consumers.len()) * NODE_BYTES).sum();
        self.entries.len() * NODE_BYTES + entries + pending
    }
}
