//! SUBSCRIBE and its kin: listening to channels, patterns, and channels of a shard, and ceasing to.

use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, keys};
use super::context::Context;
use crate::pubsub::{Kind, Topic};
use crate::resp::{Args, CommandError, Reply};
use crate::state::client::ReplyMode;

const SUBSCRIBE: Command = Command {
    name: "subscribe",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Pubsub, Flag::Noscript, Flag::Loading, Flag::Stale],
    group: Group::Pubsub,
    since: "2.0.0",
    summary: "Listens to channels.",
    complexity: "O(N) with N the channels",
    syntax: "channel [channel ...]",
    run: subscribe,
    ..Command::DEFAULT
};

fn subscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    listen(ctx, args, Kind::Channel);
    Ok(())
}

const PSUBSCRIBE: Command = Command {
    name: "psubscribe",
    summary: "Listens to all channels that match patterns.",
    complexity: "O(N) with N the patterns",
    syntax: "pattern [pattern ...]",
    run: psubscribe,
    ..SUBSCRIBE
};

fn psubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    listen(ctx, args, Kind::Pattern);
    Ok(())
}

const SSUBSCRIBE: Command = Command {
    name: "ssubscribe",
    keys: &[keys(1, -1, 1, &[KeyFlag::NotKey])],
    since: "7.0.0",
    summary: "Listens to channels of a shard.",
    syntax: "shardchannel [shardchannel ...]",
    run: ssubscribe,
    ..SUBSCRIBE
};

fn ssubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // Where one reply to each command is awaited. The older commands are exempt, for the clients that rely on it.
    if ctx.client.in_exec {
        return Err(CommandError::new("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    listen(ctx, args, Kind::Shard);
    Ok(())
}

const UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    arity: Arity::AtLeast(1),
    summary: "Ceases to listen to channels, or to all of them.",
    syntax: "[channel [channel ...]]",
    run: unsubscribe,
    ..SUBSCRIBE
};

fn unsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    cease(ctx, args, Kind::Channel);
    Ok(())
}

const PUNSUBSCRIBE: Command = Command {
    name: "punsubscribe",
    arity: Arity::AtLeast(1),
    summary: "Ceases to listen to patterns, or to all of them.",
    syntax: "[pattern [pattern ...]]",
    run: punsubscribe,
    ..PSUBSCRIBE
};

fn punsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    cease(ctx, args, Kind::Pattern);
    Ok(())
}

const SUNSUBSCRIBE: Command = Command {
    name: "sunsubscribe",
    arity: Arity::AtLeast(1),
    summary: "Ceases to listen to channels of a shard, or to all of them.",
    syntax: "[shardchannel [shardchannel ...]]",
    run: sunsubscribe,
    ..SSUBSCRIBE
};

fn sunsubscribe(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    cease(ctx, args, Kind::Shard);
    Ok(())
}

/// What a reply calls the beginning and the end of a subscription.
fn words(kind: Kind) -> [&'static [u8]; 2] {
    match kind {
        Kind::Channel => [b"subscribe", b"unsubscribe"],
        Kind::Pattern => [b"psubscribe", b"punsubscribe"],
        Kind::Shard => [b"ssubscribe", b"sunsubscribe"],
    }
}

fn listen(ctx: &mut Context<'_>, args: Args<'_>, kind: Kind) {
    let [word, _] = words(kind);
    let id = ctx.client.id.0;
    let mut confirmations = Confirmations::begin(ctx);
    for name in args.iter_from(1) {
        ctx.state.pubsub.subscribe(id, Topic::new(kind, name));
        confirmations.add(ctx, kind, word, Some(name));
    }
    confirmations.end(ctx);
}

fn cease(ctx: &mut Context<'_>, args: Args<'_>, kind: Kind) {
    let [_, word] = words(kind);
    let id = ctx.client.id.0;
    let mut confirmations = Confirmations::begin(ctx);
    if args.len() > 1 {
        for name in args.iter_from(1) {
            ctx.state.pubsub.unsubscribe(id, Topic::new(kind, name));
            confirmations.add(ctx, kind, word, Some(name));
        }
        return confirmations.end(ctx);
    }
    let all = ctx.state.pubsub.list(id, kind);
    for name in &all {
        ctx.state.pubsub.unsubscribe(id, Topic::new(kind, name));
        confirmations.add(ctx, kind, word, Some(name));
    }
    if all.is_empty() {
        confirmations.add(ctx, kind, word, None);
    }
    confirmations.end(ctx);
}

/// What a client is told of its subscriptions, a push for each. They are no replies, so a client that wants no replies
/// gets them too, by its mailbox.
struct Confirmations {
    aside: Option<Vec<u8>>,
}

impl Confirmations {
    fn begin(ctx: &Context<'_>) -> Self {
        let is_silent = ctx.client.reply_mode != ReplyMode::On;
        Self { aside: is_silent.then(Vec::new) }
    }

    /// Adds one, with the number of subscriptions as it is now.
    fn add(&mut self, ctx: &mut Context<'_>, kind: Kind, word: &[u8], name: Option<&[u8]>) {
        ctx.client.subscriptions = ctx.state.pubsub.counts(ctx.client.id.0);
        let count = ctx.client.subscriptions.told(kind);
        match &mut self.aside {
            None => write(&mut ctx.reply, word, name, count),
            Some(aside) => write(&mut Reply::new(aside, ctx.client.resp3), word, name, count),
        }
    }

    fn end(self, ctx: &mut Context<'_>) {
        if let Some(aside) = self.aside {
            ctx.state.tell(ctx.client.id, aside);
        }
    }
}

fn write(reply: &mut Reply<'_>, word: &[u8], name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word);
    reply.bulk_or_nil(name);
    reply.len(count);
}

/// The family.
pub const COMMANDS: &[Command] =
    &[SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE, PUNSUBSCRIBE, SSUBSCRIBE, SUNSUBSCRIBE];
