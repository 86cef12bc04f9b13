//! A collection of any type.

use super::{Hash, Limits, List, Set, Stream, Zset};
use crate::resp::number::parse_i64;

/// The value of a key that is not a string.
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
    Stream(Box<Stream>),
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
            Object::Stream(stream) => stream.entries.len(),
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

/// What an item takes in a listpack: encoding, data, and the length for walking backwards.
pub(super) fn item_bytes(item: &[u8]) -> usize {
    let bytes = match parse_i64(item) {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-32_768..=32_767) => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(-2_147_483_648..=2_147_483_647) => 5,
        Some(_) => 9,
        None => match item.len() {
            len @ 0..=63 => len + 1,
            len @ 64..=4095 => len + 2,
            len => len + 5,
        },
    };
    bytes
        + match bytes {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            _ => 5,
        }
}
