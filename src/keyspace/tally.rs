//! What is known of all keys of a database together. Hidden slots are counted apart, so that whoever looks at the whole
//! of a database neither meets them nor pays for leaving them out.

use super::census::Census;
use super::key::{SLOT_COUNT, Slot};
use super::slot::SlotStore;
use super::slot_set::SlotSet;

/// Counts of some of the slots; of the others it says 0.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Keys per slot.
    pub(super) keys: Census,
    /// Keys with expiry per slot.
    pub(super) volatile: Census,
    /// Sum of the expiry times of all keys with expiry, for the average TTL.
    pub(super) expiry_sum_ms: u128,
}

impl Tally {
    /// Counts what `store` holds where the tally had nothing for `slot`.
    fn include(&mut self, slot: Slot, store: &SlotStore) {
        let count = |length: usize| u32::try_from(length).expect("a slot has fewer keys");
        self.keys.set(slot, count(store.table.len()));
        self.volatile.set(slot, count(store.expiries.len()));
        self.expiry_sum_ms += store.expiry_sum_ms;
    }

    /// Counts nothing for `slot` any more, which has held what `store` holds.
    fn exclude(&mut self, slot: Slot, store: &SlotStore) {
        self.keys.set(slot, 0);
        self.volatile.set(slot, 0);
        self.expiry_sum_ms -= store.expiry_sum_ms;
    }
}

#[derive(Debug, Default)]
struct Hidden {
    slots: SlotSet,
    tally: Tally,
}

/// The counts of a database: of the slots that are shown, and of those that are not.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    shown: Tally,
    /// Made while slots are hidden only: it takes 130 KiB.
    hidden: Option<Box<Hidden>>,
}

impl Tallies {
    /// Counts of the slots that are shown.
    #[inline]
    pub(super) fn shown(&self) -> &Tally {
        &self.shown
    }

    /// The counts that `slot` belongs to, to be changed.
    #[inline]
    pub(super) fn of(&mut self, slot: Slot) -> &mut Tally {
        match &mut self.hidden {
            Some(hidden) if hidden.slots.has(slot) => &mut hidden.tally,
            _ => &mut self.shown,
        }
    }

    /// Whether `slot` is hidden.
    #[inline]
    pub(super) fn is_hidden(&self, slot: Slot) -> bool {
        self.hidden.as_ref().is_some_and(|hidden| hidden.slots.has(slot))
    }

    /// Counts `slot`, which holds `store`, among the hidden ones.
    pub(super) fn hide(&mut self, slot: Slot, store: &SlotStore) {
        let hidden = self.hidden.get_or_insert_default();
        if !hidden.slots.has(slot) {
            hidden.slots.insert(slot);
            self.shown.exclude(slot, store);
            hidden.tally.include(slot, store);
        }
    }

    /// Counts `slot`, which holds `store`, among those that are shown.
    pub(super) fn show(&mut self, slot: Slot, store: &SlotStore) {
        if let Some(hidden) = self.hidden.as_mut().filter(|hidden| hidden.slots.has(slot)) {
            hidden.slots.remove(slot);
            hidden.tally.exclude(slot, store);
            self.shown.include(slot, store);
            if hidden.slots.is_empty() {
                self.hidden = None;
            }
        }
    }

    /// `slot` holds `new` in the place of `old`.
    pub(super) fn replace(&mut self, slot: Slot, old: &SlotStore, new: &SlotStore) {
        let tally = self.of(slot);
        tally.exclude(slot, old);
        tally.include(slot, new);
    }

    /// Keys of all slots, hidden or not, and how many of them have an expiry.
    pub(super) fn stored(&self) -> (u64, u64) {
        let hidden = self.hidden.as_ref().map(|hidden| &hidden.tally);
        let (keys, volatile) =
            hidden.map_or((0, 0), |tally| (tally.keys.total(), tally.volatile.total()));
        (self.shown.keys.total() + keys, self.shown.volatile.total() + volatile)
    }

    /// The first slot from number `from` on that is not empty, hidden or not.
    pub(super) fn next_stored(&self, from: usize) -> Option<Slot> {
        let shown = self.shown.keys.next_from(from);
        let hidden = self.hidden.as_ref().and_then(|hidden| hidden.tally.keys.next_from(from));
        shown.into_iter().chain(hidden).min()
    }

    /// Asserts that each slot is counted once, where it belongs.
    pub(super) fn check_invariants(&self, slots: &[SlotStore]) {
        assert!(self.hidden.as_ref().is_none_or(|hidden| !hidden.slots.is_empty()));
        let mut sums = [0, 0];
        for (index, store) in slots.iter().enumerate().take(SLOT_COUNT) {
            let (slot, held) = (Slot::at(index), (store.table.len(), store.expiries.len()));
            let counted = |tally: &Tally| {
                (tally.keys.count(slot) as usize, tally.volatile.count(slot) as usize)
            };
            let apart = self.hidden.as_ref().map_or((0, 0), |hidden| counted(&hidden.tally));
            let is_hidden = self.is_hidden(slot);
            let expected = if is_hidden { ((0, 0), held) } else { (held, (0, 0)) };
            assert_eq!((counted(&self.shown), apart), expected, "counts of {slot:?}");
            sums[usize::from(is_hidden)] += store.expiry_sum_ms;
        }
        let apart = self.hidden.as_ref().map_or(0, |hidden| hidden.tally.expiry_sum_ms);
        assert_eq!([self.shown.expiry_sum_ms, apart], sums, "sums of expiry times");
    }
}
