//! What a step of a walk puts out: entries as of the cut, to be encoded outside of the node's lock.

use std::sync::Arc;

use super::entry::Entry;
use super::key::Slot;
use super::value::{Value, ValueRef};
use crate::types::Object;

/// Entries put out by a walk. Short strings are copied into one buffer; long strings and collections are shared
/// with the keyspace, which copies them should they be written while the batch is alive. Use it again: clearing
/// keeps the buffers.
#[derive(Debug, Default)]
pub struct WalkBatch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    payload_bytes: usize,
}

#[derive(Debug)]
struct Item {
    db: u32,
    slot: Slot,
    access: u32,
    key_start: usize,
    key_end: usize,
    value: ItemValue,
    expiry_ms: Option<u64>,
}

#[derive(Debug)]
enum ItemValue {
    /// Behind the key, of this length.
    Copied(usize),
    Int(i64),
    String(Arc<Vec<u8>>),
    Object(Object),
}

/// One entry of a batch.
#[derive(Clone, Copy, Debug)]
pub struct WalkEntry<'a> {
    /// Number of its database at the cut.
    pub db: u32,
    /// Its slot.
    pub slot: Slot,
    /// Its key.
    pub key: &'a [u8],
    /// Its value at the cut.
    pub value: ValueRef<'a>,
    /// When it expires, in milliseconds since 1970. It may be past.
    pub expiry_ms: Option<u64>,
    /// Its access clock.
    pub access: u32,
}

impl WalkBatch {
    /// The entries, those handed over by writers first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = WalkEntry<'_>> {
        self.items.iter().map(|item| WalkEntry {
            db: item.db,
            slot: item.slot,
            key: &self.bytes[item.key_start..item.key_end],
            value: match &item.value {
                ItemValue::Copied(length) => {
                    ValueRef::Str(&self.bytes[item.key_end..item.key_end + length])
                }
                ItemValue::Int(number) => ValueRef::Int(*number),
                ItemValue::String(bytes) => ValueRef::Str(bytes),
                ItemValue::Object(object) => ValueRef::Object(object),
            },
            expiry_ms: item.expiry_ms,
            access: item.access,
        })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of keys and strings, shared ones included; a collection counts for what copying it copied.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Empties the batch, which lets go of shared values. Buffers stay.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.payload_bytes = 0;
    }

    pub(super) fn push(&mut self, db: u32, slot: Slot, entry: &Entry) {
        let key = entry.key();
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        let (value, size) = match entry.share() {
            Value::Str(bytes) => {
                self.bytes.extend_from_slice(bytes);
                (ItemValue::Copied(bytes.len()), bytes.len())
            }
            Value::Int(number) => (ItemValue::Int(number), 8),
            Value::Shared(bytes) => {
                let length = bytes.len();
                (ItemValue::String(bytes), length)
            }
            Value::Object(object) => {
                let size = object.cloned_bytes();
                (ItemValue::Object(object), size)
            }
        };
        self.payload_bytes += key.len() + size;
        let (access, expiry_ms) = (entry.access(), entry.expiry_ms());
        self.items.push(Item { db, slot, access, key_start, key_end, value, expiry_ms });
    }

    /// Moves all entries of `other` behind those of this batch.
    pub(super) fn append(&mut self, other: &mut WalkBatch) {
        if self.items.is_empty() {
            std::mem::swap(self, other);
        } else {
            let shift = self.bytes.len();
            self.bytes.extend_from_slice(&other.bytes);
            self.items.extend(other.items.drain(..).map(|mut item| {
                item.key_start += shift;
                item.key_end += shift;
                item
            }));
            self.payload_bytes += other.payload_bytes;
        }
        other.clear();
    }
}
