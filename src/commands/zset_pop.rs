//! Sorted sets: taking the lowest or highest members. ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait: BZPOPMIN, BZPOPMAX, BZMPOP.

use smallvec::SmallVec;

use super::arguments::is;
use super::blocking::{Empty, Wanted, timeout, wait_for_keys};
use super::collections::write;
use super::command::{Arity, Command, CommandResult, Find, Flag, KeyFlag, KeySpec, key, keys};
use super::context::Context;
use super::zset::{OF_ZSETS, tell, write_member};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};
use crate::types::Zset;

/// What happens to the keys.
const TAKES: &[KeyFlag] = &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete];

/// At which end members are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn of(word: &[u8]) -> Option<End> {
        if is(word, "MIN") {
            Some(End::Min)
        } else if is(word, "MAX") {
            Some(End::Max)
        } else {
            None
        }
    }

    fn event(self) -> &'static str {
        if self == End::Min { "zpopmin" } else { "zpopmax" }
    }

    /// The command that takes members there.
    fn command(self) -> &'static [u8] {
        if self == End::Min { b"ZPOPMIN" } else { b"ZPOPMAX" }
    }
}

/// How the members that are taken are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Members and scores in turn.
    Flat,
    /// An array of pairs.
    Pairs,
    /// The key, and an array of pairs.
    KeyAndPairs,
    /// The key, the member, its score.
    KeyAndOne,
}

/// Takes up to `count` members from the set at a key and answers them. `None`: there is no set, and nothing was answered;
/// otherwise how many they were.
fn take(
    ctx: &mut Context<'_>,
    name: &[u8],
    end: End,
    count: usize,
    shape: Shape,
) -> Result<Option<usize>, CommandError> {
    let (db, key) = (ctx.db(), ctx.key(name));
    let Some(mut opened) = write::<Zset>(&mut ctx.state.keyspace, db, &key)? else {
        return Ok(None);
    };
    let zset = opened.get();
    let len = zset.len();
    let count = count.min(len);
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    let reply = &mut ctx.reply;
    match shape {
        Shape::Flat => reply.array(2 * count),
        Shape::Pairs => reply.array(count),
        Shape::KeyAndPairs => {
            reply.array(2);
            reply.bulk(name);
            reply.array(count);
        }
        Shape::KeyAndOne => {
            reply.array(3);
            reply.bulk(name);
        }
    }
    for (member, score) in zset.range(ranks.clone(), end == End::Max) {
        if matches!(shape, Shape::Pairs | Shape::KeyAndPairs) {
            reply.array(2);
        }
        write_member(reply, member);
        reply.double(score);
    }
    if count > 0 {
        opened.get_mut().remove_range(ranks);
        let gone = opened.close(Zset::is_empty);
        ctx.count_changes(count);
        tell(ctx, end.event(), name, gone);
    }
    Ok(Some(count))
}

const ZPOPMIN: Command = Command {
    name: "zpopmin",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, TAKES)],
    since: "5.0.0",
    summary: "Removes the members of a sorted set with the lowest scores and returns them.",
    complexity: "O(log(N)*M) with N the members there are and M those that are taken",
    syntax: "key [count]",
    run: |ctx, args| pop(ctx, args, End::Min),
    ..OF_ZSETS
};

const ZPOPMAX: Command = Command {
    name: "zpopmax",
    summary: "Removes the members of a sorted set with the highest scores and returns them.",
    run: |ctx, args| pop(ctx, args, End::Max),
    ..ZPOPMIN
};

fn pop(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    if args.len() > 3 {
        return Err(errors::SYNTAX);
    }
    let count = match args.get(2) {
        None => 1,
        Some(count) => parse_i64(count)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(CommandError::new("ERR value is out of range, must be positive"))?,
    };
    let nested = args.len() == 3 && ctx.reply.is_resp3();
    let shape = if nested { Shape::Pairs } else { Shape::Flat };
    if take(ctx, &args[1], end, count, shape)?.is_none() {
        ctx.reply.array(0);
    }
    Ok(())
}

const ZMPOP: Command = Command {
    name: "zmpop",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Movablekeys],
    keys: &[KeySpec { find: Find::Counted { at: 1, first: 2 }, flags: TAKES }],
    since: "7.0.0",
    summary: "Removes the lowest or highest members of the first of some sorted sets and returns them.",
    complexity: "O(K)+O(M*log(N)) with K keys, N the members of a set and M those that are taken",
    syntax: "numkeys key [key ...] <MIN | MAX> [COUNT count]",
    run: zmpop,
    ..OF_ZSETS
};

/// What ZMPOP and BZMPOP are told.
struct Request<'a> {
    names: SmallVec<[&'a [u8]; 4]>,
    end: End,
    count: usize,
}

impl<'a> Request<'a> {
    /// Reads the arguments from the number of keys on.
    fn parse(args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let positive = |text: &[u8]| {
            let number = parse_i64(text).and_then(|number| usize::try_from(number).ok());
            number.filter(|&number| number > 0)
        };
        let keys =
            positive(&args[at]).ok_or(CommandError::new("ERR numkeys should be greater than 0"))?;
        let end_at = keys.saturating_add(at + 1);
        let end = args.get(end_at).and_then(End::of).ok_or(errors::SYNTAX)?;
        let mut count = None;
        let mut rest = args.iter_from(end_at + 1);
        while let Some(word) = rest.next() {
            let value = rest.next().filter(|_| count.is_none() && is(word, "COUNT"));
            let value = positive(value.ok_or(errors::SYNTAX)?);
            count = Some(value.ok_or(CommandError::new("ERR count should be greater than 0"))?);
        }
        let names = args.iter_from(at + 1).take(keys).collect();
        Ok(Request { names, end, count: count.unwrap_or(1) })
    }
}

fn zmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let request = Request::parse(args, 1)?;
    if !take_first(ctx, &request)? {
        ctx.reply.nil_array();
    }
    Ok(())
}

/// Takes members from the first set there is. False: there is none.
fn take_first(ctx: &mut Context<'_>, request: &Request<'_>) -> Result<bool, CommandError> {
    for name in &request.names {
        let taken = take(ctx, name, request.end, request.count, Shape::KeyAndPairs)?;
        if let Some(taken) = taken {
            let mut buffer = itoa::Buffer::new();
            let count = buffer.format(taken).as_bytes();
            ctx.effect(&[request.end.command(), name, count]);
            return Ok(true);
        }
    }
    Ok(false)
}

const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Noscript, Flag::Blocking, Flag::Fast],
    keys: &[keys(1, -2, 1, TAKES)],
    since: "5.0.0",
    summary: "Removes the lowest member of the first of some sorted sets, or waits for one.",
    complexity: "O(log(N)) with N the members there are",
    syntax: "key [key ...] timeout",
    run: |ctx, args| pop_or_wait(ctx, args, End::Min),
    ..OF_ZSETS
};

const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    summary: "Removes the highest member of the first of some sorted sets, or waits for one.",
    run: |ctx, args| pop_or_wait(ctx, args, End::Max),
    ..BZPOPMIN
};

fn pop_or_wait(ctx: &mut Context<'_>, args: Args<'_>, end: End) -> CommandResult {
    let until_ms = timeout(ctx, &args[args.len() - 1])?;
    let names: SmallVec<[&[u8]; 4]> = args.iter_from(1).take(args.len() - 2).collect();
    for name in &names {
        if take(ctx, name, end, 1, Shape::KeyAndOne)?.is_some() {
            ctx.effect(&[end.command(), name]);
            return Ok(());
        }
    }
    let request: SmallVec<[&[u8]; 8]> = args.iter().collect();
    let keys = 1..request.len() - 1;
    wait_for_keys(ctx, &request, keys, until_ms, Empty::NilArray, Wanted::SortedSet)
}

const BZMPOP: Command = Command {
    name: "bzmpop",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec { find: Find::Counted { at: 2, first: 3 }, flags: TAKES }],
    summary: "Removes the lowest or highest members of the first of some sorted sets, or waits for some.",
    syntax: "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
    run: bzmpop,
    ..ZMPOP
};

fn bzmpop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let request = Request::parse(args, 2)?;
    let until_ms = timeout(ctx, &args[1])?;
    if take_first(ctx, &request)? {
        return Ok(());
    }
    let words: SmallVec<[&[u8]; 8]> = args.iter().collect();
    let keys = 3..3 + request.names.len();
    wait_for_keys(ctx, &words, keys, until_ms, Empty::NilArray, Wanted::SortedSet)
}

/// Taking members at either end.
pub const COMMANDS: &[Command] = &[ZPOPMIN, ZPOPMAX, ZMPOP, BZPOPMIN, BZPOPMAX, BZMPOP];
