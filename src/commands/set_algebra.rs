//! Sets: what they have in common, together, or apart. SINTER, SUNION, SDIFF and those that store the result.

use super::arguments::is;
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Find, Flag, KeyFlag, KeySpec, key, keys};
use super::context::Context;
use super::set::OF_SETS;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{KeyRef, Keyspace, Ttl, Value, ValueRef};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::{Member, Object, Set, member_bytes, set_algebra};

const SOURCES: &[KeyFlag] = &[KeyFlag::Ro, KeyFlag::Access];

/// Looks all keys up for reading; those without a set come out as `None`.
///
/// # Errors
/// One of them has a value of another type.
fn look_up<'a>(
    ctx: &mut Context<'_>,
    names: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Option<KeyRef<'a>>>, CommandError> {
    let db = ctx.db();
    let look = |name| {
        let key = ctx.key(name);
        let found = read::<Set>(&mut ctx.state.keyspace, db, &key)?.is_some();
        Ok(found.then_some(key))
    };
    names.map(look).collect()
}

/// The sets at keys that were looked up.
fn sets<'k>(keyspace: &'k Keyspace, db: u32, keys: &[Option<KeyRef<'_>>]) -> Vec<&'k Set> {
    let set = |key: &KeyRef<'_>| match keyspace.peek(db, key).map(crate::keyspace::Entry::value) {
        Some(ValueRef::Object(Object::Set(set))) => set,
        _ => unreachable!("it was looked up, and nothing has changed since"),
    };
    keys.iter().flatten().map(set).collect()
}

/// Room for the members of a reply to begin with.
const FIRST_BYTES: usize = 1024;

/// Answers the members that `walk` hands out.
fn answer<'k>(reply: &mut Reply<'_>, walk: impl FnOnce(&mut dyn FnMut(Member<'k>))) {
    let (mut count, mut found) = (0, Vec::with_capacity(FIRST_BYTES));
    let mut members = Reply::new(&mut found, reply.is_resp3());
    let mut buffer = itoa::Buffer::new();
    walk(&mut |member| {
        members.bulk(member_bytes(member, &mut buffer));
        count += 1;
    });
    reply.set(count);
    reply.raw(&found);
}

/// Puts a result at a key and answers its size; an empty result removes the key.
fn store(ctx: &mut Context<'_>, target: &[u8], result: Set, event: &str) {
    let (db, key, len) = (ctx.db(), ctx.key(target), result.len());
    if len > 0 {
        ctx.state.keyspace.insert(db, &key, Value::Object(Object::Set(result)), Ttl::Clear);
        ctx.notify(KeyspaceEvents::SET, event, target);
    } else if ctx.state.keyspace.remove(db, &key) {
        ctx.notify(KeyspaceEvents::GENERIC, "del", target);
    }
    ctx.reply.len(len);
}

/// What the declarations of commands that reply with a result share.
const REPLIES: Command = Command {
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly],
    keys: &[keys(1, -1, 1, SOURCES)],
    syntax: "key [key ...]",
    tips: &["nondeterministic_output_order"],
    ..OF_SETS
};

/// What those share that store it.
const STORES: Command = Command {
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update]), keys(2, -1, 1, SOURCES)],
    syntax: "destination key [key ...]",
    ..OF_SETS
};

const COST_OF_INTERSECTION: &str =
    "O(N*M) at most, with N the members of the smallest set and M the sets";
const COST_OF_ALL: &str = "O(N) with N the members of all sets";

const SINTER: Command = Command {
    name: "sinter",
    summary: "Returns the members that all of some sets have.",
    complexity: COST_OF_INTERSECTION,
    run: sinter,
    ..REPLIES
};

fn sinter(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(1))?;
    let mut sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    answer(&mut ctx.reply, |found| {
        // A missing key has no members.
        if sets.len() == keys.len() {
            set_algebra::intersection(&mut sets, |member| {
                found(member);
                true
            });
        }
    });
    Ok(())
}

const SINTERSTORE: Command = Command {
    name: "sinterstore",
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update]), keys(2, -1, 1, SOURCES)],
    summary: "Stores the members that all of some sets have at a key.",
    complexity: COST_OF_INTERSECTION,
    run: sinterstore,
    ..STORES
};

fn sinterstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(2))?;
    let mut sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    let limits = ctx.state.keyspace.settings.limits;
    let result = if sets.len() == keys.len() {
        set_algebra::intersection_set(&mut sets, &limits)
    } else {
        Set::new()
    };
    store(ctx, &args[1], result, "sinterstore");
    Ok(())
}

const SINTERCARD: Command = Command {
    name: "sintercard",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec { find: Find::Counted { at: 1, first: 2 }, flags: SOURCES }],
    since: "7.0.0",
    summary: "Returns how many members all of some sets have.",
    complexity: COST_OF_INTERSECTION,
    syntax: "numkeys key [key ...] [LIMIT limit]",
    run: sintercard,
    ..OF_SETS
};

fn sintercard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let number = |at: usize| parse_i64(&args[at]).and_then(|number| usize::try_from(number).ok());
    let count = number(1).filter(|&count| count > 0);
    let count = count.ok_or(CommandError::new("ERR numkeys should be greater than 0"))?;
    if count > args.len() - 2 {
        return Err(CommandError::new("ERR Number of keys can't be greater than number of args"));
    }
    let (mut limit, mut at) = (0, 2 + count);
    while at < args.len() {
        if !is(&args[at], "LIMIT") || at + 1 == args.len() {
            return Err(errors::SYNTAX);
        }
        limit = number(at + 1).ok_or(CommandError::new("ERR LIMIT can't be negative"))?;
        at += 2;
    }
    let keys = look_up(ctx, args.iter_from(2).take(count))?;
    let mut sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    let mut common = 0;
    if sets.len() == keys.len() {
        set_algebra::intersection(&mut sets, |_| {
            common += 1;
            common != limit
        });
    }
    ctx.reply.len(common);
    Ok(())
}

const SUNION: Command = Command {
    name: "sunion",
    summary: "Returns the members that any of some sets has.",
    complexity: COST_OF_ALL,
    run: sunion,
    ..REPLIES
};

fn sunion(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(1))?;
    let sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    answer(&mut ctx.reply, |found| set_algebra::union(&sets, found));
    Ok(())
}

const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    summary: "Stores the members that any of some sets has at a key.",
    complexity: COST_OF_ALL,
    run: sunionstore,
    ..STORES
};

fn sunionstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(2))?;
    let sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    let result = set_algebra::union_set(&sets, &ctx.state.keyspace.settings.limits);
    store(ctx, &args[1], result, "sunionstore");
    Ok(())
}

const SDIFF: Command = Command {
    name: "sdiff",
    summary: "Returns the members of a set that others do not have.",
    complexity: COST_OF_ALL,
    run: sdiff,
    ..REPLIES
};

fn sdiff(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(1))?;
    let mut sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    answer(&mut ctx.reply, |found| {
        if let (Some(_), [first, others @ ..]) = (&keys[0], &mut sets[..]) {
            set_algebra::difference(first, others, found);
        }
    });
    Ok(())
}

const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    summary: "Stores the members of a set that others do not have at a key.",
    complexity: COST_OF_ALL,
    run: sdiffstore,
    ..STORES
};

fn sdiffstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = look_up(ctx, args.iter_from(2))?;
    let mut sets = sets(&ctx.state.keyspace, ctx.client.db, &keys);
    let limits = ctx.state.keyspace.settings.limits;
    let result = match (&keys[0], &mut sets[..]) {
        (Some(_), [first, others @ ..]) => set_algebra::difference_set(first, others, &limits),
        _ => Set::new(),
    };
    store(ctx, &args[1], result, "sdiffstore");
    Ok(())
}

/// Combining sets.
pub const COMMANDS: &[Command] =
    &[SINTER, SINTERSTORE, SINTERCARD, SUNION, SUNIONSTORE, SDIFF, SDIFFSTORE];
