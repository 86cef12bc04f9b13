//! LCS: the longest common subsequence of two strings.

use super::arguments::{integer, is, string_bytes_max};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, keys};
use super::context::Context;
use super::string_range::wide;
use crate::keyspace::Access;
use crate::resp::{Args, CommandError, Reply, errors};

const LCS: Command = Command {
    name: "lcs",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[keys(1, 2, 1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::String,
    since: "7.0.0",
    summary: "Finds the longest sequence of bytes that two strings have in common, in order but not always side by side.",
    complexity: "O(N*M) with N and M the lengths of the strings",
    syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    run: lcs,
    ..Command::DEFAULT
};

#[derive(Debug, Default)]
struct Options {
    /// Only the length.
    length: bool,
    /// Where the matches lie, instead of their bytes.
    ranges: bool,
    /// With each match its length.
    with_length: bool,
    /// Shorter matches are left out.
    length_min: usize,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut rest = args.iter_from(3);
        while let Some(argument) = rest.next() {
            if is(argument, "IDX") {
                options.ranges = true;
            } else if is(argument, "LEN") {
                options.length = true;
            } else if is(argument, "WITHMATCHLEN") {
                options.with_length = true;
            } else if is(argument, "MINMATCHLEN") {
                let number = integer(rest.next().ok_or(errors::SYNTAX)?)?;
                options.length_min = usize::try_from(number).unwrap_or(0);
            } else {
                return Err(errors::SYNTAX);
            }
        }
        if options.ranges && options.length {
            return Err(CommandError::new(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let a = string_copy(ctx, &args[1]);
    let b = string_copy(ctx, &args[2]);
    let (Some(a), Some(b)) = (a, b) else {
        return Err(CommandError::new("ERR The specified keys must contain string values"));
    };
    let options = Options::parse(args)?;
    let cells = (wide(a.len()) + 1).checked_mul(wide(b.len()) + 1);
    let bytes = cells.and_then(|cells| cells.checked_mul(4));
    if bytes.is_none_or(|bytes| bytes > string_bytes_max(ctx)) {
        return Err(CommandError::new(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let table = Table::new(&a, &b);
    if options.ranges {
        reply_ranges(&mut ctx.reply, &table, &options);
    } else if options.length {
        ctx.reply.len(table.length());
    } else {
        let mut common = Vec::with_capacity(table.length());
        table.walk_back(|i, _| common.push(a[i]));
        common.reverse();
        ctx.reply.bulk(&common);
    }
    Ok(())
}

/// A copy of the string at a key, empty where there is none; `None` if the value is no string.
fn string_copy(ctx: &mut Context<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let key = ctx.key(key);
    let db = ctx.client.db;
    match ctx.state.keyspace.lookup(db, &key, Access::READ) {
        None => Some(Vec::new()),
        Some(entry) => Some(entry.value().to_string_bytes()?.into_owned()),
    }
}

/// For each pair of prefixes of two strings, the length of their longest common subsequence.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    /// Row by row, one row for each prefix of `a`, the empty one first.
    lengths: Vec<u32>,
}

impl<'a> Table<'a> {
    /// The caller has checked that the table may be that large.
    fn new(a: &'a [u8], b: &'a [u8]) -> Table<'a> {
        let width = b.len() + 1;
        let mut lengths = vec![0; (a.len() + 1) * width];
        for (i, byte) in a.iter().enumerate() {
            let (above, row) = lengths[i * width..].split_at_mut(width);
            for (j, other) in b.iter().enumerate() {
                row[j + 1] = if byte == other { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Table { a, b, lengths }
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * (self.b.len() + 1) + j]
    }

    fn length(&self) -> usize {
        usize::try_from(self.at(self.a.len(), self.b.len())).expect("a length in memory")
    }

    /// Visits the positions in `a` and `b` of each byte of the subsequence, the last byte first. Of several subsequences it
    /// is the one found by going back in `b` where going back in `a` is no better, as clients of stock servers know it.
    fn walk_back(&self, mut visit: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                visit(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    /// The subsequence as runs of bytes that lie side by side in both strings, the last run first: where each begins in `a`
    /// and in `b`, and its length.
    fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        self.walk_back(|i, j| match runs.last_mut() {
            Some((first_i, first_j, length)) if *first_i == i + 1 && *first_j == j + 1 => {
                (*first_i, *first_j, *length) = (i, j, *length + 1);
            }
            _ => runs.push((i, j, 1)),
        });
        runs
    }
}

fn reply_ranges(reply: &mut Reply<'_>, table: &Table<'_>, options: &Options) {
    let mut runs = table.runs();
    runs.retain(|&(_, _, length)| length >= options.length_min);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(runs.len());
    for (i, j, length) in runs {
        reply.array(2 + usize::from(options.with_length));
        for first in [i, j] {
            reply.array(2);
            reply.len(first);
            reply.len(first + length - 1);
        }
        if options.with_length {
            reply.len(length);
        }
    }
    reply.bulk(b"len");
    reply.len(table.length());
}

/// The longest common subsequence.
pub const COMMANDS: &[Command] = &[LCS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_last_first() {
        let table = Table::new(b"ohmytext", b"mynewtext");
        assert_eq!(table.length(), 6);
        assert_eq!(table.runs(), [(4, 5, 4), (2, 0, 2)]);
        assert_eq!(Table::new(b"", b"abc").runs(), []);
    }
}
