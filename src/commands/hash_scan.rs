//! Some fields of a hash: HSCAN, HRANDFIELD.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::arguments::{integer, is};
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::hash::{as_of, reply_item};
use super::scan::{ScanOptions, cursor};
use crate::resp::{Args, CommandError, Reply, errors};
use crate::types::{Field, Hash};

const HSCAN: Command = Command {
    name: "hscan",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Hash,
    since: "2.8.0",
    summary: "Answers some fields of a hash and the cursor with which to go on.",
    complexity: "O(1) for each step, O(N) for all, with N the fields of the hash",
    syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
    tips: &["nondeterministic_output"],
    run: hscan,
    ..Command::DEFAULT
};

fn hscan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let cursor = cursor(&args[2])?;
    let Some(hash) = read::<Hash>(&mut ctx.state.keyspace, db, &key)? else {
        // What is asked of a hash that is not there is not looked at.
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    };
    let (no_values, others) = take_no_values(args);
    let options = ScanOptions::parse(others.into_iter(), false)?;
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut found = Reply::new(&mut bytes, ctx.reply.is_resp3());
    let next = hash.scan(cursor, options.count, |field| {
        let name = field.name.to_bytes();
        if !options.matches(&name) || !field.is_live(as_of) {
            return;
        }
        found.bulk(&name);
        count += 1;
        if !no_values {
            reply_item(&mut found, field.value);
            count += 1;
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.array(count);
    ctx.reply.raw(&bytes);
    Ok(())
}

/// Takes NOVALUES out of the options of a request, and says whether it was there.
fn take_no_values(args: Args<'_>) -> (bool, SmallVec<[&[u8]; 8]>) {
    let (mut no_values, mut others) = (false, SmallVec::new());
    let mut rest = args.iter_from(3);
    while let Some(word) = rest.next() {
        if is(word, "NOVALUES") {
            no_values = true;
        } else {
            others.push(word);
            others.extend(rest.next());
        }
    }
    (no_values, others)
}

const HRANDFIELD: Command = Command {
    name: "hrandfield",
    arity: Arity::AtLeast(2),
    since: "6.2.0",
    summary: "Answers fields of a hash picked at random.",
    complexity: "O(N) with N the fields answered",
    syntax: "key [count [WITHVALUES]]",
    run: hrandfield,
    ..HSCAN
};

fn hrandfield(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 2 {
        return hrandfield_count(ctx, args);
    }
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let mut rng = ctx.state.keyspace.fork_random();
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    match hash.and_then(|hash| random_live(hash, as_of, &mut rng)) {
        Some(field) => reply_item(&mut ctx.reply, field.name),
        None => ctx.reply.nil(),
    }
    Ok(())
}

const RANGE: CommandError = CommandError::new(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);

/// Fields of one reply with repetitions. Stock goes on until its memory ends.
const REPEATED_FIELDS_MAX: i64 = 1 << 27;

fn hrandfield_count(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = integer(&args[2])?;
    if count == i64::MIN {
        return Err(RANGE);
    }
    let with_values = args.len() > 3;
    if args.len() > 4 || with_values && !is(&args[3], "WITHVALUES") {
        return Err(errors::SYNTAX);
    }
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(CommandError::new("ERR value is out of range"));
    }
    let (db, key, as_of) = (ctx.client.db, ctx.key(&args[1]), as_of(ctx));
    let mut rng = ctx.state.keyspace.fork_random();
    let hash = read::<Hash>(&mut ctx.state.keyspace, db, &key)?;
    let live = hash.map_or(0, |hash| hash.live_len(as_of));
    let Some(hash) = hash.filter(|_| live > 0 && count != 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let sample = Sample { hash, as_of, live, with_values };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < -REPEATED_FIELDS_MAX {
        return Err(CommandError::new("ERR value is out of range"));
    }
    if count < 0 {
        sample.repeated(wanted, &mut rng, &mut ctx.reply);
    } else {
        sample.distinct(wanted.min(live), &mut rng, &mut ctx.reply);
    }
    Ok(())
}

/// Where a sample is drawn from, and how it is answered.
struct Sample<'a> {
    hash: &'a Hash,
    as_of: u64,
    live: usize,
    with_values: bool,
}

impl Sample<'_> {
    /// Whether most fields have passed and wait to be removed: drawing would meet them again and again.
    fn is_sparse(&self) -> bool {
        self.live < self.hash.len() / 2
    }

    fn begin(&self, reply: &mut Reply<'_>, count: usize) {
        let pairs = self.with_values && !reply.is_resp3();
        reply.array(if pairs { count.saturating_mul(2) } else { count });
    }

    fn reply(&self, reply: &mut Reply<'_>, field: Field<'_>) {
        if self.with_values && reply.is_resp3() {
            reply.array(2);
        }
        reply_item(reply, field.name);
        if self.with_values {
            reply_item(reply, field.value);
        }
    }

    /// Fields each drawn from all, so that one may come more than once.
    fn repeated(&self, count: usize, rng: &mut fastrand::Rng, reply: &mut Reply<'_>) {
        self.begin(reply, count);
        // A listpack is walked to its items: with the places noted, once.
        let places: Vec<Field<'_>> = if self.hash.packed().is_some() || self.is_sparse() {
            self.hash.fields().filter(|field| field.is_live(self.as_of)).collect()
        } else {
            Vec::new()
        };
        for _ in 0..count {
            let field = match places.len() {
                0 => random_live(self.hash, self.as_of, rng).expect("there are some"),
                len => places[rng.usize(..len)],
            };
            self.reply(reply, field);
        }
    }

    /// Fields each of which comes once. `count` is no more than there are.
    fn distinct(&self, count: usize, rng: &mut fastrand::Rng, reply: &mut Reply<'_>) {
        self.begin(reply, count);
        if self.hash.packed().is_none() && !self.is_sparse() && count < self.live / 3 {
            let mut drawn = HashSet::with_capacity(count);
            while drawn.len() < count {
                let field = random_live(self.hash, self.as_of, rng).expect("there are some");
                if drawn.insert(field.name.to_bytes()) {
                    self.reply(reply, field);
                }
            }
            return;
        }
        // In one pass: each field with the chance that is left for it.
        let (mut wanted, mut left) = (count, self.live);
        for field in self.hash.fields().filter(|field| field.is_live(self.as_of)) {
            if rng.usize(..left) < wanted {
                self.reply(reply, field);
                wanted -= 1;
            }
            left -= 1;
        }
    }
}

/// A field that is there at `as_of`, each with the same chance; where next to none are, the first.
fn random_live<'h>(hash: &'h Hash, as_of: u64, rng: &mut fastrand::Rng) -> Option<Field<'h>> {
    const DRAWS_MAX: usize = 200;
    let mut draws = (0..DRAWS_MAX).map_while(|_| hash.random(rng));
    let drawn = draws.find(|field| field.is_live(as_of));
    drawn.or_else(|| hash.fields().find(|field| field.is_live(as_of)))
}

/// Some fields.
pub const COMMANDS: &[Command] = &[HSCAN, HRANDFIELD];
