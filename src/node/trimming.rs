//! Removing the keys of slots that are not the node's any more, in slices.
//!
//! A slot may hold millions of keys, and nobody is to wait for them: they are hidden at once, and removed a few hundred
//! at a time. Log and replicas see UNLINKs of up to 64 keys, as with any other removal.

use crate::clock::Clock;
use crate::keyspace::Slot;
use crate::state::trimming::Why;

use super::{Node, propagate};

/// The longest time for which one slice holds the node, in microseconds.
const SLICE_US: u64 = 1000;
/// The same where others have work for the node: short, because a thread that the system takes the processor from in the
/// middle of a slice makes everybody wait.
const SHARED_SLICE_US: u64 = 250;
/// Keys of one slice: a bound for clocks that stand still.
const KEYS_PER_SLICE: usize = 4096;
/// Keys that a tick removes by itself.
const KEYS_PER_TICK: usize = 256;
/// Keys removed between two looks at the clock.
const KEYS_PER_LOOK: usize = 64;
/// Bytes of the log that may wait for the committer before a slice is left out.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Time until the next try where a slice was left out, in microseconds.
const WAIT_US: u64 = 2000;

impl Node {
    /// Has the keys of `slots` removed by and by; from now on nobody sees them ([`State::is_trimming`]). On a replica
    /// nothing happens.
    pub fn drop_slots(&mut self, slots: &[Slot]) {
        self.state.trim_slots(slots, Why::Unwanted);
    }

    /// Removes keys for a millisecond at most. To be called from [`crate::state::Output::StartTrimming`] on, as often as
    /// it says: so many microseconds later, until it says nothing.
    pub fn trim_step(&mut self, clock: &mut dyn Clock) -> Option<u64> {
        let state = &mut self.state;
        if state.trimming.is_empty() {
            state.trimming.is_driven = false;
            return None;
        }
        if state.stands_still() || state.stream.pending.len() > PENDING_BYTES_MAX {
            return Some(WAIT_US);
        }
        let commands = state.stats.commands;
        let is_alone = std::mem::replace(&mut state.trimming.commands, commands) == commands;
        let slice_us = if is_alone { SLICE_US } else { SHARED_SLICE_US };
        let started = clock.now();
        state.time = started;
        let end_us = started.mono_us + slice_us;
        self.trim_keys(KEYS_PER_SLICE, &mut || clock.mono_us() >= end_us);
        // Where others have work for the node, they get more than half of the time.
        let spent_us = clock.mono_us().saturating_sub(started.mono_us);
        Some(if is_alone { 0 } else { spent_us.max(SHARED_SLICE_US) })
    }

    /// The share of a tick: nothing stays behind for want of a driver.
    pub(super) fn tick_trimming(&mut self) {
        if !self.state.trimming.is_empty() && !self.state.stands_still() {
            self.trim_keys(KEYS_PER_TICK, &mut || false);
        }
    }

    fn trim_keys(&mut self, keys_max: usize, is_over: &mut dyn FnMut() -> bool) {
        let state = &mut self.state;
        state.keyspace.begin(state.time.unix_ms(), state.stream.end + 1);
        let mut left = keys_max;
        while left > 0
            && let Some(slot) = state.trimming.first()
        {
            let keys = left.min(KEYS_PER_LOOK);
            // A cluster has one database.
            let removed = state.keyspace.trim_slot(0, slot, keys);
            state.trimming.removed += removed as u64;
            left -= removed;
            if removed < keys {
                state.slot_is_trimmed(slot);
            }
            if is_over() {
                break;
            }
        }
        propagate::flush_each(state);
        self.tell_watchers();
    }
}
