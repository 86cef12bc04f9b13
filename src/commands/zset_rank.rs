//! Sorted sets: counting and removing parts of them, and ranks. ZCOUNT, ZLEXCOUNT, ZREMRANGEBY..., ZRANK, ZREVRANK.

use super::arguments::is;
use super::collections::{read, write};
use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use super::zset::{OF_ZSETS, READ_KEY, tell};
use super::zset_bounds::{By, Part};
use crate::resp::{Args, errors};
use crate::types::Zset;

const ZCOUNT: Command = Command {
    name: "zcount",
    arity: Arity::Exactly(4),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: READ_KEY,
    since: "2.0.0",
    summary: "Returns how many members of a sorted set have scores from one to another.",
    complexity: "O(log(N)) with N the members there are",
    syntax: "key min max",
    run: |ctx, args| count(ctx, args, By::Score),
    ..OF_ZSETS
};

const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    since: "2.8.9",
    summary: "Returns how many members lie between two others in a sorted set of equal scores.",
    run: |ctx, args| count(ctx, args, By::Lex),
    ..ZCOUNT
};

fn count(ctx: &mut Context<'_>, args: Args<'_>, by: By) -> CommandResult {
    let part = Part::parse(by, &args[2], &args[3])?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    let count = zset.map_or(0, |zset| part.ranks(zset, false).len());
    ctx.reply.len(count);
    Ok(())
}

const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    since: "2.0.0",
    summary: "Removes the members of a sorted set from one rank to another.",
    complexity: "O(log(N)+M) with N the members there are and M those that are removed",
    syntax: "key start stop",
    run: |ctx, args| remove(ctx, args, By::Rank, "zremrangebyrank"),
    ..OF_ZSETS
};

const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    since: "1.2.0",
    summary: "Removes the members of a sorted set from one score to another.",
    syntax: "key min max",
    run: |ctx, args| remove(ctx, args, By::Score, "zremrangebyscore"),
    ..ZREMRANGEBYRANK
};

const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    since: "2.8.9",
    summary: "Removes the members between two others of a sorted set whose scores are equal.",
    syntax: "key min max",
    run: |ctx, args| remove(ctx, args, By::Lex, "zremrangebylex"),
    ..ZREMRANGEBYRANK
};

fn remove(ctx: &mut Context<'_>, args: Args<'_>, by: By, event: &str) -> CommandResult {
    let part = Part::parse(by, &args[2], &args[3])?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(mut opened) = write::<Zset>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let ranks = part.ranks(opened.get(), false);
    let removed = ranks.len();
    if removed > 0 {
        opened.get_mut().remove_range(ranks);
        let gone = opened.close(Zset::is_empty);
        ctx.count_changes(removed);
        tell(ctx, event, &args[1], gone);
    }
    ctx.reply.len(removed);
    Ok(())
}

const ZRANK: Command = Command {
    name: "zrank",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: READ_KEY,
    since: "2.0.0",
    summary: "Returns how many members of a sorted set stand in front of one.",
    complexity: "O(log(N)) with N the members there are",
    syntax: "key member [WITHSCORE]",
    run: |ctx, args| rank(ctx, args, false),
    ..OF_ZSETS
};

const ZREVRANK: Command = Command {
    name: "zrevrank",
    summary: "Returns how many members of a sorted set stand behind one.",
    run: |ctx, args| rank(ctx, args, true),
    ..ZRANK
};

fn rank(ctx: &mut Context<'_>, args: Args<'_>, reverse: bool) -> CommandResult {
    let with_score = match args.get(3) {
        _ if args.len() > 4 => return Err(errors::wrong_arity(&ctx.entry.full_name)),
        Some(word) if is(word, "WITHSCORE") => true,
        Some(_) => return Err(errors::SYNTAX),
        None => false,
    };
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(&args[2])?;
        Some((if reverse { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.len(rank);
            if with_score {
                ctx.reply.double(score);
            }
        }
        None if with_score => ctx.reply.nil_array(),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// Counting, removing, ranks.
pub const COMMANDS: &[Command] =
    &[ZCOUNT, ZLEXCOUNT, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX, ZRANK, ZREVRANK];
