//! Fields of hashes that expire by themselves: which hash has some that are due, and removing them.
//!
//! A hash knows a time before which none of its fields expires ([`Hash::due_from`]). Each database keeps these times in
//! order; hashes of which nothing expires are not in it, and a database without others pays nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;
use super::key::{HashKey, KeyRef, Slot};
use super::slot::SlotStore;
use super::table::Place;
use super::{Access, ExpireMode, Keyspace, ValueRef};
use crate::types::{Hash, Object};

/// What was removed of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiredFields {
    /// How many fields.
    pub count: usize,
    /// There was nothing left, and the key went.
    pub is_gone: bool,
}

/// What became of a hash that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueHash {
    /// Fields were removed of the hash at this key.
    Fields(u32, Vec<u8>, ExpiredFields),
    /// Its key was past its own time, and went.
    Key,
}

/// Times with hashes of keys.
pub(super) type SlotDues = BTreeSet<(u64, u64)>;

/// The hashes of a database of which fields expire.
#[derive(Debug, Default)]
pub(super) struct FieldDues {
    slots: BTreeMap<u16, SlotDues>,
    /// The first time of each slot.
    order: BTreeSet<(u64, u16)>,
}

/// The time before which no field of an entry expires.
#[inline]
pub(super) fn due_of(entry: &Entry) -> Option<u64> {
    if !entry.is_object() {
        return None;
    }
    match entry.value() {
        ValueRef::Object(Object::Hash(hash)) => hash.due_from(),
        _ => None,
    }
}

impl FieldDues {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// An entry of `slot` whose key has the hash `hash` was due `before` and is due `after`.
    pub(super) fn moved(&mut self, slot: Slot, hash: u64, before: Option<u64>, after: Option<u64>) {
        if before == after {
            return;
        }
        let number = slot.number();
        let dues = self.slots.entry(number).or_default();
        let first = dues.first().map(|&(when, _)| when);
        if let Some(when) = before {
            dues.remove(&(when, hash));
        }
        if let Some(when) = after {
            dues.insert((when, hash));
        }
        let now_first = dues.first().map(|&(when, _)| when);
        if dues.is_empty() {
            self.slots.remove(&number);
        }
        if first != now_first {
            if let Some(when) = first {
                self.order.remove(&(when, number));
            }
            if let Some(when) = now_first {
                self.order.insert((when, number));
            }
        }
    }

    /// Takes what there is of a slot out, and puts `dues` there.
    pub(super) fn replace_slot(&mut self, slot: Slot, dues: SlotDues) -> SlotDues {
        let number = slot.number();
        let old = self.slots.remove(&number).unwrap_or_default();
        if let Some(&(when, _)) = old.first() {
            self.order.remove(&(when, number));
        }
        if let Some(&(when, _)) = dues.first() {
            self.order.insert((when, number));
            self.slots.insert(number, dues);
        }
        old
    }

    /// The hashes that are due before `now_ms`, slot by slot, the slot that is due first in front; not those of slots that
    /// are passed over.
    fn due(
        &self,
        now_ms: u64,
        passes: impl Fn(Slot) -> bool,
    ) -> impl Iterator<Item = (Slot, u64, u64)> {
        let slots = self.order.iter().take_while(move |&&(when, _)| when < now_ms);
        let slots = slots.map(|&(_, number)| Slot::at(usize::from(number)));
        slots.filter(move |slot| !passes(*slot)).flat_map(move |slot| {
            let dues = self.slots.get(&slot.number()).into_iter().flatten();
            let due = dues.take_while(move |&&(when, _)| when < now_ms);
            due.map(move |&(when, hash)| (slot, when, hash))
        })
    }

    /// Asserts what always holds.
    pub(super) fn check_invariants(&self, hash_key: &HashKey, slots: &[SlotStore]) {
        let mut expected = BTreeMap::<u16, SlotDues>::new();
        for (number, store) in (0..).zip(slots) {
            for entry in store.table.iter() {
                if let Some(when) = due_of(entry) {
                    expected.entry(number).or_default().insert((when, hash_key.hash(entry.key())));
                }
            }
        }
        assert_eq!(self.slots, expected, "hashes of which fields expire");
        let first =
            |(number, dues): (&u16, &SlotDues)| dues.first().map(|&(when, _)| (when, *number));
        assert_eq!(self.order, expected.iter().filter_map(first).collect(), "their order");
    }
}

impl Keyspace {
    /// Whether a database holds a hash of which a field expires.
    #[inline]
    pub fn has_timed_fields(&self, db: u32) -> bool {
        self.db(db).is_some_and(|database| !database.field_dues.is_empty())
    }

    /// Removes fields whose time has passed, as an expiry does: with an effect, and without counting as a change that a
    /// command made. `None` if there is nothing to remove.
    pub fn expire_fields(
        &mut self,
        db: u32,
        key: &KeyRef<'_>,
        names: &[&[u8]],
    ) -> Option<ExpiredFields> {
        if names.is_empty() {
            return None;
        }
        self.expire_with(db, key, |hash, removed| {
            for name in names {
                if hash.remove(name) {
                    removed.push(name.to_vec());
                }
            }
        })
    }

    /// Removes up to `max` fields of a hash that is due. `None` if no hash is, or none may lose fields: the keyspace is not
    /// one that expires.
    pub fn expire_due_fields(&mut self, max: usize) -> Option<DueHash> {
        if self.expire_mode != ExpireMode::Delete {
            return None;
        }
        let now_ms = self.now_ms;
        loop {
            let (number, slot, hash, place) = self.next_due_hash()?;
            let db = self.dbs[number as usize].as_deref_mut().expect("it has a hash");
            let entry = db.slot(slot).table.at(place);
            if entry.expiry_ms().is_some_and(|when| when < now_ms) {
                // Left to the turn of the keys, it would be looked at again and again.
                let key = entry.key().to_vec();
                self.expire(number, &KeyRef { bytes: &key, slot, hash }, place);
                return Some(DueHash::Key);
            }
            let mut is_due = false;
            // A time that was a moment too early is put right, which is no change of the value.
            db.change(slot, hash, place, |entry| {
                if let Some(Object::Hash(hash)) = entry.object_mut() {
                    is_due = hash.is_due(now_ms);
                }
            });
            if is_due {
                let key = db.slot(slot).table.at(place).key().to_vec();
                let hashed = KeyRef { bytes: &key, slot, hash };
                let expired = self.expire_with(number, &hashed, |hash, removed| {
                    hash.remove_due(now_ms, max, |name| removed.push(name.to_vec()));
                })?;
                return Some(DueHash::Fields(number, key, expired));
            }
        }
    }

    /// A hash of which fields may be due, and that may lose them: where it is.
    fn next_due_hash(&self) -> Option<(u32, Slot, u64, Place)> {
        for (number, db) in (0..).zip(&self.dbs) {
            let Some(db) = db.as_deref().filter(|db| !db.field_dues.is_empty()) else { continue };
            for (slot, when, hash) in db.field_dues.due(self.now_ms, |slot| db.is_hidden(slot)) {
                let store = db.slot(slot);
                let place = store.table.find_where(hash, |entry| {
                    due_of(entry) == Some(when) && self.hash_key.hash(entry.key()) == hash
                });
                let place = place.expect("the index holds what the table holds");
                if !self.holds.has(number, store.table.at(place).key()) {
                    return Some((number, slot, hash, place));
                }
            }
        }
        None
    }

    fn expire_with(
        &mut self,
        db: u32,
        key: &KeyRef<'_>,
        remove: impl FnOnce(&mut Hash, &mut Vec<Vec<u8>>),
    ) -> Option<ExpiredFields> {
        let (dirty, is_primary) = (self.dirty, self.expire_mode == ExpireMode::Delete);
        let mut entry = self.lookup_mut(db, key, Access::PEEK)?;
        let Some(Object::Hash(hash)) = entry.object_mut() else { return None };
        let mut removed = Vec::new();
        remove(hash, &mut removed);
        let is_gone = hash.is_empty();
        if is_gone {
            entry.remove();
        } else {
            drop(entry);
        }
        self.dirty = dirty;
        if is_primary && !removed.is_empty() {
            self.effects.push_with(db, 2 + removed.len(), |writer| {
                writer.arg(b"HDEL");
                writer.arg(key.bytes);
                removed.iter().for_each(|name| writer.arg(name));
            });
        }
        self.stats.expired_fields += removed.len() as u64;
        Some(ExpiredFields { count: removed.len(), is_gone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Ttl, Value};
    use crate::types::Limits;

    #[test]
    fn a_time_that_was_too_early_is_put_right_without_a_change() {
        let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 2);
        let key = keyspace.key(b"h");
        let (mut hash, limits) = (Hash::new(), Limits::default());
        for name in [&b"a"[..], b"b"] {
            hash.set(name, b"1", &limits);
        }
        hash.set_expiry(b"a", Some(100), &limits);
        hash.set_expiry(b"b", Some(10_000), &limits);
        keyspace.insert(0, &key, Value::Object(Object::Hash(hash)), Ttl::Clear);
        let mut entry = keyspace.lookup_mut(0, &key, Access::WRITE).expect("it is there");
        let Some(Object::Hash(hash)) = entry.object_mut() else { panic!("a hash") };
        hash.set_expiry(b"a", Some(20_000), &limits);
        drop(entry);
        keyspace.take_touched();
        keyspace.watch(0, &key, 7);
        keyspace.begin(5000, 1);
        let dirty = keyspace.dirty;
        assert!(keyspace.expire_due_fields(10).is_none());
        assert!(keyspace.next_due_hash().is_none(), "the index is right");
        assert_eq!((keyspace.take_touched(), keyspace.dirty), (Vec::new(), dirty));
        keyspace.begin(10_001, 2);
        let expired = ExpiredFields { count: 1, is_gone: false };
        let due = keyspace.expire_due_fields(10);
        assert_eq!(due, Some(DueHash::Fields(0, b"h".to_vec(), expired)));
        assert_eq!(keyspace.take_touched(), [7]);
    }

    #[test]
    fn a_hash_whose_key_is_past_its_time_goes_with_it() {
        let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 2);
        let limits = Limits::default();
        for name in [&b"a"[..], b"b"] {
            let key = keyspace.key(name);
            let mut hash = Hash::new();
            hash.set(b"f", b"1", &limits);
            hash.set_expiry(b"f", Some(100), &limits);
            let ttl = if name == b"a" { Ttl::At(100) } else { Ttl::Clear };
            keyspace.insert(0, &key, Value::Object(Object::Hash(hash)), ttl);
        }
        keyspace.begin(101, 2);
        let done: Vec<DueHash> = std::iter::from_fn(|| keyspace.expire_due_fields(10)).collect();
        assert_eq!(done.len(), 2);
        assert!(done.contains(&DueHash::Key), "{done:?}");
        assert_eq!(
            (keyspace.len(0), keyspace.stats.expired, keyspace.stats.expired_fields),
            (0, 1, 1)
        );
    }
}
