//! Sorted sets: what they have together, in common, or apart. ZUNION, ZINTER, ZDIFF, those that store the result, ZINTERCARD.
//!
//! Sets take part, too: their members have the score 1.

use super::arguments::{integer, is};
use super::command::{Arity, Command, CommandResult, Find, Flag, KeyFlag, KeySpec, key};
use super::context::Context;
use super::double::number_or;
use super::zset::{OF_ZSETS, write_elements};
use super::zset_range::store;
use crate::keyspace::{Access, KeyRef, Keyspace, ValueRef};
use crate::resp::{Args, CommandError, errors};
use crate::types::{Gathered, Member, Object, Set, Zset, member_bytes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How two scores of a member become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(word: &[u8]) -> Option<Aggregate> {
        const ALL: [(&str, Aggregate); 3] =
            [("SUM", Aggregate::Sum), ("MIN", Aggregate::Min), ("MAX", Aggregate::Max)];
        ALL.into_iter().find(|(name, _)| is(word, name)).map(|(_, aggregate)| aggregate)
    }

    fn join(self, score: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs come out as 0.
            Aggregate::Sum => number_or_zero(score + other),
            Aggregate::Min => {
                if other < score {
                    other
                } else {
                    score
                }
            }
            Aggregate::Max => {
                if other > score {
                    other
                } else {
                    score
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A key that takes part.
#[derive(Debug)]
struct Source<'a> {
    key: KeyRef<'a>,
    weight: f64,
}

/// A request of the family.
#[derive(Debug)]
struct Request<'a> {
    sources: Vec<Source<'a>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// For ZINTERCARD: 0 for none.
    limit: u64,
}

/// What is done with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Answer,
    Store,
    Count,
}

impl<'a> Request<'a> {
    /// Reads the arguments from the number of keys on, and looks the keys up.
    fn parse(
        ctx: &mut Context<'_>,
        args: Args<'a>,
        at: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Self, CommandError> {
        let count = integer(&args[at])?;
        if count < 1 {
            let name = &ctx.entry.full_name;
            return Err(format!("ERR at least 1 input key is needed for '{name}' command").into());
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > args.len() - at - 1 {
            return Err(errors::SYNTAX);
        }
        let db = ctx.db();
        let look = |name| {
            let key = ctx.key(name);
            match ctx.state.keyspace.lookup(db, &key, Access::READ).map(|entry| entry.value()) {
                None | Some(ValueRef::Object(Object::Zset(_) | Object::Set(_))) => {
                    Ok(Source { key, weight: 1.0 })
                }
                Some(_) => Err(errors::WRONGTYPE),
            }
        };
        let sources = args.iter_from(at + 1).take(count).map(look).collect::<Result<_, _>>()?;
        let mut request =
            Request { sources, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        request.options(args, at + 1 + count, operation, purpose)?;
        Ok(request)
    }

    fn options(
        &mut self,
        args: Args<'a>,
        mut next: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<(), CommandError> {
        let combines = operation != Operation::Difference && purpose != Purpose::Count;
        while let Some(word) = args.get(next) {
            next += 1;
            let left = args.len() - next;
            if combines && left >= self.sources.len() && is(word, "WEIGHTS") {
                const NO_WEIGHT: CommandError =
                    CommandError::new("ERR weight value is not a float");
                for source in &mut self.sources {
                    source.weight = number_or(&args[next], NO_WEIGHT)?;
                    next += 1;
                }
            } else if combines && left >= 1 && is(word, "AGGREGATE") {
                self.aggregate = Aggregate::of(&args[next]).ok_or(errors::SYNTAX)?;
                next += 1;
            } else if purpose == Purpose::Answer && is(word, "WITHSCORES") {
                self.with_scores = true;
            } else if purpose == Purpose::Count && left >= 1 && is(word, "LIMIT") {
                const NEGATIVE: CommandError = CommandError::new("ERR LIMIT can't be negative");
                let limit = integer(&args[next]).ok().and_then(|limit| u64::try_from(limit).ok());
                self.limit = limit.ok_or(NEGATIVE)?;
                next += 1;
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(())
    }
}

/// A collection that takes part.
#[derive(Clone, Copy, Debug)]
enum Members<'k> {
    Zset(&'k Zset),
    Set(&'k Set),
    None,
}

/// A collection with its weight.
#[derive(Clone, Copy, Debug)]
struct Operand<'k> {
    members: Members<'k>,
    weight: f64,
}

impl<'k> Operand<'k> {
    fn len(&self) -> usize {
        match self.members {
            Members::Zset(zset) => zset.len(),
            Members::Set(set) => set.len(),
            Members::None => 0,
        }
    }

    /// Hands all members to `visit` until that says false.
    fn visit(&self, mut visit: impl FnMut(Member<'k>, f64) -> bool) {
        match self.members {
            Members::Zset(zset) => {
                let mut elements = zset.range(0..zset.len(), false);
                elements.all(|(member, score)| visit(member, score));
            }
            Members::Set(set) => set.all(|member| visit(member, 1.0)),
            Members::None => {}
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.members {
            Members::Zset(zset) => zset.score(member),
            Members::Set(set) => set.contains(member).then_some(1.0),
            Members::None => None,
        }
    }

    fn is(&self, other: &Operand<'_>) -> bool {
        match (self.members, other.members) {
            (Members::Zset(one), Members::Zset(other)) => std::ptr::eq(one, other),
            (Members::Set(one), Members::Set(other)) => std::ptr::eq(one, other),
            _ => false,
        }
    }
}

/// The collections at keys that were looked up.
fn operands<'k>(keyspace: &'k Keyspace, db: u32, sources: &[Source<'_>]) -> Vec<Operand<'k>> {
    let operand = |source: &Source<'_>| {
        let entry = keyspace.peek(db, &source.key).filter(|entry| !keyspace.is_expired(entry));
        let members = match entry.map(|entry| entry.value()) {
            Some(ValueRef::Object(Object::Zset(zset))) => Members::Zset(zset),
            Some(ValueRef::Object(Object::Set(set))) => Members::Set(set),
            _ => Members::None,
        };
        Operand { members, weight: source.weight }
    };
    sources.iter().map(operand).collect()
}

/// Calls `found` with the members that all operands have, until it says false.
fn intersect<'k>(
    operands: &[Operand<'k>],
    aggregate: Aggregate,
    mut found: impl FnMut(Member<'k>, f64) -> bool,
) {
    let Some((first, others)) = operands.split_first() else { return };
    let mut buffer = itoa::Buffer::new();
    first.visit(|member, score| {
        let bytes = member_bytes(member, &mut buffer);
        let mut joined = number_or_zero(first.weight * score);
        for other in others {
            let value = if other.is(first) { Some(score) } else { other.score(bytes) };
            let Some(value) = value else { return true };
            joined = aggregate.join(joined, value * other.weight);
        }
        found(member, joined)
    });
}

/// The members of the result with their scores, in order.
fn combine(
    operation: Operation,
    mut operands: Vec<Operand<'_>>,
    aggregate: Aggregate,
) -> Vec<(Member<'_>, f64)> {
    let mut gathered = Gathered::default();
    if operation != Operation::Difference {
        // The smallest first: scores are added in this order, which shows in their last digits.
        operands.sort_by_key(Operand::len);
    }
    match operation {
        Operation::Union => {
            for operand in &operands {
                operand.visit(|member, score| {
                    let weighted = number_or_zero(operand.weight * score);
                    gathered.merge(member, weighted, |old, new| aggregate.join(old, new));
                    true
                });
            }
        }
        Operation::Intersection => intersect(&operands, aggregate, |member, score| {
            gathered.push(member, score);
            true
        }),
        Operation::Difference => {
            let Some((first, others)) = operands.split_first() else { return Vec::new() };
            let mut buffer = itoa::Buffer::new();
            first.visit(|member, score| {
                let bytes = member_bytes(member, &mut buffer);
                if !others.iter().any(|other| other.is(first) || other.score(bytes).is_some()) {
                    gathered.push(member, score);
                }
                true
            });
        }
    }
    gathered.ordered()
}

fn answer(ctx: &mut Context<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let request = Request::parse(ctx, args, 1, operation, Purpose::Answer)?;
    let operands = operands(&ctx.state.keyspace, ctx.client.db, &request.sources);
    let result = combine(operation, operands, request.aggregate);
    write_elements(&mut ctx.reply, result.into_iter(), request.with_scores);
    Ok(())
}

fn store_result(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &str,
) -> CommandResult {
    let request = Request::parse(ctx, args, 2, operation, Purpose::Store)?;
    let limits = ctx.state.keyspace.settings.limits;
    let operands = operands(&ctx.state.keyspace, ctx.client.db, &request.sources);
    let result = combine(operation, operands, request.aggregate);
    let result = Zset::of_ordered(&result, &limits);
    store(ctx, &args[1], result, event);
    Ok(())
}

const SOURCES: &[KeyFlag] = &[KeyFlag::Ro, KeyFlag::Access];

const COST_OF_UNION: &str =
    "O(N)+O(M*log(M)) with N the members of all sets and M those of the result";
const COST_OF_INTERSECTION: &str =
    "O(N*K)+O(M*log(M)) with N the members of the smallest of K sets and M those of the result";
const COST_OF_DIFFERENCE: &str =
    "O(N*K)+O(M*log(M)) with N the members of the first of K sets and M those of the result";

const ZUNION: Command = Command {
    name: "zunion",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec { find: Find::Counted { at: 1, first: 2 }, flags: SOURCES }],
    since: "6.2.0",
    summary: "Returns the members that any of some sorted sets has.",
    complexity: COST_OF_UNION,
    syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
    run: |ctx, args| answer(ctx, args, Operation::Union),
    ..OF_ZSETS
};

const ZINTER: Command = Command {
    name: "zinter",
    summary: "Returns the members that all of some sorted sets have.",
    complexity: COST_OF_INTERSECTION,
    run: |ctx, args| answer(ctx, args, Operation::Intersection),
    ..ZUNION
};

const ZDIFF: Command = Command {
    name: "zdiff",
    summary: "Returns the members of a sorted set that others do not have.",
    complexity: COST_OF_DIFFERENCE,
    syntax: "numkeys key [key ...] [WITHSCORES]",
    run: |ctx, args| answer(ctx, args, Operation::Difference),
    ..ZUNION
};

const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[
        key(1, &[KeyFlag::Ow, KeyFlag::Update]),
        KeySpec { find: Find::Counted { at: 2, first: 3 }, flags: SOURCES },
    ],
    since: "2.0.0",
    summary: "Stores the members that any of some sorted sets has at a key.",
    complexity: COST_OF_UNION,
    syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
    run: |ctx, args| store_result(ctx, args, Operation::Union, "zunionstore"),
    ..OF_ZSETS
};

const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    summary: "Stores the members that all of some sorted sets have at a key.",
    complexity: COST_OF_INTERSECTION,
    run: |ctx, args| store_result(ctx, args, Operation::Intersection, "zinterstore"),
    ..ZUNIONSTORE
};

const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    since: "6.2.0",
    summary: "Stores the members of a sorted set that others do not have at a key.",
    complexity: COST_OF_DIFFERENCE,
    syntax: "destination numkeys key [key ...]",
    run: |ctx, args| store_result(ctx, args, Operation::Difference, "zdiffstore"),
    ..ZUNIONSTORE
};

const ZINTERCARD: Command = Command {
    name: "zintercard",
    since: "7.0.0",
    summary: "Returns how many members all of some sorted sets have.",
    complexity: "O(N*K) with N the members of the smallest of K sets",
    syntax: "numkeys key [key ...] [LIMIT limit]",
    run: zintercard,
    ..ZUNION
};

fn zintercard(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let request = Request::parse(ctx, args, 1, Operation::Intersection, Purpose::Count)?;
    let mut operands = operands(&ctx.state.keyspace, ctx.client.db, &request.sources);
    operands.sort_by_key(Operand::len);
    let mut count = 0u64;
    intersect(&operands, Aggregate::Sum, |_, _| {
        count += 1;
        count != request.limit
    });
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// Unions, intersections, differences.
pub const COMMANDS: &[Command] =
    &[ZUNION, ZINTER, ZDIFF, ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE, ZINTERCARD];
