//! What follows in the node from its settings.

use super::Node;

impl Node {
    /// Brings what derives from settings up to date, after a start or CONFIG SET.
    pub fn apply_settings(&mut self) {
        let (config, keyspace) = (&self.state.config, &mut self.state.keyspace);
        keyspace.settings.lazy_expire = config.lazyfree_lazy_expire;
        keyspace.settings.lazy_eviction = config.lazyfree_lazy_eviction;
    }
}
