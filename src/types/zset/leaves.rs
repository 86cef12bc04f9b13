//! All leaves of a sorted set, by number. A leaf keeps its number as long as it is there.

use std::sync::Arc;

use super::leaf::Leaf;
use super::room::{block_bytes, grow, sampled};
use crate::alloc::arc_bytes;

/// Leaves in a group: the first write to a group behind a clone counts as many references.
const GROUP: usize = 128;

/// A place for a leaf.
#[derive(Clone, Debug)]
enum Slot {
    Leaf(Arc<Leaf>),
    /// None, and the next free place.
    Free(Option<u32>),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaves {
    groups: Vec<Arc<Vec<Slot>>>,
    slots: usize,
    free: Option<u32>,
}

impl Leaves {
    #[inline]
    pub(super) fn get(&self, number: u32) -> &Leaf {
        let at = number as usize;
        match &self.groups[at / GROUP][at % GROUP] {
            Slot::Leaf(leaf) => leaf,
            Slot::Free(_) => unreachable!("numbers of leaves that are gone are forgotten"),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut Leaf {
        match self.slot_mut(number) {
            Slot::Leaf(leaf) => Arc::make_mut(leaf),
            Slot::Free(_) => unreachable!("numbers of leaves that are gone are forgotten"),
        }
    }

    /// The number of the leaf that will be added next.
    #[inline]
    pub(super) fn next(&self) -> u32 {
        self.free.unwrap_or_else(|| number_of(self.slots))
    }

    /// Adds a leaf and returns its number.
    pub(super) fn add(&mut self, leaf: Leaf) -> u32 {
        let slot = Slot::Leaf(Arc::new(leaf));
        if let Some(number) = self.free {
            let place = self.slot_mut(number);
            let Slot::Free(next) = std::mem::replace(place, slot) else {
                unreachable!("it is listed as free")
            };
            self.free = next;
            return number;
        }
        if self.slots.is_multiple_of(GROUP) {
            grow(&mut self.groups, 1);
            self.groups.push(Arc::default());
        }
        let group = Arc::make_mut(self.groups.last_mut().expect("just made sure"));
        if group.len() == group.capacity() {
            group.reserve_exact((group.len() / 4 + 1).min(GROUP - group.len()));
        }
        group.push(slot);
        self.slots += 1;
        number_of(self.slots - 1)
    }

    /// Takes a leaf out.
    pub(super) fn take(&mut self, number: u32) -> Arc<Leaf> {
        let free = Slot::Free(self.free);
        let Slot::Leaf(leaf) = std::mem::replace(self.slot_mut(number), free) else {
            unreachable!("numbers of leaves that are gone are forgotten")
        };
        self.free = Some(number);
        leaf
    }

    /// Bytes of memory held, taken from a sample where there is much.
    pub(super) fn memory_usage(&self) -> usize {
        let group = arc_bytes::<Vec<Slot>>();
        let groups = self.groups.iter().map(|slots| group + block_bytes(slots));
        let leaves = sampled(self.slots, |at| match &self.groups[at / GROUP][at % GROUP] {
            Slot::Leaf(leaf) => leaf.memory_usage(),
            Slot::Free(_) => 0,
        });
        block_bytes(&self.groups) + groups.sum::<usize>() + leaves
    }

    fn slot_mut(&mut self, number: u32) -> &mut Slot {
        let at = number as usize;
        &mut Arc::make_mut(&mut self.groups[at / GROUP])[at % GROUP]
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let slots = self.groups.iter().flat_map(|group| group.iter());
        slots.filter(|slot| matches!(slot, Slot::Leaf(_))).count()
    }
}

fn number_of(slot: usize) -> u32 {
    u32::try_from(slot).expect("2^32 leaves are more than fit into memory")
}
