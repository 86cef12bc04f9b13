//! The active cycle: deletes keys whose time has passed although nobody asks for them.
//!
//! Each slot keeps its expiries in order, and each database a time per slot before which nothing is due, so the
//! cycle meets due keys only; no sampling, no guessing. It goes through the slots in turn, begins each time where
//! it stopped, and ends when its time is used up.

use super::key::{KeyRef, SLOT_COUNT, Slot};
use super::{ExpireMode, Keyspace};

/// How long and how thoroughly the active cycle works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireBudget {
    /// Time in microseconds.
    pub time_us: u64,
    /// Keys; a bound for callers without a clock.
    pub keys: usize,
}

/// Keys deleted between two looks at the clock.
const KEYS_PER_LOOK: usize = 16;

impl ExpireBudget {
    /// The share of a tick that a cycle may take: a quarter of the time between two ticks, and 2 % more for each
    /// step of `active-expire-effort` (1 to 10) above the first; `hz` ticks each second.
    pub fn of_tick(effort: u32, hz: u32) -> ExpireBudget {
        assert!((1..=10).contains(&effort) && hz > 0, "effort {effort}, hz {hz}");
        let percent = 25 + 2 * u64::from(effort - 1);
        ExpireBudget { time_us: 10_000 * percent / u64::from(hz), keys: usize::MAX }
    }

    /// A short cycle, for between the ticks: 1 ms, and a quarter more for each step of effort.
    pub fn fast(effort: u32) -> ExpireBudget {
        assert!((1..=10).contains(&effort), "effort {effort}");
        ExpireBudget { time_us: 1000 + 250 * u64::from(effort - 1), keys: usize::MAX }
    }
}

/// What a cycle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpireOutcome {
    /// Keys deleted.
    pub deleted: usize,
    /// Time or keys were used up while more keys were due.
    pub is_capped: bool,
}

/// Where the next cycle begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExpireCursor {
    db: usize,
    slot: usize,
}

impl Keyspace {
    /// Deletes expired keys, each with an effect of its own (not to be wrapped in MULTI), until none is due or the
    /// budget is used up; `now_us` is a clock that only this asks. Does nothing unless keys are to be deleted
    /// ([`ExpireMode::Delete`]).
    pub fn expire_cycle(
        &mut self,
        budget: ExpireBudget,
        now_us: &mut dyn FnMut() -> u64,
    ) -> ExpireOutcome {
        let mut outcome = ExpireOutcome::default();
        if self.expire_mode != ExpireMode::Delete {
            return outcome;
        }
        let end_us = now_us().saturating_add(budget.time_us);
        // Once around: from the cursor to the end, and from the start to where the cursor was.
        for _ in 0..=self.dbs.len() {
            let ExpireCursor { db, slot } = self.expire_cursor;
            match self.next_due(db, slot) {
                Some(slot) => {
                    let left = budget.keys.saturating_sub(outcome.deleted);
                    let (deleted, done) = self.expire_slots(slot, left, end_us, now_us);
                    outcome.deleted += deleted;
                    if !done {
                        outcome.is_capped = true;
                        self.stats.expire_time_cap_reached += 1;
                        return outcome;
                    }
                }
                None => self.expire_next_db(),
            }
        }
        outcome
    }

    fn next_due(&self, db: usize, from: usize) -> Option<Slot> {
        self.dbs.get(db)?.as_deref()?.next_due(from, self.now_ms)
    }

    fn expire_next_db(&mut self) {
        let db = (self.expire_cursor.db + 1) % self.dbs.len().max(1);
        self.expire_cursor = ExpireCursor { db, slot: 0 };
    }

    /// Goes through the due slots of the cursor's database from `slot` on. Says how many keys it deleted and
    /// whether it came to the end.
    fn expire_slots(
        &mut self,
        slot: Slot,
        keys_max: usize,
        end_us: u64,
        now_us: &mut dyn FnMut() -> u64,
    ) -> (usize, bool) {
        let db = self.expire_cursor.db;
        let mut deleted = 0;
        let mut next = Some(slot);
        while let Some(slot) = next {
            self.expire_cursor.slot = slot.index();
            while deleted < keys_max && self.expire_first(db, slot) {
                deleted += 1;
                if deleted.is_multiple_of(KEYS_PER_LOOK) && now_us() >= end_us {
                    return (deleted, false);
                }
            }
            if deleted >= keys_max || now_us() >= end_us {
                return (deleted, self.next_due(db, slot.index()).is_none());
            }
            next = self.next_due(db, slot.index() + 1);
        }
        self.expire_next_db();
        (deleted, true)
    }

    /// Deletes the key of `slot` that is due first, if one is that may go.
    fn expire_first(&mut self, db: usize, slot: Slot) -> bool {
        let (now_ms, hash_key) = (self.now_ms, self.hash_key);
        let number = u32::try_from(db).expect("databases are counted in u32");
        let Keyspace { dbs, holds, .. } = self;
        let Some(database) = dbs[db].as_deref_mut() else {
            return false;
        };
        let Some(first) = database.first_due(slot, now_ms) else {
            return false;
        };
        let store = database.slot(slot);
        let found = |(when, hash)| {
            let place = store.find_expiring(&hash_key, when, hash);
            let place = place.expect("the index holds what the table holds");
            (hash, place, store.table.at(place).key())
        };
        let mut due = Some(found(first));
        if !holds.is_empty() {
            // Keys that are held stay where they are, at the head of the index.
            let all = store.expiries.iter().take_while(|(when, _)| *when < now_ms);
            due = all.copied().map(found).find(|(_, _, key)| !holds.has(number, key));
        }
        let Some((hash, place, key)) = due else {
            return false;
        };
        let bytes = key.to_vec();
        self.expire(number, &KeyRef { bytes: &bytes, slot, hash }, place);
        true
    }
}

const _: () = assert!(SLOT_COUNT.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Access, HashKey, Ttl, Value};

    const NOW_MS: u64 = 1_700_000_000_000;

    fn filled() -> Keyspace {
        let mut keyspace = Keyspace::new(4, HashKey::from_seed(1), 2);
        keyspace.begin(NOW_MS, 1);
        for i in 0..1000u64 {
            let name = format!("key:{i}").into_bytes();
            let key = keyspace.key(&name);
            let ttl = if i % 2 == 0 { Ttl::At(NOW_MS + i) } else { Ttl::Clear };
            keyspace.insert(if i % 3 == 0 { 0 } else { 3 }, &key, Value::Int(1), ttl);
        }
        keyspace
    }

    fn unlimited() -> ExpireBudget {
        ExpireBudget { time_us: u64::MAX, keys: usize::MAX }
    }

    #[test]
    fn deletes_what_is_due_and_nothing_else() {
        let mut keyspace = filled();
        keyspace.begin(NOW_MS + 501, 2);
        let outcome = keyspace.expire_cycle(unlimited(), &mut || 0);
        // 0, 2 .. 500 are before 501.
        assert_eq!(outcome, ExpireOutcome { deleted: 251, is_capped: false });
        assert_eq!(keyspace.effects.len(), 251);
        assert_eq!(keyspace.len(0) + keyspace.len(3), 749);
        assert_eq!(keyspace.volatile(0) + keyspace.volatile(3), 249);
        assert_eq!(keyspace.stats.expired, 251);
        keyspace.check_invariants();
        let again = keyspace.expire_cycle(unlimited(), &mut || 0);
        assert_eq!(again, ExpireOutcome::default());
        keyspace.begin(NOW_MS + 5000, 3);
        assert_eq!(keyspace.expire_cycle(unlimited(), &mut || 0).deleted, 249);
        keyspace.check_invariants();
    }

    #[test]
    fn stops_when_its_time_is_up_and_goes_on_where_it_stopped() {
        let mut keyspace = filled();
        keyspace.begin(NOW_MS + 5000, 2);
        let mut clock = 0;
        let budget = ExpireBudget { time_us: 40, keys: usize::MAX };
        let (mut cycles, mut deleted) = (0, 0);
        loop {
            let outcome = keyspace.expire_cycle(budget, &mut || {
                clock += 1;
                clock
            });
            deleted += outcome.deleted;
            cycles += 1;
            if !outcome.is_capped {
                break;
            }
            assert!((1..=40 * KEYS_PER_LOOK).contains(&outcome.deleted));
        }
        assert_eq!(deleted, 500);
        assert!(cycles > 3, "{cycles} cycles");
        assert!(keyspace.stats.expire_time_cap_reached >= 3);
        keyspace.check_invariants();
    }

    #[test]
    fn stops_at_its_number_of_keys() {
        let mut keyspace = filled();
        keyspace.begin(NOW_MS + 5000, 2);
        let budget = ExpireBudget { time_us: u64::MAX, keys: 7 };
        let outcome = keyspace.expire_cycle(budget, &mut || 0);
        assert_eq!(outcome, ExpireOutcome { deleted: 7, is_capped: true });
    }

    #[test]
    fn does_nothing_on_a_replica() {
        let mut keyspace = filled();
        keyspace.begin(NOW_MS + 5000, 2);
        keyspace.expire_mode = ExpireMode::Hide;
        assert_eq!(keyspace.expire_cycle(unlimited(), &mut || 0), ExpireOutcome::default());
        let key = keyspace.key(b"key:2");
        assert!(!keyspace.exists(3, &key, Access::PEEK));
    }

    #[test]
    fn budgets_follow_the_effort() {
        assert_eq!(ExpireBudget::of_tick(1, 10).time_us, 25_000);
        assert_eq!(ExpireBudget::of_tick(10, 10).time_us, 43_000);
        assert_eq!(ExpireBudget::fast(1).time_us, 1000);
        assert_eq!(ExpireBudget::fast(10).time_us, 3250);
    }
}
