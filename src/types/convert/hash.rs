//! Hashes from and to events.

use highwater_persistence::snapshot::{Event, PackedShape};

use super::{By, UNEXPECTED};
use crate::types::{Field, Hash, Limits};

/// Hands the events of a hash to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    hash: &Hash,
    by: By,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if let (By::Block, Some(pack)) = (by, hash.packed()) {
        return put(Event::Packed { shape: PackedShape::Hash, bytes: pack.bytes() });
    }
    put(Event::HashBegin { len: Some(hash.len() as u64) })?;
    let mut field = |field: Field<'_>| {
        let (name, value) = (field.name.to_bytes(), field.value.to_bytes());
        put(Event::HashField { field: &name, value: &value, expires_ms: field.expires_ms })
    };
    if !hash.expires() {
        return hash.fields().try_for_each(field);
    }
    // Those that expire come first: from the first field on it is known how the hash is to be written.
    let expires = |field: &Field<'_>| field.expires_ms.is_some();
    hash.fields().filter(expires).try_for_each(&mut field)?;
    hash.fields().filter(|field| !expires(field)).try_for_each(field)
}

/// Adds an element. False: it is there already.
///
/// # Errors
/// The event is of something else.
pub(super) fn add(
    hash: &mut Hash,
    event: Event<'_>,
    limits: &Limits,
) -> Result<bool, &'static str> {
    let Event::HashField { field, value, expires_ms } = event else { return Err(UNEXPECTED) };
    let is_new = hash.set(field, value, limits);
    if let Some(when) = expires_ms {
        hash.set_expiry(field, Some(when), limits);
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Object;
    use crate::types::convert::{Built, dump_object, restore};
    use highwater_persistence::snapshot::EncoderOptions;

    #[test]
    fn fields_keep_their_times_in_a_payload_of_any_version() {
        let limits = Limits::default();
        for (count, timed, version) in [(3, 1, 10), (2000, 1999, 10), (2000, 3, 11), (20, 2, 12)] {
            let mut hash = Hash::new();
            for number in 0..count {
                hash.set(format!("f{number}").as_bytes(), b"v", &limits);
            }
            hash.set_expiry(format!("f{timed}").as_bytes(), Some(1_700_000_000_000), &limits);
            let options = EncoderOptions { version, ..EncoderOptions::default() };
            let payload = dump_object(&Object::Hash(hash.clone()), &options).unwrap();
            let Ok(Built::Object(Object::Hash(read))) = restore(&payload, limits) else { panic!() };
            assert_eq!(read.len(), count);
            for (name, value) in hash.iter() {
                let found = read.get(&name).unwrap();
                assert_eq!(
                    (found.value.to_bytes(), found.expires_ms),
                    (value.bytes, value.expires_ms)
                );
            }
        }
    }
}
