//! Slots that change hands as a whole, without an election: their owner has agreed. The claim is that of the end of an
//! import (Spec: cluster, "The CLUSTER SETSLOT command"): a new epoch without consensus, saved before it is told.

use std::sync::Arc;

use super::{Cluster, PeerIx};
use crate::cluster::packet::flags;
use crate::cluster::{Epoch, NodeId, SlotSet};
use crate::keyspace::Slot;

/// Slots that the node has taken, and whom it took them from, who may not have heard of it yet.
#[derive(Debug)]
pub(super) struct Taken {
    slots: SlotSet,
    source: NodeId,
    /// The source's, as it was last known.
    shard: Option<NodeId>,
}

impl Cluster {
    /// The node takes slots that their owner has given up for it. Returns the epoch of the claim, which is on its way to the
    /// disk; no write is taken before it is there. It is newer than `former`, which is the owner's.
    pub fn take_slots(&mut self, slots: &SlotSet, former: Epoch) -> Epoch {
        assert!(self.peers.me().is_primary(), "replicas have no slots");
        for slot in slots.iter() {
            self.slots.importing.remove(&slot);
            self.slots.migrating.remove(&slot);
            self.assign(slot, Some(PeerIx::ME));
        }
        // Also where the node's own epoch is the newest already: packets with a claim that is not on disk are told by its epoch,
        // and in the one before this node did not have these slots.
        self.current_epoch = self.newest_epoch().max(former);
        self.take_epoch();
        self.is_contested = false;
        self.tell(|_, _| true);
        self.peers.me().config_epoch
    }

    /// The node does not claim these slots any more, though they are its own: another node may take them. What it has said
    /// before is in an older epoch than the other's claim ([`Cluster::take_slots`]), so no word that is still on its way can
    /// take them back.
    pub fn set_ceded(&mut self, slots: SlotSet) {
        self.ceded = slots;
    }

    /// Whether the node says that a slot is its own.
    #[must_use]
    pub fn claims(&self, slot: Slot) -> bool {
        self.claimed_slots(PeerIx::ME).has(slot)
    }

    /// The node has taken these slots, each set from a node that is named: of that one's shard somebody may be elected who has
    /// not heard of it, and claims them in a newer epoch. The writes are here, so the slots are not given up to that claim, but
    /// claimed once more ([`Cluster::is_contested`]).
    pub fn set_taken(&mut self, taken: Vec<(SlotSet, NodeId)>) {
        // It may have been forgotten since.
        let former = |source| self.taken.iter().find(|one| one.source == source)?.shard;
        let with_shard = |(slots, source)| Taken {
            shard: self.shard_of(&source).or_else(|| former(source)),
            slots,
            source,
        };
        self.taken = taken.into_iter().map(with_shard).collect();
        self.is_contested &= !self.taken.is_empty();
    }

    /// Whether slots that the node has taken have to be claimed once more.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        self.is_contested
    }

    /// Whether `slot` was taken from a node of `claimant`'s shard.
    pub(super) fn was_taken_from(&self, slot: Slot, claimant: PeerIx) -> bool {
        let shard = self.peers[claimant].shard;
        self.taken.iter().any(|taken| {
            let of = self.shard_of(&taken.source).or(taken.shard);
            taken.slots.has(slot) && of == Some(shard)
        })
    }

    /// Those of `slots` that are this node's.
    #[must_use]
    pub fn own_of(&self, slots: &SlotSet) -> SlotSet {
        slots.iter().filter(|slot| self.slots.owner(*slot) == Some(PeerIx::ME)).collect()
    }

    /// How many replicas of this node work, as far as it knows, whether or not they are linked to it now.
    #[must_use]
    pub fn replicas_at_work(&self) -> usize {
        let gone = flags::PFAIL | flags::FAIL | flags::NOADDR | flags::HANDSHAKE;
        self.peers.replicas(PeerIx::ME).filter(|(_, peer)| !peer.is(gone)).count()
    }

    /// What the node says that `claimant` has: its primary's slots, or its own.
    pub(super) fn claimed_slots(&self, claimant: PeerIx) -> Arc<SlotSet> {
        let slots = self.slots.shared_set_of(claimant);
        if self.ceded.is_empty() || claimant != PeerIx::ME {
            return slots;
        }
        Arc::new(slots.iter().filter(|slot| !self.ceded.has(*slot)).collect())
    }

    /// Another node has taken slots that this one gave up for it, in that epoch. Its claim counts whatever the epochs say:
    /// both may have taken the same one at the same time, and others are told of it in the end by this node's silence.
    pub fn hand_over(&mut self, to: &NodeId, epoch: Epoch, slots: &SlotSet) {
        let Some(place) = self.peers.find(to).filter(|place| *place != PeerIx::ME) else { return };
        self.current_epoch = self.current_epoch.max(epoch);
        let peer = &mut self.peers[place];
        peer.config_epoch = peer.config_epoch.max(epoch);
        let is_mine = |slot: &Slot| self.slots.owner(*slot) == Some(PeerIx::ME);
        let given: Vec<Slot> = slots.iter().filter(is_mine).collect();
        if given.is_empty() {
            return;
        }
        for slot in &given {
            self.slots.migrating.remove(slot);
            self.assign(*slot, Some(place));
        }
        self.persist();
        self.give_up(given.clone());
        let claims = self.peers[place].slot_count;
        self.after_claim((place, claims), PeerIx::ME, given.len(), given);
        self.tell(|_, _| true);
    }

    /// The node goes on with slots that it had given up: nobody has taken them. Where a claim may have been made meanwhile that
    /// does not count (`is_contested`), and is still on its way, it is older than this.
    pub fn keep_slots(&mut self, is_contested: bool) {
        if is_contested {
            // That claim may be in the epoch next to the newest this node has heard of.
            self.current_epoch = self.newest_epoch().next();
            self.take_epoch();
        }
        self.persist_claim();
        self.tell(|_, _| true);
    }

    /// Whether none of `slots` is anybody's but `owner`'s, or those of another node of its shard.
    #[must_use]
    pub fn are_nobody_elses(&self, slots: &SlotSet, owner: &NodeId) -> bool {
        self.owners_fit(slots, owner, true)
    }

    /// Whether all of `slots` are `owner`'s, or those of another node of its shard.
    #[must_use]
    pub fn are_of_shard(&self, slots: &SlotSet, owner: &NodeId) -> bool {
        self.owners_fit(slots, owner, false)
    }

    /// Whether each of `slots` is a node's of `owner`'s shard, or nobody's where that is as good.
    fn owners_fit(&self, slots: &SlotSet, owner: &NodeId, or_nobody: bool) -> bool {
        let Some(shard) = self.shard_of(owner) else { return false };
        slots.iter().all(|slot| match self.slots.owner(slot) {
            Some(owner) => self.peers[owner].shard == shard,
            None => or_nobody,
        })
    }

    /// The newest epoch in which one of `slots` was claimed by who has it.
    #[must_use]
    pub fn newest_claim_of(&self, slots: &SlotSet) -> Epoch {
        let owners = slots.iter().filter_map(|slot| self.slots.owner(slot));
        owners.map(|owner| self.peers[owner].config_epoch).max().unwrap_or(Epoch(0))
    }

    /// Whether none of `slots` is this node's.
    #[must_use]
    pub fn has_none_of(&self, slots: &SlotSet) -> bool {
        slots.iter().all(|slot| self.slots.owner(slot) != Some(PeerIx::ME))
    }

    /// Whether `slots` are `owner`'s, or nobody's, in the sense of [`Cluster::are_nobody_elses`], and none is this node's.
    #[must_use]
    pub fn are_left_to(&self, slots: &SlotSet, owner: &NodeId) -> bool {
        self.has_none_of(slots) && self.are_nobody_elses(slots, owner)
    }

    fn shard_of(&self, node: &NodeId) -> Option<NodeId> {
        self.peers.get(node).map(|peer| peer.shard)
    }

    /// Whether `node` is a replica of this node's shard.
    #[must_use]
    pub fn is_own_replica(&self, node: &NodeId) -> bool {
        let me = self.peers.me().shard;
        self.peers.find(node).is_some_and(|place| {
            place != PeerIx::ME && self.peers[place].is_replica() && self.peers[place].shard == me
        })
    }

    /// The primary of the shard that `node` is in, as far as that is known.
    #[must_use]
    pub fn primary_of_shard(&self, node: &NodeId) -> Option<PeerIx> {
        let place = self.peers.find(node)?;
        let peer = &self.peers[place];
        if peer.is_primary() && !peer.has_failed() {
            return Some(place);
        }
        let shard = peer.shard;
        let heir = |at: &PeerIx| {
            let one = &self.peers[*at];
            one.is_primary() && one.shard == shard && !one.has_failed()
        };
        let newest = |at: &PeerIx| self.peers[*at].config_epoch;
        self.peers.iter().map(|(at, _)| at).filter(heir).max_by_key(newest)
    }

    /// Those of `slots`, which its shard took, that this node has to claim: they are nobody's, or a node of its own shard has them
    /// that has failed or has become a replica; where their former owner has given its word (`source`), also those that are
    /// still that one's, or another's of its shard.
    #[must_use]
    pub fn unclaimed_of(&self, slots: &SlotSet, source: Option<&NodeId>) -> SlotSet {
        let me = self.peers.me();
        let source = source.and_then(|source| self.shard_of(source));
        let is_missing = |owner: PeerIx| {
            let peer = &self.peers[owner];
            let is_sources = Some(peer.shard) == source && peer.shard != me.shard;
            let is_heirless = peer.shard == me.shard && (peer.has_failed() || !peer.is_primary());
            owner != PeerIx::ME && (is_sources || is_heirless)
        };
        slots.iter().filter(|slot| self.slots.owner(*slot).is_none_or(is_missing)).collect()
    }
}
