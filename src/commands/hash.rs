//! Hashes: setting, reading and removing fields. Numbers are in `hash_number.rs`, SCAN and samples in `hash_scan.rs`, fields
//! that expire by themselves in `hash_expiry.rs` and `hash_extended.rs`.

use super::collections::{read, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{ExpireMode, KeyRef, Keyspace};
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::listpack::PackedItem;
use crate::types::{Field, Hash};

/// Replies with an item of a collection.
#[inline]
pub(super) fn reply_item(reply: &mut Reply<'_>, item: PackedItem<'_>) {
    match item {
        PackedItem::Int(number) => reply.bulk_int(number),
        PackedItem::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// The moment by which fields count as gone: the unit's time, or none where nothing expires.
#[inline]
pub(super) fn as_of(ctx: &Context<'_>) -> u64 {
    fields_as_of(&ctx.state.keyspace)
}

/// As [`as_of`], for those who have the keyspace alone.
#[inline]
pub(super) fn fields_as_of(keyspace: &Keyspace) -> u64 {
    if keyspace.expire_mode == ExpireMode::Ignore { 0 } else { keyspace.now_ms() }
}

/// Removes those of `names` whose time has passed, so that a command that writes meets none of them.
///
/// # Errors
/// `WRONGTYPE` for a value of another type, where there are fields with a time at all.
#[inline]
pub(super) fn remove_passed<'n>(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    names: impl Iterator<Item = &'n [u8]>,
) -> CommandResult {
    let db = ctx.client.db;
    if ctx.state.keyspace.has_timed_fields(db) {
        read_passed(ctx, key, names)?;
    }
    Ok(())
}

#[cold]
fn read_passed<'n>(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    names: impl Iterator<Item = &'n [u8]>,
) -> CommandResult {
    let (db, as_of) = (ctx.client.db, as_of(ctx));
    let Some(hash) = read_to_write(ctx, key)? else { return Ok(()) };
    if hash.due_from().is_none_or(|when| when >= as_of) {
        return Ok(());
    }
    let is_passed = |name: &&[u8]| hash.get(name).is_some_and(|field| !field.is_live(as_of));
    let passed: Vec<&[u8]> = names.filter(is_passed).collect();
    if let Some(removed) = ctx.state.keyspace.expire_fields(db, key, &passed) {
        ctx.state.notify(KeyspaceEvents::HASH, "hexpired", db, key.bytes);
        if removed.is_gone {
            ctx.state.notify(KeyspaceEvents::GENERIC, "del", db, key.bytes);
        }
    }
    Ok(())
}

/// The hash at `key`, to be read by a command that may write.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
pub(super) fn read_to_write<'c>(
    ctx: &'c mut Context<'_>,
    key: &KeyRef<'_>,
) -> Result<Option<&'c Hash>, CommandError> {
    let db = ctx.client.db;
    let entry = ctx.state.keyspace.lookup(db, key, crate::keyspace::Access::WRITE);
    entry.map(super::collections::of_entry).transpose()
}

const UPDATED: &[KeyFlag] = &[KeyFlag::Rw, KeyFlag::Update];

const HSET: Command = Command {
    name: "hset",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, UPDATED)],
    group: Group::Hash,
    since: "2.0.0",
    summary: "Sets fields of a hash and answers how many of them are new.",
    complexity: "O(N) with N the fields given",
    syntax: "key field value [field value ...]",
    run: hset,
    ..Command::DEFAULT
};

fn hset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let new = set_fields(ctx, args)?;
    ctx.reply.len(new);
    Ok(())
}

const HMSET: Command = Command {
    name: "hmset",
    summary: "Sets fields of a hash; HSET does the same.",
    run: hmset,
    ..HSET
};

fn hmset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_fields(ctx, args)?;
    ctx.reply.ok();
    Ok(())
}

/// Sets the fields of a request and says how many are new.
fn set_fields(ctx: &mut Context<'_>, args: Args<'_>) -> Result<usize, CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(&ctx.entry.full_name));
    }
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    remove_passed(ctx, &key, args.iter_from(2).step_by(2))?;
    let limits = ctx.state.keyspace.settings.limits;
    let mut opened = write_or_new::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let hash = opened.get_mut();
    hash.expect((args.len() - 2) / 2, &limits);
    let mut new = 0;
    let mut words = args.iter_from(2);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        new += usize::from(hash.set(name, value, &limits));
    }
    drop(opened);
    ctx.count_changes((args.len() - 2) / 2);
    ctx.notify(KeyspaceEvents::HASH, "hset", key.bytes);
    Ok(new)
}

const HSETNX: Command = Command {
    name: "hsetnx",
    arity: Arity::Exactly(4),
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Insert])],
    summary: "Sets a field of a hash that does not exist yet.",
    complexity: "O(1)",
    syntax: "key field value",
    run: hsetnx,
    ..HSET
};

fn hsetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    remove_passed(ctx, &key, args.iter_from(2).take(1))?;
    let is_new = read_to_write(ctx, &key)?.is_none_or(|hash| hash.get(&args[2]).is_none());
    if is_new {
        let limits = ctx.state.keyspace.settings.limits;
        let mut opened = write_or_new::<Hash>(&mut ctx.state.keyspace, db, &key)?;
        opened.get_mut().set(&args[2], &args[3], &limits);
        drop(opened);
        ctx.notify(KeyspaceEvents::HASH, "hset", key.bytes);
    }
    ctx.reply.int(i64::from(is_new));
    Ok(())
}

const HGET: Command = Command {
    name: "hget",
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Hash,
    since: "2.0.0",
    summary: "Answers the value of a field of a hash.",
    syntax: "key field",
    run: hget,
    ..Command::DEFAULT
};

fn hget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    reply_value(&mut ctx.reply, hash, &args[2], as_of);
    Ok(())
}

/// Replies with the value of a field, or with nothing.
#[inline]
pub(super) fn reply_value(reply: &mut Reply<'_>, hash: Option<&Hash>, name: &[u8], as_of: u64) {
    match hash.and_then(|hash| hash.get(name)).filter(|field| field.is_live(as_of)) {
        Some(field) => reply_item(reply, field.value),
        None => reply.nil(),
    }
}

const HMGET: Command = Command {
    name: "hmget",
    arity: Arity::AtLeast(3),
    summary: "Answers the values of fields of a hash.",
    complexity: "O(N) with N the fields asked for",
    syntax: "key field [field ...]",
    run: hmget,
    ..HGET
};

fn hmget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.array(args.len() - 2);
    args.iter_from(2).for_each(|name| reply_value(&mut ctx.reply, hash, name, as_of));
    Ok(())
}

const HSTRLEN: Command = Command {
    name: "hstrlen",
    keys: &[key(1, &[KeyFlag::Ro])],
    since: "3.2.0",
    summary: "Answers the length of the value of a field of a hash.",
    run: hstrlen,
    ..HGET
};

fn hstrlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let field = hash.and_then(|hash| hash.get(&args[2])).filter(|field| field.is_live(as_of));
    ctx.reply.len(field.map_or(0, |field| field.value.bytes_len()));
    Ok(())
}

const HEXISTS: Command = Command {
    name: "hexists",
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Answers whether a hash has a field.",
    run: hexists,
    ..HGET
};

fn hexists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let field = hash.and_then(|hash| hash.get(&args[2]));
    ctx.reply.int(i64::from(field.is_some_and(|field| field.is_live(as_of))));
    Ok(())
}

const HLEN: Command = Command {
    name: "hlen",
    arity: Arity::Exactly(2),
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Answers how many fields a hash has.",
    syntax: "key",
    run: hlen,
    ..HGET
};

fn hlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.len(hash.map_or(0, Hash::len));
    Ok(())
}

const HGETALL: Command = Command {
    name: "hgetall",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly],
    summary: "Answers all fields of a hash with their values.",
    complexity: "O(N) with N the fields of the hash",
    syntax: "key",
    tips: &["nondeterministic_output_order"],
    run: hgetall,
    ..HGET
};

fn hgetall(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_all(
        ctx,
        args,
        |reply, count| reply.map(count),
        |reply, field| {
            reply_item(reply, field.name);
            reply_item(reply, field.value);
        },
    )
}

const HKEYS: Command = Command {
    name: "hkeys",
    summary: "Answers the names of all fields of a hash.",
    run: hkeys,
    ..HGETALL
};

fn hkeys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_all(
        ctx,
        args,
        |reply, count| reply.array(count),
        |reply, field| reply_item(reply, field.name),
    )
}

const HVALS: Command = Command {
    name: "hvals",
    summary: "Answers the values of all fields of a hash.",
    run: hvals,
    ..HGETALL
};

fn hvals(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_all(
        ctx,
        args,
        |reply, count| reply.array(count),
        |reply, field| reply_item(reply, field.value),
    )
}

fn reply_all(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    begin: fn(&mut Reply<'_>, usize),
    reply_field: fn(&mut Reply<'_>, Field<'_>),
) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let Some(hash) = read::<Hash>(&mut ctx.state.keyspace, db, &key)? else {
        begin(&mut ctx.reply, 0);
        return Ok(());
    };
    begin(&mut ctx.reply, hash.live_len(as_of));
    let live = hash.fields().filter(|field| field.is_live(as_of));
    live.for_each(|field| reply_field(&mut ctx.reply, field));
    Ok(())
}

const HDEL: Command = Command {
    name: "hdel",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::Hash,
    since: "2.0.0",
    summary: "Removes fields of a hash and answers how many there were.",
    complexity: "O(N) with N the fields given",
    syntax: "key field [field ...]",
    run: hdel,
    ..Command::DEFAULT
};

fn hdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    remove_passed(ctx, &key, args.iter_from(2))?;
    let removed = remove_fields(ctx, &key, args.iter_from(2))?;
    ctx.reply.len(removed);
    Ok(())
}

/// Removes fields, and with the last of them the hash, and tells those who listen. Says how many there were.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
pub(super) fn remove_fields<'n>(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    names: impl Iterator<Item = &'n [u8]>,
) -> Result<usize, CommandError> {
    let db = ctx.client.db;
    let Some(mut opened) = write::<Hash>(&mut ctx.state.keyspace, db, key)? else { return Ok(0) };
    let mut removed = 0;
    for name in names {
        // Looked for first: a hash that does not change is not to count as changed.
        if removed > 0 || opened.get().get(name).is_some() {
            removed += usize::from(opened.get_mut().remove(name));
        }
        if removed > 0 && opened.get().is_empty() {
            break;
        }
    }
    let is_gone = opened.close(Hash::is_empty);
    if removed > 0 {
        ctx.count_changes(removed);
        ctx.notify(KeyspaceEvents::HASH, "hdel", key.bytes);
    }
    if is_gone {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
    }
    Ok(removed)
}

/// Fields and values.
pub const COMMANDS: &[Command] =
    &[HSET, HMSET, HSETNX, HGET, HMGET, HSTRLEN, HEXISTS, HLEN, HGETALL, HKEYS, HVALS, HDEL];
