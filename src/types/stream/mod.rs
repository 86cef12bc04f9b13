//! Streams: entries in the order of their ids, and consumer groups that read them.
//!
//! | file | what it is |
//! |---|---|
//! | `node.rs` | entries packed into a block |
//! | `entries.rs` | the blocks in order, and the numbers that are kept of all entries |
//! | `group.rs` | groups, their consumers, and what was not acknowledged |
//! | `tree.rs` | the ordered map under all of these; it is copied where it is written |

mod entries;
mod group;
mod node;
mod tree;

use std::sync::Arc;

use highwater_persistence::snapshot::StreamMeta;

use crate::alloc::{ARC_BYTES, arc_bytes, size_class};
use tree::Tree;

pub use entries::{Entries, Keep, MAX_ID, Range, Refused, Trim};
pub use group::{COUNT_MAX, Consumer, ConsumerNumber, Group, Pending};
pub use node::Entry;

/// A stream. A clone of it costs the same, however large it is.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its entries.
    pub entries: Entries,
    groups: Tree<Arc<[u8]>, Group>,
}

impl Stream {
    /// The stream's numbers, as snapshots have them.
    pub fn meta(&self) -> StreamMeta {
        self.entries.meta()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.entries.len()).unwrap_or(usize::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Groups in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Group)> {
        self.groups.iter()
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The group with this name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The group with this name, to be changed, and the entries it reads.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(&Entries, &mut Group)> {
        Some((&self.entries, self.groups.get_mut(name)?))
    }

    /// Adds a group. False: the name is taken.
    pub fn create_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains(name) {
            return false;
        }
        self.groups.insert(Arc::from(name), group);
        true
    }

    /// Removes a group. Says whether there was one.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.groups.remove(name).is_some()
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        let groups = self.groups.iter();
        let in_groups: usize = groups
            .map(|(name, group)| size_class(ARC_BYTES + name.len()) + group.memory_usage())
            .sum();
        arc_bytes::<Self>() + self.entries.memory_usage() + self.groups.bytes() + in_groups
    }

    /// Asserts what always holds.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        self.entries.check_invariants();
        self.groups.check_invariants();
        self.groups.iter().for_each(|(_, group)| group.check_invariants());
    }
}

#[cfg(test)]
mod tests;
