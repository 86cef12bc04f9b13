//! Strings: parts of values. APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE.

use std::sync::Arc;

use super::arguments::{forward_range_of, integer, string_bytes_max};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, Entry, EntryMut, KeyRef, Ttl, Value, ValueRef};
use crate::resp::{Args, CommandError, errors};

/// The string at `key` for a command that reads it; empty where there is none. Integers are printed into `buffer`.
///
/// # Errors
/// The value is no string.
pub(super) fn string_at<'a>(
    ctx: &'a mut Context<'_>,
    key: &KeyRef<'_>,
    buffer: &'a mut itoa::Buffer,
) -> Result<Option<&'a [u8]>, CommandError> {
    let db = ctx.client.db;
    match ctx.state.keyspace.lookup(db, key, Access::READ) {
        None => Ok(None),
        Some(entry) => string_bytes(entry.value(), buffer).map(Some).ok_or(errors::WRONGTYPE),
    }
}

/// The bytes of a string, an integer printed into `buffer`; `None` for another type.
pub(super) fn string_bytes<'a>(
    value: ValueRef<'a>,
    buffer: &'a mut itoa::Buffer,
) -> Option<&'a [u8]> {
    match value {
        ValueRef::Str(bytes) => Some(bytes),
        ValueRef::Int(number) => Some(buffer.format(number).as_bytes()),
        ValueRef::Object(_) => None,
    }
}

/// The entry at `key` and the length of its string, for a command that changes it in place.
///
/// # Errors
/// The value is no string.
pub(super) fn string_entry<'a>(
    ctx: &'a mut Context<'_>,
    key: &KeyRef<'_>,
) -> Result<Option<(EntryMut<'a>, usize)>, CommandError> {
    let db = ctx.client.db;
    let Some(entry) = ctx.state.keyspace.lookup_mut(db, key, Access::WRITE) else {
        return Ok(None);
    };
    let length = entry.value().string_len().ok_or(errors::WRONGTYPE)?;
    Ok(Some((entry, length)))
}

/// Puts `bytes` under `key`, whatever it held, as a string that has been changed in place: it counts as raw.
pub(super) fn insert_raw(ctx: &mut Context<'_>, key: &KeyRef<'_>, bytes: Vec<u8>) {
    let mut entry = Entry::new(key.bytes, Value::Shared(Arc::new(bytes)), None);
    entry.string_mut().expect("it was made of a string");
    let db = ctx.client.db;
    let now_ms = ctx.now_ms();
    let keyspace = ctx.keyspace();
    entry.set_access(keyspace.settings.access.fresh(now_ms));
    keyspace.overwrite_entry(db, key, entry);
}

/// Lengths as the 64-bit numbers that limits are compared with.
pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit 64 bits")
}

/// A position inside a string that is in memory, or about to be.
pub(super) fn narrow(position: u64) -> usize {
    usize::try_from(position).expect("checked against the length of a string")
}

const APPEND: Command = Command {
    name: "append",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    group: Group::String,
    since: "2.0.0",
    summary: "Adds to the end of the string at a key; a missing key begins empty.",
    complexity: "O(1) for short additions: room is made ahead",
    syntax: "key value",
    run: append,
    ..Command::DEFAULT
};

fn append(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let added = &args[2];
    let bytes_max = string_bytes_max(ctx);
    let mut length = added.len();
    if let Some((mut entry, before)) = string_entry(ctx, &key)? {
        length += before;
        if wide(length) > bytes_max {
            return Err(errors::STRING_TOO_LONG);
        }
        entry.string_mut().expect("a string").extend_from_slice(added);
    } else {
        ctx.state.keyspace.insert(db, &key, Value::string(added), Ttl::Clear);
    }
    ctx.notify(KeyspaceEvents::STRING, "append", &args[1]);
    ctx.reply.len(length);
    Ok(())
}

const STRLEN: Command = Command {
    name: "strlen",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    group: Group::String,
    since: "2.2.0",
    summary: "Returns the length of the string at a key in bytes.",
    syntax: "key",
    run: strlen,
    ..Command::DEFAULT
};

fn strlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let mut buffer = itoa::Buffer::new();
    let length = string_at(ctx, &key, &mut buffer)?.map_or(0, <[u8]>::len);
    ctx.reply.len(length);
    Ok(())
}

const GETRANGE: Command = Command {
    name: "getrange",
    arity: Arity::Exactly(4),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::String,
    since: "2.4.0",
    summary: "Returns a part of the string at a key.",
    complexity: "O(N) with N the length of the part",
    syntax: "key start end",
    run: getrange,
    ..Command::DEFAULT
};

const SUBSTR: Command = Command {
    name: "substr",
    since: "1.0.0",
    summary: "Returns a part of the string at a key; GETRANGE under its first name.",
    ..GETRANGE
};

fn getrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let mut buffer = itoa::Buffer::new();
    let bytes = match ctx.state.keyspace.lookup(db, &key, Access::READ) {
        None => &[],
        Some(entry) => string_bytes(entry.value(), &mut buffer).ok_or(errors::WRONGTYPE)?,
    };
    match forward_range_of(start, end, wide(bytes.len())) {
        Some((first, last)) => ctx.reply.bulk(&bytes[narrow(first)..=narrow(last)]),
        None => ctx.reply.bulk(b""),
    }
    Ok(())
}

const SETRANGE: Command = Command {
    name: "setrange",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::String,
    since: "2.2.0",
    summary: "Overwrites a part of the string at a key; zero bytes fill what was missing in front of it.",
    complexity: "O(N) with N the length of the value, and of what has to be filled",
    syntax: "key offset value",
    run: setrange,
    ..Command::DEFAULT
};

fn setrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Ok(offset) = u64::try_from(integer(&args[2])?) else {
        return Err(errors::OFFSET_OUT_OF_RANGE);
    };
    let part = &args[3];
    let bytes_max = string_bytes_max(ctx);
    let key = ctx.key(&args[1]);
    let mut length = 0;
    if let Some((mut entry, before)) = string_entry(ctx, &key)? {
        length = before;
        if !part.is_empty() {
            let range = checked(offset, part, bytes_max)?;
            length = length.max(range.end);
            let bytes = entry.string_mut().expect("a string");
            if before < length {
                bytes.resize(length, 0);
            }
            bytes[range].copy_from_slice(part);
        }
    } else if !part.is_empty() {
        let range = checked(offset, part, bytes_max)?;
        length = range.end;
        let mut bytes = vec![0; length];
        bytes[range].copy_from_slice(part);
        insert_raw(ctx, &key, bytes);
    }
    if !part.is_empty() {
        ctx.notify(KeyspaceEvents::STRING, "setrange", key.bytes);
    }
    ctx.reply.len(length);
    Ok(())
}

/// Where `part` goes.
fn checked(
    offset: u64,
    part: &[u8],
    bytes_max: u64,
) -> Result<std::ops::Range<usize>, CommandError> {
    let end = offset.saturating_add(wide(part.len()));
    if end > bytes_max {
        return Err(errors::STRING_TOO_LONG);
    }
    Ok(narrow(offset)..narrow(end))
}

/// Parts of values.
pub const COMMANDS: &[Command] = &[APPEND, STRLEN, SUBSTR, GETRANGE, SETRANGE];
