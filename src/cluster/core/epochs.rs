//! Epochs that a node gives itself. Spec: cluster, "configEpoch conflicts resolution algorithm".

use super::{Cluster, PeerIx};
use crate::cluster::{Epoch, Header};

/// How long a primary waits, at least, for a successor that was elected in its epoch to take a newer one.
const SUCCESSOR_MS: u64 = 3000;

impl Cluster {
    /// Two primaries have one epoch: the one with the smaller name takes a new one.
    pub(super) fn resolve_collision(&mut self, sender: PeerIx, header: &Header) {
        let me = self.peers.me();
        let peer = &self.peers[sender];
        let both = me.is_primary() && peer.is_primary() && header.primary.is_none();
        if !both || peer.config_epoch != me.config_epoch {
            return;
        }
        let (is_sibling, shown) = (peer.shard == me.shard, peer.shown());
        if !self.gives_way(is_sibling, peer.id > me.id) {
            return;
        }
        self.take_epoch();
        let epoch = self.peers.me().config_epoch;
        self.warn(format!("configEpoch collision with node {shown}. configEpoch set to {epoch}"));
    }

    /// Whether the node takes a new epoch where another primary has its own: the one with the smaller name does, as a rule.
    ///
    /// Differs: of two of one shard it is the one that was elected in that epoch. The other has taken it by itself, for slots
    /// that were handed to it, say, and did not live to tell; a newer one would undo the election.
    fn gives_way(&mut self, is_sibling: bool, is_smaller: bool) -> bool {
        if !is_sibling {
            return is_smaller;
        }
        let epoch = self.peers.me().config_epoch;
        if self.elected_in == Some(epoch) {
            return true;
        }
        let now_ms = self.now_ms();
        let since_ms = match self.collided {
            Some((in_epoch, since_ms)) if in_epoch == epoch => since_ms,
            _ => now_ms,
        };
        self.collided = Some((epoch, since_ms));
        is_smaller && now_ms - since_ms > self.settings.timeout_ms.max(SUCCESSOR_MS)
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
