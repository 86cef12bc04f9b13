//! Strings as bits: SETBIT, GETBIT, BITOP. Bit 0 is the highest of the first byte.

use super::arguments::{is, must_obey};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key, keys};
use super::context::Context;
use super::string_range::{insert_raw, narrow, string_at, string_bytes, string_entry};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::Access;
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};

/// A bit offset whose byte lies below `proto-max-bulk-len`.
///
/// # Errors
/// `bit offset is not an integer or out of range`.
pub(super) fn bit_offset(ctx: &Context<'_>, bytes: &[u8]) -> Result<u64, CommandError> {
    let offset = parse_i64(bytes).and_then(|offset| u64::try_from(offset).ok());
    check_bit_offset(ctx, offset)
}

/// Refuses an offset that could not be read, or that lies behind the largest string.
pub(super) fn check_bit_offset(
    ctx: &Context<'_>,
    offset: Option<u64>,
) -> Result<u64, CommandError> {
    let bytes_max = ctx.state.config.proto_max_bulk_len;
    offset.filter(|offset| offset >> 3 < bytes_max || must_obey(ctx)).ok_or(errors::BIT_OFFSET)
}

const SETBIT: Command = Command {
    name: "setbit",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update])],
    group: Group::Bitmap,
    since: "2.2.0",
    summary: "Sets or clears a bit of the string at a key and returns what it was.",
    syntax: "key offset value",
    run: setbit,
    ..Command::DEFAULT
};

fn setbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = bit_offset(ctx, &args[2])?;
    let on = match parse_i64(&args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(CommandError::new("ERR bit is not an integer or out of range")),
    };
    let key = ctx.key(&args[1]);
    let (at, mask) = (narrow(offset >> 3), 0x80u8 >> (offset & 7));
    let (mut before, mut changed) = (false, true);
    if let Some((mut entry, length)) = string_entry(ctx, &key)? {
        let mut buffer = itoa::Buffer::new();
        let bytes = string_bytes(entry.value(), &mut buffer).expect("a string");
        before = bytes.get(at).is_some_and(|byte| byte & mask != 0);
        // A bit that stays what it is changes nothing, so nothing is logged either.
        changed = before != on || at >= length;
        if changed {
            let bytes = entry.string_mut().expect("a string");
            if at >= length {
                bytes.resize(at + 1, 0);
            }
            bytes[at] = if on { bytes[at] | mask } else { bytes[at] & !mask };
        }
    } else {
        let mut bytes = vec![0; at + 1];
        bytes[at] = if on { mask } else { 0 };
        insert_raw(ctx, &key, bytes);
    }
    if changed {
        ctx.notify(KeyspaceEvents::STRING, "setbit", key.bytes);
    }
    ctx.reply.int(i64::from(before));
    Ok(())
}

const GETBIT: Command = Command {
    name: "getbit",
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Bitmap,
    since: "2.2.0",
    summary: "Returns a bit of the string at a key; bits behind its end are 0.",
    syntax: "key offset",
    run: getbit,
    ..Command::DEFAULT
};

fn getbit(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = bit_offset(ctx, &args[2])?;
    let key = ctx.key(&args[1]);
    let mut buffer = itoa::Buffer::new();
    let bytes = string_at(ctx, &key, &mut buffer)?.unwrap_or_default();
    let byte = usize::try_from(offset >> 3).ok().and_then(|at| bytes.get(at));
    let bit = byte.is_some_and(|byte| byte & (0x80 >> (offset & 7)) != 0);
    ctx.reply.int(i64::from(bit));
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn of(argument: &[u8]) -> Option<Operation> {
        const ALL: [(&str, Operation); 4] = [
            ("AND", Operation::And),
            ("OR", Operation::Or),
            ("XOR", Operation::Xor),
            ("NOT", Operation::Not),
        ];
        ALL.into_iter().find(|(name, _)| is(argument, name)).map(|(_, operation)| operation)
    }

    /// Works `source` into `result`; behind its end, `source` counts as zeros.
    fn apply(self, result: &mut [u8], source: &[u8]) {
        let (both, rest) = result.split_at_mut(source.len().min(result.len()));
        for (byte, other) in both.iter_mut().zip(source) {
            match self {
                Operation::And => *byte &= other,
                Operation::Or => *byte |= other,
                Operation::Xor => *byte ^= other,
                Operation::Not => *byte = !other,
            }
        }
        if self == Operation::And {
            rest.fill(0);
        }
    }
}

const BITOP: Command = Command {
    name: "bitop",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[
        key(2, &[KeyFlag::Ow, KeyFlag::Update]),
        keys(3, -1, 1, &[KeyFlag::Ro, KeyFlag::Access]),
    ],
    group: Group::Bitmap,
    since: "2.6.0",
    summary: "Combines strings bit by bit and stores the result at another key.",
    complexity: "O(N) with N the length of the longest string, for each of them",
    syntax: "<AND | OR | XOR | NOT> destkey key [key ...]",
    run: bitop,
    ..Command::DEFAULT
};

fn bitop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operation = Operation::of(&args[1]).ok_or(errors::SYNTAX)?;
    if operation == Operation::Not && args.len() != 4 {
        return Err(CommandError::new("ERR BITOP NOT must be called with a single source key."));
    }
    let mut longest = 0;
    for bytes in args.iter_from(3) {
        let key = ctx.key(bytes);
        let mut buffer = itoa::Buffer::new();
        longest = longest.max(string_at(ctx, &key, &mut buffer)?.map_or(0, <[u8]>::len));
    }
    let target = ctx.key(&args[2]);
    let db = ctx.client.db;
    if longest == 0 {
        if ctx.state.keyspace.remove(db, &target) {
            ctx.notify(KeyspaceEvents::GENERIC, "del", target.bytes);
        }
        ctx.reply.int(0);
        return Ok(());
    }
    let result = combine(ctx, operation, args, longest);
    insert_raw(ctx, &target, result);
    ctx.notify(KeyspaceEvents::STRING, "set", target.bytes);
    ctx.reply.len(longest);
    Ok(())
}

/// The result of the operation on the strings at the keys from index 3 on, all of which are strings of at most `longest`
/// bytes, or missing.
fn combine(ctx: &mut Context<'_>, operation: Operation, args: Args<'_>, longest: usize) -> Vec<u8> {
    let mut result = Vec::with_capacity(longest);
    let db = ctx.client.db;
    for (index, bytes) in args.iter_from(3).enumerate() {
        let key = ctx.key(bytes);
        let mut buffer = itoa::Buffer::new();
        let entry = ctx.state.keyspace.lookup(db, &key, Access::PEEK);
        let source = entry.and_then(|entry| string_bytes(entry.value(), &mut buffer));
        let source = source.unwrap_or_default();
        if index == 0 && operation != Operation::Not {
            result.extend_from_slice(source);
            result.resize(longest, 0);
        } else {
            result.resize(longest, 0);
            operation.apply(&mut result, source);
        }
    }
    result
}

/// Setting, reading and combining bits.
pub const COMMANDS: &[Command] = &[SETBIT, GETBIT, BITOP];
