//! In cluster mode: whether this node serves the keys of a request.

use crate::cluster::redirect::{self, Asked, Rules};
use crate::commands::{Entry, Flag, keys_of};
use crate::keyspace::{ExpireMode, Slot};
use crate::resp::{Args, CommandError, errors};
use crate::state::State;
use crate::state::client::{Client, Queued, Transaction};

use super::dispatch::resolve;

/// Notes the slot of the request's keys.
///
/// # Errors
/// They belong elsewhere, or cannot be served now.
#[inline]
pub(super) fn route(
    state: &mut State,
    client: &mut Client,
    entry: &'static Entry,
    args: Args<'_>,
) -> Result<(), CommandError> {
    if state.cluster.is_none() {
        return Ok(());
    }
    client.slot = None;
    if !entry.command.keys.is_empty() {
        let asked = asked(client, entry);
        client.slot = decide(state, asked, keys_of(entry.command, args))?;
    } else if entry.command.name == "exec"
        && let Some(transaction) = &client.transaction
    {
        client.slot = route_all(state, client, transaction)?;
    }
    Ok(())
}

#[inline]
fn asked(client: &Client, entry: &Entry) -> Asked {
    let flags = entry.flags;
    Asked {
        writes: flags.has(Flag::Write),
        reads_replicas: client.readonly,
        asks: client.asking || flags.has(Flag::Asking),
        is_message: flags.has(Flag::Pubsub),
        moves_keys: entry.command.name == "migrate",
    }
}

/// EXEC: the keys of all queued commands together.
#[cold]
fn route_all(
    state: &State,
    client: &Client,
    transaction: &Transaction,
) -> Result<Option<Slot>, CommandError> {
    let names = &state.command_names;
    let queue = || {
        transaction.queue.iter().filter_map(|queued| {
            let args = args_of(queued);
            let entry = resolve(names, args).ok()?;
            (!entry.command.keys.is_empty()).then_some((entry, args))
        })
    };
    let asked = Asked {
        writes: transaction.writes,
        reads_replicas: client.readonly,
        asks: client.asking,
        is_message: queue().any(|(entry, _)| entry.flags.has(Flag::Pubsub)),
        moves_keys: false,
    };
    decide(state, asked, queue().flat_map(|(entry, args)| keys_of(entry.command, args)))
}

/// A queued request's arguments.
fn args_of(queued: &Queued) -> Args<'_> {
    Args::new(&queued.bytes, &queued.ranges, None)
}

#[inline]
fn decide<'k>(
    state: &State,
    asked: Asked,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Result<Option<Slot>, CommandError> {
    let Some(membership) = &state.cluster else { return Ok(None) };
    let (keyspace, now_ms) = (&state.keyspace, state.time.unix_ms());
    let is_missing = |bytes: &[u8]| {
        let expires = keyspace.expire_mode != ExpireMode::Ignore;
        let is_past = |when_ms: u64| expires && when_ms < now_ms;
        // A key on its way is here until it is settled, in time or not: elsewhere its copy may still arrive.
        if keyspace.is_held(0, bytes) {
            return false;
        }
        let entry = keyspace.peek(0, &keyspace.key(bytes));
        entry.is_none_or(|entry| entry.expiry_ms().is_some_and(is_past))
    };
    let slot =
        redirect::route(&membership.core, Rules::of(&state.config), asked, keys, is_missing)?;
    // A slot that has come back before its former keys were gone; messages have nothing to do with keys.
    if slot.is_some_and(|slot| state.is_trimming(slot)) && !asked.is_message {
        return Err(errors::TRIMMING);
    }
    Ok(slot)
}
