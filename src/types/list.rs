//! Lists: byte strings from head to tail.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Limits;
use super::object::item_bytes;
use crate::alloc::size_class;

/// A listpack without items.
const LISTPACK_BYTES: usize = 7;

/// A list.
#[derive(Clone, Debug, Default)]
pub struct List {
    items: VecDeque<Vec<u8>>,
}

impl List {
    /// A list without items.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an item behind the tail.
    pub fn push_back(&mut self, item: &[u8], _: &Limits) {
        self.items.push_back(item.to_vec());
    }

    /// All items from head to tail.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Cow<'_, [u8]>> {
        self.items.iter().map(|item| Cow::Borrowed(&item[..]))
    }

    /// What OBJECT ENCODING answers. A list of one packed node is called by that node's name since Redis 7.2.
    pub fn encoding(&self, limits: &Limits) -> &'static str {
        // Header and end mark, and at least two bytes per item, before the exact sum is worth making.
        let mut bytes = LISTPACK_BYTES;
        for (at, item) in self.items.iter().enumerate() {
            bytes += item_bytes(item);
            if !limits.list_node_fits(at as u64 + 1, bytes) {
                return "quicklist";
            }
        }
        "listpack"
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        self.items.iter().map(|item| size_class(item.len()) + 24).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_listpack_while_one_node_holds_it() {
        let check = |count: usize, len: usize, expected: &str| {
            let limits = Limits::default();
            let mut list = List::new();
            (0..count).for_each(|_| list.push_back(&vec![b'x'; len], &limits));
            assert_eq!(list.encoding(&limits), expected);
        };
        check(1, 8000, "listpack");
        check(1, 9000, "quicklist");
        check(1000, 5, "listpack");
        check(2000, 5, "quicklist");
    }
}
