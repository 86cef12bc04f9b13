//! Sorted sets: members found by name, walked by score.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Limits;
use crate::alloc::size_class;

/// A place in the order: by score, then by the bytes of the member.
#[derive(Clone, Debug)]
struct Place {
    score: f64,
    member: Arc<[u8]>,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        // Scores are never NaN and never -0, so this is the order of numbers.
        self.score.total_cmp(&other.score).then_with(|| self.member.cmp(&other.member))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

/// What a place and a table entry cost beside their bytes, roughly.
const ENTRY_BYTES: usize = 64;

/// A set whose members have scores.
#[derive(Clone, Debug, Default)]
pub struct Zset {
    scores: HashMap<Arc<[u8]>, f64>,
    places: BTreeSet<Place>,
}

impl Zset {
    /// A set without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The score of `member`.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Sets the score of `member`, and returns its former one. A score of -0 becomes 0.
    ///
    /// # Panics
    /// If the score is NaN: callers refuse it.
    pub fn insert(&mut self, member: &[u8], score: f64, _: &Limits) -> Option<f64> {
        assert!(!score.is_nan(), "a score is a number");
        let score = score + 0.0;
        let old = self.remove(member);
        let member: Arc<[u8]> = Arc::from(member);
        self.scores.insert(Arc::clone(&member), score);
        self.places.insert(Place { score, member });
        old
    }

    /// Removes `member`, and returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (member, score) = self.scores.remove_entry(member)?;
        let removed = self.places.remove(&Place { score, member });
        assert!(removed, "a member with a score has a place");
        Some(score)
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, limits: &Limits) -> &'static str {
        let fits = |bytes: &[u8]| bytes.len() <= limits.zset_value_bytes_max;
        let packed = self.len() as u64 <= limits.zset_entries_max
            && self.iter().all(|(member, _)| fits(member));
        if packed { "listpack" } else { "skiplist" }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        self.iter().map(|(member, _)| size_class(member.len()) + 2 * ENTRY_BYTES).sum()
    }

    /// All members, lowest score first, equal scores in the order of their bytes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.places.iter().map(|place| (&*place.member, place.score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_walked_by_score_then_by_bytes() {
        let (mut zset, limits) = (Zset::new(), Limits::default());
        for (member, score) in [("b", 1.0), ("a", 1.0), ("c", f64::NEG_INFINITY), ("d", -0.0)] {
            assert_eq!(zset.insert(member.as_bytes(), score, &limits), None);
        }
        assert_eq!(zset.insert(b"d", 0.5, &limits), Some(0.0));
        let walked: Vec<_> = zset.iter().map(|(member, _)| member.to_vec()).collect();
        assert_eq!(walked, [b"c", b"d", b"a", b"b"]);
        assert_eq!(zset.remove(b"a"), Some(1.0));
        assert_eq!((zset.remove(b"a"), zset.score(b"b"), zset.len()), (None, Some(1.0), 3));
    }

    #[test]
    fn encodings_change_at_stocks_thresholds() {
        let check = |count: usize, expected: &str| {
            let (mut zset, limits) = (Zset::new(), Limits::default());
            (0..count).for_each(|n| {
                zset.insert(n.to_string().as_bytes(), 1.5, &limits);
            });
            assert_eq!(zset.encoding(&limits), expected);
        };
        check(128, "listpack");
        check(129, "skiplist");
    }
}
