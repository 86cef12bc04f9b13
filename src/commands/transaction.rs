//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queueing and running are dispatch's (`node::transactions`).

use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, keys};
use super::context::{Context, Then};
use crate::resp::{Args, CommandError};
use crate::state::State;
use crate::state::client::{Client, Transaction};

const MULTI: Command = Command {
    name: "multi",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy],
    group: Group::Transactions,
    since: "1.2.0",
    summary: "Begins a transaction: the commands that follow are queued.",
    run: multi,
    ..Command::DEFAULT
};

fn multi(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.client.transaction.is_some() {
        return Err(CommandError::new("ERR MULTI calls can not be nested"));
    }
    ctx.client.transaction = Some(Transaction::default());
    ctx.reply.ok();
    Ok(())
}

const EXEC: Command = Command {
    name: "exec",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::SkipSlowlog],
    group: Group::Transactions,
    since: "1.2.0",
    summary: "Runs the queued commands as one unit.",
    complexity: "That of the queued commands",
    run: exec,
    ..Command::DEFAULT
};

fn exec(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let Some(transaction) = &ctx.client.transaction else {
        return Err(CommandError::new("ERR EXEC without MULTI"));
    };
    let refused = transaction.refused;
    let expired = ctx.client.watching && ctx.state.keyspace.watched_has_expired(ctx.client.id.0);
    if refused || expired || ctx.client.watch_broken {
        end(ctx);
        if refused {
            return Err(crate::resp::errors::EXECABORT);
        }
        // It tells of another client's write, wherever that was.
        ctx.state.keyspace.observe_all();
        ctx.reply.nil_array();
        return Ok(());
    }
    ctx.then = Then::Exec;
    Ok(())
}

const DISCARD: Command = Command {
    name: "discard",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy],
    group: Group::Transactions,
    since: "2.0.0",
    summary: "Gives up a transaction: its queued commands do not run.",
    complexity: "O(N) with N the queued commands",
    run: discard,
    ..Command::DEFAULT
};

fn discard(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.client.transaction.is_none() {
        return Err(CommandError::new("ERR DISCARD without MULTI"));
    }
    end(ctx);
    ctx.reply.ok();
    Ok(())
}

/// Ends a transaction and its watches.
pub(crate) fn end(ctx: &mut Context<'_>) {
    end_transaction(ctx.state, ctx.client);
}

/// Ends a transaction and its watches.
pub(crate) fn end_transaction(state: &mut State, client: &mut Client) {
    client.transaction = None;
    if std::mem::take(&mut client.watching) {
        state.keyspace.unwatch(client.id.0);
    }
    client.watch_broken = false;
}

/// Stops watching all keys of the client.
pub(crate) fn forget_watches(ctx: &mut Context<'_>) {
    let transaction = ctx.client.transaction.take();
    end(ctx);
    ctx.client.transaction = transaction;
}

const WATCH: Command = Command {
    name: "watch",
    arity: Arity::AtLeast(2),
    flags: &[
        Flag::Noscript,
        Flag::Loading,
        Flag::Stale,
        Flag::Fast,
        Flag::NoMulti,
        Flag::AllowBusy,
    ],
    keys: &[keys(1, -1, 1, &[KeyFlag::Ro])],
    group: Group::Transactions,
    since: "2.2.0",
    summary: "Makes the next transaction fail if one of these keys changes before it runs.",
    complexity: "O(1) for every key",
    syntax: "key [key ...]",
    run: watch,
    ..Command::DEFAULT
};

fn watch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let db = ctx.db();
    // A transaction that must fail anyway needs no further watches.
    if !ctx.client.watch_broken {
        for bytes in args.iter_from(1) {
            let key = ctx.key(bytes);
            ctx.state.keyspace.watch(db, &key, ctx.client.id.0);
        }
        ctx.client.watching = true;
    }
    ctx.reply.ok();
    Ok(())
}

const UNWATCH: Command = Command {
    name: "unwatch",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy],
    group: Group::Transactions,
    since: "2.2.0",
    summary: "Forgets all watched keys.",
    run: unwatch,
    ..Command::DEFAULT
};

fn unwatch(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    forget_watches(ctx);
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[MULTI, EXEC, DISCARD, WATCH, UNWATCH];
