//! Epochs that a node gives itself. Spec: cluster, "configEpoch conflicts resolution algorithm".

use super::{Cluster, PeerIx};
use crate::cluster::{Epoch, Header};

impl Cluster {
    /// Two primaries have one epoch: the one with the smaller name takes a new one.
    pub(super) fn resolve_collision(&mut self, sender: PeerIx, header: &Header) {
        let me = self.peers.me();
        let peer = &self.peers[sender];
        let both = me.is_primary() && peer.is_primary() && header.primary.is_none();
        if !both || peer.config_epoch != me.config_epoch || peer.id <= me.id {
            return;
        }
        let shown = peer.shown();
        self.take_epoch();
        let epoch = self.peers.me().config_epoch;
        self.warn(format!("configEpoch collision with node {shown}. configEpoch set to {epoch}"));
    }

    /// The node's epoch becomes the newest of the cluster, without asking anybody. Whether it was not yet.
    pub(super) fn bump_epoch(&mut self) -> bool {
        let newest = self.peers.iter().map(|(_, peer)| peer.config_epoch).max().unwrap_or_default();
        let newest = newest.max(self.current_epoch);
        let own = self.peers.me().config_epoch;
        if own != Epoch(0) && own == newest {
            return false;
        }
        self.current_epoch = newest;
        self.take_epoch();
        let epoch = self.peers.me().config_epoch;
        self.note(format!("New configEpoch set to {epoch}"));
        true
    }

    pub(super) fn take_epoch(&mut self) {
        self.current_epoch = self.current_epoch.next();
        self.peers.me_mut().config_epoch = self.current_epoch;
        self.persist_claim();
    }
}
