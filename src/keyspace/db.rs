//! A database: an array of slots with what is known of all of them together.

use super::census::Census;
use super::entry::Entry;
use super::key::{HashKey, KeyRef, SLOT_COUNT, Slot};
use super::slot::SlotStore;
use super::table::Place;

/// When no key of a slot expires.
const NEVER: u64 = u64::MAX;

/// A database. It is made on first use; FLUSHDB puts a new one in its place.
#[derive(Debug)]
pub struct Db {
    /// Distinguishes a database from the one that stood under its number before FLUSHDB or SWAPDB.
    pub(super) uid: u64,
    slots: Box<[SlotStore]>,
    keys: Census,
    volatile: Census,
    /// Per slot, a time before which no key of it expires: the active cycle reads these 128 KiB in one go instead
    /// of asking 16384 trees.
    due_ms: Box<[u64]>,
    /// Sum of the expiry times of all volatile keys, for the average TTL.
    expiry_sum_ms: u128,
}

impl Db {
    pub(super) fn new(uid: u64) -> Db {
        let mut slots = Vec::new();
        slots.resize_with(SLOT_COUNT, SlotStore::default);
        Db {
            uid,
            slots: slots.into_boxed_slice(),
            keys: Census::default(),
            volatile: Census::default(),
            due_ms: vec![NEVER; SLOT_COUNT].into_boxed_slice(),
            expiry_sum_ms: 0,
        }
    }

    /// Number of keys, expired ones that are still present included.
    pub fn len(&self) -> u64 {
        self.keys.total()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of keys with expiry.
    pub fn volatile(&self) -> u64 {
        self.volatile.total()
    }

    /// Mean time to live of the keys with expiry, in milliseconds; 0 if there are none or all are past.
    pub fn avg_ttl_ms(&self, now_ms: u64) -> u64 {
        let count = u128::from(self.volatile());
        let mean = self.expiry_sum_ms.checked_div(count).unwrap_or(0);
        u64::try_from(mean.saturating_sub(u128::from(now_ms))).unwrap_or(u64::MAX)
    }

    /// Memory of tables and slots in bytes, without entries: what MEMORY STATS calls overhead. Looks at each slot.
    pub fn overhead_bytes(&self) -> usize {
        let tables: usize = self.slots.iter().map(|store| store.table.bucket_bytes()).sum();
        tables + self.slots.len() * size_of::<SlotStore>()
    }

    /// Memory of entries, strings, tables and slots in bytes; what collections hold is not in it. Looks at each slot.
    pub fn memory_usage(&self) -> usize {
        let entries: u64 = self.slots.iter().map(|store| store.bytes).sum();
        usize::try_from(entries).unwrap_or(usize::MAX).saturating_add(self.overhead_bytes())
    }

    /// The slot.
    #[inline]
    pub fn slot(&self, slot: Slot) -> &SlotStore {
        &self.slots[slot.index()]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, slot: Slot) -> &mut SlotStore {
        &mut self.slots[slot.index()]
    }

    /// Keys per slot.
    pub(super) fn keys(&self) -> &Census {
        &self.keys
    }

    /// Keys with expiry per slot.
    pub(super) fn volatile_keys(&self) -> &Census {
        &self.volatile
    }

    /// Makes the table of a slot for `keys` keys, if it has none yet.
    #[inline]
    pub(super) fn make_room(&mut self, slot: Slot, keys: u16) {
        let table = &mut self.slots[slot.index()].table;
        if keys > 0 && table.is_empty() {
            table.make_room(usize::from(keys));
        }
    }

    pub(super) fn insert(&mut self, hash_key: &HashKey, slot: Slot, hash: u64, entry: Entry) {
        if let Some(when) = entry.expiry_ms() {
            self.add_expiry(slot, when);
        }
        self.keys.add(slot);
        self.slots[slot.index()].insert(hash_key, hash, entry);
    }

    pub(super) fn remove(&mut self, slot: Slot, hash: u64, place: Place) -> Entry {
        let entry = self.slots[slot.index()].remove(hash, place);
        self.keys.subtract(slot);
        if let Some(when) = entry.expiry_ms() {
            self.drop_expiry(slot, when);
        }
        entry
    }

    /// Changes the entry at `place`; indexes and counters follow.
    pub(super) fn change(
        &mut self,
        slot: Slot,
        hash: u64,
        place: Place,
        change: impl FnOnce(&mut Entry),
    ) {
        let store = &mut self.slots[slot.index()];
        let before = store.table.at(place).expiry_ms();
        store.change(hash, place, change);
        let after = store.table.at(place).expiry_ms();
        if before != after {
            if let Some(when) = before {
                self.drop_expiry(slot, when);
            }
            if let Some(when) = after {
                self.add_expiry(slot, when);
            }
        }
    }

    fn add_expiry(&mut self, slot: Slot, when_ms: u64) {
        self.volatile.add(slot);
        self.expiry_sum_ms += u128::from(when_ms);
        let due = &mut self.due_ms[slot.index()];
        *due = (*due).min(when_ms);
    }

    fn drop_expiry(&mut self, slot: Slot, when_ms: u64) {
        self.volatile.subtract(slot);
        self.expiry_sum_ms -= u128::from(when_ms);
    }

    /// The first slot from number `from` on that may have a key whose time is before `now_ms`.
    pub(super) fn next_due(&self, from: usize, now_ms: u64) -> Option<Slot> {
        let ahead = self.due_ms.get(from..)?;
        ahead.iter().position(|&due| due < now_ms).map(|found| Slot::at(from + found))
    }

    /// The earliest expiry in `slot`, if it is before `now_ms`; otherwise remembers when to look again.
    pub(super) fn first_due(&mut self, slot: Slot, now_ms: u64) -> Option<(u64, u64)> {
        let first = self.slots[slot.index()].expiries.first().copied();
        self.due_ms[slot.index()] = first.map_or(NEVER, |(when, _)| when);
        first.filter(|&(when, _)| when < now_ms)
    }

    /// Takes the contents of `slot` out (and puts `store` there), with all counters following.
    pub(super) fn replace_slot(&mut self, slot: Slot, store: SlotStore) -> SlotStore {
        let sum = |store: &SlotStore| {
            store.expiries.iter().map(|&(when, _)| u128::from(when)).sum::<u128>()
        };
        let count = |length: usize| u32::try_from(length).expect("a slot has fewer keys");
        self.keys.set(slot, count(store.table.len()));
        self.volatile.set(slot, count(store.expiries.len()));
        self.due_ms[slot.index()] = store.expiries.first().map_or(NEVER, |&(when, _)| when);
        self.expiry_sum_ms += sum(&store);
        let old = std::mem::replace(&mut self.slots[slot.index()], store);
        self.expiry_sum_ms -= sum(&old);
        old
    }

    #[inline]
    pub(super) fn find(&self, key: &KeyRef<'_>) -> Option<Place> {
        self.slots[key.slot.index()].find(key)
    }

    /// Asserts what must hold between operations.
    pub fn check_invariants(&self, hash_key: &HashKey) {
        let mut expiry_sum = 0;
        for (index, store) in self.slots.iter().enumerate() {
            store.check_invariants(hash_key);
            let slot = Slot::at(index);
            assert_eq!(self.keys.count(slot) as usize, store.table.len(), "keys of {slot:?}");
            assert_eq!(self.volatile.count(slot) as usize, store.expiries.len());
            if let Some(&(when, _)) = store.expiries.first() {
                assert!(self.due_ms[index] <= when, "first expiry of {slot:?}");
            }
            expiry_sum += store.expiries.iter().map(|&(when, _)| u128::from(when)).sum::<u128>();
            for entry in store.table.iter() {
                assert_eq!(Slot::of(entry.key()), slot, "slot of {entry:?}");
            }
        }
        assert_eq!(self.expiry_sum_ms, expiry_sum, "sum of expiry times");
    }
}
