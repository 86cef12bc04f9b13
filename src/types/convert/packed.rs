//! Collections that come as one block: taken over as they are, or element by element where one made here would be another.

use highwater_persistence::snapshot::PackedShape;

use super::{Hash, Limits, Object, Set, TWICE, Zset};
use crate::types::listpack::Listpack;

/// The collection of a block whose items the reader has checked.
///
/// # Errors
/// An element is there twice, or the block is none.
pub(super) fn object_of(
    shape: PackedShape,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Object, &'static str> {
    if shape == PackedShape::Intset {
        return Set::of_intset(bytes, limits).map(Object::Set).ok_or("no intset");
    }
    let pack = Listpack::from_bytes(bytes.to_vec()).map_err(|(_, what)| what)?;
    match shape {
        PackedShape::Intset | PackedShape::Set => Set::of_listpack(pack, limits).map(Object::Set),
        PackedShape::Hash => Hash::of_listpack(pack, limits).map(Object::Hash),
        PackedShape::Zset => Zset::of_listpack(pack, limits).map(Object::Zset),
    }
    .ok_or(TWICE)
}
