//! Streams: entries by their ids, and how entries are answered.

use super::arguments::{integer, is};
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::stream_id::{parse_end, parse_start, write_id};
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::listpack::PackedItem;
use crate::types::{Entry, Stream};

/// Answers an item of an entry.
fn write_item(reply: &mut Reply<'_>, item: PackedItem<'_>) {
    match item {
        PackedItem::Int(number) => reply.bulk_int(number),
        PackedItem::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Answers an entry: its id, and its fields with their values in one array.
pub(super) fn write_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    reply.array(2 * entry.len());
    for (field, value) in entry.fields() {
        write_item(reply, field);
        write_item(reply, value);
    }
}

/// Answers entries as an array; returns how many there were.
pub(super) fn write_entries<'e>(
    reply: &mut Reply<'_>,
    entries: impl Iterator<Item = Entry<'e>>,
) -> usize {
    let position = reply.position();
    let mut count = 0;
    for entry in entries {
        write_entry(reply, &entry);
        count += 1;
    }
    reply.array_before(position, count);
    count
}

/// A count of elements as `take` wants it; nobody has more.
pub(super) fn limit(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

const XRANGE: Command = Command {
    name: "xrange",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Answers the entries of a stream whose ids lie in an interval.",
    complexity: "O(log(N)+M) with N the entries of the stream and M those answered",
    syntax: "key start end [COUNT count]",
    run: xrange,
    ..Command::DEFAULT
};

fn xrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, false)
}

const XREVRANGE: Command = Command {
    name: "xrevrange",
    summary: "Answers the entries of a stream whose ids lie in an interval, the last one first.",
    syntax: "key end start [COUNT count]",
    run: xrevrange,
    ..XRANGE
};

fn xrevrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    range(ctx, args, true)
}

fn range(ctx: &mut Context<'_>, args: Args<'_>, backwards: bool) -> CommandResult {
    let (start, end) = if backwards { (3, 2) } else { (2, 3) };
    let (start, end) = (parse_start(&args[start])?, parse_end(&args[end])?);
    let count = count_option(args)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(stream) = read::<Stream>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        ctx.reply.nil_array();
        return Ok(());
    }
    let count = limit(count.unwrap_or(u64::MAX));
    if backwards {
        write_entries(&mut ctx.reply, stream.entries.range_back(start, end).take(count));
    } else {
        write_entries(&mut ctx.reply, stream.entries.range(start, end).take(count));
    }
    Ok(())
}

/// The number behind COUNT, which may be said several times; what is negative counts as 0.
fn count_option(args: Args<'_>) -> Result<Option<u64>, CommandError> {
    let mut count = None;
    let mut rest = args.iter_from(4);
    while let Some(word) = rest.next() {
        match rest.next() {
            Some(value) if is(word, "COUNT") => {
                count = Some(u64::try_from(integer(value)?).unwrap_or(0));
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    Ok(count)
}

/// The part of the family that answers ranges.
pub const COMMANDS: &[Command] = &[XRANGE, XREVRANGE];
