//! Fields of hashes as numbers: HINCRBY, HINCRBYFLOAT.

use rustc_apfloat::Float as _;

use super::arguments::integer;
use super::collections::write_or_new;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::extended;
use super::hash::{read_to_write, remove_passed};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::KeyRef;
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};
use crate::types::Hash;
use crate::types::listpack::PackedItem;

const HINCRBY: Command = Command {
    name: "hincrby",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    group: Group::Hash,
    since: "2.0.0",
    summary: "Adds to the integer in a field of a hash; a missing field counts as 0.",
    syntax: "key field increment",
    run: hincrby,
    ..Command::DEFAULT
};

fn hincrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = integer(&args[3])?;
    let key = ctx.key(&args[1]);
    remove_passed(ctx, &key, args.iter_from(2).take(1))?;
    let number = match read_to_write(ctx, &key)?.and_then(|hash| hash.get(&args[2])) {
        None => 0,
        Some(field) => match field.value {
            PackedItem::Int(number) => number,
            PackedItem::Bytes(bytes) => {
                parse_i64(bytes).ok_or(CommandError::new("ERR hash value is not an integer"))?
            }
        },
    };
    let sum = number.checked_add(increment).ok_or(errors::OVERFLOW)?;
    let mut text = itoa::Buffer::new();
    set_number(ctx, &key, &args[2], text.format(sum).as_bytes())?;
    ctx.notify(KeyspaceEvents::HASH, "hincrby", key.bytes);
    ctx.reply.int(sum);
    Ok(())
}

const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    since: "2.6.0",
    summary: "Adds to the number in a field of a hash, which may have a fraction; a missing field counts as 0.",
    run: hincrbyfloat,
    ..HINCRBY
};

fn hincrbyfloat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let increment = extended::parse(&args[3]).ok_or(errors::NOT_FLOAT)?;
    if !increment.is_finite() {
        return Err(CommandError::new("ERR value is NaN or Infinity"));
    }
    let key = ctx.key(&args[1]);
    remove_passed(ctx, &key, args.iter_from(2).take(1))?;
    let mut expires_ms = None;
    let number = match read_to_write(ctx, &key)?.and_then(|hash| hash.get(&args[2])) {
        None => extended::ZERO,
        Some(field) => {
            expires_ms = field.expires_ms;
            match field.value {
                PackedItem::Int(number) => extended::from_i64(number),
                PackedItem::Bytes(bytes) => extended::parse(bytes)
                    .ok_or(CommandError::new("ERR hash value is not a float"))?,
            }
        }
    };
    let sum = extended::add(number, increment)
        .ok_or(CommandError::new("ERR increment would produce NaN or Infinity"))?;
    let text = extended::print(sum);
    set_number(ctx, &key, &args[2], &text)?;
    ctx.notify(KeyspaceEvents::HASH, "hincrbyfloat", key.bytes);
    // The sum rather than the increment: adding again elsewhere might round differently.
    ctx.effect(&[b"HSET", key.bytes, &args[2], &text]);
    if let Some(when) = expires_ms {
        // Which HSET takes away.
        let mut buffer = itoa::Buffer::new();
        let when = buffer.format(when).as_bytes();
        ctx.effect(&[b"HPEXPIREAT", key.bytes, when, b"FIELDS", b"1", &args[2]]);
    }
    ctx.reply.bulk(&text);
    Ok(())
}

fn set_number(ctx: &mut Context<'_>, key: &KeyRef<'_>, name: &[u8], text: &[u8]) -> CommandResult {
    let (db, limits) = (ctx.client.db, ctx.state.keyspace.settings.limits);
    let mut opened = write_or_new::<Hash>(&mut ctx.state.keyspace, db, key)?;
    opened.get_mut().set_value(name, text, &limits);
    Ok(())
}

/// Numbers.
pub const COMMANDS: &[Command] = &[HINCRBY, HINCRBYFLOAT];
