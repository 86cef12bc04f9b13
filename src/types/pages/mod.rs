//! The table of large sets and hashes: packed pages, cheap to clone.
//!
//! A page ([`page`]) holds some twenty records in one block. Pages are found by a keyed hash and come and go one at a
//! time ([`directory`]), so nothing ever takes long, and memory follows the number of records. The directory lies in
//! chunks, and chunks, pages and long values are shared between clones until one of them is written to: a snapshot's
//! clone of ten million members is some 1600 reference counts.
//!
//! Records are at most three bytes and their share of free room (a tenth) larger than their keys and values.

mod directory;
mod extra;
mod page;
mod prefetch;
mod seed;

use directory::{Directory, NEVER};
pub use page::Record;
use page::{Item, Page};
pub use seed::fix_order;
pub(super) use seed::hash;

/// Records per page, on average, beyond which there will be another page.
const LOAD_MAX: usize = 24;
/// Records per page below which there will be one less.
const LOAD_MIN: usize = 12;
/// The same for the bytes of the blocks: pages of long records hold fewer.
const BYTES_MAX: usize = 2048;
const BYTES_MIN: usize = 1024;

/// A hash table of byte strings: with values (a hash) or without (a set).
#[derive(Clone, Debug, Default)]
pub(super) struct Pages<const VALUES: bool> {
    directory: Directory<VALUES>,
    len: usize,
    /// Records that expire.
    expiring: usize,
    /// Taken bytes of all blocks.
    used: usize,
    /// Memory of all pages.
    page_bytes: usize,
    /// No page holds more records than this.
    fullest: usize,
    /// The same for pages that have been split since all were even.
    fullest_since: usize,
}

/// The eight bits of a hash that a page keeps. The number of the page depends on other bits.
#[inline]
fn fingerprint(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

impl<const VALUES: bool> Pages<VALUES> {
    /// A table without records.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// How many records there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record of `key`.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<Record<'_>> {
        let (page, lane) = self.find(seed::hash(key), key)?;
        Some(self.directory.page(page).record(lane))
    }

    /// Whether there is a record of `key`.
    #[inline]
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.find(seed::hash(key), key).is_some()
    }

    /// Adds a record, or gives the one of `key` another value; when that expires stays. True: it is new.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        let hash = seed::hash(key);
        let found = self.find(hash, key);
        match found {
            Some((page, lane)) if VALUES => {
                if self.directory.page_mut(page).overwrite(lane, value) {
                    return false;
                }
                self.change(page, |page| page.set_value(lane, Item::new(value)));
            }
            Some(_) => return false,
            None => {
                if self.directory.len() == 0 {
                    self.directory.push(Page::default());
                }
                let page = self.directory.index(hash);
                let (key, value) = (Item::new(key), Item::new(value));
                self.change(page, |page| page.push(fingerprint(hash), key, value, None));
                self.len += 1;
            }
        }
        self.settle();
        found.is_none()
    }

    /// Removes the record of `key`. False: there is none.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((page, lane)) = self.find(seed::hash(key), key) else { return false };
        self.remove_at(page, lane);
        true
    }

    /// All records, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.directory.pages().flat_map(Page::records)
    }

    /// Visits records from a cursor on, about `count` of them, and answers the next cursor: 0 at the end, where 0 also
    /// begins. A record that is there all the time is visited, perhaps more than once, whatever comes and goes
    /// between the calls.
    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Record<'_>)) -> u64 {
        if self.directory.len() == 0 {
            return 0;
        }
        // Cursors are bit-reversed positions: small numbers for small tables.
        let (mut position, mut seen) = (cursor.reverse_bits(), 0);
        loop {
            let index = self.directory.index(position.reverse_bits());
            let page = self.directory.page(index);
            seen += page.len().max(1);
            page.records().for_each(&mut visit);
            match self.directory.end_of(index, position) {
                None => return 0,
                Some(end) if seen >= count => return end.reverse_bits(),
                Some(end) => position = end,
            }
        }
    }

    /// A record picked at random, each with the same chance.
    pub(super) fn random(&self, rng: &mut fastrand::Rng) -> Option<Record<'_>> {
        if self.len == 0 {
            return None;
        }
        // A page is drawn, then one of as many lots as the fullest page has records; a lot without a record means to
        // draw again. Two of five lots have one on average.
        for _ in 0..2000 {
            let page = self.directory.page(rng.usize(..self.directory.len()));
            let lot = rng.usize(..self.fullest);
            if lot < page.len() {
                return Some(page.record(lot));
            }
        }
        self.iter().next()
    }

    /// Bytes of memory held, as the allocator rounds them, in constant time.
    pub(super) fn memory_usage(&self) -> usize {
        self.page_bytes + self.directory.memory_usage()
    }

    /// Asserts what always holds.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let (mut len, mut expiring, mut used, mut page_bytes) = (0, 0, 0, 0);
        self.directory.check_invariants();
        for (index, page) in self.directory.pages().enumerate() {
            page.check_invariants(|key| fingerprint(seed::hash(key)));
            assert!(page.len() <= self.fullest, "{} of {}", page.len(), self.fullest);
            used += page.used();
            page_bytes += page.memory_usage();
            for record in page.records() {
                assert_eq!(self.directory.index(seed::hash(record.key)), index);
                len += 1;
                expiring += usize::from(record.expires_ms.is_some());
            }
        }
        assert_eq!((len, expiring), (self.len, self.expiring));
        assert_eq!((used, page_bytes), (self.used, self.page_bytes));
        assert!(self.len <= self.directory.len() * LOAD_MAX);
    }
}

/// Records that expire.
impl<const VALUES: bool> Pages<VALUES> {
    /// How many records expire.
    pub(super) fn expiring(&self) -> usize {
        self.expiring
    }

    /// Sets or takes away when a record expires. False: there is no such record.
    pub(super) fn set_expiry(&mut self, key: &[u8], expires_ms: Option<u64>) -> bool {
        let Some((page, lane)) = self.find(seed::hash(key), key) else { return false };
        if expires_ms.is_none() && self.expiring == 0 {
            return true;
        }
        let old = self.change(page, |page| page.set_expiry(lane, expires_ms));
        self.expiring += usize::from(expires_ms.is_some());
        self.expiring -= usize::from(old.is_some());
        if let Some(when) = expires_ms {
            self.directory.mark(page, when);
        }
        self.forget_due();
        true
    }

    /// A time before which nothing expires (a moment too early, perhaps); `None` where nothing does.
    pub(super) fn due_from(&self) -> Option<u64> {
        let when = self.directory.due_from();
        (when != NEVER).then_some(when)
    }

    /// Whether the time of a record is before `now_ms`. Times that were too early are corrected.
    pub(super) fn is_due(&mut self, now_ms: u64) -> bool {
        self.directory.due_page(now_ms).is_some()
    }

    /// Removes records whose time is before `now_ms`, up to `max` of them, and shows their keys. How many there were.
    pub(super) fn remove_due(
        &mut self,
        now_ms: u64,
        max: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> usize {
        let mut removed = 0;
        while removed < max
            && let Some(index) = self.directory.due_page(now_ms)
            && let Some(lane) = self.directory.page(index).due(now_ms)
        {
            visit(self.directory.page(index).key(lane));
            self.remove_at(index, lane);
            removed += 1;
        }
        removed
    }

    fn forget_due(&mut self) {
        if self.expiring == 0 {
            self.directory.clear_due();
        }
    }
}

impl<const VALUES: bool> Pages<VALUES> {
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, usize)> {
        if self.directory.len() == 0 {
            return None;
        }
        let page = self.directory.index(hash);
        let lane = self.directory.page(page).find(fingerprint(hash), key)?;
        Some((page, lane))
    }

    /// Changes a page and keeps the counts.
    fn change<R>(&mut self, index: usize, change: impl FnOnce(&mut Page<VALUES>) -> R) -> R {
        let page = self.directory.page_mut(index);
        let before = (page.used(), page.memory_usage());
        let result = change(page);
        self.used = self.used + page.used() - before.0;
        self.page_bytes = self.page_bytes + page.memory_usage() - before.1;
        let len = page.len();
        self.note_len(len);
        result
    }

    fn note_len(&mut self, len: usize) {
        self.fullest = self.fullest.max(len);
        self.fullest_since = self.fullest_since.max(len);
    }

    fn remove_at(&mut self, index: usize, lane: usize) {
        let expires = self.directory.page(index).record(lane).expires_ms.is_some();
        self.change(index, |page| page.remove(lane));
        self.len -= 1;
        self.expiring -= usize::from(expires);
        if self.len == 0 {
            *self = Self::default();
        } else {
            self.settle();
            self.forget_due();
        }
    }

    /// Adds or takes away a page where there are many records or few.
    fn settle(&mut self) {
        let pages = self.directory.len();
        if self.len > pages * LOAD_MAX || self.used > pages * BYTES_MAX {
            self.grow();
        } else if pages > 1 && self.len < pages * LOAD_MIN && self.used < pages * BYTES_MIN {
            self.shrink();
        }
    }

    /// Appends a page and moves into it what now belongs there.
    fn grow(&mut self) {
        let (parent, added) = (self.directory.next_split(), self.directory.len());
        self.directory.push(Page::default());
        let directory = &self.directory;
        let [stays, moves] =
            directory.page(parent).split(|key| directory.index(seed::hash(key)) == added);
        let earliest = moves.earliest();
        self.change(parent, |page| *page = stays);
        self.change(added, |page| *page = moves);
        if let Some(when) = earliest {
            self.directory.mark(added, when);
        }
        if self.directory.is_even() {
            // Each page has been looked at since this was so the last time.
            self.fullest = self.fullest_since;
            self.fullest_since = 0;
        }
    }

    /// Takes the last page away and puts its records where they were before it came.
    fn shrink(&mut self) {
        let Some(last) = self.directory.pop() else { return };
        let parent = self.directory.next_split();
        self.used -= last.used();
        self.page_bytes -= last.memory_usage();
        self.fullest_since = self.fullest;
        let earliest = last.earliest();
        self.change(parent, |page| *page = page.merged(&last));
        if let Some(when) = earliest {
            self.directory.mark(parent, when);
        }
    }
}

#[cfg(test)]
mod tests;
