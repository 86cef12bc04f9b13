//! Which page a hash belongs to, and how pages come and go: linear hashing, as in the keyspace's tables.
//!
//! With `n` pages, `2^k <= n < 2^(k+1)`, a key belongs to the page that the low `k+1` bits of its hash name, or, if that
//! page does not exist yet, to the one named by the low `k` bits. Read backwards, the low bits of the hashes in a page
//! are a *range*, so pages visited in the order of their bit-reversed numbers give keys in the order of their
//! bit-reversed hashes, however many pages there are or will be. Cursors rest on this.

use std::sync::Arc;

use super::page::Page;
use crate::alloc::{arc_bytes, size_class};

/// Pages in a chunk. Ten million elements are some 1600 chunks: a clone counts as many references, and the first write
/// to a chunk behind a clone as many as there are pages in it.
const CHUNK: usize = 256;

/// Nothing is due.
pub(super) const NEVER: u64 = u64::MAX;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory<const VALUES: bool> {
    chunks: Vec<Arc<Chunk<VALUES>>>,
    pages: usize,
    /// For each chunk a time before which nothing in it expires; no times at all as long as nothing expires.
    due: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Chunk<const VALUES: bool> {
    pages: Vec<Page<VALUES>>,
    /// The same for each page.
    due: Vec<u64>,
}

impl<const VALUES: bool> Directory<VALUES> {
    /// How many pages there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.pages
    }

    #[inline]
    pub(super) fn page(&self, index: usize) -> &Page<VALUES> {
        &self.chunks[index / CHUNK].pages[index % CHUNK]
    }

    #[inline]
    pub(super) fn page_mut(&mut self, index: usize) -> &mut Page<VALUES> {
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK]).pages[index % CHUNK]
    }

    /// All pages, the fastest way.
    pub(super) fn pages(&self) -> impl Iterator<Item = &Page<VALUES>> {
        self.chunks.iter().flat_map(|chunk| &chunk.pages)
    }

    /// Bytes of memory held beside those of the pages.
    pub(super) fn memory_usage(&self) -> usize {
        let of = |bytes| if bytes == 0 { 0 } else { size_class(bytes) };
        let chunk = |chunk: &Arc<Chunk<VALUES>>| {
            let pages = chunk.pages.capacity() * size_of::<Page<VALUES>>();
            arc_bytes::<Chunk<VALUES>>() + of(pages) + of(8 * chunk.due.capacity())
        };
        // All chunks but the last are alike.
        let chunks = match &self.chunks[..] {
            [] => 0,
            [first, ..] => {
                let last = self.chunks.last().map_or(0, chunk);
                chunk(first) * (self.chunks.len() - 1) + last
            }
        };
        of(8 * self.chunks.capacity()) + chunks + of(8 * self.due.capacity())
    }

    /// The largest power of two that is not above the number of pages (which is not 0).
    #[inline]
    fn base(pages: usize) -> usize {
        1 << pages.ilog2()
    }

    /// The page of a hash. There must be pages.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to fewer bits than there are")]
    pub(super) fn index(&self, hash: u64) -> usize {
        let base = Self::base(self.pages);
        let wide = (hash as usize) & (2 * base - 1);
        if wide < self.pages { wide } else { wide & (base - 1) }
    }

    /// The first position (a bit-reversed hash) behind page `index`, in which `from` lies; `None` behind the last.
    pub(super) fn end_of(&self, index: usize, from: u64) -> Option<u64> {
        let base = Self::base(self.pages);
        let is_split = index >= base || index + base < self.pages;
        match base.ilog2() + u32::from(is_split) {
            0 => None,
            bits => {
                let width = 1u64 << (64 - bits);
                (from & !(width - 1)).checked_add(width)
            }
        }
    }

    /// The page that the next one will be split off.
    pub(super) fn next_split(&self) -> usize {
        if self.pages == 0 { 0 } else { self.pages - Self::base(self.pages) }
    }

    /// Whether all pages have been split as often as each other.
    pub(super) fn is_even(&self) -> bool {
        self.pages.is_power_of_two()
    }

    /// Appends a page.
    pub(super) fn push(&mut self, page: Page<VALUES>) {
        if self.pages.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
            if !self.due.is_empty() {
                self.due.push(NEVER);
            }
        }
        let earliest = page.earliest();
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("just made sure"));
        let len = chunk.pages.len();
        if len == chunk.pages.capacity() {
            // By a quarter at a time: small tables waste little, and full chunks nothing.
            chunk.pages.reserve_exact((len / 4 + 1).min(CHUNK - len));
        }
        chunk.pages.push(page);
        if !chunk.due.is_empty() {
            chunk.due.push(NEVER);
        }
        self.pages += 1;
        if let Some(when) = earliest {
            self.mark(self.pages - 1, when);
        }
    }

    /// Takes the last page away.
    pub(super) fn pop(&mut self) -> Option<Page<VALUES>> {
        let chunk = Arc::make_mut(self.chunks.last_mut()?);
        let page = chunk.pages.pop()?;
        chunk.due.truncate(chunk.pages.len());
        self.pages -= 1;
        if chunk.pages.is_empty() {
            self.chunks.pop();
            self.due.truncate(self.chunks.len());
        } else if chunk.pages.len() * 2 < chunk.pages.capacity() {
            chunk.pages.shrink_to(chunk.pages.len() + chunk.pages.len() / 4);
        }
        Some(page)
    }
}

/// What expires when: times before which nothing in a page or chunk is due, exact or too early.
impl<const VALUES: bool> Directory<VALUES> {
    /// Notes that a record of page `index` expires at `when_ms`.
    pub(super) fn mark(&mut self, index: usize, when_ms: u64) {
        let (at, page) = (index / CHUNK, index % CHUNK);
        self.due.resize(self.chunks.len(), NEVER);
        self.due[at] = self.due[at].min(when_ms);
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.due.resize(chunk.pages.len(), NEVER);
        chunk.due[page] = chunk.due[page].min(when_ms);
    }

    /// A time before which nothing expires.
    pub(super) fn due_from(&self) -> u64 {
        self.due.iter().copied().min().unwrap_or(NEVER)
    }

    /// A page with a record whose time is before `now_ms`. Times that were too early are corrected on the way.
    pub(super) fn due_page(&mut self, now_ms: u64) -> Option<usize> {
        loop {
            let at = self.due.iter().position(|&when| when < now_ms)?;
            let chunk = &mut self.chunks[at];
            match chunk.due.iter().position(|&when| when < now_ms) {
                None => self.due[at] = chunk.due.iter().copied().min().unwrap_or(NEVER),
                Some(page) => {
                    let earliest = chunk.pages[page].earliest().unwrap_or(NEVER);
                    if earliest < now_ms {
                        return Some(at * CHUNK + page);
                    }
                    Arc::make_mut(chunk).due[page] = earliest;
                }
            }
        }
    }

    /// Forgets all times: nothing expires any more.
    pub(super) fn clear_due(&mut self) {
        if !self.due.is_empty() {
            self.due = Vec::new();
            for chunk in &mut self.chunks {
                if !chunk.due.is_empty() {
                    Arc::make_mut(chunk).due = Vec::new();
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        assert!(self.due.is_empty() || self.due.len() == self.chunks.len());
        let mut pages = 0;
        for (at, chunk) in self.chunks.iter().enumerate() {
            assert!(chunk.pages.len() == CHUNK || at + 1 == self.chunks.len());
            assert!(chunk.due.is_empty() || chunk.due.len() == chunk.pages.len());
            pages += chunk.pages.len();
            for (index, page) in chunk.pages.iter().enumerate() {
                if let Some(when) = page.earliest() {
                    assert!(chunk.due[index] <= when && self.due[at] <= when);
                }
            }
            let earliest = chunk.due.iter().copied().min().unwrap_or(NEVER);
            assert!(self.due.get(at).copied().unwrap_or(NEVER) <= earliest);
        }
        assert_eq!(pages, self.pages);
    }
}
