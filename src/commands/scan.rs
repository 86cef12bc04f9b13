//! Looking through all keys: KEYS and SCAN.

use super::arguments::integer;
use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use super::generic::type_name;
use crate::glob;
use crate::keyspace::Entry;
use crate::resp::{Args, CommandError, Reply, errors};

/// Keys a step of SCAN looks at unless COUNT says otherwise.
const COUNT_DEFAULT: usize = 10;

/// Replies of keys whose number is known only at the end.
struct Found {
    resp3: bool,
    bytes: Vec<u8>,
    count: usize,
}

impl Found {
    fn new(reply: &Reply<'_>) -> Self {
        Self { resp3: reply.is_resp3(), bytes: Vec::new(), count: 0 }
    }

    fn add(&mut self, entry: &Entry) {
        Reply::new(&mut self.bytes, self.resp3).bulk(entry.key());
        self.count += 1;
    }

    fn write(self, reply: &mut Reply<'_>) {
        reply.array(self.count);
        reply.raw(&self.bytes);
    }
}

const KEYS: Command = Command {
    name: "keys",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly],
    categories: &["keyspace", "dangerous"],
    summary: "Answers all keys whose names match a pattern.",
    complexity: "O(N) with N the keys in the database",
    syntax: "pattern",
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    run: keys,
    ..Command::DEFAULT
};

fn keys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, pattern) = (ctx.db(), &args[1]);
    let mut found = Found::new(&ctx.reply);
    // One step without a bound sees everything.
    ctx.state.keyspace.scan(db, 0, usize::MAX, |entry| {
        if pattern == b"*" || glob::matches(pattern, entry.key()) {
            found.add(entry);
        }
    });
    found.write(&mut ctx.reply);
    Ok(())
}

const SCAN: Command = Command {
    name: "scan",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly],
    categories: &["keyspace"],
    since: "2.8.0",
    summary: "Answers some keys and the cursor with which to go on.",
    complexity: "O(1) for each step, O(N) for all, with N the keys in the database",
    syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    run: scan,
    ..Command::DEFAULT
};

fn scan(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.db();
    let cursor = cursor(&args[1])?;
    let options = ScanOptions::parse(args.iter_from(2), true)?;
    let mut found = Found::new(&ctx.reply);
    let next = ctx.state.keyspace.scan(db, cursor, options.count, |entry| {
        if options.wants(entry) {
            found.add(entry);
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    found.write(&mut ctx.reply);
    Ok(())
}

/// What SCAN and those who scan a collection look for.
pub(super) struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    /// How many elements a step looks at.
    pub(super) count: usize,
}

impl<'a> ScanOptions<'a> {
    /// The options behind the cursor; TYPE where there are keys.
    ///
    /// # Errors
    /// An option that there is not, or without its value; a count that is no number above zero.
    pub(super) fn parse(
        mut rest: impl Iterator<Item = &'a [u8]>,
        of_keys: bool,
    ) -> Result<Self, CommandError> {
        let mut options = Self { pattern: None, type_name: None, count: COUNT_DEFAULT };
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or(errors::SYNTAX)?;
            match word.to_ascii_lowercase().as_slice() {
                b"count" => {
                    let count = integer(value)?;
                    let count = usize::try_from(count).ok().filter(|&count| count > 0);
                    options.count = count.ok_or(errors::SYNTAX)?;
                }
                b"match" => options.pattern = (value != b"*").then_some(value),
                b"type" if of_keys => options.type_name = Some(value),
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(options)
    }

    /// Whether `name` matches the pattern, if there is one.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.matches(entry.key())
            && self
                .type_name
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name(entry).as_bytes()))
    }
}

/// A cursor.
///
/// # Errors
/// `invalid cursor`.
pub(super) fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    parse_cursor(text).ok_or(CommandError::new("ERR invalid cursor"))
}

/// A cursor as clients may write it: decimal digits with an optional sign (a minus counts down from 2^64, as in C),
/// or nothing at all, which is 0.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let cursor = digits.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { cursor.wrapping_neg() } else { cursor })
}

/// The family.
pub const COMMANDS: &[Command] = &[KEYS, SCAN];
