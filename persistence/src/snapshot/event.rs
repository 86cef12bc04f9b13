//! The events a snapshot consists of, for the reader as for the writer.
//!
//! A file is: `Header`, then `Aux`, `Function` and the like in any number, then for each database `SelectDb`,
//! `ResizeDb` and its keys, and at last `Eof`. A key is: `Key`, one value, `ValueEnd`. A value is one of
//!
//! ```text
//! String
//! ListBegin   ListItem*
//! SetBegin    SetMember*
//! HashBegin   HashField*
//! ZsetBegin   ZsetMember*
//! StreamBegin (StreamEntry StreamField*)* StreamMeta
//!             (StreamGroup StreamPending* (StreamConsumer StreamConsumerPending*)*)*
//! ```
//!
//! so neither side needs a whole collection in memory, and the crate needs no types for them.
//!
//! Who holds collections in the blocks that snapshots consist of hands these to the writer as they are, and a reader that is
//! told so ([`ReaderOptions::blocks`](super::ReaderOptions)) hands them out, checked:
//!
//! ```text
//! Packed                             a set, hash or sorted set
//! ListNodes    ListNode*
//! StreamNodes  StreamNode*           in place of StreamBegin and the entries
//! ```

use std::fmt;

/// A borrowed event: bytes belong to the reader and live until it is asked for the next one.
pub type Event<'a> = EventOf<&'a [u8]>;

/// An event that owns its bytes, to be kept or handed to another thread.
pub type OwnedEvent = EventOf<Vec<u8>>;

/// Which family of servers wrote a snapshot; some type numbers mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Magic `REDIS` and four digits.
    Redis,
    /// Magic `VALKEY` and three digits (version 80 and later).
    Valkey,
}

/// What the footer said about the bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It agrees.
    Verified,
    /// It is 0: the writer had checksums switched off.
    Disabled,
    /// The version (below 5) has none.
    Absent,
}

/// The id of a stream entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds, by intent of Unix time.
    pub ms: u64,
    /// Distinguishes entries of one millisecond.
    pub seq: u64,
}

impl StreamId {
    /// `0-0`, which no entry can have.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The id of `ms` and `seq`.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The 16 bytes, big endian, that stand for the id in snapshots; they sort as the ids do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The id that [`StreamId::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let [m0, m1, m2, m3, m4, m5, m6, m7, s0, s1, s2, s3, s4, s5, s6, s7] = bytes;
        Self {
            ms: u64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]),
            seq: u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// What a snapshot says of a key, beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyMeta {
    /// Unix time in milliseconds at which it expires.
    pub expires_ms: Option<i64>,
    /// Seconds since it was last used (LRU).
    pub idle_s: Option<u64>,
    /// How often it is used (LFU), a logarithmic counter.
    pub freq: Option<u8>,
}

/// What a snapshot says of a whole stream, beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamMeta {
    /// Live entries.
    pub length: u64,
    /// The highest id ever added.
    pub last_id: StreamId,
    /// The lowest id still there, or `0-0` for an empty stream.
    pub first_id: StreamId,
    /// The highest id ever deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

/// What a packed block is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackedShape {
    /// A set: an intset.
    Intset,
    /// A set: a listpack of its members.
    Set,
    /// A hash: a listpack of fields and values in turn.
    Hash,
    /// A sorted set: a listpack of members and scores in turn, in order.
    Zset,
}

/// One event; `B` is how bytes are held. See the module for the order of events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventOf<B> {
    /// The first nine bytes.
    Header {
        /// Format version, counted separately by each vendor from 80 on.
        version: u32,
        /// Who counts.
        vendor: Vendor,
    },
    /// A fact about the snapshot, such as `redis-ver`; unknown ones must be ignored.
    Aux {
        /// Name of the fact.
        key: B,
        /// Its value, numbers as decimal text.
        value: B,
    },
    /// Source code of a function library.
    Function(B),
    /// The keys that follow belong to this database.
    SelectDb(u32),
    /// How many keys the database holds: a hint.
    ResizeDb {
        /// All keys.
        keys: u64,
        /// Keys with an expiry.
        expires: u64,
    },
    /// How many keys a slot holds: a hint (Redis 7.4 and later, cluster mode).
    SlotInfo {
        /// The slot.
        slot: u64,
        /// All its keys.
        keys: u64,
        /// Those with an expiry.
        expires: u64,
    },
    /// The writer was in the middle of importing slots (Valkey 9); one `SlotRange` per range follows.
    SlotImport {
        /// Name of the job.
        job: B,
        /// How many ranges follow.
        ranges: u64,
    },
    /// A range of slots that is being imported, both ends included.
    SlotRange {
        /// First slot.
        start: u64,
        /// Last slot.
        end: u64,
    },
    /// Data of a module outside of any key. It was skipped.
    ModuleAux {
        /// The module's type name, nine characters, and its encoding version.
        module: ModuleId,
    },
    /// Data of a newer server that has no counterpart here. It was skipped.
    Skipped {
        /// What it was.
        what: &'static str,
    },
    /// A key; its value follows.
    Key {
        /// The key.
        key: B,
        /// Unix time in milliseconds at which it expires.
        expires_ms: Option<i64>,
        /// Seconds since it was last used (LRU).
        idle_s: Option<u64>,
        /// How often it is used (LFU), a logarithmic counter.
        freq: Option<u8>,
    },
    /// A string value, whole.
    String(B),
    /// A list begins.
    ListBegin {
        /// How many elements the file claims; `None` where it does not say. Never take memory by it unbounded.
        len: Option<u64>,
    },
    /// The next element, from head to tail.
    ListItem(B),
    /// A set begins.
    SetBegin {
        /// How many members the file claims.
        len: Option<u64>,
    },
    /// A member.
    SetMember(B),
    /// A hash begins.
    HashBegin {
        /// How many fields the file claims.
        len: Option<u64>,
    },
    /// A field with its value.
    HashField {
        /// The field's name.
        field: B,
        /// Its value.
        value: B,
        /// Unix time in milliseconds at which the field alone expires.
        expires_ms: Option<u64>,
    },
    /// A sorted set begins.
    ZsetBegin {
        /// How many members the file claims.
        len: Option<u64>,
    },
    /// A member with its score. Files hold them in either order.
    ZsetMember {
        /// The member.
        member: B,
        /// The score, never NaN.
        score: f64,
    },
    /// A stream begins.
    StreamBegin,
    /// An entry of a stream; `fields` events `StreamField` follow.
    StreamEntry {
        /// Its id, higher than those before.
        id: StreamId,
        /// How many fields it has.
        fields: u64,
    },
    /// A field of the entry before.
    StreamField {
        /// The field's name.
        field: B,
        /// Its value.
        value: B,
    },
    /// The stream's numbers, behind its entries.
    StreamMeta(StreamMeta),
    /// A consumer group begins.
    StreamGroup {
        /// Its name.
        name: B,
        /// The last id delivered.
        last_id: StreamId,
        /// How many entries were read, where that is known.
        entries_read: Option<u64>,
    },
    /// An entry that a consumer of the group has not acknowledged; who it is follows with the consumers.
    StreamPending {
        /// The entry's id.
        id: StreamId,
        /// Unix time in milliseconds of the last delivery.
        delivered_ms: i64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A consumer of the group.
    StreamConsumer {
        /// Its name.
        name: B,
        /// When it last tried to do something, Unix time in milliseconds.
        seen_ms: i64,
        /// When it last got or claimed something; `None` where it never did. Formats before version 11 do not say: then it is
        /// when it was last seen.
        active_ms: Option<i64>,
    },
    /// A pending entry that belongs to the consumer before.
    StreamConsumerPending {
        /// The entry's id.
        id: StreamId,
    },
    /// A whole collection as one block.
    Packed {
        /// What it is.
        shape: PackedShape,
        /// The block.
        bytes: B,
    },
    /// A list begins that comes in nodes.
    ListNodes {
        /// How many.
        nodes: u64,
    },
    /// The next node of a list.
    ListNode {
        /// Whether it is a listpack of items, or else one item.
        packed: bool,
        /// Listpack or item.
        bytes: B,
    },
    /// A stream begins whose entries come in nodes.
    StreamNodes {
        /// How many.
        nodes: u64,
    },
    /// The next node of a stream.
    StreamNode {
        /// The id from which those of its entries are counted.
        base: StreamId,
        /// A listpack: the master entry and the entries.
        bytes: B,
    },
    /// The value is complete.
    ValueEnd,
    /// The snapshot is complete.
    Eof {
        /// What the footer said.
        checksum: Checksum,
    },
}

/// The 64-bit number by which a module's data is marked: nine characters and a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleId(pub u64);

impl ModuleId {
    /// The nine characters.
    #[must_use]
    pub fn name(self) -> String {
        const CHARACTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..9)
            .map(|at| {
                let six_bits = (self.0 >> (10 + 6 * (8 - at))) & 63;
                char::from(CHARACTERS[usize::from(six_bits.to_le_bytes()[0])])
            })
            .collect()
    }

    /// The version of the module's encoding.
    #[must_use]
    pub fn version(self) -> u64 {
        self.0 & 1023
    }
}

impl<B> EventOf<B> {
    /// The same event with its bytes turned by `f`.
    pub fn map<C>(self, mut f: impl FnMut(B) -> C) -> EventOf<C> {
        use EventOf as E;
        match self {
            E::Header { version, vendor } => E::Header { version, vendor },
            E::Aux { key, value } => E::Aux { key: f(key), value: f(value) },
            E::Function(code) => E::Function(f(code)),
            E::SelectDb(db) => E::SelectDb(db),
            E::ResizeDb { keys, expires } => E::ResizeDb { keys, expires },
            E::SlotInfo { slot, keys, expires } => E::SlotInfo { slot, keys, expires },
            E::SlotImport { job, ranges } => E::SlotImport { job: f(job), ranges },
            E::SlotRange { start, end } => E::SlotRange { start, end },
            E::ModuleAux { module } => E::ModuleAux { module },
            E::Skipped { what } => E::Skipped { what },
            E::Key { key, expires_ms, idle_s, freq } => {
                E::Key { key: f(key), expires_ms, idle_s, freq }
            }
            E::String(bytes) => E::String(f(bytes)),
            E::ListBegin { len } => E::ListBegin { len },
            E::ListItem(item) => E::ListItem(f(item)),
            E::SetBegin { len } => E::SetBegin { len },
            E::SetMember(member) => E::SetMember(f(member)),
            E::HashBegin { len } => E::HashBegin { len },
            E::HashField { field, value, expires_ms } => {
                E::HashField { field: f(field), value: f(value), expires_ms }
            }
            E::ZsetBegin { len } => E::ZsetBegin { len },
            E::ZsetMember { member, score } => E::ZsetMember { member: f(member), score },
            E::StreamBegin => E::StreamBegin,
            E::StreamEntry { id, fields } => E::StreamEntry { id, fields },
            E::StreamField { field, value } => E::StreamField { field: f(field), value: f(value) },
            E::StreamMeta(meta) => E::StreamMeta(meta),
            E::StreamGroup { name, last_id, entries_read } => {
                E::StreamGroup { name: f(name), last_id, entries_read }
            }
            E::StreamPending { id, delivered_ms, deliveries } => {
                E::StreamPending { id, delivered_ms, deliveries }
            }
            E::StreamConsumer { name, seen_ms, active_ms } => {
                E::StreamConsumer { name: f(name), seen_ms, active_ms }
            }
            E::StreamConsumerPending { id } => E::StreamConsumerPending { id },
            E::Packed { shape, bytes } => E::Packed { shape, bytes: f(bytes) },
            E::ListNodes { nodes } => E::ListNodes { nodes },
            E::ListNode { packed, bytes } => E::ListNode { packed, bytes: f(bytes) },
            E::StreamNodes { nodes } => E::StreamNodes { nodes },
            E::StreamNode { base, bytes } => E::StreamNode { base, bytes: f(bytes) },
            E::ValueEnd => E::ValueEnd,
            E::Eof { checksum } => E::Eof { checksum },
        }
    }
}

impl Event<'_> {
    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_owned(self) -> OwnedEvent {
        self.map(<[u8]>::to_vec)
    }
}

impl OwnedEvent {
    /// The event with its bytes borrowed.
    #[must_use]
    pub fn borrow(&self) -> Event<'_> {
        // Every variant is rebuilt; the bytes are not copied.
        borrowed(self)
    }
}

fn borrowed(event: &OwnedEvent) -> Event<'_> {
    use EventOf as E;
    match event {
        E::Aux { key, value } => E::Aux { key, value },
        E::Function(code) => E::Function(code),
        E::SlotImport { job, ranges } => E::SlotImport { job, ranges: *ranges },
        E::Key { key, expires_ms, idle_s, freq } => {
            E::Key { key, expires_ms: *expires_ms, idle_s: *idle_s, freq: *freq }
        }
        E::String(bytes) => E::String(bytes),
        E::ListItem(item) => E::ListItem(item),
        E::SetMember(member) => E::SetMember(member),
        E::HashField { field, value, expires_ms } => {
            E::HashField { field, value, expires_ms: *expires_ms }
        }
        E::ZsetMember { member, score } => E::ZsetMember { member, score: *score },
        E::StreamField { field, value } => E::StreamField { field, value },
        E::StreamGroup { name, last_id, entries_read } => {
            E::StreamGroup { name, last_id: *last_id, entries_read: *entries_read }
        }
        E::StreamConsumer { name, seen_ms, active_ms } => {
            E::StreamConsumer { name, seen_ms: *seen_ms, active_ms: *active_ms }
        }
        E::Packed { shape, bytes } => E::Packed { shape: *shape, bytes },
        E::ListNode { packed, bytes } => E::ListNode { packed: *packed, bytes },
        E::StreamNode { base, bytes } => E::StreamNode { base: *base, bytes },
        // The rest holds no bytes, so turning an empty copy into a borrowed event loses nothing.
        other => other.clone().map(|_| &[][..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_bytes_do() {
        let ids = [StreamId::new(0, 1), StreamId::new(1, 0), StreamId::new(1, u64::MAX)];
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
        }
        for id in ids {
            assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        }
    }

    #[test]
    fn a_module_id_is_nine_characters_and_a_version() {
        // "AAAAAAAAB", version 3.
        assert_eq!(ModuleId((1 << 10) | 3).name(), "AAAAAAAAB");
        assert_eq!(ModuleId((1 << 10) | 3).version(), 3);
    }

    #[test]
    fn borrowing_an_owned_event_gives_the_event_back() {
        let event = Event::Key { key: b"k", expires_ms: Some(5), idle_s: None, freq: Some(1) };
        assert_eq!(event.to_owned().borrow(), event);
        let event = Event::SelectDb(3);
        assert_eq!(event.to_owned().borrow(), event);
    }
}
