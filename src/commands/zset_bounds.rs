//! Which part of a sorted set a command is about: ranks, scores or members.

use std::ops::Range;

use super::arguments::integer;
use super::double::lenient;
use crate::resp::CommandError;
use crate::types::{LexBound, LexRange, ScoreBound, ScoreRange, Zset};

/// A part of a sorted set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// From one rank to another; negative ones count from the end.
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

/// How the two ends of a part are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

impl<'a> Part<'a> {
    /// Reads the two ends.
    ///
    /// # Errors
    /// They are no ranks, scores or members; the text depends on which they should be.
    pub(super) fn parse(by: By, start: &'a [u8], end: &'a [u8]) -> Result<Self, CommandError> {
        Ok(match by {
            By::Rank => Part::Ranks(integer(start)?, integer(end)?),
            By::Score => {
                const NOT_SCORES: CommandError = CommandError::new("ERR min or max is not a float");
                let (min, max) = (score_bound(start), score_bound(end));
                let (min, max) = min.zip(max).ok_or(NOT_SCORES)?;
                Part::Scores(ScoreRange { min, max })
            }
            By::Lex => {
                const NOT_MEMBERS: CommandError =
                    CommandError::new("ERR min or max not valid string range item");
                let (min, max) = (lex_bound(start), lex_bound(end));
                let (min, max) = min.zip(max).ok_or(NOT_MEMBERS)?;
                Part::Members(LexRange { min, max })
            }
        })
    }

    /// The ranks of the members in this part; where ranks are given, counted from the end if `reverse`.
    pub(super) fn ranks(&self, zset: &Zset, reverse: bool) -> Range<usize> {
        match self {
            Part::Scores(range) => zset.score_range(range),
            Part::Members(range) => zset.lex_range(range),
            Part::Ranks(start, end) => {
                let len = zset.len();
                let range = rank_range(*start, *end, len);
                if reverse { len - range.end..len - range.start } else { range }
            }
        }
    }
}

/// The ranks `start ..= end` of `len`.
fn rank_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_end = |rank: i64| match usize::try_from(rank) {
        Ok(rank) => Some(rank),
        Err(_) => len.checked_sub(usize::try_from(rank.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    // What counts past the start is the start; an end there is in front of everything.
    let start = from_end(start).unwrap_or(0).min(len);
    let end = from_end(end).map_or(0, |end| end.saturating_add(1).min(len));
    start..end.max(start)
}

fn score_bound(text: &[u8]) -> Option<ScoreBound> {
    let (exclusive, number) = match text {
        [b'(', number @ ..] => (true, number),
        number => (false, number),
    };
    Some(ScoreBound { score: lenient(number)?, exclusive })
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::First),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Last),
        [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
        _ => None,
    }
}

/// LIMIT: how many members are left out, and how many are shown of what follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) offset: i64,
    /// Negative: all.
    pub(super) count: i64,
}

impl Window {
    /// All of them.
    pub(super) const ALL: Window = Window { offset: 0, count: -1 };

    /// Reads offset and count.
    ///
    /// # Errors
    /// They are no integers.
    pub(super) fn parse(offset: &[u8], count: &[u8]) -> Result<Self, CommandError> {
        Ok(Window { offset: integer(offset)?, count: integer(count)? })
    }

    /// The part of `ranks` in the window, counted from the end if `reverse`.
    pub(super) fn of(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let len = ranks.len();
        // A negative offset leaves out everything.
        let offset = usize::try_from(self.offset).unwrap_or(len).min(len);
        let count = usize::try_from(self.count).unwrap_or(len).min(len - offset);
        if reverse {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }
}

/// The option `word` names what the ends of a range are.
pub(super) fn by(word: &[u8]) -> Option<By> {
    if word.eq_ignore_ascii_case(b"byscore") {
        Some(By::Score)
    } else if word.eq_ignore_ascii_case(b"bylex") {
        Some(By::Lex)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_either_end() {
        assert_eq!(rank_range(0, -1, 5), 0..5);
        assert_eq!(rank_range(-2, 9, 5), 3..5);
        assert_eq!(rank_range(-9, -5, 5), 0..1);
        assert!(rank_range(-9, -6, 5).is_empty());
        assert!(rank_range(3, 1, 5).is_empty());
        assert!(rank_range(7, 9, 5).is_empty());
        assert!(rank_range(i64::MIN, i64::MIN, 5).is_empty());
        assert_eq!(rank_range(i64::MIN, i64::MAX, 5), 0..5);
    }

    #[test]
    fn windows_are_cut_from_the_front_or_the_back() {
        let window = |offset, count| Window { offset, count };
        assert_eq!(window(1, 2).of(10..20, false), 11..13);
        assert_eq!(window(1, 2).of(10..20, true), 17..19);
        assert_eq!(window(8, -1).of(10..20, false), 18..20);
        assert!(window(-1, 2).of(10..20, false).is_empty());
        assert!(window(20, 2).of(10..20, true).is_empty());
    }
}
