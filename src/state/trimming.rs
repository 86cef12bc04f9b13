//! Slots whose keys are being removed because they are not the node's any more.

use super::State;
use super::output::Output;
use crate::keyspace::{Slot, SlotSet};

/// Why the keys of a slot are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Another node has claimed it.
    Lost,
    /// What is here of it is of no use: an import that came to nothing, say.
    Unwanted,
}

/// The queue: hidden slots, to be emptied in slices between which others get at the node.
#[derive(Debug, Default)]
pub struct Trimming {
    slots: Box<SlotSet>,
    count: usize,
    /// Keys removed since the queue was empty.
    pub removed: u64,
    /// Since when it has not been empty, monotonic microseconds.
    pub since_us: u64,
    /// The driver is at it.
    pub is_driven: bool,
    /// Commands executed up to the last slice, to see whether the node has anything else to do.
    pub commands: u64,
}

impl Trimming {
    /// Whether there is nothing to be trimmed.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `slot` is in the queue.
    #[inline]
    #[must_use]
    pub fn has(&self, slot: Slot) -> bool {
        self.count > 0 && self.slots.has(slot)
    }

    /// The slot to go on with.
    #[must_use]
    pub fn first(&self) -> Option<Slot> {
        if self.is_empty() { None } else { self.slots.iter().next() }
    }
}

impl State {
    /// Whether nothing may be added to the log just now: what its successor has, say, is all there is to be.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        self.pause.is_some()
            || self.replication.failover.is_some()
            || self.is_being_replaced()
            || self.may_be_behind()
            || self.shutdown_waits
            || self.stopping
            || self.persistence.loading.is_some()
    }

    /// Whether former keys of `slot` are still being removed. Whoever owns it meanwhile cannot serve it yet.
    #[inline]
    #[must_use]
    pub fn is_trimming(&self, slot: Slot) -> bool {
        self.trimming.has(slot)
    }

    /// Has the keys of `slots` removed by and by; until then they are hidden. A slot without keys is shown at once.
    /// On a replica nothing happens: what becomes of its keys is its primary's to say.
    pub fn trim_slots(&mut self, slots: &[Slot], why: Why) {
        if self.is_replica() {
            return;
        }
        if self.trimming.is_empty() {
            self.trimming.removed = 0;
            self.trimming.since_us = self.time.mono_us;
        }
        let before = self.trimming.count;
        for &slot in slots {
            if !self.keyspace.has_keys_in([slot]) {
                self.show_slots([slot]);
            } else if !self.trimming.has(slot) {
                self.hide_slots([slot]);
                self.trimming.slots.insert(slot);
                self.trimming.count += 1;
            }
        }
        let added = self.trimming.count - before;
        if added == 0 {
            return;
        }
        let reason = match why {
            Why::Lost => "another node has claimed them",
            Why::Unwanted => "they are of no use here",
        };
        self.log(false, format!("Removing the keys of {added} slots: {reason}"));
        if !std::mem::replace(&mut self.trimming.is_driven, true) {
            self.outputs.push(Output::StartTrimming);
        }
    }

    /// `slot` has no keys left: it is shown again. The last one is worth a line in the log.
    pub fn slot_is_trimmed(&mut self, slot: Slot) {
        assert!(self.trimming.has(slot), "{slot:?} is not being trimmed");
        self.trimming.slots.remove(slot);
        self.trimming.count -= 1;
        self.show_slots([slot]);
        if self.trimming.is_empty() {
            let took_ms = self.time.mono_us.saturating_sub(self.trimming.since_us) / 1000;
            let removed = self.trimming.removed;
            self.log(false, format!("Removed {removed} keys of former slots in {took_ms} ms"));
        }
    }

    /// Leaves what there is: the node follows another one now, whose stream says what becomes of these keys.
    pub fn stop_trimming(&mut self) {
        let slots = std::mem::take(&mut self.trimming.slots);
        self.trimming.count = 0;
        self.show_slots(slots.iter());
    }
}
