//! The order of a sorted set: by score, equal scores by the bytes of their members. -0 and 0 are equal.

use std::cmp::Ordering;
use std::ops::Range;

/// A place in the order: a score and a member, or what separates members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    /// Not NaN.
    pub(super) score: f64,
    /// The member.
    pub(super) member: &'a [u8],
}

impl Key<'_> {
    /// How it stands to another place.
    #[inline]
    pub(super) fn order(&self, other: &Key<'_>) -> Ordering {
        if self.score < other.score {
            Ordering::Less
        } else if self.score > other.score {
            Ordering::Greater
        } else {
            self.member.cmp(other.member)
        }
    }
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// Where it is.
    pub score: f64,
    /// Whether members with this very score are outside.
    pub exclusive: bool,
}

/// A range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lower end.
    pub min: ScoreBound,
    /// The upper end.
    pub max: ScoreBound,
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// In front of all members: `-`.
    First,
    /// Behind all members: `+`.
    Last,
    /// This member and what follows: `[`.
    Inclusive(&'a [u8]),
    /// Without this member: `(`.
    Exclusive(&'a [u8]),
}

/// A range of members, for sets in which all scores are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The lower end.
    pub min: LexBound<'a>,
    /// The upper end.
    pub max: LexBound<'a>,
}

/// What selects a part of the order.
pub(super) trait Bounds {
    /// Whether a place lies below the range.
    fn is_above(&self, key: &Key<'_>) -> bool;
    /// Whether a place lies in the range or below it.
    fn reaches(&self, key: &Key<'_>) -> bool;
}

impl Bounds for ScoreRange {
    fn is_above(&self, key: &Key<'_>) -> bool {
        let min = self.min;
        if min.exclusive { key.score <= min.score } else { key.score < min.score }
    }

    fn reaches(&self, key: &Key<'_>) -> bool {
        let max = self.max;
        if max.exclusive { key.score < max.score } else { key.score <= max.score }
    }
}

impl Bounds for LexRange<'_> {
    fn is_above(&self, key: &Key<'_>) -> bool {
        match self.min {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(min) => key.member < min,
            LexBound::Exclusive(min) => key.member <= min,
        }
    }

    fn reaches(&self, key: &Key<'_>) -> bool {
        match self.max {
            LexBound::First => false,
            LexBound::Last => true,
            LexBound::Inclusive(max) => key.member <= max,
            LexBound::Exclusive(max) => key.member < max,
        }
    }
}

/// The ranks `start .. end`, empty where the end is in front of the start.
pub(super) fn ranks(start: usize, end: usize) -> Range<usize> {
    start..end.max(start)
}
