//! Keys that end by themselves: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! The log holds moments, never durations: whatever set an expiry is propagated as `PEXPIREAT key ms`, and one whose
//! moment has passed as the removal it is.

use super::arguments::{TimeUnit, has_passed, integer};
use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, KeyRef};
use crate::resp::{Args, CommandError, errors, quoted};

/// Under which circumstances EXPIRE sets an expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Conditions {
    /// The key has none.
    nx: bool,
    /// The key has one.
    xx: bool,
    /// The new one is later; none counts as never.
    gt: bool,
    /// The new one is earlier.
    lt: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut found = Self::default();
        for word in args.iter_from(3) {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => found.nx = true,
                b"xx" => found.xx = true,
                b"gt" => found.gt = true,
                b"lt" => found.lt = true,
                _ => {
                    let word = quoted(word);
                    return Err(CommandError::owned(format!("ERR Unsupported option {word}")));
                }
            }
        }
        if found.nx && (found.xx || found.gt || found.lt) {
            return Err(CommandError::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if found.gt && found.lt {
            return Err(CommandError::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(found)
    }

    fn allow(self, current_ms: Option<u64>, new_ms: i64) -> bool {
        let later = |current: u64| i128::from(new_ms) > i128::from(current);
        let earlier = |current: u64| i128::from(new_ms) < i128::from(current);
        !(self.nx && current_ms.is_some()
            || self.xx && current_ms.is_none()
            || self.gt && !current_ms.is_some_and(later)
            || self.lt && !current_ms.is_none_or(earlier))
    }
}

/// The declaration that EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT share.
const EXPIRES: Command = Command {
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    ..Command::DEFAULT
};

const EXPIRE: Command = Command {
    name: "expire",
    summary: "Lets a key expire in so many seconds.",
    syntax: "key seconds [NX | XX | GT | LT]",
    run: |ctx, args| expire(ctx, args, TimeUnit::Seconds),
    ..EXPIRES
};

const PEXPIRE: Command = Command {
    name: "pexpire",
    since: "2.6.0",
    summary: "Lets a key expire in so many milliseconds.",
    syntax: "key milliseconds [NX | XX | GT | LT]",
    run: |ctx, args| expire(ctx, args, TimeUnit::Millis),
    ..EXPIRES
};

const EXPIREAT: Command = Command {
    name: "expireat",
    since: "1.2.0",
    summary: "Lets a key expire at a moment, in seconds since 1970.",
    syntax: "key unix-time-seconds [NX | XX | GT | LT]",
    run: |ctx, args| expire(ctx, args, TimeUnit::UnixSeconds),
    ..EXPIRES
};

const PEXPIREAT: Command = Command {
    name: "pexpireat",
    since: "2.6.0",
    summary: "Lets a key expire at a moment, in milliseconds since 1970.",
    syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
    run: |ctx, args| expire(ctx, args, TimeUnit::UnixMillis),
    ..EXPIRES
};

fn expire(ctx: &mut Context<'_>, args: Args<'_>, unit: TimeUnit) -> CommandResult {
    let conditions = Conditions::parse(args)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let number = integer(&args[2])?;
    let when_ms = unit
        .to_unix_ms(number, ctx.now_ms())
        .ok_or_else(|| errors::invalid_expire(ctx.entry.command.name))?;
    let current = ctx.state.keyspace.lookup(db, &key, Access::WRITE).map(|key| key.expiry_ms());
    let Some(current_ms) = current else {
        ctx.reply.int(0);
        return Ok(());
    };
    if !conditions.allow(current_ms, when_ms) {
        ctx.reply.int(0);
        return Ok(());
    }
    if has_passed(ctx, when_ms) {
        remove_expired(ctx, db, &key);
    } else {
        // A replica and a log being played keep what is past until they are told otherwise; before 1970 counts as 1970.
        let expiry_ms = u64::try_from(when_ms).unwrap_or(0);
        ctx.state.keyspace.set_expiry(db, &key, Some(expiry_ms));
        ctx.notify(KeyspaceEvents::GENERIC, "expire", key.bytes);
        if unit != TimeUnit::UnixMillis {
            propagate(ctx, args, when_ms);
        }
    }
    ctx.reply.int(1);
    Ok(())
}

/// Removes a key that was given an expiry in the past, with the effect of one that has expired.
fn remove_expired(ctx: &mut Context<'_>, db: u32, key: &KeyRef<'_>) {
    ctx.state.keyspace.remove(db, key);
    let name: &[u8] = if ctx.state.config.lazyfree_lazy_expire { b"UNLINK" } else { b"DEL" };
    ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
    ctx.effect(&[name, key.bytes]);
}

/// The effect: the moment in place of the number, options as they came.
fn propagate(ctx: &mut Context<'_>, args: Args<'_>, when_ms: i64) {
    let mut buffer = itoa::Buffer::new();
    let mut words: Vec<&[u8]> = args.iter().collect();
    words[0] = b"PEXPIREAT";
    words[2] = buffer.format(when_ms).as_bytes();
    ctx.effect(&words);
}

/// The declaration that TTL, PTTL, EXPIRETIME and PEXPIRETIME share.
const TTLS: Command = Command {
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    syntax: "key",
    ..Command::DEFAULT
};

const TTL: Command = Command {
    name: "ttl",
    summary: "Answers in how many seconds a key expires: -1 for never, -2 without the key.",
    tips: &["nondeterministic_output"],
    run: |ctx, args| ttl(ctx, args, TimeUnit::Seconds),
    ..TTLS
};

const PTTL: Command = Command {
    name: "pttl",
    since: "2.6.0",
    summary: "Answers in how many milliseconds a key expires: -1 for never, -2 without the key.",
    tips: &["nondeterministic_output"],
    run: |ctx, args| ttl(ctx, args, TimeUnit::Millis),
    ..TTLS
};

const EXPIRETIME: Command = Command {
    name: "expiretime",
    since: "7.0.0",
    summary: "Answers when a key expires, in seconds since 1970: -1 for never, -2 without the key.",
    run: |ctx, args| ttl(ctx, args, TimeUnit::UnixSeconds),
    ..TTLS
};

const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    since: "7.0.0",
    summary: "Answers when a key expires, in milliseconds since 1970: -1 for never, -2 without the key.",
    run: |ctx, args| ttl(ctx, args, TimeUnit::UnixMillis),
    ..TTLS
};

fn ttl(ctx: &mut Context<'_>, args: Args<'_>, unit: TimeUnit) -> CommandResult {
    const NO_KEY: i64 = -2;
    const NO_EXPIRY: i64 = -1;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let from_now = matches!(unit, TimeUnit::Seconds | TimeUnit::Millis);
    let base_ms = if from_now { ctx.now_ms() } else { 0 };
    let entry = ctx.state.keyspace.lookup(db, &key, Access::NOTOUCH);
    let answer = match entry.map(|entry| entry.expiry_ms()) {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(when_ms)) => {
            let left_ms = when_ms.saturating_sub(base_ms);
            let number = match unit {
                TimeUnit::Seconds | TimeUnit::UnixSeconds => left_ms.saturating_add(500) / 1000,
                TimeUnit::Millis | TimeUnit::UnixMillis => left_ms,
            };
            i64::try_from(number).unwrap_or(i64::MAX)
        }
    };
    ctx.reply.int(answer);
    Ok(())
}

const PERSIST: Command = Command {
    name: "persist",
    arity: Arity::Exactly(2),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    since: "2.2.0",
    summary: "Takes a key's expiry away.",
    syntax: "key",
    run: persist,
    ..Command::DEFAULT
};

fn persist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let entry = ctx.state.keyspace.lookup(db, &key, Access::WRITE);
    let expires = entry.is_some_and(|entry| entry.expiry_ms().is_some());
    if expires {
        ctx.state.keyspace.set_expiry(db, &key, None);
        ctx.notify(KeyspaceEvents::GENERIC, "persist", key.bytes);
    }
    ctx.reply.int(i64::from(expires));
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] =
    &[EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST];
