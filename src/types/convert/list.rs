//! Lists from and to events.

use highwater_persistence::snapshot::Event;

use super::{By, UNEXPECTED};
use crate::types::listpack::{Listpack, PackedItem};
use crate::types::{Limits, List};

/// Hands the events of a list to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    list: &List,
    by: By,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if by == By::Element {
        put(Event::ListBegin { len: Some(list.len() as u64) })?;
        return list.try_for_each(|item| put(Event::ListItem(item)));
    }
    let (nodes, mut blocks) = list.blocks();
    put(Event::ListNodes { nodes: nodes as u64 })?;
    blocks.try_for_each(|(packed, bytes)| put(Event::ListNode { packed, bytes: &bytes }))
}

/// Adds an element, or a node. False: it is there already.
///
/// # Errors
/// The event is of something else, or the node is broken.
pub(super) fn add(
    list: &mut List,
    event: Event<'_>,
    limits: &Limits,
) -> Result<bool, &'static str> {
    match event {
        Event::ListItem(item) | Event::ListNode { packed: false, bytes: item } => {
            list.push_loaded(item, limits);
        }
        Event::ListNode { packed: true, bytes } => {
            let pack = Listpack::from_bytes(bytes.to_vec()).map_err(|(_, what)| what)?;
            if let Err(pack) = list.push_loaded_node(pack, limits) {
                pack.iter()
                    .map(PackedItem::to_bytes)
                    .for_each(|item| list.push_loaded(&item, limits));
            }
        }
        _ => return Err(UNEXPECTED),
    }
    Ok(true)
}
