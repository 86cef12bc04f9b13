//! What happens by itself: pauses that end, expiry, rates, save points, automatic rewrites, idle clients.

use crate::clock::Time;
use crate::state::{Client, ClientId};

use super::{Node, propagate};

/// Seconds between tries to put a log right whose sync failed.
const REPAIR_RETRY_S: u64 = 60;

impl Node {
    /// Does what is due. To be called `hz` times a second.
    pub fn tick(&mut self, time: Time) {
        self.state.time = time;
        self.end_pause(time);
        self.settle_moves();
        self.state.keyspace.begin(time.unix_ms(), self.state.stream.end + 1);
        self.state.end_due_waits();
        self.tick_replicas(time);
        self.tick_failover(time);
        self.tick_jobs(time);
        propagate::flush_each(&mut self.state);
        self.note_expire_cycle();
        self.renew_expire_time();
        self.tick_trimming();
        self.note_eviction_time(time);
        super::memory::make_room(&mut self.state);
        let net = [self.state.stats.commands, self.state.stats.net_in, self.state.stats.net_out];
        self.state.stats.rates.sample(net, time.mono_us);
        let used = crate::alloc::used_memory() as u64;
        self.state.stats.peak_memory = self.state.stats.peak_memory.max(used);
        self.close_idle(time);
        self.close_heavy_clients();
        self.start_due_jobs(time);
        self.state.keyspace.sweep_walks(1000);
        self.tell_watchers();
        self.redirect_waiting();
    }

    /// The longest append to the log and the longest sync that replies waited for since the last tick, in microseconds.
    pub fn log_took(&mut self, append_us: u64, sync_us: u64) {
        let beside =
            if self.state.has_job() { "aof-write-active-child" } else { "aof-write-alone" };
        self.state.note_latency("aof-write", append_us);
        self.state.note_latency(beside, append_us);
        self.state.note_latency("aof-fsync-always", sync_us);
    }

    /// Counts for how long memory has been above its limit.
    fn note_eviction_time(&mut self, time: Time) {
        let exceeds = super::memory::exceeds(&self.state);
        let stats = &mut self.state.stats;
        match (exceeds, stats.exceeds_since_us) {
            (true, None) => stats.exceeds_since_us = Some(time.mono_us),
            (false, Some(since_us)) => {
                stats.exceeded_us += time.mono_us.saturating_sub(since_us);
                stats.exceeds_since_us = None;
            }
            _ => {}
        }
    }

    /// Lets paused clients go on once the pause is over.
    pub(super) fn end_pause(&mut self, time: Time) {
        let Some(pause) = self.state.pause else { return };
        if pause.until_ms > time.unix_ms() {
            return;
        }
        self.state.end_pause();
    }

    /// Closes clients that have been silent for `timeout` seconds.
    fn close_idle(&mut self, time: Time) {
        let timeout_us = u64::from(self.state.config.timeout) * 1_000_000;
        if timeout_us == 0 {
            return;
        }
        // Those who only listen have nothing to say.
        let listens = |client: &Client| client.monitor || client.subscriptions.any();
        let is_idle = |client: &&Client| {
            let idle_us = time.mono_us.saturating_sub(client.last_interaction.mono_us);
            let may_close = client.blocked.is_none() && !listens(client) && !client.is_replica;
            may_close && !client.killed && idle_us > timeout_us
        };
        let idle: Vec<ClientId> =
            self.state.clients.iter().filter(is_idle).map(|client| client.id).collect();
        idle.into_iter().for_each(|id| self.state.kill(id));
    }

    /// Starts snapshots and rewrites that are due.
    fn start_due_jobs(&mut self, time: Time) {
        let now_s = time.unix_s();
        let persistence = &self.state.persistence;
        if persistence.loading.is_some() || self.state.has_job() {
            return;
        }
        if persistence.log_needs_rewrite && persistence.log_rewrite_due_s <= now_s {
            self.state.persistence.log_rewrite_due_s = now_s + REPAIR_RETRY_S;
            self.state.request_rewrite();
        } else if persistence.rewrite_scheduled && persistence.rewrite_retry_s <= now_s {
            self.state.request_rewrite();
        } else if persistence.snapshot_scheduled || self.save_point_reached(now_s) {
            self.state.request_snapshot();
        } else if self.rewrite_due(now_s) {
            self.state.outputs.push(super::note(format!(
                "Starting automatic rewriting of AOF on {}% growth",
                self.growth_percent()
            )));
            self.state.request_rewrite();
        }
    }

    fn save_point_reached(&self, now_s: u64) -> bool {
        /// Seconds between a failed snapshot and the next try.
        const RETRY_S: u64 = 5;
        let persistence = &self.state.persistence;
        if !persistence.last_save_ok && now_s < persistence.last_save_try_s + RETRY_S {
            return false;
        }
        let since_s = now_s.saturating_sub(persistence.last_save_s);
        let dirty = persistence.dirty;
        self.state
            .config
            .save
            .iter()
            .any(|rule| dirty >= rule.changes && dirty > 0 && since_s > rule.seconds)
    }

    fn growth_percent(&self) -> u64 {
        let base = self.state.persistence.aof_base_size.max(1);
        (self.state.persistence.aof_current_size.saturating_mul(100) / base).saturating_sub(100)
    }

    fn rewrite_due(&self, now_s: u64) -> bool {
        let (persistence, config) = (&self.state.persistence, &self.state.config);
        let percentage = u64::from(config.auto_aof_rewrite_percentage);
        persistence.aof_enabled
            && percentage > 0
            && persistence.rewrite_retry_s <= now_s
            && persistence.aof_current_size > config.auto_aof_rewrite_min_size
            && self.growth_percent() >= percentage
    }
}

#[cfg(test)]
mod tests {
    use crate::node::tests::Bench;

    #[test]
    fn slow_appends_and_syncs_are_events() {
        let mut bench = Bench::new();
        bench.node.log_took(50_000, 0);
        assert_eq!(bench.run("latency latest"), "*0\r\n", "nobody asked");
        bench.run("config set latency-monitor-threshold 10");
        bench.node.log_took(9_999, 9_999);
        assert_eq!(bench.run("latency latest"), "*0\r\n");
        bench.node.log_took(12_000, 30_000);
        let latest = bench.run("latency latest");
        for event in ["aof-write\r\n", "aof-write-alone\r\n", "aof-fsync-always\r\n"] {
            assert!(latest.contains(event), "{latest}");
        }
        assert_eq!(bench.node.state.latency.event(b"aof-fsync-always").unwrap().max_ms, 30);
    }

    #[test]
    fn time_above_the_limit_is_counted() {
        let mut bench = Bench::new();
        bench.node.state.config.values_mut().maxmemory = 1;
        bench.node.tick(bench.clock.0);
        bench.clock.advance_ms(700);
        let shown = bench.run("info stats");
        assert!(shown.contains("current_eviction_exceeded_time:700\r\n"), "{shown}");
        bench.node.state.config.values_mut().maxmemory = 0;
        bench.node.tick(bench.clock.0);
        let shown = bench.run("info stats");
        assert!(shown.contains("total_eviction_exceeded_time:700\r\n"), "{shown}");
        assert!(shown.contains("current_eviction_exceeded_time:0\r\n"), "{shown}");
    }
}
