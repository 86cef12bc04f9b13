//! The connection family: PING, ECHO, SELECT and the like.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::resp::{Args, CommandError, errors, number};

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
    match args.len() {
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
    let index = number::parse_i64(&args[1])
        .and_then(|index| i32::try_from(index).ok())
        .ok_or(CommandError::new("ERR value is not an integer or out of range"))?;
    let databases = ctx.state.keyspace.db_count();
    match u32::try_from(index) {
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

/// The family.
pub const COMMANDS: &[Command] = &[PING, ECHO, SELECT, QUIT];
