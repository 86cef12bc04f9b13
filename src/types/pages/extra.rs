//! What few pages have: long keys and values, and records that expire.

use std::sync::Arc;

use super::page::lane_number;
use crate::alloc::{ARC_BYTES, arc_bytes, size_class};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// Keys and values that lie apart, in the order of their records.
    pub(super) apart: Vec<Arc<[u8]>>,
    /// Records that expire, in no order.
    expiries: Vec<Expiry>,
}

/// When a record expires.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    lane: u16,
    /// 48 bits of milliseconds, the lowest first, reach over eight thousand years.
    when: [u8; 6],
}

impl Expiry {
    fn new(lane: usize, when_ms: u64) -> Self {
        let bytes = when_ms.min((1 << 48) - 1).to_le_bytes();
        let [a, b, c, d, e, f, _, _] = bytes;
        Expiry { lane: lane_number(lane), when: [a, b, c, d, e, f] }
    }

    fn when_ms(self) -> u64 {
        let [a, b, c, d, e, f] = self.when;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl Extra {
    /// Whether there is nothing, so that the page can do without.
    pub(super) fn is_empty(&self) -> bool {
        self.apart.is_empty() && self.expiries.is_empty()
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub(super) fn memory_usage(&self) -> usize {
        let lists = [
            self.apart.capacity() * size_of::<Arc<[u8]>>(),
            self.expiries.capacity() * size_of::<Expiry>(),
        ];
        let lists = lists.into_iter().filter(|&bytes| bytes > 0).map(size_class);
        let apart = self.apart.iter().map(|bytes| size_class(ARC_BYTES + bytes.len()));
        arc_bytes::<Self>() + lists.chain(apart).sum::<usize>()
    }

    /// When a record expires.
    #[inline]
    pub(super) fn expiry(&self, lane: usize) -> Option<u64> {
        self.place(lane).map(|at| self.expiries[at].when_ms())
    }

    /// Sets or takes away when a record expires; says when it did.
    pub(super) fn set_expiry(&mut self, lane: usize, expires_ms: Option<u64>) -> Option<u64> {
        let known = self.place(lane);
        let old = known.map(|at| self.expiries[at].when_ms());
        match (known, expires_ms) {
            (Some(at), Some(when)) => self.expiries[at] = Expiry::new(lane, when),
            (Some(at), None) => {
                self.expiries.swap_remove(at);
            }
            (None, Some(when)) => self.expiries.push(Expiry::new(lane, when)),
            (None, None) => {}
        }
        old
    }

    /// A record that does not expire has gone; those behind it have moved up.
    pub(super) fn lane_is_gone(&mut self, lane: usize) {
        let later = |expiry: &&mut Expiry| usize::from(expiry.lane) > lane;
        self.expiries.iter_mut().filter(later).for_each(|expiry| expiry.lane -= 1);
    }

    /// When the first of the records that expire does.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.expiries.iter().map(|expiry| expiry.when_ms()).min()
    }

    /// A record whose time is before `now_ms`.
    pub(super) fn due(&self, now_ms: u64) -> Option<usize> {
        let due = self.expiries.iter().find(|expiry| expiry.when_ms() < now_ms)?;
        Some(usize::from(due.lane))
    }

    #[inline]
    fn place(&self, lane: usize) -> Option<usize> {
        self.expiries.iter().position(|expiry| usize::from(expiry.lane) == lane)
    }

    /// Asserts what always holds in a page of `len` records.
    #[cfg(test)]
    pub(super) fn check_invariants(&self, len: usize) {
        assert!(!self.is_empty());
        let mut lanes: Vec<_> = self.expiries.iter().map(|expiry| expiry.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        assert_eq!(lanes.len(), self.expiries.len());
        assert!(lanes.last().is_none_or(|&lane| usize::from(lane) < len));
    }
}
