//! Keys of any type: DEL, UNLINK, EXISTS, TOUCH, TYPE, RANDOMKEY, DBSIZE, PERSIST aside (see `expire.rs`).
//! What moves or copies whole keys is in `generic_move.rs`.

use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key, keys};
use super::context::Context;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, Entry, KeyRef, ValueRef};
use crate::resp::Args;

/// The name of a value's type, as TYPE answers and SCAN TYPE expects.
pub(super) fn type_name(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Str(_) | ValueRef::Int(_) => "string",
        ValueRef::Object(object) => object.type_name(),
    }
}

const AGGREGATE: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

const DEL: Command = Command {
    name: "del",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write],
    categories: &["keyspace"],
    keys: &[keys(1, -1, 1, &[KeyFlag::Rm, KeyFlag::Delete])],
    summary: "Removes keys and answers how many there were.",
    complexity: "O(N) for N keys; the values' memory is freed in the background",
    syntax: "key [key ...]",
    tips: AGGREGATE,
    run: del,
    ..Command::DEFAULT
};

const UNLINK: Command = Command {
    name: "unlink",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Fast],
    categories: &["keyspace"],
    keys: &[keys(1, -1, 1, &[KeyFlag::Rm, KeyFlag::Delete])],
    since: "4.0.0",
    summary: "Removes keys and frees their memory in the background.",
    complexity: "O(N) for N keys",
    syntax: "key [key ...]",
    tips: AGGREGATE,
    run: del,
    ..Command::DEFAULT
};

/// Both DEL and UNLINK: freeing happens off the node's lock either way.
fn del(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut removed = 0;
    for bytes in args.iter_from(1) {
        let key = ctx.key(bytes);
        removed += usize::from(delete(ctx, &key));
    }
    ctx.reply.len(removed);
    Ok(())
}

/// Removes a key, and tells those who listen. Whether it was there.
pub(super) fn delete(ctx: &mut Context<'_>, key: &KeyRef<'_>) -> bool {
    let db = ctx.db();
    let removed = ctx.state.keyspace.remove(db, key);
    if removed {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
    }
    removed
}

const EXISTS: Command = Command {
    name: "exists",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly, Flag::Fast],
    categories: &["keyspace"],
    keys: &[keys(1, -1, 1, &[KeyFlag::Ro])],
    summary: "Answers how many of the keys exist; one named twice counts twice.",
    complexity: "O(N) for N keys",
    syntax: "key [key ...]",
    tips: AGGREGATE,
    run: exists,
    ..Command::DEFAULT
};

fn exists(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count_present(ctx, args, Access::NOTOUCH);
    Ok(())
}

const TOUCH: Command = Command {
    name: "touch",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Readonly, Flag::Fast],
    categories: &["keyspace"],
    keys: &[keys(1, -1, 1, &[KeyFlag::Ro])],
    since: "3.2.1",
    summary: "Marks keys as used now and answers how many of them exist.",
    complexity: "O(N) for N keys",
    syntax: "key [key ...]",
    tips: AGGREGATE,
    run: touch,
    ..Command::DEFAULT
};

fn touch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // Asked for by name, it works for a client with CLIENT NO-TOUCH too.
    let no_touch = std::mem::take(&mut ctx.state.keyspace.no_touch);
    count_present(ctx, args, Access::READ);
    ctx.state.keyspace.no_touch = no_touch;
    Ok(())
}

fn count_present(ctx: &mut Context<'_>, args: Args<'_>, access: Access) {
    let db = ctx.db();
    let present = args.iter_from(1).filter(|bytes| {
        let key = ctx.key(bytes);
        ctx.state.keyspace.exists(db, &key, access)
    });
    let present = present.count();
    ctx.reply.len(present);
}

const TYPE: Command = Command {
    name: "type",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly, Flag::Fast],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Ro])],
    summary: "Answers the type of the value at a key, or `none`.",
    syntax: "key",
    run: type_,
    ..Command::DEFAULT
};

fn type_(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let name = ctx.state.keyspace.lookup(db, &key, Access::NOTOUCH).map_or("none", type_name);
    ctx.reply.simple(name);
    Ok(())
}

const RANDOMKEY: Command = Command {
    name: "randomkey",
    arity: Arity::Exactly(1),
    flags: &[Flag::Readonly],
    categories: &["keyspace"],
    summary: "Answers a key picked at random.",
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    run: randomkey,
    ..Command::DEFAULT
};

fn randomkey(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let db = ctx.db();
    let entry = ctx.state.keyspace.random_key(db);
    ctx.reply.bulk_or_nil(entry.map(Entry::key));
    Ok(())
}

const DBSIZE: Command = Command {
    name: "dbsize",
    arity: Arity::Exactly(1),
    flags: &[Flag::Readonly, Flag::Fast],
    categories: &["keyspace"],
    group: Group::Server,
    summary: "Answers how many keys the selected database holds.",
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    run: dbsize,
    ..Command::DEFAULT
};

fn dbsize(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let db = ctx.db();
    let count = ctx.state.keyspace.len(db);
    ctx.reply.int(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[DEL, UNLINK, EXISTS, TOUCH, TYPE, RANDOMKEY, DBSIZE];
