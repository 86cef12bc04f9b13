//! The keyspace as commands see it, and walks against a copy taken at the cut.

use crate::types::Object;

/// A collection of this many items.
pub(super) fn object_of(length: usize) -> Object {
    Object::List(vec![b"item".to_vec(); length])
}

pub(super) fn object_len(object: &Object) -> usize {
    match object {
        Object::List(items) => items.len(),
    }
}

mod door;
mod walks;
