//! An entry held for changing.

use super::Keyspace;
use super::entry::Entry;
use super::fields::due_of;
use super::key::{KeyRef, Slot};
use super::table::Place;
use super::value::{Value, ValueRef};
use crate::types::Object;

/// An entry that may be changed. Reading through it has no consequences; the first change hands the old value to
/// walks, stamps the slot, notes watchers and counts as dirty, once.
#[derive(Debug)]
pub struct EntryMut<'k> {
    keyspace: &'k mut Keyspace,
    db: u32,
    slot: Slot,
    hash: u64,
    place: Place,
    /// What the entry counted for in its slot's bytes when the first change began.
    opened_bytes: Option<u64>,
    /// The time before which no field of it expired then.
    opened_due: Option<u64>,
    /// Watchers and those who wait for the key hear of changes.
    is_noticed: bool,
    /// The key has been made for this: the first change of its value is a part of that.
    is_new: bool,
}

impl<'k> EntryMut<'k> {
    pub(super) fn new(
        keyspace: &'k mut Keyspace,
        db: u32,
        slot: Slot,
        hash: u64,
        place: Place,
    ) -> EntryMut<'k> {
        let (opened_bytes, opened_due) = (None, None);
        let (is_noticed, is_new) = (true, false);
        EntryMut { keyspace, db, slot, hash, place, opened_bytes, opened_due, is_noticed, is_new }
    }

    /// The same, of a key that has just been made.
    pub(super) fn new_key(mut self) -> EntryMut<'k> {
        self.is_new = true;
        self
    }

    /// The same, for changes of which neither watchers nor those who wait for the key hear: WATCH is about what a key holds,
    /// and not about who has read it.
    pub fn unnoticed(mut self) -> EntryMut<'k> {
        self.is_noticed = false;
        self
    }

    /// The entry, to be read.
    #[inline]
    pub fn entry(&self) -> &Entry {
        let db = self.keyspace.dbs[self.db as usize].as_deref().expect("it holds the place");
        db.slot(self.slot).table.at(self.place)
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        self.entry().value()
    }

    /// Gives it another value; the expiry stays.
    pub fn set_value(&mut self, value: Value<'_>) {
        self.open().set_value(value);
    }

    /// Sets or takes away its expiry.
    pub fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        self.open();
        // `change` counts bytes by itself, so the count is settled before and noted again behind it.
        self.settle();
        let db = self.keyspace.dbs[self.db as usize].as_deref_mut().expect("it holds the place");
        db.change(self.slot, self.hash, self.place, |entry| entry.set_expiry(expiry_ms));
        self.opened_bytes = Some(self.entry().own_bytes() as u64);
        self.opened_due = due_of(self.entry());
    }

    /// The string as a buffer that can grow; `None` if it is not a string. See [`Entry::string_mut`].
    pub fn string_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.entry().is_object() {
            return None;
        }
        self.open().string_mut()
    }

    /// The collection; `None` if it is a string.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        if !self.entry().is_object() {
            return None;
        }
        self.open().object_mut()
    }

    /// Removes the key. With changes before that it counts as one.
    pub fn remove(mut self) {
        let has_changed = self.opened_bytes.is_some();
        self.settle();
        let key = self.entry().key().to_vec();
        let key = KeyRef { bytes: &key, slot: self.slot, hash: self.hash };
        let entry = self.keyspace.unlink_place(self.db, &key, self.place);
        self.keyspace.note_change(self.db, key.bytes);
        self.keyspace.dirty -= u64::from(has_changed);
        self.keyspace.discard(entry);
    }

    /// Does what the first change calls for, and gives the entry.
    fn open(&mut self) -> &mut Entry {
        if self.opened_bytes.is_none() {
            self.first_change();
        }
        let db = self.keyspace.dbs[self.db as usize].as_deref_mut().expect("it holds the place");
        db.slot_mut(self.slot).table.at_mut(self.place)
    }

    fn first_change(&mut self) {
        self.opened_bytes = Some(self.entry().own_bytes() as u64);
        self.opened_due = due_of(self.entry());
        let key = KeyRef { bytes: &[], slot: self.slot, hash: self.hash };
        self.keyspace.tell_walks(self.db, &key, self.place);
        self.keyspace.stamp(self.db, &key);
        self.keyspace.dirty += u64::from(!self.is_new);
        let Keyspace { dbs, watches, waits, holds, .. } = &mut *self.keyspace;
        if self.is_noticed && !waits.is_empty() {
            let db = dbs[self.db as usize].as_deref().expect("it holds the place");
            waits.signal(self.db, db.slot(self.slot).table.at(self.place).key());
        }
        if self.is_noticed && !watches.is_empty() {
            let db = dbs[self.db as usize].as_deref().expect("it holds the place");
            watches.touch(self.db, db.slot(self.slot).table.at(self.place).key());
        }
        if !holds.is_empty() {
            let db = dbs[self.db as usize].as_deref().expect("it holds the place");
            holds.remove(self.db, db.slot(self.slot).table.at(self.place).key());
        }
    }

    /// Brings the slot's bytes up to date, and when fields expire.
    fn settle(&mut self) {
        if let Some(before) = self.opened_bytes.take() {
            let db =
                self.keyspace.dbs[self.db as usize].as_deref_mut().expect("it holds the place");
            let store = db.slot_mut(self.slot);
            let after = store.table.at(self.place).own_bytes() as u64;
            store.bytes = store.bytes + after - before;
            let due = due_of(store.table.at(self.place));
            db.field_dues.moved(self.slot, self.hash, self.opened_due.take(), due);
        }
    }
}

impl Drop for EntryMut<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}
