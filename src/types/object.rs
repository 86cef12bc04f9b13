//! A collection of any type.

use std::sync::Arc;

use super::{Hash, Limits, List, Set, Stream, Zset};

/// The value of a key that is not a string. A clone costs as much as copying one block at most: what consists of more is
/// shared until one of the clones is changed.
#[derive(Clone, Debug)]
pub enum Object {
    /// Byte strings from head to tail.
    List(List),
    /// Byte strings, each once.
    Set(Set),
    /// Fields with values.
    Hash(Hash),
    /// Members by score.
    Zset(Zset),
    /// Entries by id, with groups that read them.
    Stream(Arc<Stream>),
}

impl Object {
    /// The name of the type, as TYPE answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::List(_) => "list",
            Object::Set(_) => "set",
            Object::Hash(_) => "hash",
            Object::Zset(_) => "zset",
            Object::Stream(_) => "stream",
        }
    }

    /// How many elements there are: items, members, fields or entries.
    pub fn len(&self) -> usize {
        match self {
            Object::List(list) => list.len(),
            Object::Set(set) => set.len(),
            Object::Hash(hash) => hash.len(),
            Object::Zset(zset) => zset.len(),
            Object::Stream(stream) => stream.len(),
        }
    }

    /// Whether there are no elements. Only a stream may stay at its key then.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The encoding, as OBJECT ENCODING answers.
    pub fn encoding(&self, limits: &Limits) -> &'static str {
        match self {
            Object::List(list) => list.encoding(limits),
            Object::Set(set) => set.encoding(limits),
            Object::Hash(hash) => hash.encoding(limits),
            Object::Zset(zset) => zset.encoding(),
            Object::Stream(_) => "stream",
        }
    }

    /// Whether it is one block of memory.
    fn is_one_block(&self) -> bool {
        match self {
            Object::List(list) => list.is_one_block(),
            Object::Set(set) => !set.is_table(),
            Object::Hash(hash) => hash.packed().is_some(),
            Object::Zset(zset) => zset.is_small(),
            Object::Stream(_) => false,
        }
    }

    /// Whether dropping it takes long: longer than handing it to another thread.
    pub fn is_bulky(&self) -> bool {
        const ELEMENTS: usize = 64;
        const BYTES: usize = 128 * 1024;
        // The groups of a stream may hold more than it has entries.
        matches!(self, Object::Stream(_))
            || !self.is_one_block() && self.len() > ELEMENTS
            || self.memory_usage() > BYTES
    }

    /// Asks the processor to fetch what lookups and changes of some members or fields will need. Worth it from two on; more
    /// than about twenty do not fit its queues. Nothing happens where the value is small or found in another way.
    pub fn prefetch<'e>(&self, elements: impl Iterator<Item = &'e [u8]>) {
        match self {
            Object::Set(set) => set.prefetch(elements),
            Object::Hash(hash) => hash.prefetch(elements),
            Object::List(_) | Object::Zset(_) | Object::Stream(_) => {}
        }
    }

    /// Bytes that a clone copies, about.
    pub fn cloned_bytes(&self) -> usize {
        const HANDLE: usize = 64;
        if self.is_one_block() { HANDLE + self.memory_usage() } else { HANDLE }
    }

    /// Bytes of memory held beside the `Object` itself, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        match self {
            Object::List(list) => list.memory_usage(),
            Object::Set(set) => set.memory_usage(),
            Object::Hash(hash) => hash.memory_usage(),
            Object::Zset(zset) => zset.memory_usage(),
            Object::Stream(stream) => stream.memory_usage(),
        }
    }
}
