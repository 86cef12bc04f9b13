//! Estimates of how many different elements there were: PFADD, PFCOUNT, PFMERGE. The values are strings.

use super::arguments::must_obey;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key, keys};
use super::context::Context;
use super::string_range::insert_raw;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, EntryMut, KeyRef, ValueRef};
use crate::resp::{Args, CommandError, errors};
use crate::types::hyperloglog::{self, Encoding, Mark, Problem, Union};

/// What the declarations of the family share.
pub(super) const OF_ESTIMATES: Command =
    Command { group: Group::Hyperloglog, since: "2.8.9", ..Command::DEFAULT };

/// The error that tells a problem.
pub(super) fn refused(problem: Problem) -> CommandError {
    CommandError::new(match problem {
        Problem::NotOne => "WRONGTYPE Key is not a valid HyperLogLog string value.",
        Problem::Corrupt => "INVALIDOBJ Corrupted HLL object detected",
    })
}

/// The bytes of a HyperLogLog. Whether its registers add up has not been looked at.
///
/// # Errors
/// The value is none, or no string.
pub(super) fn registers(value: ValueRef<'_>) -> Result<(&[u8], Encoding), CommandError> {
    match value {
        ValueRef::Object(_) => Err(errors::WRONGTYPE),
        ValueRef::Int(_) => Err(refused(Problem::NotOne)),
        ValueRef::Str(bytes) => {
            hyperloglog::encoding(bytes).map(|encoding| (bytes, encoding)).map_err(refused)
        }
    }
}

/// Changes the HyperLogLog of an entry, which counts as changed if that succeeds.
///
/// # Errors
/// Those of `change`, and what [`registers`] says. Nothing has changed then: what is logged must not fail on others.
fn change(
    entry: &mut EntryMut<'_>,
    change: impl FnOnce(&mut Vec<u8>) -> Result<(), Problem>,
) -> Result<(), CommandError> {
    let (bytes, _) = registers(entry.value())?;
    match hyperloglog::draft(bytes).map_err(refused)? {
        None => change(opened(entry)).map_err(refused),
        Some(mut draft) => {
            change(&mut draft).map_err(refused)?;
            *opened(entry) = draft;
            Ok(())
        }
    }
}

/// The HyperLogLog of an entry, which counts as changed from now on.
pub(super) fn opened<'e>(entry: &'e mut EntryMut<'_>) -> &'e mut Vec<u8> {
    entry.string_mut().expect("it was looked at")
}

pub(super) fn sparse_bytes_max(ctx: &Context<'_>) -> usize {
    usize::try_from(ctx.state.config.hll_sparse_max_bytes).unwrap_or(usize::MAX)
}

const PFADD: Command = Command {
    name: "pfadd",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    summary: "Adds elements to a HyperLogLog and returns whether its estimate may have changed.",
    complexity: "O(N) with N the elements given",
    syntax: "key [element ...]",
    run: pfadd,
    ..OF_ESTIMATES
};

fn pfadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let changes = match add_to_existing(ctx, &key, args)? {
        Some(changes) => changes,
        None => {
            let (mut bytes, bytes_max) = (hyperloglog::new(), sparse_bytes_max(ctx));
            let mut changes = 1;
            for mark in args.iter_from(2).map(Mark::of) {
                changes += usize::from(mark.apply(&mut bytes, bytes_max).map_err(refused)?);
            }
            hyperloglog::forget_count(&mut bytes);
            insert_raw(ctx, &key, bytes);
            changes
        }
    };
    if changes > 0 {
        ctx.count_changes(changes);
        ctx.notify(KeyspaceEvents::STRING, "pfadd", &args[1]);
    }
    ctx.reply.int(i64::from(changes > 0));
    Ok(())
}

/// Adds the arguments from index 2 on to the HyperLogLog at `key`, and says how many changed it; `None` if there is none.
///
/// # Errors
/// The value is something else, or corrupt. Nothing was added then; stock servers keep what they had added by then to themselves.
fn add_to_existing(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    args: Args<'_>,
) -> Result<Option<usize>, CommandError> {
    let (db, bytes_max) = (ctx.db(), sparse_bytes_max(ctx));
    let Some(mut entry) = ctx.state.keyspace.lookup_mut(db, key, Access::WRITE) else {
        return Ok(None);
    };
    let (bytes, _) = registers(entry.value())?;
    let mut marks = args.iter_from(2).map(Mark::of);
    // The entry is opened by the first element that changes something.
    let first = loop {
        let Some(mark) = marks.next() else { return Ok(Some(0)) };
        if mark.changes(bytes).map_err(refused)? {
            break mark;
        }
    };
    let mut changes = 0;
    change(&mut entry, |bytes| {
        for mark in std::iter::once(first).chain(marks) {
            changes += usize::from(mark.apply(bytes, bytes_max)?);
        }
        hyperloglog::forget_count(bytes);
        Ok(())
    })?;
    Ok(Some(changes))
}

const PFCOUNT: Command = Command {
    name: "pfcount",
    arity: Arity::AtLeast(2),
    // It may change the estimate that is stored, and that reaches log and replicas.
    flags: &[Flag::Readonly, Flag::MayReplicate],
    keys: &[keys(1, -1, 1, &[KeyFlag::Rw, KeyFlag::Access])],
    summary: "Estimates how many different elements were added to HyperLogLogs.",
    complexity: "O(1) for one key, O(N) with N the keys for several",
    syntax: "key [key ...]",
    run: pfcount,
    ..OF_ESTIMATES
};

fn pfcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.db();
    let count = if args.len() == 2 {
        let key = ctx.key(&args[1]);
        match ctx.state.keyspace.lookup(db, &key, Access::READ) {
            None => 0,
            Some(entry) => {
                let (bytes, _) = registers(entry.value())?;
                match hyperloglog::cached_count(bytes) {
                    Some(count) => count,
                    None => {
                        let count = hyperloglog::count(bytes).map_err(refused)?;
                        keep(ctx, &key, count);
                        count
                    }
                }
            }
        }
    } else {
        union(ctx, args.iter_from(1))?.count()
    };
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// Stores an estimate with its HyperLogLog. A replica leaves that to its primary, so that both hold the same.
fn keep(ctx: &mut Context<'_>, key: &KeyRef<'_>, count: u64) {
    if ctx.state.is_replica() && !must_obey(ctx) {
        return;
    }
    let db = ctx.db();
    if let Some(mut entry) = ctx.state.keyspace.lookup_mut(db, key, Access::PEEK) {
        hyperloglog::cache_count(opened(&mut entry), count);
    }
}

/// The registers of all HyperLogLogs at some keys together; missing ones have no elements.
///
/// # Errors
/// One of them is none, or corrupt.
fn union<'a>(
    ctx: &mut Context<'_>,
    names: impl Iterator<Item = &'a [u8]>,
) -> Result<Union, CommandError> {
    let db = ctx.db();
    let mut union = Union::default();
    for name in names {
        let key = ctx.key(name);
        if let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::READ) {
            let (bytes, _) = registers(entry.value())?;
            union.add(bytes).map_err(refused)?;
        }
    }
    Ok(union)
}

const PFMERGE: Command = Command {
    name: "pfmerge",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[
        key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Insert]),
        keys(2, -1, 1, &[KeyFlag::Ro, KeyFlag::Access]),
    ],
    summary: "Adds what HyperLogLogs have seen to another one.",
    complexity: "O(N) with N the keys given",
    syntax: "destkey [sourcekey [sourcekey ...]]",
    run: pfmerge,
    ..OF_ESTIMATES
};

fn pfmerge(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, bytes_max) = (ctx.db(), ctx.key(&args[1]), sparse_bytes_max(ctx));
    let union = union(ctx, args.iter_from(1))?;
    if let Some(mut entry) = ctx.state.keyspace.lookup_mut(db, &key, Access::WRITE) {
        change(&mut entry, |bytes| union.apply(bytes, bytes_max))?;
    } else {
        let mut bytes = hyperloglog::new();
        union.apply(&mut bytes, bytes_max).map_err(refused)?;
        insert_raw(ctx, &key, bytes);
    }
    ctx.notify(KeyspaceEvents::STRING, "pfadd", &args[1]);
    ctx.reply.ok();
    Ok(())
}

/// Counting different elements.
pub const COMMANDS: &[Command] = &[PFADD, PFCOUNT, PFMERGE];
