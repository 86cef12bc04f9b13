//! Keys that sessions wait for, first come first served, and those of them that have changed.

use std::collections::{HashMap, VecDeque};

/// Keys that are waited for. Empty almost always, which is all that a write checks.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Per database and key, who waits, in the order in which they came.
    queues: HashMap<u32, HashMap<Box<[u8]>, Queue>>,
    /// Keys that have changed since somebody looked, each once, in the order of their first change.
    ready: VecDeque<(u32, Box<[u8]>)>,
}

#[derive(Debug, Default)]
struct Queue {
    sessions: Vec<u64>,
    is_ready: bool,
}

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

    /// Puts `session` behind all who wait for `key`; nothing happens if it waits for it already.
    pub(super) fn wait(&mut self, db: u32, key: &[u8], session: u64) {
        let queue = self.queues.entry(db).or_default().entry(key.into()).or_default();
        if !queue.sessions.contains(&session) {
            queue.sessions.push(session);
        }
    }

    /// `session` does not wait for `key` any more.
    pub(super) fn leave(&mut self, db: u32, key: &[u8], session: u64) {
        let Some(keys) = self.queues.get_mut(&db) else { return };
        let Some(queue) = keys.get_mut(key) else { return };
        queue.sessions.retain(|other| *other != session);
        if queue.sessions.is_empty() {
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

    /// As [`Waits::signal`], for all keys of a database.
    pub(super) fn signal_all(&mut self, db: u32) {
        let Some(keys) = self.queues.get_mut(&db) else { return };
        for (key, queue) in keys.iter_mut().filter(|(_, queue)| !queue.is_ready) {
            queue.is_ready = true;
            self.ready.push_back((db, key.clone()));
        }
    }

    /// The key that changed first of those not taken yet, and who waits for it, in order.
    pub(super) fn take_ready(&mut self) -> Option<(u32, Box<[u8]>, Vec<u64>)> {
        while let Some((db, key)) = self.ready.pop_front() {
            let queue = self.queues.get_mut(&db).and_then(|keys| keys.get_mut(&key));
            if let Some(queue) = queue {
                queue.is_ready = false;
                return Some((db, key, queue.sessions.clone()));
            }
        }
        None
    }

    /// How many keys are waited for.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_named_first_and_a_key_is_ready_once() {
        let mut waits = Waits::default();
        for (key, session) in [("a", 3), ("b", 3), ("a", 1), ("a", 3)] {
            waits.wait(0, key.as_bytes(), session);
        }
        for key in ["b", "a", "b", "other"] {
            waits.signal(0, key.as_bytes());
            waits.signal(1, key.as_bytes());
        }
        assert_eq!(waits.len(), 2);
        assert_eq!(waits.take_ready(), Some((0, b"b"[..].into(), vec![3])));
        assert_eq!(waits.take_ready(), Some((0, b"a"[..].into(), vec![3, 1])));
        assert!(waits.take_ready().is_none() && !waits.has_ready());
        waits.signal_all(0);
        waits.leave(0, b"b", 3);
        assert_eq!(waits.take_ready().map(|(_, key, _)| key), Some(b"a"[..].into()));
        assert!(waits.take_ready().is_none());
        waits.leave(0, b"a", 1);
        waits.leave(0, b"a", 3);
        assert!(waits.is_empty());
    }
}
