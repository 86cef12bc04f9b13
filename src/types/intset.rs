//! Sets of integers: sorted, in one block, all of one width. The bytes are those of snapshots.
//!
//! ```text
//! u32 LE width (2, 4 or 8) | u32 LE count | integers, signed, LE, ascending
//! ```
//!
//! The width is that of the widest integer that was ever in; it grows and does not shrink.

use crate::alloc::size_class;

const HEADER_BYTES: usize = 8;

/// A set of integers.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Intset {
    /// The whole of it, header included.
    bytes: Vec<u8>,
}

impl Default for Intset {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Intset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Bytes that `value` needs.
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

/// The integer in the first `width` bytes of `bytes`.
#[inline]
fn read(bytes: &[u8], width: usize) -> i64 {
    const WHOLE: &str = "an integer lies inside the block";
    match width {
        2 => i64::from(i16::from_le_bytes(*bytes.first_chunk().expect(WHOLE))),
        4 => i64::from(i32::from_le_bytes(*bytes.first_chunk().expect(WHOLE))),
        _ => i64::from_le_bytes(*bytes.first_chunk().expect(WHOLE)),
    }
}

/// Reading.
impl Intset {
    /// A set without members.
    pub(super) fn new() -> Self {
        Self { bytes: vec![2, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// The set of `members`, which ascend.
    pub(super) fn from_sorted(members: &[i64]) -> Self {
        debug_assert!(members.is_sorted_by(|one, next| one < next), "each once, ascending");
        let ends = [members.first(), members.last()];
        let width = ends.into_iter().flatten().map(|end| width_of(*end)).max().unwrap_or(2);
        let mut set = Self { bytes: Vec::with_capacity(HEADER_BYTES + members.len() * width) };
        set.bytes.resize(HEADER_BYTES, 0);
        set.bytes[0] = u8::try_from(width).expect("at most eight");
        for member in members {
            set.bytes.extend_from_slice(&member.to_le_bytes()[..width]);
        }
        set.note_count();
        set
    }

    /// The set whose block this is; nothing if it is none.
    pub(super) fn from_block(bytes: &[u8]) -> Option<Self> {
        let (header, members) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [width @ (2 | 4 | 8), 0, 0, 0, a, b, c, d] = *header else { return None };
        let count = u32::from_le_bytes([a, b, c, d]) as usize;
        let set = Self { bytes: bytes.to_vec() };
        let fits = members.len() == count.checked_mul(usize::from(width))?;
        (fits && set.iter().is_sorted_by(|one, next| one < next)).then_some(set)
    }

    /// How many members there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        (self.bytes.len() - HEADER_BYTES) / self.width()
    }

    /// The whole block, header included.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Member number `index` in ascending order.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub(super) fn get(&self, index: usize) -> i64 {
        let width = self.width();
        read(&self.bytes[HEADER_BYTES + index * width..], width)
    }

    /// The smallest and the largest member.
    pub(super) fn ends(&self) -> Option<(i64, i64)> {
        let last = self.len().checked_sub(1)?;
        Some((self.get(0), self.get(last)))
    }

    /// Whether `value` is there.
    pub(super) fn contains(&self, value: i64) -> bool {
        self.find(value).is_ok()
    }

    /// All members, ascending.
    pub(super) fn iter(&self) -> Ints<'_> {
        let width = self.width();
        Ints { rest: self.bytes[HEADER_BYTES..].chunks_exact(width), width }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub(super) fn memory_usage(&self) -> usize {
        size_class(self.bytes.capacity())
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.bytes[0])
    }

    /// The index of `value`, or else the one it would get.
    fn find(&self, value: i64) -> Result<usize, usize> {
        let Some((first, last)) = self.ends() else { return Err(0) };
        if value < first {
            return Err(0);
        }
        let (mut low, mut high) = (0, self.len());
        if value > last {
            return Err(high);
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(&value) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// Changing.
impl Intset {
    /// Adds `value`. False: it was there.
    pub(super) fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.find(value) else { return false };
        let width = width_of(value);
        if width > self.width() {
            self.widen(width);
        }
        let width = self.width();
        let (at, len) = (HEADER_BYTES + index * width, self.bytes.len());
        self.make_room(width);
        self.bytes.resize(len + width, 0);
        self.bytes.copy_within(at..len, at + width);
        self.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        self.note_count();
        true
    }

    /// Removes `value`. False: it was not there.
    pub(super) fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.find(value) else { return false };
        self.remove_at(index);
        true
    }

    /// Removes member number `index` in ascending order, and returns it.
    ///
    /// # Panics
    /// If there are not so many.
    pub(super) fn remove_at(&mut self, index: usize) -> i64 {
        let (value, width) = (self.get(index), self.width());
        let at = HEADER_BYTES + index * width;
        self.bytes.drain(at..at + width);
        let fitting = size_class(self.bytes.len());
        if fitting * 2 <= self.bytes.capacity() {
            self.bytes.shrink_to(fitting);
        }
        self.note_count();
        value
    }

    /// Gives all members `width` bytes.
    fn widen(&mut self, width: usize) {
        let mut wide = Self { bytes: Vec::new() };
        // There is one more to come.
        wide.bytes.reserve_exact(size_class(HEADER_BYTES + (self.len() + 1) * width));
        wide.bytes.resize(HEADER_BYTES, 0);
        wide.bytes[0] = u8::try_from(width).expect("at most eight");
        for member in self.iter() {
            wide.bytes.extend_from_slice(&member.to_le_bytes()[..width]);
        }
        *self = wide;
    }

    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            self.bytes.reserve_exact(size_class(needed) - self.bytes.len());
        }
    }

    fn note_count(&mut self) {
        let count = u32::try_from(self.len()).expect("callers keep intsets below 4 Gi");
        self.bytes[4..8].copy_from_slice(&count.to_le_bytes());
    }

    /// Asserts what always holds: members ascend, and the header says how many of which width there are.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!([2, 4, 8].contains(&self.width()));
        assert_eq!(self.bytes[1..4], [0; 3]);
        assert_eq!(self.bytes[4..8], u32::try_from(self.len()).unwrap().to_le_bytes());
        assert_eq!(self.bytes.len(), HEADER_BYTES + self.len() * self.width());
        assert!(self.iter().is_sorted_by(|one, next| one < next));
    }
}

/// Members of an intset, ascending.
#[derive(Clone, Debug)]
pub(super) struct Ints<'a> {
    rest: std::slice::ChunksExact<'a, u8>,
    width: usize,
}

impl Iterator for Ints<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.rest.next().map(|bytes| read(bytes, self.width))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_stock() {
        let mut set = Intset::new();
        assert!(set.insert(5) && set.insert(-1) && !set.insert(5));
        assert_eq!(set.bytes(), b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0");
        assert!(set.insert(70_000));
        assert_eq!(set.bytes()[..8], *b"\x04\0\0\0\x03\0\0\0");
        assert!(set.remove(70_000));
        assert_eq!(set.bytes(), b"\x04\0\0\0\x02\0\0\0\xff\xff\xff\xff\x05\0\0\0");
        assert!(set.insert(i64::MIN));
        assert_eq!(set.iter().collect::<Vec<_>>(), [i64::MIN, -1, 5]);
        assert_eq!(Intset::from_sorted(&[i64::MIN, -1, 5]), set);
    }

    #[test]
    fn random_changes_agree_with_a_tree() {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut set, mut model) = (Intset::new(), BTreeSet::new());
        for round in 0..20_000 {
            let span = [50, 40_000, 3_000_000_000, i64::MAX][round / 5000];
            let value = random.i64(-50..50) * (span / 50);
            match random.u8(..4) {
                0 => assert_eq!(set.remove(value), model.remove(&value)),
                1 if !model.is_empty() => {
                    let removed = set.remove_at(random.usize(..model.len()));
                    assert!(model.remove(&removed));
                }
                _ => assert_eq!(set.insert(value), model.insert(value)),
            }
            assert_eq!(set.contains(value), model.contains(&value));
            assert_eq!(set.ends(), model.first().copied().zip(model.last().copied()));
            set.check_invariants();
            assert!(set.iter().eq(model.iter().copied()));
        }
        assert_eq!(set.bytes()[0], 8);
    }
}
