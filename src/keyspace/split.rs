//! Loading on several cores: a keyspace taken apart by slot, and put together again.

use super::Keyspace;
use super::db::SlotContents;
use super::key::{HashKey, SLOT_COUNT, Slot};

/// The part, of `parts` equal ones, that loads `slot`. Neighbours are in different parts: a snapshot may hold its keys
/// slot by slot, and one part would wait for the other.
pub fn part_of(slot: Slot, parts: usize) -> usize {
    slot.index() % parts
}

impl Keyspace {
    /// Takes this keyspace apart into `parts` keyspaces, each with the keys of its own slots
    /// ([`part_of`]) and with the same settings. Each can be filled by a thread of its own; [`Keyspace::join`] puts them
    /// together. Keys are not moved, only the tables that hold them. This keyspace is empty meanwhile.
    pub fn split(&mut self, parts: usize) -> Vec<Keyspace> {
        assert!((1..=SLOT_COUNT).contains(&parts), "{parts} parts");
        assert!(self.walks.is_empty() && self.watches.is_empty(), "split only while loading");
        let mut split: Vec<_> = (0..parts).map(|_| self.sibling()).collect();
        for db in 0..self.db_count() {
            let Some(mut database) = self.dbs[db as usize].take() else { continue };
            for slot in database.stored_slots().collect::<Vec<_>>() {
                let store = database.replace_slot(slot, SlotContents::default());
                split[part_of(slot, parts)].db_or_new(db).replace_slot(slot, store);
            }
        }
        split
    }

    /// Takes over what [`Keyspace::split`] gave away and threads have filled since, counters included.
    pub fn join(&mut self, parts: Vec<Keyspace>) {
        assert!(self.is_empty(), "split left nothing behind");
        for mut part in parts {
            self.dirty += part.dirty;
            self.stats.expired += part.stats.expired;
            self.stats.hits += part.stats.hits;
            self.stats.misses += part.stats.misses;
            self.latest_stamp = self.latest_stamp.max(part.latest_stamp);
            self.floor_stamp = self.floor_stamp.max(part.floor_stamp);
            self.garbage.append(&mut part.garbage);
            for db in 0..self.db_count() {
                let Some(mut database) = part.dbs[db as usize].take() else { continue };
                for slot in database.stored_slots().collect::<Vec<_>>() {
                    let store = database.replace_slot(slot, SlotContents::default());
                    let before = self.db_or_new(db).replace_slot(slot, store);
                    assert!(before.store.table.is_empty(), "{slot:?} was in two parts");
                }
            }
        }
    }

    /// An empty keyspace with the same settings and hash.
    fn sibling(&mut self) -> Keyspace {
        let hash_key: HashKey = self.hash_key;
        let mut sibling = Keyspace::new(self.db_count(), hash_key, self.rng.u64(..));
        sibling.settings = self.settings;
        sibling.expire_mode = self.expire_mode;
        sibling.begin(self.now_ms, self.write_stamp);
        sibling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{KeyRef, Ttl, Value};

    fn fill(keyspace: &mut Keyspace, names: impl Iterator<Item = u32>, value: i64) {
        for i in names {
            let name = format!("key:{i}").into_bytes();
            let key = KeyRef::new(&keyspace.hash_key(), &name);
            keyspace.insert(i % 3, &key, Value::Int(value), Ttl::At(u64::from(i) + 1));
        }
    }

    #[test]
    fn parts_are_filled_by_threads_and_joined() {
        let mut keyspace = Keyspace::new(3, HashKey::from_seed(1), 2);
        fill(&mut keyspace, 0..500, 1);
        let mut parts = keyspace.split(4);
        assert!(keyspace.is_empty());
        std::thread::scope(|scope| {
            for (index, part) in parts.iter_mut().enumerate() {
                scope.spawn(move || {
                    let mine =
                        |i: &u32| part_of(Slot::of(format!("key:{i}").as_bytes()), 4) == index;
                    fill(part, (250..3000).filter(mine), 2);
                    part.check_invariants();
                });
            }
        });
        keyspace.join(parts);
        keyspace.check_invariants();
        assert_eq!((0..3).map(|db| keyspace.len(db)).sum::<u64>(), 3000);
        assert_eq!((0..3).map(|db| keyspace.volatile(db)).sum::<u64>(), 3000);
        let values = (0..3).flat_map(|db| keyspace.entries(db).collect::<Vec<_>>());
        let ones = values.filter(|e| matches!(e.value(), crate::keyspace::ValueRef::Int(1)));
        assert_eq!(ones.count(), 250);
    }
}
