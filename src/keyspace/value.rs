//! Values on their way into and out of entries.

use std::borrow::Cow;
use std::sync::Arc;

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
    Object(Arc<Object>),
}

impl<'a> Value<'a> {
    /// The string `bytes`, as an integer where it is one in canonical form (no sign or zeros in front that
    /// printing it would not give back).
    pub fn string(bytes: &'a [u8]) -> Value<'a> {
        match canonical_integer(bytes) {
            Some(number) => Value::Int(number),
            None => Value::Str(bytes),
        }
    }

    /// A collection of its own.
    pub fn object(object: Object) -> Value<'static> {
        Value::Object(Arc::new(object))
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

/// The integer that prints as exactly `bytes`, if there is one that fits 64 bits.
pub fn canonical_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    let mut sum = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Nineteen digits stay below 10^19, which an unsigned word holds.
        sum = sum * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(sum) } else { i64::try_from(sum).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_recognized_only_in_canonical_form() {
        let check = |text: &str, number: Option<i64>| {
            assert_eq!(canonical_integer(text.as_bytes()), number, "{text:?}");
        };
        check("0", Some(0));
        check("-1", Some(-1));
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("-9223372036854775809", None);
        check("99999999999999999999", None);
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "0x1", "--1"] {
            check(text, None);
        }
    }

    #[test]
    fn strings_have_bytes_and_collections_do_not() {
        assert_eq!(ValueRef::Int(-12).to_string_bytes().as_deref(), Some(&b"-12"[..]));
        assert_eq!(ValueRef::Int(-12).string_len(), Some(3));
        assert_eq!(ValueRef::Str(b"abc").string_len(), Some(3));
    }
}
