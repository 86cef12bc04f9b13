//! Walks: the state of the keyspace at one moment, read out while it goes on changing.
//!
//! A walk visits databases, slots and, inside a slot, keys in the order of [`position`]. What it has not reached
//! yet still shows the state at the cut, because every writer asks first ([`Walks::before_write`]): a key that is
//! ahead of a walk is handed over as it is and *marked*; when the walk arrives at a marked entry it takes the mark
//! off and passes on. A key created ahead of a walk is marked from the start; a key removed there is handed over
//! unless it is marked. Behind a walk nobody needs to do anything.
//!
//! ```text
//!             visited: no marks            |      ahead
//!   ---------------------------------------+------------------------------------>
//!   db 0 slot 0 .. slot 1 ..          position    unmarked: as of the cut
//!                                                 marked: handed over, or newer than the cut
//! ```
//!
//! A database keeps its *uid* for life. SWAPDB moves it under another number, and the walk finds it there; FLUSHDB
//! puts a new database in its place, and if a walk is not through with the old one, the old one is set aside
//! and walked on until every walk has passed it. Databases younger than the cut are in no walk's list.

use super::db::Db;
use super::entry::Entry;
use super::key::{HashKey, Slot};
use super::slot_set::SlotSet;
use super::table::position;
use super::walk_batch::WalkBatch;

/// Walks that can run at a time: one bit each in every entry.
pub const WALKS_MAX: usize = 8;

/// Names a walk. Never given twice by one keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WalkId(u64);

/// How much one step may do. A step ends with the first bucket that reaches either number.
#[derive(Clone, Copy, Debug)]
pub struct WalkBudget {
    /// Entries looked at, handed-over ones not counted.
    pub entries: usize,
    /// Bytes of keys and values put into the batch.
    pub bytes: usize,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkProgress {
    /// Everything has been put out; the walk is gone.
    pub done: bool,
    /// Entries put out so far.
    pub visited: u64,
    /// Entries there were at the cut.
    pub total: u64,
}

/// A database as of the cut.
#[derive(Clone, Copy, Debug)]
struct Source {
    number: u32,
    uid: u64,
}

/// Everything before it has been visited. Ordered as the fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    source: usize,
    slot: usize,
    bound: u64,
}

#[derive(Debug)]
struct Walk {
    id: WalkId,
    bit: u8,
    cut: u64,
    /// The slots the walk is about.
    slots: Box<SlotSet>,
    sources: Vec<Source>,
    at: Position,
    /// Values that writers have handed over and no step has put out yet.
    queue: WalkBatch,
    /// Entries that carry the walk's bit.
    marked: u64,
    visited: u64,
    total: u64,
    /// The walk has been cancelled: it goes on only to take its marks off.
    cancelled: bool,
}

/// The running walks.
#[derive(Debug, Default)]
pub(super) struct Walks {
    running: Vec<Walk>,
    /// Databases that have been flushed and are still walked.
    #[expect(
        clippy::vec_box,
        reason = "they come boxed and leave boxed; moving them copies kilobytes"
    )]
    detached: Vec<Box<Db>>,
    last_id: u64,
}

impl Walk {
    /// Whether `(uid, slot, hash)` is yet to be visited.
    #[inline]
    fn is_ahead(&self, uid: u64, slot: Slot, hash: u64) -> bool {
        self.slots.has(slot)
            && self.sources.iter().position(|source| source.uid == uid).is_some_and(|source| {
                let place = Position { source, slot: slot.index(), bound: position(hash) };
                place >= self.at
            })
    }

    /// Whether anything of the database `uid` is yet to be visited.
    fn needs(&self, uid: u64) -> bool {
        self.sources[self.at.source.min(self.sources.len())..].iter().any(|s| s.uid == uid)
    }

    fn is_through(&self) -> bool {
        self.at.source >= self.sources.len() || (self.cancelled && self.marked == 0)
    }

    fn hand_over(&mut self, uid: u64, slot: Slot, entry: &Entry) {
        if !self.cancelled {
            let source = self.sources.iter().find(|source| source.uid == uid);
            let number = source.expect("checked by is_ahead").number;
            self.queue.push(number, slot, entry);
            self.visited += 1;
        }
    }

    fn next_source(&mut self) {
        self.at = Position { source: self.at.source + 1, slot: 0, bound: 0 };
    }

    /// Visits entries of `db`, the current source, until `budget` is used up or the database ends.
    fn visit(&mut self, db: &mut Db, hash_key: &HashKey, budget: &mut Left, out: &mut WalkBatch) {
        let number = self.sources[self.at.source].number;
        while budget.any() && !(self.cancelled && self.marked == 0) {
            let Some(slot) = self.settle(db, budget) else {
                return self.next_source();
            };
            let table = &mut db.slot_mut(slot).table;
            let bound = self.at.bound;
            let exact = table.starts_bucket(bound);
            let (bit, cancelled) = (self.bit, self.cancelled);
            let (mut unmarked, mut put_out) = (0, 0);
            let bytes_before = out.payload_bytes();
            let next = table.visit_mut(bound, |entry| {
                budget.entries = budget.entries.saturating_sub(1);
                // The table may have shrunk since the bound was the start of a bucket: then the bucket
                // also holds keys that have been visited.
                if !exact && position(hash_key.hash(entry.key())) < bound {
                    return;
                }
                if entry.marks() & bit != 0 {
                    entry.set_marks(entry.marks() & !bit);
                    unmarked += 1;
                } else if !cancelled {
                    out.push(number, slot, entry);
                    put_out += 1;
                }
            });
            self.marked -= unmarked;
            self.visited += put_out;
            budget.bytes = budget.bytes.saturating_sub(out.payload_bytes() - bytes_before);
            self.at = match next {
                Some(bound) => {
                    table.prefetch(bound);
                    Position { bound, ..self.at }
                }
                None => Position { slot: slot.index() + 1, bound: 0, ..self.at },
            };
        }
    }

    /// The slot in which to go on, empty and unwanted ones skipped.
    fn settle(&mut self, db: &Db, budget: &mut Left) -> Option<Slot> {
        loop {
            let slot = db.next_stored(self.at.slot)?;
            if slot.index() != self.at.slot {
                self.at.slot = slot.index();
                self.at.bound = 0;
                budget.entries = budget.entries.saturating_sub(1);
            }
            if self.slots.has(slot) {
                return Some(slot);
            }
            self.at.slot += 1;
            self.at.bound = 0;
        }
    }
}

/// What is left of a budget.
struct Left {
    entries: usize,
    bytes: usize,
}

impl Left {
    fn any(&self) -> bool {
        self.entries > 0 && self.bytes > 0
    }
}

impl Walks {
    /// Numbers new walks behind those of `former`.
    pub(super) fn number_after(&mut self, former: &Walks) {
        self.last_id = self.last_id.max(former.last_id);
    }

    /// How many more can run.
    pub(super) fn free(&self) -> usize {
        WALKS_MAX - self.running.len()
    }

    /// Whether no walk is running.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Starts a walk over `dbs`; `None` if there are [`WALKS_MAX`] already (cancelled ones count until their marks
    /// are gone).
    pub(super) fn start<'a>(
        &mut self,
        dbs: impl Iterator<Item = (u32, &'a Db)>,
        ranges: &[std::ops::RangeInclusive<u16>],
        cut: u64,
    ) -> Option<WalkId> {
        let taken = self.running.iter().fold(0u8, |bits, walk| bits | walk.bit);
        if taken == u8::MAX {
            return None;
        }
        let numbers = ranges.iter().cloned().flatten();
        let wanted = numbers.map(|number| Slot::at(usize::from(number)));
        let slots: Box<SlotSet> = Box::new(wanted.collect());
        let mut total = 0;
        let sources = dbs
            .map(|(number, db)| {
                let wanted = db.stored_slots().filter(|slot| slots.has(*slot));
                total += wanted.map(|slot| db.slot(slot).table.len() as u64).sum::<u64>();
                Source { number, uid: db.uid }
            })
            .collect();
        self.last_id += 1;
        let id = WalkId(self.last_id);
        self.running.push(Walk {
            id,
            bit: 1 << taken.trailing_ones(),
            cut,
            slots,
            sources,
            at: Position { source: 0, slot: 0, bound: 0 },
            queue: WalkBatch::default(),
            marked: 0,
            visited: 0,
            total,
            cancelled: false,
        });
        Some(id)
    }

    /// One step of walk `id`: first what writers have handed over, then what comes next.
    pub(super) fn step(
        &mut self,
        dbs: &mut [Option<Box<Db>>],
        hash_key: &HashKey,
        id: WalkId,
        budget: WalkBudget,
        out: &mut WalkBatch,
    ) -> Option<WalkProgress> {
        let index = self.running.iter().position(|walk| walk.id == id)?;
        let mut walk = self.running.swap_remove(index);
        out.append(&mut walk.queue);
        let mut left = Left {
            entries: budget.entries,
            bytes: budget.bytes.saturating_sub(out.payload_bytes()),
        };
        while left.any() && !walk.is_through() {
            let uid = walk.sources[walk.at.source].uid;
            let live = dbs.iter_mut().flatten().chain(&mut self.detached);
            match live.into_iter().find(|db| db.uid == uid) {
                Some(db) => walk.visit(db, hash_key, &mut left, out),
                None => walk.next_source(),
            }
        }
        let done = walk.is_through();
        let progress = WalkProgress { done, visited: walk.visited, total: walk.total };
        if done {
            assert_eq!(walk.marked, 0, "a walk that is through has taken off its marks");
        } else {
            self.running.push(walk);
        }
        Some(progress)
    }

    /// Ends walk `id` early. Its marks are taken off by and by ([`Walks::sweep`]).
    pub(super) fn cancel(&mut self, id: WalkId) {
        if let Some(walk) = self.running.iter_mut().find(|walk| walk.id == id) {
            walk.cancelled = true;
            walk.queue = WalkBatch::default();
        }
        self.running.retain(|walk| !(walk.cancelled && walk.is_through()));
    }

    /// Takes marks of cancelled walks off, looking at up to `entries` entries. Says whether any are left.
    pub(super) fn sweep(
        &mut self,
        dbs: &mut [Option<Box<Db>>],
        hash_key: &HashKey,
        entries: usize,
    ) -> bool {
        let Some(id) = self.running.iter().find(|walk| walk.cancelled).map(|walk| walk.id) else {
            return false;
        };
        let budget = WalkBudget { entries, bytes: usize::MAX };
        let progress = self.step(dbs, hash_key, id, budget, &mut WalkBatch::default());
        progress.is_some_and(|progress| !progress.done)
            || self.running.iter().any(|walk| walk.cancelled)
    }

    /// Databases set aside that no walk needs any more.
    pub(super) fn take_finished(&mut self) -> Option<Box<Db>> {
        let running = &self.running;
        let done = |uid: u64| !running.iter().any(|walk| walk.needs(uid));
        let index = self.detached.iter().position(|db| done(db.uid))?;
        Some(self.detached.swap_remove(index))
    }

    /// Takes over a database that has been flushed, until [`Walks::take_finished`] gives it back.
    pub(super) fn detach(&mut self, db: Box<Db>) {
        self.detached.push(db);
    }

    /// To be called before the value of `entry` changes: hands the old one over to walks that are not there yet.
    #[cold]
    pub(super) fn before_write(&mut self, uid: u64, slot: Slot, hash: u64, entry: &mut Entry) {
        for walk in &mut self.running {
            if entry.marks() & walk.bit == 0 && !walk.cancelled && walk.is_ahead(uid, slot, hash) {
                walk.hand_over(uid, slot, entry);
                walk.marked += 1;
                entry.set_marks(entry.marks() | walk.bit);
            }
        }
    }

    /// To be called with an entry that has been or is about to be removed.
    #[cold]
    pub(super) fn on_remove(&mut self, uid: u64, slot: Slot, hash: u64, entry: &Entry) {
        for walk in &mut self.running {
            if entry.marks() & walk.bit != 0 {
                walk.marked -= 1;
            } else if walk.is_ahead(uid, slot, hash) {
                walk.hand_over(uid, slot, entry);
            }
        }
    }

    /// To be called with an entry about to be added under a key that was not there.
    #[cold]
    pub(super) fn on_create(&mut self, uid: u64, slot: Slot, hash: u64, entry: &mut Entry) {
        let mut marks = 0;
        for walk in &mut self.running {
            if !walk.cancelled && walk.is_ahead(uid, slot, hash) {
                walk.marked += 1;
                marks |= walk.bit;
            }
        }
        entry.set_marks(marks);
    }

    /// Bytes handed over to walk `id` that no step has put out yet.
    pub(super) fn queued_bytes(&self, id: WalkId) -> usize {
        self.running.iter().find(|walk| walk.id == id).map_or(0, |walk| walk.queue.payload_bytes())
    }

    /// The cut of walk `id`, while it runs.
    pub(super) fn cut(&self, id: WalkId) -> Option<u64> {
        self.running.iter().find(|walk| walk.id == id).map(|walk| walk.cut)
    }
}
