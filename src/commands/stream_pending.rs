//! Streams: what was delivered and not acknowledged, XACK and XPENDING.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{integer, is};
use super::collections::{Opened, read, read_and_write};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::stream_id::{parse_end, parse_start, parse_strict_id, write_id};
use super::stream_range::limit;
use crate::resp::{Args, CommandError, Reply, errors, quoted};
use crate::types::{Group as ReadingGroup, Pending, Stream};

const XACK: Command = Command {
    name: "xack",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Acknowledges entries delivered to a group; answers how many were pending.",
    complexity: "O(log(N)) for each id, with N the pending entries",
    syntax: "key group id [id ...]",
    run: xack,
    ..Command::DEFAULT
};

fn xack(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let has_group = |stream: &Opened<'_, Stream>| stream.get().group(&args[2]).is_some();
    let Some(mut stream) = read_and_write::<Stream>(&mut ctx.state.keyspace, db, &key)?
        .filter(has_group)
        .map(Opened::unnoticed)
    else {
        ctx.reply.int(0);
        return Ok(());
    };
    for text in args.iter_from(3) {
        parse_strict_id(text, 0)?;
    }
    let mut acknowledged = 0;
    for text in args.iter_from(3) {
        let id = parse_strict_id(text, 0)?;
        let group = stream.get().group(&args[2]);
        if group.is_some_and(|group| group.pending_entry(id).is_some())
            && let Some((_, group)) = stream.get_mut().group_mut(&args[2])
        {
            acknowledged += usize::from(group.acknowledge(id));
        }
    }
    drop(stream);
    ctx.count_changes(acknowledged);
    ctx.reply.len(acknowledged);
    Ok(())
}

const XPENDING: Command = Command {
    name: "xpending",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Readonly],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Answers what a group has delivered and nobody has acknowledged: a summary, or the entries of an interval.",
    complexity: "O(log(N)+M) with N the pending entries and M those looked at; O(C) for the summary, with C the consumers",
    syntax: "key group [[IDLE min-idle-time] start end count [consumer]]",
    tips: &["nondeterministic_output"],
    run: xpending,
    ..Command::DEFAULT
};

/// The interval that is asked for.
#[derive(Debug)]
struct Interval<'a> {
    idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

/// `NOGROUP No such key 'key' or consumer group 'group'`.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (quoted(key), quoted(group));
    CommandError::owned(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

fn interval(args: Args<'_>) -> Result<Option<Interval<'_>>, CommandError> {
    if args.len() == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(errors::SYNTAX);
    }
    let (mut at, mut idle_ms) = (3, 0);
    if is(&args[3], "IDLE") {
        idle_ms = integer(&args[4])?;
        if args.len() < 8 {
            return Err(errors::SYNTAX);
        }
        at = 5;
    }
    let count = u64::try_from(integer(&args[at + 2])?).unwrap_or(0);
    let (start, end) = (parse_start(&args[at])?, parse_end(&args[at + 1])?);
    let consumer = args.get(at + 3);
    Ok(Some(Interval { idle_ms, start, end, count: limit(count), consumer }))
}

fn xpending(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let interval = interval(args)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let now_ms = ctx.now_ms().cast_signed();
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    let group = stream.and_then(|stream| stream.group(&args[2]));
    let group = group.ok_or_else(|| no_key_or_group(&args[1], &args[2]))?;
    match interval {
        None => summary(&mut ctx.reply, group),
        Some(interval) => entries(&mut ctx.reply, group, &interval, now_ms),
    }
    Ok(())
}

fn summary(reply: &mut Reply<'_>, group: &ReadingGroup) {
    reply.array(4);
    reply.len(group.pending_len());
    let Some((first, last)) = group.pending_ends() else {
        reply.nil();
        reply.nil();
        reply.nil_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, last);
    let (position, mut count) = (reply.position(), 0);
    for consumer in group.consumers().filter(|consumer| consumer.pending_len() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(i64::try_from(consumer.pending_len()).unwrap_or(i64::MAX));
        count += 1;
    }
    reply.array_before(position, count);
}

fn entries(reply: &mut Reply<'_>, group: &ReadingGroup, interval: &Interval<'_>, now_ms: i64) {
    let (start, end) = (interval.start, interval.end);
    let position = reply.position();
    let count = match interval.consumer {
        None => write_pending(reply, group, interval, now_ms, group.pending(start, end)),
        Some(name) => group.consumer_number(name).map_or(0, |number| {
            let ids = group.consumer(number).pending(start, end);
            let pending = ids.filter_map(|id| Some((id, group.pending_entry(id)?)));
            write_pending(reply, group, interval, now_ms, pending)
        }),
    };
    reply.array_before(position, count);
}

/// Answers pending entries, one array each; returns how many there were.
fn write_pending<'g>(
    reply: &mut Reply<'_>,
    group: &ReadingGroup,
    interval: &Interval<'_>,
    now_ms: i64,
    entries: impl Iterator<Item = (StreamId, &'g Pending)>,
) -> usize {
    let mut count = 0;
    for (id, pending) in entries {
        if count >= interval.count {
            break;
        }
        let idle_ms = now_ms.wrapping_sub(pending.delivered_ms);
        if interval.idle_ms != 0 && idle_ms < interval.idle_ms {
            continue;
        }
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(idle_ms.max(0));
        reply.int(pending.deliveries.cast_signed());
        count += 1;
    }
    count
}

/// The part of the family about pending entries.
pub const COMMANDS: &[Command] = &[XACK, XPENDING];
