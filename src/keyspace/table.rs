//! The hash table of a slot: buckets of one cache line each, growing and shrinking by one bucket at a time.
//!
//! A bucket holds six entries and, for each, eight bits of its hash (a *tag*), so that a lookup reads one cache
//! line and then, almost always, only the entry it wants. What does not fit goes into a chain of further buckets.
//!
//! **Growing never stalls** because there is no rehash: this is *linear hashing*. With `n` buckets, `2^k <= n <
//! 2^(k+1)`, a key belongs to the bucket that the low `k+1` bits of its hash name, or, if that bucket does not exist
//! yet, to the one named by the low `k` bits. Growing appends bucket `n` and moves into it what now belongs
//! there out of one other bucket; shrinking undoes that. So memory follows the number of keys without jumps,
//! there are never two tables, and an insert costs at most one split.
//!
//! **Order.** A bucket holds all keys whose hashes agree in their low bits; read backwards (bit-reversed), that is a
//! *range* of hashes. Visiting buckets in the order of their bit-reversed numbers therefore visits keys in
//! ascending order of [`position`], whatever the size of the table is or becomes. SCAN and walks rest on this: "has
//! the visitor passed this key" is one comparison.
//!
//! ```text
//!   n = 6 (k = 2):  bucket   0     4     2     1     5     3
//!                   bits     000   100   10    001   101   11
//!                   range    0..   1/8.. 1/4.. 1/2.. 5/8.. 3/4..   of the bit-reversed hashes
//! ```
//!
//! The first 1024 buckets are one growable array, further ones come in pieces of as many, so that growing copies at
//! most 64 KiB.

use super::entry::Entry;
use super::key::HashKey;
use crate::alloc::size_class;
use crate::prefetch::prefetch;

/// Entries in one bucket.
const LANES: usize = 6;
/// Buckets in one piece of the table.
const PIECE: usize = 1024;
/// Entries per bucket beyond which the table grows. At four, one key in twelve or so lies in a chain.
const LOAD_MAX: usize = 4;
/// Entries per bucket below which it shrinks.
const LOAD_MIN: usize = 2;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const LANE_HIGH_BITS: u64 = 0x0000_8080_8080_8080;

/// Where a hash stands in the order of a scan.
#[inline]
pub(super) const fn position(hash: u64) -> u64 {
    hash.reverse_bits()
}

/// A place in the table, good until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    bucket: u32,
    depth: u16,
    lane: u8,
}

/// One cache line. A tag of 0 means that the lane is empty.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Bucket {
    tags: [u8; 8],
    lanes: [Option<Entry>; LANES],
    next: Option<Box<Bucket>>,
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// A hash table from keys to entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    first: Vec<Bucket>,
    buckets: u32,
    // Boxed, because only tables of thousands of keys have them.
    #[expect(clippy::box_collection, reason = "keeps the common part of a slot in one cache line")]
    further: Option<Box<Vec<Vec<Bucket>>>>,
    len: usize,
}

/// Eight bits of the hash that the number of the bucket does not depend on; never 0.
#[inline]
fn tag_of(hash: u64) -> u8 {
    hash.to_be_bytes()[0].max(1)
}

/// The lanes of a bucket that may match, found eight bytes at once. A lane behind a match may be reported in
/// error, which costs a comparison of keys and nothing else.
#[inline]
fn candidates(tags: [u8; 8], tag: u8) -> u64 {
    let differing = u64::from_le_bytes(tags) ^ (u64::from(tag) * LOW_BITS);
    differing.wrapping_sub(LOW_BITS) & !differing & LANE_HIGH_BITS
}

impl Bucket {
    #[inline]
    fn find(&self, tag: u8, mut wanted: impl FnMut(&Entry) -> bool) -> Option<u8> {
        let mut lanes = candidates(self.tags, tag);
        while lanes != 0 {
            let lane = (lanes.trailing_zeros() / 8).to_le_bytes()[0];
            if let Some(entry) = &self.lanes[usize::from(lane)]
                && wanted(entry)
            {
                return Some(lane);
            }
            lanes &= lanes - 1;
        }
        None
    }

    fn put(&mut self, lane: usize, tag: u8, entry: Entry) {
        self.tags[lane] = tag;
        self.lanes[lane] = Some(entry);
    }

    fn take(&mut self, lane: usize) -> Option<(u8, Entry)> {
        let entry = self.lanes[lane].take()?;
        Some((std::mem::take(&mut self.tags[lane]), entry))
    }

    /// Adds to the first free lane of the chain, which gets longer if there is none.
    fn push(&mut self, tag: u8, entry: Entry) {
        let mut bucket = self;
        loop {
            if let Some(lane) = bucket.lanes.iter().position(Option::is_none) {
                return bucket.put(lane, tag, entry);
            }
            bucket = bucket.next.get_or_insert_default();
        }
    }

    /// Takes some entry out of the last bucket of the chain behind this one, and that bucket away once empty.
    fn pop_chained(&mut self) -> Option<(u8, Entry)> {
        let next = self.next.as_mut()?;
        if let Some(popped) = next.pop_chained() {
            return Some(popped);
        }
        let popped = (0..LANES).rev().find_map(|lane| next.take(lane));
        if next.is_empty() {
            self.next = None;
        }
        popped
    }

    fn is_empty(&self) -> bool {
        self.tags == [0; 8]
    }

    /// This bucket and its chain.
    fn chain(&self) -> impl Iterator<Item = &Bucket> {
        std::iter::successors(Some(self), |bucket| bucket.next.as_deref())
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.chain().flat_map(|bucket| bucket.lanes.iter().flatten())
    }
}

impl Table {
    /// Number of entries.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of `key`, whose hash is `hash`.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        self.find_where(hash, |entry| entry.key() == key)
    }

    /// The place of an entry with this hash that `wanted` accepts (entries of other hashes may be shown to it).
    #[inline]
    pub(super) fn find_where(
        &self,
        hash: u64,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Option<Place> {
        if self.buckets == 0 {
            return None;
        }
        let tag = tag_of(hash);
        let index = self.index(hash);
        let mut bucket = self.bucket(index);
        let mut depth = 0u16;
        loop {
            if let Some(lane) = bucket.find(tag, &mut wanted) {
                return Some(Place { bucket: to_u32(index), depth, lane });
            }
            bucket = bucket.next.as_deref()?;
            depth += 1;
        }
    }

    /// The entry at a place that [`Table::find`] gave and nothing has changed since.
    #[inline]
    pub(super) fn at(&self, place: Place) -> &Entry {
        let mut bucket = self.bucket(place.bucket as usize);
        for _ in 0..place.depth {
            bucket = bucket.next.as_deref().expect("the chain is as long as when it was searched");
        }
        bucket.lanes[usize::from(place.lane)].as_ref().expect("the place is taken")
    }

    /// The entry at a place, to be changed. Its key must stay.
    #[inline]
    pub(super) fn at_mut(&mut self, place: Place) -> &mut Entry {
        let bucket = self.bucket_at_mut(place);
        bucket.lanes[usize::from(place.lane)].as_mut().expect("the place is taken")
    }

    /// Makes an empty table for about `entries` entries, so that it need not grow on the way there. It is made for no
    /// more than one piece of buckets holds.
    pub(super) fn make_room(&mut self, entries: usize) {
        assert!(self.is_empty(), "entries would be in the wrong buckets");
        let buckets = entries.saturating_sub(LANES - LOAD_MAX).div_ceil(LOAD_MAX).clamp(1, PIECE);
        let mut first = Vec::with_capacity(buckets);
        first.resize_with(buckets, Bucket::default);
        *self = Table { first, buckets: to_u32(buckets), ..Table::default() };
    }

    /// Adds an entry whose key is not there yet.
    pub(super) fn insert(&mut self, hash_key: &HashKey, hash: u64, entry: Entry) {
        debug_assert!(self.find(hash, entry.key()).is_none(), "the key is there already");
        self.len += 1;
        if self.buckets == 0 || self.len > self.buckets as usize * LOAD_MAX + (LANES - LOAD_MAX) {
            self.grow(hash_key);
        }
        let index = self.index(hash);
        self.bucket_mut(index).push(tag_of(hash), entry);
    }

    /// Takes the entry out. The chain closes up, and the table shrinks by a bucket where it has become sparse.
    pub(super) fn remove(&mut self, place: Place) -> Entry {
        let lane = usize::from(place.lane);
        let (_, entry) = self.bucket_at_mut(place).take(lane).expect("the place is taken");
        let head = self.bucket_mut(place.bucket as usize);
        if let Some((tag, moved)) = head.pop_chained() {
            // The hole may have been in the bucket that has just gone; `push` finds the first one.
            head.push(tag, moved);
        }
        self.len -= 1;
        if self.len == 0 {
            *self = Table::default();
        } else if self.buckets > 1 && self.len < self.buckets as usize * LOAD_MIN {
            self.shrink();
        }
        entry
    }

    /// Memory of the buckets in bytes, those in chains (a twelfth) left out.
    pub(super) fn bucket_bytes(&self) -> usize {
        let further: usize =
            self.further.iter().flat_map(|pieces| pieces.iter()).map(Vec::capacity).sum();
        (self.first.capacity() + further) * size_of::<Bucket>()
    }

    /// Visits the bucket that holds position `from`: calls `visit` with each of its entries, and returns the position
    /// at which the next bucket starts, `None` behind the last one. Some of the entries may lie before `from`
    /// if the table has shrunk since `from` was the start of a bucket.
    pub(super) fn visit(&self, from: u64, visit: impl FnMut(&Entry)) -> Option<u64> {
        if self.buckets == 0 {
            return None;
        }
        let index = self.index(from.reverse_bits());
        self.bucket(index).entries().for_each(visit);
        self.end_of_bucket(index, from)
    }

    /// As [`Table::visit`], with entries that may be changed except for their keys.
    pub(super) fn visit_mut(
        &mut self,
        from: u64,
        mut visit: impl FnMut(&mut Entry),
    ) -> Option<u64> {
        if self.buckets == 0 {
            return None;
        }
        let index = self.index(from.reverse_bits());
        let mut bucket = Some(self.bucket_mut(index));
        while let Some(current) = bucket {
            current.lanes.iter_mut().flatten().for_each(&mut visit);
            bucket = current.next.as_deref_mut();
        }
        self.end_of_bucket(index, from)
    }

    /// Whether `from` is where a bucket starts, so that [`Table::visit`] will show nothing before it.
    pub(super) fn starts_bucket(&self, from: u64) -> bool {
        self.buckets == 0 || {
            let bits = self.bits_of(self.index(from.reverse_bits()));
            bits == 64 || from.checked_shl(bits).unwrap_or(0) == 0
        }
    }

    /// Asks the processor to fetch the entries of the bucket at `from`.
    pub(super) fn prefetch(&self, from: u64) {
        if self.buckets > 0 {
            let index = self.index(from.reverse_bits());
            self.bucket(index).lanes.iter().flatten().for_each(Entry::prefetch);
        }
    }

    /// Asks the processor to fetch the bucket of `hash`.
    #[inline]
    pub(super) fn prefetch_bucket(&self, hash: u64) {
        if self.buckets > 0 {
            prefetch(self.bucket(self.index(hash)));
        }
    }

    /// Asks the processor to fetch the entries in the bucket of `hash` that may have this hash.
    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        if self.buckets > 0 {
            let bucket = self.bucket(self.index(hash));
            let lanes = candidates(bucket.tags, tag_of(hash));
            if lanes != 0
                && let Some(entry) = &bucket.lanes[lanes.trailing_zeros() as usize / 8]
            {
                entry.prefetch();
            }
        }
    }

    /// The bucket that the next insert will split, if it will split one.
    #[inline]
    fn next_split(&self) -> Option<&Bucket> {
        let full = self.len >= self.buckets as usize * LOAD_MAX + (LANES - LOAD_MAX);
        let splits = self.buckets > 0 && full;
        splits.then(|| self.bucket(self.buckets as usize - Table::base(self.buckets)))
    }

    /// Asks the processor to fetch the bucket that the next insert will split.
    #[inline]
    pub(super) fn prefetch_split(&self) {
        if let Some(bucket) = self.next_split() {
            prefetch(bucket);
        }
    }

    /// Asks the processor to fetch the entries that the next insert will move.
    #[inline]
    pub(super) fn prefetch_moved(&self) {
        if let Some(bucket) = self.next_split() {
            bucket.lanes.iter().flatten().for_each(Entry::prefetch);
        }
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.all_buckets().flat_map(Bucket::entries)
    }

    /// An entry picked at random, each with the same chance as long as no chain is longer than two buckets.
    pub(super) fn random(&self, rng: &mut fastrand::Rng) -> Option<&Entry> {
        const CHANCES: usize = 2 * LANES;
        if self.len == 0 {
            return None;
        }
        // A bucket is drawn, then one of twelve lots: entries have one each, the rest means to draw again. On
        // average a third of the lots are taken; a table after many removals has a sixth.
        for _ in 0..200 {
            let bucket = self.bucket(rng.usize(..self.buckets as usize));
            let count = bucket.entries().count();
            let lot = rng.usize(..CHANCES.max(count));
            if lot < count {
                return bucket.entries().nth(lot);
            }
        }
        self.iter().next()
    }

    /// The entries of a bucket picked at random; nothing if there are none.
    pub(super) fn random_bucket(
        &self,
        rng: &mut fastrand::Rng,
    ) -> Option<impl Iterator<Item = &Entry>> {
        if self.len == 0 {
            return None;
        }
        // A table has at least one entry for each two buckets, but these may share a few: then the first will do.
        let draw = |_| self.bucket(rng.usize(..self.buckets as usize));
        let is_taken = |bucket: &&Bucket| bucket.entries().next().is_some();
        let drawn = (0..200).map(draw).find(is_taken);
        drawn.or_else(|| self.all_buckets().find(is_taken)).map(Bucket::entries)
    }

    /// Asserts what must hold between operations.
    pub(super) fn check_invariants(&self, hash_key: &HashKey) {
        let mut count = 0;
        for (index, head) in self.all_buckets().enumerate() {
            for bucket in head.chain() {
                assert!(bucket.next.is_none() || !bucket.tags[..LANES].contains(&0), "hole");
                for (lane, entry) in bucket.lanes.iter().enumerate() {
                    assert_eq!(entry.is_some(), bucket.tags[lane] != 0, "tag of lane {lane}");
                    let Some(entry) = entry else { continue };
                    let hash = hash_key.hash(entry.key());
                    assert_eq!(self.index(hash), index, "bucket of {entry:?}");
                    assert_eq!(bucket.tags[lane], tag_of(hash), "tag of {entry:?}");
                    count += 1;
                }
                assert_eq!(bucket.tags[LANES..], [0, 0]);
            }
        }
        assert_eq!(count, self.len, "number of entries");
        let load = self.buckets as usize * LOAD_MAX + (LANES - LOAD_MAX);
        assert!(self.len <= load, "{} entries in {} buckets", self.len, self.buckets);
        assert_eq!(self.all_buckets().count(), self.buckets as usize, "number of buckets");
    }
}

/// Buckets: which one, and how they come and go.
impl Table {
    /// The largest power of two that is not above the number of buckets (which is not 0).
    #[inline]
    fn base(buckets: u32) -> usize {
        1 << buckets.ilog2()
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked to fewer bits than a u32 has")]
    fn index(&self, hash: u64) -> usize {
        let base = Table::base(self.buckets);
        let wide = (hash as usize) & (2 * base - 1);
        if wide < self.buckets as usize { wide } else { wide & (base - 1) }
    }

    /// How many low bits of the hash decide that a key belongs to bucket `index`.
    fn bits_of(&self, index: usize) -> u32 {
        let base = Table::base(self.buckets);
        let is_split = index >= base || index + base < self.buckets as usize;
        base.ilog2() + u32::from(is_split)
    }

    /// The first position behind bucket `index`, in which `from` lies.
    fn end_of_bucket(&self, index: usize, from: u64) -> Option<u64> {
        match self.bits_of(index) {
            0 => None,
            bits => {
                let width = 1u64 << (64 - bits);
                (from & !(width - 1)).checked_add(width)
            }
        }
    }

    #[inline]
    fn bucket(&self, index: usize) -> &Bucket {
        match self.first.get(index) {
            Some(bucket) => bucket,
            None => {
                let pieces = self.further.as_deref().expect("the bucket exists");
                &pieces[index / PIECE - 1][index % PIECE]
            }
        }
    }

    #[inline]
    fn bucket_mut(&mut self, index: usize) -> &mut Bucket {
        if index < self.first.len() {
            return &mut self.first[index];
        }
        let pieces = self.further.as_deref_mut().expect("the bucket exists");
        &mut pieces[index / PIECE - 1][index % PIECE]
    }

    fn bucket_at_mut(&mut self, place: Place) -> &mut Bucket {
        let mut bucket = self.bucket_mut(place.bucket as usize);
        for _ in 0..place.depth {
            bucket = bucket.next.as_deref_mut().expect("the chain is as long as it was");
        }
        bucket
    }

    fn all_buckets(&self) -> impl Iterator<Item = &Bucket> {
        let further = self.further.iter().flat_map(|pieces| pieces.iter().flatten());
        self.first.iter().chain(further)
    }

    /// Appends a bucket and moves into it what belongs there.
    fn grow(&mut self, hash_key: &HashKey) {
        let added = self.buckets as usize;
        self.push_bucket();
        self.buckets += 1;
        if added == 0 {
            return;
        }
        let base = Table::base(self.buckets - 1);
        let parent = added - base;
        let mut chain = std::mem::take(self.bucket_mut(parent));
        chain.entries().for_each(Entry::prefetch);
        loop {
            for lane in 0..LANES {
                if let Some((tag, entry)) = chain.take(lane) {
                    let hash = hash_key.hash(entry.key());
                    let index = self.index(hash);
                    debug_assert!(index == parent || index == added, "bucket {index}");
                    self.bucket_mut(index).push(tag, entry);
                }
            }
            match chain.next.take() {
                Some(next) => chain = *next,
                None => return,
            }
        }
    }

    /// Takes the last bucket away and puts what it held where it was before the bucket came.
    fn shrink(&mut self) {
        let last = self.buckets as usize - 1;
        let mut chain = self.pop_bucket();
        self.buckets -= 1;
        let parent = last - Table::base(self.buckets);
        loop {
            for lane in 0..LANES {
                if let Some((tag, entry)) = chain.take(lane) {
                    self.bucket_mut(parent).push(tag, entry);
                }
            }
            match chain.next.take() {
                Some(next) => chain = *next,
                None => return,
            }
        }
    }

    fn push_bucket(&mut self) {
        let pieces = match &mut self.further {
            None if self.first.len() < PIECE => return push_default(&mut self.first),
            further => further.get_or_insert_default(),
        };
        if pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            pieces.push(Vec::new());
        }
        push_default(pieces.last_mut().expect("just made sure"));
    }

    fn pop_bucket(&mut self) -> Bucket {
        if let Some(pieces) = &mut self.further {
            let piece = pieces.last_mut().expect("there are no empty pieces");
            let bucket = piece.pop().expect("there are no empty pieces");
            if piece.is_empty() {
                pieces.pop();
            }
            if pieces.is_empty() {
                self.further = None;
            }
            return bucket;
        }
        let bucket = self.first.pop().expect("there is a bucket");
        if self.first.len() * 2 < self.first.capacity() {
            self.first.shrink_to(self.first.len() + self.first.len() / 4);
        }
        bucket
    }
}

/// Appends an empty bucket. The array grows by one size class at a time, a fifth to a quarter, rather than twofold:
/// it is copied more often (six times in all) and wastes less.
fn push_default(piece: &mut Vec<Bucket>) {
    if piece.len() == piece.capacity() {
        let bytes = size_class((piece.len() + 1) * size_of::<Bucket>());
        piece.reserve_exact(bytes / size_of::<Bucket>() - piece.len());
    }
    piece.push(Bucket::default());
}

/// A number of buckets: 2^32 of them would take 256 GiB of memory for one slot.
#[inline]
fn to_u32(index: usize) -> u32 {
    u32::try_from(index).expect("a slot has fewer than 2^32 buckets")
}

#[cfg(test)]
mod tests;
