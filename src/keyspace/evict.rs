//! Making room: which key goes when memory is full.
//!
//! The policies that rank keys sample: a few keys picked at random from slots in proportion to what they hold, the
//! best candidates of all samples so far kept in a small pool. The pool makes the choice nearly as good as ranking
//! all keys would; what it holds may have changed meanwhile, so a candidate is looked up again before it goes.

use super::access::AccessClock;
use super::entry::Entry;
use super::key::{KeyRef, Slot};
use super::{KeyEventKind, Keyspace};
use crate::config::choices::EvictionPolicy as Policy;

/// Whether the policy does not care which key goes.
fn is_random(policy: Policy) -> bool {
    matches!(policy, Policy::AllkeysRandom | Policy::VolatileRandom)
}

/// How much `entry` deserves to go; comparable within one policy.
fn rank(policy: Policy, access: &AccessClock, entry: &Entry, now_ms: u64) -> u64 {
    match policy {
        Policy::AllkeysLru | Policy::VolatileLru => {
            u64::from(access.idle_seconds(entry.access(), now_ms))
        }
        Policy::AllkeysLfu | Policy::VolatileLfu => {
            255 - u64::from(access.frequency(entry.access(), now_ms))
        }
        Policy::VolatileTtl => u64::MAX - entry.expiry_ms().unwrap_or(u64::MAX),
        Policy::NoEviction | Policy::AllkeysRandom | Policy::VolatileRandom => 0,
    }
}

/// Candidates kept from one eviction to the next.
const POOL_MAX: usize = 16;
/// Draws per sample wanted, before a search among keys of which few have an expiry is given up.
const DRAWS_PER_SAMPLE: usize = 8;

/// A key that may go.
#[derive(Debug)]
struct Candidate {
    rank: u64,
    db: u32,
    key: Box<[u8]>,
}

/// The best candidates so far, the most deserving last.
#[derive(Debug, Default)]
pub(super) struct EvictionPool {
    policy: Policy,
    candidates: Vec<Candidate>,
}

impl EvictionPool {
    fn offer(&mut self, rank: u64, db: u32, key: &[u8]) {
        let full = self.candidates.len() == POOL_MAX;
        if full && rank <= self.candidates[0].rank {
            return;
        }
        if self.candidates.iter().any(|known| known.db == db && *known.key == *key) {
            return;
        }
        let at = self.candidates.partition_point(|known| known.rank <= rank);
        self.candidates.insert(at, Candidate { rank, db, key: key.into() });
        if full {
            self.candidates.remove(0);
        }
    }
}

/// What an eviction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Keys deleted.
    pub keys: usize,
    /// Memory of them in bytes; large values give theirs back only when the garbage has been dropped.
    pub bytes: usize,
    /// Those of them that are garbage now.
    pub garbage_bytes: usize,
}

impl Keyspace {
    /// Deletes keys of slots that are not hidden, each with an effect of its own, until they made up `need_bytes`, `keys_max` keys are gone, or no
    /// key is left that the policy may take. `samples` is `maxmemory-samples`. Fewer bytes than needed and fewer
    /// keys than allowed mean that there is nothing more to take.
    pub fn evict(
        &mut self,
        policy: Policy,
        samples: usize,
        need_bytes: usize,
        keys_max: usize,
    ) -> Evicted {
        let mut evicted = Evicted::default();
        while evicted.bytes < need_bytes && evicted.keys < keys_max {
            let Some((bytes, is_garbage)) = self.evict_one(policy, samples) else {
                break;
            };
            evicted.keys += 1;
            evicted.bytes += bytes;
            evicted.garbage_bytes += if is_garbage { bytes } else { 0 };
        }
        evicted
    }

    /// Deletes one key: its memory, and whether that is garbage now.
    fn evict_one(&mut self, policy: Policy, samples: usize) -> Option<(usize, bool)> {
        let (db, key) = match policy {
            Policy::NoEviction => return None,
            _ if is_random(policy) => {
                let db = self.next_db_to_evict(policy)?;
                (db, self.sample_free(db, policy)?)
            }
            _ => {
                // Where samples were all of held keys, others may be found.
                let tries = if self.holds.is_empty() { 1 } else { DRAWS_PER_SAMPLE };
                (0..tries).find_map(|_| self.best_candidate(policy, samples))?
            }
        };
        let key = KeyRef::new(&self.hash_key, &key);
        let place = self.db(db)?.find(&key)?;
        let entry = self.unlink_place(db, &key, place);
        if !self.watches.is_empty() {
            self.watches.touch(db, key.bytes);
        }
        if self.settings.lazy_eviction {
            self.effects.unlink(db, key.bytes);
        } else {
            self.effects.del(db, key.bytes);
        }
        self.stats.evicted += 1;
        self.note_event(KeyEventKind::Evicted, db, key.bytes);
        let (bytes, is_garbage) = (entry.memory_usage(), Keyspace::is_bulky(&entry));
        self.discard(entry);
        Some((bytes, is_garbage))
    }

    /// The most deserving key of the pool after new samples from each database.
    fn best_candidate(&mut self, policy: Policy, samples: usize) -> Option<(u32, Box<[u8]>)> {
        if self.eviction_pool.policy != policy {
            self.eviction_pool = EvictionPool { policy, candidates: Vec::new() };
        }
        let mut pool = std::mem::take(&mut self.eviction_pool);
        let (access, now_ms) = (self.settings.access, self.now_ms);
        for db in 0..self.db_count() {
            for _ in 0..samples.min(self.evictable(db, policy)) {
                if let Some(entry) = self.sample(db, policy) {
                    pool.offer(rank(policy, &access, entry, now_ms), db, entry.key());
                }
            }
        }
        let mut best = None;
        while let (None, Some(candidate)) = (&best, pool.candidates.pop()) {
            let key = self.key(&candidate.key);
            let entry = self.peek(candidate.db, &key).filter(|_| !self.is_hidden(key.slot));
            let may_go = |entry: &Entry| !policy.is_volatile() || entry.expiry_ms().is_some();
            if entry.is_some_and(may_go) && !self.holds.has(candidate.db, &candidate.key) {
                best = Some((candidate.db, candidate.key));
            }
        }
        self.eviction_pool = EvictionPool { policy, ..pool };
        best
    }

    /// Keys of a database that the policy may take.
    fn evictable(&self, db: u32, policy: Policy) -> usize {
        let count = self.db(db).map_or(0, |database| {
            if policy.is_volatile() { database.volatile() } else { database.len() }
        });
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Databases take turns under the random policies.
    fn next_db_to_evict(&mut self, policy: Policy) -> Option<u32> {
        let count = self.db_count();
        let first = self.evict_turn;
        let db = (0..count)
            .map(|step| (first + step) % count)
            .find(|&db| self.evictable(db, policy) > 0)?;
        self.evict_turn = (db + 1) % count;
        Some(db)
    }

    /// A key that the policy may take, picked at random.
    fn sample(&mut self, db: u32, policy: Policy) -> Option<&Entry> {
        let database = self.dbs.get(db as usize)?.as_deref()?;
        if !policy.is_volatile() {
            let slot = database.keys().random(&mut self.rng)?;
            return database.slot(slot).table.random(&mut self.rng);
        }
        let slot = database.volatile_keys().random(&mut self.rng)?;
        let drawn = (0..DRAWS_PER_SAMPLE).find_map(|_| {
            let entry = database.slot(slot).table.random(&mut self.rng)?;
            entry.expiry_ms().is_some().then_some(entry)
        });
        drawn.or_else(|| self.sample_by_index(db, slot))
    }

    /// The same among keys that are not held, unless most of them are.
    fn sample_free(&mut self, db: u32, policy: Policy) -> Option<Box<[u8]>> {
        for _ in 0..DRAWS_PER_SAMPLE {
            let key: Box<[u8]> = self.sample(db, policy)?.key().into();
            if !self.holds.has(db, &key) {
                return Some(key);
            }
        }
        None
    }

    /// A key with expiry of a slot where these are rare: one near a time drawn from the index.
    fn sample_by_index(&self, db: u32, slot: Slot) -> Option<&Entry> {
        let store = self.db(db)?.slot(slot);
        let (first, last) = (store.expiries.first()?.0, store.expiries.last()?.0);
        let drawn = first + self.rng.clone().u64(..=last - first);
        let &(when, hash) = store.expiries.range((drawn, 0)..).next()?;
        Some(store.table.at(store.find_expiring(&self.hash_key, when, hash)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{Access, HashKey, Ttl, Value};

    const NOW_MS: u64 = 1_700_000_000_000;
    const KEYS: u64 = 2000;

    fn name(i: u64) -> String {
        // One slot holds half of the keys.
        if i.is_multiple_of(2) { format!("{{tag}}{i}") } else { format!("key:{i}") }
    }

    /// Keys used in order of their numbers, one second apart; every fourth expires, later ones later.
    fn filled(policy: Policy) -> Keyspace {
        let mut keyspace = Keyspace::new(2, HashKey::from_seed(1), 2);
        keyspace.settings.access.lfu = policy.is_lfu();
        for i in 0..KEYS {
            keyspace.begin(NOW_MS + i * 1000, i);
            let name = name(i);
            let key = keyspace.key(name.as_bytes());
            let ttl = if i % 4 < 2 { Ttl::At(NOW_MS + 100_000_000 + i) } else { Ttl::Clear };
            keyspace.insert(0, &key, Value::Int(1), ttl);
        }
        keyspace
    }

    /// Mean number of the keys that go when a quarter is evicted.
    fn mean_evicted(policy: Policy, keyspace: &mut Keyspace) -> u64 {
        let gone = keyspace.evict(policy, 5, usize::MAX, 500);
        assert_eq!(gone.keys, 500);
        assert_eq!(keyspace.stats.evicted, 500);
        assert_eq!(keyspace.effects.len(), 500);
        keyspace.check_invariants();
        let missing = |i: &u64| {
            let name = name(*i);
            keyspace.peek(0, &keyspace.key(name.as_bytes())).is_none()
        };
        (0..KEYS).filter(missing).sum::<u64>() / 500
    }

    #[test]
    fn lru_takes_what_was_unused_for_long() {
        let mut keyspace = filled(Policy::AllkeysLru);
        let mean = mean_evicted(Policy::AllkeysLru, &mut keyspace);
        assert!(mean < 450, "{mean}; the oldest quarter would be 250, any 1000");
        let mut keyspace = filled(Policy::VolatileLru);
        let mean = mean_evicted(Policy::VolatileLru, &mut keyspace);
        assert!(mean < 700, "{mean}; the older half of those with expiry would be 500, any 1000");
        assert_eq!((keyspace.volatile(0), keyspace.len(0)), (500, 1500));
    }

    #[test]
    fn lfu_takes_what_is_used_seldom() {
        let mut keyspace = filled(Policy::AllkeysLfu);
        keyspace.begin(NOW_MS + KEYS * 1000, 1);
        keyspace.settings.access.lfu_decay_minutes = 0;
        for i in 1000..KEYS {
            let name = name(i);
            let key = keyspace.key(name.as_bytes());
            for _ in 0..20 {
                assert!(keyspace.exists(0, &key, Access::READ));
            }
        }
        keyspace.effects.clear();
        let mean = mean_evicted(Policy::AllkeysLfu, &mut keyspace);
        assert!((400..600).contains(&mean), "{mean}; of the unused half any would do");
    }

    #[test]
    fn random_takes_any_and_ttl_the_soonest() {
        let mut keyspace = filled(Policy::AllkeysRandom);
        let mean = mean_evicted(Policy::AllkeysRandom, &mut keyspace);
        assert!((900..1100).contains(&mean), "{mean}");
        let mut keyspace = filled(Policy::VolatileRandom);
        let mean = mean_evicted(Policy::VolatileRandom, &mut keyspace);
        assert!((880..1120).contains(&mean), "{mean}");
        assert_eq!(keyspace.volatile(0), 500);
        let mut keyspace = filled(Policy::VolatileTtl);
        let mean = mean_evicted(Policy::VolatileTtl, &mut keyspace);
        assert!(mean < 700, "{mean}");
    }

    #[test]
    fn stops_when_there_is_enough_room_or_nothing_left() {
        let mut keyspace = filled(Policy::AllkeysRandom);
        let gone = keyspace.evict(Policy::AllkeysRandom, 5, 1000, usize::MAX);
        assert!((1000..1100).contains(&gone.bytes), "{gone:?}");
        assert_eq!(keyspace.evict(Policy::NoEviction, 5, 1000, 9), Evicted::default());
        let mut keyspace = filled(Policy::VolatileTtl);
        let gone = keyspace.evict(Policy::VolatileTtl, 5, usize::MAX, usize::MAX);
        assert_eq!((gone.keys, keyspace.len(0)), (1000, 1000));
        let gone = keyspace.evict(Policy::AllkeysLru, 5, usize::MAX, usize::MAX);
        assert_eq!((gone.keys, keyspace.len(0)), (1000, 0));
    }
}
