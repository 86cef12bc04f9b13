//! Lists: where items are.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::arguments::{integer, integer_in, is};
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::resp::{Args, CommandError, errors};
use crate::types::listpack::Needle;
use crate::types::{End, List};

const LPOS: Command = Command {
    name: "lpos",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::List,
    since: "6.0.6",
    summary: "Returns the indexes of items that equal a given one.",
    complexity: "O(N) with N the number of items looked at",
    syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    run: lpos,
    ..Command::DEFAULT
};

/// What LPOS is told.
struct Options {
    from: End,
    /// Which match is the first that counts, from 1.
    rank: u64,
    /// How many to return; 0: all. `None`: one, not as an array.
    count: Option<u64>,
    /// How many items to look at.
    looks_max: u64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        const RANK_ZERO: CommandError = CommandError::new(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
        );
        const RANK_RANGE: CommandError = CommandError::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        );
        const COUNT: CommandError = CommandError::new("ERR COUNT can't be negative");
        const MAXLEN: CommandError = CommandError::new("ERR MAXLEN can't be negative");
        let natural = |bytes: &[u8], error: CommandError| match integer(bytes) {
            Ok(number) => u64::try_from(number).map_err(|_| error),
            Err(_) => Err(error),
        };
        let mut options = Self { from: End::Head, rank: 1, count: None, looks_max: u64::MAX };
        let mut words = args.iter_from(3);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(errors::SYNTAX)?;
            if is(word, "RANK") {
                let rank = integer_in(value, -i64::MAX..=i64::MAX, RANK_RANGE)?;
                if rank == 0 {
                    return Err(RANK_ZERO);
                }
                options.from = if rank < 0 { End::Tail } else { End::Head };
                options.rank = rank.unsigned_abs();
            } else if is(word, "COUNT") {
                options.count = Some(natural(value, COUNT)?);
            } else if is(word, "MAXLEN") {
                options.looks_max = match natural(value, MAXLEN)? {
                    0 => u64::MAX,
                    looks_max => looks_max,
                };
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(options)
    }

    /// The indexes of the items of `list` that are `needle`, in the order of the search.
    fn search(&self, list: &List, needle: &[u8]) -> SmallVec<[usize; 16]> {
        let (needle, len) = (Needle::new(needle), list.len());
        let wanted = match self.count {
            None => 1,
            Some(0) => u64::MAX,
            Some(count) => count,
        };
        let (mut found, mut looks, mut matches) = (SmallVec::new(), 0, 0);
        let mut number = 0;
        list.walk(self.from, 0, |item| {
            if item.is(&needle) {
                matches += 1;
                if matches >= self.rank {
                    found.push(if self.from == End::Head { number } else { len - 1 - number });
                }
            }
            number += 1;
            looks += 1;
            let enough = looks >= self.looks_max || found.len() as u64 >= wanted;
            if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }
}

fn lpos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args)?;
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let list = read::<List>(&mut ctx.state.keyspace, db, &key)?;
    let found = list.map(|list| options.search(list, &args[2])).unwrap_or_default();
    if options.count.is_some() {
        ctx.reply.array(found.len());
        found.iter().for_each(|index| ctx.reply.len(*index));
    } else if let Some(index) = found.first() {
        ctx.reply.len(*index);
    } else {
        ctx.reply.nil();
    }
    Ok(())
}

/// Finding items.
pub const COMMANDS: &[Command] = &[LPOS];
