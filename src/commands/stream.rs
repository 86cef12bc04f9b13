//! Streams: adding entries and taking them away.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{integer, is, must_obey};
use super::collections::{read, write, write_or_begin};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::stream_id::{GivenId, IdText, next_id, parse_strict_id, write_id};
use super::stream_trim::{Options, exact_threshold, parse as parse_options};
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, CommandError, errors};
use crate::types::{Entries, MAX_ID, Refused, Stream, Trim};

const ID_NOT_ABOVE: CommandError = CommandError::new(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::IdNotAbove => ID_NOT_ABOVE,
            Refused::TooLarge => CommandError::new("ERR Elements are too large to be stored"),
        }
    }
}

const XADD: Command = Command {
    name: "xadd",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Adds an entry to a stream, and may trim the stream.",
    complexity: "O(1) for the entry, O(N) with N the entries trimmed",
    syntax: "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
    tips: &["nondeterministic_output"],
    run: xadd,
    ..Command::DEFAULT
};

fn xadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = parse_options(ctx, args, true)?;
    let fields_at = options.id_at + 1;
    let items = args.len().saturating_sub(fields_at);
    if items < 2 || !items.is_multiple_of(2) {
        return Err(errors::wrong_arity("xadd"));
    }
    if options.id == Some(GivenId::Whole(StreamId::ZERO)) {
        return Err("ERR The ID specified in XADD must be greater than 0-0".into());
    }
    let fields = (fields_at..args.len()).map(move |at| args.get(at).unwrap_or_default());
    let (db, now_ms, key) = (ctx.db(), ctx.now_ms(), ctx.key(&args[1]));
    let limits = ctx.state.keyspace.settings.limits;
    if options.no_stream && write::<Stream>(&mut ctx.state.keyspace, db, &key)?.is_none() {
        ctx.reply.nil();
        return Ok(());
    }
    let accept = |entries: &Entries| -> Result<_, CommandError> {
        let id = new_id(options.id, entries.last_id, now_ms)?;
        Ok((id, entries.accept(id, fields.clone())?))
    };
    let mut stream = write_or_begin::<Stream>(&mut ctx.state.keyspace, db, &key, || {
        accept(&Entries::default()).map(drop)
    })?;
    let (id, accepted) = accept(&stream.get().entries)?;
    let entries = &mut stream.get_mut().entries;
    entries.push_accepted(accepted, fields, &limits);
    let trimmed = options.trim.map_or(0, |(trim, _)| entries.trim(&trim));
    let threshold = inexact(&options).map(|trim| exact_threshold(trim.keep, entries));
    drop(stream);
    write_id(&mut ctx.reply, id);
    ctx.notify(KeyspaceEvents::STREAM, "xadd", &args[1]);
    if trimmed > 0 {
        ctx.notify(KeyspaceEvents::STREAM, "xtrim", &args[1]);
    }
    let is_whole = matches!(options.id, Some(GivenId::Whole(_)));
    if !is_whole || threshold.is_some() {
        let text = IdText::new(id);
        let id = (options.id_at, text.as_bytes());
        log_exactly(ctx, args, (!is_whole).then_some(id), &options, threshold.as_deref());
    }
    Ok(())
}

/// The id of an entry to be added.
fn new_id(given: Option<GivenId>, last: StreamId, now_ms: u64) -> Result<StreamId, CommandError> {
    if last == MAX_ID {
        return Err(
            "ERR The stream has exhausted the last possible ID, unable to add more items".into()
        );
    }
    match given {
        Some(GivenId::Whole(id)) => Ok(id),
        Some(GivenId::Millis(ms)) if ms == last.ms => {
            let seq = last.seq.checked_add(1).ok_or(ID_NOT_ABOVE)?;
            Ok(StreamId::new(ms, seq))
        }
        Some(GivenId::Millis(ms)) => Ok(StreamId::new(ms, 0)),
        None if now_ms > last.ms => Ok(StreamId::new(now_ms, 0)),
        None => next_id(last).ok_or(ID_NOT_ABOVE),
    }
}

/// The trimming, if what goes depends on how the entries lie.
fn inexact(options: &Options) -> Option<&Trim> {
    options.trim.as_ref().map(|(trim, _)| trim).filter(|trim| trim.whole_nodes)
}

/// The request goes to the log with the id that was chosen, and with the trimming as exact as it turned out.
fn log_exactly(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    id: Option<(usize, &[u8])>,
    options: &Options,
    threshold: Option<&[u8]>,
) {
    let trim = threshold.zip(options.trim.as_ref().map(|(_, at)| *at));
    let db = ctx.db();
    ctx.no_effect();
    ctx.state.keyspace.effects.push_with(db, args.len(), |writer| {
        for (at, word) in args.iter().enumerate() {
            writer.arg(match (id, trim) {
                (Some((own, id)), _) if own == at => id,
                (_, Some((threshold, own))) if own == at => threshold,
                (_, Some((_, own))) if own == at + 1 => b"=",
                _ => word,
            });
        }
    });
}

const XTRIM: Command = Command {
    name: "xtrim",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Removes the oldest entries of a stream.",
    complexity: "O(N) with N the entries removed",
    syntax: "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
    tips: &["nondeterministic_output"],
    run: xtrim,
    ..Command::DEFAULT
};

fn xtrim(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = parse_options(ctx, args, false)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let stream = write::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    let (Some(mut stream), Some((trim, _))) = (stream, options.trim) else {
        ctx.reply.int(0);
        return Ok(());
    };
    if !stream.get().entries.trims(&trim) {
        ctx.reply.int(0);
        return Ok(());
    }
    let entries = &mut stream.get_mut().entries;
    let removed = entries.trim(&trim);
    let threshold = inexact(&options).map(|trim| exact_threshold(trim.keep, entries));
    drop(stream);
    ctx.count_changes(usize::try_from(removed).unwrap_or(usize::MAX));
    ctx.reply.int(i64::try_from(removed).unwrap_or(i64::MAX));
    if removed > 0 {
        ctx.notify(KeyspaceEvents::STREAM, "xtrim", &args[1]);
    }
    if threshold.is_some() {
        log_exactly(ctx, args, None, &options, threshold.as_deref());
    }
    Ok(())
}

const XDEL: Command = Command {
    name: "xdel",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Delete])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Removes entries from a stream by their ids; answers how many were there.",
    complexity: "O(log(N)) for each id, with N the entries of the stream",
    syntax: "key id [id ...]",
    run: xdel,
    ..Command::DEFAULT
};

fn xdel(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(mut stream) = write::<Stream>(&mut ctx.state.keyspace, db, &key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    for text in args.iter_from(2) {
        parse_strict_id(text, 0)?;
    }
    let mut removed = 0;
    for text in args.iter_from(2) {
        let id = parse_strict_id(text, 0)?;
        if stream.get().entries.get(id).is_some() {
            removed += usize::from(stream.get_mut().entries.remove(id));
        }
    }
    drop(stream);
    if removed > 0 {
        ctx.count_changes(removed);
        ctx.notify(KeyspaceEvents::STREAM, "xdel", &args[1]);
    }
    ctx.reply.len(removed);
    Ok(())
}

const XLEN: Command = Command {
    name: "xlen",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Ro])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Answers how many entries a stream has.",
    syntax: "key",
    run: xlen,
    ..Command::DEFAULT
};

fn xlen(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    ctx.reply.len(stream.map_or(0, Stream::len));
    Ok(())
}

const XSETID: Command = Command {
    name: "xsetid",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Update])],
    group: Group::Stream,
    since: "5.0.0",
    summary: "Sets the last id of a stream and what is counted of it; meant for replication.",
    syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
    run: xsetid,
    ..Command::DEFAULT
};

fn xsetid(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let id = parse_strict_id(&args[2], 0)?;
    let (mut added, mut max_deleted) = (None, StreamId::ZERO);
    let mut rest = args.iter_from(3);
    while let Some(word) = rest.next() {
        let value = rest.next().ok_or(errors::SYNTAX)?;
        if is(word, "ENTRIESADDED") {
            let error = CommandError::new("ERR entries_added must be positive");
            added = Some(u64::try_from(integer(value)?).map_err(|_| error)?);
        } else if is(word, "MAXDELETEDID") {
            max_deleted = parse_strict_id(value, 0)?;
            if id < max_deleted {
                return Err("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id".into());
            }
        } else {
            return Err(errors::SYNTAX);
        }
    }
    // A primary of 7.0 allows it.
    let obeys = must_obey(ctx);
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let stream = write::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    let mut stream = stream.ok_or(errors::NO_SUCH_KEY)?.unnoticed();
    let entries = &stream.get().entries;
    if id < entries.max_deleted_id && !obeys {
        return Err(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id".into()
        );
    }
    if entries.last().is_some_and(|entry| id < entry.id) {
        return Err(
            "ERR The ID specified in XSETID is smaller than the target stream top item".into()
        );
    }
    if added.is_some_and(|added| !entries.is_empty() && entries.len() > added) {
        return Err(
            "ERR The entries_added specified in XSETID is smaller than the target stream length"
                .into(),
        );
    }
    let entries = &mut stream.get_mut().entries;
    entries.last_id = id;
    entries.added = added.unwrap_or(entries.added);
    if max_deleted != StreamId::ZERO {
        entries.max_deleted_id = max_deleted;
    }
    drop(stream);
    ctx.reply.ok();
    ctx.notify(KeyspaceEvents::STREAM, "xsetid", &args[1]);
    Ok(())
}

/// The part of the family that adds and removes.
pub const COMMANDS: &[Command] = &[XADD, XTRIM, XDEL, XLEN, XSETID];
