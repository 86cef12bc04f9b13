//! The order of SORT: elements beside what decides their order, and a sort that compares nothing else.

use std::cmp::Ordering;
use std::ops::Range;

use super::sort_pattern::{Lookup, Pattern, weight};
use crate::resp::CommandError;
use crate::types::{End, Object, member_bytes};

/// What elements are sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// Themselves.
    Element,
    /// What a pattern means for them.
    Pattern(Pattern<'a>),
    /// Nothing: the order is that of the collection.
    Nothing,
}

/// The order wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) by: By<'a>,
    /// As texts, byte by byte; else as numbers.
    pub(super) alpha: bool,
    pub(super) descends: bool,
}

/// A part of the bytes.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// An element and its weight; both texts lie in the bytes of all.
#[derive(Clone, Copy, Debug)]
struct Item {
    element: Span,
    weight: Weight,
}

#[derive(Clone, Copy, Debug)]
enum Weight {
    /// The element itself, as text.
    Itself,
    Number(f64),
    Text(Span),
    /// There is no text: in front of all others.
    Missing,
}

/// Copies of the elements of a collection.
#[derive(Debug, Default)]
pub(super) struct Elements {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Elements {
    /// The elements of a list, set or sorted set; none of anything else. Of lists and sorted sets that keep their own order
    /// only `range` is loaded, in the direction wanted.
    pub(super) fn load(object: &Object, order: &Order<'_>, range: Range<usize>) -> Self {
        let mut elements = Self::default();
        let keeps_order = matches!(order.by, By::Nothing);
        let mut buffer = itoa::Buffer::new();
        match object {
            Object::List(list) => {
                let from = if keeps_order && order.descends { End::Tail } else { End::Head };
                let range = if keeps_order { range } else { 0..list.len() };
                elements.items.reserve_exact(range.len());
                list.walk_some(from, range.start, range.len(), |item| {
                    elements.push(member_bytes(item, &mut buffer));
                });
            }
            Object::Set(set) => {
                elements.items.reserve_exact(set.len());
                for member in set.iter() {
                    elements.push(member_bytes(member, &mut buffer));
                }
            }
            Object::Zset(zset) => {
                let len = zset.len();
                let backwards = keeps_order && order.descends;
                let ranks = match (keeps_order, backwards) {
                    (false, _) => 0..len,
                    (true, false) => range,
                    (true, true) => len - range.end..len - range.start,
                };
                elements.items.reserve_exact(ranks.len());
                for (member, _) in zset.range(ranks, backwards) {
                    elements.push(member_bytes(member, &mut buffer));
                }
            }
            Object::Hash(_) | Object::Stream(_) => {}
        }
        elements
    }

    fn push(&mut self, element: &[u8]) {
        let element = self.keep(element);
        self.items.push(Item { element, weight: Weight::Itself });
    }

    fn keep(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span { start, end: self.bytes.len() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The element at a place.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let Span { start, end } = self.items[index].element;
        &self.bytes[start..end]
    }

    /// Puts the elements of `range` in their places; others stand anywhere else.
    ///
    /// # Errors
    /// A weight is no number and should be one.
    pub(super) fn sort(
        &mut self,
        lookup: &mut Lookup<'_>,
        order: &Order<'_>,
        range: Range<usize>,
    ) -> Result<(), CommandError> {
        if matches!(order.by, By::Nothing) {
            return Ok(());
        }
        self.weigh(lookup, order)?;
        let Elements { bytes, items } = self;
        let text = |span: Span| &bytes[span.start..span.end];
        let compare = |one: &Item, other: &Item| {
            let by_weight = match (one.weight, other.weight) {
                (Weight::Number(one), Weight::Number(other)) => {
                    one.partial_cmp(&other).unwrap_or(Ordering::Equal)
                }
                (Weight::Text(one), Weight::Text(other)) => text(one).cmp(text(other)),
                (Weight::Missing, Weight::Text(_)) => Ordering::Less,
                (Weight::Text(_), Weight::Missing) => Ordering::Greater,
                _ => Ordering::Equal,
            };
            // Equal weights leave nothing to chance: log and replicas have to come to the same list.
            let ordering = by_weight.then_with(|| text(one.element).cmp(text(other.element)));
            if order.descends { ordering.reverse() } else { ordering }
        };
        let mut wanted = &mut items[..];
        // With LIMIT the others need not be in order among themselves.
        if range.end < wanted.len() && range.end > 0 {
            wanted.select_nth_unstable_by(range.end - 1, compare);
            wanted = &mut wanted[..range.end];
        }
        if range.start > 0 && range.start < wanted.len() {
            wanted.select_nth_unstable_by(range.start, compare);
            wanted = &mut wanted[range.start..];
        }
        if !range.is_empty() {
            wanted.sort_unstable_by(compare);
        }
        Ok(())
    }

    /// Finds out what each element is sorted by.
    fn weigh(&mut self, lookup: &mut Lookup<'_>, order: &Order<'_>) -> Result<(), CommandError> {
        const NOT_NUMBERS: CommandError =
            CommandError::new("ERR One or more scores can't be converted into double");
        if order.alpha && matches!(order.by, By::Element) {
            return Ok(());
        }
        let mut text: Vec<u8> = Vec::new();
        for index in 0..self.items.len() {
            let weight = match (&order.by, order.alpha) {
                (By::Pattern(pattern), true) => {
                    text.clear();
                    let found = lookup.value(pattern, self.get(index), |value| {
                        value.map(|value| text.extend_from_slice(value)).is_some()
                    });
                    if found { Weight::Text(self.keep(&text)) } else { Weight::Missing }
                }
                (By::Pattern(pattern), false) => {
                    let number = lookup
                        .value(pattern, self.get(index), |value| value.map_or(Some(0.0), weight));
                    Weight::Number(number.ok_or(NOT_NUMBERS)?)
                }
                _ => Weight::Number(weight(self.get(index)).ok_or(NOT_NUMBERS)?),
            };
            self.items[index].weight = weight;
        }
        Ok(())
    }
}
