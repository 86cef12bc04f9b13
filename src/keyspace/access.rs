//! What the 24 bits of an entry's access clock mean: the time of the last access (LRU), or how often the key
//! is used (LFU).
//!
//! ```text
//!   LRU   seconds since 1970, modulo 2^24 (194 days)
//!   LFU   16 bits: minutes since 1970, modulo 2^16, of the last decay;  8 bits: logarithmic counter
//! ```

use super::entry::Entry;

const CLOCK_MASK: u32 = 0xff_ffff;

/// Where the counter of a new key starts, so that it is not evicted before it had a chance to be used.
pub const LFU_INITIAL: u8 = 5;

/// The policy's share of the access clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessClock {
    /// Count uses (LFU policies) rather than remember the time.
    pub lfu: bool,
    /// `lfu-log-factor`: how much harder the counter gets with its height.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`: minutes after which the counter loses one; 0: never.
    pub lfu_decay_minutes: u32,
}

impl Default for AccessClock {
    fn default() -> AccessClock {
        AccessClock { lfu: false, lfu_log_factor: 10, lfu_decay_minutes: 1 }
    }
}

impl AccessClock {
    /// The clock of an entry created at `now_ms`.
    #[inline]
    pub fn fresh(&self, now_ms: u64) -> u32 {
        if self.lfu { lfu_clock(minutes(now_ms), LFU_INITIAL) } else { seconds(now_ms) }
    }

    /// Notes an access to `entry`.
    #[inline]
    pub fn touch(&self, entry: &mut Entry, now_ms: u64, rng: &mut fastrand::Rng) {
        entry.set_access(self.touched(entry.access(), now_ms, rng));
    }

    /// The clock of an entry with this one after another access.
    #[inline]
    pub fn touched(&self, clock: u32, now_ms: u64, rng: &mut fastrand::Rng) -> u32 {
        if self.lfu {
            let counter = self.increment(self.frequency(clock, now_ms), rng);
            lfu_clock(minutes(now_ms), counter)
        } else {
            seconds(now_ms)
        }
    }

    /// The LFU counter of a clock, less what it has lost since. (OBJECT FREQ)
    pub fn frequency(&self, clock: u32, now_ms: u64) -> u8 {
        let [counter, ..] = clock.to_le_bytes();
        let elapsed = minutes(now_ms).wrapping_sub(clock >> 8) & 0xffff;
        match elapsed.checked_div(self.lfu_decay_minutes) {
            Some(lost) => counter.saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX)),
            None => counter,
        }
    }

    /// Seconds since the access that a LRU clock remembers. (OBJECT IDLETIME)
    pub fn idle_seconds(&self, clock: u32, now_ms: u64) -> u32 {
        seconds(now_ms).wrapping_sub(clock) & CLOCK_MASK
    }

    /// A clock `idle_seconds` old. (RESTORE IDLETIME)
    pub fn with_idle(&self, idle_seconds: u64, now_ms: u64) -> u32 {
        seconds(now_ms.saturating_sub(idle_seconds.saturating_mul(1000)))
    }

    /// A clock with this counter. (RESTORE FREQ)
    pub fn with_frequency(&self, counter: u8, now_ms: u64) -> u32 {
        lfu_clock(minutes(now_ms), counter)
    }

    /// One use more: certain for a low counter, ever less likely the higher it is.
    fn increment(&self, counter: u8, rng: &mut fastrand::Rng) -> u8 {
        if counter == u8::MAX {
            return counter;
        }
        let height = f64::from(counter.saturating_sub(LFU_INITIAL));
        let chance = 1.0 / (height * f64::from(self.lfu_log_factor) + 1.0);
        counter + u8::from(rng.f64() < chance)
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
fn seconds(now_ms: u64) -> u32 {
    (now_ms / 1000) as u32 & CLOCK_MASK
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to 16 bits")]
fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

fn lfu_clock(minutes: u32, counter: u8) -> u32 {
    minutes << 8 | u32::from(counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Value;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn lru_clock_tells_idle_time_across_its_wrap() {
        let access = AccessClock::default();
        for start in [1_700_000_000_000, (1 << 24) * 1000 - 5000] {
            let clock = access.fresh(start);
            assert_eq!(access.idle_seconds(clock, start + 10_000), 10);
        }
        let now = 1_700_000_000_000;
        assert_eq!(access.idle_seconds(access.with_idle(77, now), now), 77);
    }

    #[test]
    fn lfu_counter_grows_slower_and_slower_and_decays() {
        let access = AccessClock { lfu: true, ..AccessClock::default() };
        let mut rng = fastrand::Rng::with_seed(3);
        let mut entry = Entry::new(b"k", Value::Int(1), None);
        let now = 400 * DAY_MS;
        entry.set_access(access.fresh(now));
        assert_eq!(access.frequency(entry.access(), now), LFU_INITIAL);
        let mut after = Vec::new();
        for uses in 1..=100_000 {
            access.touch(&mut entry, now, &mut rng);
            if [100, 1000, 100_000].contains(&uses) {
                after.push(access.frequency(entry.access(), now));
            }
        }
        // The documentation of lfu-log-factor 10 gives about 10, 18, 142 for these.
        assert!((8..=13).contains(&after[0]), "{after:?}");
        assert!((15..=24).contains(&after[1]), "{after:?}");
        assert!((125..=165).contains(&after[2]), "{after:?}");
        let hour = now + 60 * 60_000;
        assert_eq!(access.frequency(entry.access(), hour), after[2] - 60);
        let never = AccessClock { lfu_decay_minutes: 0, ..access };
        assert_eq!(never.frequency(entry.access(), hour), after[2]);
    }
}
