//! Sets from and to events.

use highwater_persistence::snapshot::{Event, PackedShape};

use super::{By, UNEXPECTED};
use crate::types::{Limits, Set, member_bytes};

/// Hands the events of a set to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    set: &Set,
    by: By,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if let (By::Block, Some((bytes, is_intset))) = (by, set.block()) {
        let shape = if is_intset { PackedShape::Intset } else { PackedShape::Set };
        return put(Event::Packed { shape, bytes });
    }
    put(Event::SetBegin { len: Some(set.len() as u64) })?;
    let mut buffer = itoa::Buffer::new();
    set.iter().try_for_each(|member| put(Event::SetMember(member_bytes(member, &mut buffer))))
}

/// Adds an element. False: it is there already.
///
/// # Errors
/// The event is of something else.
pub(super) fn add(set: &mut Set, event: Event<'_>, limits: &Limits) -> Result<bool, &'static str> {
    let Event::SetMember(member) = event else { return Err(UNEXPECTED) };
    Ok(set.insert(member, limits))
}
