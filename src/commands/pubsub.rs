//! PUBLISH and SPUBLISH, and PUBSUB: who listens. Listening itself is in `subscribe`.

use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::{Context, Then};
use super::help;
use crate::glob;
use crate::pubsub::{Kind, Topic};
use crate::resp::{Args, CommandError, Reply, quoted};
use crate::state::ClientId;

const PUBLISH: Command = Command {
    name: "publish",
    arity: Arity::Exactly(3),
    flags: &[Flag::Pubsub, Flag::Loading, Flag::Stale, Flag::Fast, Flag::MayReplicate],
    group: Group::Pubsub,
    since: "2.0.0",
    summary: "Sends a message to the subscribers of a channel, and returns how many got it.",
    complexity: "O(N+M) with N the subscribers of the channel and M the patterns of all clients",
    syntax: "channel message",
    run: publish,
    ..Command::DEFAULT
};

fn publish(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    publish_to(ctx, false, &args[1], &args[2]);
    Ok(())
}

const SPUBLISH: Command = Command {
    name: "spublish",
    since: "7.0.0",
    keys: &[key(1, &[KeyFlag::NotKey])],
    summary: "Sends a message to the subscribers of a shard's channel, and returns how many got it.",
    complexity: "O(N) with N the subscribers of the channel",
    syntax: "shardchannel message",
    run: spublish,
    ..PUBLISH
};

fn spublish(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    publish_to(ctx, true, &args[1], &args[2]);
    Ok(())
}

/// Sends a message to the clients of this node and sees to it that others hear of it: in a cluster over the bus, otherwise
/// as a part of the stream.
fn publish_to(ctx: &mut Context<'_>, sharded: bool, channel: &[u8], message: &[u8]) {
    /// The number of the client that a stream or a log is applied for.
    const NOBODY: ClientId = ClientId(0);
    let sent = ctx.state.publish(sharded, channel, message);
    if !ctx.state.config.cluster_enabled {
        // While the log cannot be written, replicas get nothing; the clients of this node need not wait with them.
        if ctx.state.persistence.log_error.is_none() {
            ctx.effect_always();
        }
    } else if ctx.client.id != NOBODY
        && let Some(membership) = &mut ctx.state.cluster
    {
        membership.core.publish(sharded, channel, message);
        ctx.then = Then::ClusterChanged;
    }
    ctx.reply.len(sent);
}

/// What all subcommands share.
const SUBCOMMAND: Command = Command {
    arity: Arity::AtLeast(2),
    flags: &[Flag::Pubsub, Flag::Loading, Flag::Stale],
    group: Group::Pubsub,
    since: "2.8.0",
    ..Command::DEFAULT
};

const PUBSUB: Command = Command {
    name: "pubsub",
    arity: Arity::AtLeast(2),
    group: Group::Pubsub,
    since: "2.8.0",
    summary: "Shows channels and patterns that somebody listens to.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "channels",
            summary: "Returns the channels that somebody listens to, or those that match a pattern.",
            complexity: "O(N) with N the channels",
            syntax: "[pattern]",
            run: channels,
            ..SUBCOMMAND
        },
        Command { group: Group::Pubsub, since: "6.2.0", ..help::HELP },
        Command {
            name: "numpat",
            arity: Arity::Exactly(2),
            summary: "Returns the number of patterns that somebody listens to.",
            run: numpat,
            ..SUBCOMMAND
        },
        Command {
            name: "numsub",
            summary: "Returns channels with the numbers of their subscribers, those of patterns left out.",
            complexity: "O(N) with N the channels asked for",
            syntax: "[channel [channel ...]]",
            run: numsub,
            ..SUBCOMMAND
        },
        Command {
            name: "shardchannels",
            since: "7.0.0",
            summary: "Returns the shard's channels that somebody listens to, or those that match a pattern.",
            complexity: "O(N) with N the shard's channels",
            syntax: "[pattern]",
            run: shardchannels,
            ..SUBCOMMAND
        },
        Command {
            name: "shardnumsub",
            since: "7.0.0",
            summary: "Returns channels of the shard with the numbers of their subscribers.",
            complexity: "O(N) with N the channels asked for",
            syntax: "[shardchannel [shardchannel ...]]",
            run: shardnumsub,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn channels(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let pattern = pattern(args)?;
    let all = ctx.state.pubsub.channels();
    let names = all.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name)));
    answer(&mut ctx.reply, names.collect());
    Ok(())
}

fn shardchannels(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let pattern = pattern(args)?;
    let all = ctx.state.pubsub.shard_channels();
    let names = all.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name)));
    answer(&mut ctx.reply, names.collect());
    Ok(())
}

/// The pattern that limits a list of channels.
fn pattern(args: Args<'_>) -> Result<Option<&[u8]>, CommandError> {
    if args.len() > 3 {
        let word = quoted(&args[1]);
        return Err(CommandError::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )));
    }
    Ok(args.get(2))
}

fn answer(reply: &mut Reply<'_>, names: Vec<&[u8]>) {
    reply.array(names.len());
    names.into_iter().for_each(|name| reply.bulk(name));
}

fn numpat(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.len(ctx.state.pubsub.topics(Kind::Pattern));
    Ok(())
}

fn numsub(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count_subscribers(ctx, args, Kind::Channel);
    Ok(())
}

fn shardnumsub(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    count_subscribers(ctx, args, Kind::Shard);
    Ok(())
}

/// Each channel that is asked for, with its number of subscribers. An array in RESP3 too.
fn count_subscribers(ctx: &mut Context<'_>, args: Args<'_>, kind: Kind) {
    ctx.reply.array(2 * (args.len() - 2));
    for name in args.iter_from(2) {
        ctx.reply.bulk(name);
        ctx.reply.len(ctx.state.pubsub.subscribers(Topic::new(kind, name)).len());
    }
}

/// The family.
pub const COMMANDS: &[Command] = &[PUBLISH, SPUBLISH, PUBSUB];
