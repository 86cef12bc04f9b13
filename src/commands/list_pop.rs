//! Lists: taking items from an end, at once or as soon as there are some.

use smallvec::SmallVec;

use super::arguments::{integer_in, is};
use super::blocking::{self, Empty, Wanted};
use super::collections::write;
use super::command::{
    Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec, key, keys,
};
use super::context::Context;
use super::list::{NOT_POSITIVE, limits_of, notify_loss, reply_item};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::{End, List};

/// The end that a word names.
///
/// # Errors
/// It is neither LEFT nor RIGHT.
pub(super) fn end_of(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if is(word, "LEFT") => Ok(End::Head),
        word if is(word, "RIGHT") => Ok(End::Tail),
        _ => Err(errors::SYNTAX),
    }
}

/// The event of items that leave an end; in capitals it is the command.
pub(super) fn pop_event(end: End) -> &'static str {
    if end == End::Head { "lpop" } else { "rpop" }
}

fn pop_name(end: End) -> &'static [u8] {
    if end == End::Head { b"LPOP" } else { b"RPOP" }
}

/// Takes up to `max` items, at least one, from an end of the list at `key`, if there is one. `head` is called with how many
/// there will be; then each item is replied. Returns how many were taken.
fn take(
    ctx: &mut Context<'_>,
    key: &[u8],
    end: End,
    max: usize,
    head: impl FnOnce(&mut Reply<'_>, usize),
) -> Result<Option<usize>, CommandError> {
    let (key_ref, limits) = (ctx.key(key), limits_of(ctx));
    let db = ctx.client.db;
    let Some(mut list) = write::<List>(&mut ctx.state.keyspace, db, &key_ref)? else {
        return Ok(None);
    };
    let items = list.get();
    let count = items.len().min(max);
    let reply = &mut ctx.reply;
    head(reply, count);
    if count == 1 {
        reply_item(reply, items.peek(end).expect("a list at a key has items"));
    } else {
        items.walk_some(end, 0, count, |item| reply_item(reply, item));
    }
    list.get_mut().remove_at(end, count, &limits);
    let gone = list.close(List::is_empty);
    ctx.count_changes(count);
    notify_loss(ctx, pop_event(end), key, gone);
    Ok(Some(count))
}

const LPOP: Command = Command {
    name: "lpop",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    group: Group::List,
    summary: "Takes items from the head of a list and returns them.",
    complexity: "O(N) with N the number of items taken",
    syntax: "key [count]",
    run: lpop,
    ..Command::DEFAULT
};

fn lpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Head)
}

const RPOP: Command = Command {
    name: "rpop",
    summary: "Takes items from the tail of a list and returns them.",
    run: rpop,
    ..LPOP
};

fn rpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    match args.len() {
        2 => {
            if take(ctx, &args[1], end, 1, |_, _| ())?.is_none() {
                ctx.reply.nil();
            }
        }
        3 => {
            let max = parse_i64(&args[2]).and_then(|max| usize::try_from(max).ok());
            let max = max.ok_or(NOT_POSITIVE)?;
            if max == 0 {
                return pop_none(ctx, args);
            }
            let head = |reply: &mut Reply<'_>, count| reply.array(count);
            if take(ctx, &args[1], end, max, head)?.is_none() {
                ctx.reply.nil_array();
            }
        }
        _ => return Err(errors::wrong_arity(&ctx.entry.full_name)),
    }
    Ok(())
}

/// Takes no items, which changes nothing.
fn pop_none(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    match write::<List>(&mut ctx.state.keyspace, db, &key)? {
        Some(_) => ctx.reply.array(0),
        None => ctx.reply.nil_array(),
    }
    Ok(())
}

const BLPOP: Command = Command {
    name: "blpop",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Noscript, Flag::Blocking],
    keys: &[keys(1, -2, 1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    group: Group::List,
    since: "2.0.0",
    summary: "Takes an item from the head of the first list that has one; waits for one if need be.",
    complexity: "O(N) with N the number of keys",
    syntax: "key [key ...] timeout",
    run: blpop,
    ..Command::DEFAULT
};

fn blpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop_or_wait(ctx, args, End::Head)
}

const BRPOP: Command = Command {
    name: "brpop",
    summary: "Takes an item from the tail of the first list that has one; waits for one if need be.",
    run: brpop,
    ..BLPOP
};

fn brpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    pop_or_wait(ctx, args, End::Tail)
}

fn pop_or_wait(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let last = args.len() - 1;
    let until_ms = blocking::timeout(ctx, &args[last])?;
    for key in args.iter_from(1).take(last - 1) {
        let head = |reply: &mut Reply<'_>, _| {
            reply.array(2);
            reply.bulk(key);
        };
        if take(ctx, key, end, 1, head)?.is_some() {
            ctx.effect(&[pop_name(end), key]);
            return Ok(());
        }
    }
    let request: SmallVec<[&[u8]; 8]> = args.iter().collect();
    blocking::wait_for_keys(ctx, &request, 1..last, until_ms, Empty::NilArray, Wanted::List)
}

const LMPOP: Command = Command {
    name: "lmpop",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Movablekeys],
    keys: &[KeySpec {
        find: Find::Counted { at: 1, first: 2 },
        flags: &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete],
    }],
    group: Group::List,
    since: "7.0.0",
    summary: "Takes items from an end of the first list that has some.",
    complexity: "O(N+M) with N the number of keys and M the number of items taken",
    syntax: "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    run: lmpop,
    ..Command::DEFAULT
};

fn lmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = PopOptions::parse(args, 1)?;
    if !options.take_first(ctx, args)? {
        ctx.reply.nil_array();
    }
    Ok(())
}

const BLMPOP: Command = Command {
    name: "blmpop",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec {
        find: Find::Counted { at: 2, first: 3 },
        flags: &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete],
    }],
    summary: "Takes items from an end of the first list that has some; waits for some if need be.",
    syntax: "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    run: blmpop,
    ..LMPOP
};

fn blmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = PopOptions::parse(args, 2)?;
    let until_ms = blocking::timeout(ctx, &args[1])?;
    if options.take_first(ctx, args)? {
        return Ok(());
    }
    let request: SmallVec<[&[u8]; 8]> = args.iter().collect();
    let keys = options.first..options.first + options.keys;
    blocking::wait_for_keys(ctx, &request, keys, until_ms, Empty::NilArray, Wanted::List)
}

/// What LMPOP is told.
struct PopOptions {
    /// Index of the first key.
    first: usize,
    /// How many keys.
    keys: usize,
    end: End,
    /// How many items at most.
    max: usize,
}

impl PopOptions {
    /// Reads the options that begin with the number of keys at index `at`.
    fn parse(args: Args<'_>, at: usize) -> Result<Self, CommandError> {
        const KEYS: CommandError = CommandError::new("ERR numkeys should be greater than 0");
        const COUNT: CommandError = CommandError::new("ERR count should be greater than 0");
        let positive = |bytes: &[u8], error: CommandError| {
            integer_in(bytes, 1..=i64::MAX, error.clone()).map_err(|_| error)
        };
        let keys = positive(&args[at], KEYS)?;
        let keys = usize::try_from(keys).ok().filter(|keys| *keys < args.len());
        let keys = keys.ok_or(errors::SYNTAX)?;
        let end = end_of(args.get(at + keys + 1).ok_or(errors::SYNTAX)?)?;
        let max = match args.len() - (at + keys + 2) {
            0 => 1,
            count if count >= 2 && is(&args[at + keys + 2], "COUNT") => {
                let max = positive(&args[at + keys + 3], COUNT)?;
                if count > 2 {
                    return Err(errors::SYNTAX);
                }
                usize::try_from(max).unwrap_or(usize::MAX)
            }
            _ => return Err(errors::SYNTAX),
        };
        Ok(Self { first: at + 1, keys, end, max })
    }

    /// Takes items from the first list that there is. False: there is none.
    fn take_first(&self, ctx: &mut Context<'_>, args: Args<'_>) -> Result<bool, CommandError> {
        for key in args.iter_from(self.first).take(self.keys) {
            let head = |reply: &mut Reply<'_>, count| {
                reply.array(2);
                reply.bulk(key);
                reply.array(count);
            };
            if let Some(count) = take(ctx, key, self.end, self.max, head)? {
                let mut buffer = itoa::Buffer::new();
                ctx.effect(&[pop_name(self.end), key, buffer.format(count).as_bytes()]);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Taking items.
pub const COMMANDS: &[Command] = &[LPOP, RPOP, BLPOP, BRPOP, LMPOP, BLMPOP];
