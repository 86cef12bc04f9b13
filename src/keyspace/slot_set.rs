//! A set of slots, in memory as it stands in packets.

use std::fmt;

use super::key::{SLOT_COUNT, Slot};

const WORDS: usize = SLOT_COUNT / 64;

/// A set of slots. Its bytes on the wire: slot `s` is bit `s % 8` of byte `s / 8`.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

impl SlotSet {
    /// Length on the wire in bytes.
    pub const BYTES: usize = SLOT_COUNT / 8;

    /// The empty set.
    pub const EMPTY: SlotSet = SlotSet([0; WORDS]);

    /// The set with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self(std::array::from_fn(|index| u64::from_le_bytes(words[index])))
    }

    /// Appends the bytes of the set.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Whether `slot` is in it.
    #[inline]
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & bit(slot) != 0
    }

    /// Puts `slot` in.
    pub fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= bit(slot);
    }

    /// Takes `slot` out.
    pub fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !bit(slot);
    }

    /// How many slots are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether any slot is in both.
    #[must_use]
    pub fn meets(&self, other: &SlotSet) -> bool {
        self.0.iter().zip(&other.0).any(|(one, other)| one & other != 0)
    }

    /// All slots in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.checked_ilog2().map(|_| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Slot::new(u16::try_from(index * 64 + bit).ok()?)
            })
        })
    }

    /// Runs of consecutive slots, first and last, ascending.
    pub fn ranges(&self) -> Vec<(Slot, Slot)> {
        let mut ranges: Vec<(Slot, Slot)> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if last.number() + 1 == slot.number() => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }
}

fn bit(slot: Slot) -> u64 {
    1 << (slot.index() % 64)
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<T: IntoIterator<Item = Slot>>(slots: T) -> Self {
        let mut set = Self::EMPTY;
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.ranges();
        f.debug_set()
            .entries(shown.iter().map(|(first, last)| first.number()..=last.number()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(numbers: &[u16]) -> SlotSet {
        numbers.iter().map(|number| Slot::new(*number).unwrap()).collect()
    }

    #[test]
    fn bytes_hold_low_bits_first() {
        let set = slots(&[0, 9, 16383]);
        let mut bytes = Vec::new();
        set.write_to(&mut bytes);
        assert_eq!((bytes.len(), bytes[0], bytes[1], bytes[2047]), (2048, 1, 2, 0x80));
        assert_eq!(SlotSet::from_bytes(bytes.as_slice().try_into().unwrap()), set);
    }

    #[test]
    fn runs_are_found() {
        let numbers = [0, 1, 2, 63, 64, 65, 100, 16383];
        let set = slots(&numbers);
        assert_eq!(set.iter().map(Slot::number).collect::<Vec<_>>(), numbers);
        let ranges: Vec<(u16, u16)> =
            set.ranges().iter().map(|(first, last)| (first.number(), last.number())).collect();
        assert_eq!(ranges, [(0, 2), (63, 65), (100, 100), (16383, 16383)]);
        assert_eq!((set.len(), set.is_empty(), SlotSet::EMPTY.is_empty()), (8, false, true));
        assert_eq!(Slot::all().collect::<SlotSet>().len(), SLOT_COUNT);
        assert!(set.meets(&slots(&[7, 65])) && !set.meets(&slots(&[3, 66])));
    }
}
