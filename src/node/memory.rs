//! `maxmemory`: keys are evicted before a command runs, or the command is refused.

use crate::alloc::used_memory;
use crate::config::choices::EvictionPolicy;
use crate::keyspace::Garbage;
use crate::state::State;

use super::propagate;

/// Keys evicted between two looks at the memory in use.
const KEYS_PER_LOOK: usize = 16;

/// Frees memory until `maxmemory` is kept. False when that is not possible: no key is left that the policy may take.
///
/// True also when there is more to do than one command may be made to wait for; the next one goes on.
#[inline]
pub(super) fn make_room(state: &mut State) -> bool {
    let leaves_it = state.is_replica() && state.config.replica_ignore_maxmemory;
    leaves_it || excess_bytes(state) == 0 || evict(state)
}

/// Bytes in use above `maxmemory`, those that are being freed and those of the pending log left out.
#[inline]
fn excess_bytes(state: &State) -> usize {
    match usize::try_from(state.config.maxmemory) {
        Ok(limit) if limit > 0 && used_memory() > limit => {
            // Evicting makes the pending log longer; counting that as data would call for more eviction.
            let uncounted = state.freeing.owed_bytes() + state.stream.pending.capacity();
            used_memory().saturating_sub(limit).saturating_sub(uncounted)
        }
        _ => 0,
    }
}

/// Whether memory in use is above `maxmemory`.
pub(super) fn exceeds(state: &State) -> bool {
    excess_bytes(state) > 0
}

/// Whether evicted values may be left to the thread that frees: as `lazyfree-lazy-eviction` says, and as long as it keeps
/// up. Memory in use stays above the limit until they are freed.
fn frees_later(state: &State) -> bool {
    /// The share of `maxmemory` that may wait to be freed is one part in so many.
    const SHARE: u64 = 16;
    let owed = u64::try_from(state.freeing.owed_bytes()).unwrap_or(u64::MAX);
    state.config.lazyfree_lazy_eviction && owed < state.config.maxmemory / SHARE
}

/// Settles what commands before this one have left behind: a flushed database is freed elsewhere, and large values, the
/// cheapest memory there is, at once.
fn settle_garbage(state: &mut State) {
    for db in state.keyspace.take_garbage_databases() {
        let bytes = db.memory_usage();
        state.freeing.add(vec![Garbage::Db(db)], bytes);
    }
    drop(state.keyspace.take_garbage());
}

#[cold]
fn evict(state: &mut State) -> bool {
    // During a pause the dataset stands still, and while it is loaded it is as large as it is.
    let stands_still = state.pause.is_some() || state.is_being_replaced();
    if stands_still || state.persistence.loading.is_some() {
        return true;
    }
    settle_garbage(state);
    let policy = state.config.maxmemory_policy;
    if policy == EvictionPolicy::NoEviction {
        return excess_bytes(state) == 0;
    }
    let samples = usize::try_from(state.config.maxmemory_samples).unwrap_or(usize::MAX);
    let mut keys_left = keys_per_command(state.config.maxmemory_eviction_tenacity);
    state.keyspace.begin(state.time.unix_ms(), state.stream.end + 1);
    let mut can_go_on = true;
    while can_go_on && keys_left > 0 {
        let excess = excess_bytes(state);
        if excess == 0 {
            break;
        }
        let evicted = state.keyspace.evict(policy, samples, excess, keys_left.min(KEYS_PER_LOOK));
        let garbage = state.keyspace.take_garbage();
        if !garbage.is_empty() && frees_later(state) {
            state.freeing.add(garbage, evicted.garbage_bytes);
        } else {
            drop(garbage);
        }
        keys_left -= evicted.keys;
        can_go_on = evicted.keys > 0;
    }
    propagate::flush_each(state);
    can_go_on || excess_bytes(state) == 0
}

/// How many keys one command may have to wait for, from `maxmemory-eviction-tenacity` (0 to 100). The setting's
/// documentation speaks of time, 50 us for each step up to 10, then 15 % more with each, without end at 100; a key
/// counts here as 4 us, so that the same requests always evict the same keys.
fn keys_per_command(tenacity: u32) -> usize {
    const KEY_US: f64 = 4.0;
    let time_us = match tenacity {
        0..=10 => 50.0 * f64::from(tenacity),
        11..=99 => 500.0 * 1.15f64.powf(f64::from(tenacity - 10)),
        _ => return usize::MAX,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 10^8"
    )]
    let keys = (time_us / KEY_US) as usize;
    keys.max(KEYS_PER_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_bounds_the_work_of_a_command() {
        assert_eq!(keys_per_command(0), 16);
        assert_eq!(keys_per_command(10), 125);
        assert!(keys_per_command(50) > 20_000);
        assert_eq!(keys_per_command(100), usize::MAX);
    }
}
