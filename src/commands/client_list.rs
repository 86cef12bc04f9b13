//! CLIENT LIST and CLIENT INFO: a line of fields for each connection, in stock's order.

use std::fmt::Write as _;

use super::client::{OTHERS, SUBCOMMAND};
use super::command::{Arity, Command, CommandResult};
use super::context::Context;
use crate::clock::Time;
use crate::resp::{Args, CommandError, errors, number, quoted};
use crate::state::client::{Client, ClientId};

const VOLATILE: &[&str] = &["nondeterministic_output"];

pub(super) const INFO: Command = Command {
    name: "info",
    since: "6.2.0",
    summary: "Describes the connection.",
    tips: VOLATILE,
    run: info,
    ..SUBCOMMAND
};

fn info(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut text = line(ctx.client, &own_fields(ctx, args), ctx.state.time);
    text.push('\n');
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

pub(super) const LIST: Command = Command {
    name: "list",
    arity: Arity::AtLeast(2),
    flags: OTHERS,
    since: "2.4.0",
    summary: "Describes all connections, those of a type, or those with given numbers.",
    complexity: "O(N) with N the connections",
    syntax: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    tips: VOLATILE,
    run: list,
    ..SUBCOMMAND
};

fn list(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let wanted = parse_list(args)?;
    let mut lines: Vec<(ClientId, String)> = ctx
        .state
        .clients
        .iter()
        .filter(|client| !client.killed && wanted.takes(client))
        .map(|client| (client.id, line(client, &Running::default(), ctx.state.time)))
        .collect();
    if wanted.takes(ctx.client) {
        let own = line(ctx.client, &own_fields(ctx, args), ctx.state.time);
        lines.push((ctx.client.id, own));
    }
    lines.sort_unstable_by_key(|(id, _)| *id);
    let mut text = String::new();
    for (_, line) in &lines {
        text.push_str(line);
        text.push('\n');
    }
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

/// Which clients a list shows.
enum Wanted {
    All,
    Type(ClientType),
    Ids(Vec<u64>),
}

impl Wanted {
    fn takes(&self, client: &Client) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Type(kind) => kind.takes(client),
            Wanted::Ids(ids) => ids.contains(&client.id.0),
        }
    }
}

/// A type of clients, as CLIENT LIST and CLIENT KILL name it.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientType {
    Normal,
    Replica,
    Pubsub,
    /// There are none of it here.
    Primary,
}

impl ClientType {
    pub(super) fn takes(self, client: &Client) -> bool {
        match self {
            ClientType::Normal => !client.is_replica && !client.subscriptions.any(),
            ClientType::Replica => client.is_replica,
            ClientType::Pubsub => !client.is_replica && client.subscriptions.any(),
            ClientType::Primary => false,
        }
    }
}

fn parse_list(args: Args<'_>) -> Result<Wanted, CommandError> {
    let Some(option) = args.get(2) else { return Ok(Wanted::All) };
    if option.eq_ignore_ascii_case(b"type") && args.len() == 4 {
        return client_type(&args[3]).map(Wanted::Type);
    }
    if option.eq_ignore_ascii_case(b"id") && args.len() > 3 {
        let ids = args.iter_from(3).map(|word| {
            let id = number::parse_i64(word).ok_or(CommandError::new("ERR Invalid client ID"))?;
            // No client has number 0, nor one below it.
            Ok(u64::try_from(id).unwrap_or(0))
        });
        return Ok(Wanted::Ids(ids.collect::<Result<_, CommandError>>()?));
    }
    Err(errors::SYNTAX)
}

/// The type of a name.
pub(super) fn client_type(word: &[u8]) -> Result<ClientType, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(ClientType::Normal),
        b"slave" | b"replica" => Ok(ClientType::Replica),
        b"pubsub" => Ok(ClientType::Pubsub),
        b"master" => Ok(ClientType::Primary),
        _ => {
            let word = quoted(word);
            Err(CommandError::owned(format!("ERR Unknown client type '{word}'")))
        }
    }
}

/// What is known only of the client that is executing.
#[derive(Default)]
struct Running<'a> {
    command: Option<&'a str>,
    argument_bytes: usize,
}

fn own_fields(ctx: &Context<'_>, args: Args<'_>) -> Running<'static> {
    Running {
        command: Some(&ctx.entry.full_name),
        argument_bytes: args.iter().map(<[u8]>::len).sum(),
    }
}

/// A client as one line, as CLIENT LIST and the log show it.
pub fn describe(client: &Client, now: Time) -> String {
    line(client, &Running::default(), now)
}

/// Letters of the field `flags`.
fn flags(client: &Client) -> String {
    let letters = [
        (client.monitor, 'O'),
        (client.is_replica, 'S'),
        (client.subscriptions.any(), 'P'),
        (client.transaction.is_some(), 'x'),
        (client.blocked.is_some(), 'b'),
        (client.watch_broken, 'd'),
        (client.close_after_reply, 'c'),
        (client.peer.unix, 'U'),
        (client.readonly, 'r'),
        (client.no_evict, 'e'),
        (client.no_touch, 'T'),
    ];
    let text: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter).collect();
    if text.is_empty() { "N".to_owned() } else { text }
}

/// The line of one client, without its end.
fn line(client: &Client, running: &Running<'_>, now: Time) -> String {
    let seconds_since = |then: Time| now.mono_us.saturating_sub(then.mono_us) / 1_000_000;
    let queued = client.transaction.as_ref().map(|transaction| &transaction.queue);
    let multi = queued.map_or(-1, |queue| i64::try_from(queue.len()).unwrap_or(i64::MAX));
    let multi_bytes: usize = queued.map_or(0, |queue| {
        queue.iter().map(|queued| queued.bytes.len() + queued.ranges.len() * 8).sum()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = String::with_capacity(400);
    // Writing to a string cannot fail.
    let _infallible = write!(
        line,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={multi} \
         qbuf={} qbuf-free=0 argv-mem={} multi-mem={multi_bytes} rbs=0 rbp=0 obl=0 oll={} omem={} tot-mem={} \
         events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        client.id.0,
        client.peer.address,
        client.peer.local_address,
        client.peer.fd,
        text(&client.name),
        seconds_since(client.created),
        seconds_since(client.last_interaction),
        flags(client),
        client.db,
        client.subscriptions.channels,
        client.subscriptions.patterns,
        client.subscriptions.shards,
        client.query_bytes,
        running.argument_bytes,
        usize::from(client.output_bytes > 0),
        client.output_bytes,
        client.memory_usage() + running.argument_bytes,
        running.command.unwrap_or(client.last_command),
        if client.resp3 { 3 } else { 2 },
        text(&client.lib_name),
        text(&client.lib_ver),
    );
    line
}
