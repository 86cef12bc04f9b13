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
    /// The slots of each node that has had any, by its number; shared with packets.
    sets: Vec<Option<Arc<SlotSet>>>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            owners: vec![NOBODY; SLOT_COUNT].into_boxed_slice(),
            unclaimed: SlotSet::EMPTY,
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            assigned: 0,
            sets: Vec::new(),
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
        self.own_set(owner).map_or(SlotSet::EMPTY, |set| set.as_ref().clone())
    }

    /// The same, shared with packets.
    pub(super) fn shared_set_of(&self, owner: PeerIx) -> Arc<SlotSet> {
        self.own_set(owner).map_or_else(Arc::default, Arc::clone)
    }

    fn own_set(&self, owner: PeerIx) -> Option<&Arc<SlotSet>> {
        self.sets.get(usize::from(owner.number()))?.as_ref()
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

    /// Whether exactly the slots of `claimed` belong to `owner`, who has claimed all of them before. Asked for each
    /// heartbeat: 2 KiB are compared.
    pub(super) fn are_exactly(&self, claimed: &SlotSet, owner: PeerIx) -> bool {
        let is_same = self.own_set(owner).map_or(claimed.is_empty(), |set| set.as_ref() == claimed);
        is_same && !self.unclaimed.meets(claimed)
    }

    /// Changes the owner. Counting is the caller's ([`super::Cluster::assign`]).
    pub(super) fn set(&mut self, slot: Slot, owner: Option<PeerIx>) -> Option<PeerIx> {
        let former = self.owner(slot);
        self.owners[slot.index()] = owner.map_or(NOBODY, PeerIx::number);
        self.assigned =
            self.assigned + usize::from(owner.is_some()) - usize::from(former.is_some());
        self.unclaimed.remove(slot);
        if let Some(former) = former {
            self.change_set(former, |set| set.remove(slot));
        }
        if let Some(owner) = owner {
            self.change_set(owner, |set| set.insert(slot));
        }
        former
    }

    fn change_set(&mut self, owner: PeerIx, change: impl FnOnce(&mut SlotSet)) {
        let index = usize::from(owner.number());
        if self.sets.len() <= index {
            self.sets.resize(index + 1, None);
        }
        // Where packets on their way share it, they keep what it was.
        change(Arc::make_mut(self.sets[index].get_or_insert_default()));
    }

    /// The owner has stopped claiming `slot`.
    pub(super) fn is_unclaimed(&self, slot: Slot) -> bool {
        self.unclaimed.has(slot)
    }

    /// All of those.
    pub(super) fn unclaimed(&self) -> &SlotSet {
        &self.unclaimed
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
