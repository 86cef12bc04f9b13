//! Consumer groups: what was delivered to whom and not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use highwater_persistence::snapshot::StreamId;

use super::tree::Tree;
use super::{Entries, MAX_ID};
use crate::alloc::{ARC_BYTES, size_class};

/// How far deliveries, and entries that were read, are counted: commands know numbers of 63 bits, and so do logs.
pub const COUNT_MAX: u64 = i64::MAX.cast_unsigned();

/// A consumer within its group; good until the consumer is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerNumber(u32);

/// An entry delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Unix time in milliseconds of the last delivery.
    pub delivered_ms: i64,
    /// How often it was delivered; at most [`COUNT_MAX`].
    pub deliveries: u64,
    /// Whom it was delivered to.
    pub consumer: ConsumerNumber,
}

impl Pending {
    /// Counts a delivery more.
    pub fn raise(&mut self) {
        self.deliveries = self.deliveries.saturating_add(1).min(COUNT_MAX);
    }
}

/// A consumer of a group.
#[derive(Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last tried to do something, Unix time in milliseconds. It says nothing of the data, neither log nor replicas
    /// hear of it, and it is noted without the stream counting as changed: a consumer may ask in vain at any rate.
    seen_ms: AtomicI64,
    /// When it last got or claimed something, Unix time in milliseconds, if it ever did.
    pub active_ms: Option<i64>,
    pending: Tree<StreamId, ()>,
}

impl Clone for Consumer {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            seen_ms: AtomicI64::new(self.seen_ms()),
            active_ms: self.active_ms,
            pending: self.pending.clone(),
        }
    }
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Arc<[u8]> {
        &self.name
    }

    /// When it last tried to do something, Unix time in milliseconds.
    pub fn seen_ms(&self) -> i64 {
        self.seen_ms.load(Ordering::Relaxed)
    }

    /// Notes that it tries to do something.
    pub fn note_seen(&self, now_ms: i64) {
        self.seen_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How many entries it has not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Ids of entries it has not acknowledged, from `start` to `end`, both included.
    pub fn pending(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.iter_from(&start).map(|(id, ())| *id).take_while(move |id| *id <= end)
    }

    /// All of them.
    pub fn all_pending(&self) -> impl Iterator<Item = StreamId> {
        self.pending(StreamId::ZERO, MAX_ID)
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last id delivered.
    pub last_id: StreamId,
    /// How many entries were read, where that is known; at most [`COUNT_MAX`].
    pub entries_read: Option<u64>,
    pending: Tree<StreamId, Pending>,
    consumers: Tree<ConsumerNumber, Consumer>,
    /// Consumers by name.
    numbers: Tree<Arc<[u8]>, ConsumerNumber>,
    next_number: u32,
    /// What the consumers hold: names and pending lists.
    consumer_bytes: usize,
}

/// Reading.
impl Group {
    /// A group that has read up to `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self { last_id, entries_read, ..Self::default() }
    }

    /// How many entries wait for being acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The pending entry with this id.
    pub fn pending_entry(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Pending entries from `start` to `end`, both included.
    pub fn pending(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl Iterator<Item = (StreamId, &Pending)> {
        let pending = self.pending.iter_from(&start).map(|(id, pending)| (*id, pending));
        pending.take_while(move |(id, _)| *id <= end)
    }

    /// All of them.
    pub fn all_pending(&self) -> impl Iterator<Item = (StreamId, &Pending)> {
        self.pending(StreamId::ZERO, MAX_ID)
    }

    /// Ids of the first and the last pending entry.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((*self.pending.first()?.0, *self.pending.last()?.0))
    }

    /// How many consumers there are.
    pub fn consumer_count(&self) -> usize {
        self.numbers.len()
    }

    /// Consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.numbers.iter().map(|(_, number)| self.consumer(*number))
    }

    /// The number of the consumer with this name.
    pub fn consumer_number(&self, name: &[u8]) -> Option<ConsumerNumber> {
        self.numbers.get(name).copied()
    }

    /// A consumer by its number.
    ///
    /// # Panics
    /// If it was removed.
    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        self.consumers.get(&number).expect("numbers are good as long as their consumers")
    }

    /// How many entries the group has yet to read, where that is known.
    pub fn lag(&self, entries: &Entries) -> Option<u64> {
        if entries.added == 0 {
            return Some(0);
        }
        let read = match self.entries_read {
            Some(read) if !entries.has_holes_from(self.last_id) => Some(read),
            _ => entries.meta().estimate_read(self.last_id),
        };
        read.map(|read| entries.added.wrapping_sub(read))
    }

    /// Bytes of memory held beside the group itself, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        self.pending.bytes() + self.consumers.bytes() + self.numbers.bytes() + self.consumer_bytes
    }
}

/// Changing.
impl Group {
    /// A consumer by its number, to be changed.
    ///
    /// # Panics
    /// If it was removed.
    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        self.consumers.get_mut(&number).expect("numbers are good as long as their consumers")
    }

    /// Adds a consumer. `None` if the name is taken.
    pub fn create_consumer(&mut self, name: &[u8], seen_ms: i64) -> Option<ConsumerNumber> {
        if self.numbers.contains(name) {
            return None;
        }
        while self.consumers.contains(&ConsumerNumber(self.next_number)) {
            self.next_number = self.next_number.wrapping_add(1);
        }
        let number = ConsumerNumber(self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
        let name: Arc<[u8]> = Arc::from(name);
        self.consumer_bytes += name_bytes(&name);
        let consumer = Consumer {
            name: Arc::clone(&name),
            seen_ms: AtomicI64::new(seen_ms),
            active_ms: None,
            pending: Tree::default(),
        };
        self.consumers.insert(number, consumer);
        self.numbers.insert(name, number);
        Some(number)
    }

    /// Removes a consumer and what it has not acknowledged; returns how many entries that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.numbers.remove(name)?;
        let consumer = self.consumers.remove(&number)?;
        self.consumer_bytes -= name_bytes(&consumer.name) + consumer.pending.bytes();
        for (id, ()) in consumer.pending.iter() {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// Notes that an entry was delivered, whoever it was delivered to before.
    pub fn deliver(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending).map(|before| before.consumer);
        if before == Some(pending.consumer) {
            return;
        }
        if let Some(before) = before {
            self.change_pending(before, |ids| ids.remove(&id));
        }
        self.change_pending(pending.consumer, |ids| ids.insert(id, ()));
    }

    /// Forgets a pending entry. Says whether there was one.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.change_pending(pending.consumer, |ids| ids.remove(&id));
        true
    }

    fn change_pending<T>(
        &mut self,
        number: ConsumerNumber,
        change: impl FnOnce(&mut Tree<StreamId, ()>) -> T,
    ) {
        let pending = &mut self.consumer_mut(number).pending;
        let before = pending.bytes();
        change(pending);
        let after = pending.bytes();
        self.consumer_bytes = self.consumer_bytes + after - before;
    }

    /// Notes that the entry `id` is read by the group, for the first time if it is above what was read before.
    pub fn note_read(&mut self, id: StreamId, entries: &Entries) {
        if id <= self.last_id {
            return;
        }
        match &mut self.entries_read {
            Some(read) if !entries.has_holes_from(id) => {
                *read = read.saturating_add(1).min(COUNT_MAX);
            }
            read if entries.added > 0 => {
                *read = entries.meta().estimate_read(id).map(|read| read.min(COUNT_MAX));
            }
            _ => {}
        }
        self.last_id = id;
    }
}

fn name_bytes(name: &Arc<[u8]>) -> usize {
    size_class(ARC_BYTES + name.len())
}

#[cfg(test)]
impl Group {
    /// Asserts what always holds.
    pub(super) fn check_invariants(&self) {
        self.pending.check_invariants();
        self.consumers.check_invariants();
        self.numbers.check_invariants();
        assert_eq!(self.consumers.len(), self.numbers.len());
        let (mut pending, mut bytes) = (0, 0);
        for (name, number) in self.numbers.iter() {
            let consumer = self.consumer(*number);
            assert_eq!(name, consumer.name());
            consumer.pending.check_invariants();
            for id in consumer.all_pending() {
                assert_eq!(self.pending_entry(id).map(|pending| pending.consumer), Some(*number));
            }
            pending += consumer.pending_len();
            bytes += name_bytes(name) + consumer.pending.bytes();
        }
        assert_eq!((pending, bytes), (self.pending_len(), self.consumer_bytes));
    }
}
