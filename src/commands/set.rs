//! Sets: members that come, go, move, and are asked for.

use super::collections::{read, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::scan::{ScanOptions, cursor};
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, Reply};
use crate::types::{Set, member_bytes};

/// What the declarations of the family share.
pub(super) const OF_SETS: Command = Command { group: Group::Set, ..Command::DEFAULT };

/// Tells those who listen what happened to a set, and that its key is gone if it is.
pub(super) fn tell(ctx: &mut Context<'_>, event: &str, key: &[u8], gone: bool) {
    ctx.notify(KeyspaceEvents::SET, event, key);
    if gone {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key);
    }
}

const SADD: Command = Command {
    name: "sadd",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    summary: "Adds members to a set; a missing key begins without any.",
    complexity: "O(N) with N the members given",
    syntax: "key member [member ...]",
    run: sadd,
    ..OF_SETS
};

fn sadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let limits = ctx.state.keyspace.settings.limits;
    let count = args.len() - 2;
    let mut opened = write_or_new::<Set>(&mut ctx.state.keyspace, db, &key)?;
    // Members that are there already change nothing: the set is opened at the first that is not.
    let known = if opened.get().is_empty() {
        *opened.get_mut() = Set::for_members(&args[2], count, &limits);
        0
    } else {
        let set = opened.get();
        args.iter_from(2).take_while(|member| set.contains(member)).count()
    };
    let mut added = 0;
    if known < count {
        let set = opened.get_mut();
        set.expect_more(count, &limits);
        added = args.iter_from(2 + known).filter(|member| set.insert(member, &limits)).count();
    }
    drop(opened);
    if added > 0 {
        ctx.count_changes(added);
        tell(ctx, "sadd", &args[1], false);
    }
    ctx.reply.len(added);
    Ok(())
}

const SREM: Command = Command {
    name: "srem",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    summary: "Removes members from a set; without members the key goes.",
    complexity: "O(N) with N the members given",
    syntax: "key member [member ...]",
    run: srem,
    ..OF_SETS
};

fn srem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(mut opened) = write::<Set>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let set = opened.get();
    let unknown = args.iter_from(2).take_while(|member| !set.contains(member)).count();
    if 2 + unknown == args.len() {
        ctx.reply.int(0);
        return Ok(());
    }
    let set = opened.get_mut();
    let removed = args.iter_from(2 + unknown).filter(|member| set.remove(member)).count();
    let gone = opened.close(Set::is_empty);
    ctx.count_changes(removed);
    tell(ctx, "srem", &args[1], gone);
    ctx.reply.len(removed);
    Ok(())
}

const SMOVE: Command = Command {
    name: "smove",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[
        key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        key(2, &[KeyFlag::Rw, KeyFlag::Insert]),
    ],
    summary: "Moves a member from one set to another.",
    syntax: "source destination member",
    run: smove,
    ..OF_SETS
};

fn smove(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, source, target) = (ctx.db(), ctx.key(&args[1]), ctx.key(&args[2]));
    let limits = ctx.state.keyspace.settings.limits;
    let member = &args[3];
    let keyspace = &mut ctx.state.keyspace;
    let Some(opened) = write::<Set>(keyspace, db, &source)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let is_there = opened.get().contains(member);
    drop(opened);
    write::<Set>(keyspace, db, &target)?;
    if is_there && source.bytes != target.bytes {
        let mut opened = write::<Set>(keyspace, db, &source)?.expect("it has a member");
        opened.get_mut().remove(member);
        let gone = opened.close(Set::is_empty);
        tell(ctx, "srem", &args[1], gone);
        let mut opened = write_or_new::<Set>(&mut ctx.state.keyspace, db, &target)?;
        if opened.get().is_empty() {
            *opened.get_mut() = Set::for_members(member, 1, &limits);
        }
        let is_new = !opened.get().contains(member);
        if is_new {
            opened.get_mut().insert(member, &limits);
        }
        drop(opened);
        if is_new {
            tell(ctx, "sadd", &args[2], false);
        }
    }
    ctx.reply.int(i64::from(is_there));
    Ok(())
}

const SISMEMBER: Command = Command {
    name: "sismember",
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Returns whether a set has a member.",
    syntax: "key member",
    run: sismember,
    ..OF_SETS
};

fn sismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.int(i64::from(set.is_some_and(|set| set.contains(&args[2]))));
    Ok(())
}

const SMISMEMBER: Command = Command {
    name: "smismember",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    since: "6.2.0",
    summary: "Returns for each of some members whether a set has it.",
    complexity: "O(N) with N the members given",
    syntax: "key member [member ...]",
    run: smismember,
    ..OF_SETS
};

fn smismember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        ctx.reply.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

const SCARD: Command = Command {
    name: "scard",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Returns how many members a set has.",
    syntax: "key",
    run: scard,
    ..OF_SETS
};

fn scard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.len(set.map_or(0, Set::len));
    Ok(())
}

const SMEMBERS: Command = Command {
    name: "smembers",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    summary: "Returns all members of a set.",
    complexity: "O(N) with N the members of the set",
    syntax: "key",
    tips: &["nondeterministic_output_order"],
    run: smembers,
    ..OF_SETS
};

fn smembers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.set(set.map_or(0, Set::len));
    let mut buffer = itoa::Buffer::new();
    for member in set.into_iter().flat_map(Set::iter) {
        ctx.reply.bulk(member_bytes(member, &mut buffer));
    }
    Ok(())
}

const SSCAN: Command = Command {
    name: "sscan",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    since: "2.8.0",
    summary: "Returns some members of a set and the cursor with which to go on.",
    complexity: "O(1) for each step, O(N) for all, with N the members of the set",
    syntax: "key cursor [MATCH pattern] [COUNT count]",
    tips: &["nondeterministic_output"],
    run: sscan,
    ..OF_SETS
};

fn sscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let cursor = cursor(&args[2])?;
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    let (mut next, mut count, mut found) = (0, 0, Vec::new());
    if let Some(set) = set {
        let options = ScanOptions::parse(args.iter_from(3), false)?;
        let mut reply = Reply::new(&mut found, ctx.reply.is_resp3());
        let mut buffer = itoa::Buffer::new();
        next = set.scan(cursor, options.count, |member| {
            let bytes = member_bytes(member, &mut buffer);
            if options.matches(bytes) {
                reply.bulk(bytes);
                count += 1;
            }
        });
    }
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(count);
    ctx.reply.raw(&found);
    Ok(())
}

/// Members that come, go, move, and are asked for.
pub const COMMANDS: &[Command] =
    &[SADD, SREM, SMOVE, SISMEMBER, SMISMEMBER, SCARD, SMEMBERS, SSCAN];
