//! The keyspace as commands see it, and walks against a copy taken at the cut.

use crate::types::{Limits, List, Object};

/// A collection of this many items.
pub(super) fn object_of(length: usize) -> Object {
    let (mut list, limits) = (List::new(), Limits::default());
    (0..length).for_each(|_| list.push_back(b"item", &limits));
    Object::List(list)
}

pub(super) fn object_len(object: &Object) -> usize {
    object.len()
}

mod door;
mod hidden;
mod walks;
