//! A database: an array of slots with what is known of all of them together.

use super::census::Census;
use super::entry::Entry;
use super::fields::{FieldDues, SlotDues, due_of};
use super::key::{HashKey, KeyRef, SLOT_COUNT, Slot};
use super::slot::SlotStore;
use super::table::Place;
use super::tally::Tallies;

/// When no key of a slot expires.
const NEVER: u64 = u64::MAX;

/// A database. It is made on first use; FLUSHDB puts a new one in its place.
#[derive(Debug)]
pub struct Db {
    /// Distinguishes a database from the one that stood under its number before FLUSHDB or SWAPDB.
    pub(super) uid: u64,
    slots: Box<[SlotStore]>,
    tallies: Tallies,
    /// Hashes of which fields expire.
    pub(super) field_dues: FieldDues,
    /// Per slot, a time before which no key of it expires: the active cycle reads these 128 KiB in one go instead
    /// of asking 16384 trees.
    due_ms: Box<[u64]>,
}

/// What is in a slot, and what the database knows of it beside.
#[derive(Debug, Default)]
pub(super) struct SlotContents {
    pub(super) store: SlotStore,
    dues: SlotDues,
}

impl Db {
    pub(super) fn new(uid: u64) -> Db {
        let mut slots = Vec::new();
        slots.resize_with(SLOT_COUNT, SlotStore::default);
        Db {
            uid,
            slots: slots.into_boxed_slice(),
            tallies: Tallies::default(),
            field_dues: FieldDues::default(),
            due_ms: vec![NEVER; SLOT_COUNT].into_boxed_slice(),
        }
    }

    /// Number of keys, expired ones that are still present included; those of hidden slots are not.
    pub fn len(&self) -> u64 {
        self.keys().total()
    }

    /// Whether there is no key, hidden ones aside.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of keys with expiry, hidden ones aside.
    pub fn volatile(&self) -> u64 {
        self.volatile_keys().total()
    }

    /// Number of keys in all slots, hidden or not, and how many of them have an expiry: what a walk meets.
    pub fn stored(&self) -> (u64, u64) {
        self.tallies.stored()
    }

    /// Mean time to live of the keys with expiry, in milliseconds; 0 if there are none or all are past. Hidden keys do
    /// not count.
    pub fn avg_ttl_ms(&self, now_ms: u64) -> u64 {
        let count = u128::from(self.volatile());
        let mean = self.tallies.shown().expiry_sum_ms.checked_div(count).unwrap_or(0);
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

    /// Keys per slot; hidden slots seem empty.
    pub(super) fn keys(&self) -> &Census {
        &self.tallies.shown().keys
    }

    /// Keys with expiry per slot; hidden slots seem to have none.
    pub(super) fn volatile_keys(&self) -> &Census {
        &self.tallies.shown().volatile
    }

    /// The first slot from number `from` on that is not empty, hidden or not.
    pub(super) fn next_stored(&self, from: usize) -> Option<Slot> {
        self.tallies.next_stored(from)
    }

    /// The slots that are not empty, hidden or not, in ascending order.
    pub(super) fn stored_slots(&self) -> impl Iterator<Item = Slot> {
        let next = |slot: &Slot| self.next_stored(slot.index() + 1);
        std::iter::successors(self.next_stored(0), next)
    }

    pub(super) fn hide(&mut self, slot: Slot) {
        self.tallies.hide(slot, &self.slots[slot.index()]);
    }

    pub(super) fn show(&mut self, slot: Slot) {
        self.tallies.show(slot, &self.slots[slot.index()]);
    }

    /// Whether `slot` is hidden.
    #[inline]
    pub(super) fn is_hidden(&self, slot: Slot) -> bool {
        self.tallies.is_hidden(slot)
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
        self.field_dues.moved(slot, hash, None, due_of(&entry));
        self.tallies.of(slot).keys.add(slot);
        self.slots[slot.index()].insert(hash_key, hash, entry);
    }

    pub(super) fn remove(&mut self, slot: Slot, hash: u64, place: Place) -> Entry {
        let entry = self.slots[slot.index()].remove(hash, place);
        self.field_dues.moved(slot, hash, due_of(&entry), None);
        self.tallies.of(slot).keys.subtract(slot);
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
        let times = |entry: &Entry| (entry.expiry_ms(), due_of(entry));
        let (before, due_before) = times(store.table.at(place));
        store.change(hash, place, change);
        let (after, due_after) = times(store.table.at(place));
        self.field_dues.moved(slot, hash, due_before, due_after);
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
        let tally = self.tallies.of(slot);
        tally.volatile.add(slot);
        tally.expiry_sum_ms += u128::from(when_ms);
        let due = &mut self.due_ms[slot.index()];
        *due = (*due).min(when_ms);
    }

    fn drop_expiry(&mut self, slot: Slot, when_ms: u64) {
        let tally = self.tallies.of(slot);
        tally.volatile.subtract(slot);
        tally.expiry_sum_ms -= u128::from(when_ms);
    }

    /// The first slot from number `from` on that may have a key whose time is before `now_ms`. Keys of hidden slots are
    /// never due: whether they are there is decided elsewhere.
    pub(super) fn next_due(&self, from: usize, now_ms: u64) -> Option<Slot> {
        let mut at = from;
        loop {
            at += self.due_ms.get(at..)?.iter().position(|&due| due < now_ms)?;
            let slot = Slot::at(at);
            if !self.is_hidden(slot) {
                return Some(slot);
            }
            at += 1;
        }
    }

    /// The earliest expiry in `slot`, if it is before `now_ms`; otherwise remembers when to look again.
    pub(super) fn first_due(&mut self, slot: Slot, now_ms: u64) -> Option<(u64, u64)> {
        let first = self.slots[slot.index()].expiries.first().copied();
        self.due_ms[slot.index()] = first.map_or(NEVER, |(when, _)| when);
        first.filter(|&(when, _)| when < now_ms)
    }

    /// Takes the contents of `slot` out (and puts `new` there), with all counters following.
    pub(super) fn replace_slot(&mut self, slot: Slot, new: SlotContents) -> SlotContents {
        let SlotContents { store, dues } = new;
        self.tallies.replace(slot, &self.slots[slot.index()], &store);
        self.due_ms[slot.index()] = store.expiries.first().map_or(NEVER, |&(when, _)| when);
        let dues = self.field_dues.replace_slot(slot, dues);
        SlotContents { store: std::mem::replace(&mut self.slots[slot.index()], store), dues }
    }

    #[inline]
    pub(super) fn find(&self, key: &KeyRef<'_>) -> Option<Place> {
        self.slots[key.slot.index()].find(key)
    }

    /// Asserts what must hold between operations.
    pub fn check_invariants(&self, hash_key: &HashKey) {
        self.tallies.check_invariants(&self.slots);
        self.field_dues.check_invariants(hash_key, &self.slots);
        for (index, store) in self.slots.iter().enumerate() {
            store.check_invariants(hash_key);
            let slot = Slot::at(index);
            if let Some(&(when, _)) = store.expiries.first() {
                assert!(self.due_ms[index] <= when, "first expiry of {slot:?}");
            }
            for entry in store.table.iter() {
                assert_eq!(Slot::of(entry.key()), slot, "slot of {entry:?}");
            }
        }
    }
}
