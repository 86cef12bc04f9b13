//! Sorted sets: members found by name, walked by score.
//!
//! A small one is one listpack ([`small`]). A large one is a tree of packed leaves ([`tree`], [`leaf`]), which hold the only
//! copy of each member, and an index that says in which leaf a member is ([`index`]). With members of 16 bytes that is about
//! 45 bytes a member, all told. Leaves, inner nodes and buckets are shared between clones until they are written to.

mod build;
mod gather;
mod index;
mod leaf;
mod leaves;
mod order;
mod room;
mod small;
mod tree;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub use gather::Gathered;
pub use order::{LexBound, LexRange, ScoreBound, ScoreRange};

use super::Limits;
use super::listpack::{Listpack, PackedItem, are_different};
use crate::alloc::{arc_bytes, size_class};
use build::Builder;
use order::{Bounds, Key, ranks};
use small::Small;
use tree::Tree;

/// A listpack takes no more than so many bytes.
const LISTPACK_BYTES_MAX: usize = 1 << 30;

/// A set whose members have scores.
#[derive(Clone, Debug)]
pub struct Zset(Form);

#[derive(Clone, Debug)]
enum Form {
    Small(Small),
    Large(Arc<Tree>),
}

impl Default for Zset {
    fn default() -> Self {
        Self(Form::Small(Small::default()))
    }
}

/// Where a member is, or that it is not there.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// The score of the member, if it is there.
    pub score: Option<f64>,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Small(small::Found),
    Large(tree::Place),
    Nowhere,
}

/// Reading.
impl Zset {
    /// A set without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// The set whose members and scores are the items of a listpack in turn; nothing if a member is there twice.
    pub fn of_listpack(pack: Listpack, limits: &Limits) -> Option<Self> {
        let is_written_so = pack.bytes().len() <= LISTPACK_BYTES_MAX && pack.is_canonical();
        let small = Small::of_listpack(pack);
        let members: Vec<(PackedItem<'_>, f64)> = small.walk(0..small.len(), false).collect();
        if members.iter().any(|(_, score)| score.is_nan())
            || !are_different(members.iter().map(|(member, _)| *member))
        {
            return None;
        }
        let is_kept = is_written_so
            && members.len() as u64 <= limits.zset_entries_max
            && members.iter().all(|&(member, _)| member.bytes_len() <= limits.zset_value_bytes_max)
            && members.is_sorted_by(|&one, &next| small::order(one, next).is_lt());
        if is_kept {
            drop(members);
            return Some(Self(Form::Small(small)));
        }
        let mut zset = Self::new();
        let mut insert = |(member, score): &(PackedItem<'_>, f64)| {
            small::with(*member, |member| zset.insert(member, *score, limits).is_none())
        };
        members.iter().all(&mut insert).then_some(zset)
    }

    /// The listpack of a small set.
    pub fn block(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Small(small) => Some(small.listpack()),
            Form::Large(_) => None,
        }
    }

    /// How many members there are.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Small(small) => small.len(),
            Form::Large(tree) => tree.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where `member` is, if it is there, for [`Zset::put`].
    #[inline]
    pub fn spot(&self, member: &[u8]) -> Spot {
        let found = match &self.0 {
            Form::Small(small) => small.find(member).map(|found| (found.score, At::Small(found))),
            Form::Large(tree) => {
                tree.find(member).map(|place| (tree.score(place), At::Large(place)))
            }
        };
        match found {
            Some((score, at)) => Spot { score: Some(score), at },
            None => Spot { score: None, at: At::Nowhere },
        }
    }

    /// The score of `member`.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Form::Small(small) => small.find(member).map(|found| found.score),
            Form::Large(tree) => tree.find(member).map(|place| tree.score(place)),
        }
    }

    /// How many members stand in front of `member`, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Form::Small(small) => small.find(member).map(|found| (found.rank, found.score)),
            Form::Large(tree) => {
                let score = tree.score(tree.find(member)?);
                let key = Key { score, member };
                Some((tree.count(|other| other.order(&key).is_lt()), score))
            }
        }
    }

    /// The ranks of the members whose scores are in `range`.
    pub fn score_range(&self, range: &ScoreRange) -> Range<usize> {
        self.range_of(range)
    }

    /// The ranks of the members in `range`, if all scores are equal.
    pub fn lex_range(&self, range: &LexRange<'_>) -> Range<usize> {
        self.range_of(range)
    }

    fn range_of(&self, bounds: &impl Bounds) -> Range<usize> {
        match &self.0 {
            Form::Small(small) => small.range_of(bounds),
            Form::Large(tree) => {
                let start = tree.count(|key| bounds.is_above(key));
                ranks(start, tree.count(|key| bounds.reaches(key)))
            }
        }
    }

    /// All members, lowest score first, equal scores in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, f64)> {
        self.range(0..self.len(), false).map(|(member, score)| (member.to_bytes(), score))
    }

    /// The members of some ranks, which must be there; backwards if `reverse`.
    pub fn range(&self, ranks: Range<usize>, reverse: bool) -> Elements<'_> {
        Elements(match &self.0 {
            Form::Small(small) => Walk::Small(small.walk(ranks, reverse)),
            Form::Large(tree) => Walk::Large(tree.walk(ranks, reverse)),
        })
    }

    /// Visits members from a cursor on, about `count` of them, and answers the next cursor: 0 at the end, where 0 also
    /// begins. A member that is there all the time is visited, perhaps more than once, whatever comes and goes between the
    /// calls. A small set is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Form::Small(small) => {
                for (member, score) in small.walk(0..small.len(), false) {
                    small::with(member, |member| visit(member, score));
                }
                0
            }
            Form::Large(tree) => tree.scan(cursor, count, |key| visit(key.member, key.score)),
        }
    }

    /// Whether it is one compact block.
    pub fn is_small(&self) -> bool {
        matches!(self.0, Form::Small(_))
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        if self.is_small() { "listpack" } else { "skiplist" }
    }

    /// Bytes of memory held, as the allocator rounds them; taken from a sample where there is much.
    pub fn memory_usage(&self) -> usize {
        match &self.0 {
            Form::Small(small) => size_class(small.capacity()),
            Form::Large(tree) => arc_bytes::<Tree>() + tree.memory_usage(),
        }
    }
}

/// Changing.
impl Zset {
    /// A set of members that are in its order, each once.
    pub fn of_ordered(members: &[(PackedItem<'_>, f64)], limits: &Limits) -> Self {
        let bytes = members.iter().map(|&(member, _)| member.bytes_len()).sum::<usize>();
        let is_small = members.len() as u64 <= limits.zset_entries_max
            && members.iter().all(|&(member, _)| member.bytes_len() <= limits.zset_value_bytes_max)
            && bytes < LISTPACK_BYTES_MAX;
        if is_small {
            let mut small = Small::default();
            members.iter().for_each(|&(member, score)| small.push(member, score));
            return Self(Form::Small(small));
        }
        Self(Form::Large(Arc::new(tree_of(members.iter().copied()))))
    }

    /// Says that `count` members of at most `longest` bytes are about to be added to a set without members.
    pub fn prepare(&mut self, count: usize, longest: usize, limits: &Limits) {
        let small =
            count as u64 <= limits.zset_entries_max && longest <= limits.zset_value_bytes_max;
        if !small && self.is_empty() {
            self.0 = Form::Large(Arc::default());
        }
    }

    /// Sets the score of `member`, and returns its former one.
    ///
    /// # Panics
    /// If the score is NaN: callers refuse it.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        let spot = self.spot(member);
        if spot.score != Some(score) {
            self.put(&spot, member, score, limits);
        }
        spot.score
    }

    /// Gives `member`, which was found to be at `spot`, the score `score`. Nothing may have changed since.
    ///
    /// # Panics
    /// If the score is NaN: callers refuse it.
    pub fn put(&mut self, spot: &Spot, member: &[u8], score: f64, limits: &Limits) {
        assert!(!score.is_nan(), "a score is a number");
        let key = Key { score, member };
        match (&mut self.0, spot.at) {
            (Form::Small(small), At::Small(found)) => {
                small.remove(found);
                small.insert(&key);
            }
            (Form::Large(tree), At::Large(place)) => {
                Arc::make_mut(tree).set_score(place, member, score)
            }
            _ => self.add(&key, limits),
        }
    }

    /// Adds a member that is not there.
    fn add(&mut self, key: &Key<'_>, limits: &Limits) {
        match &mut self.0 {
            Form::Small(small) => {
                let member = key.member;
                let fits = (small.len() as u64) < limits.zset_entries_max
                    && member.len() <= limits.zset_value_bytes_max
                    && small.bytes() + member.len() < LISTPACK_BYTES_MAX;
                if fits {
                    small.insert(key);
                } else {
                    self.grow_up();
                    self.add(key, limits);
                }
            }
            Form::Large(tree) => Arc::make_mut(tree).insert(key),
        }
    }

    /// Removes `member`, and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Form::Small(small) => {
                let found = small.find(member)?;
                small.remove(found);
                Some(found.score)
            }
            Form::Large(tree) => {
                let place = tree.find(member)?;
                let score = tree.score(place);
                Arc::make_mut(tree).remove(place, member);
                Some(score)
            }
        }
    }

    /// Removes the members of some ranks, which must be there.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        match &mut self.0 {
            Form::Small(small) => small.remove_range(ranks),
            Form::Large(tree) => Arc::make_mut(tree).remove_range(ranks),
        }
    }

    /// Makes it a large set.
    fn grow_up(&mut self) {
        self.0 = Form::Large(Arc::new(tree_of(self.range(0..self.len(), false))));
    }

    /// Asserts what always holds.
    #[cfg(test)]
    fn check_invariants(&self) {
        match &self.0 {
            Form::Small(small) => {
                assert_eq!(small.walk(0..small.len(), false).count(), small.len());
            }
            Form::Large(tree) => tree.check_invariants(),
        }
    }
}

/// Members with their scores, on the way through a set.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Walk<'a>);

#[derive(Clone, Debug)]
enum Walk<'a> {
    Small(small::Walk<'a>),
    Large(tree::Walk<'a>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = (PackedItem<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Small(walk) => walk.next(),
            Walk::Large(walk) => walk.next().map(|key| (PackedItem::Bytes(key.member), key.score)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Walk::Small(walk) => walk.left(),
            Walk::Large(walk) => walk.left(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// A tree of members that are in its order, each once.
fn tree_of<'a>(members: impl ExactSizeIterator<Item = (PackedItem<'a>, f64)>) -> Tree {
    let mut builder = Builder::with_capacity(members.len());
    for (member, score) in members {
        small::with(member, |member| builder.push(&Key { score, member }));
    }
    builder.finish()
}

#[cfg(test)]
mod tests;
