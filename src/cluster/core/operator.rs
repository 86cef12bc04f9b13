//! What an operator asks for with CLUSTER.

use super::{Cluster, PeerIx};
use crate::cluster::packet::{Ports, flags};
use crate::cluster::{Epoch, Host, NodeId};
use crate::keyspace::Slot;

/// Why a request is refused: the text behind `ERR `.
pub type Refusal = String;

/// What became of a request.
pub type Answer = Result<(), Refusal>;

/// What is to be done with a slot (CLUSTER SETSLOT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenSlot {
    /// It goes to that node.
    Migrating(NodeId),
    /// It comes from that node.
    Importing(NodeId),
    /// It does not move.
    Stable,
    /// It is that node's.
    Node(NodeId),
}

impl Cluster {
    /// CLUSTER MEET.
    pub fn meet(&mut self, host: Host, client: u16, bus: u16) {
        self.begin_handshake(host, Ports { client, other: 0, bus }, true);
    }

    /// CLUSTER ADDSLOTS and ADDSLOTSRANGE. All of `slots` or none.
    ///
    /// # Errors
    /// One of them has an owner.
    pub fn add_slots(&mut self, slots: &[Slot]) -> Answer {
        if let Some(busy) = slots.iter().find(|slot| self.slots.owner(**slot).is_some()) {
            return Err(format!("Slot {} is already busy", busy.number()));
        }
        for slot in slots {
            self.slots.importing.remove(slot);
            self.assign(*slot, Some(PeerIx::ME));
        }
        self.persist_claim();
        Ok(())
    }

    /// CLUSTER DELSLOTS and DELSLOTSRANGE. All of `slots` or none.
    ///
    /// # Errors
    /// One of them has no owner.
    pub fn delete_slots(&mut self, slots: &[Slot]) -> Answer {
        if let Some(free) = slots.iter().find(|slot| self.slots.owner(**slot).is_none()) {
            return Err(format!("Slot {} is already unassigned", free.number()));
        }
        let own = |slot: &Slot| self.slots.owner(*slot) == Some(PeerIx::ME);
        let given_up: Vec<Slot> = slots.iter().copied().filter(own).collect();
        slots.iter().for_each(|slot| self.assign(*slot, None));
        self.persist();
        self.give_up(given_up);
        Ok(())
    }

    /// CLUSTER FLUSHSLOTS: the node has no slots any more.
    ///
    /// # Errors
    /// It has keys.
    pub fn flush_slots(&mut self) -> Answer {
        if self.facts.has_keys {
            return Err("DB must be empty to perform CLUSTER FLUSHSLOTS.".to_owned());
        }
        self.give_up_own();
        self.persist();
        Ok(())
    }

    /// CLUSTER SETSLOT.
    ///
    /// # Errors
    /// It makes no sense, or would lose keys. `keys`: how many the node has in that slot.
    pub fn set_slot(&mut self, slot: Slot, what: OpenSlot, keys: usize) -> Answer {
        if !self.peers.me().is_primary() {
            return Err("Please use SETSLOT only with masters.".to_owned());
        }
        let number = slot.number();
        let is_mine = self.slots.owner(slot) == Some(PeerIx::ME);
        match what {
            OpenSlot::Migrating(target) => {
                if !is_mine {
                    return Err(format!("I'm not the owner of hash slot {number}"));
                }
                let target = self.primary_named(&target, "I don't know about node")?;
                self.slots.migrating.insert(slot, target);
            }
            OpenSlot::Importing(source) => {
                if is_mine {
                    return Err(format!("I'm already the owner of hash slot {number}"));
                }
                let source = self.primary_named(&source, "I don't know about node")?;
                self.slots.importing.insert(slot, source);
            }
            OpenSlot::Stable => {
                self.slots.importing.remove(&slot);
                self.slots.migrating.remove(&slot);
            }
            OpenSlot::Node(owner) => return self.set_slot_owner(slot, &owner, keys),
        }
        self.persist();
        Ok(())
    }

    fn primary_named(&self, id: &NodeId, unknown: &str) -> Result<PeerIx, Refusal> {
        let place = self.peers.find(id).ok_or_else(|| format!("{unknown} {id}"))?;
        if !self.peers[place].is_primary() {
            return Err("Target node is not a master".to_owned());
        }
        Ok(place)
    }

    fn set_slot_owner(&mut self, slot: Slot, owner: &NodeId, keys: usize) -> Answer {
        let owner = self.primary_named(owner, "Unknown node")?;
        let was_mine = self.slots.owner(slot) == Some(PeerIx::ME);
        let is_mine = owner == PeerIx::ME;
        if was_mine && !is_mine && keys > 0 {
            return Err(format!(
                "Can't assign hashslot {} to a different node while I still hold keys for this hash slot.",
                slot.number()
            ));
        }
        if keys == 0 {
            self.slots.migrating.remove(&slot);
        }
        let ends_import = is_mine && self.slots.importing.contains_key(&slot);
        self.assign(slot, Some(owner));
        if was_mine && !is_mine {
            self.out.push(super::Output::GaveUp(vec![slot]));
            let lost_all = self.peers.me().slot_count == 0 && self.peers[owner].slot_count > 0;
            if lost_all && self.settings.allows_replica_moves {
                let shown = self.peers[owner].shown();
                self.note(format!(
                    "Lost my last slot during slot migration. Reconfiguring myself as a replica of {shown}"
                ));
                self.become_replica_of(owner);
            }
        }
        if ends_import {
            self.slots.importing.remove(&slot);
            // The claim has to win everywhere without a vote: its operator made sure that there is one.
            if self.bump_epoch() {
                self.note("configEpoch updated after importing a slot".to_owned());
            }
            self.persist();
            self.tell(|_, _| true);
        }
        self.persist();
        Ok(())
    }

    /// CLUSTER BUMPEPOCH: whether there is a new one, and the epoch.
    pub fn bump(&mut self) -> (bool, Epoch) {
        let bumped = self.bump_epoch();
        (bumped, self.peers.me().config_epoch)
    }

    /// CLUSTER SET-CONFIG-EPOCH.
    ///
    /// # Errors
    /// The node knows others, or has an epoch.
    pub fn set_config_epoch(&mut self, epoch: Epoch) -> Answer {
        if self.peers.len() > 1 {
            return Err("The user can assign a config epoch only when the node does not know any other node.".to_owned());
        }
        if self.peers.me().config_epoch != Epoch(0) {
            return Err("Node config epoch is already non-zero".to_owned());
        }
        self.peers.me_mut().config_epoch = epoch;
        self.current_epoch = self.current_epoch.max(epoch);
        self.persist();
        Ok(())
    }

    /// CLUSTER FORGET.
    ///
    /// # Errors
    /// The node is not known, or cannot be done without.
    pub fn forget(&mut self, id: &NodeId) -> Answer {
        let Some(place) = self.peers.find(id) else {
            // Another node may have passed the word on already.
            return if self.is_forgotten(id) { Ok(()) } else { Err(format!("Unknown node {id}")) };
        };
        if place == PeerIx::ME {
            return Err("I tried hard but I can't forget myself...".to_owned());
        }
        if self.peers.me().primary == Some(place) {
            return Err("Can't forget my master!".to_owned());
        }
        self.keep_away(*id, super::membership::FORGET_MS);
        self.remove(place);
        self.persist();
        Ok(())
    }

    /// CLUSTER REPLICATE.
    ///
    /// # Errors
    /// The node has something to lose, or the other is not one to follow.
    pub fn replicate(&mut self, id: &NodeId) -> Answer {
        let place = self.peers.find(id).ok_or_else(|| format!("Unknown node {id}"))?;
        if place == PeerIx::ME {
            return Err("Can't replicate myself".to_owned());
        }
        if self.peers[place].is_replica() {
            return Err("I can only replicate a master, not a replica.".to_owned());
        }
        let me = self.peers.me();
        if me.is_primary() && (me.slot_count > 0 || self.facts.has_keys) {
            return Err(
                "To set a master the node must be empty and without assigned slots.".to_owned()
            );
        }
        self.become_replica_of(place);
        Ok(())
    }

    /// CLUSTER FAILOVER.
    ///
    /// # Errors
    /// The node is no replica, or its primary is not there to be asked.
    pub fn fail_over(&mut self, force: bool, takeover: bool) -> Answer {
        if self.peers.me().is_primary() {
            return Err("You should send CLUSTER FAILOVER to a replica".to_owned());
        }
        let Some(primary) = self.peers.me().primary else {
            return Err("I'm a replica but my master is unknown to me".to_owned());
        };
        if self.facts.is_loading {
            return Err("I'm still loading my data".to_owned());
        }
        let unreachable = self.peers[primary].has_failed() || self.peers[primary].link().is_none();
        if unreachable && !force && !takeover {
            return Err("Master is down or failed, please use CLUSTER FAILOVER FORCE".to_owned());
        }
        if takeover {
            self.note("Taking over the master (user request).".to_owned());
            self.end_manual_failover();
            self.bump_epoch();
            self.replace_primary(primary);
        } else {
            self.begin_manual_failover(primary, force);
        }
        Ok(())
    }

    /// CLUSTER RESET; with `new`, the node gets that name and shard (HARD).
    ///
    /// # Errors
    /// A primary has keys.
    pub fn reset_node(&mut self, new: Option<(NodeId, NodeId)>) -> Answer {
        if self.peers.me().is_primary() && self.facts.has_keys {
            return Err(
                "CLUSTER RESET can't be called with master nodes containing keys".to_owned()
            );
        }
        self.reset(new);
        Ok(())
    }

    /// CLUSTER COUNT-FAILURE-REPORTS.
    ///
    /// # Errors
    /// The node is not known.
    pub fn count_reports(&mut self, id: &NodeId) -> Result<usize, Refusal> {
        let place = self.peers.find(id).ok_or_else(|| format!("Unknown node {id}"))?;
        Ok(self.reports_on(place))
    }

    /// CLUSTER SAVECONFIG.
    pub fn save(&mut self) {
        self.persist();
    }

    /// The keys that were loaded say which slots the node had: what is nobody's becomes its own, what is another's comes
    /// from there. `slots`: those with keys.
    pub fn claim_loaded(&mut self, slots: impl Iterator<Item = Slot>) {
        if self.peers.me().is_replica() {
            return;
        }
        let mut changed = false;
        for slot in slots {
            let owner = self.slots.owner(slot);
            if owner == Some(PeerIx::ME) || self.slots.importing.contains_key(&slot) {
                continue;
            }
            changed = true;
            let number = slot.number();
            match owner {
                None => {
                    self.warn(format!(
                        "I have keys for unassigned slot {number}. Taking responsibility for it."
                    ));
                    self.assign(slot, Some(PeerIx::ME));
                }
                Some(owner) => {
                    self.warn(format!("I have keys for slot {number}, but the slot is assigned to another node. Setting it to importing state."));
                    self.slots.importing.insert(slot, owner);
                }
            }
        }
        if changed {
            self.persist();
        }
    }

    /// Whether a flag of the node itself keeps it from failing over.
    #[must_use]
    pub fn never_fails_over(&self) -> bool {
        self.peers.me().is(flags::NOFAILOVER)
    }
}
