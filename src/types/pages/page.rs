//! A page: some twenty records in one block.
//!
//! ```text
//!   records  fingerprints  key lengths  value lengths  key value key value ..   room
//!   u16      n bytes       n bytes      n bytes        as many as the lengths say
//! ```
//!
//! A search compares fingerprints, sixteen at once and more, and then almost always one key only, which lies where
//! the sum of the lengths in front says. Sets have no column of value lengths. A length of 255 says that the key or
//! value, being longer than 254 bytes, lies in an allocation of its own, so that blocks stay small enough to be
//! copied: the page lists those in the order of their records, and the time at which records expire where any do.

use std::sync::Arc;

use crate::alloc::{ARC_BYTES, arc_bytes, size_class};

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

/// What few pages have.
#[derive(Clone, Debug, Default)]
struct Extra {
    /// Keys and values that lie apart, in the order of their records.
    apart: Vec<Arc<[u8]>>,
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

fn lane_number(lane: usize) -> u16 {
    u16::try_from(lane).expect("keyed hashes spread records evenly over pages")
}

/// The bytes in the block of items with these lengths.
fn here(lengths: &[u8]) -> usize {
    lengths.iter().map(|&length| if length == APART { 0 } else { usize::from(length) }).sum()
}

/// How many of the items with these lengths lie apart.
fn apart(lengths: &[u8]) -> usize {
    lengths.iter().filter(|&&length| length == APART).count()
}

impl<const VALUES: bool> Page<VALUES> {
    const COLUMNS: usize = if VALUES { 3 } else { 2 };

    /// An empty page with room for `records` records whose keys and values take `data` bytes in the block.
    pub(super) fn with_room(records: usize, data: usize) -> Self {
        Self { block: fresh(&[], HEADER + Self::COLUMNS * records + data), extra: None }
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
        self.data_start(len) + here(self.lengths(len))
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
        let (mut at, mut rank) = (self.data_start(self.len()), 0);
        (0..self.len()).map(move |lane| {
            let record = self.record_at(lane, at, rank);
            for length in [self.key_length(lane), self.value_length(lane)] {
                at += here(&[length]);
                rank += apart(&[length]);
            }
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
        let (len, used) = (self.len(), self.used());
        let data = [key.here(), if VALUES { value.here() } else { &[] }];
        let count = lane_number(len + 1);
        let block =
            self.room(used, used.max(HEADER) + Self::COLUMNS + data[0].len() + data[1].len());
        // From the last to the first, each column makes room for those in front of it.
        let new = [fingerprint, key.length(), value.length()];
        let mut end = used.max(HEADER);
        for column in (1..=Self::COLUMNS).rev() {
            let start = HEADER + column * len;
            block.copy_within(start..end, start + column);
            block[start + column - 1] = new[column - 1];
            end = start;
        }
        block[..HEADER].copy_from_slice(&count.to_le_bytes());
        let mut at = used.max(HEADER) + Self::COLUMNS;
        for bytes in data {
            block[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        }
        for item in [key, value] {
            if let Item::Apart(bytes) = item {
                self.extra_mut().apart.push(bytes);
            }
        }
        if let Some(when) = expires_ms {
            self.extra_mut().expiries.push(Expiry::new(len, when));
        }
    }

    /// Gives a record another value.
    pub(super) fn set_value(&mut self, lane: usize, value: Item<'_>) {
        assert!(VALUES, "members of sets have no values");
        let (len, used) = (self.len(), self.used());
        let (start, rank) = self.start(lane);
        let key_length = self.key_length(lane);
        let old_length = self.value_length(lane);
        let at = start + here(&[key_length]);
        let (old, new) = (here(&[old_length]), value.here());
        let block = self.room(used, used + new.len().saturating_sub(old));
        block.copy_within(at + old..used, at + new.len());
        block[at..at + new.len()].copy_from_slice(new);
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
        let (len, used) = (self.len(), self.used());
        let (start, rank) = self.start(lane);
        let lengths = [self.key_length(lane), self.value_length(lane)];
        self.set_expiry(lane, None);
        if apart(&lengths) > 0 {
            self.extra_mut().apart.drain(rank..rank + apart(&lengths));
        }
        if let Some(extra) = self.extra.as_mut().filter(|extra| !extra.expiries.is_empty()) {
            let later = |expiry: &&mut Expiry| usize::from(expiry.lane) > lane;
            Arc::make_mut(extra).expiries.iter_mut().filter(later).for_each(|e| e.lane -= 1);
        }
        let count = lane_number(len - 1);
        let block = self.room(used, used);
        block[..HEADER].copy_from_slice(&count.to_le_bytes());
        // What lies between the holes moves up.
        let mut to = HEADER + lane;
        for column in 0..Self::COLUMNS {
            let from = HEADER + column * len + lane + 1;
            let until = if column + 1 < Self::COLUMNS { from + len - 1 } else { start };
            block.copy_within(from..until, to);
            to += until - from;
        }
        block.copy_within(start + here(&lengths)..used, to);
        self.tidy();
    }

    /// Sets or takes away when a record expires; says when it did.
    pub(super) fn set_expiry(&mut self, lane: usize, expires_ms: Option<u64>) -> Option<u64> {
        let extra = self.extra.as_deref();
        let known = extra.and_then(|extra| {
            extra.expiries.iter().position(|expiry| usize::from(expiry.lane) == lane)
        });
        if known.is_none() && expires_ms.is_none() {
            return None;
        }
        let expiries = &mut self.extra_mut().expiries;
        let old = known.map(|at| expiries[at].when_ms());
        match (known, expires_ms) {
            (Some(at), Some(when)) => expiries[at] = Expiry::new(lane, when),
            (Some(at), None) => {
                expiries.swap_remove(at);
            }
            (None, Some(when)) => expiries.push(Expiry::new(lane, when)),
            (None, None) => {}
        }
        self.drop_extra();
        old
    }

    /// When the first of the records that expire does.
    pub(super) fn earliest(&self) -> Option<u64> {
        let expiries = self.extra.as_ref()?.expiries.iter();
        expiries.map(|expiry| expiry.when_ms()).min()
    }

    /// A record whose time is before `now_ms`.
    pub(super) fn due(&self, now_ms: u64) -> Option<usize> {
        let mut expiries = self.extra.as_ref()?.expiries.iter();
        expiries.find(|expiry| expiry.when_ms() < now_ms).map(|expiry| usize::from(expiry.lane))
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
            assert!(!extra.is_empty());
            let mut lanes: Vec<_> = extra.expiries.iter().map(|expiry| expiry.lane).collect();
            lanes.sort_unstable();
            lanes.dedup();
            assert_eq!(lanes.len(), extra.expiries.len());
            assert!(lanes.last().is_none_or(|&lane| usize::from(lane) < len));
        }
    }
}

/// Where things lie.
impl<const VALUES: bool> Page<VALUES> {
    #[inline]
    fn data_start(&self, len: usize) -> usize {
        HEADER + Self::COLUMNS * len
    }

    /// The columns of lengths.
    fn lengths(&self, len: usize) -> &[u8] {
        self.block.get(HEADER + len..self.data_start(len)).unwrap_or_default()
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
        let keys = &self.block[HEADER + len..][..lane];
        let values = if VALUES { &self.block[HEADER + 2 * len..][..lane] } else { &[] };
        let at = self.data_start(len) + here(keys) + here(values);
        let rank = if self.extra.is_some() { apart(keys) + apart(values) } else { 0 };
        (at, rank)
    }

    fn record_at(&self, lane: usize, at: usize, rank: usize) -> Record<'_> {
        let length = self.key_length(lane);
        let key = self.item(at, rank, length);
        let (at, rank) = (at + here(&[length]), rank + apart(&[length]));
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
        let mut expiries = self.extra.as_ref()?.expiries.iter();
        expiries.find(|expiry| usize::from(expiry.lane) == lane).map(|expiry| expiry.when_ms())
    }
}

/// Memory.
impl<const VALUES: bool> Page<VALUES> {
    /// The block, nobody else's and of at least `bytes` bytes, with its first `used` bytes as they were.
    fn room(&mut self, used: usize, bytes: usize) -> &mut [u8] {
        if self.block.len() < bytes || Arc::get_mut(&mut self.block).is_none() {
            self.block = fresh(&self.block[..used.min(self.block.len())], bytes);
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
            self.block = fresh(&self.block[..used], used);
        }
    }

    fn drop_extra(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.apart.is_empty() && self.expiries.is_empty()
    }

    fn memory_usage(&self) -> usize {
        let lists = [
            self.apart.capacity() * size_of::<Arc<[u8]>>(),
            self.expiries.capacity() * size_of::<Expiry>(),
        ];
        let lists = lists.into_iter().filter(|&bytes| bytes > 0).map(size_class);
        let apart = self.apart.iter().map(|bytes| size_class(ARC_BYTES + bytes.len()));
        arc_bytes::<Self>() + lists.chain(apart).sum::<usize>()
    }
}

/// A block of at least `bytes` bytes, as many as the allocator gives anyway, that begins with `content`.
fn fresh(content: &[u8], bytes: usize) -> Arc<[u8]> {
    let bytes = size_class(ARC_BYTES + bytes) - ARC_BYTES;
    let mut block: Arc<[u8]> = match ZEROS.get(..bytes) {
        Some(zeros) => zeros.into(),
        None => vec![0; bytes].into(),
    };
    let new = Arc::get_mut(&mut block).expect("just made");
    new[..content.len()].copy_from_slice(content);
    block
}
