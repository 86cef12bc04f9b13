//! Small collections as one block: the listpack of snapshots, changed in place.

use super::seen::Seen;

pub use highwater_persistence::snapshot::{
    EditableListpack as Listpack, Items, Needle, PackedItem, Place, listpack_item_bytes,
};

/// Whether no item comes twice.
pub(super) fn are_different<'a>(mut items: impl Iterator<Item = PackedItem<'a>>) -> bool {
    let mut seen = Seen::with_capacity(items.size_hint().1.unwrap_or(0));
    items.all(|item| seen.insert(item))
}
