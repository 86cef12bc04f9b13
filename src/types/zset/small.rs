//! Small sorted sets: one listpack of members and scores in turn, in order.

use std::cmp::Ordering;
use std::ops::Range;

use super::order::{Bounds, Key, ranks};
use crate::resp::number::{push_f64, push_i64};
use crate::types::listpack::{Items, Listpack, Needle, PackedItem, Place};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Small(Listpack);

/// A member in the listpack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    place: Place,
    pub(super) rank: usize,
    pub(super) score: f64,
}

impl Small {
    pub(super) fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Of members and scores in turn, which are in order.
    pub(super) fn of_listpack(pack: Listpack) -> Self {
        Self(pack)
    }

    /// The whole block.
    pub(super) fn listpack(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Bytes of memory reserved.
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Bytes of the listpack.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes().len()
    }

    pub(super) fn find(&self, member: &[u8]) -> Option<Found> {
        let needle = Needle::new(member);
        let mut items = self.0.iter();
        for rank in 0.. {
            let place = items.place()?;
            let (item, score) = (items.next()?, items.next()?);
            if item.is(&needle) {
                return Some(Found { place, rank, score: number(score) });
            }
        }
        None
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, key: &Key<'_>) {
        let mut items = self.0.iter();
        let place = loop {
            let Some(place) = items.place() else { break self.0.tail() };
            let (Some(member), Some(score)) = (items.next(), items.next()) else {
                break self.0.tail();
            };
            let score = number(score);
            if score > key.score || (score >= key.score && with(member, |other| other > key.member))
            {
                break place;
            }
        };
        let mut text = Vec::with_capacity(32);
        push_score(&mut text, key.score);
        self.0.insert(place, &text);
        self.0.insert(place, key.member);
    }

    /// Adds a member behind all others.
    pub(super) fn push(&mut self, member: PackedItem<'_>, score: f64) {
        self.0.push_item(member);
        let mut text = Vec::with_capacity(32);
        push_score(&mut text, score);
        self.0.push(&text);
    }

    pub(super) fn remove(&mut self, found: Found) {
        self.0.remove(found.place, 2);
    }

    pub(super) fn remove_range(&mut self, ranks: Range<usize>) {
        if let Some(place) = self.0.at(2 * ranks.start) {
            self.0.remove(place, 2 * ranks.len());
        }
    }

    /// The ranks of the members within bounds.
    pub(super) fn range_of(&self, bounds: &impl Bounds) -> Range<usize> {
        let mut items = self.0.iter();
        let (mut start, mut rank) = (None, 0);
        while let (Some(member), Some(score)) = (items.next(), items.next()) {
            let score = number(score);
            let (is_above, reaches) = with(member, |member| {
                let key = Key { score, member };
                (bounds.is_above(&key), bounds.reaches(&key))
            });
            if start.is_none() && !is_above {
                start = Some(rank);
            }
            if start.is_some() && !reaches {
                break;
            }
            rank += 1;
        }
        ranks(start.unwrap_or(rank), rank)
    }

    pub(super) fn walk(&self, ranks: Range<usize>, reverse: bool) -> Walk<'_> {
        let left = ranks.len();
        let place = |rank: usize| self.0.at(2 * rank).unwrap_or_else(|| self.0.tail());
        let items = if left == 0 || reverse {
            self.0.iter_until(place(ranks.end))
        } else {
            self.0.iter_from(place(ranks.start))
        };
        Walk { items, left, reverse }
    }
}

/// Members on the way through a listpack.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    items: Items<'a>,
    left: usize,
    reverse: bool,
}

impl Walk<'_> {
    /// How many are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (PackedItem<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.reverse {
            let score = self.items.next_back()?;
            Some((self.items.next_back()?, number(score)))
        } else {
            let member = self.items.next()?;
            Some((member, number(self.items.next()?)))
        }
    }
}

/// What `look` says of the bytes of an item.
pub(super) fn with<R>(item: PackedItem<'_>, look: impl FnOnce(&[u8]) -> R) -> R {
    match item {
        PackedItem::Int(number) => look(itoa::Buffer::new().format(number).as_bytes()),
        PackedItem::Bytes(bytes) => look(bytes),
    }
}

/// How a member with its score stands to another.
pub(super) fn order(
    (member, score): (PackedItem<'_>, f64),
    (other, other_score): (PackedItem<'_>, f64),
) -> Ordering {
    with(member, |member| {
        with(other, |other| Key { score, member }.order(&Key { score: other_score, member: other }))
    })
}

/// A score as it stands in a listpack.
#[expect(clippy::cast_precision_loss, reason = "integers are written only where they are exact")]
fn number(item: PackedItem<'_>) -> f64 {
    match item {
        PackedItem::Int(number) => number as f64,
        PackedItem::Bytes(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("scores were written here"),
    }
}

/// Writes a score as stock servers do: as an integer where it is one (so -0 becomes 0), otherwise with the fewest digits.
#[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
#[expect(clippy::cast_precision_loss, reason = "compared with what it came from")]
fn push_score(text: &mut Vec<u8>, score: f64) {
    const LIMIT: f64 = (i64::MAX / 2) as f64;
    let integer = score as i64;
    if score.abs() <= LIMIT && integer as f64 == score {
        push_i64(text, integer);
    } else {
        push_f64(text, score);
    }
}
