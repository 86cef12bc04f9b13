//! Lists: adding, reading and changing items. What takes items is in [`super::list_pop`] and [`super::list_move`].

use super::arguments::{integer, is};
use super::collections::{read, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::listpack::PackedItem;
use crate::types::{End, Limits, List};

/// The settings about encodings.
pub(super) fn limits_of(ctx: &Context<'_>) -> Limits {
    ctx.state.keyspace.settings.limits
}

/// Replies with an item.
#[inline]
pub(super) fn reply_item(reply: &mut Reply<'_>, item: PackedItem<'_>) {
    match item {
        PackedItem::Int(number) => reply.bulk_int(number),
        PackedItem::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Tells that items came to an end of a list.
pub(super) fn notify_push(ctx: &mut Context<'_>, end: End, key: &[u8]) {
    let event = if end == End::Head { "lpush" } else { "rpush" };
    ctx.notify(KeyspaceEvents::LIST, event, key);
}

/// Tells what happened to a list, and that its key went, if it did.
pub(super) fn notify_loss(ctx: &mut Context<'_>, event: &str, key: &[u8], gone: bool) {
    ctx.notify(KeyspaceEvents::LIST, event, key);
    if gone {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key);
    }
}

const LPUSH: Command = Command {
    name: "lpush",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    group: Group::List,
    summary: "Adds items in front of the head of a list, which is made if there is none.",
    complexity: "O(N) with N the number of items added",
    syntax: "key element [element ...]",
    run: lpush,
    ..Command::DEFAULT
};

fn lpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Head)
}

const RPUSH: Command = Command {
    name: "rpush",
    summary: "Adds items behind the tail of a list, which is made if there is none.",
    run: rpush,
    ..LPUSH
};

fn rpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push(ctx, args, End::Tail)
}

fn push(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let (key, limits) = (ctx.key(&args[1]), limits_of(ctx));
    let db = ctx.client.db;
    let mut list = write_or_new::<List>(&mut ctx.state.keyspace, db, &key)?;
    let items = list.get_mut();
    items.push_all(end, || args.iter_from(2), &limits);
    ctx.reply.len(items.len());
    drop(list);
    ctx.count_changes(args.len() - 2);
    notify_push(ctx, end, &args[1]);
    Ok(())
}

const LPUSHX: Command = Command {
    name: "lpushx",
    since: "2.2.0",
    summary: "Adds items in front of the head of a list that exists.",
    run: lpushx,
    ..LPUSH
};

fn lpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push_to_existing(ctx, args, End::Head)
}

const RPUSHX: Command = Command {
    name: "rpushx",
    since: "2.2.0",
    summary: "Adds items behind the tail of a list that exists.",
    run: rpushx,
    ..LPUSH
};

fn rpushx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    push_to_existing(ctx, args, End::Tail)
}

fn push_to_existing(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    if write::<List>(&mut ctx.state.keyspace, db, &key)?.is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    push(ctx, args, end)
}

const LLEN: Command = Command {
    name: "llen",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    group: Group::List,
    summary: "Returns how many items a list has.",
    syntax: "key",
    run: llen,
    ..Command::DEFAULT
};

fn llen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let list = read::<List>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.len(list.map_or(0, List::len));
    Ok(())
}

/// The part of a list of `len` items from `start` to `end`, both included, where negative numbers count from the tail: index
/// of the first and how many. `None` if it is empty.
fn part_of(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    let len = i64::try_from(len).ok()?;
    let from_tail = |index: i64| if index < 0 { index + len } else { index };
    let (first, last) = (from_tail(start).max(0), from_tail(end).min(len - 1));
    let count = usize::try_from(last.checked_sub(first)?).ok()? + 1;
    Some((usize::try_from(first).ok()?, count))
}

/// The item of a list of `len` items that `index` means, where negative numbers count from the tail.
fn index_of(index: i64, len: usize) -> Option<usize> {
    part_of(index, index, len)
        .filter(|_| index >= -i64::try_from(len).unwrap_or(i64::MAX))
        .map(|part| part.0)
}

const LRANGE: Command = Command {
    name: "lrange",
    arity: Arity::Exactly(4),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::List,
    summary: "Returns a part of a list.",
    complexity: "O(S+N) with S the distance of the part from the nearer end and N its length",
    syntax: "key start stop",
    run: lrange,
    ..Command::DEFAULT
};

fn lrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let list = read::<List>(&mut ctx.state.keyspace, db, &key)?;
    let part = list.and_then(|list| Some((list, part_of(start, end, list.len())?)));
    let Some((list, (first, count))) = part else {
        ctx.reply.array(0);
        return Ok(());
    };
    let reply = &mut ctx.reply;
    reply.array(count);
    list.walk_some(End::Head, first, count, |item| reply_item(reply, item));
    Ok(())
}

const LINDEX: Command = Command {
    name: "lindex",
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::List,
    summary: "Returns the item of a list at an index.",
    complexity: "O(N) with N the distance from the nearer end; whole nodes count as one item",
    syntax: "key index",
    run: lindex,
    ..Command::DEFAULT
};

fn lindex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let Some(list) = read::<List>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.nil();
        return Ok(());
    };
    let reply = &mut ctx.reply;
    match index_of(integer(&args[2])?, list.len()) {
        Some(index) => list.walk_some(End::Head, index, 1, |item| reply_item(reply, item)),
        None => reply.nil(),
    }
    Ok(())
}

const LSET: Command = Command {
    name: "lset",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::List,
    summary: "Puts an item in the place of the one at an index.",
    complexity: "O(N) with N the distance from the nearer end; whole nodes count as one item",
    syntax: "key index element",
    run: lset,
    ..Command::DEFAULT
};

fn lset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (key, limits) = (ctx.key(&args[1]), limits_of(ctx));
    let db = ctx.client.db;
    let list = write::<List>(&mut ctx.state.keyspace, db, &key)?;
    let mut list = list.ok_or(errors::NO_SUCH_KEY)?;
    let index = index_of(integer(&args[2])?, list.get().len()).ok_or(errors::OUT_OF_RANGE)?;
    list.get_mut().set(index, &args[3], &limits);
    drop(list);
    ctx.reply.ok();
    ctx.notify(KeyspaceEvents::LIST, "lset", &args[1]);
    Ok(())
}

const LINSERT: Command = Command {
    name: "linsert",
    arity: Arity::Exactly(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    group: Group::List,
    since: "2.2.0",
    summary: "Adds an item in front of the first one that equals another, or behind it.",
    complexity: "O(N) with N the number of items up to that one",
    syntax: "key <BEFORE | AFTER> pivot element",
    run: linsert,
    ..Command::DEFAULT
};

fn linsert(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let behind = match &args[2] {
        word if is(word, "AFTER") => 1,
        word if is(word, "BEFORE") => 0,
        _ => return Err(errors::SYNTAX),
    };
    let (key, limits) = (ctx.key(&args[1]), limits_of(ctx));
    let db = ctx.client.db;
    let Some(mut list) = write::<List>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let Some(index) = list.get().position(&args[3]) else {
        ctx.reply.int(-1);
        return Ok(());
    };
    let items = list.get_mut();
    items.insert(index + behind, &args[4], &limits);
    ctx.reply.len(items.len());
    drop(list);
    ctx.notify(KeyspaceEvents::LIST, "linsert", &args[1]);
    Ok(())
}

const LREM: Command = Command {
    name: "lrem",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::List,
    summary: "Removes items that equal a given one: the first ones, the last ones, or all.",
    complexity: "O(N) with N the length of the list",
    syntax: "key count element",
    run: lrem,
    ..Command::DEFAULT
};

fn lrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = integer(&args[2])?;
    let from = if count < 0 { End::Tail } else { End::Head };
    let max = match count {
        0 => usize::MAX,
        count => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let (key, limits) = (ctx.key(&args[1]), limits_of(ctx));
    let db = ctx.client.db;
    let list = write::<List>(&mut ctx.state.keyspace, db, &key)?;
    // Nothing counts as changed where nothing goes.
    let Some(mut list) = list.filter(|list| list.get().position(&args[3]).is_some()) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let removed = list.get_mut().remove_matches(&args[3], from, max, &limits);
    let gone = list.close(List::is_empty);
    ctx.count_changes(removed);
    ctx.reply.len(removed);
    notify_loss(ctx, "lrem", &args[1], gone);
    Ok(())
}

const LTRIM: Command = Command {
    name: "ltrim",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::List,
    summary: "Removes all items of a list but a part of it.",
    complexity: "O(N) with N the number of items removed",
    syntax: "key start stop",
    run: ltrim,
    ..Command::DEFAULT
};

fn ltrim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let (key, limits) = (ctx.key(&args[1]), limits_of(ctx));
    let db = ctx.client.db;
    let Some(mut list) = write::<List>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.ok();
        return Ok(());
    };
    let len = list.get().len();
    let (first, count) = part_of(start, end, len).unwrap_or((0, 0));
    if count < len {
        let items = list.get_mut();
        items.remove_at(End::Tail, len - first - count, &limits);
        items.remove_at(End::Head, first, &limits);
    }
    let gone = list.close(List::is_empty);
    ctx.count_changes(len - count);
    ctx.reply.ok();
    notify_loss(ctx, "ltrim", &args[1], gone);
    Ok(())
}

/// Adding, reading and changing items.
pub const COMMANDS: &[Command] =
    &[LPUSH, RPUSH, LPUSHX, RPUSHX, LLEN, LRANGE, LINDEX, LSET, LINSERT, LREM, LTRIM];

/// `value is out of range, must be positive`, as stock says of what may also be zero.
pub(super) const NOT_POSITIVE: CommandError =
    CommandError::new("ERR value is out of range, must be positive");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_where_the_list_does() {
        assert_eq!(part_of(0, -1, 5), Some((0, 5)));
        assert_eq!(part_of(-3, -2, 5), Some((2, 2)));
        assert_eq!(part_of(-100, 100, 5), Some((0, 5)));
        assert_eq!(part_of(0, -6, 5), None);
        assert_eq!(part_of(-100, -6, 5), None);
        assert_eq!(part_of(5, 9, 5), None);
        assert_eq!(part_of(3, 2, 5), None);
        assert_eq!(part_of(i64::MIN, i64::MAX, 5), Some((0, 5)));
        assert_eq!(part_of(i64::MAX, i64::MIN, 5), None);
        assert_eq!(part_of(0, -1, 0), None);
        assert_eq!(index_of(-5, 5), Some(0));
        assert_eq!(index_of(-6, 5), None);
        assert_eq!(index_of(4, 5), Some(4));
        assert_eq!(index_of(5, 5), None);
        assert_eq!(index_of(i64::MIN, 5), None);
    }
}
