//! Strings as bits: BITCOUNT and BITPOS, over ranges of bytes or of bits.

use super::arguments::{integer, is, range_of};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::string_range::{narrow, string_bytes, wide};
use crate::keyspace::Access;
use crate::resp::{Args, CommandError, errors};

/// A range as given: in bytes or in bits, from either end.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: i64,
    end: i64,
    in_bits: bool,
}

impl Range {
    const ALL: Range = Range { start: 0, end: -1, in_bits: false };

    /// The range of BITCOUNT. `None` if it is empty whatever the string: two numbers from the end in the wrong order, which
    /// past the start would both mean the start. What stands behind them is then not looked at.
    fn of_bitcount(args: Args<'_>) -> Result<Option<Range>, CommandError> {
        if args.len() == 2 {
            return Ok(Some(Range::ALL));
        }
        if !matches!(args.len(), 4 | 5) {
            return Err(errors::SYNTAX);
        }
        let (start, end) = (integer(&args[2])?, integer(&args[3])?);
        if start < 0 && end < 0 && start > end {
            return Ok(None);
        }
        let in_bits = args.get(4).map_or(Ok(false), unit_is_bit)?;
        Ok(Some(Range { start, end, in_bits }))
    }

    /// The range of BITPOS.
    fn of_bitpos(args: Args<'_>) -> Result<Range, CommandError> {
        if args.len() > 6 {
            return Err(errors::SYNTAX);
        }
        let mut range = Range::ALL;
        if let Some(start) = args.get(3) {
            range.start = integer(start)?;
        }
        if let Some(unit) = args.get(5) {
            range.in_bits = unit_is_bit(unit)?;
        }
        if let Some(end) = args.get(4) {
            range.end = integer(end)?;
        }
        Ok(range)
    }

    /// The first and the last bit of the range in a string of `bytes` bytes.
    fn bits(self, bytes: usize) -> Option<(u64, u64)> {
        let bytes = wide(bytes);
        if self.in_bits {
            return range_of(self.start, self.end, bytes * 8);
        }
        let (first, last) = range_of(self.start, self.end, bytes)?;
        Some((first * 8, last * 8 + 7))
    }
}

/// Whether the unit that `argument` names is the bit.
fn unit_is_bit(argument: &[u8]) -> Result<bool, CommandError> {
    if is(argument, "BIT") {
        Ok(true)
    } else if is(argument, "BYTE") {
        Ok(false)
    } else {
        Err(errors::SYNTAX)
    }
}

const BITCOUNT: Command = Command {
    name: "bitcount",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Bitmap,
    since: "2.6.0",
    summary: "Counts the bits that are set in the string at a key, or in a part of it.",
    complexity: "O(N) with N the length of the part",
    syntax: "key [start end [BYTE | BIT]]",
    run: bitcount,
    ..Command::DEFAULT
};

fn bitcount(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let mut buffer = itoa::Buffer::new();
    // A missing key is answered before the arguments behind it are looked at.
    let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::READ) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let bytes = string_bytes(entry.value(), &mut buffer).ok_or(errors::WRONGTYPE)?;
    let bits = Range::of_bitcount(args)?.and_then(|range| range.bits(bytes.len()));
    let count = bits.map_or(0, |(first, last)| count(bytes, first, last));
    ctx.reply.int(count.cast_signed());
    Ok(())
}

/// Of the byte that holds bit `first`, the bits from it on.
fn head_mask(first: u64) -> u8 {
    0xff >> (first & 7)
}

/// Of the byte that holds bit `last`, the bits up to it.
fn tail_mask(last: u64) -> u8 {
    0xff << (7 - (last & 7))
}

/// The bits set among bits `first ..= last`, which lie inside `bytes`.
fn count(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (head, tail) = (narrow(first >> 3), narrow(last >> 3));
    let whole = count_all(&bytes[head..=tail]);
    let before = bytes[head] & !head_mask(first);
    let behind = bytes[tail] & !tail_mask(last);
    whole - u64::from(before.count_ones() + behind.count_ones())
}

fn count_all(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

const BITPOS: Command = Command {
    name: "bitpos",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Bitmap,
    since: "2.8.7",
    summary: "Finds the first bit that is set, or clear, in the string at a key, or in a part of it.",
    complexity: "O(N) with N the length of the part",
    syntax: "key bit [start [end [BYTE | BIT]]]",
    run: bitpos,
    ..Command::DEFAULT
};

fn bitpos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let bit = match integer(&args[2])? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::new("ERR The bit argument must be 1 or 0.")),
    };
    let key = ctx.key(&args[1]);
    let db = ctx.client.db;
    let mut buffer = itoa::Buffer::new();
    let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::READ) else {
        // Endless zeros; the arguments behind the key are not looked at.
        ctx.reply.int(if bit { -1 } else { 0 });
        return Ok(());
    };
    let bytes = string_bytes(entry.value(), &mut buffer).ok_or(errors::WRONGTYPE)?;
    let range = Range::of_bitpos(args)?;
    let position = match range.bits(bytes.len()) {
        None => None,
        Some((first, last)) => match find(bytes, bit, first, last) {
            // Without an end, the string goes on with zeros.
            None if !bit && args.len() < 5 => Some(wide(bytes.len()) * 8),
            found => found,
        },
    };
    ctx.reply.int(position.map_or(-1, u64::cast_signed));
    Ok(())
}

/// The first bit that is `bit` among bits `first ..= last`, which lie inside `bytes`.
fn find(bytes: &[u8], bit: bool, first: u64, last: u64) -> Option<u64> {
    // With all bits turned over when a clear one is wanted, a set one is looked for.
    let flip = if bit { 0 } else { 0xff };
    let (head, tail) = (narrow(first >> 3), narrow(last >> 3));
    let start = (bytes[head] ^ flip) & head_mask(first);
    let (at, byte) = if start != 0 {
        (head, start)
    } else {
        let at = bytes[head + 1..=tail].iter().position(|&byte| byte ^ flip != 0)? + head + 1;
        (at, bytes[at] ^ flip)
    };
    let found = wide(at) * 8 + u64::from(byte.leading_zeros());
    (found <= last).then_some(found)
}

/// Counting and finding bits.
pub const COMMANDS: &[Command] = &[BITCOUNT, BITPOS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_agrees_with_bit_by_bit() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let pick = [0u8, 0xff, random.u8(..), random.u8(..)];
            let bytes: Vec<u8> =
                (0..random.usize(1..20)).map(|_| pick[random.usize(..4)]).collect();
            let set = |at: u64| bytes[narrow(at >> 3)] & (0x80 >> (at & 7)) != 0;
            let bits = wide(bytes.len()) * 8;
            for first in 0..bits {
                let last = random.u64(first..bits);
                let expected = (first..=last).filter(|&at| set(at)).count();
                assert_eq!(count(&bytes, first, last), wide(expected));
                for bit in [false, true] {
                    let expected = (first..=last).find(|&at| set(at) == bit);
                    assert_eq!(find(&bytes, bit, first, last), expected);
                }
            }
        }
    }
}
