//! Strings.

use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::keyspace::{Access, Ttl, Value, ValueRef};
use crate::resp::{Args, errors};

const GET: Command = Command {
    name: "get",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::String,
    summary: "Returns the string at a key.",
    syntax: "key",
    run: get,
    ..Command::DEFAULT
};

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.db();
    match ctx.state.keyspace.lookup(db, &key, Access::READ).map(|entry| entry.value()) {
        None => ctx.reply.nil(),
        Some(ValueRef::Str(bytes)) => ctx.reply.bulk(bytes),
        Some(ValueRef::Int(number)) => ctx.reply.bulk_int(number),
        Some(ValueRef::Object(_)) => return Err(errors::WRONGTYPE),
    }
    Ok(())
}

const SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update])],
    group: Group::String,
    summary: "Stores a string at a key, whatever it held before.",
    syntax: "key value",
    run: set,
    ..Command::DEFAULT
};

fn set(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.db();
    ctx.state.keyspace.insert(db, &key, Value::string(&args[2]), Ttl::Clear);
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[GET, SET];
