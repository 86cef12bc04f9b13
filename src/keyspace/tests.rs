//! The keyspace as commands see it, and walks against a copy taken at the cut.

use crate::types::Object;

/// A collection of this many items.
pub(super) fn object_of(length: usize) -> Object {
    Object::List(vec![b"item".to_vec(); length].into())
}

pub(super) fn object_len(object: &Object) -> usize {
    object.len()
}

mod door;
mod hidden;
mod walks;
