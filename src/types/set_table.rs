//! Large sets.

use super::OrderedMap;
use crate::alloc::size_class;

/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

/// Members in no particular order.
#[derive(Clone, Debug, Default)]
pub(super) struct SetTable {
    members: OrderedMap<()>,
}

impl SetTable {
    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether `member` is there.
    pub(super) fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// Adds a member. False: it was there.
    pub(super) fn insert(&mut self, member: &[u8]) -> bool {
        self.members.insert(member, ()).is_none()
    }

    /// Removes a member. False: it was not there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member).is_some()
    }

    /// All members.
    pub(super) fn iter(&self) -> TableIter<'_> {
        Box::new(self.members.iter().map(|(member, ())| member))
    }

    /// A member, each with about the same chance.
    pub(super) fn random(&self, random: &mut fastrand::Rng) -> Option<&[u8]> {
        self.iter().nth(random.usize(..self.len().max(1)))
    }

    /// A step of a scan from `cursor` on, 0 at the start, over at least `count` members if there are so many. Returns
    /// the cursor to go on with, 0 at the end.
    pub(super) fn scan(&self, _: u64, _: usize, mut found: impl FnMut(&[u8])) -> u64 {
        self.iter().for_each(&mut found);
        0
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub(super) fn memory_usage(&self) -> usize {
        self.iter().map(|member| size_class(member.len()) + ENTRY_BYTES).sum()
    }

    /// Asserts what always holds.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.members.check_invariants();
    }
}

/// Members of a table.
pub(super) type TableIter<'a> = Box<dyn Iterator<Item = &'a [u8]> + 'a>;
