//! Strings: reading, writing and removing whole values. Options of SET and GETEX are in [`super::string_options`].

use smallvec::SmallVec;

use super::arguments::{TimeUnit, expire_at, has_passed};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key, keys};
use super::context::Context;
use super::string_options::{Exists, GetexExpiry, SetExpiry, SetOptions};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, KeyRef, Ttl, Value, ValueRef};
use crate::resp::{Args, CommandError, errors};

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
    reply_value(ctx, &key, Access::READ)?;
    Ok(())
}

/// Replies with the string at `key`, straight from its entry, or with nothing. Says whether the key is there.
#[inline]
fn reply_value(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    access: Access,
) -> Result<bool, CommandError> {
    let db = ctx.client.db;
    match ctx.state.keyspace.lookup(db, key, access).map(|entry| entry.value()) {
        None => {
            ctx.reply.nil();
            return Ok(false);
        }
        Some(ValueRef::Str(bytes)) => ctx.reply.bulk(bytes),
        Some(ValueRef::Int(number)) => ctx.reply.bulk_int(number),
        Some(ValueRef::Object(_)) => return Err(errors::WRONGTYPE),
    }
    Ok(true)
}

const SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags])],
    group: Group::String,
    summary: "Stores a string at a key, whatever it held before.",
    syntax: "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
    run: set,
    ..Command::DEFAULT
};

fn set(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return set_with_options(ctx, args);
    }
    let key = ctx.key(&args[1]);
    store(ctx, &key, &args[2], Ttl::Clear);
    ctx.reply.ok();
    Ok(())
}

fn set_with_options(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = SetOptions::parse(args, 3)?;
    let ttl = match options.expiry {
        SetExpiry::None => Ttl::Clear,
        SetExpiry::Keep => Ttl::Keep,
        SetExpiry::At(unit, number) => Ttl::At(expire_at(ctx, unit, number)?),
    };
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let exists = if options.get {
        reply_value(ctx, &key, Access::READ)?
    } else if options.exists == Exists::Either {
        true
    } else {
        // What is overwritten counts as used there.
        let access = if options.exists == Exists::No { Access::WRITE } else { Access::PEEK };
        ctx.state.keyspace.exists(db, &key, access)
    };
    let refused = match options.exists {
        Exists::Either => false,
        Exists::No => exists,
        Exists::Yes => !exists,
    };
    let unmet = match options.condition {
        Some(condition) => !condition.holds_at(ctx, &key)?,
        None => false,
    };
    if refused || unmet {
        if !options.get {
            ctx.reply.nil();
        }
        return Ok(());
    }
    store(ctx, &key, &args[2], ttl);
    if !options.get {
        ctx.reply.ok();
    }
    match (ttl, options.expiry) {
        // It says the moment, and nothing else, already.
        (Ttl::At(_), SetExpiry::At(TimeUnit::UnixMillis, _)) if args.len() == 5 => {}
        (Ttl::At(_), _) => store_effect(ctx, &args[1], &args[2], ttl),
        _ if options.condition.is_some() => store_effect(ctx, &args[1], &args[2], ttl),
        // What the client was told is no concern of the log's.
        _ if options.get => effect_without_get(ctx, args),
        _ => {}
    }
    Ok(())
}

/// Stores a string, and tells those who listen.
#[inline]
pub(super) fn store(ctx: &mut Context<'_>, key: &KeyRef<'_>, value: &[u8], ttl: Ttl) {
    let db = ctx.client.db;
    ctx.state.keyspace.insert(db, key, Value::string(value), ttl);
    ctx.notify(KeyspaceEvents::STRING, "set", key.bytes);
    if matches!(ttl, Ttl::At(_)) {
        ctx.notify(KeyspaceEvents::GENERIC, "expire", key.bytes);
    }
}

/// `SET key value`, without conditions, and with a time that does not depend on when it is read.
pub(super) fn store_effect(ctx: &mut Context<'_>, key: &[u8], value: &[u8], ttl: Ttl) {
    let mut buffer = itoa::Buffer::new();
    match ttl {
        Ttl::Clear => ctx.effect(&[b"SET", key, value]),
        Ttl::Keep => ctx.effect(&[b"SET", key, value, b"KEEPTTL"]),
        Ttl::At(at_ms) => {
            ctx.effect(&[b"SET", key, value, b"PXAT", buffer.format(at_ms).as_bytes()]);
        }
    }
}

fn effect_without_get(ctx: &mut Context<'_>, args: Args<'_>) {
    let left = args.iter_from(3).filter(|argument| !argument.eq_ignore_ascii_case(b"GET"));
    let words: Vec<&[u8]> = args.iter().take(3).chain(left).collect();
    ctx.effect(&words);
}

const SETNX: Command = Command {
    name: "setnx",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Insert])],
    group: Group::String,
    summary: "Stores a string at a key that does not exist yet.",
    syntax: "key value",
    run: setnx,
    ..Command::DEFAULT
};

fn setnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let exists = ctx.state.keyspace.exists(db, &key, Access::WRITE);
    if !exists {
        store(ctx, &key, &args[2], Ttl::Clear);
    }
    ctx.reply.int(i64::from(!exists));
    Ok(())
}

const SETEX: Command = Command {
    name: "setex",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update])],
    group: Group::String,
    since: "2.0.0",
    summary: "Stores a string that expires after so many seconds.",
    syntax: "key seconds value",
    run: setex,
    ..Command::DEFAULT
};

fn setex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_for(ctx, args, TimeUnit::Seconds)
}

const PSETEX: Command = Command {
    name: "psetex",
    since: "2.6.0",
    summary: "Stores a string that expires after so many milliseconds.",
    syntax: "key milliseconds value",
    run: psetex,
    ..SETEX
};

fn psetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    set_for(ctx, args, TimeUnit::Millis)
}

fn set_for(ctx: &mut Context<'_>, args: Args<'_>, unit: TimeUnit) -> CommandResult {
    let at = expire_at(ctx, unit, &args[2])?;
    let key = ctx.key(&args[1]);
    store(ctx, &key, &args[3], Ttl::At(at));
    store_effect(ctx, &args[1], &args[3], Ttl::At(at));
    ctx.reply.ok();
    Ok(())
}

const GETSET: Command = Command {
    name: "getset",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    group: Group::String,
    summary: "Stores a string at a key and returns the one before.",
    syntax: "key value",
    run: getset,
    ..Command::DEFAULT
};

fn getset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    reply_value(ctx, &key, Access::READ)?;
    store(ctx, &key, &args[2], Ttl::Clear);
    ctx.effect(&[b"SET", &args[1], &args[2]]);
    Ok(())
}

const GETDEL: Command = Command {
    name: "getdel",
    arity: Arity::Exactly(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    group: Group::String,
    since: "6.2.0",
    summary: "Returns the string at a key and removes the key.",
    syntax: "key",
    run: getdel,
    ..Command::DEFAULT
};

fn getdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    if reply_value(ctx, &key, Access::READ)? {
        let db = ctx.client.db;
        ctx.state.keyspace.remove(db, &key);
        ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
        ctx.effect(&[b"DEL", &args[1]]);
    }
    Ok(())
}

const GETEX: Command = Command {
    name: "getex",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    group: Group::String,
    since: "6.2.0",
    summary: "Returns the string at a key and sets or removes its expiry.",
    syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
    run: getex,
    ..Command::DEFAULT
};

fn getex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let expiry = GetexExpiry::parse(args)?;
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    // The type of the value is looked at before the time is.
    let start = ctx.reply.position();
    if !reply_value(ctx, &key, Access::READ)? {
        return Ok(());
    }
    match expiry {
        GetexExpiry::None => {}
        GetexExpiry::Persist => {
            let entry = ctx.state.keyspace.lookup(db, &key, Access::PEEK);
            if entry.is_some_and(|entry| entry.expiry_ms().is_some()) {
                ctx.state.keyspace.set_expiry(db, &key, None);
                ctx.notify(KeyspaceEvents::GENERIC, "persist", key.bytes);
                ctx.effect(&[b"PERSIST", &args[1]]);
            }
        }
        GetexExpiry::At(unit, number) => {
            let at = match expire_at(ctx, unit, number) {
                Ok(at) => at,
                Err(error) => {
                    ctx.reply.truncate(start);
                    return Err(error);
                }
            };
            expire_value(ctx, &key, at);
        }
    }
    Ok(())
}

/// Lets the key expire at `at`; removes it at once if that has passed.
fn expire_value(ctx: &mut Context<'_>, key: &KeyRef<'_>, at_ms: u64) {
    let db = ctx.client.db;
    if has_passed(ctx, at_ms.cast_signed()) {
        ctx.state.keyspace.remove(db, key);
        let name: &[u8] = if ctx.state.keyspace.settings.lazy_expire { b"UNLINK" } else { b"DEL" };
        ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
        ctx.effect(&[name, key.bytes]);
        return;
    }
    ctx.state.keyspace.set_expiry(db, key, Some(at_ms));
    ctx.notify(KeyspaceEvents::GENERIC, "expire", key.bytes);
    let mut buffer = itoa::Buffer::new();
    ctx.effect(&[b"PEXPIREAT", key.bytes, buffer.format(at_ms).as_bytes()]);
}

const MGET: Command = Command {
    name: "mget",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[keys(1, -1, 1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::String,
    summary: "Returns the strings at several keys.",
    complexity: "O(N) with N the number of keys",
    syntax: "key [key ...]",
    tips: &["request_policy:multi_shard"],
    run: mget,
    ..Command::DEFAULT
};

fn mget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.reply.array(args.len() - 1);
    let db = ctx.client.db;
    let mut left = args.iter_from(1);
    loop {
        // Lookups of several keys wait for memory together rather than one after the other.
        let keys: SmallVec<[KeyRef<'_>; TOGETHER]> =
            left.by_ref().take(TOGETHER).map(|bytes| ctx.key(bytes)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        if keys.len() > 1 {
            ctx.state.keyspace.prefetch(db, &keys);
        }
        for key in &keys {
            if reply_value(ctx, key, Access::READ).is_err() {
                // A value of another type counts as none here.
                ctx.reply.nil();
            }
        }
    }
}

/// Keys whose memory is fetched at once.
const TOGETHER: usize = 16;

const MSET: Command = Command {
    name: "mset",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[keys(1, -1, 2, &[KeyFlag::Ow, KeyFlag::Update])],
    group: Group::String,
    since: "1.0.1",
    summary: "Stores strings at several keys.",
    complexity: "O(N) with N the number of keys",
    syntax: "key value [key value ...]",
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    run: mset,
    ..Command::DEFAULT
};

fn mset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_pairs(ctx, args)?;
    set_pairs(ctx, args);
    ctx.reply.ok();
    Ok(())
}

fn check_pairs(ctx: &Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(&ctx.entry.full_name));
    }
    Ok(())
}

fn set_pairs(ctx: &mut Context<'_>, args: Args<'_>) {
    for index in (1..args.len()).step_by(2) {
        let key = ctx.key(&args[index]);
        store(ctx, &key, &args[index + 1], Ttl::Clear);
    }
}

const MSETNX: Command = Command {
    name: "msetnx",
    keys: &[keys(1, -1, 2, &[KeyFlag::Ow, KeyFlag::Insert])],
    summary: "Stores strings at several keys if none of them exists.",
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    run: msetnx,
    ..MSET
};

fn msetnx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_pairs(ctx, args)?;
    let db = ctx.client.db;
    for bytes in args.iter_from(1).step_by(2) {
        let key = ctx.key(bytes);
        if ctx.state.keyspace.exists(db, &key, Access::WRITE) {
            ctx.reply.int(0);
            return Ok(());
        }
    }
    set_pairs(ctx, args);
    ctx.reply.int(1);
    Ok(())
}

/// Whole values.
pub const COMMANDS: &[Command] =
    &[GET, SET, SETNX, SETEX, PSETEX, GETSET, GETDEL, GETEX, MGET, MSET, MSETNX];
