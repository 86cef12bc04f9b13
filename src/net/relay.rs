//! The stream as replicas get it: what the committer has appended, kept in memory for as long as somebody may need it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::special::OutputLimit;
use crate::replication::Backlog;
use crate::state::ClientId;
use crate::state::replication::BacklogFacts;

/// What is kept, and for whom.
#[derive(Debug)]
struct Inner {
    backlog: Backlog,
    /// The offset that each attached replica has got.
    held: HashMap<ClientId, Held>,
    /// Bytes that may be kept for a replica that is slow; beyond that it has to do without.
    kept_max: u64,
}

/// How far an attached replica has got.
#[derive(Debug, Clone, Copy)]
struct Held {
    offset: u64,
    /// It has been too far behind since then, monotonic milliseconds.
    slow_since_ms: Option<u64>,
}

/// The relay. One for the node, fed by whoever commits.
#[derive(Debug)]
pub(super) struct Relay {
    inner: Mutex<Option<Inner>>,
    active: AtomicBool,
    end: watch::Sender<u64>,
    /// Grows when the node's history becomes another: equal offsets then name other bytes.
    history: AtomicU64,
}

impl Relay {
    /// A relay that keeps nothing before there is a replica.
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(None),
            active: AtomicBool::new(false),
            end: watch::Sender::new(0),
            history: AtomicU64::new(0),
        }
    }

    /// Whether anything is kept.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// Begins to keep what comes behind `end`, at least `bytes_min` of it.
    pub(super) fn start(&self, end: u64, (bytes_min, kept_max): (u64, u64)) {
        let backlog = Backlog::new(end, bytes_min);
        *self.inner.lock() = Some(Inner { backlog, held: HashMap::new(), kept_max });
        self.active.store(true, Ordering::SeqCst);
        self.end.send_replace(end);
    }

    /// Which history the node has. Whoever sends it on looks at this again before each piece.
    pub(super) fn history(&self) -> u64 {
        self.history.load(Ordering::SeqCst)
    }

    /// The node is about to get another history: whoever sends the one so far on must stop.
    pub(super) fn end_history(&self) {
        self.history.fetch_add(1, Ordering::SeqCst);
        self.end.send_modify(|_| {});
    }

    /// Keeps nothing any more.
    pub(super) fn stop(&self) {
        self.active.store(false, Ordering::SeqCst);
        *self.inner.lock() = None;
    }

    /// Changes the limits of [`Relay::start`].
    pub(super) fn set_limits(&self, (bytes_min, kept_max): (u64, u64)) {
        if let Some(inner) = &mut *self.inner.lock() {
            inner.backlog.resize(bytes_min);
            inner.kept_max = kept_max;
        }
    }

    /// Takes bytes of the stream that end at `end`; `comments` (start and length in `bytes`) are none of it.
    pub(super) fn feed(&self, bytes: &[u8], comments: &[(usize, usize)], end: u64) {
        if !self.is_active() {
            return;
        }
        let mut locked = self.inner.lock();
        let Some(inner) = &mut *locked else { return };
        let needed_from = inner.needed_from(end);
        let own: usize = comments.iter().map(|(_, length)| length).sum();
        let start = end - (bytes.len() - own) as u64;
        if start > inner.backlog.end() {
            // Something is missing that nobody can bring: who stands before it has to ask again.
            inner.backlog = Backlog::new(end, inner.backlog.bytes_min());
            drop(locked);
            return self.end_history();
        }
        // A relay that began in the middle of what waited to be appended has a part of it already.
        let mut known = inner.backlog.end() - start;
        let mut at = 0;
        for &(start, length) in comments.iter().chain(&[(bytes.len(), 0)]) {
            let part = &bytes[at..start];
            let skipped = known.min(part.len() as u64);
            known -= skipped;
            let skipped = usize::try_from(skipped).expect("no longer than the part");
            inner.backlog.append(&part[skipped..], needed_from);
            at = start + length;
        }
        debug_assert_eq!(inner.backlog.end(), end, "all of the stream passes here");
        drop(locked);
        self.end.send_replace(end);
    }

    /// Tells when more has come: the offset behind the last byte.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Offset before the first byte kept.
    pub(super) fn first(&self) -> Option<u64> {
        self.inner.lock().as_ref().map(|inner| inner.backlog.first())
    }

    /// Copies what follows `from`. `None`: it is gone.
    pub(super) fn read(&self, from: u64, buffer: &mut [u8]) -> Option<usize> {
        self.inner.lock().as_ref()?.backlog.read(from, buffer)
    }

    /// A replica has got everything up to `offset`.
    pub(super) fn hold(&self, client: ClientId, offset: u64) {
        if let Some(inner) = &mut *self.inner.lock() {
            let new = Held { offset, slow_since_ms: None };
            inner.held.entry(client).or_insert(new).offset = offset;
        }
    }

    /// Replicas that have been more than `limit.soft` bytes behind for longer than its seconds.
    pub(super) fn too_slow(&self, limit: OutputLimit, now_ms: u64) -> Vec<ClientId> {
        let mut locked = self.inner.lock();
        let Some(inner) = locked.as_mut().filter(|_| limit.soft > 0) else { return Vec::new() };
        let end = inner.backlog.end();
        let mut slow = Vec::new();
        for (client, held) in &mut inner.held {
            if end - held.offset.min(end) < limit.soft {
                held.slow_since_ms = None;
                continue;
            }
            let since_ms = *held.slow_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) > limit.soft_seconds.saturating_mul(1000) {
                slow.push(*client);
            }
        }
        slow
    }

    /// A replica is gone.
    pub(super) fn let_go(&self, client: ClientId) {
        if let Some(inner) = &mut *self.inner.lock() {
            inner.held.remove(&client);
        }
    }

    /// For INFO.
    pub(super) fn facts(&self) -> BacklogFacts {
        self.inner.lock().as_ref().map_or_else(BacklogFacts::default, |inner| BacklogFacts {
            active: true,
            first: inner.backlog.first(),
            end: inner.backlog.end(),
        })
    }
}

impl Inner {
    /// The oldest offset that somebody needs who is not too far behind `end`.
    fn needed_from(&self, end: u64) -> u64 {
        let offsets = self.held.values().map(|held| held.offset);
        let kept = |offset: &u64| end - (*offset).min(end) <= self.kept_max;
        offsets.filter(kept).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(relay: &Relay, from: u64) -> Vec<u8> {
        let mut buffer = [0; 1000];
        let count = relay.read(from, &mut buffer).expect("it is kept");
        buffer[..count].to_vec()
    }

    #[test]
    fn comments_are_left_out_and_nothing_comes_twice() {
        let relay = Relay::new();
        relay.feed(b"lost", &[], 4);
        assert_eq!(relay.first(), None);
        // It begins at 6, in the middle of what is fed next.
        relay.start(6, (100, 100));
        relay.feed(b"#1\r\nabcd#2\r\nef", &[(0, 4), (8, 4)], 10);
        assert_eq!(all(&relay, 6), b"cdef");
        relay.feed(b"gh", &[], 12);
        assert_eq!(all(&relay, 8), b"efgh");
        assert_eq!(*relay.watch().borrow(), 12);
    }

    #[test]
    fn a_replica_that_stays_behind_is_told_by_the_soft_limit() {
        let relay = Relay::new();
        relay.start(0, (1, 1000));
        relay.hold(ClientId(1), 0);
        let limit = OutputLimit { hard: 0, soft: 10, soft_seconds: 2 };
        relay.feed(b"123456789", &[], 9);
        assert_eq!(relay.too_slow(limit, 0), []);
        relay.feed(b"0", &[], 10);
        assert_eq!((relay.too_slow(limit, 1000), relay.too_slow(limit, 3000)), (vec![], vec![]));
        assert_eq!(relay.too_slow(limit, 3001), [ClientId(1)]);
        relay.hold(ClientId(1), 5);
        assert_eq!((relay.too_slow(limit, 3002), relay.too_slow(limit, 9000)), (vec![], vec![]));
    }

    #[test]
    fn a_gap_ends_the_history() {
        let relay = Relay::new();
        relay.start(6, (100, 100));
        let history = relay.history();
        relay.feed(b"behind a gap", &[], 100);
        assert_ne!(relay.history(), history);
        assert_eq!((relay.first(), relay.read(6, &mut [0])), (Some(100), None));
        relay.feed(b"ab", &[], 102);
        assert_eq!(all(&relay, 100), b"ab");
    }

    #[test]
    fn a_slow_replica_is_kept_for_up_to_a_limit() {
        let relay = Relay::new();
        relay.start(0, (1, 100_000));
        relay.hold(ClientId(1), 0);
        for turn in 1..=6 {
            relay.feed(&[0; 16 * 1024], &[], turn * 16 * 1024);
        }
        assert_eq!(relay.first(), Some(0));
        relay.feed(&[0; 16 * 1024], &[], 7 * 16 * 1024);
        assert!(relay.first() > Some(0), "it is too far behind");
        relay.let_go(ClientId(1));
    }
}
