//! Sorted sets from and to events.

use highwater_persistence::snapshot::{Event, PackedShape};

use super::{By, UNEXPECTED};
use crate::types::{Limits, Zset};

/// Hands the events of a sorted set to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    zset: &Zset,
    by: By,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if let (By::Block, Some(bytes)) = (by, zset.block()) {
        return put(Event::Packed { shape: PackedShape::Zset, bytes });
    }
    put(Event::ZsetBegin { len: Some(zset.len() as u64) })?;
    // Highest first: that is the order in which servers load a large one fastest.
    for (member, score) in zset.range(0..zset.len(), true) {
        put(Event::ZsetMember { member: &member.to_bytes(), score })?;
    }
    Ok(())
}

/// Adds an element. False: it is there already.
///
/// # Errors
/// The event is of something else.
pub(super) fn add(
    zset: &mut Zset,
    event: Event<'_>,
    limits: &Limits,
) -> Result<bool, &'static str> {
    let Event::ZsetMember { member, score } = event else { return Err(UNEXPECTED) };
    Ok(zset.insert(member, score, limits).is_none())
}
