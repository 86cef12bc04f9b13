//! Fields of hashes that expire by themselves, as in Redis 7.4: HEXPIRE and its kin, HTTL and its kin, HPERSIST.

use highwater_persistence::snapshot::FIELD_EXPIRY_MAX;
use smallvec::SmallVec;

use super::arguments::{TimeUnit, has_passed, integer, is, must_obey};
use super::collections::{Opened, read, write};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::hash::{as_of, read_to_write, remove_passed};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::KeyRef;
use crate::resp::{Args, CommandError, errors};
use crate::types::convert::COMMAND_FIELD_EXPIRY_MAX;
use crate::types::{Hash, Limits};

/// Names of fields out of a request.
pub(super) type Names<'a> = SmallVec<[&'a [u8]; 8]>;

/// What is answered of a field that there is not.
const NO_FIELD: i64 = -2;

/// The fields of `FIELDS count field ...`, which begins at `at` and ends the request, `words` words for each of them.
///
/// # Errors
/// Another word, or a count that is none or does not fit.
pub(super) fn fields_at<'a>(
    args: Args<'a>,
    at: usize,
    words: usize,
) -> Result<Names<'a>, CommandError> {
    const MISSING: &str = "ERR Mandatory argument FIELDS is missing or not at the right position";
    const POSITIVE: &str = "ERR Number of fields must be a positive integer";
    const MISMATCH: &str = "ERR The `numfields` parameter must match the number of arguments";
    if !args.get(at).is_some_and(|word| is(word, "FIELDS")) {
        return Err(CommandError::new(MISSING));
    }
    let count = args.get(at + 1).ok_or(errors::SYNTAX)?;
    let count = integer(count).ok().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|&count| count > 0).ok_or(CommandError::new(POSITIVE))?;
    if count.checked_mul(words) != args.len().checked_sub(at + 2) {
        return Err(CommandError::new(MISMATCH));
    }
    Ok(args.iter_from(at + 2).collect())
}

/// The time that an argument says, in milliseconds since 1970.
///
/// # Errors
/// It is no integer, below zero, or later than fields may expire.
pub(super) fn field_time(
    ctx: &Context<'_>,
    unit: TimeUnit,
    text: &[u8],
) -> Result<u64, CommandError> {
    let number = integer(text)?;
    if number < 0 {
        return Err(CommandError::new("ERR invalid expire time, must be >= 0"));
    }
    let when = unit.to_unix_ms(number, ctx.now_ms()).and_then(|when| u64::try_from(when).ok());
    // A payload may hold later ones, which are told to logs and replicas.
    let max = if must_obey(ctx) { FIELD_EXPIRY_MAX } else { COMMAND_FIELD_EXPIRY_MAX };
    when.filter(|&when| when <= max).ok_or_else(|| errors::invalid_expire(&ctx.entry.full_name))
}

const HEXPIRE: Command = Command {
    name: "hexpire",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Hash,
    since: "7.4.0",
    summary: "Lets fields of a hash expire after so many seconds.",
    complexity: "O(N) with N the fields given",
    syntax: "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    run: hexpire,
    ..Command::DEFAULT
};

fn hexpire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::Seconds)
}

const HPEXPIRE: Command = Command {
    name: "hpexpire",
    summary: "Lets fields of a hash expire after so many milliseconds.",
    syntax: "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    run: hpexpire,
    ..HEXPIRE
};

fn hpexpire(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::Millis)
}

const HEXPIREAT: Command = Command {
    name: "hexpireat",
    summary: "Lets fields of a hash expire at a time in seconds since 1970.",
    syntax: "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    run: hexpireat,
    ..HEXPIRE
};

fn hexpireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::UnixSeconds)
}

const HPEXPIREAT: Command = Command {
    name: "hpexpireat",
    summary: "Lets fields of a hash expire at a time in milliseconds since 1970.",
    syntax: "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    run: hpexpireat,
    ..HEXPIRE
};

fn hpexpireat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    expire(ctx, args, TimeUnit::UnixMillis)
}

/// What has to hold of the time that a field has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    /// It has none.
    Nx,
    /// It has one.
    Xx,
    /// The new one is later; none counts as never.
    Gt,
    /// The new one is earlier.
    Lt,
}

impl Condition {
    fn of(word: &[u8]) -> Self {
        let words =
            [("NX", Self::Nx), ("XX", Self::Xx), ("GT", Self::Gt), ("LT", Self::Lt)].into_iter();
        words.clone().find(|(name, _)| is(word, name)).map_or(Self::None, |(_, it)| it)
    }

    fn holds(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Self::None => true,
            Self::Nx => old.is_none(),
            Self::Xx => old.is_some(),
            Self::Gt => old.is_some_and(|old| new > old),
            Self::Lt => old.is_none_or(|old| new < old),
        }
    }
}

/// HEXPIRE and its kin: for each field -2 (there is none), 0 (the condition does not hold), 1 (done), or 2 (the time has
/// passed already, and the field is removed).
fn expire(ctx: &mut Context<'_>, args: Args<'_>, unit: TimeUnit) -> CommandResult {
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    read_to_write(ctx, &key)?;
    let when = field_time(ctx, unit, &args[2])?;
    let condition = Condition::of(&args[3]);
    let names = fields_at(args, if condition == Condition::None { 3 } else { 4 }, 1)?;
    let fate = Fate::at(ctx, when);
    remove_passed(ctx, &key, names.iter().copied())?;
    ctx.reply.array(names.len());
    let limits = ctx.state.keyspace.settings.limits;
    let mut opened = write::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let mut changed = Names::new();
    for name in names {
        let field = opened.as_ref().and_then(|opened| opened.get().get(name));
        ctx.reply.int(match (field.map(|field| field.expires_ms), &mut opened) {
            (Some(old), Some(opened)) if condition.holds(old, when) => {
                fate.befall(opened, name, &limits);
                changed.push(name);
                if fate == Fate::Goes { 2 } else { 1 }
            }
            (Some(_), _) => 0,
            _ => NO_FIELD,
        });
    }
    let is_gone = opened.is_some_and(|opened| opened.close(Hash::is_empty));
    fate.tell(ctx, &key, &changed, is_gone);
    Ok(())
}

/// What becomes of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Stays,
    /// They do not expire any more.
    Persists,
    /// They expire at this time.
    Expires(u64),
    /// They are removed.
    Goes,
}

impl Fate {
    /// What becomes of fields that are told to expire at `when`.
    pub(super) fn at(ctx: &Context<'_>, when: u64) -> Self {
        if has_passed(ctx, when.cast_signed()) { Self::Goes } else { Self::Expires(when) }
    }

    /// Does it to a field. Says whether that changed anything.
    pub(super) fn befall(
        self,
        opened: &mut Opened<'_, Hash>,
        name: &[u8],
        limits: &Limits,
    ) -> bool {
        let Some(field) = opened.get().get(name) else { return false };
        match self {
            Self::Stays => false,
            Self::Persists => {
                field.expires_ms.is_some() && opened.get_mut().set_expiry(name, None, limits)
            }
            Self::Expires(when) => opened.get_mut().set_expiry(name, Some(when), limits),
            Self::Goes => opened.get_mut().remove(name),
        }
    }

    /// Tells log and listeners of the fields to which it happened.
    pub(super) fn tell(
        self,
        ctx: &mut Context<'_>,
        key: &KeyRef<'_>,
        names: &[&[u8]],
        is_gone: bool,
    ) {
        if names.is_empty() {
            return;
        }
        let mut buffers = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [time, count] = &mut buffers;
        let count = count.format(names.len()).as_bytes();
        let mut words = Names::new();
        let event = match self {
            Self::Stays => return,
            Self::Persists => {
                words.extend([&b"HPERSIST"[..], key.bytes, b"FIELDS", count]);
                "hpersist"
            }
            Self::Expires(when) => {
                let time = time.format(when).as_bytes();
                words.extend([&b"HPEXPIREAT"[..], key.bytes, time, b"FIELDS", count]);
                "hexpire"
            }
            Self::Goes => {
                words.extend([&b"HDEL"[..], key.bytes]);
                "hdel"
            }
        };
        words.extend(names.iter().copied());
        ctx.effect(&words);
        ctx.notify(KeyspaceEvents::HASH, event, key.bytes);
        if is_gone {
            ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
        }
    }
}

const HPERSIST: Command = Command {
    name: "hpersist",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Hash,
    since: "7.4.0",
    summary: "Takes the expiry of fields of a hash away.",
    complexity: "O(N) with N the fields given",
    syntax: "key FIELDS numfields field [field ...]",
    run: hpersist,
    ..Command::DEFAULT
};

fn hpersist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    read_to_write(ctx, &key)?;
    let names = fields_at(args, 2, 1)?;
    remove_passed(ctx, &key, names.iter().copied())?;
    ctx.reply.array(names.len());
    let limits = ctx.state.keyspace.settings.limits;
    let mut opened = write::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let mut changed = Names::new();
    for name in names {
        let is_there = opened.as_ref().is_some_and(|opened| opened.get().get(name).is_some());
        let befalls =
            opened.as_mut().is_some_and(|opened| Fate::Persists.befall(opened, name, &limits));
        if befalls {
            changed.push(name);
        }
        ctx.reply.int(match (is_there, befalls) {
            (_, true) => 1,
            (true, false) => -1,
            (false, false) => NO_FIELD,
        });
    }
    drop(opened);
    Fate::Persists.tell(ctx, &key, &changed, false);
    Ok(())
}

const HTTL: Command = Command {
    name: "httl",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Hash,
    since: "7.4.0",
    summary: "Answers in how many seconds fields of a hash expire.",
    complexity: "O(N) with N the fields given",
    syntax: "key FIELDS numfields field [field ...]",
    tips: &["nondeterministic_output"],
    run: httl,
    ..Command::DEFAULT
};

fn httl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_times(ctx, args, |when, now| (when.saturating_sub(now)).div_ceil(1000))
}

const HPTTL: Command = Command {
    name: "hpttl",
    summary: "Answers in how many milliseconds fields of a hash expire.",
    run: hpttl,
    ..HTTL
};

fn hpttl(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_times(ctx, args, u64::saturating_sub)
}

const HEXPIRETIME: Command = Command {
    name: "hexpiretime",
    summary: "Answers when fields of a hash expire, in seconds since 1970.",
    tips: &[],
    run: hexpiretime,
    ..HTTL
};

fn hexpiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_times(ctx, args, |when, _| when.div_ceil(1000))
}

const HPEXPIRETIME: Command = Command {
    name: "hpexpiretime",
    summary: "Answers when fields of a hash expire, in milliseconds since 1970.",
    run: hpexpiretime,
    ..HEXPIRETIME
};

fn hpexpiretime(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    reply_times(ctx, args, |when, _| when)
}

/// For each field -2 (there is none), -1 (it does not expire), or what `shown` makes of its time and the unit's.
fn reply_times(ctx: &mut Context<'_>, args: Args<'_>, shown: fn(u64, u64) -> u64) -> CommandResult {
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    let (as_of, now_ms) = (as_of(ctx), ctx.now_ms());
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let names = fields_at(args, 2, 1)?;
    ctx.reply.array(args.len() - 4);
    for name in names {
        let field = hash.and_then(|hash| hash.get(name)).filter(|field| field.is_live(as_of));
        ctx.reply.int(match field.map(|field| field.expires_ms) {
            None => NO_FIELD,
            Some(None) => -1,
            Some(Some(when)) => shown(when, now_ms).cast_signed(),
        });
    }
    Ok(())
}

/// When fields expire.
pub const COMMANDS: &[Command] =
    &[HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, HPERSIST, HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME];
