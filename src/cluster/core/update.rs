//! Who owns which slot, from what primaries claim: the greater epoch wins.
//! Spec: cluster, "Hash slots configuration propagation" and "UPDATE messages, a closer look".

use std::sync::Arc;

use super::{Cluster, Output, PeerIx};
use crate::cluster::{Body, Epoch, Header, NodeId, SlotSet};
use crate::keyspace::Slot;

impl Cluster {
    /// Gives `slot` to somebody, or to nobody.
    pub(super) fn assign(&mut self, slot: Slot, owner: Option<PeerIx>) {
        let former = self.slots.set(slot, owner);
        if former == owner {
            return;
        }
        if let Some(former) = former {
            let peer = &mut self.peers[former];
            peer.slot_count -= 1;
            if peer.slot_count == 0 {
                // The election that this node voted in has come to its end: the next one is another matter.
                peer.voted_ms = None;
            }
        }
        if let Some(owner) = owner {
            self.peers[owner].slot_count += 1;
            if self.peers[owner].slot_count == 1 {
                self.mark_target(owner);
            }
        }
    }

    /// The node has no slots any more.
    pub(super) fn give_up_own(&mut self) {
        let own: Vec<Slot> = self.slots.set_of(PeerIx::ME).iter().collect();
        own.iter().for_each(|slot| self.assign(*slot, None));
        self.give_up(own);
    }

    /// What waits for slots here waits in vain.
    pub(super) fn give_up(&mut self, slots: Vec<Slot>) {
        if !slots.is_empty() {
            self.out.push(Output::GaveUp(slots));
        }
    }

    /// What a node claims in its header: its own slots, or its primary's.
    pub(super) fn hear_claims(&mut self, sender: PeerIx, header: &Header) {
        let peer = &self.peers[sender];
        let is_primary = peer.is_primary();
        let Some(claimant) = (if is_primary { Some(sender) } else { peer.primary }) else { return };
        if self.slots.are_exactly(&header.slots, claimant) {
            return;
        }
        if is_primary {
            self.claim(sender, header.config_epoch, &header.slots);
        }
        self.correct(sender, header);
    }

    /// Tells a node that claims slots which have a newer owner who that is. One owner a packet.
    fn correct(&mut self, sender: PeerIx, header: &Header) {
        let newer = |slot: &Slot| {
            let owner = self.slots.owner(*slot)?;
            let wins = self.peers[owner].config_epoch > header.config_epoch;
            (owner != sender && wins && !self.slots.is_unclaimed(*slot)).then_some(owner)
        };
        let Some(owner) = header.slots.iter().find_map(|slot| newer(&slot)) else { return };
        if self.save_failed {
            return;
        }
        let Some(link) = self.peers[sender].link() else { return };
        let (shown, by) = (self.peers[sender].shown(), self.peers[owner].shown());
        self.note(format!(
            "Node {shown} has old slots configuration, sending an UPDATE message about {by}"
        ));
        let slots: SlotSet = self
            .slots
            .set_of(owner)
            .iter()
            .filter(|slot| !self.slots.is_unclaimed(*slot))
            .collect();
        let (config_epoch, owner) = (self.peers[owner].config_epoch, self.peers[owner].id);
        self.send(link, Body::Update { config_epoch, owner, slots: Arc::new(slots) });
    }

    /// Somebody says that slots have another owner than this node has claimed.
    pub(super) fn hear_update(&mut self, config_epoch: Epoch, owner: &NodeId, slots: &SlotSet) {
        let Some(place) = self.peers.find(owner) else { return };
        if place == PeerIx::ME {
            return self.note("Discarding UPDATE message about myself.".to_owned());
        }
        if self.peers[place].config_epoch >= config_epoch {
            return;
        }
        if self.peers[place].is_replica() {
            self.mark_primary(place);
        }
        self.peers[place].config_epoch = config_epoch;
        self.persist();
        self.claim(place, config_epoch, slots);
    }

    /// A primary claims slots in an epoch.
    pub(super) fn claim(&mut self, claimant: PeerIx, epoch: Epoch, claimed: &SlotSet) {
        if claimant == PeerIx::ME {
            return;
        }
        let own = self.claimant();
        let mut taken_from_own = 0;
        let mut dirty = Vec::new();
        let mut given_up = Vec::new();
        let mut changed = false;
        for slot in claimed.iter() {
            let owner = self.slots.owner(slot);
            if owner == Some(claimant) {
                if self.slots.is_unclaimed(slot) {
                    self.slots.set_unclaimed(slot, false);
                    self.save_soon();
                }
                continue;
            }
            // An import ends when its operator says so.
            if self.slots.importing.contains_key(&slot) {
                continue;
            }
            let is_newer = |owner: PeerIx| self.peers[owner].config_epoch < epoch;
            if !owner.is_none_or(|owner| self.slots.is_unclaimed(slot) || is_newer(owner)) {
                continue;
            }
            if owner == Some(PeerIx::ME) && self.was_taken_from(slot, claimant) {
                self.is_contested = true;
                continue;
            }
            if owner == Some(PeerIx::ME) {
                dirty.push(slot);
            }
            if owner == Some(own) {
                taken_from_own += 1;
                given_up.push(slot);
            }
            if owner == Some(PeerIx::ME) {
                self.slots.migrating.remove(&slot);
            }
            self.assign(slot, Some(claimant));
            changed = true;
        }
        let was_known = !self.hear_no_claim(claimant, claimed);
        if !changed {
            if !was_known {
                self.persist();
            }
            return;
        }
        self.trust_again(claimant);
        self.persist();
        self.give_up(given_up);
        self.after_claim((claimant, claimed.len()), own, taken_from_own, dirty);
    }

    /// What a node had and claims no more may be another's by now, who has not been heard: in the epoch of these claims it is
    /// not that node's. Whether that is news, which has to be saved together with the epoch.
    pub(super) fn hear_no_claim(&mut self, claimant: PeerIx, claimed: &SlotSet) -> bool {
        let mut is_news = false;
        for slot in self.slots.set_of(claimant).iter().filter(|slot| !claimed.has(*slot)) {
            if !self.slots.is_unclaimed(slot) {
                self.slots.set_unclaimed(slot, true);
                is_news = true;
            }
        }
        is_news
    }

    /// Whether the node follows whoever took its last slot, or its primary's.
    pub(super) fn after_claim(
        &mut self,
        (claimant, claims): (PeerIx, usize),
        own: PeerIx,
        taken: usize,
        dirty: Vec<Slot>,
    ) {
        let lost_all = taken > 0 && self.peers[own].slot_count == 0;
        let inherits = self.settings.allows_replica_moves || claims == taken;
        if lost_all && inherits {
            let shown = self.peers[claimant].shown();
            self.note(format!(
                "Configuration change detected. Reconfiguring myself as a replica of {shown}"
            ));
            self.become_replica_of(claimant);
        } else if self.follow_grandparent() {
            // Its keys are replaced anyway.
        } else if !dirty.is_empty() {
            self.out.push(Output::DropKeys(dirty));
        }
    }

    /// A replica whose primary has become a replica itself follows that one's primary, once that is known to be one: where
    /// replicas follow each other in a circle, going round with them leads nowhere. Whether it is so.
    pub(super) fn follow_grandparent(&mut self) -> bool {
        let primary = self.peers.me().primary;
        let grandparent = primary.and_then(|primary| self.peers[primary].primary);
        let is_primary = |place: &PeerIx| *place != PeerIx::ME && self.peers[*place].is_primary();
        let Some(grandparent) = grandparent.filter(is_primary) else { return false };
        let shown = self.peers[grandparent].shown();
        self.note(format!("My master is a replica itself: following {shown} from now on"));
        self.become_replica_of(grandparent);
        true
    }
}
