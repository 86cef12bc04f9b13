//! Hidden slots against a model: nothing that looks at the whole keyspace shows them, nothing loses them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::config::choices::EvictionPolicy as Policy;

const NOW_MS: u64 = 1_700_000_000_000;
const TAGS: u32 = 8;

/// The model: keys with their expiry by database, and which slots are hidden.
struct Scenario {
    keyspace: Keyspace,
    keys: BTreeMap<(u32, Vec<u8>), Option<u64>>,
    hidden: BTreeSet<u16>,
    now_ms: u64,
    rng: fastrand::Rng,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let keyspace = Keyspace::new(2, HashKey::from_seed(seed), seed);
        let rng = fastrand::Rng::with_seed(seed);
        Scenario { keyspace, keys: BTreeMap::new(), hidden: BTreeSet::new(), now_ms: NOW_MS, rng }
    }

    fn is_hidden(&self, key: &[u8]) -> bool {
        self.hidden.contains(&Slot::of(key).number())
    }

    /// The keys of a database that may be seen, with their expiries.
    fn shown(&self, db: u32) -> BTreeMap<Vec<u8>, Option<u64>> {
        let inside = self.keys.iter().filter(|((number, _), _)| *number == db);
        let seen = inside.filter(|((_, key), _)| !self.is_hidden(key));
        seen.map(|((_, key), expiry)| (key.clone(), *expiry)).collect()
    }

    fn random_slot(&mut self) -> Slot {
        Slot::of(format!("{{{}}}", self.rng.u32(..TAGS)).as_bytes())
    }

    fn step(&mut self) {
        self.now_ms += self.rng.u64(..50);
        self.keyspace.begin(self.now_ms, 1);
        let slot = self.random_slot();
        match self.rng.u32(..40) {
            0..3 => {
                self.keyspace.hide(slot);
                self.hidden.insert(slot.number());
            }
            3..6 => {
                self.keyspace.show(slot);
                self.hidden.remove(&slot.number());
            }
            6..8 => self.expire(),
            8 => self.evict(),
            9 if self.rng.u32(..20) == 0 => self.flush(),
            9 => self.reassemble(),
            10 => self.walk(),
            choice => self.change(choice < 28),
        }
    }

    /// Sets or removes a key as whoever fills a hidden slot does: single keys are not asked whether they are hidden.
    fn change(&mut self, sets: bool) {
        let name = format!("{{{}}}{}", self.rng.u32(..TAGS), self.rng.u32(..30)).into_bytes();
        let db = self.rng.u32(..2);
        let key = self.keyspace.key(&name);
        if sets {
            let expiry = self.rng.bool().then(|| self.now_ms + self.rng.u64(..5000));
            self.keyspace.insert(db, &key, Value::Int(1), expiry.map_or(Ttl::Clear, Ttl::At));
            self.keys.insert((db, name), expiry);
        } else {
            self.keyspace.expire_mode = ExpireMode::Ignore;
            let was_there = self.keyspace.remove(db, &key);
            self.keyspace.expire_mode = ExpireMode::Delete;
            assert_eq!(self.keys.remove(&(db, name)).is_some(), was_there);
        }
    }

    /// The active cycle removes what is due, and nothing that is hidden.
    fn expire(&mut self) {
        let budget = ExpireBudget { time_us: u64::MAX, keys: usize::MAX };
        let outcome = self.keyspace.expire_cycle(budget, &mut || 0);
        let (now_ms, hidden) = (self.now_ms, &self.hidden);
        let before = self.keys.len();
        self.keys.retain(|(_, key), expiry| {
            hidden.contains(&Slot::of(key).number()) || expiry.is_none_or(|when| when >= now_ms)
        });
        assert_eq!(outcome.deleted, before - self.keys.len());
    }

    /// Everything that a policy may take goes, hidden keys stay.
    fn evict(&mut self) {
        const POLICIES: [Policy; 7] = [
            Policy::AllkeysLru,
            Policy::AllkeysLfu,
            Policy::AllkeysRandom,
            Policy::VolatileLru,
            Policy::VolatileLfu,
            Policy::VolatileRandom,
            Policy::VolatileTtl,
        ];
        let policy = POLICIES[self.rng.usize(..POLICIES.len())];
        // Sometimes the pool keeps candidates whose slots are hidden when it is used next.
        let keys_max = if self.rng.bool() { 3 } else { usize::MAX };
        let gone = self.keyspace.evict(policy, 5, usize::MAX, keys_max);
        let (keyspace, hidden) = (&self.keyspace, &self.hidden);
        let before = self.keys.len();
        self.keys.retain(|(db, key), _| {
            let stays = keyspace.peek(*db, &keyspace.key(key)).is_some();
            assert!(stays || !hidden.contains(&Slot::of(key).number()), "{policy:?} took {key:?}");
            stays
        });
        assert_eq!(gone.keys, before - self.keys.len());
        let may_go = |expiry: &Option<u64>| !policy.is_volatile() || expiry.is_some();
        if keys_max == usize::MAX {
            assert!((0..2).all(|db| !self.shown(db).values().any(may_go)), "{policy:?}");
        }
    }

    fn flush(&mut self) {
        assert_eq!(self.keyspace.flush_all(), self.keys.len() as u64);
        self.keys.clear();
    }

    /// Taken apart and put together, or followed by another one, it is what it was.
    fn reassemble(&mut self) {
        let parts = self.keyspace.split(3);
        self.keyspace.join(parts);
        if self.keys.is_empty() {
            let mut next = Keyspace::new(2, self.keyspace.hash_key(), 1);
            next.succeed(&mut self.keyspace, 0);
            self.keyspace = next;
        }
    }

    /// A walk meets every key, hidden or not.
    fn walk(&mut self) {
        let id = self.keyspace.start_walk(&[0..=16383], 0).expect("none is running");
        let mut out = WalkBatch::default();
        let budget = WalkBudget { entries: usize::MAX, bytes: usize::MAX };
        let progress = self.keyspace.walk_step(id, budget, &mut out).expect("it is running");
        let keys = self.keys.len() as u64;
        assert_eq!(progress, WalkProgress { done: true, visited: keys, total: keys });
    }

    fn check(&mut self) {
        self.keyspace.begin(self.now_ms, 1);
        let hidden: Vec<u16> = self.keyspace.hidden().map(Slot::number).collect();
        assert_eq!(hidden, self.hidden.iter().copied().collect::<Vec<_>>());
        assert_eq!(self.keyspace.is_empty(), self.keys.is_empty());
        for db in 0..2 {
            let shown = self.shown(db);
            self.check_counts(db, &shown);
            self.check_keys(db, &shown);
        }
        let slot = self.random_slot();
        let has_keys = self.keys.keys().any(|(_, key)| Slot::of(key) == slot);
        assert_eq!(self.keyspace.has_keys_in([slot]), has_keys);
        assert_eq!(self.keyspace.is_hidden(slot), self.hidden.contains(&slot.number()));
    }

    fn check_counts(&mut self, db: u32, shown: &BTreeMap<Vec<u8>, Option<u64>>) {
        let expiries: Vec<u64> = shown.values().copied().flatten().collect();
        assert_eq!(self.keyspace.len(db), shown.len() as u64);
        assert_eq!(self.keyspace.volatile(db), expiries.len() as u64);
        let mean = expiries.iter().sum::<u64>() / expiries.len().max(1) as u64;
        assert_eq!(self.keyspace.avg_ttl_ms(db), mean.saturating_sub(self.now_ms));
        for slot in (0..TAGS).map(|tag| Slot::of(format!("{{{tag}}}").as_bytes())) {
            let count = shown.keys().filter(|key| Slot::of(key) == slot).count();
            assert_eq!(self.keyspace.count_in_slot(db, slot), count);
            assert_eq!(self.keyspace.keys_in_slot(db, slot, usize::MAX).len(), count);
        }
    }

    fn check_keys(&mut self, db: u32, shown: &BTreeMap<Vec<u8>, Option<u64>>) {
        let entries: BTreeSet<_> =
            self.keyspace.entries(db).map(|entry| entry.key().to_vec()).collect();
        assert!(entries.iter().eq(shown.keys()));
        let is_live = |expiry: &Option<u64>| expiry.is_none_or(|when| when >= self.now_ms);
        let live: BTreeSet<_> =
            shown.iter().filter(|(_, expiry)| is_live(expiry)).map(|(key, _)| key).collect();
        let mut scanned = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor =
                self.keyspace.scan(db, cursor, 7, |entry| _ = scanned.insert(entry.key().to_vec()));
            if cursor == 0 {
                break;
            }
        }
        assert!(scanned.iter().eq(live.iter().copied()));
        let drawn = self.keyspace.random_key(db).map(|entry| entry.key().to_vec());
        assert!(drawn.is_none_or(|key| live.contains(&key)));
    }
}

#[test]
fn hidden_slots_never_show_and_come_back() {
    for seed in 0..6 {
        let mut scenario = Scenario::new(seed);
        for step in 0..250 {
            scenario.step();
            scenario.check();
            // These look at every slot there could be.
            if step % 25 == 0 {
                scenario.keyspace.check_invariants();
            }
        }
        for slot in Slot::all() {
            scenario.keyspace.show(slot);
        }
        scenario.hidden.clear();
        scenario.check();
        scenario.keyspace.check_invariants();
    }
}

#[test]
fn a_slot_that_is_hidden_before_its_database_exists_stays_hidden() {
    let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    let key = keyspace.key(b"bar");
    keyspace.hide(key.slot);
    keyspace.hide(key.slot);
    for _ in 0..2 {
        keyspace.insert(0, &key, Value::Int(1), Ttl::Clear);
        assert_eq!((keyspace.len(0), keyspace.is_empty()), (0, false));
        assert_eq!(keyspace.flush(0), 1);
    }
    keyspace.insert(0, &key, Value::Int(1), Ttl::Clear);
    keyspace.show(key.slot);
    keyspace.show(key.slot);
    assert_eq!(keyspace.len(0), 1);
    keyspace.check_invariants();
}

#[test]
fn a_candidate_for_eviction_is_safe_once_its_slot_is_hidden() {
    let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    for i in 0..20u64 {
        keyspace.begin(NOW_MS + i * 1000, 1);
        let name = format!("key:{i}").into_bytes();
        let key = keyspace.key(&name);
        keyspace.insert(0, &key, Value::Int(1), Ttl::Clear);
    }
    // The pool knows the oldest keys from here on.
    assert_eq!(keyspace.evict(Policy::AllkeysLru, 50, usize::MAX, 1).keys, 1);
    let slots: Vec<Slot> = (0..19).map(|i| Slot::of(format!("key:{i}").as_bytes())).collect();
    slots.into_iter().for_each(|slot| keyspace.hide(slot));
    assert_eq!(keyspace.evict(Policy::AllkeysLru, 50, usize::MAX, usize::MAX).keys, 1);
    assert_eq!((keyspace.len(0), keyspace.db(0).map(Db::stored)), (0, Some((18, 0))));
}
