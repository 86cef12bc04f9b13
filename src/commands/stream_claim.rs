//! Streams: pending entries that change their consumer, XCLAIM and XAUTOCLAIM.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{is, must_obey};
use super::collections::{Opened, read_and_write};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::stream_effects::Deliveries;
use super::stream_id::{next_id, parse_start, parse_strict_id, write_id};
use super::stream_pending::no_key_or_group;
use super::stream_range::write_entry;
use super::stream_read::seen;
use crate::config::special::KeyspaceEvents;
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError, Reply, errors, quoted};
use crate::types::{ConsumerNumber, MAX_ID, Pending, Stream};

const XCLAIM: Command = Command {
    name: "xclaim",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Gives pending entries to a consumer, as if they had been delivered to it.",
    complexity: "O(log(N)) for each id, with N the pending entries",
    syntax: "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
    tips: &["nondeterministic_output"],
    run: xclaim,
    ..Command::DEFAULT
};

const XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    since: "6.2.0",
    summary: "Gives pending entries that have been idle for long to a consumer, some at each call.",
    complexity: "O(1) if COUNT is small",
    syntax: "key group consumer min-idle-time start [COUNT count] [JUSTID]",
    run: xautoclaim,
    ..XCLAIM
};

/// How entries are claimed.
#[derive(Clone, Copy, Debug)]
struct Claim {
    idle_ms: i64,
    now_ms: i64,
    delivered_ms: i64,
    /// What the number of deliveries is set to, instead of being raised.
    deliveries: Option<u64>,
    /// Entries that are not pending are claimed, too.
    force: bool,
    /// Only ids are answered, and deliveries are not counted.
    just_id: bool,
    last_id: StreamId,
}

impl Claim {
    fn new(idle_ms: i64, now_ms: i64) -> Self {
        Self {
            idle_ms: idle_ms.max(0),
            now_ms,
            delivered_ms: now_ms,
            deliveries: None,
            force: false,
            just_id: false,
            last_id: StreamId::ZERO,
        }
    }

    /// Whether an entry has been idle long enough.
    fn takes(&self, pending: &Pending) -> bool {
        self.idle_ms == 0 || self.now_ms.wrapping_sub(pending.delivered_ms) >= self.idle_ms
    }
}

/// A number of an option, with an error of its own.
fn number(text: &[u8], what: &'static str) -> Result<i64, CommandError> {
    parse_i64(text)
        .ok_or_else(|| CommandError::owned(format!("ERR Invalid {what} argument for XCLAIM")))
}

/// The options behind the ids, from argument `at` on.
fn options(
    args: Args<'_>,
    mut at: usize,
    mut claim: Claim,
    obeys: bool,
) -> Result<Claim, CommandError> {
    let mut delivered_ms = None;
    while let Some(word) = args.get(at) {
        let value = args.get(at + 1);
        if is(word, "FORCE") {
            claim.force = true;
            at += 1;
            continue;
        }
        if is(word, "JUSTID") {
            claim.just_id = true;
            at += 1;
            continue;
        }
        match value {
            Some(value) if is(word, "IDLE") => {
                let idle_ms = number(value, "IDLE option")?;
                delivered_ms = Some(claim.now_ms.wrapping_sub(idle_ms));
            }
            Some(value) if is(word, "TIME") => {
                delivered_ms = Some(number(value, "TIME option")?);
            }
            Some(value) if is(word, "RETRYCOUNT") => {
                claim.deliveries = u64::try_from(number(value, "RETRYCOUNT option")?).ok();
            }
            Some(value) if is(word, "LASTID") => claim.last_id = parse_strict_id(value, 0)?,
            _ => {
                let word = quoted(word);
                return Err(CommandError::owned(format!(
                    "ERR Unrecognized XCLAIM option '{word}'"
                )));
            }
        }
        at += 2;
    }
    // Clients that reckon the time may be ahead of us: then it was now. What the log says is so.
    let latest_ms = if obeys { i64::MAX } else { claim.now_ms };
    let sane = delivered_ms.filter(|ms| (0..=latest_ms).contains(ms));
    claim.delivered_ms = sane.unwrap_or(claim.now_ms);
    Ok(claim)
}

fn xclaim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let (now_ms, obeys) = (ctx.now_ms().cast_signed(), must_obey(ctx));
    let stream =
        read_and_write::<Stream>(&mut ctx.state.keyspace, db, &key)?.map(Opened::unnoticed);
    let stream = stream.filter(|stream| stream.get().group(&args[2]).is_some());
    let mut stream = stream.ok_or_else(|| no_key_or_group(&args[1], &args[2]))?;
    let idle_ms = parse_i64(&args[4])
        .ok_or(CommandError::new("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let ids = args.iter_from(5).map_while(|text| parse_strict_id(text, 0).ok());
    let ids: Vec<StreamId> = ids.collect();
    let claim = options(args, 5 + ids.len(), Claim::new(idle_ms, now_ms), obeys)?;
    let mut deliveries = Deliveries::default();
    let group = stream.get().group(&args[2]);
    if group.is_some_and(|group| claim.last_id > group.last_id)
        && let Some((_, group)) = stream.get_mut().group_mut(&args[2])
    {
        group.last_id = claim.last_id;
        deliveries.read(group);
    }
    let consumer = seen(&mut stream, &args[2], &args[3], now_ms, &mut deliveries);
    let (position, mut count) = (ctx.reply.position(), 0);
    for id in ids {
        let claimed = claim_one(&mut stream, &args[2], consumer, id, &claim, &mut deliveries);
        if claimed == Claimed::Yes {
            answer(&mut ctx.reply, stream.get(), id, claim.just_id);
            count += 1;
        }
    }
    drop(stream);
    ctx.reply.array_before(position, count);
    // A claim says what the group has read, too.
    if deliveries.has_claims() {
        deliveries.forget_read();
    }
    finish(ctx, args, deliveries);
    Ok(())
}

/// What came of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claimed {
    Yes,
    /// It is not pending, or has not been idle for long.
    No,
    /// It is in the stream no more, and is pending no more.
    Gone,
}

/// Gives one entry to a consumer, if it may have it.
fn claim_one(
    stream: &mut Opened<'_, Stream>,
    group: &[u8],
    consumer: ConsumerNumber,
    id: StreamId,
    claim: &Claim,
    deliveries: &mut Deliveries,
) -> Claimed {
    let held = stream.get();
    let reading = held.group(group).expect("the caller has looked");
    let found = reading.pending_entry(id).copied();
    if held.entries.get(id).is_none() {
        let Some(pending) = found else { return Claimed::No };
        deliveries.claim(reading, id, &pending);
        let (_, reading) = stream.get_mut().group_mut(group).expect("the caller has looked");
        reading.acknowledge(id);
        return Claimed::Gone;
    }
    let before = match found {
        Some(pending) if claim.takes(&pending) => pending.deliveries,
        None if claim.force => 1,
        _ => return Claimed::No,
    };
    let mut pending = Pending {
        delivered_ms: claim.delivered_ms,
        deliveries: claim.deliveries.unwrap_or(before),
        consumer,
    };
    if claim.deliveries.is_none() && !claim.just_id {
        pending.raise();
    }
    let (_, reading) = stream.get_mut().group_mut(group).expect("the caller has looked");
    reading.deliver(id, pending);
    reading.consumer_mut(consumer).active_ms = Some(claim.now_ms);
    deliveries.claim(reading, id, &pending);
    Claimed::Yes
}

fn answer(reply: &mut Reply<'_>, stream: &Stream, id: StreamId, just_id: bool) {
    match stream.entries.get(id) {
        Some(entry) if !just_id => write_entry(reply, &entry),
        _ => write_id(reply, id),
    }
}

fn finish(ctx: &mut Context<'_>, args: Args<'_>, deliveries: Deliveries) {
    if deliveries.has_created() {
        ctx.notify(KeyspaceEvents::STREAM, "xgroup-createconsumer", &args[1]);
    }
    deliveries.log(ctx, &args[1], &args[2]);
}

/// The numbers of XAUTOCLAIM.
#[derive(Debug)]
struct Search {
    claim: Claim,
    start: StreamId,
    count: usize,
}

fn search(args: Args<'_>, now_ms: i64) -> Result<Search, CommandError> {
    const COUNT: usize = 100;
    let idle_ms = parse_i64(&args[4])
        .ok_or(CommandError::new("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let start = parse_start(&args[5])?;
    let mut search = Search { claim: Claim::new(idle_ms, now_ms), start, count: COUNT };
    let mut rest = args.iter_from(6).peekable();
    while let Some(word) = rest.next() {
        if is(word, "COUNT") && rest.peek().is_some() {
            search.count = count(rest.next().unwrap_or_default())?;
        } else if is(word, "JUSTID") {
            search.claim.just_id = true;
        } else {
            return Err(errors::SYNTAX);
        }
    }
    Ok(search)
}

/// The number behind COUNT.
fn count(text: &[u8]) -> Result<usize, CommandError> {
    /// So that what stock servers reckon with it stays within 64 bits.
    const MAX: i64 = i64::MAX / 16;
    let error = CommandError::new("ERR COUNT must be > 0");
    match parse_i64(text) {
        Some(count @ 1..=MAX) => usize::try_from(count).map_err(|_| error),
        _ => Err(error),
    }
}

fn xautoclaim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    /// Pending entries looked at for each that is to be answered.
    const LOOKS: usize = 10;
    /// Stock servers take room for so many ids, and no process has that much.
    const COUNT_ROOM: usize = (1 << 47) / 16;
    let now_ms = ctx.now_ms().cast_signed();
    let Search { claim, start, mut count } = search(args, now_ms)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let stream =
        read_and_write::<Stream>(&mut ctx.state.keyspace, db, &key)?.map(Opened::unnoticed);
    let stream = stream.filter(|stream| stream.get().group(&args[2]).is_some());
    let mut stream = stream.ok_or_else(|| no_key_or_group(&args[1], &args[2]))?;
    if count >= COUNT_ROOM {
        return Err(
            "ERR Insufficient memory, failed allocating transient memory, COUNT too high.".into()
        );
    }
    let mut deliveries = Deliveries::default();
    let consumer = seen(&mut stream, &args[2], &args[3], now_ms, &mut deliveries);
    let mut looks = count.saturating_mul(LOOKS);
    let (position, mut claimed, mut gone) = (ctx.reply.position(), 0, Vec::new());
    let mut cursor = Some(start);
    let next = |stream: &Opened<'_, Stream>, cursor: Option<StreamId>| {
        let group = stream.get().group(&args[2])?;
        group.pending(cursor?, MAX_ID).next().map(|(id, _)| id)
    };
    while looks > 0 && count > 0 {
        let Some(id) = next(&stream, cursor) else { break };
        looks -= 1;
        cursor = next_id(id);
        match claim_one(&mut stream, &args[2], consumer, id, &claim, &mut deliveries) {
            Claimed::Yes => {
                answer(&mut ctx.reply, stream.get(), id, claim.just_id);
                claimed += 1;
            }
            Claimed::No => continue,
            Claimed::Gone => gone.push(id),
        }
        count -= 1;
    }
    let rest = next(&stream, cursor).unwrap_or(StreamId::ZERO);
    drop(stream);
    ctx.reply.array_before(position, claimed);
    let entries_end = ctx.reply.position();
    write_id(&mut ctx.reply, rest);
    ctx.reply.swap_behind(position, entries_end);
    ctx.reply.array(gone.len());
    gone.into_iter().for_each(|id| write_id(&mut ctx.reply, id));
    ctx.reply.array_before(position, 3);
    finish(ctx, args, deliveries);
    Ok(())
}

/// The part of the family that claims.
pub const COMMANDS: &[Command] = &[XCLAIM, XAUTOCLAIM];
