//! Epochs that a node gives itself. Spec: cluster, "configEpoch conflicts resolution algorithm".

use super::{Cluster, PeerIx};
use crate::cluster::{Epoch, Header};

/// How long a primary waits, at least, for a successor that was elected in its epoch to take a newer one.
const SUCCESSOR_MS: u64 = 3000;

/// Another primary of the node's shard has its epoch, which this node was not elected in.
#[derive(Debug, Default)]
pub(super) struct Collision {
    epoch: Option<Epoch>,
    /// When that was seen first, and last.
    since_ms: u64,
    seen_ms: u64,
}

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
        if self.own_election().is_some() {
            return true;
        }
        let epoch = self.peers.me().config_epoch;
        let seen_ms = self.now_ms();
        let since_ms = if self.is_undecided() { self.collision.since_ms } else { seen_ms };
        self.collision = Collision { epoch: Some(epoch), since_ms, seen_ms };
        is_smaller && seen_ms - since_ms > self.collision_ms()
    }

    /// Whether another primary of the node's shard has its epoch, and may have been elected in it: until one of the two has a
    /// newer one this node serves nothing, since its data may be of the past.
    pub(super) fn is_undecided(&self) -> bool {
        let me = self.peers.me();
        me.is_primary()
            && self.collision.epoch == Some(me.config_epoch)
            && self.now_ms() - self.collision.seen_ms <= self.collision_ms()
    }

    /// How long a collision waits for the elected one, and counts after it was last seen: twice the longest time between pings.
    fn collision_ms(&self) -> u64 {
        self.settings.timeout_ms.max(SUCCESSOR_MS)
    }

    /// The epoch in which the node was elected, if it is still in it.
    pub(super) fn own_election(&self) -> Option<Epoch> {
        let me = self.peers.me();
        self.elected_in.filter(|epoch| me.is_primary() && *epoch == me.config_epoch)
    }

    /// The newest epoch that the node has heard of.
    pub(super) fn newest_epoch(&self) -> Epoch {
        let of_peers = self.peers.iter().map(|(_, peer)| peer.config_epoch).max();
        self.current_epoch.max(of_peers.unwrap_or_default())
    }

    /// The node's epoch becomes the newest of the cluster, without asking anybody. Whether it was not yet.
    pub(super) fn bump_epoch(&mut self) -> bool {
        let newest = self.newest_epoch();
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
