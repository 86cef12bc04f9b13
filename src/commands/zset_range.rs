//! Sorted sets: parts of them. ZRANGE and its older forms, and ZRANGESTORE.

use super::arguments::is;
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use super::zset::{OF_ZSETS, READ_KEY, tell, write_elements};
use super::zset_bounds::{By, Part, Window, by};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Ttl, Value};
use crate::resp::{Args, CommandError, errors};
use crate::types::{Object, Zset};

/// What an older form says by its name, and ZRANGE by options.
#[derive(Clone, Copy, Debug)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

/// A request of the family.
#[derive(Debug)]
struct Request<'a> {
    part: Part<'a>,
    reverse: bool,
    window: Window,
    with_scores: bool,
}

impl<'a> Request<'a> {
    /// Reads the ends at `at` and `at + 1`, and the options behind.
    fn parse(form: Form, args: Args<'a>, at: usize) -> Result<Self, CommandError> {
        let Form { by: mut kind, mut reverse, stores } = form;
        let (mut window, mut with_scores) = (Window::ALL, false);
        let mut next = at + 2;
        while let Some(word) = args.get(next) {
            next += 1;
            if !stores && is(word, "WITHSCORES") {
                with_scores = true;
            } else if is(word, "LIMIT") && next + 1 < args.len() {
                window = Window::parse(&args[next], &args[next + 1])?;
                next += 2;
            } else if form.reverse.is_none() && reverse.is_none() && is(word, "REV") {
                reverse = Some(true);
            } else if form.by.is_none() && kind.is_none() && by(word).is_some() {
                kind = by(word);
            } else {
                return Err(errors::SYNTAX);
            }
        }
        let (kind, reverse) = (kind.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if kind == By::Rank && window.count != -1 {
            let text = "ERR syntax error, LIMIT is only supported in combination with either \
                        BYSCORE or BYLEX";
            return Err(text.into());
        }
        if kind == By::Lex && with_scores {
            let text = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
            return Err(text.into());
        }
        // Backwards the higher end is named first.
        let swapped = reverse && kind != By::Rank;
        let (start, end) = if swapped { (at + 1, at) } else { (at, at + 1) };
        let ends = |index: usize| args.get(index).ok_or(errors::SYNTAX);
        let part = Part::parse(kind, ends(start)?, ends(end)?)?;
        if kind == By::Rank {
            window = Window::ALL;
        }
        Ok(Request { part, reverse, window, with_scores })
    }

    fn ranks(&self, zset: &Zset) -> std::ops::Range<usize> {
        self.window.of(self.part.ranks(zset, self.reverse), self.reverse)
    }
}

fn range(ctx: &mut Context<'_>, args: Args<'_>, form: Form) -> CommandResult {
    let request = Request::parse(form, args, 2)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(zset) = read::<Zset>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let elements = zset.range(request.ranks(zset), request.reverse);
    write_elements(&mut ctx.reply, elements, request.with_scores);
    Ok(())
}

const COST: &str = "O(log(N)+M) with N the members there are and M those that are returned";

const ZRANGE: Command = Command {
    name: "zrange",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Readonly],
    keys: READ_KEY,
    since: "1.2.0",
    summary: "Returns members of a sorted set from one rank, score or member to another.",
    complexity: COST,
    syntax: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    run: |ctx, args| range(ctx, args, Form { by: None, reverse: None, stores: false }),
    ..OF_ZSETS
};

const ZREVRANGE: Command = Command {
    name: "zrevrange",
    summary: "Returns members of a sorted set from one rank to another, highest first.",
    syntax: "key start stop [WITHSCORES]",
    run: |ctx, args| {
        range(ctx, args, Form { by: Some(By::Rank), reverse: Some(true), stores: false })
    },
    ..ZRANGE
};

const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    since: "1.0.5",
    summary: "Returns members of a sorted set from one score to another.",
    syntax: "key min max [WITHSCORES] [LIMIT offset count]",
    run: |ctx, args| {
        range(ctx, args, Form { by: Some(By::Score), reverse: Some(false), stores: false })
    },
    ..ZRANGE
};

const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    since: "2.2.0",
    summary: "Returns members of a sorted set from one score down to another.",
    syntax: "key max min [WITHSCORES] [LIMIT offset count]",
    run: |ctx, args| {
        range(ctx, args, Form { by: Some(By::Score), reverse: Some(true), stores: false })
    },
    ..ZRANGE
};

const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    since: "2.8.9",
    summary: "Returns members from one to another in a sorted set whose scores are equal.",
    syntax: "key min max [LIMIT offset count]",
    run: |ctx, args| {
        range(ctx, args, Form { by: Some(By::Lex), reverse: Some(false), stores: false })
    },
    ..ZRANGE
};

const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    since: "2.8.9",
    summary: "Returns members from one back to another in a sorted set whose scores are equal.",
    syntax: "key max min [LIMIT offset count]",
    run: |ctx, args| {
        range(ctx, args, Form { by: Some(By::Lex), reverse: Some(true), stores: false })
    },
    ..ZRANGE
};

const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update]), key(2, &[KeyFlag::Ro, KeyFlag::Access])],
    since: "6.2.0",
    summary: "Stores members of a sorted set from one rank, score or member to another at a key.",
    complexity: "O(log(N)+M) with N the members there are and M those that are stored",
    syntax: "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
    run: zrangestore,
    ..OF_ZSETS
};

fn zrangestore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let request = Request::parse(Form { by: None, reverse: None, stores: true }, args, 3)?;
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let limits = ctx.state.keyspace.settings.limits;
    let found = read::<Zset>(&mut ctx.state.keyspace, db, &key)?;
    let elements = found.map(|zset| zset.range(request.ranks(zset), false).collect::<Vec<_>>());
    let result = Zset::of_ordered(&elements.unwrap_or_default(), &limits);
    store(ctx, &args[1], result, "zrangestore");
    Ok(())
}

/// Puts a result at a key and answers its size; an empty result removes the key.
pub(super) fn store(ctx: &mut Context<'_>, target: &[u8], result: Zset, event: &str) {
    let (db, key, len) = (ctx.db(), ctx.key(target), result.len());
    if len > 0 {
        ctx.state.keyspace.insert(db, &key, Value::Object(Object::Zset(result)), Ttl::Clear);
        tell(ctx, event, target, false);
    } else if ctx.state.keyspace.remove(db, &key) {
        ctx.notify(KeyspaceEvents::GENERIC, "del", target);
    }
    ctx.reply.len(len);
}

/// ZRANGE and its older forms.
pub const COMMANDS: &[Command] =
    &[ZRANGE, ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZRANGEBYLEX, ZREVRANGEBYLEX, ZRANGESTORE];
