//! Primary or replica: this node's role, and what others say of theirs.

use super::{Cluster, Output, PeerIx};
use crate::cluster::packet::flags;
use crate::cluster::{Header, Host};

impl Cluster {
    /// This node follows `primary` from now on.
    pub(super) fn become_replica_of(&mut self, primary: PeerIx) {
        assert_ne!(primary, PeerIx::ME, "a node does not follow itself");
        let shard = self.peers[primary].shard;
        // A successor in the shard goes on with the history; any other primary has one of its own. A former primary may have
        // written what its successor does not have.
        let ahead = self.facts.offset > self.peers[primary].offset;
        let me = self.peers.me_mut();
        if me.is_primary() || me.shard != shard || ahead {
            self.history_parts = true;
            self.data_until_ms = None;
        }
        let me = self.peers.me_mut();
        me.clear(flags::PRIMARY | flags::MIGRATE_TO);
        me.set(flags::REPLICA);
        let former = me.primary.replace(primary);
        if let Some(former) = former.filter(|former| *former != primary) {
            self.unmark_target(former);
        }
        self.move_to_shard(PeerIx::ME, shard);
        let target = &mut self.peers[primary];
        target.orphaned_ms = None;
        target.set(flags::MIGRATE_TO);
        self.slots.close_all();
        self.end_manual_failover();
        self.election = Default::default();
        self.guard = super::Guard::Clear;
        self.primary_gives_up = false;
        self.persist();
        self.follow_primary();
        // Who asks for a failover of this node now must not take it for a primary any more.
        self.tell(|_, _| true);
    }

    /// This node is a primary from now on. Whoever followed with it is not asked.
    pub(super) fn become_primary(&mut self) {
        let me = self.peers.me_mut();
        me.clear(flags::REPLICA);
        me.set(flags::PRIMARY);
        me.primary = None;
        self.data_until_ms = None;
        self.history_parts = false;
        self.out.push(Output::Promote);
    }

    /// The node's replication goes where the cluster says. To be called whenever either may have changed.
    pub(super) fn follow_primary(&mut self) {
        let Some(primary) = self.peers.me().primary else { return };
        let Some((host, port)) = self.address_of(primary) else { return };
        if self.facts.follows == Some((host, port)) {
            return;
        }
        // Told once: the facts of the next step say that it was heard.
        self.facts.follows = Some((host, port));
        let keeps_history = !std::mem::take(&mut self.history_parts);
        if !keeps_history {
            self.facts.data_until_ms = None;
        }
        self.out.push(Output::Follow { host, port, keeps_history });
    }

    fn address_of(&self, place: PeerIx) -> Option<(Host, u16)> {
        let peer = &self.peers[place];
        let is_known = !peer.is(flags::NOADDR) && !peer.host.is_unknown() && peer.ports.client != 0;
        is_known.then_some((peer.host, peer.ports.client))
    }

    /// Another node is a primary.
    pub(super) fn mark_primary(&mut self, place: PeerIx) {
        let peer = &mut self.peers[place];
        if peer.is_primary() && peer.primary.is_none() {
            return;
        }
        let former = peer.primary.take();
        peer.clear(flags::REPLICA);
        peer.set(flags::PRIMARY);
        // Its primary had a replica: its successor may be given one.
        if former.is_some() {
            peer.set(flags::MIGRATE_TO);
        }
        if let Some(former) = former {
            self.unmark_target(former);
        }
        self.save_soon();
    }

    /// What a node says of its role.
    pub(super) fn hear_role(&mut self, sender: PeerIx, header: &Header) {
        let Some(primary) = header.primary else { return self.mark_primary(sender) };
        let primary = self.peers.find(&primary).filter(|place| *place != sender);
        if self.peers[sender].is_primary() {
            self.demote(sender, primary, header);
        }
        let former = self.peers[sender].primary;
        if primary.is_none() || former == primary {
            return;
        }
        let place = primary.expect("looked at above");
        let shard = self.peers[place].shard;
        self.peers[sender].primary = Some(place);
        self.move_to_shard(sender, shard);
        self.peers[place].set(flags::MIGRATE_TO);
        if let Some(former) = former {
            self.unmark_target(former);
        }
        if place == PeerIx::ME {
            // Should this node start again with less, it must know whom to ask.
            self.persist();
        } else {
            self.save_soon();
        }
    }

    /// A primary has become a replica. Its slots go to its new primary if that is its successor, to nobody otherwise: a
    /// claim to them will come. This node makes its claims itself.
    fn demote(&mut self, sender: PeerIx, primary: Option<PeerIx>, header: &Header) {
        let heir = primary.filter(|heir| {
            *heir != PeerIx::ME
                && self.peers[*heir].shard == self.peers[sender].shard
                && header.config_epoch > self.peers[sender].config_epoch
        });
        let owned: Vec<_> = self.slots.set_of(sender).iter().collect();
        if !owned.is_empty() {
            for slot in owned {
                // What it had stopped claiming, its heir may not claim either: another node may have it.
                let is_unclaimed = self.slots.is_unclaimed(slot);
                self.assign(slot, heir);
                self.slots.set_unclaimed(slot, is_unclaimed && heir.is_some());
            }
            if let Some(heir) = heir {
                // It counts for the majority from now on, whether or not it has been heard itself.
                self.mark_primary(heir);
                let epoch = &mut self.peers[heir].config_epoch;
                *epoch = (*epoch).max(header.config_epoch);
            }
            self.persist();
        }
        let peer = &mut self.peers[sender];
        peer.clear(flags::PRIMARY | flags::MIGRATE_TO);
        peer.set(flags::REPLICA);
        self.save_soon();
    }
}
