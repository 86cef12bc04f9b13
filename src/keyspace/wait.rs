//! Keys that sessions wait for, first come first served, and those of them that have changed.

use std::collections::{HashMap, VecDeque};

/// What one waits for at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A list.
    List,
    /// A sorted set.
    SortedSet,
    /// A stream.
    Stream,
    /// A stream's group: also that it goes, with its key or alone.
    Group,
}

/// One who waits for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// Smaller than those of all who began to wait later; the same for all keys that it waits for at a time.
    pub ticket: u64,
    /// Who it is.
    pub session: u64,
    /// Which of its keys this is.
    pub index: u32,
    /// What it waits for.
    pub awaited: Awaited,
}

/// Keys that are waited for. Empty almost always, which is all that a write checks.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Per database and key, who waits.
    queues: HashMap<u32, HashMap<Box<[u8]>, Queue>>,
    /// Keys that have changed since somebody looked, each once, in the order of their first change.
    ready: VecDeque<(u32, Box<[u8]>)>,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order in which they came, which is that of their tickets.
    waiters: VecDeque<Waiter>,
    /// How many of them wait for a group.
    groups: u32,
    is_ready: bool,
}

impl Queue {
    fn find(&self, ticket: u64) -> Result<usize, usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket)
    }
}

/// Where one has taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// By which index it is known there: the first of those of this key.
    pub index: u32,
    /// Bytes of memory that this takes: the place, and where nobody waited for the key before, its queue.
    pub bytes: usize,
}

/// What a queue takes beside its key and its places, with a map's room to spare.
const QUEUE_BYTES: usize = size_of::<(Box<[u8]>, Queue)>() * 3 / 2;

impl Waits {
    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Whether a key that is waited for has changed.
    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Puts `waiter` behind all who wait for `key`; nothing happens if it waits for it already.
    pub(super) fn wait(&mut self, db: u32, key: &[u8], waiter: Waiter) -> Joined {
        let keys = self.queues.entry(db).or_default();
        let queue = match keys.get_mut(key) {
            Some(queue) => queue,
            None => keys.entry(key.into()).or_insert_with(|| Queue {
                waiters: VecDeque::with_capacity(1),
                ..Queue::default()
            }),
        };
        if let Some(last) = queue.waiters.back() {
            debug_assert!(last.ticket <= waiter.ticket, "tickets grow");
            if last.ticket == waiter.ticket {
                return Joined { index: last.index, bytes: 0 };
            }
        }
        let is_first = queue.waiters.is_empty();
        queue.groups += u32::from(waiter.awaited == Awaited::Group);
        queue.waiters.push_back(waiter);
        let for_queue = if is_first { QUEUE_BYTES + key.len() } else { 0 };
        Joined { index: waiter.index, bytes: size_of::<Waiter>() + for_queue }
    }

    /// Who has `ticket` does not wait for `key` any more.
    pub(super) fn leave(&mut self, db: u32, key: &[u8], ticket: u64) {
        let Some(keys) = self.queues.get_mut(&db) else { return };
        let Some(queue) = keys.get_mut(key) else { return };
        let Ok(at) = queue.find(ticket) else { return };
        let left = queue.waiters.remove(at);
        queue.groups -= u32::from(left.is_some_and(|left| left.awaited == Awaited::Group));
        if queue.waiters.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.queues.remove(&db);
        }
    }

    /// Notes that `key` has changed, has come, or has gone.
    pub(super) fn signal(&mut self, db: u32, key: &[u8]) {
        let queue = self.queues.get_mut(&db).and_then(|keys| keys.get_mut(key));
        let Some(queue) = queue.filter(|queue| !queue.is_ready) else { return };
        queue.is_ready = true;
        self.ready.push_back((db, key.into()));
    }

    /// As [`Waits::signal`], for all keys of a database, in the order of who came first to each.
    pub(super) fn signal_all(&mut self, db: u32) {
        let Some(keys) = self.queues.get_mut(&db) else { return };
        let mut changed = Vec::new();
        for (key, queue) in keys.iter_mut().filter(|(_, queue)| !queue.is_ready) {
            queue.is_ready = true;
            let first = queue.waiters.front().map(|first| (first.ticket, first.index));
            changed.push((first, key.clone()));
        }
        changed.sort_unstable();
        self.ready.extend(changed.into_iter().map(|(_, key)| (db, key)));
    }

    /// The key that changed first of those not taken yet.
    pub(super) fn take_ready(&mut self) -> Option<(u32, Box<[u8]>)> {
        while let Some((db, key)) = self.ready.pop_front() {
            let queue = self.queues.get_mut(&db).and_then(|keys| keys.get_mut(&key));
            if let Some(queue) = queue {
                queue.is_ready = false;
                return Some((db, key));
            }
        }
        None
    }

    /// Those who wait for `key` behind `ticket`, in order. With `only_groups` nobody where no group is waited for.
    pub(super) fn behind(
        &self,
        db: u32,
        key: &[u8],
        ticket: u64,
        only_groups: bool,
    ) -> impl Iterator<Item = &Waiter> {
        let queue = self.queues.get(&db).and_then(|keys| keys.get(key));
        let queue = queue.filter(|queue| !only_groups || queue.groups > 0);
        queue.into_iter().flat_map(move |queue| {
            let from = queue.find(ticket).map_or_else(|next| next, |at| at + 1);
            queue.waiters.range(from..)
        })
    }

    /// How many keys are waited for.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(ticket: u64, awaited: Awaited) -> Waiter {
        Waiter { ticket, session: 100 - ticket, index: 0, awaited }
    }

    fn behind(waits: &Waits, key: &str, ticket: u64, only_groups: bool) -> Vec<u64> {
        let waiters = waits.behind(0, key.as_bytes(), ticket, only_groups);
        waiters.map(|waiter| waiter.ticket).collect()
    }

    #[test]
    fn who_came_first_is_named_first_and_a_key_is_ready_once() {
        let mut waits = Waits::default();
        for (key, ticket) in [("a", 1), ("b", 1), ("a", 2), ("a", 2), ("a", 3)] {
            waits.wait(0, key.as_bytes(), waiter(ticket, Awaited::List));
        }
        for key in ["b", "a", "b", "other"] {
            waits.signal(0, key.as_bytes());
            waits.signal(1, key.as_bytes());
        }
        assert_eq!(waits.len(), 2);
        assert_eq!(waits.take_ready(), Some((0, b"b"[..].into())));
        assert_eq!(waits.take_ready(), Some((0, b"a"[..].into())));
        assert!(waits.take_ready().is_none() && !waits.has_ready());
        assert_eq!(behind(&waits, "a", 0, false), [1, 2, 3]);
        waits.leave(0, b"a", 2);
        assert_eq!(behind(&waits, "a", 1, false), [3]);
        assert_eq!(behind(&waits, "a", 2, false), [3], "also behind one that has left");
        waits.signal_all(0);
        waits.leave(0, b"b", 1);
        assert_eq!(waits.take_ready(), Some((0, b"a"[..].into())));
        assert!(waits.take_ready().is_none());
        waits.leave(0, b"a", 1);
        waits.leave(0, b"a", 3);
        assert!(waits.is_empty());
    }

    #[test]
    fn where_only_losses_count_nobody_is_looked_at_in_vain() {
        let mut waits = Waits::default();
        for ticket in 1..=3 {
            waits.wait(0, b"s", waiter(ticket, Awaited::Stream));
        }
        assert!(behind(&waits, "s", 0, true).is_empty());
        waits.wait(0, b"s", waiter(4, Awaited::Group));
        assert_eq!(behind(&waits, "s", 0, true), [1, 2, 3, 4]);
        waits.leave(0, b"s", 4);
        assert!(behind(&waits, "s", 0, true).is_empty());
    }

    #[test]
    fn all_keys_of_a_database_are_ready_in_the_order_of_arrival() {
        let mut waits = Waits::default();
        for (key, ticket) in [("d", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)] {
            waits.wait(0, key.as_bytes(), waiter(ticket, Awaited::List));
        }
        waits.signal_all(0);
        let mut ready = Vec::new();
        while let Some((_, key)) = waits.take_ready() {
            ready.extend(key);
        }
        assert_eq!(ready, b"dbac");
    }
}
