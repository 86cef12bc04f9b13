//! Sets: byte strings, each once.

use std::borrow::Cow;

use super::{Limits, OrderedMap};
use crate::alloc::size_class;
use crate::resp::number::parse_i64;

/// What a table entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

/// A set.
#[derive(Clone, Debug, Default)]
pub struct Set {
    members: OrderedMap<()>,
}

impl Set {
    /// A set without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds a member. False: it was there.
    pub fn insert(&mut self, member: &[u8], _: &Limits) -> bool {
        self.members.insert(member, ()).is_none()
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.members.iter().map(|(member, ())| Cow::Borrowed(member))
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, limits: &Limits) -> &'static str {
        let members = &self.members;
        let len = members.len() as u64;
        let integers = || members.iter().all(|(member, ())| parse_i64(member).is_some());
        if len <= limits.set_intset_entries_max && integers() {
            return "intset";
        }
        let fits = |bytes: &[u8]| bytes.len() <= limits.set_value_bytes_max;
        let packed =
            len <= limits.set_entries_max && members.iter().all(|(member, ())| fits(member));
        if packed { "listpack" } else { "hashtable" }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        self.members.iter().map(|(member, ())| size_class(member.len()) + ENTRY_BYTES).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_change_at_stocks_thresholds() {
        let check = |members: &mut dyn Iterator<Item = String>, expected: &str| {
            let limits = Limits::default();
            let mut set = Set::new();
            members.for_each(|member| assert!(set.insert(member.as_bytes(), &limits)));
            assert_eq!(set.encoding(&limits), expected);
        };
        let texts = |count: usize, len: usize| (0..count).map(move |n| format!("{n:0>len$}x"));
        check(&mut (0..512).map(|n| n.to_string()), "intset");
        check(&mut (0..513).map(|n| n.to_string()), "hashtable");
        check(&mut texts(128, 1), "listpack");
        check(&mut texts(129, 1), "hashtable");
        check(&mut texts(1, 63), "listpack");
        check(&mut texts(1, 64), "hashtable");
    }
}
