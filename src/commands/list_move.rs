//! Lists: moving an item from an end of one to an end of another, or of the same.

use smallvec::SmallVec;

use super::blocking::{self, Empty, Wanted};
use super::collections::{write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, KeySpec, key};
use super::context::Context;
use super::list::{limits_of, notify_loss, notify_push, reply_item};
use super::list_pop::{end_of, pop_event};
use crate::resp::{Args, CommandError};
use crate::types::{End, List};

const KEYS: &[KeySpec] = &[
    key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
    key(2, &[KeyFlag::Rw, KeyFlag::Insert]),
];

const LMOVE: Command = Command {
    name: "lmove",
    arity: Arity::Exactly(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: KEYS,
    group: Group::List,
    since: "6.2.0",
    summary: "Moves an item from an end of a list to an end of another and returns it.",
    syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
    run: lmove,
    ..Command::DEFAULT
};

fn lmove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (end_of(&args[3])?, end_of(&args[4])?);
    if !move_item(ctx, args, from, to)? {
        ctx.reply.nil();
    }
    Ok(())
}

const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    arity: Arity::Exactly(3),
    since: "1.2.0",
    summary: "Moves an item from the tail of a list to the head of another and returns it.",
    syntax: "source destination",
    run: rpoplpush,
    ..LMOVE
};

fn rpoplpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if !move_item(ctx, args, End::Tail, End::Head)? {
        ctx.reply.nil();
    }
    Ok(())
}

const BLMOVE: Command = Command {
    name: "blmove",
    arity: Arity::Exactly(6),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Noscript, Flag::Blocking],
    summary: "Moves an item from an end of a list to an end of another and returns it; waits for one if need be.",
    syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
    run: blmove,
    ..LMOVE
};

fn blmove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (end_of(&args[3])?, end_of(&args[4])?);
    let until_ms = blocking::timeout(ctx, &args[5])?;
    if move_item(ctx, args, from, to)? {
        ctx.effect(&[b"LMOVE", &args[1], &args[2], &args[3], &args[4]]);
        return Ok(());
    }
    wait(ctx, args, until_ms)
}

const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    arity: Arity::Exactly(4),
    since: "2.2.0",
    summary: "Moves an item from the tail of a list to the head of another and returns it; waits for one if need be.",
    syntax: "source destination timeout",
    run: brpoplpush,
    ..BLMOVE
};

fn brpoplpush(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let until_ms = blocking::timeout(ctx, &args[3])?;
    if move_item(ctx, args, End::Tail, End::Head)? {
        ctx.effect(&[b"RPOPLPUSH", &args[1], &args[2]]);
        return Ok(());
    }
    wait(ctx, args, until_ms)
}

fn wait(ctx: &mut Context<'_>, args: Args<'_>, until_ms: u64) -> CommandResult {
    let request: SmallVec<[&[u8]; 8]> = args.iter().collect();
    blocking::wait_for_keys(ctx, &request, 1..2, until_ms, Empty::Nil, Wanted::List)
}

/// Moves an item from the list at the first key to that at the second and replies with it. False: there is nothing to move.
fn move_item(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    from: End,
    to: End,
) -> Result<bool, CommandError> {
    let (source, target) = (ctx.key(&args[1]), ctx.key(&args[2]));
    let (db, limits) = (ctx.client.db, limits_of(ctx));
    if write::<List>(&mut ctx.state.keyspace, db, &source)?.is_none() {
        return Ok(false);
    }
    let is_same = source.bytes == target.bytes;
    if !is_same {
        write::<List>(&mut ctx.state.keyspace, db, &target)?;
    }
    let before = ctx.state.keyspace.dirty;
    let list = write::<List>(&mut ctx.state.keyspace, db, &source)?;
    let mut list = list.expect("it was there a moment ago");
    let items = list.get_mut();
    let taken = if is_same { items.rotate(from, to, &limits) } else { items.pop(from, &limits) };
    let taken = taken.expect("a list at a key has items");
    let gone = list.close(List::is_empty);
    if !is_same {
        let mut list = write_or_new::<List>(&mut ctx.state.keyspace, db, &target)?;
        list.get_mut().push_item(to, taken.item(), &limits);
    }
    ctx.state.keyspace.dirty = before + 1;
    reply_item(&mut ctx.reply, taken.item());
    notify_push(ctx, to, &args[2]);
    notify_loss(ctx, pop_event(from), &args[1], gone);
    Ok(true)
}

/// Moving items.
pub const COMMANDS: &[Command] = &[LMOVE, RPOPLPUSH, BLMOVE, BRPOPLPUSH];
