//! What follows in the node from its settings.

use super::Node;
use crate::cluster::settings::Settings;
use crate::config::Values;
use crate::keyspace::AccessClock;
use crate::types::limits;

/// What the settings say of access clocks.
pub fn access_clock(config: &Values) -> AccessClock {
    AccessClock {
        lfu: config.maxmemory_policy.is_lfu(),
        lfu_log_factor: config.lfu_log_factor,
        lfu_decay_minutes: config.lfu_decay_time,
    }
}

impl Node {
    /// Brings what derives from settings up to date, after a start or CONFIG SET.
    pub fn apply_settings(&mut self) {
        let (config, keyspace) = (&self.state.config, &mut self.state.keyspace);
        keyspace.settings.access = access_clock(config);
        keyspace.settings.limits = limits(config);
        keyspace.settings.lazy_expire = config.lazyfree_lazy_expire;
        keyspace.settings.lazy_eviction = config.lazyfree_lazy_eviction;
        keyspace.settings.events = config.notify_keyspace_events;
        if let Some(membership) = &mut self.state.cluster {
            membership.core.change_settings(Settings::of(&self.state.config));
        }
        self.state.settle_role();
    }
}
