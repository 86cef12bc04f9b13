//! Streams: XREAD and XREADGROUP.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{integer, is};
use super::blocking::{self, Empty, timeout_ms, wait_for_keys};
use super::collections::{Opened, read, read_and_write};
use super::command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec};
use super::context::Context;
use super::stream_effects::Deliveries;
use super::stream_id::{IdText, next_id, parse_strict_id, write_id};
use super::stream_range::{limit, write_entries, write_entry};
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, CommandError, Reply, errors, quoted};
use crate::types::{ConsumerNumber, Entries, MAX_ID, Pending, Stream};

const XREAD: Command = Command {
    name: "xread",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Readonly, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec {
        find: Find::HalfBehind { word: "STREAMS", from: 1 },
        flags: &[KeyFlag::Ro, KeyFlag::Access],
    }],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Answers the entries of several streams that are above given ids; may wait for some.",
    complexity: "O(M) with M the entries answered",
    syntax: "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
    run: xread,
    ..Command::DEFAULT
};

const XREADGROUP: Command = Command {
    name: "xreadgroup",
    arity: Arity::AtLeast(7),
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec {
        find: Find::HalfBehind { word: "STREAMS", from: 4 },
        flags: &[KeyFlag::Ro, KeyFlag::Access],
    }],
    summary: "Delivers entries of several streams that their group has not read to a consumer, or answers what it has not acknowledged; may wait.",
    complexity: "O(M) with M the entries answered",
    syntax: "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
    run: xreadgroup,
    ..XREAD
};

/// The options of a request.
#[derive(Debug)]
struct Options {
    /// How long to wait: milliseconds since 1970, 0 for ever.
    until_ms: Option<u64>,
    count: usize,
    /// Index of the group's name; the consumer's follows.
    group_at: Option<usize>,
    no_ack: bool,
    /// Index of the first key, and how many there are.
    keys_at: usize,
    keys: usize,
}

/// From where entries of a stream are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Those above an id; of a group's consumer, those not acknowledged.
    Above(StreamId),
    /// Those that the group has not read (`>`).
    New,
}

fn parse(ctx: &Context<'_>, args: Args<'_>, with_group: bool) -> Result<Options, CommandError> {
    let mut options = Options {
        until_ms: None,
        count: usize::MAX,
        group_at: None,
        no_ack: false,
        keys_at: 0,
        keys: 0,
    };
    let mut at = 1;
    while let Some(word) = args.get(at) {
        let more = args.len() - at - 1;
        if is(word, "BLOCK") && more > 0 {
            at += 1;
            options.until_ms = Some(timeout_ms(ctx, &args[at])?);
        } else if is(word, "COUNT") && more > 0 {
            at += 1;
            let count = u64::try_from(integer(&args[at])?).unwrap_or(0);
            options.count = if count == 0 { usize::MAX } else { limit(count) };
        } else if is(word, "STREAMS") && more > 0 {
            if !more.is_multiple_of(2) {
                return Err(unbalanced(with_group));
            }
            (options.keys_at, options.keys) = (at + 1, more / 2);
            break;
        } else if is(word, "GROUP") && more >= 2 {
            if !with_group {
                return Err("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.".into());
            }
            options.group_at = Some(at + 1);
            at += 2;
        } else if is(word, "NOACK") {
            if !with_group {
                return Err("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.".into());
            }
            options.no_ack = true;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 1;
    }
    if options.keys == 0 {
        return Err(errors::SYNTAX);
    }
    if with_group && options.group_at.is_none() {
        return Err("ERR Missing GROUP option for XREADGROUP".into());
    }
    Ok(options)
}

fn unbalanced(with_group: bool) -> CommandError {
    let (name, symbol) = if with_group { ("xreadgroup", '>') } else { ("xread", '$') };
    CommandError::owned(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    ))
}

/// Waits where there was nothing, if the request wants that; otherwise answers that there is nothing.
fn nothing(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    options: &Options,
    resolved: &[(usize, IdText)],
    wanted: blocking::Wanted,
) -> CommandResult {
    let Some(until_ms) = options.until_ms else {
        ctx.reply.nil_array();
        return Ok(());
    };
    let mut request: Vec<&[u8]> = args.iter().collect();
    for (at, id) in resolved {
        request[*at] = id.as_bytes();
    }
    let keys = options.keys_at..options.keys_at + options.keys;
    wait_for_keys(ctx, &request, keys, until_ms, Empty::NilArray, wanted)
}

/// Answers the name of a stream, in front of its entries. In RESP3 they form a map.
fn begin_stream(reply: &mut Reply<'_>, key: &[u8]) {
    if !reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(key);
}

fn end_streams(reply: &mut Reply<'_>, position: usize, streams: usize) {
    if reply.is_resp3() {
        reply.map_before(position, streams);
    } else {
        reply.array_before(position, streams);
    }
}

/// Entries above `id`.
fn above(entries: &Entries, id: StreamId) -> impl Iterator<Item = crate::types::Entry<'_>> {
    next_id(id).into_iter().flat_map(|start| entries.range(start, MAX_ID))
}

fn xread(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = parse(ctx, args, false)?;
    let db = ctx.db();
    let mut starts = Vec::with_capacity(options.keys);
    let mut resolved = Vec::new();
    for at in options.keys_at..options.keys_at + options.keys {
        let (key, id_at) = (ctx.key(&args[at]), at + options.keys);
        let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?;
        starts.push(match &args[id_at] {
            b"$" => {
                let last = stream.map_or(StreamId::ZERO, |stream| stream.entries.last_id);
                resolved.push((id_at, IdText::new(last)));
                last
            }
            b">" => {
                return Err("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.".into());
            }
            text => parse_strict_id(text, 0)?,
        });
    }
    let position = ctx.reply.position();
    let mut served = 0;
    for (at, id) in (options.keys_at..).zip(starts.iter().copied()) {
        let key = ctx.key(&args[at]);
        let Some(stream) = read::<Stream>(&mut ctx.state.keyspace, db, &key)? else { continue };
        let mut entries = above(&stream.entries, id).take(options.count).peekable();
        if entries.peek().is_some() {
            served += 1;
            begin_stream(&mut ctx.reply, &args[at]);
            write_entries(&mut ctx.reply, entries);
        }
    }
    if served == 0 {
        let wanted = blocking::Wanted::Entries(starts.into());
        return nothing(ctx, args, &options, &resolved, wanted);
    }
    end_streams(&mut ctx.reply, position, served);
    Ok(())
}

/// Who reads, and how.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    count: usize,
    no_ack: bool,
    now_ms: i64,
}

fn xreadgroup(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = parse(ctx, args, true)?;
    let group_at = options.group_at.unwrap_or_default();
    let reader = Reader {
        group: &args[group_at],
        consumer: &args[group_at + 1],
        count: options.count,
        no_ack: options.no_ack,
        now_ms: ctx.now_ms().cast_signed(),
    };
    let mut wanted = Vec::with_capacity(options.keys);
    for at in options.keys_at..options.keys_at + options.keys {
        wanted.push(wanted_of(ctx, &args[at], reader.group, &args[at + options.keys])?);
    }
    ctx.no_effect();
    let (position, db) = (ctx.reply.position(), ctx.db());
    let mut served = 0;
    for (at, wanted) in (options.keys_at..).zip(wanted) {
        let key = ctx.key(&args[at]);
        let stream = read_and_write::<Stream>(&mut ctx.state.keyspace, db, &key)?;
        let Some(mut stream) = stream.map(Opened::unnoticed) else {
            continue;
        };
        let mut deliveries = Deliveries::default();
        let number =
            seen(&mut stream, reader.group, reader.consumer, reader.now_ms, &mut deliveries);
        let before = ctx.reply.position();
        begin_stream(&mut ctx.reply, &args[at]);
        let is_served = match wanted {
            Wanted::New => deliver(&mut stream, reader, number, &mut ctx.reply, &mut deliveries),
            Wanted::Above(id) => {
                repeat(&mut stream, reader, number, id, &mut ctx.reply, &mut deliveries);
                true
            }
        };
        drop(stream);
        if is_served {
            served += 1;
        } else {
            ctx.reply.truncate(before);
        }
        if deliveries.has_created() {
            ctx.notify(KeyspaceEvents::STREAM, "xgroup-createconsumer", &args[at]);
        }
        deliveries.log(ctx, &args[at], reader.group);
    }
    if served == 0 {
        let wanted = blocking::Wanted::Group { name_at: group_at };
        return nothing(ctx, args, &options, &[], wanted);
    }
    end_streams(&mut ctx.reply, position, served);
    Ok(())
}

/// What an id of XREADGROUP asks for.
///
/// # Errors
/// The stream or its group is missing, or the id is none.
fn wanted_of(
    ctx: &mut Context<'_>,
    key: &[u8],
    group: &[u8],
    id: &[u8],
) -> Result<Wanted, CommandError> {
    let (db, key_ref) = (ctx.db(), ctx.key(key));
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key_ref)?;
    if stream.and_then(|stream| stream.group(group)).is_none() {
        let (key, group) = (quoted(key), quoted(group));
        return Err(CommandError::owned(format!(
            "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
        )));
    }
    match id {
        b"$" => Err("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.".into()),
        b">" => Ok(Wanted::New),
        // Nothing can be above the highest id; it is what `>` stands for.
        text => parse_strict_id(text, 0)
            .map(|id| if id == MAX_ID { Wanted::New } else { Wanted::Above(id) }),
    }
}

/// The consumer, which is made if it is missing; it counts as seen now.
pub(super) fn seen(
    stream: &mut Opened<'_, Stream>,
    group: &[u8],
    consumer: &[u8],
    now_ms: i64,
    deliveries: &mut Deliveries,
) -> ConsumerNumber {
    let found = stream.get().group(group).expect("the caller has looked");
    if let Some(number) = found.consumer_number(consumer) {
        found.consumer(number).note_seen(now_ms);
        return number;
    }
    let (_, group) = stream.get_mut().group_mut(group).expect("the caller has looked");
    let number = group.create_consumer(consumer, now_ms).expect("it is missing");
    deliveries.create(group.consumer(number).name());
    number
}

/// Delivers what the group has not read. False, and nothing happens, if there is nothing.
fn deliver(
    stream: &mut Opened<'_, Stream>,
    reader: Reader<'_>,
    consumer: ConsumerNumber,
    reply: &mut Reply<'_>,
    deliveries: &mut Deliveries,
) -> bool {
    let held = stream.get();
    let last = held.group(reader.group).map_or(MAX_ID, |group| group.last_id);
    if above(&held.entries, last).next().is_none() {
        return false;
    }
    let found = stream.get_mut().group_mut(reader.group);
    let (entries, group) = found.expect("the caller has looked");
    let (position, mut count) = (reply.position(), 0);
    for entry in above(entries, last).take(reader.count) {
        group.note_read(entry.id, entries);
        write_entry(reply, &entry);
        count += 1;
        if !reader.no_ack {
            let pending = Pending { delivered_ms: reader.now_ms, deliveries: 1, consumer };
            group.deliver(entry.id, pending);
            deliveries.claim(group, entry.id, &pending);
        }
    }
    reply.array_before(position, count);
    if !reader.no_ack {
        group.consumer_mut(consumer).active_ms = Some(reader.now_ms);
    }
    deliveries.read(group);
    true
}

/// Answers what was delivered to the consumer and not acknowledged, once more. What was deleted meanwhile is answered
/// without fields.
fn repeat(
    stream: &mut Opened<'_, Stream>,
    reader: Reader<'_>,
    consumer: ConsumerNumber,
    after: StreamId,
    reply: &mut Reply<'_>,
    deliveries: &mut Deliveries,
) {
    deliveries.repeat();
    let (position, mut count) = (reply.position(), 0);
    let mut start = next_id(after);
    while count < reader.count {
        let held = stream.get();
        let group = held.group(reader.group).expect("the caller has looked");
        let next = start.and_then(|start| group.consumer(consumer).pending(start, MAX_ID).next());
        let Some(id) = next else { break };
        start = next_id(id);
        count += 1;
        let Some(entry) = held.entries.get(id) else {
            reply.array(2);
            write_id(reply, id);
            reply.nil_array();
            continue;
        };
        write_entry(reply, &entry);
        let (_, group) = stream.get_mut().group_mut(reader.group).expect("the caller has looked");
        let mut pending = *group.pending_entry(id).expect("its consumer has it");
        pending.delivered_ms = reader.now_ms;
        pending.raise();
        group.deliver(id, pending);
        deliveries.claim(group, id, &pending);
    }
    reply.array_before(position, count);
}

/// The part of the family that reads what is new.
pub const COMMANDS: &[Command] = &[XREAD, XREADGROUP];
