//! Hashes from and to events.

use highwater_persistence::snapshot::Event;

use super::UNEXPECTED;
use crate::types::{Hash, Limits};

/// Hands the events of a hash to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    hash: &Hash,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::HashBegin { len: Some(hash.len() as u64) })?;
    hash.iter().try_for_each(|(field, value)| {
        put(Event::HashField { field: &field, value: &value.bytes, expires_ms: value.expires_ms })
    })
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
