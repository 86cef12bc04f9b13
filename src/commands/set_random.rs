//! Sets: members picked at random. SPOP, SRANDMEMBER.

use super::arguments::integer_in;
use super::collections::{read, read_and_write, write};
use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use super::set::{OF_SETS, tell};
use crate::keyspace::KeyRef;
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, errors};
use crate::types::{Member, Set, member_bytes};

/// Members in one SREM that tells the log what SPOP took, as in stock.
const EFFECT_MEMBERS_MAX: usize = 1024;

/// Members of one reply of SRANDMEMBER with repetitions: some gigabyte of the shortest ones. Stock goes on until its memory
/// ends.
const REPEATED_MEMBERS_MAX: i64 = 1 << 27;

/// Byte strings in one allocation.
#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    fn push(&mut self, member: Member<'_>) {
        self.bytes.extend_from_slice(member_bytes(member, &mut itoa::Buffer::new()));
        self.ends.push(self.bytes.len());
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

const SPOP: Command = Command {
    name: "spop",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    summary: "Removes members picked at random from a set and returns them.",
    complexity: "O(N) with N the members asked for",
    syntax: "key [count]",
    tips: &["nondeterministic_output"],
    run: spop,
    ..OF_SETS
};

fn spop(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match args.len() {
        2 => spop_one(ctx, args),
        3 => spop_count(ctx, args),
        _ => Err(errors::SYNTAX),
    }
}

fn spop_one(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let mut random = ctx.state.keyspace.fork_random();
    let Some(mut opened) = write::<Set>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.nil();
        return Ok(());
    };
    let member = opened.get_mut().pop(&mut random).expect("a set at a key has members");
    let gone = opened.close(Set::is_empty);
    ctx.effect(&[b"SREM", &args[1], &member]);
    tell(ctx, "spop", &args[1], gone);
    ctx.reply.bulk(&member);
    Ok(())
}

fn spop_count(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let count = parse_i64(&args[2]).and_then(|count| usize::try_from(count).ok());
    let not_positive = CommandError::new("ERR value is out of range, must be positive");
    let count = count.ok_or(not_positive)?;
    let mut random = ctx.state.keyspace.fork_random();
    let limits = ctx.state.keyspace.settings.limits;
    let Some(mut opened) = write::<Set>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.set(0);
        return Ok(());
    };
    if count == 0 {
        ctx.reply.set(0);
        return Ok(());
    }
    let len = opened.get().len();
    if count >= len {
        drop(opened);
        return spop_all(ctx, &key);
    }
    let mut popped = Strings::default();
    opened.get_mut().take(count, &mut random, &limits, |member| popped.push(member));
    drop(opened);
    ctx.reply.set(count);
    (0..count).for_each(|index| ctx.reply.bulk(popped.get(index)));
    ctx.no_effect();
    for start in (0..count).step_by(EFFECT_MEMBERS_MAX) {
        let end = count.min(start + EFFECT_MEMBERS_MAX);
        ctx.state.keyspace.effects.push_with(db, 2 + end - start, |effect| {
            effect.arg(b"SREM");
            effect.arg(&args[1]);
            (start..end).for_each(|index| effect.arg(popped.get(index)));
        });
    }
    ctx.count_changes(count);
    tell(ctx, "spop", &args[1], false);
    Ok(())
}

/// Answers all members and removes the key.
fn spop_all(ctx: &mut Context<'_>, key: &KeyRef<'_>) -> CommandResult {
    let db = ctx.db();
    let opened = read_and_write::<Set>(&mut ctx.state.keyspace, db, key)?.expect("it was there");
    let len = opened.get().len();
    ctx.reply.set(len);
    let mut buffer = itoa::Buffer::new();
    opened.get().iter().for_each(|member| ctx.reply.bulk(member_bytes(member, &mut buffer)));
    opened.close(|_| true);
    let removal: &[u8] = if ctx.state.config.lazyfree_lazy_server_del { b"UNLINK" } else { b"DEL" };
    ctx.effect(&[removal, key.bytes]);
    ctx.count_changes(len);
    tell(ctx, "spop", key.bytes, true);
    Ok(())
}

const SRANDMEMBER: Command = Command {
    name: "srandmember",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    summary: "Returns members picked at random; a negative count allows repetitions.",
    complexity: "O(N) with N the members asked for",
    syntax: "key [count]",
    tips: &["nondeterministic_output"],
    run: srandmember,
    ..OF_SETS
};

fn srandmember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match args.len() {
        2 => srandmember_one(ctx, args),
        3 => srandmember_count(ctx, args),
        _ => Err(errors::SYNTAX),
    }
}

fn srandmember_one(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let mut random = ctx.state.keyspace.fork_random();
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    let mut buffer = itoa::Buffer::new();
    let member = set.and_then(|set| set.random(&mut random));
    ctx.reply.bulk_or_nil(member.map(|member| member_bytes(member, &mut buffer)));
    Ok(())
}

fn srandmember_count(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const OUT_OF_RANGE: CommandError = CommandError::new(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let count = integer_in(&args[2], -i64::MAX..=i64::MAX, OUT_OF_RANGE)?;
    let mut random = ctx.state.keyspace.fork_random();
    let set = read::<Set>(&mut ctx.state.keyspace, db, &key)?;
    let Some(set) = set.filter(|_| count != 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let mut buffer = itoa::Buffer::new();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count > 0 {
        ctx.reply.array(wanted.min(set.len()));
        set.sample(wanted, &mut random, |member| {
            ctx.reply.bulk(member_bytes(member, &mut buffer));
        });
    } else if count < -REPEATED_MEMBERS_MAX {
        return Err(CommandError::new("ERR value is out of range"));
    } else {
        ctx.reply.array(wanted);
        for _ in 0..wanted {
            let member = set.random(&mut random).expect("a set at a key has members");
            ctx.reply.bulk(member_bytes(member, &mut buffer));
        }
    }
    Ok(())
}

/// Picking members at random.
pub const COMMANDS: &[Command] = &[SPOP, SRANDMEMBER];
