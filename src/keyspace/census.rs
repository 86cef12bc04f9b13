//! How many keys each slot of a database holds, summed up so that the slot of the n-th key is found at once.
//!
//! Sampling for RANDOMKEY and eviction must be fair although slots hold unequal numbers of keys; SCAN must not
//! look at 16384 empty slots to find three keys. Two levels serve both: a count per slot and one per group of
//! 128 slots. A write changes two numbers; a search reads at most 128 of each.

use super::key::{SLOT_COUNT, Slot};

const GROUP: usize = 128;

/// Keys per slot and per group of slots.
#[derive(Debug)]
pub(super) struct Census {
    slots: Box<[u32]>,
    groups: [u64; SLOT_COUNT / GROUP],
    total: u64,
}

impl Default for Census {
    fn default() -> Census {
        Census {
            slots: vec![0; SLOT_COUNT].into_boxed_slice(),
            groups: [0; SLOT_COUNT / GROUP],
            total: 0,
        }
    }
}

impl Census {
    /// Keys in all slots.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Keys in `slot`.
    pub(super) fn count(&self, slot: Slot) -> u32 {
        self.slots[slot.index()]
    }

    /// One key more in `slot`.
    #[inline]
    pub(super) fn add(&mut self, slot: Slot) {
        self.slots[slot.index()] += 1;
        self.groups[slot.index() / GROUP] += 1;
        self.total += 1;
    }

    /// One key less in `slot`.
    #[inline]
    pub(super) fn subtract(&mut self, slot: Slot) {
        self.slots[slot.index()] -= 1;
        self.groups[slot.index() / GROUP] -= 1;
        self.total -= 1;
    }

    /// Corrects the count of `slot` to `count`.
    pub(super) fn set(&mut self, slot: Slot, count: u32) {
        let before = std::mem::replace(&mut self.slots[slot.index()], count);
        let group = &mut self.groups[slot.index() / GROUP];
        *group = *group + u64::from(count) - u64::from(before);
        self.total = self.total + u64::from(count) - u64::from(before);
    }

    /// The slot that holds key number `n` when keys are numbered by slot, from 0; `None` from the total on.
    pub(super) fn slot_of(&self, n: u64) -> Option<Slot> {
        let mut left = n;
        let group = self.groups.iter().position(|&count| take(&mut left, count))?;
        let slots = &self.slots[group * GROUP..(group + 1) * GROUP];
        let slot = slots.iter().position(|&count| take(&mut left, u64::from(count)));
        Some(Slot::at(group * GROUP + slot.expect("the group's count is the sum of its slots")))
    }

    /// A slot, each with a chance in proportion to its keys.
    pub(super) fn random(&self, rng: &mut fastrand::Rng) -> Option<Slot> {
        (self.total > 0).then(|| self.slot_of(rng.u64(..self.total)))?
    }

    /// The first slot from number `from` on that is not empty.
    pub(super) fn next_from(&self, from: usize) -> Option<Slot> {
        let mut at = from;
        while at < SLOT_COUNT {
            if at.is_multiple_of(GROUP) && self.groups[at / GROUP] == 0 {
                at += GROUP;
            } else if self.slots[at] == 0 {
                at += 1;
            } else {
                return Some(Slot::at(at));
            }
        }
        None
    }

    /// The slots that are not empty, in ascending order.
    pub(super) fn occupied(&self) -> impl Iterator<Item = Slot> {
        std::iter::successors(self.next_from(0), |slot| self.next_from(slot.index() + 1))
    }
}

/// Whether the `left`-th item is among the next `count`; otherwise these are counted off.
fn take(left: &mut u64, count: u64) -> bool {
    if *left < count {
        return true;
    }
    *left -= count;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slot_of_each_key_and_skips_empty_ones() {
        let mut census = Census::default();
        let keys = [(0, 2u32), (127, 1), (128, 3), (9000, 1), (16383, 2)];
        for (slot, count) in keys {
            for _ in 0..count {
                census.add(Slot::at(slot));
            }
        }
        let expected: Vec<usize> =
            keys.iter().flat_map(|&(slot, count)| vec![slot; count as usize]).collect();
        let found: Vec<usize> =
            (0..9).map(|n| census.slot_of(n).map(Slot::index).unwrap()).collect();
        assert_eq!(found, expected);
        assert_eq!(census.slot_of(9), None);
        let occupied: Vec<usize> = census.occupied().map(Slot::index).collect();
        assert_eq!(occupied, [0, 127, 128, 9000, 16383]);
        census.subtract(Slot::at(127));
        census.set(Slot::at(128), 0);
        assert_eq!(census.total(), 5);
        assert_eq!(census.next_from(1), Some(Slot::at(9000)));
        assert_eq!(Census::default().next_from(0), None);
        assert_eq!(Census::default().random(&mut fastrand::Rng::with_seed(1)), None);
    }
}
