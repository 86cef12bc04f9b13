//! Hashes: fields with values.

use std::borrow::Cow;

use super::{Limits, OrderedMap};
use crate::alloc::size_class;

/// What a table entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 104;

/// A hash.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    fields: OrderedMap<Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    value: Vec<u8>,
    expires_ms: Option<u64>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue<'a> {
    /// The value.
    pub bytes: Cow<'a, [u8]>,
    /// Unix time in milliseconds at which the field alone expires.
    pub expires_ms: Option<u64>,
}

impl Hash {
    /// A hash without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Sets the value of a field, which then does not expire by itself. True: the field is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], _: &Limits) -> bool {
        let stored = Stored { value: value.to_vec(), expires_ms: None };
        self.fields.insert(field, stored).is_none()
    }

    /// Sets or takes away when a field expires. False: there is no such field.
    pub fn set_expiry(&mut self, field: &[u8], expires_ms: Option<u64>, _: &Limits) -> bool {
        let Some(stored) = self.fields.get_mut(field) else { return false };
        stored.expires_ms = expires_ms;
        true
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, FieldValue<'_>)> {
        self.fields.iter().map(|(field, Stored { value, expires_ms })| {
            let bytes = Cow::Borrowed(&value[..]);
            (Cow::Borrowed(field), FieldValue { bytes, expires_ms: *expires_ms })
        })
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, limits: &Limits) -> &'static str {
        let fits = |bytes: &[u8]| bytes.len() <= limits.hash_value_bytes_max;
        let packed = self.len() as u64 <= limits.hash_entries_max
            && self.fields.iter().all(|(field, stored)| fits(field) && fits(&stored.value));
        if packed { "listpack" } else { "hashtable" }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        let of = |(field, stored): (&[u8], &Stored)| {
            size_class(field.len()) + size_class(stored.value.len()) + ENTRY_BYTES
        };
        self.fields.iter().map(of).sum()
    }
}
