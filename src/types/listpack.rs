//! Small collections as one block: the listpack of snapshots, changed in place.

use std::collections::HashSet;

pub use highwater_persistence::snapshot::{
    EditableListpack as Listpack, Items, Needle, PackedItem, Place, listpack_item_bytes,
};

/// Whether no item comes twice.
pub(super) fn are_different<'a>(mut items: impl Iterator<Item = PackedItem<'a>>) -> bool {
    let mut seen = HashSet::new();
    items.all(|item| seen.insert(item))
}
