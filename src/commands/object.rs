//! OBJECT: what is known of a value beside the value itself.

use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use crate::config::choices::EvictionPolicy;
use crate::keyspace::{Access, Entry, ValueRef};
use crate::resp::{Args, CommandError};
use crate::types::Limits;

/// The longest string that stock servers keep in one piece with its header, and report as `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;

/// Integers from 0 to below this are shared objects in stock servers, and reported as such.
const SHARED_INTEGERS: i64 = 10_000;

/// What OBJECT REFCOUNT answers for a shared object.
const SHARED_REFCOUNT: i64 = 2_147_483_647;

/// The encoding that OBJECT ENCODING reports: the one a stock server would have chosen.
pub(super) fn encoding(entry: &Entry, limits: &Limits) -> &'static str {
    match entry.value() {
        ValueRef::Int(_) => "int",
        ValueRef::Str(bytes) if bytes.len() <= EMBSTR_BYTES_MAX && !entry.is_raw() => "embstr",
        ValueRef::Str(_) => "raw",
        ValueRef::Object(object) => object.encoding(limits),
    }
}

/// The entry that a subcommand is about.
fn entry<'c>(ctx: &'c mut Context<'_>, args: Args<'_>) -> Option<&'c Entry> {
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    ctx.state.keyspace.lookup(db, &key, Access::ABOUT)
}

/// The declaration that the subcommands with a key share.
const OF_KEY: Command = Command {
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly],
    categories: &["keyspace"],
    keys: &[key(2, &[KeyFlag::Ro])],
    since: "2.2.3",
    syntax: "key",
    tips: &["nondeterministic_output"],
    ..Command::DEFAULT
};

const ENCODING: Command = Command {
    name: "encoding",
    summary: "Answers how the value at a key is represented.",
    run: object_encoding,
    ..OF_KEY
};

fn object_encoding(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let limits = ctx.state.keyspace.settings.limits;
    let encoding = entry(ctx, args).map(|entry| encoding(entry, &limits));
    ctx.reply.bulk_or_nil(encoding.map(str::as_bytes));
    Ok(())
}

const FREQ: Command = Command {
    name: "freq",
    since: "4.0.0",
    summary: "Answers how often a key is used, as a logarithmic counter, under the LFU policies.",
    run: object_freq,
    ..OF_KEY
};

fn object_freq(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(clock) = entry(ctx, args).map(Entry::access) else {
        ctx.reply.nil();
        return Ok(());
    };
    if !ctx.state.config.maxmemory_policy.is_lfu() {
        return Err(CommandError::new(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let frequency = ctx.state.keyspace.settings.access.frequency(clock, ctx.now_ms());
    ctx.reply.int(i64::from(frequency));
    Ok(())
}

const IDLETIME: Command = Command {
    name: "idletime",
    summary: "Answers for how many seconds a key has not been used, except under the LFU policies.",
    run: object_idletime,
    ..OF_KEY
};

fn object_idletime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(clock) = entry(ctx, args).map(Entry::access) else {
        ctx.reply.nil();
        return Ok(());
    };
    if ctx.state.config.maxmemory_policy.is_lfu() {
        return Err(CommandError::new(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let idle_s = ctx.state.keyspace.settings.access.idle_seconds(clock, ctx.now_ms());
    ctx.reply.int(i64::from(idle_s));
    Ok(())
}

const REFCOUNT: Command = Command {
    name: "refcount",
    summary: "Answers how many references a stock server would hold to the value.",
    run: object_refcount,
    ..OF_KEY
};

/// Small integers count as shared, except where a policy needs an access clock for each key.
fn object_refcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    use EvictionPolicy::{AllkeysLfu, AllkeysLru, VolatileLfu, VolatileLru};
    let config = &ctx.state.config;
    let clocks =
        matches!(config.maxmemory_policy, AllkeysLfu | AllkeysLru | VolatileLfu | VolatileLru);
    let shares = config.maxmemory == 0 || !clocks;
    let count = entry(ctx, args).map(|entry| match entry.value() {
        ValueRef::Int(number) if shares && (0..SHARED_INTEGERS).contains(&number) => {
            SHARED_REFCOUNT
        }
        _ => 1,
    });
    match count {
        Some(count) => ctx.reply.int(count),
        None => ctx.reply.nil(),
    }
    Ok(())
}

const HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale],
    categories: &["keyspace"],
    since: "6.2.0",
    summary: "Lists the subcommands.",
    run: help,
    ..Command::DEFAULT
};

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.help(&[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    How the value is represented: embstr, listpack, skiplist and the like.",
        "FREQ <key>",
        "    How often the key is used, as a logarithmic counter. LFU policies only.",
        "IDLETIME <key>",
        "    Seconds since the key was last used. Not under LFU policies.",
        "REFCOUNT <key>",
        "    How many references there are to the value.",
        "HELP",
        "    This list.",
    ]);
    Ok(())
}

const OBJECT: Command = Command {
    name: "object",
    arity: Arity::AtLeast(2),
    since: "2.2.3",
    summary: "Holds the commands that inspect values.",
    complexity: "That of the subcommand",
    subcommands: &[ENCODING, FREQ, IDLETIME, REFCOUNT, HELP],
    ..Command::DEFAULT
};

/// The family.
pub const COMMANDS: &[Command] = &[OBJECT];
