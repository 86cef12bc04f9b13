//! Strings: several keys with one expiry. MSETEX.
//!
//! Source: Redis documentation, "MSETEX" (8.4).

use super::arguments::expire_at;
use super::command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec};
use super::context::Context;
use super::string::{store, store_effect};
use super::string_options::{Exists, SetExpiry, SetOptions};
use crate::keyspace::{Access, Ttl};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};

/// MSETEX numkeys key value [key value ...] [options]
const MSETEX: Command = Command {
    name: "msetex",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[KeySpec {
        find: Find::CountedPairs { at: 1, first: 2 },
        flags: &[KeyFlag::Ow, KeyFlag::Update],
    }],
    group: Group::String,
    since: "8.4.0",
    summary: "Stores strings at several keys with one expiry for all, on a condition if one is given.",
    complexity: "O(N) with N the number of keys",
    syntax: "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    run: msetex,
    ..Command::DEFAULT
};

fn msetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const FIRST: usize = 2;
    let count = parse_i64(&args[1]).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(CommandError::new("ERR invalid numkeys value"))?;
    let end = count.saturating_mul(2).saturating_add(FIRST);
    if end > args.len() {
        return Err(CommandError::new("ERR wrong number of key-value pairs"));
    }
    let options = SetOptions::parse(args, end)?;
    if options.get || options.condition.is_some() {
        return Err(errors::SYNTAX);
    }
    let ttl = match options.expiry {
        SetExpiry::None => Ttl::Clear,
        SetExpiry::Keep => Ttl::Keep,
        SetExpiry::At(unit, number) => Ttl::At(expire_at(ctx, unit, number)?),
    };
    if !all_as_wanted(ctx, args, (FIRST..end).step_by(2), options.exists) {
        ctx.reply.int(0);
        return Ok(());
    }
    for index in (FIRST..end).step_by(2) {
        let key = ctx.key(&args[index]);
        store(ctx, &key, &args[index + 1], ttl);
        store_effect(ctx, &args[index], &args[index + 1], ttl);
    }
    ctx.reply.int(1);
    Ok(())
}

/// Whether all keys exist, or none does, as `exists` says.
fn all_as_wanted(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    mut indexes: impl Iterator<Item = usize>,
    exists: Exists,
) -> bool {
    let db = ctx.client.db;
    exists == Exists::Either
        || indexes.all(|index| {
            let key = ctx.key(&args[index]);
            ctx.state.keyspace.exists(db, &key, Access::PEEK) == (exists == Exists::Yes)
        })
}

/// The commands of this file.
pub const COMMANDS: &[Command] = &[MSETEX];
