//! PUBLISH and SPUBLISH: nobody can subscribe yet, so nobody is reached. They are here because the stream of a stock
//! primary holds them.

use super::command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec};
use super::context::Context;
use crate::resp::Args;

const PUBLISH: Command = Command {
    name: "publish",
    arity: Arity::Exactly(3),
    flags: &[Flag::Pubsub, Flag::Loading, Flag::Stale, Flag::Fast],
    group: Group::Pubsub,
    since: "2.0.0",
    summary: "Sends a message to the subscribers of a channel, and returns how many got it.",
    complexity: "O(1): there are no subscribers",
    syntax: "channel message",
    run: publish,
    ..Command::DEFAULT
};

const SPUBLISH: Command = Command {
    name: "spublish",
    since: "7.0.0",
    keys: &[KeySpec {
        find: Find::Range { first: 1, last: 1, step: 1 },
        flags: &[KeyFlag::NotKey],
    }],
    syntax: "shardchannel message",
    summary: "Sends a message to the subscribers of a shard's channel, and returns how many got it.",
    ..PUBLISH
};

fn publish(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.int(0);
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[PUBLISH, SPUBLISH];
