//! The active cycle: keys whose time has passed are deleted though nobody asks for them.
//!
//! A tick has a share of its time for that (`active-expire-effort`). It is spent in short slices, between which the
//! driver lets others at the node.

use crate::clock::Clock;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{DueHash, ExpireBudget};
use crate::state::State;

use super::{Node, propagate};

/// Fields removed between two looks at the clock.
const FIELDS_PER_LOOK: usize = 64;

/// The longest time for which one slice holds the node, in microseconds.
const SLICE_US: u64 = 1000;

impl Node {
    /// Gives the slices of the tick that begins now their time.
    pub(super) fn renew_expire_time(&mut self) {
        let config = &self.state.config;
        let (effort, hz) = (config.active_expire_effort, config.hz);
        self.expire_left_us = ExpireBudget::of_tick(effort.clamp(1, 10), hz.max(1)).time_us;
    }

    /// What the slices of the tick that ends now have taken together.
    pub(super) fn note_expire_cycle(&mut self) {
        let spent_us = std::mem::take(&mut self.expire_spent_us);
        self.state.stats.expire_cycle_us += spent_us;
        self.state.note_latency("expire-cycle", spent_us);
    }

    /// Deletes expired keys, each with an effect of its own. To be called after each tick, and again as long as it says
    /// that more keys are due and the tick's share of time is not used up.
    pub fn expire_slice(&mut self, clock: &mut dyn Clock) -> bool {
        let state = &mut self.state;
        let stands_still = state.pause.is_some()
            || state.replication.failover.is_some()
            || state.is_being_replaced()
            || state.may_be_behind()
            || state.shutdown_waits
            || state.stopping
            || state.persistence.loading.is_some();
        if stands_still || !state.debug.active_expire || self.expire_left_us == 0 {
            return false;
        }
        let time = clock.now();
        state.time = time;
        state.keyspace.begin(time.unix_ms(), state.stream.end + 1);
        let time_us = SLICE_US.min(self.expire_left_us);
        let budget = ExpireBudget { time_us, keys: usize::MAX };
        let outcome = state.keyspace.expire_cycle(budget, &mut || clock.mono_us());
        let fields_are_due = expire_fields(state, clock, time.mono_us + time_us);
        propagate::flush_each(state);
        self.tell_watchers();
        if self.state.keyspace.has_ready() {
            self.serve_waiting(clock);
        }
        let elapsed_us = clock.mono_us().saturating_sub(time.mono_us);
        self.expire_spent_us += elapsed_us;
        self.expire_left_us = self.expire_left_us.saturating_sub(elapsed_us.max(1));
        outcome.is_capped || fields_are_due
    }
}

/// Removes fields of hashes whose own time has passed, until none is due or it is `end_us`. Says whether more are due.
fn expire_fields(state: &mut State, clock: &mut dyn Clock, end_us: u64) -> bool {
    while let Some(due) = state.keyspace.expire_due_fields(FIELDS_PER_LOOK) {
        if let DueHash::Fields(db, key, expired) = due {
            state.notify(KeyspaceEvents::HASH, "hexpired", db, &key);
            if expired.is_gone {
                state.notify(KeyspaceEvents::GENERIC, "del", db, &key);
            }
        }
        if clock.mono_us() >= end_us {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::node::tests::Bench;

    #[test]
    fn due_keys_go_each_with_its_own_effect_in_its_database() {
        let mut bench = Bench::new();
        bench.run("set a 1\npexpire a 100\nset b 1\npexpire b 200\nset c 1");
        bench.run("select 5\nset d 1\npexpire d 50");
        bench.log();
        bench.clock.advance_ms(101);
        assert!(!bench.expire());
        let mut log: Vec<String> = bench.log().lines().map(str::to_owned).collect();
        assert_eq!(log.len(), 4, "{log:?}");
        log.sort();
        assert_eq!(log, ["DEL a", "DEL d", "SELECT 0", "SELECT 5"]);
        assert_eq!(bench.node.state.keyspace.stats.expired, 2);
        assert_eq!(bench.run("dbsize\nselect 0\ndbsize"), ":0\r\n+OK\r\n:2\r\n");
    }

    #[test]
    fn nothing_expires_while_it_is_switched_off_or_paused() {
        let mut bench = Bench::new();
        bench.run("set a 1\npexpire a 100");
        bench.log();
        bench.clock.advance_ms(1000);
        bench.node.state.debug.active_expire = false;
        bench.expire();
        assert_eq!(bench.log(), "");
        bench.node.state.debug.active_expire = true;
        bench.node.state.config.values_mut().lazyfree_lazy_expire = true;
        bench.node.apply_settings();
        bench.expire();
        assert_eq!(bench.log(), "UNLINK a");
    }

    #[test]
    fn a_watched_key_that_expires_fails_the_transaction() {
        for active in [false, true] {
            let mut bench = Bench::new();
            bench.run("set a 1\npexpire a 100\nwatch a");
            bench.clock.advance_ms(101);
            if active {
                bench.expire();
            }
            assert_eq!(bench.run("multi\nset b 1\nexec"), "+OK\r\n+QUEUED\r\n*-1\r\n", "{active}");
        }
    }

    #[test]
    fn a_key_watched_when_it_had_expired_does_not_fail_the_transaction() {
        for active in [false, true] {
            let mut bench = Bench::new();
            bench.run("set a 1\npexpire a 100");
            bench.clock.advance_ms(101);
            bench.run("watch a");
            if active {
                bench.expire();
            }
            let replies = bench.run("multi\nset b 1\nexec");
            assert_eq!(replies, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n", "{active}");
        }
    }
}
