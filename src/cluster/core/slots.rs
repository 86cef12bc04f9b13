//! Who owns which slot, and which slots are on the move.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PeerIx;
use crate::cluster::SlotSet;
use crate::keyspace::{SLOT_COUNT, Slot};

/// In the table: nobody's.
const NOBODY: u16 = u16::MAX;

/// The owners of all slots.
#[derive(Debug)]
pub struct Slots {
    owners: Box<[u16]>,
    /// Slots whose owner has stopped claiming them: nobody is told any more that they are its.
    unclaimed: SlotSet,
    /// Slots that are on their way to another node.
    pub(super) migrating: BTreeMap<Slot, PeerIx>,
    /// Slots that are on their way here.
    pub(super) importing: BTreeMap<Slot, PeerIx>,
    assigned: usize,
    /// The set last asked for, and whose it is.
    cached: Option<(PeerIx, Arc<SlotSet>)>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            owners: vec![NOBODY; SLOT_COUNT].into_boxed_slice(),
            unclaimed: SlotSet::EMPTY,
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            assigned: 0,
            cached: None,
        }
    }
}

impl Slots {
    /// Who owns `slot`.
    #[inline]
    #[must_use]
    pub fn owner(&self, slot: Slot) -> Option<PeerIx> {
        let owner = self.owners[slot.index()];
        (owner != NOBODY).then(|| PeerIx::from_number(owner))
    }

    /// Where `slot` is on its way to.
    #[must_use]
    pub fn migrating_to(&self, slot: Slot) -> Option<PeerIx> {
        self.migrating.get(&slot).copied()
    }

    /// Where `slot` is on its way from.
    #[must_use]
    pub fn importing_from(&self, slot: Slot) -> Option<PeerIx> {
        self.importing.get(&slot).copied()
    }

    /// Whether any slot is on the move.
    #[inline]
    #[must_use]
    pub fn has_open(&self) -> bool {
        !self.migrating.is_empty() || !self.importing.is_empty()
    }

    /// The slots on the move, ascending: whether they go or come, and the other node.
    #[must_use]
    pub fn open(&self) -> Vec<(Slot, bool, PeerIx)> {
        let going = self.migrating.iter().map(|(slot, target)| (*slot, true, *target));
        let coming = self.importing.iter().map(|(slot, source)| (*slot, false, *source));
        let mut open: Vec<_> = going.chain(coming).collect();
        open.sort_unstable_by_key(|(slot, ..)| *slot);
        open
    }

    /// How many have an owner.
    #[must_use]
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// The slots of a node.
    #[must_use]
    pub fn set_of(&self, owner: PeerIx) -> SlotSet {
        let number = owner.number();
        let owned = Slot::all().zip(&*self.owners).filter(|(_, owner)| **owner == number);
        owned.map(|(slot, _)| slot).collect()
    }

    /// The same, shared with packets.
    pub(super) fn shared_set_of(&mut self, owner: PeerIx) -> Arc<SlotSet> {
        match &self.cached {
            Some((cached, set)) if *cached == owner => Arc::clone(set),
            _ => {
                let set = Arc::new(self.set_of(owner));
                self.cached = Some((owner, Arc::clone(&set)));
                set
            }
        }
    }

    /// Runs of consecutive slots with one owner: first, last, owner; ascending.
    #[must_use]
    pub fn ranges(&self) -> Vec<(Slot, Slot, PeerIx)> {
        let mut ranges: Vec<(Slot, Slot, PeerIx)> = Vec::new();
        for slot in Slot::all() {
            let Some(owner) = self.owner(slot) else { continue };
            match ranges.last_mut() {
                Some((_, last, of)) if *of == owner && last.number() + 1 == slot.number() => {
                    *last = slot;
                }
                _ => ranges.push((slot, slot, owner)),
            }
        }
        ranges
    }

    /// Whether exactly the slots of `claimed` belong to `owner`, who has `count`, and has claimed all of them before.
    pub(super) fn are_exactly(&self, claimed: &SlotSet, owner: PeerIx, count: usize) -> bool {
        let number = owner.number();
        let is_its = |slot: Slot| self.owners[slot.index()] == number && !self.unclaimed.has(slot);
        claimed.len() == count && claimed.iter().all(is_its)
    }

    /// Changes the owner. Counting is the caller's ([`super::Cluster::assign`]).
    pub(super) fn set(&mut self, slot: Slot, owner: Option<PeerIx>) -> Option<PeerIx> {
        let former = self.owner(slot);
        self.owners[slot.index()] = owner.map_or(NOBODY, PeerIx::number);
        self.assigned =
            self.assigned + usize::from(owner.is_some()) - usize::from(former.is_some());
        self.unclaimed.remove(slot);
        self.cached = None;
        former
    }

    /// The owner has stopped claiming `slot`.
    pub(super) fn is_unclaimed(&self, slot: Slot) -> bool {
        self.unclaimed.has(slot)
    }

    pub(super) fn set_unclaimed(&mut self, slot: Slot, is_unclaimed: bool) {
        if is_unclaimed {
            self.unclaimed.insert(slot);
        } else {
            self.unclaimed.remove(slot);
        }
    }

    /// No slot is on the move any more.
    pub(super) fn close_all(&mut self) {
        self.migrating.clear();
        self.importing.clear();
    }

    /// A node is about to be forgotten: no open slot refers to it.
    pub(super) fn close_with(&mut self, peer: PeerIx) {
        self.migrating.retain(|_, target| *target != peer);
        self.importing.retain(|_, source| *source != peer);
    }
}
