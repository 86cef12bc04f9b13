//! Replicas move to primaries without. Spec: cluster, "Replica migration".

use super::{Cluster, PeerIx};
use crate::cluster::packet::flags;

/// A primary has to be without replicas for so long before one moves to it.
const ORPHANED_MS: u64 = 5000;

/// What a replica has counted in one tick.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Primaries that wait for a replica.
    pub(super) orphans: Vec<PeerIx>,
    /// The most working replicas that a primary has.
    most: usize,
    /// How many the node's own primary has.
    own: usize,
}

impl Cluster {
    /// Counts who has how many working replicas.
    pub(super) fn count_shares(&mut self) -> Shares {
        let now_ms = self.now_ms();
        let own_primary = self.peers.me().primary;
        let mut shares = Shares::default();
        let primaries: Vec<PeerIx> = self
            .peers
            .iter()
            .filter(|(place, peer)| {
                *place != PeerIx::ME
                    && peer.is_primary()
                    && !peer.is(flags::FAIL | flags::HANDSHAKE | flags::NOADDR)
            })
            .map(|(place, _)| place)
            .collect();
        let counts = self.working_replicas();
        for place in primaries {
            let working = counts[usize::from(place.number())];
            let peer = &mut self.peers[place];
            let is_orphan = working == 0 && peer.slot_count > 0 && peer.is(flags::MIGRATE_TO);
            peer.orphaned_ms = is_orphan.then(|| peer.orphaned_ms.unwrap_or(now_ms));
            if is_orphan {
                shares.orphans.push(place);
            }
            shares.most = shares.most.max(working);
            if own_primary == Some(place) {
                shares.own = working;
            }
        }
        shares
    }

    /// Of each node, how many working replicas it has.
    fn working_replicas(&self) -> Vec<usize> {
        let places = self.peers.iter().map(|(place, _)| place.number()).max().unwrap_or(0);
        let mut counts = vec![0; usize::from(places) + 1];
        for (_, peer) in self.peers.iter() {
            if let Some(primary) = peer.primary.filter(|_| peer.is_replica() && !peer.has_failed())
            {
                counts[usize::from(primary.number())] += 1;
            }
        }
        counts
    }

    /// Moves to a primary without replicas, if this is the replica to do so.
    pub(super) fn move_to_orphan(&mut self, shares: &Shares) {
        let wanted = !shares.orphans.is_empty() && shares.most >= 2 && shares.own == shares.most;
        if !wanted || !self.settings.allows_replica_moves || !self.status.is_ok {
            return;
        }
        let Some(primary) = self.peers.me().primary else { return };
        let healthy = self
            .peers
            .replicas(primary)
            .filter(|(_, peer)| !peer.is(flags::FAIL | flags::PFAIL))
            .count();
        if healthy <= self.settings.migration_barrier || !self.has_smallest_name(shares.most) {
            return;
        }
        let now_ms = self.now_ms();
        let waits = |place: &&PeerIx| {
            let since_ms = self.peers[**place].orphaned_ms;
            since_ms.is_some_and(|since_ms| now_ms - since_ms > ORPHANED_MS)
        };
        let Some(target) = shares.orphans.iter().find(waits).copied() else { return };
        let shown = self.peers[target].shown();
        self.note(format!("Migrating to orphaned master {shown}"));
        self.become_replica_of(target);
    }

    /// Whether no replica of the primaries with `most` replicas has a smaller name.
    fn has_smallest_name(&self, most: usize) -> bool {
        let counts = self.working_replicas();
        let own = self.peers.me().id;
        !self.peers.iter().any(|(_, peer)| {
            let is_rich = |primary: PeerIx| counts[usize::from(primary.number())] == most;
            peer.is_replica()
                && !peer.has_failed()
                && peer.primary.is_some_and(is_rich)
                && peer.id < own
        })
    }

    /// A primary has got its first slot: where primaries have replicas, it may be given one.
    pub(super) fn mark_target(&mut self, place: PeerIx) {
        let others_have = self.peers.iter().any(|(other, peer)| {
            peer.is_replica()
                && peer.primary.is_some_and(|primary| primary != place)
                && other != place
        });
        if others_have {
            self.peers[place].set(flags::MIGRATE_TO);
        }
    }

    /// A replica has left: a primary without any is not one that replicas move to.
    pub(super) fn unmark_target(&mut self, place: PeerIx) {
        if self.peers.at(place).is_some() && self.peers.replicas(place).next().is_none() {
            self.peers[place].clear(flags::MIGRATE_TO);
        }
    }
}
