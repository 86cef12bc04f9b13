//! BITFIELD and BITFIELD_RO: integers of any width at any bit of a string.

use super::arguments::{integer, is};
use super::bitmap::{bit_offset, check_bit_offset};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::string_range::{insert_raw, narrow, string_at, string_bytes, string_entry};
use crate::config::special::KeyspaceEvents;
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};

/// A type of integers: `u1` to `u63`, `i1` to `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Type {
    signed: bool,
    bits: u32,
}

impl Type {
    fn parse(text: &[u8]) -> Result<Type, CommandError> {
        let parsed = match text {
            [b'i', bits @ ..] => parse_i64(bits).map(|bits| (true, bits, 64)),
            [b'u', bits @ ..] => parse_i64(bits).map(|bits| (false, bits, 63)),
            _ => None,
        };
        match parsed {
            Some((signed, bits, max)) if (1..=max).contains(&bits) => {
                Ok(Type { signed, bits: u32::try_from(bits).expect("at most 64") })
            }
            _ => Err(CommandError::new(
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
            )),
        }
    }

    fn min(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The value whose lowest bits are `bits`.
    fn value_of(self, bits: u64) -> i128 {
        let value = i128::from(bits) & ((1 << self.bits) - 1);
        if self.signed && value > self.max() { value - (1 << self.bits) } else { value }
    }

    /// `value`, which may lie outside of the type, brought into it; `None` if it lies outside and must not.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        if (self.min()..=self.max()).contains(&value) {
            return Some(value);
        }
        match overflow {
            Overflow::Wrap => Some(self.value_of(low_bits(value))),
            Overflow::Saturate => Some(value.clamp(self.min(), self.max())),
            Overflow::Fail => None,
        }
    }
}

/// The lowest 64 bits of `value`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "that is what it is for"
)]
fn low_bits(value: i128) -> u64 {
    value as u64
}

/// What a write does that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Overflow {
    fn parse(text: &[u8]) -> Result<Overflow, CommandError> {
        const ALL: [(&str, Overflow); 3] =
            [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
        let found = ALL.into_iter().find(|(name, _)| is(text, name)).map(|(_, overflow)| overflow);
        found.ok_or(CommandError::new("ERR Invalid OVERFLOW type specified"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One operation on one field.
#[derive(Debug, Clone, Copy)]
struct Operation {
    action: Action,
    field: Type,
    /// Its first bit.
    offset: u64,
    overflow: Overflow,
}

impl Operation {
    /// Bytes a string must have to hold the field.
    fn end(&self) -> usize {
        narrow((self.offset + u64::from(self.field.bits)).div_ceil(8))
    }
}

const BITFIELD: Command = Command {
    name: "bitfield",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags])],
    group: Group::Bitmap,
    since: "3.2.0",
    summary: "Reads and changes integers of any width inside the string at a key.",
    complexity: "O(1) for each operation",
    syntax: "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment> ...]]",
    run: bitfield,
    ..Command::DEFAULT
};

const BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    since: "6.0.0",
    summary: "Reads integers of any width inside the string at a key.",
    syntax: "key [GET encoding offset [GET encoding offset ...]]",
    run: bitfield_ro,
    ..BITFIELD
};

fn bitfield(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operations = parse(ctx, args)?;
    if operations.iter().all(|operation| operation.action == Action::Get) {
        return read(ctx, args, &operations);
    }
    write(ctx, args, &operations)
}

fn bitfield_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let operations = parse(ctx, args)?;
    if operations.iter().any(|operation| operation.action != Action::Get) {
        return Err(CommandError::new("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(ctx, args, &operations)
}

fn parse(ctx: &Context<'_>, args: Args<'_>) -> Result<Vec<Operation>, CommandError> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut index = 2;
    while let Some(name) = args.get(index) {
        let left = args.len() - index - 1;
        if is(name, "OVERFLOW") && left >= 1 {
            overflow = Overflow::parse(&args[index + 1])?;
            index += 2;
            continue;
        }
        let wants_value = match name {
            name if is(name, "GET") && left >= 2 => None,
            name if is(name, "SET") && left >= 3 => Some(false),
            name if is(name, "INCRBY") && left >= 3 => Some(true),
            _ => return Err(errors::SYNTAX),
        };
        let field = Type::parse(&args[index + 1])?;
        let offset = field_offset(ctx, &args[index + 2], field)?;
        let action = match wants_value {
            None => Action::Get,
            Some(adds) => {
                let value = integer(&args[index + 3])?;
                if adds { Action::Add(value) } else { Action::Set(value) }
            }
        };
        index += if action == Action::Get { 3 } else { 4 };
        operations.push(Operation { action, field, offset, overflow });
    }
    Ok(operations)
}

/// An offset in bits, or, behind a `#`, in fields.
fn field_offset(ctx: &Context<'_>, text: &[u8], field: Type) -> Result<u64, CommandError> {
    let Some(number) = text.strip_prefix(b"#") else {
        return bit_offset(ctx, text);
    };
    let number = parse_i64(number).and_then(|number| u64::try_from(number).ok());
    let offset = number.and_then(|number| number.checked_mul(u64::from(field.bits)));
    check_bit_offset(ctx, offset.filter(|&offset| offset <= i64::MAX.cast_unsigned()))
}

fn read(ctx: &mut Context<'_>, args: Args<'_>, operations: &[Operation]) -> CommandResult {
    let key = ctx.key(&args[1]);
    let mut buffer = itoa::Buffer::new();
    let bytes = string_at(ctx, &key, &mut buffer)?.unwrap_or_default();
    let values: Vec<i128> = operations.iter().map(|operation| get(bytes, operation)).collect();
    ctx.reply.array(values.len());
    for value in values {
        ctx.reply.int(reply_of(value));
    }
    Ok(())
}

/// All fields are at most 64 bits wide, unsigned ones at most 63.
fn reply_of(value: i128) -> i64 {
    i64::try_from(value).expect("the types are made so that their values fit")
}

fn write(ctx: &mut Context<'_>, args: Args<'_>, operations: &[Operation]) -> CommandResult {
    let key = ctx.key(&args[1]);
    let writes = operations.iter().filter(|operation| operation.action != Action::Get);
    let length = writes.map(Operation::end).max().unwrap_or(0);
    let mut replies = Vec::with_capacity(operations.len());
    let mut changed = true;
    if let Some((mut entry, before)) = string_entry(ctx, &key)? {
        let mut buffer = itoa::Buffer::new();
        let bytes = string_bytes(entry.value(), &mut buffer).expect("a string");
        let idle = leading_idle(bytes, operations, &mut replies);
        // Fields that stay what they are change nothing, so nothing is logged either.
        changed = idle < operations.len() || before < length;
        if changed {
            let bytes = entry.string_mut().expect("a string");
            if before < length {
                bytes.resize(length, 0);
            }
            let rest = &operations[idle..];
            replies.extend(rest.iter().map(|operation| apply(bytes, operation)));
        }
    } else {
        let mut bytes = vec![0; length];
        replies.extend(operations.iter().map(|operation| apply(&mut bytes, operation)));
        insert_raw(ctx, &key, bytes);
    }
    // A string that has only grown, since no field took its new value, is no news in stock servers either.
    let took = |(operation, reply): (&Operation, &Option<i128>)| {
        operation.action != Action::Get && reply.is_some()
    };
    let taken = operations.iter().zip(&replies).filter(|pair| took(*pair)).count();
    if changed && taken > 0 {
        ctx.count_changes(taken);
        ctx.notify(KeyspaceEvents::STRING, "setbit", key.bytes);
    }
    ctx.reply.array(replies.len());
    for reply in replies {
        match reply {
            Some(value) => ctx.reply.int(reply_of(value)),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// How many operations there are in front of the first that changes a bit. Their replies are added to `replies`.
fn leading_idle(bytes: &[u8], operations: &[Operation], replies: &mut Vec<Option<i128>>) -> usize {
    for (index, operation) in operations.iter().enumerate() {
        let step = step(bytes, operation);
        if step.store.is_some() {
            return index;
        }
        replies.push(step.reply);
    }
    operations.len()
}

/// What an operation does.
struct Step {
    /// What the client is told; nothing where the value does not fit and FAIL was asked for.
    reply: Option<i128>,
    /// The value to be stored, where it is another one.
    store: Option<i128>,
}

fn step(bytes: &[u8], operation: &Operation) -> Step {
    let Operation { field, overflow, .. } = *operation;
    let before = get(bytes, operation);
    let after = match operation.action {
        Action::Get => return Step { reply: Some(before), store: None },
        Action::Add(number) => field.fit(before + i128::from(number), overflow),
        Action::Set(number) if field.signed => field.fit(i128::from(number), overflow),
        // A negative number for an unsigned field counts as one far too large.
        Action::Set(number) => field.fit(i128::from(number.cast_unsigned()), overflow),
    };
    let reply = match operation.action {
        Action::Add(_) => after,
        _ => after.map(|_| before),
    };
    Step { reply, store: after.filter(|&after| after != before) }
}

fn apply(bytes: &mut [u8], operation: &Operation) -> Option<i128> {
    let step = step(bytes, operation);
    if let Some(value) = step.store {
        put(bytes, operation, value);
    }
    step.reply
}

/// The value of a field; what lies behind the string counts as zeros.
fn get(bytes: &[u8], operation: &Operation) -> i128 {
    let bits = (0..u64::from(operation.field.bits)).fold(0u64, |bits, index| {
        let at = operation.offset + index;
        let byte = usize::try_from(at >> 3).ok().and_then(|at| bytes.get(at)).copied();
        bits << 1 | u64::from(byte.unwrap_or(0) >> (7 - (at & 7)) & 1)
    });
    operation.field.value_of(bits)
}

/// Stores a value of the field's type in a string that is long enough.
fn put(bytes: &mut [u8], operation: &Operation, value: i128) {
    let value = low_bits(value);
    for index in 0..u64::from(operation.field.bits) {
        let at = operation.offset + index;
        let bit = value >> (u64::from(operation.field.bits) - 1 - index) & 1 == 1;
        let mask = 0x80 >> (at & 7);
        let byte = &mut bytes[narrow(at >> 3)];
        *byte = if bit { *byte | mask } else { *byte & !mask };
    }
}

/// Integers inside strings.
pub const COMMANDS: &[Command] = &[BITFIELD, BITFIELD_RO];
