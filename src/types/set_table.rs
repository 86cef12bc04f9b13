//! Large sets: a table of packed pages without values.

use super::pages::Pages;
use crate::alloc::arc_bytes;

/// Members in no particular order.
#[derive(Clone, Debug, Default)]
pub(super) struct SetTable {
    members: Pages<false>,
}

/// Members of a table.
pub(super) type TableIter<'a> = Box<dyn Iterator<Item = &'a [u8]> + 'a>;

impl SetTable {
    /// How many members there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Hands all members to `visit` until that says false; says whether it never did.
    #[inline]
    pub(super) fn all<'a>(&'a self, mut visit: impl FnMut(&'a [u8]) -> bool) -> bool {
        self.members.iter().all(|record| visit(record.key))
    }

    /// Whether `member` is there.
    #[inline]
    pub(super) fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// See [`Pages::prefetch`].
    pub(super) fn prefetch<'m>(&self, members: impl Iterator<Item = &'m [u8]>) {
        self.members.prefetch(members);
    }

    /// Adds a member. False: it was there.
    #[inline]
    pub(super) fn insert(&mut self, member: &[u8]) -> bool {
        self.members.set(member, &[])
    }

    /// Removes a member. False: it was not there.
    #[inline]
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        self.members.remove(member)
    }

    /// All members.
    pub(super) fn iter(&self) -> TableIter<'_> {
        Box::new(self.members.iter().map(|record| record.key))
    }

    /// A member, each with the same chance.
    pub(super) fn random(&self, random: &mut fastrand::Rng) -> Option<&[u8]> {
        self.members.random(random).map(|record| record.key)
    }

    /// A step of a scan, see [`Pages::scan`].
    pub(super) fn scan(&self, cursor: u64, count: usize, mut found: impl FnMut(&[u8])) -> u64 {
        self.members.scan(cursor, count, |record| found(record.key))
    }

    /// Bytes of memory held, as the allocator rounds them, in constant time.
    pub(super) fn memory_usage(&self) -> usize {
        arc_bytes::<Self>() + self.members.memory_usage()
    }

    /// Asserts what always holds.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.members.check_invariants();
    }
}
