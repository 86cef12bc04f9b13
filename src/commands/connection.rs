//! The connection family: PING, ECHO, SELECT, QUIT, RESET.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::pubsub::Counts;
use crate::resp::{Args, CommandError, errors, number};
use crate::state::client::ReplyMode;

const PING: Command = Command {
    name: "ping",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Fast],
    categories: &["connection"],
    group: Group::Connection,
    summary: "Answers PONG, or the message given.",
    syntax: "[message]",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    run: ping,
    ..Command::DEFAULT
};

fn ping(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let looks_like_message = ctx.client.subscriptions.any() && !ctx.client.resp3;
    match args.len() {
        1 | 2 if looks_like_message => {
            ctx.reply.array(2);
            ctx.reply.bulk(b"pong");
            ctx.reply.bulk(args.get(1).unwrap_or_default());
        }
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(&args[1]),
        _ => return Err(errors::wrong_arity("ping")),
    }
    Ok(())
}

const ECHO: Command = Command {
    name: "echo",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["connection"],
    group: Group::Connection,
    summary: "Answers the message given.",
    syntax: "message",
    run: echo,
    ..Command::DEFAULT
};

fn echo(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.reply.bulk(&args[1]);
    Ok(())
}

const SELECT: Command = Command {
    name: "select",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["connection"],
    group: Group::Connection,
    summary: "Selects the database that the connection works on.",
    syntax: "index",
    run: select,
    ..Command::DEFAULT
};

fn select(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let index = number::parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| {
        CommandError::new(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        )
    })?;
    let databases = ctx.state.keyspace.db_count();
    match u32::try_from(index) {
        Ok(0) => ctx.client.db = 0,
        Ok(_) if ctx.state.config.cluster_enabled => {
            return Err("ERR SELECT is not allowed in cluster mode".into());
        }
        Ok(index) if index < databases => ctx.client.db = index,
        _ => return Err(errors::DB_OUT_OF_RANGE),
    }
    ctx.reply.ok();
    Ok(())
}

const QUIT: Command = Command {
    name: "quit",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy],
    categories: &["connection"],
    group: Group::Connection,
    summary: "Closes the connection.",
    run: quit,
    ..Command::DEFAULT
};

fn quit(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.client.close_after_reply = true;
    ctx.reply.ok();
    Ok(())
}

const RESET: Command = Command {
    name: "reset",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy],
    categories: &["connection"],
    group: Group::Connection,
    since: "6.2.0",
    summary: "Brings the connection back to the state of a new one.",
    run: reset,
    ..Command::DEFAULT
};

fn reset(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    super::transaction::end(ctx);
    ctx.state.pubsub.leave(ctx.client.id.0);
    let client = &mut *ctx.client;
    client.subscriptions = Counts::default();
    ctx.state.monitors -= usize::from(std::mem::take(&mut client.monitor));
    client.db = 0;
    client.resp3 = false;
    client.authenticated = ctx.state.config.requirepass.is_empty();
    client.name.clear();
    client.no_evict = false;
    client.no_touch = false;
    client.readonly = false;
    client.asking = false;
    client.reply_mode = ReplyMode::On;
    ctx.reply.set_resp3(false);
    ctx.reply.simple("RESET");
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[PING, ECHO, SELECT, QUIT, RESET];
