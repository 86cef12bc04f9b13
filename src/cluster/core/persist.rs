//! The configuration as it is kept on disk, and back.

use super::Cluster;

impl Cluster {
    /// Settings have changed: what others are told follows.
    pub fn settings_changed(&mut self) {
        let announced = self.settings.announced_host;
        let (ports, no_failover) = (self.settings.ports, self.settings.no_failover);
        let (hostname, nodename) = (self.settings.hostname.clone(), self.settings.nodename.clone());
        let me = self.peers.me_mut();
        if !announced.is_unknown() {
            me.host = announced;
        }
        me.ports = ports;
        (me.hostname, me.nodename) = (hostname, nodename);
        me.clear(crate::cluster::packet::flags::NOFAILOVER);
        if no_failover {
            me.set(crate::cluster::packet::flags::NOFAILOVER);
        }
    }
}
