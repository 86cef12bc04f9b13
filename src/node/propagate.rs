//! From the effects of a unit to bytes of the log.
//!
//! Source: Redis documentation, "Replication", and `docs/format.md`: more than one effect is wrapped in MULTI .. EXEC,
//! a SELECT stands before the first command of a unit, inside MULTI.

use crate::resp::Args;
use crate::state::State;

pub(super) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(super) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Ends an execution unit: appends its effects to the log. `own` is the request where it is itself an effect, behind all
/// others, with its database.
#[inline]
pub(super) fn unit(state: &mut State, own: Option<(u32, Args<'_>)>) {
    if is_local(state) {
        return;
    }
    match own {
        Some((db, args)) if state.keyspace.effects.is_empty() => {
            begin(state);
            state.stream.select(db);
            append_request(state, args);
        }
        Some((db, args)) => {
            own_effect(state, db, args);
            flush(state);
        }
        None if state.keyspace.effects.is_empty() => {}
        None => flush(state),
    }
}

/// What a replica's clients change (`replica-read-only no`) is no part of its primary's stream, and so of no log.
#[inline]
fn is_local(state: &mut State) -> bool {
    let is_local = state.is_replica();
    if is_local {
        state.keyspace.effects.clear();
    }
    is_local
}

/// Adds a request to the effects of the open unit.
pub(super) fn own_effect(state: &mut State, db: u32, args: Args<'_>) {
    let effects = &mut state.keyspace.effects;
    match args.raw() {
        Some(raw) => effects.push_raw(db, raw),
        None => effects.push_with(db, args.len(), |writer| {
            args.iter().for_each(|arg| writer.arg(arg));
        }),
    }
}

/// Appends a request alone.
#[inline]
fn append_request(state: &mut State, args: Args<'_>) {
    match args.raw() {
        Some(raw) => state.stream.append(raw),
        None => {
            let words: Vec<&[u8]> = args.iter().collect();
            state.stream.append(&crate::resp::inline::encode(&words));
        }
    }
}

/// Appends the collected effects as one unit.
pub(super) fn flush(state: &mut State) {
    begin(state);
    let State { keyspace, stream, .. } = state;
    let wrapped = keyspace.effects.len() > 1;
    if wrapped {
        stream.append(MULTI);
    }
    for (db, bytes) in keyspace.effects.iter() {
        stream.select(db);
        stream.append(bytes);
    }
    if wrapped {
        stream.append(EXEC);
    }
    keyspace.effects.clear();
}

/// Ends a unit of the node's own: appends the collected effects each on its own (deletions by expiry and eviction), and
/// tells those who listen. The messages leave when the log is released up to there.
pub(super) fn flush_each(state: &mut State) {
    state.publish_key_events();
    if !is_local(state) && !state.keyspace.effects.is_empty() {
        append_each(state);
    }
    state.settle_messages(state.stream.end);
}

fn append_each(state: &mut State) {
    begin(state);
    let State { keyspace, stream, .. } = state;
    for (db, bytes) in keyspace.effects.iter() {
        stream.select(db);
        stream.append(bytes);
    }
    keyspace.effects.clear();
}

#[inline]
fn begin(state: &mut State) {
    if state.config.aof_timestamp_enabled {
        state.stream.timestamp(state.time.unix_s());
    }
}
