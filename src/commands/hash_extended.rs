//! Fields of hashes set, read and removed together with their expiry, as in Redis 8.0: HSETEX, HGETEX, HGETDEL.

use super::arguments::{TimeUnit, has_passed, is};
use super::collections::{Opened, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::hash::{read_to_write, remove_fields, remove_passed, reply_value};
use super::hash_expiry::{Fate, Names, field_time, fields_at};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::KeyRef;
use crate::resp::{Args, CommandError, errors, quoted};
use crate::types::Hash;

const HGETDEL: Command = Command {
    name: "hgetdel",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    group: Group::Hash,
    since: "8.0.0",
    summary: "Answers the values of fields of a hash and removes the fields.",
    complexity: "O(N) with N the fields given",
    syntax: "key FIELDS numfields field [field ...]",
    run: hgetdel,
    ..Command::DEFAULT
};

fn hgetdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    read_to_write(ctx, &key)?;
    let names = fields_at(args, 2, 1)?;
    reply_and_change(ctx, &key, &names, Fate::Goes)
}

/// Replies with the values of fields, and does to each what is to become of it.
fn reply_and_change(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    names: &[&[u8]],
    fate: Fate,
) -> CommandResult {
    remove_passed(ctx, key, names.iter().copied())?;
    let (db, limits) = (ctx.client.db, ctx.state.keyspace.settings.limits);
    ctx.reply.array(names.len());
    let mut opened = write::<Hash>(&mut ctx.state.keyspace, db, key)?;
    let mut changed = Names::new();
    for name in names {
        reply_value(&mut ctx.reply, opened.as_ref().map(Opened::get), name, 0);
        if opened.as_mut().is_some_and(|opened| fate.befall(opened, name, &limits)) {
            changed.push(*name);
        }
    }
    let is_gone = opened.is_some_and(|opened| opened.close(Hash::is_empty));
    ctx.count_changes(changed.len());
    fate.tell(ctx, key, &changed, is_gone);
    Ok(())
}

/// What an option says of the expiry of fields.
#[derive(Clone, Copy, Default)]
enum Expiry<'a> {
    #[default]
    None,
    Keep,
    Persist,
    At(TimeUnit, &'a [u8]),
}

/// Whether fields must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exists {
    Either,
    None,
    All,
}

const HGETEX: Command = Command {
    name: "hgetex",
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    summary: "Answers the values of fields of a hash and sets or takes away when they expire.",
    syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
    run: hgetex,
    ..HGETDEL
};

fn hgetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const ONE: &str = "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified";
    let key = ctx.key(&args[1]);
    read_to_write(ctx, &key)?;
    let (mut at, mut expiry) = (2, Expiry::None);
    while let Some(word) = args.get(at).filter(|word| !is(word, "FIELDS")) {
        let option =
            if is(word, "PERSIST") { Some(Expiry::Persist) } else { time_option(args, at)? };
        let option = option.ok_or_else(|| unknown(word))?;
        if !matches!(expiry, Expiry::None) {
            return Err(CommandError::new(ONE));
        }
        at += if matches!(option, Expiry::At(..)) { 2 } else { 1 };
        expiry = option;
    }
    let names = fields_at(args, at, 1)?;
    let fate = match expiry {
        Expiry::At(unit, text) => Fate::at(ctx, field_time(ctx, unit, text)?),
        Expiry::Persist => Fate::Persists,
        Expiry::None | Expiry::Keep => Fate::Stays,
    };
    reply_and_change(ctx, &key, &names, fate)
}

/// The time that the option at `at` gives, if it is one that gives a time.
fn time_option(args: Args<'_>, at: usize) -> Result<Option<Expiry<'_>>, CommandError> {
    let Some(unit) = args.get(at).and_then(TimeUnit::of_option) else { return Ok(None) };
    let text = args.get(at + 1).ok_or(errors::SYNTAX)?;
    Ok(Some(Expiry::At(unit, text)))
}

fn unknown(word: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR unknown argument: {}", quoted(word)))
}

const HSETEX: Command = Command {
    name: "hsetex",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    summary: "Sets fields of a hash and when they expire, if all or none of them are there.",
    syntax: "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
    run: hsetex,
    ..HGETDEL
};

fn hsetex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    read_to_write(ctx, &key)?;
    let options = HsetexOptions::parse(args)?;
    let pairs = fields_at(args, options.end, 2)?;
    let when = match options.expiry {
        Expiry::At(unit, text) => Some(field_time(ctx, unit, text)?),
        _ => None,
    };
    let names: Names<'_> = pairs.iter().copied().step_by(2).collect();
    remove_passed(ctx, &key, names.iter().copied())?;
    let hash = read_to_write(ctx, &key)?;
    let is_there = |name: &&[u8]| hash.is_some_and(|hash| hash.get(name).is_some());
    let goes_on = match options.exists {
        Exists::Either => true,
        Exists::None => !names.iter().any(is_there),
        Exists::All => names.iter().all(is_there),
    };
    if !goes_on {
        ctx.reply.int(0);
        return Ok(());
    }
    set_pairs(ctx, &key, &pairs, options.expiry, when)?;
    ctx.reply.int(1);
    Ok(())
}

struct HsetexOptions<'a> {
    exists: Exists,
    expiry: Expiry<'a>,
    /// Where the options end.
    end: usize,
}

impl<'a> HsetexOptions<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        const ONE_TIME: &str =
            "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
        const ONE_CONDITION: &str = "ERR Only one of FXX or FNX arguments can be specified";
        let mut options = Self { exists: Exists::Either, expiry: Expiry::None, end: 2 };
        while let Some(word) = args.get(options.end).filter(|word| !is(word, "FIELDS")) {
            if is(word, "FNX") || is(word, "FXX") {
                if options.exists != Exists::Either {
                    return Err(CommandError::new(ONE_CONDITION));
                }
                options.exists = if is(word, "FNX") { Exists::None } else { Exists::All };
                options.end += 1;
                continue;
            }
            let option = if is(word, "KEEPTTL") {
                Some(Expiry::Keep)
            } else {
                time_option(args, options.end)?
            };
            let option = option.ok_or_else(|| unknown(word))?;
            if !matches!(options.expiry, Expiry::None) {
                return Err(CommandError::new(ONE_TIME));
            }
            options.end += if matches!(option, Expiry::At(..)) { 2 } else { 1 };
            options.expiry = option;
        }
        Ok(options)
    }
}

/// Sets fields, and when they expire; the effect says the moment, and no condition.
fn set_pairs(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    pairs: &[&[u8]],
    expiry: Expiry<'_>,
    when: Option<u64>,
) -> CommandResult {
    let db = ctx.client.db;
    let limits = ctx.state.keyspace.settings.limits;
    let passed = when.filter(|when| has_passed(ctx, when.cast_signed())).is_some();
    if passed {
        // Set and gone in the same moment: what was there is gone.
        let names: Names<'_> = pairs.iter().copied().step_by(2).collect();
        if remove_fields(ctx, key, names.iter().copied())? > 0 {
            let words: Names<'_> = [&b"HDEL"[..], key.bytes].into_iter().chain(names).collect();
            ctx.effect(&words);
        }
        return Ok(());
    }
    let mut opened = write_or_new::<Hash>(&mut ctx.state.keyspace, db, key)?;
    let hash = opened.get_mut();
    hash.expect(pairs.len() / 2, &limits);
    for pair in pairs.chunks_exact(2) {
        match expiry {
            Expiry::Keep => hash.set_value(pair[0], pair[1], &limits),
            _ => hash.set(pair[0], pair[1], &limits),
        };
        if when.is_some() {
            hash.set_expiry(pair[0], when, &limits);
        }
    }
    drop(opened);
    ctx.count_changes(pairs.len() / 2);
    let mut buffers = [itoa::Buffer::new(), itoa::Buffer::new()];
    let [time, count] = &mut buffers;
    let mut words: Names<'_> = [&b"HSETEX"[..], key.bytes].into_iter().collect();
    match (expiry, when) {
        (Expiry::Keep, _) => words.push(b"KEEPTTL"),
        (_, Some(when)) => words.extend([&b"PXAT"[..], time.format(when).as_bytes()]),
        _ => {}
    }
    words.extend([&b"FIELDS"[..], count.format(pairs.len() / 2).as_bytes()]);
    words.extend(pairs.iter().copied());
    ctx.effect(&words);
    ctx.notify(KeyspaceEvents::HASH, "hset", key.bytes);
    if when.is_some() {
        ctx.notify(KeyspaceEvents::HASH, "hexpire", key.bytes);
    }
    Ok(())
}

/// Fields together with their expiry.
pub const COMMANDS: &[Command] = &[HGETDEL, HGETEX, HSETEX];
