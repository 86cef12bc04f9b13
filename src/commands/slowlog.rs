//! SLOWLOG: the commands that took long.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use super::help;
use crate::resp::{Args, CommandError, number};

const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    flags: &[Flag::Admin, Flag::Loading, Flag::Stale],
    group: Group::Server,
    since: "2.2.12",
    ..Command::DEFAULT
};

/// Entries that GET shows unasked.
const SHOWN: i64 = 10;

const SLOWLOG: Command = Command {
    name: "slowlog",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "2.2.12",
    summary: "Looks at the commands that took long.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "get",
            arity: Arity::AtLeast(2),
            summary: "Returns the latest slow commands; -1 for all.",
            complexity: "O(N) with N the entries returned",
            syntax: "[count]",
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            run: get,
            ..SUBCOMMAND
        },
        Command { group: Group::Server, since: "6.2.0", ..help::HELP },
        Command {
            name: "len",
            summary: "Counts the entries.",
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            run: len,
            ..SUBCOMMAND
        },
        Command {
            name: "reset",
            summary: "Forgets all entries.",
            complexity: "O(N) with N the entries",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            run: reset,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    const BAD_COUNT: CommandError =
        CommandError::new("ERR count should be greater than or equal to -1");
    if args.len() > 3 {
        return Err(crate::resp::errors::wrong_arity("slowlog|get"));
    }
    let count = match args.get(2) {
        None => SHOWN,
        Some(word) => number::parse_i64(word).filter(|count| *count >= -1).ok_or(BAD_COUNT)?,
    };
    let log = &ctx.state.slowlog;
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(log.entries().len());
    ctx.reply.array(count);
    for slow in log.entries().take(count) {
        ctx.reply.array(6);
        ctx.reply.int(slow.id.cast_signed());
        ctx.reply.int(slow.at_s.cast_signed());
        ctx.reply.int(slow.usec.cast_signed());
        ctx.reply.array(slow.args.len());
        slow.args.iter().for_each(|arg| ctx.reply.bulk(arg));
        ctx.reply.bulk(slow.address.as_bytes());
        ctx.reply.bulk(&slow.name);
    }
    Ok(())
}

fn len(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.len(ctx.state.slowlog.entries().len());
    Ok(())
}

fn reset(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.state.slowlog.reset();
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[SLOWLOG];
