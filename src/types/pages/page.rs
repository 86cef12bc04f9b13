//! A page: some twenty records in one block.
//!
//! ```text
//!   records  fingerprints  key lengths  value lengths   room   .. key value key value
//!   u16      n bytes       n bytes      n bytes                as many as the lengths say
//! ```
//!
//! A search compares fingerprints, sixteen at once and more, and then almost always one key only, which lies where
//! the sum of the lengths up to its own says, counted from the end of the block: records go from the last byte down,
//! so that a new one finds its place without the others being moved. Sets have no column of value lengths. A length of
//! 255 says that the key or value, being longer than 254 bytes, lies in an allocation of its own, so that blocks stay
//! small enough to be copied: the page lists those in the order of their records, and the time at which records expire
//! where any do.

use std::sync::Arc;

use super::extra::Extra;
use crate::alloc::{ARC_BYTES, size_class};
use crate::prefetch::{LINE, prefetch};

/// Bytes in front of the columns.
const HEADER: usize = 2;
/// The length of what lies in an allocation of its own.
const APART: u8 = u8::MAX;
/// What fresh blocks are made from.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// A record as it lies in its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The member of a set, the field of a hash.
    pub key: &'a [u8],
    /// The value of a field; empty in a set.
    pub value: &'a [u8],
    /// Unix time in milliseconds at which the record expires.
    pub expires_ms: Option<u64>,
}

/// Key or value on its way into a page.
#[derive(Debug)]
pub(super) enum Item<'a> {
    Here(&'a [u8]),
    Apart(Arc<[u8]>),
}

impl<'a> Item<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        if bytes.len() < usize::from(APART) { Item::Here(bytes) } else { Item::Apart(bytes.into()) }
    }

    fn length(&self) -> u8 {
        match self {
            Item::Here(bytes) => u8::try_from(bytes.len()).expect("longer ones lie apart"),
            Item::Apart(_) => APART,
        }
    }

    /// What goes into the block.
    fn here(&self) -> &[u8] {
        match self {
            Item::Here(bytes) => bytes,
            Item::Apart(_) => &[],
        }
    }
}

/// See the module. `VALUES`: records have values.
#[derive(Clone, Debug, Default)]
pub(super) struct Page<const VALUES: bool> {
    block: Arc<[u8]>,
    extra: Option<Arc<Extra>>,
}

/// The number of a record as the page stores it.
pub(super) fn lane_number(lane: usize) -> u16 {
    u16::try_from(lane).expect("keyed hashes spread records evenly over pages")
}

/// The bytes in the block of items with these lengths.
fn here(lengths: &[u8]) -> usize {
    // Eight at a time, each pair of neighbours in sixteen bits: pages have fewer lengths than would overflow those.
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let (words, rest) = lengths.as_chunks::<8>();
    let mut sum: usize = rest.iter().copied().map(counted).sum();
    for some in words.chunks(64) {
        let mut sums = 0;
        for word in some {
            let word = u64::from_le_bytes(*word);
            // A byte that is APART, all ones, becomes zero.
            let ones = word & (word >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
            let ones = ones & (ones >> 2) & 0x0303_0303_0303_0303;
            let ones = (ones & (ones >> 1) & 0x0101_0101_0101_0101) * 0xff;
            let word = word & !ones;
            sums += (word & EVEN) + (word >> 8 & EVEN);
        }
        let [a, b, c, d, e, f, g, h] = sums.to_le_bytes().map(usize::from);
        sum += a + c + e + g + ((b + d + f + h) << 8);
    }
    sum
}

/// How many bytes of the block an item with this length takes.
fn counted(length: u8) -> usize {
    if length == APART { 0 } else { usize::from(length) }
}

/// How many of the items with these lengths lie apart.
fn apart(lengths: &[u8]) -> usize {
    lengths.iter().filter(|&&length| length == APART).count()
}

impl<const VALUES: bool> Page<VALUES> {
    const COLUMNS: usize = if VALUES { 3 } else { 2 };

    /// An empty page with room for `records` records whose keys and values take `data` bytes in the block.
    pub(super) fn with_room(records: usize, data: usize) -> Self {
        Self { block: fresh([&[]; 2], HEADER + Self::COLUMNS * records + data), extra: None }
    }

    /// How many records there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.block.first_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)))
    }

    /// The bytes of the block that are taken.
    pub(super) fn used(&self) -> usize {
        if self.block.is_empty() {
            return 0;
        }
        let len = self.len();
        Self::columns_end(len) + here(self.lengths(len))
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub(super) fn memory_usage(&self) -> usize {
        let block =
            if self.block.is_empty() { 0 } else { size_class(ARC_BYTES + self.block.len()) };
        block + self.extra.as_ref().map_or(0, |extra| extra.memory_usage())
    }

    /// The record of `key`.
    #[inline]
    pub(super) fn find(&self, fingerprint: u8, key: &[u8]) -> Option<usize> {
        let len = self.len();
        let fingerprints = self.block.get(HEADER..HEADER + len)?;
        memchr::memchr_iter(fingerprint, fingerprints).find(|&lane| self.key(lane) == key)
    }

    /// The key of a record.
    #[inline]
    pub(super) fn key(&self, lane: usize) -> &[u8] {
        let (at, rank) = self.start(lane);
        self.item(at, rank, self.key_length(lane))
    }

    /// A record.
    pub(super) fn record(&self, lane: usize) -> Record<'_> {
        let (at, rank) = self.start(lane);
        self.record_at(lane, at, rank)
    }

    /// All records.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let (mut at, mut rank) = (self.block.len(), 0);
        (0..self.len()).map(move |lane| {
            let lengths = [self.key_length(lane), self.value_length(lane)];
            at -= here(&lengths);
            let record = self.record_at(lane, at, rank);
            rank += apart(&lengths);
            record
        })
    }

    /// Adds a record, which must not be there yet.
    pub(super) fn push(
        &mut self,
        fingerprint: u8,
        key: Item<'_>,
        value: Item<'_>,
        expires_ms: Option<u64>,
    ) {
        let len = self.len();
        let data = [key.here(), if VALUES { value.here() } else { &[] }];
        let count = lane_number(len + 1);
        let new = [fingerprint, key.length(), value.length()];
        let added = data[0].len() + data[1].len();
        let taken = here(self.lengths(len)) + added;
        let block = self.room(HEADER + Self::COLUMNS * (len + 1) + taken);
        // From the last to the first, each column makes room for those in front of it.
        let mut end = Self::columns_end(len);
        for column in (1..=Self::COLUMNS).rev() {
            let start = HEADER + column * len;
            block.copy_within(start..end, start + column);
            block[start + column - 1] = new[column - 1];
            end = start;
        }
        block[..HEADER].copy_from_slice(&count.to_le_bytes());
        let at = block.len() - taken;
        let (key_here, value_here) = block[at..at + added].split_at_mut(data[0].len());
        key_here.copy_from_slice(data[0]);
        value_here.copy_from_slice(data[1]);
        for item in [key, value] {
            if let Item::Apart(bytes) = item {
                self.extra_mut().apart.push(bytes);
            }
        }
        if let Some(when) = expires_ms {
            self.extra_mut().set_expiry(len, Some(when));
        }
    }

    /// Writes a value over one that is as long, if nothing else holds the block. False, and nothing happens, otherwise.
    pub(super) fn overwrite(&mut self, lane: usize, value: &[u8]) -> bool {
        let length = self.value_length(lane);
        if length == APART || usize::from(length) != value.len() {
            return false;
        }
        let (start, _) = self.start(lane);
        let at = start + counted(self.key_length(lane));
        let Some(block) = Arc::get_mut(&mut self.block) else { return false };
        block[at..at + value.len()].copy_from_slice(value);
        true
    }

    /// Gives a record another value.
    pub(super) fn set_value(&mut self, lane: usize, value: Item<'_>) {
        assert!(VALUES, "members of sets have no values");
        let len = self.len();
        let (start, rank) = self.start(lane);
        let key_length = self.key_length(lane);
        let old_length = self.value_length(lane);
        let (old, new) = (counted(old_length), value.here());
        // Places as their distance from the end, which stays when the block grows.
        let (low, end) = (here(self.lengths(len)), self.block.len());
        let value_end = end - start - counted(key_length) - old;
        let block = self.room(self.used() + new.len().saturating_sub(old));
        let value_end = block.len() - value_end;
        if new.len() != old {
            let low = block.len() - low;
            block.copy_within(low..value_end - old, low + old - new.len());
        }
        block[value_end - new.len()..value_end].copy_from_slice(new);
        block[HEADER + 2 * len + lane] = value.length();
        let rank = rank + apart(&[key_length]);
        if old_length == APART {
            self.extra_mut().apart.remove(rank);
        }
        if let Item::Apart(bytes) = value {
            self.extra_mut().apart.insert(rank, bytes);
        }
        self.tidy();
    }

    /// Takes a record out. Those behind it move up.
    pub(super) fn remove(&mut self, lane: usize) {
        let len = self.len();
        let (start, rank) = self.start(lane);
        let lengths = [self.key_length(lane), self.value_length(lane)];
        self.set_expiry(lane, None);
        if apart(&lengths) > 0 {
            self.extra_mut().apart.drain(rank..rank + apart(&lengths));
        }
        if let Some(extra) = &mut self.extra {
            Arc::make_mut(extra).lane_is_gone(lane);
        }
        let count = lane_number(len - 1);
        let taken = here(self.lengths(len));
        let until_end = self.block.len() - start;
        let block = self.room(self.used());
        block[..HEADER].copy_from_slice(&count.to_le_bytes());
        // What lies between the holes moves up.
        let mut to = HEADER + lane;
        for column in 0..Self::COLUMNS {
            let from = HEADER + column * len + lane + 1;
            let until =
                if column + 1 < Self::COLUMNS { from + len - 1 } else { Self::columns_end(len) };
            block.copy_within(from..until, to);
            to += until - from;
        }
        let (low, start) = (block.len() - taken, block.len() - until_end);
        block.copy_within(low..start, low + here(&lengths));
        self.tidy();
    }

    /// Sets or takes away when a record expires; says when it did.
    pub(super) fn set_expiry(&mut self, lane: usize, expires_ms: Option<u64>) -> Option<u64> {
        if expires_ms.is_none() && self.expiry(lane).is_none() {
            return None;
        }
        let old = self.extra_mut().set_expiry(lane, expires_ms);
        self.drop_extra();
        old
    }

    /// When the first of the records that expire does.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.extra.as_ref()?.earliest()
    }

    /// A record whose time is before `now_ms`.
    pub(super) fn due(&self, now_ms: u64) -> Option<usize> {
        self.extra.as_ref()?.due(now_ms)
    }

    /// Asks the processor to fetch the columns.
    #[inline]
    pub(super) fn prefetch_columns(&self) {
        let start = self.block.as_ptr();
        prefetch(start);
        prefetch(start.wrapping_add(LINE));
    }

    /// Asks the processor to fetch a record that may have this fingerprint, or where the next one comes to lie. Reads the
    /// columns.
    #[inline]
    pub(super) fn prefetch_record(&self, fingerprint: u8) {
        let len = self.len();
        let fingerprints = self.block.get(HEADER..HEADER + len).unwrap_or_default();
        let place = match memchr::memchr(fingerprint, fingerprints) {
            Some(lane) => self.start(lane).0,
            // Records go down from there.
            None => (self.block.len() - here(self.lengths(len))).saturating_sub(2 * LINE - 1),
        };
        let place = self.block.as_ptr().wrapping_add(place);
        prefetch(place);
        prefetch(place.wrapping_add(LINE));
    }

    /// Two pages out of one: `moves` says of each key whether it goes to the second.
    pub(super) fn split(&self, mut moves: impl FnMut(&[u8]) -> bool) -> [Self; 2] {
        let moves: smallvec::SmallVec<[bool; 64]> =
            self.records().map(|record| moves(record.key)).collect();
        let (mut records, mut data) = ([0; 2], [0; 2]);
        for (lane, &moves) in moves.iter().enumerate() {
            records[usize::from(moves)] += 1;
            data[usize::from(moves)] += here(&[self.key_length(lane), self.value_length(lane)]);
        }
        let mut pages = [0, 1].map(|half| match records[half] {
            0 => Self::default(),
            count => Self::with_room(count, data[half]),
        });
        for (lane, &moves) in moves.iter().enumerate() {
            self.copy_to(&mut pages[usize::from(moves)], lane);
        }
        pages
    }

    /// One page out of two.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let mut page = Self::default();
        if self.len() + other.len() > 0 {
            let data = |page: &Self| here(page.lengths(page.len()));
            page = Self::with_room(self.len() + other.len(), data(self) + data(other));
        }
        (0..self.len()).for_each(|lane| self.copy_to(&mut page, lane));
        (0..other.len()).for_each(|lane| other.copy_to(&mut page, lane));
        page
    }

    fn copy_to(&self, page: &mut Self, lane: usize) {
        let (at, rank) = self.start(lane);
        let record = self.record_at(lane, at, rank);
        let (key_length, value_length) = (self.key_length(lane), self.value_length(lane));
        let item = |length, rank: usize, bytes| match &self.extra {
            Some(extra) if length == APART => Item::Apart(Arc::clone(&extra.apart[rank])),
            _ => Item::Here(bytes),
        };
        let key = item(key_length, rank, record.key);
        let value = item(value_length, rank + apart(&[key_length]), record.value);
        page.push(self.block[HEADER + lane], key, value, record.expires_ms);
    }

    /// Asserts what always holds; `fingerprint` is that of a key.
    #[cfg(test)]
    pub(super) fn check_invariants(&self, fingerprint: impl Fn(&[u8]) -> u8) {
        let len = self.len();
        assert!(self.used() <= self.block.len() || len == 0);
        let apart = self.extra.as_ref().map_or(0, |extra| extra.apart.len());
        assert_eq!(super::page::apart(self.lengths(len)), apart);
        for (lane, record) in self.records().enumerate() {
            assert_eq!(self.block[HEADER + lane], fingerprint(record.key));
            assert_eq!(record, self.record(lane));
        }
        if let Some(extra) = &self.extra {
            extra.check_invariants(len);
        }
    }
}

/// Where things lie.
impl<const VALUES: bool> Page<VALUES> {
    /// Where the columns of `len` records end.
    #[inline]
    fn columns_end(len: usize) -> usize {
        HEADER + Self::COLUMNS * len
    }

    /// The columns of lengths.
    fn lengths(&self, len: usize) -> &[u8] {
        self.block.get(HEADER + len..Self::columns_end(len)).unwrap_or_default()
    }

    #[inline]
    fn key_length(&self, lane: usize) -> u8 {
        self.block[HEADER + self.len() + lane]
    }

    #[inline]
    fn value_length(&self, lane: usize) -> u8 {
        if VALUES { self.block[HEADER + 2 * self.len() + lane] } else { 0 }
    }

    /// Where a record begins, and how many items in front of it lie apart.
    #[inline]
    fn start(&self, lane: usize) -> (usize, usize) {
        let len = self.len();
        let keys = &self.block[HEADER + len..][..=lane];
        let values = if VALUES { &self.block[HEADER + 2 * len..][..=lane] } else { &[] };
        let at = self.block.len() - here(keys) - here(values);
        let in_front = |lengths: &[u8]| apart(lengths.get(..lane).unwrap_or_default());
        let rank = if self.extra.is_some() { in_front(keys) + in_front(values) } else { 0 };
        (at, rank)
    }

    fn record_at(&self, lane: usize, at: usize, rank: usize) -> Record<'_> {
        let length = self.key_length(lane);
        let key = self.item(at, rank, length);
        let (at, rank) = (at + counted(length), rank + apart(&[length]));
        let value = if VALUES { self.item(at, rank, self.value_length(lane)) } else { &[] };
        Record { key, value, expires_ms: self.expiry(lane) }
    }

    #[inline]
    fn item(&self, at: usize, rank: usize, length: u8) -> &[u8] {
        match &self.extra {
            Some(extra) if length == APART => &extra.apart[rank],
            _ => &self.block[at..at + usize::from(length)],
        }
    }

    #[inline]
    fn expiry(&self, lane: usize) -> Option<u64> {
        self.extra.as_ref()?.expiry(lane)
    }
}

/// Memory.
impl<const VALUES: bool> Page<VALUES> {
    /// The columns with the count in front of them, and the records.
    fn parts(&self) -> [&[u8]; 2] {
        let len = self.len();
        let records = self.block.len() - here(self.lengths(len));
        [&self.block[..Self::columns_end(len).min(records)], &self.block[records..]]
    }

    /// The block, nobody else's and of at least `bytes` bytes. Bytes that come in are between columns and records.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.block.len() < bytes || Arc::get_mut(&mut self.block).is_none() {
            self.block = fresh(self.parts(), bytes);
        }
        Arc::get_mut(&mut self.block).expect("nobody else's, as just made sure")
    }

    fn extra_mut(&mut self) -> &mut Extra {
        Arc::make_mut(self.extra.get_or_insert_default())
    }

    /// Gives back what is no longer needed, where that is worth it.
    fn tidy(&mut self) {
        self.drop_extra();
        let used = self.used();
        if self.len() == 0 {
            self.block = Arc::default();
        } else if used + used / 4 + ARC_BYTES < self.block.len() {
            self.block = fresh(self.parts(), used);
        }
    }

    fn drop_extra(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }
}

/// A block of at least `bytes` bytes, as many as the allocator gives anyway, that begins with `head` and ends with
/// `tail`.
fn fresh([head, tail]: [&[u8]; 2], bytes: usize) -> Arc<[u8]> {
    let bytes = size_class(ARC_BYTES + bytes) - ARC_BYTES;
    let mut block: Arc<[u8]> = match ZEROS.get(..bytes) {
        Some(zeros) => zeros.into(),
        None => vec![0; bytes].into(),
    };
    let new = Arc::get_mut(&mut block).expect("just made");
    new[..head.len()].copy_from_slice(head);
    new[bytes - tail.len()..].copy_from_slice(tail);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_summed_but_for_those_of_items_that_lie_apart() {
        let mut random = fastrand::Rng::with_seed(3);
        for len in (0..100).chain([511, 512, 513, 2000]) {
            let any = |_| [254, APART, 0, random.u8(..)][random.usize(..4)];
            let lengths: Vec<u8> = (0..len).map(any).collect();
            let expected: usize = lengths.iter().copied().map(counted).sum();
            assert_eq!(here(&lengths), expected, "{lengths:?}");
        }
        assert_eq!(here(&[254; 4096]), 254 * 4096);
    }
}
