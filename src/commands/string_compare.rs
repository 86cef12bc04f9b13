//! Strings that are compared before something happens to them: the conditions of SET and DELEX, DELIFEQ, DIGEST.
//!
//! A digest is the 64-bit XXH3 of the string, as 16 hexadecimal digits: what a client holds of a long value to find out
//! whether it is still that one.
//!
//! Source: Redis documentation, "DELEX", "DIGEST", "SET" (8.4); Valkey documentation, "DELIFEQ" (9.0).

use xxhash_rust::xxh3::xxh3_64;

use super::arguments::is;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::generic::delete;
use super::string_range::{string_at, string_bytes};
use crate::keyspace::{Access, KeyRef};
use crate::resp::{Args, CommandError, errors};

/// Digits of a digest.
const DIGEST_DIGITS: usize = 16;

/// What a string is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against<'a> {
    Value(&'a [u8]),
    Digest(u64),
}

/// A condition on the string at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    against: Against<'a>,
    /// They are to be equal, or to differ.
    equal: bool,
}

impl<'a> Condition<'a> {
    /// The condition that `word` and what stands behind it are; `None` if `word` begins none.
    ///
    /// # Errors
    /// There is nothing behind it, or no digest where one belongs.
    pub fn parse(word: &[u8], operand: Option<&'a [u8]>) -> Result<Option<Self>, CommandError> {
        let (digest, equal) = match word {
            _ if is(word, "IFEQ") => (false, true),
            _ if is(word, "IFNE") => (false, false),
            _ if is(word, "IFDEQ") => (true, true),
            _ if is(word, "IFDNE") => (true, false),
            _ => return Ok(None),
        };
        let operand = operand.ok_or(errors::SYNTAX)?;
        let against =
            if digest { Against::Digest(parse_digest(operand)?) } else { Against::Value(operand) };
        Ok(Some(Condition { against, equal }))
    }

    /// Whether the condition holds for a string. A missing one is equal to nothing.
    fn holds(self, value: Option<&[u8]>) -> bool {
        let are_equal = value.is_some_and(|value| match self.against {
            Against::Value(other) => value == other,
            Against::Digest(digest) => xxh3_64(value) == digest,
        });
        are_equal == self.equal
    }

    /// Whether the condition holds at `key`, in the client's database.
    ///
    /// # Errors
    /// `WRONGTYPE` where the key holds no string.
    pub(super) fn holds_at(
        self,
        ctx: &mut Context<'_>,
        key: &KeyRef<'_>,
    ) -> Result<bool, CommandError> {
        let db = ctx.client.db;
        let mut buffer = itoa::Buffer::new();
        let Some(entry) = ctx.state.keyspace.lookup(db, key, Access::WRITE) else {
            return Ok(self.holds(None));
        };
        let value = string_bytes(entry.value(), &mut buffer).ok_or(errors::WRONGTYPE)?;
        Ok(self.holds(Some(value)))
    }
}

fn parse_digest(digits: &[u8]) -> Result<u64, CommandError> {
    let are_digits = digits.len() == DIGEST_DIGITS && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| are_digits);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(CommandError::new("ERR must be exactly 16 hexadecimal characters"))
}

/// DIGEST key
const DIGEST: Command = Command {
    name: "digest",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    group: Group::String,
    since: "8.4.0",
    summary: "Returns the XXH3 digest of the string at a key.",
    complexity: "O(N) with N the length of the string",
    syntax: "key",
    run: digest,
    ..Command::DEFAULT
};

fn digest(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let mut buffer = itoa::Buffer::new();
    match string_at(ctx, &key, &mut buffer)?.map(xxh3_64) {
        Some(digest) => ctx.reply.bulk(format!("{digest:016x}").as_bytes()),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// DELEX key [condition]
const DELEX: Command = Command {
    name: "delex",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete, KeyFlag::VariableFlags])],
    group: Group::String,
    since: "8.4.0",
    summary: "Removes a key, on a condition that its string has to meet if one is given.",
    complexity: "O(N) with N the length of the string where its digest is asked for, else O(1)",
    syntax: "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
    run: delex,
    ..Command::DEFAULT
};

fn delex(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    match args.len() {
        2 => delete_if(ctx, &key, None),
        4 => {
            let condition = Condition::parse(&args[2], args.get(3))?.ok_or(CommandError::new(
                "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
            ))?;
            delete_if(ctx, &key, Some(condition))
        }
        _ => Err(errors::wrong_arity(&ctx.entry.full_name)),
    }
}

/// DELIFEQ key value
const DELIFEQ: Command = Command {
    name: "delifeq",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::String,
    since: "9.0.0",
    summary: "Removes a key if it holds just this string.",
    syntax: "key value",
    run: delifeq,
    ..Command::DEFAULT
};

fn delifeq(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let key = ctx.key(&args[1]);
    let condition = Condition { against: Against::Value(&args[2]), equal: true };
    delete_if(ctx, &key, Some(condition))
}

fn delete_if(
    ctx: &mut Context<'_>,
    key: &KeyRef<'_>,
    condition: Option<Condition<'_>>,
) -> CommandResult {
    let met = match condition {
        Some(condition) => condition.holds_at(ctx, key)?,
        None => true,
    };
    // A missing key meets IFNE and IFDNE, and is not there to be removed.
    let removed = met && delete(ctx, key);
    if removed {
        // Others remove what was removed here, whatever they hold.
        ctx.effect(&[b"DEL", key.bytes]);
    }
    ctx.reply.int(i64::from(removed));
    Ok(())
}

/// The commands of this file.
pub const COMMANDS: &[Command] = &[DIGEST, DELEX, DELIFEQ];
