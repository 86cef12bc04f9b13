//! What one slot of a database holds: the unit of walks, migration, accounting and statistics.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::key::{HashKey, KeyRef};
use super::table::{Place, Table};

/// One slot. The first 64 bytes are all that a read needs.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct SlotStore {
    pub(super) table: Table,
    /// Log offset of the last write.
    pub(super) last_write: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Memory of entries and strings, in allocator size classes; what collections hold is not in it.
    pub(super) bytes: u64,
    /// (time in milliseconds, hash) of each key with expiry.
    pub(super) expiries: BTreeSet<(u64, u64)>,
    /// Sum of their times.
    pub(super) expiry_sum_ms: u128,
}

const _: () = assert!(size_of::<SlotStore>() == 128);

/// The counters of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounters {
    /// Keys, expired ones that are still present included.
    pub keys: u64,
    /// Keys with expiry.
    pub volatile: u64,
    /// Memory of entries and strings in bytes.
    pub bytes: u64,
    /// Lookups for reading.
    pub reads: u64,
    /// Changes.
    pub writes: u64,
    /// Log offset of the last change.
    pub last_write: u64,
}

impl SlotStore {
    /// The counters.
    pub fn counters(&self) -> SlotCounters {
        SlotCounters {
            keys: self.table.len() as u64,
            volatile: self.expiries.len() as u64,
            bytes: self.bytes,
            reads: self.reads,
            writes: self.writes,
            last_write: self.last_write,
        }
    }

    #[inline]
    pub(super) fn find(&self, key: &KeyRef<'_>) -> Option<Place> {
        self.table.find(key.hash, key.bytes)
    }

    /// The entry that the expiry index means with `(when_ms, hash)`.
    pub(super) fn find_expiring(
        &self,
        hash_key: &HashKey,
        when_ms: u64,
        hash: u64,
    ) -> Option<Place> {
        self.table.find_where(hash, |entry| {
            entry.expiry_ms() == Some(when_ms) && hash_key.hash(entry.key()) == hash
        })
    }

    pub(super) fn insert(&mut self, hash_key: &HashKey, hash: u64, entry: Entry) {
        self.bytes += entry.own_bytes() as u64;
        if let Some(when) = entry.expiry_ms() {
            self.add_expiry(when, hash);
        }
        self.table.insert(hash_key, hash, entry);
    }

    pub(super) fn remove(&mut self, hash: u64, place: Place) -> Entry {
        let entry = self.table.remove(place);
        self.bytes -= entry.own_bytes() as u64;
        if let Some(when) = entry.expiry_ms() {
            self.drop_expiry(when, hash);
        }
        entry
    }

    /// Changes the entry at `place` and keeps index and counters right.
    pub(super) fn change(&mut self, hash: u64, place: Place, change: impl FnOnce(&mut Entry)) {
        let entry = self.table.at_mut(place);
        let (bytes, expiry) = (entry.own_bytes(), entry.expiry_ms());
        change(entry);
        let (bytes_after, expiry_after) = (entry.own_bytes(), entry.expiry_ms());
        self.bytes = self.bytes - bytes as u64 + bytes_after as u64;
        if expiry != expiry_after {
            if let Some(when) = expiry {
                self.drop_expiry(when, hash);
            }
            if let Some(when) = expiry_after {
                self.add_expiry(when, hash);
            }
        }
    }

    fn add_expiry(&mut self, when_ms: u64, hash: u64) {
        self.expiries.insert((when_ms, hash));
        self.expiry_sum_ms += u128::from(when_ms);
    }

    fn drop_expiry(&mut self, when_ms: u64, hash: u64) {
        self.expiries.remove(&(when_ms, hash));
        self.expiry_sum_ms -= u128::from(when_ms);
    }

    /// Asserts what must hold between operations.
    pub fn check_invariants(&self, hash_key: &HashKey) {
        self.table.check_invariants(hash_key);
        let bytes: usize = self.table.iter().map(Entry::own_bytes).sum();
        assert_eq!(self.bytes, bytes as u64, "bytes of a slot");
        let expiries: BTreeSet<_> = self
            .table
            .iter()
            .filter_map(|entry| Some((entry.expiry_ms()?, hash_key.hash(entry.key()))))
            .collect();
        assert_eq!(self.expiries, expiries, "expiry index of a slot");
        let sum: u128 = expiries.iter().map(|&(when, _)| u128::from(when)).sum();
        assert_eq!(self.expiry_sum_ms, sum, "sum of expiry times of a slot");
    }
}
