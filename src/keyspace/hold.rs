//! Holds: keys that have to stay as they are for a while, because a copy of them is on its way to another node.
//!
//! The node's gates let no command change a held key. Expiry and eviction look here and leave it alone: a held key that
//! is past its time counts as missing and stays. What changes it all the same (the stream of a primary, a slot that was
//! lost) breaks the hold. Then the copy is not the key any more, and its arrival must not remove anything here.

use std::collections::HashMap;

use super::Keyspace;
use super::key::{KeyRef, Slot};

/// Held keys. None almost always, which is all that the door checks.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Per database and key, for whom it is held.
    keys: HashMap<u32, HashMap<Box<[u8]>, u64>>,
}

impl Holds {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[inline]
    pub(super) fn has(&self, db: u32, key: &[u8]) -> bool {
        !self.is_empty() && self.owner(db, key).is_some()
    }

    fn owner(&self, db: u32, key: &[u8]) -> Option<u64> {
        self.keys.get(&db)?.get(key).copied()
    }

    fn insert(&mut self, db: u32, key: &[u8], owner: u64) {
        self.keys.entry(db).or_default().insert(key.into(), owner);
    }

    /// Ends the hold of a key, if there is one.
    #[cold]
    pub(super) fn remove(&mut self, db: u32, key: &[u8]) {
        let Some(keys) = self.keys.get_mut(&db) else { return };
        keys.remove(key);
        if keys.is_empty() {
            self.keys.remove(&db);
        }
    }

    /// Ends all holds of a database.
    pub(super) fn remove_all(&mut self, db: u32) {
        self.keys.remove(&db);
    }
}

impl Keyspace {
    /// Whether any key is held.
    #[inline]
    pub fn has_holds(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Whether `key` is held in `db`.
    #[inline]
    pub fn is_held(&self, db: u32, key: &[u8]) -> bool {
        self.holds.has(db, key)
    }

    /// Whether `key` is held in any database.
    pub fn is_held_anywhere(&self, key: &[u8]) -> bool {
        self.holds.keys.values().any(|keys| keys.contains_key(key))
    }

    /// Whether any key of `slot` is held.
    pub fn is_slot_held(&self, slot: Slot) -> bool {
        self.holds.keys.values().flat_map(HashMap::keys).any(|key| Slot::of(key) == slot)
    }

    /// Holds `key` for `owner`. Whether it is there to be held, and nobody else's.
    pub fn hold(&mut self, db: u32, key: &KeyRef<'_>, owner: u64) -> bool {
        let is_free = self.peek(db, key).is_some() && !self.is_held(db, key.bytes);
        if is_free {
            self.holds.insert(db, key.bytes, owner);
        }
        is_free
    }

    /// Whether `key` has been held for `owner` all along: it is what it was when the hold began.
    pub fn is_held_for(&self, db: u32, key: &[u8], owner: u64) -> bool {
        self.holds.owner(db, key) == Some(owner)
    }

    /// Ends the hold of `key` for `owner`. Whether it had lasted until now.
    pub fn release(&mut self, db: u32, key: &[u8], owner: u64) -> bool {
        let lasted = self.is_held_for(db, key, owner);
        if lasted {
            self.holds.remove(db, key);
        }
        lasted
    }
}

#[cfg(test)]
mod tests {
    use crate::config::choices::EvictionPolicy;
    use crate::keyspace::{Access, ExpireBudget, HashKey, Keyspace, Ttl, Value};

    const NOW_MS: u64 = 1_700_000_000_000;

    /// `a` and `b` in one slot, both about to expire; `a` is held.
    fn held() -> Keyspace {
        let mut keyspace = Keyspace::new(2, HashKey::from_seed(1), 2);
        keyspace.begin(NOW_MS, 1);
        for (name, when_ms) in [("{t}a", NOW_MS + 10), ("{t}b", NOW_MS + 20)] {
            let key = keyspace.key(name.as_bytes());
            keyspace.insert(0, &key, Value::Int(1), Ttl::At(when_ms));
        }
        let key = keyspace.key(b"{t}a");
        assert!(keyspace.hold(0, &key, 7) && !keyspace.hold(0, &key, 8));
        keyspace
    }

    fn expire(keyspace: &mut Keyspace, after_ms: u64) -> usize {
        keyspace.begin(NOW_MS + after_ms, 2);
        let budget = ExpireBudget { time_us: u64::MAX, keys: usize::MAX };
        keyspace.expire_cycle(budget, &mut || 0).deleted
    }

    #[test]
    fn a_held_key_past_its_time_is_hidden_and_stays() {
        let mut keyspace = held();
        assert_eq!(expire(&mut keyspace, 100), 1, "the other key of the slot goes");
        let key = keyspace.key(b"{t}a");
        assert!(!keyspace.exists(0, &key, Access::READ));
        assert!(keyspace.peek(0, &key).is_some() && keyspace.is_held_for(0, b"{t}a", 7));
        assert_eq!(keyspace.effects.len(), 1, "of the held one nobody is told");
        keyspace.check_invariants();
        assert!(keyspace.release(0, b"{t}a", 7));
        assert_eq!(expire(&mut keyspace, 100), 1, "it is met again when it is free");
        keyspace.check_invariants();
    }

    #[test]
    fn a_held_key_is_not_evicted() {
        for policy in [EvictionPolicy::AllkeysRandom, EvictionPolicy::AllkeysLru] {
            let mut keyspace = held();
            let evicted = keyspace.evict(policy, 5, usize::MAX, 10);
            assert_eq!(evicted.keys, 1, "{policy:?}");
            assert!(keyspace.is_held_for(0, b"{t}a", 7));
        }
    }

    #[test]
    fn any_change_breaks_the_hold() {
        let changes: [fn(&mut Keyspace); 7] = [
            |keyspace| {
                let key = keyspace.key(b"{t}a");
                keyspace.insert(0, &key, Value::Int(2), Ttl::Keep);
            },
            |keyspace| {
                let key = keyspace.key(b"{t}a");
                keyspace.remove(0, &key);
            },
            |keyspace| {
                let key = keyspace.key(b"{t}a");
                keyspace.set_expiry(0, &key, None);
            },
            |keyspace| {
                let (from, to) = (keyspace.key(b"{t}b"), keyspace.key(b"{t}a"));
                keyspace.move_key((0, &from), (0, &to));
            },
            |keyspace| assert!(keyspace.flush_all() > 0),
            |keyspace| keyspace.swap_dbs(0, 1),
            |keyspace| {
                // What is past its time is not found, and another key takes its place.
                keyspace.begin(NOW_MS + 100, 3);
                let key = keyspace.key(b"{t}a");
                keyspace.insert(0, &key, Value::Int(2), Ttl::Clear);
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut keyspace = held();
            change(&mut keyspace);
            assert!(!keyspace.has_holds(), "change {number}");
            assert!(!keyspace.release(0, b"{t}a", 7));
            keyspace.check_invariants();
        }
    }
}
