//! A collection of any type.

use std::collections::VecDeque;

use highwater_persistence::snapshot::Thresholds;

use super::{OrderedMap, Stream, Zset};
use crate::alloc::size_class;
use crate::resp::number::parse_i64;

/// The value of a field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue {
    /// The value.
    pub value: Vec<u8>,
    /// Unix time in milliseconds at which the field alone expires: kept for those who load it from a newer server.
    pub expires_ms: Option<u64>,
}

/// The value of a key that is not a string.
#[derive(Clone, Debug)]
pub enum Object {
    /// Byte strings from head to tail.
    List(VecDeque<Vec<u8>>),
    /// Byte strings, each once, in the order they came.
    Set(OrderedMap<()>),
    /// Fields with values, in the order the fields came.
    Hash(OrderedMap<FieldValue>),
    /// Members by score.
    Zset(Zset),
    /// Entries by id, with groups that read them.
    Stream(Box<Stream>),
}

/// What a table entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

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
            Object::List(items) => items.len(),
            Object::Set(members) => members.len(),
            Object::Hash(fields) => fields.len(),
            Object::Zset(members) => members.len(),
            Object::Stream(stream) => stream.entries.len(),
        }
    }

    /// Whether there are no elements. Only a stream may stay at its key then.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The encoding, as OBJECT ENCODING answers: the one a stock server gives a value with this content.
    ///
    /// Differs: a stock server does not go back to a packed encoding when a value shrinks (lists excepted).
    pub fn encoding(&self, limits: &Thresholds) -> &'static str {
        match self {
            Object::List(items) => list_encoding(items, limits),
            Object::Set(members) => set_encoding(members, limits),
            Object::Hash(fields) => {
                let fits = |bytes: &[u8]| bytes.len() <= limits.hash_value_bytes_max;
                let packed = fields.len() as u64 <= limits.hash_entries_max
                    && fields.iter().all(|(field, value)| fits(field) && fits(&value.value));
                if packed { "listpack" } else { "hashtable" }
            }
            Object::Zset(members) => {
                let fits = |bytes: &[u8]| bytes.len() <= limits.zset_value_bytes_max;
                let packed = members.len() as u64 <= limits.zset_entries_max
                    && members.iter().all(|(member, _)| fits(member));
                if packed { "listpack" } else { "skiplist" }
            }
            Object::Stream(_) => "stream",
        }
    }

    /// Bytes of memory held, estimated: those of the elements as the allocator rounds them, and a share for the
    /// tables.
    pub fn memory_usage(&self) -> usize {
        let bytes = |bytes: &[u8]| size_class(bytes.len());
        match self {
            Object::List(items) => items.iter().map(|item| bytes(item) + 24).sum(),
            Object::Set(members) => {
                members.iter().map(|(member, ())| bytes(member) + ENTRY_BYTES).sum()
            }
            Object::Hash(fields) => fields
                .iter()
                .map(|(field, value)| bytes(field) + bytes(&value.value) + ENTRY_BYTES + 40)
                .sum(),
            Object::Zset(members) => {
                members.iter().map(|(member, _)| bytes(member) + 2 * ENTRY_BYTES).sum()
            }
            Object::Stream(stream) => {
                let fields = stream.entries.values().flatten();
                let entries: usize =
                    fields.map(|(field, value)| bytes(field) + bytes(value) + 48).sum();
                let groups = stream.groups.values();
                let pending: usize =
                    groups.map(|group| (group.pending.len() + group.consumers.len()) * 64).sum();
                stream.entries.len() * ENTRY_BYTES + entries + pending
            }
        }
    }
}

/// A list of one packed node is called by that node's name since Redis 7.2.
fn list_encoding(items: &VecDeque<Vec<u8>>, limits: &Thresholds) -> &'static str {
    // Header and end mark, and at least two bytes per item, before the exact sum is worth making.
    let mut bytes = LISTPACK_BYTES;
    for (at, item) in items.iter().enumerate() {
        bytes += item_bytes(item);
        if !limits.list_node_fits(at as u64 + 1, bytes) {
            return "quicklist";
        }
    }
    "listpack"
}

fn set_encoding(members: &OrderedMap<()>, limits: &Thresholds) -> &'static str {
    let len = members.len() as u64;
    let integers = || members.iter().all(|(member, ())| parse_i64(member).is_some());
    if len <= limits.set_intset_entries_max && integers() {
        return "intset";
    }
    let fits = |bytes: &[u8]| bytes.len() <= limits.set_value_bytes_max;
    let packed = len <= limits.set_entries_max && members.iter().all(|(member, ())| fits(member));
    if packed { "listpack" } else { "hashtable" }
}

/// A listpack without items.
const LISTPACK_BYTES: usize = 7;

/// What an item takes in a listpack: encoding, data, and the length for walking backwards.
fn item_bytes(item: &[u8]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(object: &Object, expected: &str) {
        assert_eq!(object.encoding(&Thresholds::default()), expected);
    }

    fn set(members: impl IntoIterator<Item = String>) -> Object {
        let mut set = OrderedMap::new();
        for member in members {
            set.insert(member.as_bytes(), ());
        }
        Object::Set(set)
    }

    #[test]
    fn encodings_change_at_stocks_thresholds() {
        let texts = |count: usize, len: usize| (0..count).map(move |n| format!("{n:0>len$}x"));
        check(&set((0..512).map(|n| n.to_string())), "intset");
        check(&set((0..513).map(|n| n.to_string())), "hashtable");
        check(&set(texts(128, 1)), "listpack");
        check(&set(texts(129, 1)), "hashtable");
        check(&set(texts(1, 63)), "listpack");
        check(&set(texts(1, 64)), "hashtable");
        let zset = |count: usize| {
            let mut zset = Zset::new();
            for member in texts(count, 1) {
                zset.insert(member.as_bytes(), 1.5);
            }
            Object::Zset(zset)
        };
        check(&zset(128), "listpack");
        check(&zset(129), "skiplist");
    }

    #[test]
    fn a_list_is_a_listpack_while_one_node_holds_it() {
        let list = |count: usize, len: usize| Object::List(vec![vec![b'x'; len]; count].into());
        check(&list(1, 8000), "listpack");
        check(&list(1, 9000), "quicklist");
        check(&list(1000, 5), "listpack");
        check(&list(2000, 5), "quicklist");
    }
}
