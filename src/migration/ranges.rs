//! Ranges of slots as text.

use crate::cluster::SlotSet;
use crate::keyspace::Slot;

/// `0-5 7 9-10`, with `separator` between the ranges. A single slot is a number, unless `pairs` asks for `7-7`.
#[must_use]
pub fn shown_ranges(slots: &SlotSet, separator: &str, pairs: bool) -> String {
    let shown = slots.ranges().into_iter().map(|(first, last)| match first == last && !pairs {
        true => first.number().to_string(),
        false => format!("{}-{}", first.number(), last.number()),
    });
    shown.collect::<Vec<_>>().join(separator)
}

/// Reads ranges with commas between them. `None`: they are none, or no slots.
#[must_use]
pub fn parse_ranges(text: &str) -> Option<SlotSet> {
    let mut slots = SlotSet::EMPTY;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        let (first, last) = (Slot::new(first)?, Slot::new(last)?);
        if first > last {
            return None;
        }
        Slot::all().skip(first.index()).take(last.index() - first.index() + 1).for_each(|slot| {
            slots.insert(slot);
        });
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_and_read() {
        for text in ["0-5,7,9-10", "16383", "0-16383"] {
            assert_eq!(shown_ranges(&parse_ranges(text).unwrap(), ",", false), text);
        }
        assert_eq!(shown_ranges(&parse_ranges("7,9-10").unwrap(), " ", true), "7-7 9-10");
        for text in ["", "a", "5-3", "16384", "0-16384", "1,", "1 2"] {
            assert_eq!(parse_ranges(text), None, "{text}");
        }
    }
}
