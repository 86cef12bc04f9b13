//! Sorted sets: members picked at random, and scans. ZRANDMEMBER, ZSCAN.

use std::collections::HashSet;

use super::arguments::is;
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use super::scan::{ScanOptions, cursor};
use super::zset::{OF_ZSETS, READ_KEY, write_elements, write_member};
use crate::resp::number::{parse_i64, push_f64, push_f64_of_17_digits};
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::Zset;

/// Members of one reply with repetitions: some gigabyte of the shortest ones. Stock goes on until its memory ends.
const REPEATED_MEMBERS_MAX: u64 = 1 << 27;

const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "6.2.0",
    summary: "Returns members of a sorted set picked at random.",
    complexity: "O(N) with N the members asked for",
    syntax: "key [count [WITHSCORES]]",
    tips: &["nondeterministic_output"],
    run: zrandmember,
    ..OF_ZSETS
};

fn zrandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (count, with_scores) = match args.get(2) {
        None => (None, false),
        Some(count) => {
            let count = pick_count(count)?;
            let with_scores = match args.get(3) {
                None => false,
                Some(word) if args.len() == 4 && is(word, "WITHSCORES") => true,
                Some(_) => return Err(errors::SYNTAX),
            };
            if with_scores && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
                return Err("ERR value is out of range".into());
            }
            (Some(count), with_scores)
        }
    };
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let mut random = ctx.state.keyspace.fork_random();
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    match (zset, count) {
        (None, None) => ctx.reply.nil(),
        (None, Some(_)) | (_, Some(0)) => ctx.reply.array(0),
        (Some(zset), None) => {
            let at = random.usize(..zset.len());
            for (member, _) in zset.range(at..at + 1, false) {
                write_member(&mut ctx.reply, member);
            }
        }
        (Some(zset), Some(count)) if count < 0 => {
            let picks = count.unsigned_abs();
            if picks > REPEATED_MEMBERS_MAX {
                return Err("ERR value is out of range".into());
            }
            let ranks = (0..picks).map(|_| random.usize(..zset.len()));
            let picks = usize::try_from(picks).unwrap_or(usize::MAX);
            write_picked(&mut ctx.reply, zset, picks, ranks, with_scores);
        }
        (Some(zset), Some(count)) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count >= zset.len() {
                write_elements(&mut ctx.reply, zset.range(0..zset.len(), true), with_scores);
            } else {
                let ranks = distinct(&mut random, count, zset.len());
                write_picked(&mut ctx.reply, zset, count, ranks.into_iter(), with_scores);
            }
        }
    }
    Ok(())
}

/// How many members are wanted; negative where one may come more than once.
fn pick_count(text: &[u8]) -> Result<i64, CommandError> {
    let count = parse_i64(text).ok_or(errors::NOT_INTEGER)?;
    if count == i64::MIN {
        let max = i64::MAX;
        return Err(
            format!("ERR value is out of range, value must between -{max} and {max}").into()
        );
    }
    Ok(count)
}

/// `count` different ranks below `len`, which is more than that.
fn distinct(random: &mut fastrand::Rng, count: usize, len: usize) -> Vec<usize> {
    if count > len / 3 {
        // Each rank is taken with the chance that just fills up what is still wanted.
        let mut left = count;
        return (0..len)
            .filter(|rank| {
                let taken = random.usize(..len - rank) < left;
                left -= usize::from(taken);
                taken
            })
            .collect();
    }
    let mut ranks = HashSet::new();
    while ranks.len() < count {
        ranks.insert(random.usize(..len));
    }
    ranks.into_iter().collect()
}

fn write_picked(
    reply: &mut Reply<'_>,
    zset: &Zset,
    count: usize,
    ranks: impl Iterator<Item = usize>,
    with_scores: bool,
) {
    let nested = with_scores && reply.is_resp3();
    reply.array(if with_scores && !nested { 2 * count } else { count });
    for (member, score) in ranks.flat_map(|rank| zset.range(rank..rank + 1, false)) {
        if nested {
            reply.array(2);
        }
        write_member(reply, member);
        if with_scores {
            reply.double(score);
        }
    }
}

const ZSCAN: Command = Command {
    name: "zscan",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "2.8.0",
    summary: "Returns some members of a sorted set with their scores, and the cursor with which to go on.",
    complexity: "O(1) for each step, O(N) for all, with N the members there are",
    syntax: "key cursor [MATCH pattern] [COUNT count]",
    tips: &["nondeterministic_output"],
    run: zscan,
    ..OF_ZSETS
};

fn zscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let from = cursor(&args[2])?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(zset) = read::<Zset>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(args.iter_from(3), false)?;
    let (mut found, mut count, mut text) = (Vec::new(), 0, Vec::new());
    let mut elements = Reply::new(&mut found, ctx.reply.is_resp3());
    let is_small = zset.is_small();
    let next = zset.scan(from, options.count, |member, score| {
        if options.matches(member) {
            text.clear();
            // Stock shows what stands in a listpack as it stands there, and other scores with all their digits.
            if is_small {
                push_f64(&mut text, score);
            } else {
                push_f64_of_17_digits(&mut text, score);
            }
            elements.bulk(member);
            elements.bulk(&text);
            count += 2;
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(count);
    ctx.reply.raw(&found);
    Ok(())
}

/// Picking and scanning.
pub const COMMANDS: &[Command] = &[ZRANDMEMBER, ZSCAN];
