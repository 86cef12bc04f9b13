//! What concerns a whole database or the whole keyspace: counting, flushing, swapping, scanning, walking, watching.

use std::ops::RangeInclusive;

use super::db::Db;
use super::entry::Entry;
use super::garbage::Garbage;
use super::key::{KeyRef, SLOT_COUNT, Slot};
use super::table::position;
use super::wait::{Joined, Waiter};
use super::walk::{WalkBudget, WalkId, WalkProgress};
use super::walk_batch::WalkBatch;
use super::{ExpireMode, Keyspace};

/// Bits of a scan cursor that hold the slot.
const SLOT_BITS: u32 = 14;
const _: () = assert!(1 << SLOT_BITS == SLOT_COUNT);

/// Counting and sampling.
impl Keyspace {
    /// Number of keys in a database, expired ones that are still present included; those of hidden slots are not.
    pub fn len(&mut self, db: u32) -> u64 {
        self.observe_all();
        self.db(db).map_or(0, Db::len)
    }

    /// Whether no database holds a key, hidden ones included.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().flatten().all(|db| db.stored().0 == 0)
    }

    /// Number of keys with expiry in a database, hidden ones aside.
    pub fn volatile(&self, db: u32) -> u64 {
        self.db(db).map_or(0, Db::volatile)
    }

    /// Mean time to live of the keys with expiry in a database, in milliseconds; hidden ones do not count.
    pub fn avg_ttl_ms(&self, db: u32) -> u64 {
        self.db(db).map_or(0, |database| database.avg_ttl_ms(self.now_ms))
    }

    /// Number of keys in a slot, 0 if it is hidden. (CLUSTER COUNTKEYSINSLOT)
    pub fn count_in_slot(&self, db: u32, slot: Slot) -> usize {
        self.db(db).map_or(0, |database| database.keys().count(slot) as usize)
    }

    /// Up to `count` keys of a slot, none if it is hidden. (CLUSTER GETKEYSINSLOT)
    pub fn keys_in_slot(&self, db: u32, slot: Slot, count: usize) -> Vec<&[u8]> {
        self.entries_in_slot(db, slot).map(Entry::key).take(count).collect()
    }

    /// All entries of a slot, expired ones included; none if it is hidden.
    pub fn entries_in_slot(&self, db: u32, slot: Slot) -> impl Iterator<Item = &Entry> {
        let shown = self.db(db).filter(|database| !database.is_hidden(slot));
        shown.into_iter().flat_map(move |database| database.slot(slot).table.iter())
    }

    /// All entries of a database, slot by slot, expired ones included; those of hidden slots are not.
    pub fn entries(&self, db: u32) -> impl Iterator<Item = &Entry> {
        self.db(db).into_iter().flat_map(|database| {
            let slots = database.keys().occupied();
            slots.flat_map(|slot| database.slot(slot).table.iter())
        })
    }

    /// A key picked at random among those that are neither hidden nor expired, each with the same chance; `None` if
    /// there are none, or next to none. (RANDOMKEY)
    pub fn random_key(&mut self, db: u32) -> Option<&Entry> {
        const DRAWS_MAX: usize = 100;
        self.observe_all();
        let (now_ms, mode) = (self.now_ms, self.expire_mode);
        let database = self.dbs.get(db as usize)?.as_deref()?;
        (0..DRAWS_MAX).find_map(|_| {
            let slot = database.keys().random(&mut self.rng)?;
            let entry = database.slot(slot).table.random(&mut self.rng)?;
            let expired = entry.expiry_ms().is_some_and(|when| when < now_ms);
            (!expired || mode == ExpireMode::Ignore).then_some(entry)
        })
    }

    /// One step of a scan: calls `visit` with entries that are neither hidden nor expired, at least `count` of them unless
    /// the scan ends, and returns the cursor of the next step, 0 at the end. A key that is present from the first
    /// step to the last is visited at least once, whatever happens to others meanwhile.
    ///
    /// The cursor is the slot in its low 14 bits, above them the bucket at which to go on; it stays below 2^53
    /// for tables of up to 2^39 buckets, so that clients may keep it in a double.
    pub fn scan(
        &mut self,
        db: u32,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(&Entry),
    ) -> u64 {
        self.observe_all();
        let Some(database) = self.db(db) else {
            return 0;
        };
        let mut index = usize::try_from(cursor & (SLOT_COUNT as u64 - 1)).expect("14 bits");
        let mut bound = position(cursor >> SLOT_BITS);
        let (mut seen, mut buckets) = (0, 0);
        // A table that has become sparse holds buckets without keys: they count too, at a tenth.
        while seen < count && buckets < count.saturating_mul(10) {
            let Some(slot) = database.keys().next_from(index) else {
                return 0;
            };
            if slot.index() != index {
                (index, bound) = (slot.index(), 0);
            }
            let next = database.slot(slot).table.visit(bound, |entry| {
                if !self.is_expired(entry) {
                    seen += 1;
                    visit(entry);
                }
            });
            buckets += 1;
            match next {
                Some(next) => bound = next,
                None => (index, bound) = (index + 1, 0),
            }
        }
        if index == SLOT_COUNT { 0 } else { position(bound) << SLOT_BITS | index as u64 }
    }
}

/// Emptying and swapping.
impl Keyspace {
    /// Removes all keys of a database, those of hidden slots too (the slots stay hidden); memory is freed later. Returns
    /// how many there were.
    pub fn flush(&mut self, db: u32) -> u64 {
        self.raise_floor();
        self.touch_present(db);
        self.waits.signal_all(db);
        self.holds.remove_all(db);
        let Some(old) = self.dbs.get_mut(db as usize).and_then(Option::take) else {
            return 0;
        };
        let (count, _) = old.stored();
        self.dirty += count;
        if self.walks.is_empty() {
            self.garbage.push(Garbage::Db(old));
        } else {
            self.walks.detach(old);
        }
        count
    }

    /// Removes all keys of all databases, those of hidden slots too.
    pub fn flush_all(&mut self) -> u64 {
        (0..self.db_count()).map(|db| self.flush(db)).sum()
    }

    /// Exchanges two databases.
    pub fn swap_dbs(&mut self, one: u32, two: u32) {
        self.raise_floor();
        if one == two {
            return;
        }
        // A watched key is touched if it is present on either side.
        for (db, other) in [(one, two), (two, one)] {
            self.touch_present(db);
            for key in self.watches.keys(db) {
                if self.peek(other, &self.key(&key)).is_some() {
                    self.watches.touch(db, &key);
                }
            }
        }
        for db in [one, two] {
            self.holds.remove_all(db);
            self.waits.signal_all(db);
        }
        self.dbs.swap(one as usize, two as usize);
        self.dirty += 1;
    }

    /// Whatever is read from now on depends on this write.
    fn raise_floor(&mut self) {
        self.floor_stamp = self.floor_stamp.max(self.write_stamp);
        self.latest_stamp = self.latest_stamp.max(self.write_stamp);
    }

    /// Touches the watched keys of a database that are present.
    fn touch_present(&mut self, db: u32) {
        for key in self.watches.keys(db) {
            if self.peek(db, &self.key(&key)).is_some() {
                self.watches.touch(db, &key);
            }
        }
    }
}

/// Walks.
impl Keyspace {
    /// Starts a walk over these slots, hidden or not, of all databases as they are now; `cut` is the log offset of this state.
    /// `None` if too many are running.
    pub fn start_walk(&mut self, ranges: &[RangeInclusive<u16>], cut: u64) -> Option<WalkId> {
        let numbered = (0u32..).zip(&self.dbs);
        let dbs = numbered.filter_map(|(number, db)| Some((number, db.as_deref()?)));
        self.walks.start(dbs, ranges, cut)
    }

    /// How many more walks can begin.
    pub fn walks_free(&self) -> usize {
        self.walks.free()
    }

    /// One step of a walk, its output added to `out`. `None` if there is no such walk: it has ended.
    pub fn walk_step(
        &mut self,
        id: WalkId,
        budget: WalkBudget,
        out: &mut WalkBatch,
    ) -> Option<WalkProgress> {
        let progress = self.walks.step(&mut self.dbs, &self.hash_key, id, budget, out);
        while let Some(db) = self.walks.take_finished() {
            self.garbage.push(Garbage::Db(db));
        }
        progress
    }

    /// Ends a walk early; nothing happens if it has ended.
    pub fn cancel_walk(&mut self, id: WalkId) {
        self.walks.cancel(id);
    }

    /// Cleans up behind cancelled walks, looking at up to `entries` entries; to be called on each tick. Says
    /// whether there is more to do.
    pub fn sweep_walks(&mut self, entries: usize) -> bool {
        !self.walks.is_empty() && self.walks.sweep(&mut self.dbs, &self.hash_key, entries)
    }

    /// Bytes that writers have handed over to a walk and no step has put out.
    pub fn walk_queued_bytes(&self, id: WalkId) -> usize {
        self.walks.queued_bytes(id)
    }

    /// The cut of a running walk.
    pub fn walk_cut(&self, id: WalkId) -> Option<u64> {
        self.walks.cut(id)
    }
}

/// Commands that wait for keys.
impl Keyspace {
    /// `waiter` waits for `key` from now on, behind all who do already.
    pub fn wait_for(&mut self, db: u32, key: &[u8], waiter: Waiter) -> Joined {
        self.waits.wait(db, key, waiter)
    }

    /// Who has `ticket` does not wait for `key` any more.
    pub fn leave_wait(&mut self, db: u32, key: &[u8], ticket: u64) {
        self.waits.leave(db, key, ticket);
    }

    /// Whether a key that is waited for has come, changed or gone.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.waits.has_ready()
    }

    /// The key that did so first of those not taken yet.
    pub fn take_ready(&mut self) -> Option<(u32, Box<[u8]>)> {
        self.waits.take_ready()
    }

    /// Those who wait for `key` behind `ticket`, in the order in which they came. With `only_groups` nobody where no group is
    /// waited for.
    pub fn waiters(
        &self,
        db: u32,
        key: &[u8],
        ticket: u64,
        only_groups: bool,
    ) -> impl Iterator<Item = &Waiter> {
        self.waits.behind(db, key, ticket, only_groups)
    }

    /// How many keys are waited for.
    pub fn waited_keys(&self) -> usize {
        self.waits.len()
    }

    /// Who waits for keys of `old`, in whose place this one comes, waits for the same keys here: all of them may have changed.
    pub fn take_waits(&mut self, old: &mut Keyspace) {
        self.waits = std::mem::take(&mut old.waits);
        (0..self.db_count()).for_each(|db| self.waits.signal_all(db));
    }
}

/// WATCH.
impl Keyspace {
    /// `session` wants to know whether `key` changes.
    pub fn watch(&mut self, db: u32, key: &KeyRef<'_>, session: u64) {
        let was_expired = self.peek(db, key).is_some_and(|entry| self.is_expired(entry));
        self.watches.watch(db, key.bytes, session, was_expired);
    }

    /// `session` does not watch anything any more.
    pub fn unwatch(&mut self, session: u64) {
        self.watches.unwatch(session);
    }

    /// Whether [`Keyspace::take_touched`] has something to give.
    #[inline]
    pub fn has_touched(&self) -> bool {
        self.watches.has_touched()
    }

    /// Sessions whose watched keys have changed since the last call; some perhaps more than once.
    pub fn take_touched(&mut self) -> Vec<u64> {
        self.watches.take_touched()
    }

    /// Whether a key that `session` watches has expired since, without having been removed yet: EXEC
    /// must fail then too.
    pub fn watched_has_expired(&self, session: u64) -> bool {
        self.watches.of_session(session).any(|(db, key, was_expired)| {
            let entry = self.peek(db, &self.key(key));
            !was_expired && entry.is_some_and(|entry| self.is_expired(entry))
        })
    }
}
