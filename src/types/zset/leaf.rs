//! A leaf: up to 128 members in order, with their scores.

use std::sync::Arc;

use memchr::memchr_iter;

use super::order::Key;
use super::room::{block_bytes, grow, shrink};
use crate::alloc::{ARC_BYTES, arc_bytes, size_class};

/// The most members of a leaf.
pub(super) const LEN_MAX: usize = 128;
/// The bytes of members beyond which a leaf takes no more.
const BYTES_MAX: usize = 4096;
/// Longer members lie in an allocation of their own, so that leaves stay small enough to be copied.
const HERE_MAX: usize = 255;
/// Marks the end of a member that lies apart.
const APART: u16 = 1 << 15;

/// Columns, all as long as there are members; and the bytes of the members, one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    scores: Vec<f64>,
    /// Where the bytes of each member end, and whether the member itself lies apart.
    ends: Vec<u16>,
    /// Eight bits of the hash of each member.
    marks: Vec<u8>,
    bytes: Vec<u8>,
    /// Members that lie apart, in order.
    #[expect(clippy::box_collection, reason = "rare: a pointer is a third of a vector")]
    apart: Option<Box<Vec<Arc<[u8]>>>>,
}

/// Reading.
impl Leaf {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    #[inline]
    pub(super) fn score(&self, lane: usize) -> f64 {
        self.scores[lane]
    }

    #[inline]
    pub(super) fn member(&self, lane: usize) -> &[u8] {
        let (start, end) = (self.start(lane), self.ends[lane]);
        if end & APART == 0 {
            &self.bytes[start..usize::from(end)]
        } else {
            &self.apart()[self.rank_apart(lane)]
        }
    }

    #[inline]
    pub(super) fn key(&self, lane: usize) -> Key<'_> {
        Key { score: self.score(lane), member: self.member(lane) }
    }

    /// The lane of `member`, whose hash has the bits `mark`.
    #[inline]
    pub(super) fn find(&self, mark: u8, member: &[u8]) -> Option<usize> {
        self.marked(mark).find(|&lane| self.member(lane) == member)
    }

    /// The lanes of members whose hash has the bits `mark`.
    #[inline]
    pub(super) fn marked(&self, mark: u8) -> impl Iterator<Item = usize> {
        memchr_iter(mark, &self.marks)
    }

    /// How many members `is_before` holds for: the first ones.
    #[inline]
    pub(super) fn count(&self, is_before: impl Fn(&Key<'_>) -> bool) -> usize {
        let (mut start, mut end) = (0, self.len());
        while start < end {
            let middle = usize::midpoint(start, end);
            if is_before(&self.key(middle)) {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        start
    }

    /// Whether another member with so many bytes would be too much.
    pub(super) fn is_full_for(&self, member_bytes: usize) -> bool {
        let here = if member_bytes > HERE_MAX { 0 } else { member_bytes };
        self.len() >= LEN_MAX || self.bytes.len() + here > BYTES_MAX
    }

    /// Whether it is so small that it should be merged with a neighbour.
    pub(super) fn is_small(&self) -> bool {
        self.len() < LEN_MAX / 4 && self.bytes.len() < BYTES_MAX / 4
    }

    /// Whether all members of both make one good leaf.
    pub(super) fn fits_with(&self, other: &Leaf) -> bool {
        self.len() + other.len() <= LEN_MAX / 4 * 3
            && self.bytes.len() + other.bytes.len() <= BYTES_MAX / 4 * 3
    }

    /// Bytes of memory held, that of the leaf itself included.
    pub(super) fn memory_usage(&self) -> usize {
        let apart = self.apart.iter().map(|apart| {
            let each = apart.iter().map(|member| size_class(ARC_BYTES + member.len()));
            size_class(size_of::<Vec<Arc<[u8]>>>()) + block_bytes(apart) + each.sum::<usize>()
        });
        arc_bytes::<Self>()
            + block_bytes(&self.scores)
            + block_bytes(&self.ends)
            + block_bytes(&self.marks)
            + block_bytes(&self.bytes)
            + apart.sum::<usize>()
    }

    #[inline]
    fn start(&self, lane: usize) -> usize {
        if lane == 0 { 0 } else { usize::from(self.ends[lane - 1] & !APART) }
    }

    fn apart(&self) -> &[Arc<[u8]>] {
        self.apart.as_ref().map_or(&[], |apart| apart.as_slice())
    }

    /// How many members in front of `lane` lie apart.
    fn rank_apart(&self, lane: usize) -> usize {
        if self.apart.is_none() {
            return 0;
        }
        self.ends[..lane].iter().filter(|&end| end & APART != 0).count()
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, mark: impl Fn(&[u8]) -> u8) {
        let len = self.len();
        assert!(len > 0 && len <= LEN_MAX && self.bytes.len() <= BYTES_MAX + HERE_MAX);
        assert_eq!((self.ends.len(), self.marks.len()), (len, len));
        assert_eq!(usize::from(self.ends[len - 1] & !APART), self.bytes.len());
        assert_eq!(self.rank_apart(len), self.apart().len());
        assert!(self.apart.as_ref().is_none_or(|apart| !apart.is_empty()));
        for lane in 0..len {
            assert_eq!(self.marks[lane], mark(self.member(lane)));
            assert_eq!(self.member(lane).len() > HERE_MAX, self.ends[lane] & APART != 0);
            if lane > 0 {
                assert!(self.key(lane - 1).order(&self.key(lane)).is_lt());
            }
        }
    }
}

/// Changing.
impl Leaf {
    /// Puts a member in front of the one at `lane`, or behind the last.
    pub(super) fn insert(&mut self, lane: usize, key: &Key<'_>, mark: u8) {
        let start = self.start(lane);
        let here = if key.member.len() > HERE_MAX { &[][..] } else { key.member };
        let added = u16::try_from(here.len()).expect("at most HERE_MAX");
        let mut end = u16::try_from(start).expect("leaves are small") + added;
        grow(&mut self.bytes, here.len());
        self.bytes.splice(start..start, here.iter().copied());
        for later in &mut self.ends[lane..] {
            *later += added;
        }
        if key.member.len() > HERE_MAX {
            end |= APART;
            let rank = self.rank_apart(lane);
            self.apart.get_or_insert_default().insert(rank, key.member.into());
        }
        grow(&mut self.ends, 1);
        self.ends.insert(lane, end);
        grow(&mut self.marks, 1);
        self.marks.insert(lane, mark);
        grow(&mut self.scores, 1);
        self.scores.insert(lane, key.score);
    }

    /// Removes the members at `start .. end`.
    pub(super) fn remove(&mut self, start: usize, end: usize) {
        let (from, to) = (self.start(start), self.start(end));
        let removed = u16::try_from(to - from).expect("leaves are small");
        let ranks = self.rank_apart(start)..self.rank_apart(end);
        if let Some(apart) = &mut self.apart {
            apart.drain(ranks);
        }
        self.bytes.drain(from..to);
        for later in &mut self.ends[end..] {
            *later -= removed;
        }
        self.ends.drain(start..end);
        self.marks.drain(start..end);
        self.scores.drain(start..end);
        self.tidy();
    }

    /// Forgets all members, and keeps the room.
    pub(super) fn clear(&mut self) {
        let Leaf { scores, ends, marks, bytes, apart } = self;
        scores.clear();
        ends.clear();
        marks.clear();
        bytes.clear();
        *apart = None;
    }

    /// Gives the member at `lane` another score, which must not change the order.
    pub(super) fn set_score(&mut self, lane: usize, score: f64) {
        self.scores[lane] = score;
    }

    /// Takes the members from `lane` on out into another leaf.
    pub(super) fn split_off(&mut self, lane: usize) -> Leaf {
        let start = self.start(lane);
        let base = u16::try_from(start).expect("leaves are small");
        let rank = self.rank_apart(lane);
        let mut other = Leaf {
            scores: self.scores.split_off(lane),
            ends: self.ends.split_off(lane),
            marks: self.marks.split_off(lane),
            bytes: self.bytes.split_off(start),
            apart: self.apart.as_mut().map(|apart| Box::new(apart.split_off(rank))),
        };
        for end in &mut other.ends {
            *end -= base;
        }
        self.tidy();
        other.tidy();
        other
    }

    /// Adds the members of another leaf behind the last.
    pub(super) fn append(&mut self, other: &Leaf) {
        let base = u16::try_from(self.bytes.len()).expect("leaves are small");
        grow(&mut self.scores, other.len());
        self.scores.extend_from_slice(&other.scores);
        grow(&mut self.ends, other.len());
        self.ends.extend(other.ends.iter().map(|end| end + base));
        grow(&mut self.marks, other.len());
        self.marks.extend_from_slice(&other.marks);
        grow(&mut self.bytes, other.bytes.len());
        self.bytes.extend_from_slice(&other.bytes);
        if let Some(others) = &other.apart {
            self.apart.get_or_insert_default().extend_from_slice(others);
        }
    }

    fn tidy(&mut self) {
        shrink(&mut self.scores);
        shrink(&mut self.ends);
        shrink(&mut self.marks);
        shrink(&mut self.bytes);
        if self.apart.as_ref().is_some_and(|apart| apart.is_empty()) {
            self.apart = None;
        }
    }
}
