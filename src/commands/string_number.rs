//! Strings as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use super::arguments::integer;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::extended;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, Ttl, Value, ValueRef};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};

const INCR: Command = Command {
    name: "incr",
    arity: Arity::Exactly(2),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    group: Group::String,
    summary: "Adds one to the integer at a key; a missing key counts as 0.",
    syntax: "key",
    run: incr,
    ..Command::DEFAULT
};

fn incr(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, &args[1], 1)
}

const DECR: Command = Command {
    name: "decr",
    summary: "Takes one from the integer at a key; a missing key counts as 0.",
    run: decr,
    ..INCR
};

fn decr(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, &args[1], -1)
}

const INCRBY: Command = Command {
    name: "incrby",
    arity: Arity::Exactly(3),
    summary: "Adds to the integer at a key; a missing key counts as 0.",
    syntax: "key increment",
    run: incrby,
    ..INCR
};

fn incrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = integer(&args[2])?;
    add(ctx, &args[1], increment)
}

const DECRBY: Command = Command {
    name: "decrby",
    summary: "Takes from the integer at a key; a missing key counts as 0.",
    syntax: "key decrement",
    run: decrby,
    ..INCRBY
};

fn decrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let decrement = integer(&args[2])?;
    let increment =
        decrement.checked_neg().ok_or(CommandError::new("ERR decrement would overflow"))?;
    add(ctx, &args[1], increment)
}

/// Adds to the integer at a key and replies with the sum. The expiry stays.
fn add(ctx: &mut Context<'_>, key: &[u8], increment: i64) -> CommandResult {
    let key = ctx.key(key);
    let db = ctx.client.db;
    let mut sum = increment;
    if let Some(mut entry) = ctx.state.keyspace.lookup_mut(db, &key, Access::WRITE) {
        let number = match entry.value() {
            ValueRef::Int(number) => number,
            ValueRef::Str(bytes) => parse_i64(bytes).ok_or(errors::NOT_INTEGER)?,
            ValueRef::Object(_) => return Err(errors::WRONGTYPE),
        };
        sum = number.checked_add(increment).ok_or(errors::OVERFLOW)?;
        entry.set_value(Value::Int(sum));
    } else {
        ctx.state.keyspace.insert(db, &key, Value::Int(increment), Ttl::Clear);
    }
    ctx.notify(KeyspaceEvents::STRING, "incrby", key.bytes);
    ctx.reply.int(sum);
    Ok(())
}

const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    arity: Arity::Exactly(3),
    since: "2.6.0",
    summary: "Adds to the number at a key, which may have a fraction; a missing key counts as 0.",
    syntax: "key increment",
    run: incrbyfloat,
    ..INCR
};

fn incrbyfloat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let found = ctx.state.keyspace.lookup(db, &key, Access::PEEK);
    let number = match found.map(|entry| entry.value()) {
        None => extended::ZERO,
        Some(ValueRef::Int(number)) => extended::from_i64(number),
        Some(ValueRef::Str(bytes)) => extended::parse(bytes).ok_or(errors::NOT_FLOAT)?,
        Some(ValueRef::Object(_)) => return Err(errors::WRONGTYPE),
    };
    let increment = extended::parse(&args[2]).ok_or(errors::NOT_FLOAT)?;
    let sum = extended::add(number, increment)
        .ok_or(CommandError::new("ERR increment would produce NaN or Infinity"))?;
    let text = extended::print(sum);
    // Stays text even where it has no fraction, as in stock servers (OBJECT ENCODING shows it).
    ctx.state.keyspace.insert(db, &key, Value::Str(&text), Ttl::Keep);
    // The sum rather than the increment: adding again elsewhere might round differently.
    ctx.effect(&[b"SET", key.bytes, &text, b"KEEPTTL"]);
    ctx.notify(KeyspaceEvents::STRING, "incrbyfloat", key.bytes);
    ctx.reply.bulk(&text);
    Ok(())
}

/// Numbers.
pub const COMMANDS: &[Command] = &[INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT];
