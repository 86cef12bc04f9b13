//! Removing all keys of a slot, a few at a time.

use super::Keyspace;
use super::entry::Entry;
use super::key::{KeyRef, Slot};

/// Keys that one effect names: replicas apply an effect as a whole, and nobody is to wait for long.
const KEYS_PER_EFFECT: usize = 64;

impl Keyspace {
    /// Removes up to `keys_max` keys of `slot`, hidden or not, expired or not, and says how many there were: fewer than
    /// `keys_max` if none is left. The effects are UNLINKs of up to 64 keys, each to be logged on its own. What takes long
    /// to free becomes garbage.
    ///
    /// Keys go bucket by bucket, the buckets drawn at random: removed in any order of the table, they would leave a long
    /// empty part to be searched again at each call, and long chains behind it.
    pub fn trim_slot(&mut self, db: u32, slot: Slot, keys_max: usize) -> usize {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut gone: Vec<Entry> = Vec::new();
        let mut removed = 0;
        while removed < keys_max {
            if names.is_empty() {
                let Some(database) = self.dbs.get(db as usize).and_then(Option::as_deref) else {
                    break;
                };
                let Some(bucket) = database.slot(slot).table.random_bucket(&mut self.rng) else {
                    break;
                };
                names.extend(bucket.map(|entry| Box::from(entry.key())));
                continue;
            }
            let name = names.pop().expect("it is not empty");
            let key = KeyRef { bytes: &name, slot, hash: self.hash_key.hash(&name) };
            let place = self.db(db).and_then(|database| database.find(&key));
            gone.push(self.unlink_place(db, &key, place.expect("it has just been seen")));
            self.note_change(db, &name);
            removed += 1;
            if gone.len() == KEYS_PER_EFFECT {
                self.unlink_together(db, &mut gone);
            }
        }
        if !gone.is_empty() {
            self.unlink_together(db, &mut gone);
        }
        removed
    }

    /// One effect for entries that have been taken out; they are freed.
    fn unlink_together(&mut self, db: u32, gone: &mut Vec<Entry>) {
        self.effects.push_with(db, gone.len() + 1, |writer| {
            writer.arg(b"UNLINK");
            gone.iter().for_each(|entry| writer.arg(entry.key()));
        });
        gone.drain(..).for_each(|entry| self.discard(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::tests::object_of;
    use crate::keyspace::{HashKey, Ttl, Value, WalkBatch, WalkBudget};

    const NOW_MS: u64 = 1_700_000_000_000;

    /// `count` keys in one slot, a third of them expired, and a key in another.
    fn filled(count: u32) -> (Keyspace, Slot) {
        let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 2);
        keyspace.begin(NOW_MS, 1);
        for i in 0..count {
            let name = format!("{{bar}}{i}").into_bytes();
            let key = keyspace.key(&name);
            let ttl = if i % 3 == 0 { Ttl::At(NOW_MS - 1) } else { Ttl::Clear };
            keyspace.insert(0, &key, Value::Int(1), ttl);
        }
        let other = keyspace.key(b"other");
        keyspace.insert(0, &other, Value::Int(1), Ttl::Clear);
        keyspace.begin(NOW_MS, 2);
        (keyspace, Slot::of(b"bar"))
    }

    #[test]
    fn a_slot_is_emptied_bit_by_bit_and_no_other() {
        let (mut keyspace, slot) = filled(1000);
        keyspace.hide(slot);
        let mut left = 1000;
        while left > 0 {
            let removed = keyspace.trim_slot(0, slot, 150);
            assert_eq!(removed, left.min(150));
            left -= removed;
            keyspace.check_invariants();
        }
        assert_eq!(keyspace.trim_slot(0, slot, 150), 0);
        assert!(!keyspace.has_keys_in([slot]));
        assert_eq!((keyspace.len(0), keyspace.stats.expired), (1, 0));
        // Six times 64 + 64 + 22, then what was left of the thousand: 64 + 36.
        assert_eq!(keyspace.effects.len(), 6 * 3 + 2);
        let (db, first) = keyspace.effects.iter().next().expect("there are some");
        assert!(db == 0 && first.starts_with(b"*65\r\n$6\r\nUNLINK\r\n"));
        assert_eq!(keyspace.trim_slot(7, slot, 1), 0, "no such database");
    }

    #[test]
    fn effects_name_each_key_once() {
        let (mut keyspace, slot) = filled(300);
        keyspace.trim_slot(0, slot, usize::MAX);
        let text = String::from_utf8(keyspace.effects.bytes().to_vec()).expect("ASCII");
        let mut named: Vec<&str> =
            text.split("\r\n").filter(|word| word.starts_with('{')).collect();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named.len(), 300);
    }

    #[test]
    fn trimming_touches_watchers_and_leaves_garbage_and_old_values_to_walks() {
        let (mut keyspace, slot) = filled(10);
        let (key, list) = (keyspace.key(b"{bar}1"), keyspace.key(b"{bar}list"));
        keyspace.insert(0, &list, Value::Object(object_of(3000)), Ttl::Clear);
        keyspace.watch(0, &key, 7);
        let walk = keyspace.start_walk(&[0..=16383], 0).expect("none is running");
        assert_eq!(keyspace.trim_slot(0, slot, 100), 11);
        assert_eq!(keyspace.take_touched(), [7]);
        assert_eq!(keyspace.take_garbage().len(), 1);
        let budget = WalkBudget { entries: 1000, bytes: usize::MAX };
        let progress = keyspace.walk_step(walk, budget, &mut WalkBatch::default());
        let progress = progress.expect("it is running");
        assert_eq!((progress.done, progress.visited), (true, 12), "a walk shows what was there");
    }
}
