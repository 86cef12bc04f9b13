//! Streams: XGROUP, the groups that read them.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{integer, is};
use super::collections::{Opened, write, write_or_new};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::help::HELP;
use super::stream_id::{parse_id, parse_strict_id};
use crate::config::special::KeyspaceEvents;
use crate::resp::{Args, CommandError, quoted};
use crate::types::{Group as ReadingGroup, Stream};

/// The declaration that the subcommands share.
const SUBCOMMAND: Command =
    Command { flags: &[Flag::Write], group: Group::Stream, since: "5.0.0", ..Command::DEFAULT };

const CREATE: Command = Command {
    name: "create",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Insert])],
    summary: "Creates a group that reads a stream behind an id.",
    syntax: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
    run: create,
    ..SUBCOMMAND
};

const SETID: Command = Command {
    name: "setid",
    arity: Arity::AtLeast(5),
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Update])],
    summary: "Sets the id behind which a group reads.",
    syntax: "key group <id | $> [ENTRIESREAD entries-read]",
    run: setid,
    ..SUBCOMMAND
};

const DESTROY: Command = Command {
    name: "destroy",
    arity: Arity::Exactly(4),
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Delete])],
    summary: "Removes a group with its consumers and what they have not acknowledged.",
    complexity: "O(1)",
    syntax: "key group",
    run: destroy,
    ..SUBCOMMAND
};

const CREATECONSUMER: Command = Command {
    name: "createconsumer",
    arity: Arity::Exactly(5),
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Insert])],
    since: "6.2.0",
    summary: "Creates a consumer of a group; answers whether it was missing.",
    syntax: "key group consumer",
    run: createconsumer,
    ..SUBCOMMAND
};

const DELCONSUMER: Command = Command {
    name: "delconsumer",
    arity: Arity::Exactly(5),
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Delete])],
    summary: "Removes a consumer; answers how many entries it had not acknowledged, which are forgotten.",
    complexity: "O(N) with N those entries",
    syntax: "key group consumer",
    run: delconsumer,
    ..SUBCOMMAND
};

const XGROUP: Command = Command {
    name: "xgroup",
    arity: Arity::AtLeast(2),
    group: Group::Stream,
    since: "5.0.0",
    summary: "Holds the commands that change groups.",
    complexity: "That of the subcommand",
    subcommands: &[
        CREATE,
        SETID,
        DESTROY,
        CREATECONSUMER,
        DELCONSUMER,
        Command { group: Group::Stream, ..HELP },
    ],
    ..Command::DEFAULT
};

/// What may follow the id.
#[derive(Debug, Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

fn options(args: Args<'_>, may_make: bool) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 5;
    while let Some(word) = args.get(at) {
        if may_make && is(word, "MKSTREAM") {
            options.make_stream = true;
            at += 1;
        } else if is(word, "ENTRIESREAD") && at + 1 < args.len() {
            let read = integer(&args[at + 1])?;
            if read < -1 {
                return Err("ERR value for ENTRIESREAD must be positive or -1".into());
            }
            options.entries_read = u64::try_from(read).ok();
            at += 2;
        } else {
            return Err(wrong_subcommand(args));
        }
    }
    Ok(options)
}

fn wrong_subcommand(args: Args<'_>) -> CommandError {
    let shown = quoted(&args[1][..args[1].len().min(128)]);
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{shown}'. Try XGROUP HELP."
    ))
}

const NO_KEY: CommandError = CommandError::new(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);

/// `NOGROUP No such consumer group 'group' for key name 'key'`.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (quoted(key), quoted(group));
    CommandError::owned(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// The stream that a subcommand is about.
///
/// # Errors
/// There is none, or something else is at the key.
fn stream<'c>(
    ctx: &'c mut Context<'_>,
    args: Args<'_>,
) -> Result<Opened<'c, Stream>, CommandError> {
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    write::<Stream>(&mut ctx.state.keyspace, db, &key)?.map(Opened::unnoticed).ok_or(NO_KEY)
}

/// As [`stream`], where the group must be there, too.
fn with_group<'c>(
    ctx: &'c mut Context<'_>,
    args: Args<'_>,
) -> Result<Opened<'c, Stream>, CommandError> {
    let stream = stream(ctx, args)?;
    if stream.get().group(&args[3]).is_none() {
        return Err(no_group(&args[2], &args[3]));
    }
    Ok(stream)
}

fn create(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const TAKEN: CommandError = CommandError::new("BUSYGROUP Consumer Group name already exists");
    const ARGUMENTS_MAX: usize = 8;
    let options = options(args, true)?;
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let found = write::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    if found.is_none() && !options.make_stream {
        return Err(NO_KEY);
    }
    if args.len() > ARGUMENTS_MAX {
        return Err(wrong_subcommand(args));
    }
    let id = match &args[4] {
        b"$" => found.as_ref().map_or(StreamId::ZERO, |stream| stream.get().entries.last_id),
        text => parse_strict_id(text, 0)?,
    };
    if found.as_ref().is_some_and(|stream| stream.get().group(&args[3]).is_some()) {
        return Err(TAKEN);
    }
    let is_new = found.is_none();
    drop(found);
    let stream = write_or_new::<Stream>(&mut ctx.state.keyspace, db, &key)?;
    let mut stream = if is_new { stream } else { stream.unnoticed() };
    stream.get_mut().create_group(&args[3], ReadingGroup::new(id, options.entries_read));
    drop(stream);
    ctx.reply.ok();
    ctx.notify(KeyspaceEvents::STREAM, "xgroup-create", &args[2]);
    Ok(())
}

fn setid(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = options(args, false)?;
    let mut stream = with_group(ctx, args)?;
    if !matches!(args.len(), 5 | 7) {
        return Err(wrong_subcommand(args));
    }
    let id = match &args[4] {
        b"$" => stream.get().entries.last_id,
        text => parse_id(text, 0)?,
    };
    if let Some((_, group)) = stream.get_mut().group_mut(&args[3]) {
        (group.last_id, group.entries_read) = (id, options.entries_read);
    }
    drop(stream);
    ctx.reply.ok();
    ctx.notify(KeyspaceEvents::STREAM, "xgroup-setid", &args[2]);
    Ok(())
}

fn destroy(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut stream = stream(ctx, args)?;
    if stream.get().group(&args[3]).is_none() {
        drop(stream);
        ctx.reply.int(0);
        return Ok(());
    }
    stream.get_mut().remove_group(&args[3]);
    drop(stream);
    // Those who read for the group wait in vain from now on.
    let db = ctx.db();
    ctx.state.keyspace.signal(db, &args[2]);
    ctx.reply.int(1);
    ctx.notify(KeyspaceEvents::STREAM, "xgroup-destroy", &args[2]);
    Ok(())
}

fn createconsumer(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let now_ms = ctx.now_ms().cast_signed();
    let mut stream = with_group(ctx, args)?;
    let found = stream.get().group(&args[3]);
    if found.is_some_and(|group| group.consumer_number(&args[4]).is_some()) {
        drop(stream);
        ctx.reply.int(0);
        return Ok(());
    }
    if let Some((_, group)) = stream.get_mut().group_mut(&args[3]) {
        group.create_consumer(&args[4], now_ms);
    }
    drop(stream);
    ctx.reply.int(1);
    ctx.notify(KeyspaceEvents::STREAM, "xgroup-createconsumer", &args[2]);
    Ok(())
}

fn delconsumer(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut stream = with_group(ctx, args)?;
    let found = stream.get().group(&args[3]);
    if found.is_none_or(|group| group.consumer_number(&args[4]).is_none()) {
        drop(stream);
        ctx.reply.int(0);
        return Ok(());
    }
    let group = stream.get_mut().group_mut(&args[3]);
    let pending = group.and_then(|(_, group)| group.remove_consumer(&args[4]));
    drop(stream);
    ctx.reply.len(pending.unwrap_or(0));
    ctx.notify(KeyspaceEvents::STREAM, "xgroup-delconsumer", &args[2]);
    Ok(())
}

/// The container.
pub const COMMANDS: &[Command] = &[XGROUP];
