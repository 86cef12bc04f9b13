//! Patterns of SORT: from an element to the value of another key, or of a field of a hash.
//!
//! `weight_*` is the string at `weight_` and the element, `object_*->price` the field `price` of the hash there, and `#` the
//! element itself. What names no key has no value.
//!
//! Source: Redis documentation, "SORT".

use crate::keyspace::{Access, Keyspace, ValueRef};
use crate::resp::number::parse_i64;
use crate::types::{Object, member_bytes};

/// A pattern, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// `#`.
    Element,
    /// Without a `*`: no key follows from an element.
    Nothing,
    /// Key names from elements.
    Key {
        /// In front of the element.
        prefix: &'a [u8],
        /// Behind it.
        postfix: &'a [u8],
        /// The field of a hash; nothing for a string.
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    /// Whether other keys than the one that is sorted are meant.
    pub(super) fn names_keys(pattern: &[u8]) -> bool {
        pattern.contains(&b'*')
    }

    pub(super) fn parse(pattern: &'a [u8]) -> Self {
        if pattern == b"#" {
            return Pattern::Element;
        }
        let Some(star) = pattern.iter().position(|&byte| byte == b'*') else {
            return Pattern::Nothing;
        };
        let (prefix, rest) = (&pattern[..star], &pattern[star + 1..]);
        // An arrow with nothing behind it belongs to the name of the key.
        let arrow = rest.windows(2).position(|pair| pair == b"->");
        match arrow.filter(|arrow| arrow + 2 < rest.len()) {
            Some(arrow) => {
                Pattern::Key { prefix, postfix: &rest[..arrow], field: Some(&rest[arrow + 2..]) }
            }
            None => Pattern::Key { prefix, postfix: rest, field: None },
        }
    }
}

/// Looks values up, with one buffer for the names of all keys.
#[derive(Debug)]
pub(super) struct Lookup<'k> {
    keyspace: &'k mut Keyspace,
    db: u32,
    name: Vec<u8>,
}

impl<'k> Lookup<'k> {
    pub(super) fn new(keyspace: &'k mut Keyspace, db: u32) -> Self {
        Lookup { keyspace, db, name: Vec::new() }
    }

    /// Hands to `visit` what `pattern` means for `element`.
    pub(super) fn value<T>(
        &mut self,
        pattern: &Pattern<'_>,
        element: &[u8],
        visit: impl FnOnce(Option<&[u8]>) -> T,
    ) -> T {
        let (prefix, postfix, field) = match *pattern {
            Pattern::Element => return visit(Some(element)),
            Pattern::Nothing => return visit(None),
            Pattern::Key { prefix, postfix, field } => (prefix, postfix, field),
        };
        self.name.clear();
        [prefix, element, postfix].iter().for_each(|part| self.name.extend_from_slice(part));
        let as_of = super::hash::fields_as_of(self.keyspace);
        let key = self.keyspace.key(&self.name);
        let found = self.keyspace.lookup(self.db, &key, Access::READ).map(|entry| entry.value());
        let mut buffer = itoa::Buffer::new();
        match (found, field) {
            (Some(ValueRef::Str(bytes)), None) => visit(Some(bytes)),
            (Some(ValueRef::Int(number)), None) => visit(Some(buffer.format(number).as_bytes())),
            (Some(ValueRef::Object(Object::Hash(hash))), Some(name)) => {
                let field = hash.get(name).filter(|field| field.is_live(as_of));
                visit(field.map(|field| member_bytes(field.value, &mut buffer)))
            }
            _ => visit(None),
        }
    }
}

/// `bytes` as the number by which elements are sorted.
///
/// As C's `strtod` reads all of it: spaces in front are fine, and nothing at all is 0. `None` for NaN, and for what a double
/// cannot hold.
pub(super) fn weight(bytes: &[u8]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "stock does the same")]
    match parse_i64(bytes) {
        Some(number) => Some(number as f64),
        None => super::double::strict(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart_at_the_first_star_and_arrow() {
        let key = |prefix: &'static str, postfix: &'static str, field: Option<&'static str>| {
            let field = field.map(str::as_bytes);
            Pattern::Key { prefix: prefix.as_bytes(), postfix: postfix.as_bytes(), field }
        };
        assert_eq!(Pattern::parse(b"#"), Pattern::Element);
        assert_eq!(Pattern::parse(b"##"), Pattern::Nothing);
        assert_eq!(Pattern::parse(b""), Pattern::Nothing);
        assert_eq!(Pattern::parse(b"a->b"), Pattern::Nothing);
        assert_eq!(Pattern::parse(b"w_*"), key("w_", "", None));
        assert_eq!(Pattern::parse(b"w_*:x*"), key("w_", ":x*", None));
        assert_eq!(Pattern::parse(b"w->*:x->f->g"), key("w->", ":x", Some("f->g")));
        assert_eq!(Pattern::parse(b"w_*->"), key("w_", "->", None));
        assert_eq!(Pattern::parse(b"*->*"), key("", "", Some("*")));
    }
}
