//! The keyspace: databases of 16384 slots, and the one door through which entries are read and changed.
//!
//! Everything that must happen on a change happens here and nowhere else: walks get the old value, the slot is
//! stamped with the log offset of the write, watchers are noted, indexes and counters follow. Commands never hold
//! an entry to change; they hold an [`EntryMut`], which does these things when it is first used.
//!
//! The node prepares each execution unit with [`Keyspace::begin`] (time and stamp) and collects what it left
//! behind: [`Keyspace::effects`], [`Keyspace::observed`], [`Keyspace::dirty`], touched watchers, events, garbage.

mod access;
mod census;
mod db;
mod door;
mod effects;
mod entry;
mod entry_mut;
mod events;
mod evict;
mod expire;
mod fields;
mod garbage;
mod hidden;
mod hold;
mod key;
mod prefetch;
mod slot;
mod slot_set;
mod split;
mod table;
mod tally;
mod trim;
mod value;
mod wait;
mod walk;
mod walk_batch;
mod watch;
mod whole;

pub use access::{AccessClock, LFU_INITIAL};
pub use db::Db;
pub use door::{Access, Ttl};
pub use effects::{ArgWriter, Effects};
pub use entry::{EMBEDDED_BYTES_MAX, Entry};
pub use entry_mut::EntryMut;
pub use events::{KeyEvent, KeyEventKind};
pub use evict::Evicted;
pub use expire::{ExpireBudget, ExpireOutcome};
pub use fields::{DueHash, ExpiredFields};
pub use garbage::Garbage;
pub use key::{HashKey, KeyRef, SLOT_COUNT, Slot, crc16, hash_tag};
pub use slot::{SlotCounters, SlotStore};
pub use slot_set::SlotSet;
pub use split::part_of;
pub use value::{Value, ValueRef};
pub use wait::{Awaited, Joined, Waiter};
pub use walk::{WALKS_MAX, WalkBudget, WalkId, WalkProgress};
pub use walk_batch::{WalkBatch, WalkEntry};

use crate::config::special::KeyspaceEvents;
use crate::types::Limits;
use evict::EvictionPool;
use expire::ExpireCursor;
use hold::Holds;
use wait::Waits;
use walk::Walks;
use watch::Watches;

/// What to do with a key that is past its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpireMode {
    /// It counts as missing and is deleted, with an effect: a primary.
    #[default]
    Delete,
    /// It counts as missing and stays: a replica answering clients, a primary whose writes are paused.
    Hide,
    /// Nothing is expired: loading, and commands that come from the primary.
    Ignore,
}

/// What the configuration says about the keyspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// What the access clock means, and its parameters.
    pub access: AccessClock,
    /// Up to which sizes collections are packed.
    pub limits: Limits,
    /// `lazyfree-lazy-expire`: the effect of an expiry is UNLINK rather than DEL.
    pub lazy_expire: bool,
    /// `lazyfree-lazy-eviction`: the effect of an eviction is UNLINK rather than DEL.
    pub lazy_eviction: bool,
    /// `notify-keyspace-events`: which events are kept.
    pub events: KeyspaceEvents,
}

/// Counts of what happened, since the start or CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Lookups for reading that found a key.
    pub hits: u64,
    /// Lookups for reading that found none.
    pub misses: u64,
    /// Keys deleted because their time had passed.
    pub expired: u64,
    /// Fields of hashes deleted because their own time had passed.
    pub expired_fields: u64,
    /// Active cycles that ran out of time.
    pub expire_time_cap_reached: u64,
    /// Keys deleted to make room.
    pub evicted: u64,
}

/// All databases of a node.
#[derive(Debug)]
pub struct Keyspace {
    /// What the configuration says.
    pub settings: Settings,
    /// What happens to expired keys.
    pub expire_mode: ExpireMode,
    /// Reads leave access clocks alone (CLIENT NO-TOUCH).
    pub no_touch: bool,
    /// The unit's effects.
    pub effects: Effects,
    /// Changes made by commands; expiry and eviction do not count. Commands may add to it.
    pub dirty: u64,
    /// The highest log offset among the writes that the unit has seen: a reply may not leave before the log
    /// has been released up to here.
    pub observed: u64,
    /// Counters.
    pub stats: KeyspaceStats,
    dbs: Vec<Option<Box<Db>>>,
    /// Slots that whole-keyspace reads leave out; every database knows them too.
    hidden: Box<SlotSet>,
    hash_key: HashKey,
    now_ms: u64,
    write_stamp: u64,
    /// The highest stamp of any write.
    latest_stamp: u64,
    /// The stamp of the last FLUSHALL, FLUSHDB or SWAPDB: every reply shows its consequences.
    floor_stamp: u64,
    last_uid: u64,
    walks: Walks,
    watches: Watches,
    holds: Holds,
    waits: Waits,
    garbage: Vec<Garbage>,
    /// What happened to keys and nobody has been told yet.
    events: Vec<KeyEvent>,
    expire_cursor: ExpireCursor,
    eviction_pool: EvictionPool,
    /// The database that the random policies look at next.
    evict_turn: u32,
    rng: fastrand::Rng,
}

impl Keyspace {
    /// `databases` empty databases; `seed` fixes the sampling.
    pub fn new(databases: u32, hash_key: HashKey, seed: u64) -> Keyspace {
        Keyspace {
            settings: Settings::default(),
            expire_mode: ExpireMode::default(),
            no_touch: false,
            effects: Effects::default(),
            dirty: 0,
            observed: 0,
            stats: KeyspaceStats::default(),
            dbs: std::iter::repeat_with(|| None).take(databases as usize).collect(),
            hidden: Box::default(),
            hash_key,
            now_ms: 0,
            write_stamp: 0,
            latest_stamp: 0,
            floor_stamp: 0,
            last_uid: 0,
            walks: Walks::default(),
            watches: Watches::default(),
            holds: Holds::default(),
            waits: Waits::default(),
            garbage: Vec::new(),
            events: Vec::new(),
            expire_cursor: ExpireCursor::default(),
            eviction_pool: EvictionPool::default(),
            evict_turn: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Begins an execution unit: `now_ms` is its time throughout; its writes are stamped with `write_stamp`, a
    /// log offset not below the unit's end. What the last unit left behind in [`Keyspace::effects`] and
    /// [`Keyspace::observed`] is forgotten.
    #[inline]
    pub fn begin(&mut self, now_ms: u64, write_stamp: u64) {
        self.now_ms = now_ms;
        self.write_stamp = write_stamp;
        self.observed = self.floor_stamp;
        self.effects.clear();
    }

    /// Goes on in the place of `old`, with data as of the log offset `stamp`: every reader waits for that. No walk gets
    /// a number that one of `old` had. Slots that were hidden there are hidden here, and who waited for keys there waits here.
    pub fn succeed(&mut self, old: &mut Keyspace, stamp: u64) {
        self.floor_stamp = self.floor_stamp.max(stamp);
        self.latest_stamp = self.latest_stamp.max(stamp);
        self.walks.number_after(&old.walks);
        self.stats = old.stats;
        old.hidden().for_each(|slot| self.hide(slot));
        self.take_waits(old);
    }

    /// The unit's time, in milliseconds since 1970.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The highest stamp that any write has left.
    pub fn latest_stamp(&self) -> u64 {
        self.latest_stamp
    }

    /// Slot and hash of a key, to be computed once per command.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> KeyRef<'a> {
        KeyRef::new(&self.hash_key, bytes)
    }

    /// Random numbers for a command that picks elements: a source of its own, which follows from the seed.
    pub fn fork_random(&mut self) -> fastrand::Rng {
        self.rng.fork()
    }

    /// The hash key, for [`KeyRef`]s made elsewhere.
    pub fn hash_key(&self) -> HashKey {
        self.hash_key
    }

    /// Number of databases.
    pub fn db_count(&self) -> u32 {
        u32::try_from(self.dbs.len()).expect("made from a u32")
    }

    /// A database, if it has ever been written to.
    pub fn db(&self, db: u32) -> Option<&Db> {
        self.dbs.get(db as usize)?.as_deref()
    }

    /// Asserts what must hold between operations.
    pub fn check_invariants(&self) {
        for db in self.dbs.iter().flatten() {
            db.check_invariants(&self.hash_key);
            assert!(
                Slot::all().all(|slot| db.is_hidden(slot) == self.is_hidden(slot)),
                "hidden slots"
            );
        }
    }
}

#[cfg(test)]
mod tests;
