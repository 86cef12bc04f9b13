//! Values on their way into and out of entries.

use std::borrow::Cow;
use std::sync::Arc;

use crate::resp::number::parse_i64;
use crate::types::Object;

/// A value to be stored.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// A string to be copied. Use [`Value::string`] to have integers recognized.
    Str(&'a [u8]),
    /// A string that has a buffer of its own; short ones are kept that way too.
    Shared(Arc<Vec<u8>>),
    /// A string that is an integer in canonical form.
    Int(i64),
    /// A collection.
    Object(Object),
}

impl<'a> Value<'a> {
    /// The string `bytes`, as an integer where it is one in canonical form (no sign or zeros in front that
    /// printing it would not give back).
    pub fn string(bytes: &'a [u8]) -> Value<'a> {
        match parse_i64(bytes) {
            Some(number) => Value::Int(number),
            None => Value::Str(bytes),
        }
    }
}

/// A value as it lies in its entry.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A string.
    Str(&'a [u8]),
    /// A string that is an integer in canonical form.
    Int(i64),
    /// A collection.
    Object(&'a Object),
}

impl<'a> ValueRef<'a> {
    /// The bytes of a string, printed if it is an integer; `None` for collections.
    pub fn to_string_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self {
            ValueRef::Str(bytes) => Some(Cow::Borrowed(bytes)),
            ValueRef::Int(number) => {
                Some(Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec()))
            }
            ValueRef::Object(_) => None,
        }
    }

    /// Length of a string in bytes; `None` for collections.
    pub fn string_len(self) -> Option<usize> {
        match self {
            ValueRef::Str(bytes) => Some(bytes.len()),
            ValueRef::Int(number) => Some(itoa::Buffer::new().format(number).len()),
            ValueRef::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_bytes_and_collections_do_not() {
        assert_eq!(ValueRef::Int(-12).to_string_bytes().as_deref(), Some(&b"-12"[..]));
        assert_eq!(ValueRef::Int(-12).string_len(), Some(3));
        assert_eq!(ValueRef::Str(b"abc").string_len(), Some(3));
    }
}
