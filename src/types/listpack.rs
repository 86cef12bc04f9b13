//! Small collections as one block: the listpack of snapshots, changed in place.

pub use highwater_persistence::snapshot::{
    EditableListpack as Listpack, Items, Needle, PackedItem, Place, listpack_item_bytes,
};
