//! Sorted sets: members that come, go and are asked for. ZADD, ZINCRBY, ZREM, ZSCORE, ZMSCORE, ZCARD.

use smallvec::SmallVec;

use super::arguments::is;
use super::collections::{read, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, KeySpec, key};
use super::context::Context;
use super::double::number;
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::{Member, Zset, member_bytes};

/// What the declarations of the family share.
pub(super) const OF_ZSETS: Command = Command { group: Group::SortedSet, ..Command::DEFAULT };

/// The one key of commands that read.
pub(super) const READ_KEY: &[KeySpec] = &[key(1, &[KeyFlag::Ro, KeyFlag::Access])];

/// Tells those who listen what happened to a sorted set, and that its key is gone if it is.
pub(super) fn tell(ctx: &mut Context<'_>, event: &str, key: &[u8], gone: bool) {
    ctx.notify(KeyspaceEvents::ZSET, event, key);
    if gone {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key);
    }
}

/// Writes a member.
#[inline]
pub(super) fn write_member(reply: &mut Reply<'_>, member: Member<'_>) {
    reply.bulk(member_bytes(member, &mut itoa::Buffer::new()));
}

/// Writes members; with their scores, which in RESP3 makes each an array of two.
pub(super) fn write_elements<'m>(
    reply: &mut Reply<'_>,
    elements: impl ExactSizeIterator<Item = (Member<'m>, f64)>,
    with_scores: bool,
) {
    let nested = with_scores && reply.is_resp3();
    let count = elements.len();
    reply.array(if with_scores && !nested { 2 * count } else { count });
    for (member, score) in elements {
        if nested {
            reply.array(2);
        }
        write_member(reply, member);
        if with_scores {
            reply.double(score);
        }
    }
}

/// What ZADD is told beside scores and members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddOptions {
    /// Only members that are there.
    pub(super) xx: bool,
    /// Only members that are not there.
    pub(super) nx: bool,
    /// Only higher scores.
    gt: bool,
    /// Only lower scores.
    lt: bool,
    /// Updates count, too.
    pub(super) ch: bool,
    /// The score is added to the one that is there.
    incr: bool,
}

/// What becomes of a member.
enum Outcome {
    /// It stays away, or as it is.
    Refused,
    /// It would get the score that it has.
    Same(f64),
    Changed(f64),
}

impl AddOptions {
    /// Takes an option; false: it is none.
    fn take(&mut self, word: &[u8]) -> bool {
        let options = [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("ch", &mut self.ch),
            ("incr", &mut self.incr),
            ("gt", &mut self.gt),
            ("lt", &mut self.lt),
        ];
        let option = options.into_iter().find(|(name, _)| is(word, name));
        option.map(|(_, option)| *option = true).is_some()
    }

    fn check(self, pairs: usize) -> Result<(), CommandError> {
        if self.nx && self.xx {
            return Err("ERR XX and NX options at the same time are not compatible".into());
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(text.into());
        }
        if self.incr && pairs > 1 {
            return Err("ERR INCR option supports a single increment-element pair".into());
        }
        Ok(())
    }

    /// What becomes of a member with the score `old` (if it is there) that is to get `score`.
    fn outcome(self, old: Option<f64>, score: f64) -> Result<Outcome, CommandError> {
        let Some(old) = old else {
            return Ok(if self.xx { Outcome::Refused } else { Outcome::Changed(score) });
        };
        if self.nx {
            return Ok(Outcome::Refused);
        }
        let score = if self.incr { score + old } else { score };
        if score.is_nan() {
            return Err("ERR resulting score is not a number (NaN)".into());
        }
        if (self.lt && score >= old) || (self.gt && score <= old) {
            return Ok(Outcome::Refused);
        }
        Ok(if score == old { Outcome::Same(score) } else { Outcome::Changed(score) })
    }
}

/// Scores and members on their way into a set.
pub(super) type Pairs<'a> = SmallVec<[(f64, &'a [u8]); 4]>;

/// What ZADD did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    pub(super) added: usize,
    pub(super) updated: usize,
    /// The score of the last member that was not refused.
    score: Option<f64>,
}

/// Puts members into the set at `key`, which comes into being if need be.
pub(super) fn add_all(
    ctx: &mut Context<'_>,
    name: &[u8],
    options: AddOptions,
    pairs: &[(f64, &[u8])],
) -> Result<Added, CommandError> {
    let (db, key) = (ctx.db(), ctx.key(name));
    let limits = ctx.state.keyspace.settings.limits;
    let keyspace = &mut ctx.state.keyspace;
    let mut done = Added::default();
    let mut opened = if options.xx {
        let Some(opened) = write::<Zset>(keyspace, db, &key)? else { return Ok(done) };
        opened
    } else {
        write_or_new::<Zset>(keyspace, db, &key)?
    };
    if opened.get().is_empty() {
        let longest = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
        opened.get_mut().prepare(pairs.len(), longest, &limits);
    }
    for &(score, member) in pairs {
        let spot = opened.get().spot(member);
        match options.outcome(spot.score, score)? {
            Outcome::Refused => {}
            Outcome::Same(score) => done.score = Some(score),
            Outcome::Changed(score) => {
                opened.get_mut().put(&spot, member, score, &limits);
                done.score = Some(score);
                match spot.score {
                    Some(_) => done.updated += 1,
                    None => done.added += 1,
                }
            }
        }
    }
    drop(opened);
    let changed = done.added + done.updated;
    if changed > 0 {
        ctx.count_changes(changed);
        tell(ctx, if options.incr { "zincr" } else { "zadd" }, name, false);
    }
    Ok(done)
}

const ZADD: Command = Command {
    name: "zadd",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    since: "1.2.0",
    summary: "Adds members with their scores to a sorted set, or gives members other scores.",
    complexity: "O(log(N)) for each member, with N the members there are",
    syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
    run: zadd,
    ..OF_ZSETS
};

fn zadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, args, AddOptions::default())
}

const ZINCRBY: Command = Command {
    name: "zincrby",
    arity: Arity::Exactly(4),
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    summary: "Adds to the score of a member; a missing one counts as 0.",
    complexity: "O(log(N)) with N the members there are",
    syntax: "key increment member",
    run: zincrby,
    ..ZADD
};

fn zincrby(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    add(ctx, args, AddOptions { incr: true, ..AddOptions::default() })
}

fn add(ctx: &mut Context<'_>, args: Args<'_>, mut options: AddOptions) -> CommandResult {
    let words = args.iter_from(2).take_while(|word| options.take(word)).count();
    let count = args.len() - 2 - words;
    if !count.is_multiple_of(2) || count == 0 {
        return Err(errors::SYNTAX);
    }
    options.check(count / 2)?;
    let mut pairs = Pairs::new();
    let mut rest = args.iter_from(2 + words);
    while let (Some(score), Some(member)) = (rest.next(), rest.next()) {
        pairs.push((number(score)?, member));
    }
    let done = add_all(ctx, &args[1], options, &pairs)?;
    match done.score {
        Some(score) if options.incr => ctx.reply.double(score),
        None if options.incr => ctx.reply.nil(),
        _ => ctx.reply.len(done.added + if options.ch { done.updated } else { 0 }),
    }
    Ok(())
}

const ZREM: Command = Command {
    name: "zrem",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    since: "1.2.0",
    summary: "Removes members from a sorted set; without members the key goes.",
    complexity: "O(M*log(N)) with N the members there are and M those given",
    syntax: "key member [member ...]",
    run: zrem,
    ..OF_ZSETS
};

fn zrem(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(mut opened) = write::<Zset>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let zset = opened.get();
    let unknown = args.iter_from(2).take_while(|member| zset.score(member).is_none()).count();
    if 2 + unknown == args.len() {
        ctx.reply.int(0);
        return Ok(());
    }
    let zset = opened.get_mut();
    let removed =
        args.iter_from(2 + unknown).filter(|member| zset.remove(member).is_some()).count();
    let gone = opened.close(Zset::is_empty);
    ctx.count_changes(removed);
    tell(ctx, "zrem", &args[1], gone);
    ctx.reply.len(removed);
    Ok(())
}

const ZSCORE: Command = Command {
    name: "zscore",
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: READ_KEY,
    since: "1.2.0",
    summary: "Returns the score of a member of a sorted set.",
    syntax: "key member",
    run: zscore,
    ..OF_ZSETS
};

fn zscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    match zset.and_then(|zset| zset.score(&args[2])) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.nil(),
    }
    Ok(())
}

const ZMSCORE: Command = Command {
    name: "zmscore",
    arity: Arity::AtLeast(3),
    since: "6.2.0",
    summary: "Returns the scores of members of a sorted set.",
    complexity: "O(N) with N the members given",
    syntax: "key member [member ...]",
    run: zmscore,
    ..ZSCORE
};

fn zmscore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let zset = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

const ZCARD: Command = Command {
    name: "zcard",
    arity: Arity::Exactly(2),
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Returns how many members a sorted set has.",
    syntax: "key",
    run: zcard,
    ..ZSCORE
};

fn zcard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let len = read::<Zset>(&mut ctx.state.keyspace, db, &key)?.map_or(0, Zset::len);
    ctx.reply.len(len);
    Ok(())
}

/// Adding, removing, asking.
pub const COMMANDS: &[Command] = &[ZADD, ZINCRBY, ZREM, ZSCORE, ZMSCORE, ZCARD];
