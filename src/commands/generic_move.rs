//! Whole keys and databases that change their place: RENAME, RENAMENX, COPY, MOVE, SWAPDB.
//!
//! Each counts as one change however many entries it touches, so the number of changes since the last snapshot is
//! that of stock servers.

use super::arguments::integer;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, KeyRef};
use crate::resp::{Args, CommandError, errors};

/// A number that should name a database.
///
/// # Errors
/// It is no number, or none that fits 32 bits; `ERR DB index is out of range` where there is no such database.
fn database(ctx: &Context<'_>, text: &[u8]) -> Result<u32, CommandError> {
    let number = integer(text)?;
    let number = i32::try_from(number).map_err(|_| NOT_32_BITS)?;
    let index = u32::try_from(number).map_err(|_| errors::DB_OUT_OF_RANGE)?;
    if index < ctx.state.keyspace.db_count() { Ok(index) } else { Err(errors::DB_OUT_OF_RANGE) }
}

const NOT_32_BITS: CommandError =
    CommandError::new("ERR value is out of range, value must between -2147483648 and 2147483647");

/// Runs `change` and lets it count as one change, if it says that it made any.
pub(super) fn as_one_change(
    ctx: &mut Context<'_>,
    change: impl FnOnce(&mut Context<'_>) -> bool,
) -> bool {
    let before = ctx.state.keyspace.dirty;
    let changed = change(ctx);
    ctx.state.keyspace.dirty = before + u64::from(changed);
    changed
}

const RENAME: Command = Command {
    name: "rename",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write],
    categories: &["keyspace"],
    keys: &[
        key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        key(2, &[KeyFlag::Ow, KeyFlag::Update]),
    ],
    summary: "Gives a key another name, whatever that name held before.",
    syntax: "key newkey",
    run: rename,
    ..Command::DEFAULT
};

fn rename(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    rename_unless(ctx, args, false)?;
    ctx.reply.ok();
    Ok(())
}

const RENAMENX: Command = Command {
    name: "renamenx",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace"],
    keys: &[
        key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        key(2, &[KeyFlag::Ow, KeyFlag::Insert]),
    ],
    summary: "Gives a key another name unless that name is taken.",
    syntax: "key newkey",
    run: renamenx,
    ..Command::DEFAULT
};

fn renamenx(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let renamed = rename_unless(ctx, args, true)?;
    ctx.reply.int(i64::from(renamed));
    Ok(())
}

/// Moves the value unless `keep_existing` and there is something at the new name. Says whether it did.
fn rename_unless(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    keep_existing: bool,
) -> Result<bool, CommandError> {
    let db = ctx.db();
    let (from, to) = (ctx.key(&args[1]), ctx.key(&args[2]));
    if !ctx.state.keyspace.exists(db, &from, Access::WRITE) {
        return Err(errors::NO_SUCH_KEY);
    }
    if from.bytes == to.bytes {
        return Ok(false);
    }
    if ctx.state.keyspace.exists(db, &to, Access::WRITE) && keep_existing {
        return Ok(false);
    }
    let moved = as_one_change(ctx, |ctx| ctx.state.keyspace.move_key((db, &from), (db, &to)));
    if moved {
        ctx.notify(KeyspaceEvents::GENERIC, "rename_from", from.bytes);
        ctx.notify(KeyspaceEvents::GENERIC, "rename_to", to.bytes);
    }
    Ok(moved)
}

const COPY: Command = Command {
    name: "copy",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Write, Flag::Denyoom],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access]), key(2, &[KeyFlag::Ow, KeyFlag::Update])],
    since: "6.2.0",
    summary: "Copies the value and expiry of one key to another.",
    complexity: "O(1); a collection is shared and copied when either key changes",
    syntax: "source destination [DB destination-db] [REPLACE]",
    run: copy,
    ..Command::DEFAULT
};

fn copy(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.db();
    let (to_db, replace) = copy_options(ctx, args)?;
    if ctx.state.config.cluster_enabled && (db != 0 || to_db != 0) {
        let text = "ERR Copying to another database is not allowed in cluster mode";
        return Err(CommandError::new(text));
    }
    let (from, to) = (ctx.key(&args[1]), ctx.key(&args[2]));
    if db == to_db && from.bytes == to.bytes {
        return Err(errors::SAME_OBJECT);
    }
    let copied = ctx.state.keyspace.exists(db, &from, Access::READ)
        && (!ctx.state.keyspace.exists(to_db, &to, Access::WRITE) || replace)
        && as_one_change(ctx, |ctx| ctx.state.keyspace.copy_key((db, &from), (to_db, &to)));
    if copied {
        ctx.state.notify(KeyspaceEvents::GENERIC, "copy_to", to_db, to.bytes);
    }
    ctx.reply.int(i64::from(copied));
    Ok(())
}

/// The target's database and whether it may be overwritten.
fn copy_options(ctx: &Context<'_>, args: Args<'_>) -> Result<(u32, bool), CommandError> {
    let (mut to_db, mut replace) = (ctx.db(), false);
    let mut rest = args.iter_from(3);
    while let Some(word) = rest.next() {
        if word.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if word.eq_ignore_ascii_case(b"db") {
            to_db = database(ctx, rest.next().ok_or(errors::SYNTAX)?)?;
        } else {
            return Err(errors::SYNTAX);
        }
    }
    Ok((to_db, replace))
}

const MOVE: Command = Command {
    name: "move",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])],
    summary: "Moves a key to another database unless that holds it too.",
    syntax: "key db",
    run: move_,
    ..Command::DEFAULT
};

fn move_(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.config.cluster_enabled {
        return Err(CommandError::new("ERR MOVE is not allowed in cluster mode"));
    }
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let to_db = database(ctx, &args[2])?;
    if db == to_db {
        return Err(errors::SAME_OBJECT);
    }
    let both = |ctx: &mut Context<'_>, key: &KeyRef<'_>| {
        ctx.state.keyspace.exists(db, key, Access::WRITE)
            && !ctx.state.keyspace.exists(to_db, key, Access::WRITE)
    };
    let moved = both(ctx, &key)
        && as_one_change(ctx, |ctx| ctx.state.keyspace.move_key((db, &key), (to_db, &key)));
    if moved {
        ctx.notify(KeyspaceEvents::GENERIC, "move_from", key.bytes);
        ctx.state.notify(KeyspaceEvents::GENERIC, "move_to", to_db, key.bytes);
    }
    ctx.reply.int(i64::from(moved));
    Ok(())
}

const SWAPDB: Command = Command {
    name: "swapdb",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace", "dangerous"],
    group: Group::Server,
    since: "4.0.0",
    summary: "Exchanges the contents of two databases.",
    complexity: "O(N) with N the watched keys of both",
    syntax: "index1 index2",
    run: swapdb,
    ..Command::DEFAULT
};

fn swapdb(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.config.cluster_enabled {
        return Err(CommandError::new("ERR SWAPDB is not allowed in cluster mode"));
    }
    let index = |text: &[u8], error: &'static str| {
        let number = integer(text).ok().and_then(|number| i32::try_from(number).ok());
        number.ok_or(CommandError::new(error))
    };
    let one = index(&args[1], "ERR invalid first DB index")?;
    let two = index(&args[2], "ERR invalid second DB index")?;
    let known = |number: i32| {
        let index = u32::try_from(number).ok()?;
        (index < ctx.state.keyspace.db_count()).then_some(index)
    };
    let (Some(one), Some(two)) = (known(one), known(two)) else {
        return Err(errors::DB_OUT_OF_RANGE);
    };
    as_one_change(ctx, |ctx| {
        ctx.state.keyspace.swap_dbs(one, two);
        true
    });
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[RENAME, RENAMENX, COPY, MOVE, SWAPDB];
