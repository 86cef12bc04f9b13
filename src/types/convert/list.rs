//! Lists from and to events.

use highwater_persistence::snapshot::Event;

use super::UNEXPECTED;
use crate::types::{Limits, List};

/// Hands the events of a list to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    list: &List,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::ListBegin { len: Some(list.len() as u64) })?;
    list.try_for_each(|item| put(Event::ListItem(item)))
}

/// Adds an element. False: it is there already.
///
/// # Errors
/// The event is of something else.
pub(super) fn add(
    list: &mut List,
    event: Event<'_>,
    limits: &Limits,
) -> Result<bool, &'static str> {
    let Event::ListItem(item) = event else { return Err(UNEXPECTED) };
    list.push_loaded(item, limits);
    Ok(true)
}
