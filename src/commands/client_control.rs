//! CLIENT KILL, UNBLOCK, PAUSE and UNPAUSE: what one connection does to others.

use super::client::{OTHERS, SUBCOMMAND};
use super::client_list::{ClientType, client_type};
use super::command::{Arity, Command, CommandResult};
use super::context::Context;
use crate::resp::{Args, CommandError, errors, number, quoted};
use crate::state::Pause;
use crate::state::client::{Blocked, Client, ClientId};

pub(super) const KILL: Command = Command {
    name: "kill",
    arity: Arity::AtLeast(3),
    flags: OTHERS,
    since: "2.4.0",
    summary: "Closes the connection with an address, or all that pass the filters.",
    complexity: "O(N) with N the connections",
    syntax: "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>]>",
    run: kill,
    ..SUBCOMMAND
};

/// Which connections a KILL is about.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    client_type: Option<ClientType>,
    keep_self: bool,
}

impl Filter<'_> {
    fn takes(&self, client: &Client) -> bool {
        !client.killed
            && self.client_type.is_none_or(|kind| kind.takes(client))
            && self.id.is_none_or(|id| id == client.id.0)
            && self.address.is_none_or(|address| address == client.peer.address.as_bytes())
            && self
                .local_address
                .is_none_or(|address| address == client.peer.local_address.as_bytes())
    }
}

fn kill(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter { address: Some(&args[2]), ..Filter::default() }
    } else {
        parse_filter(args)?
    };
    let taken = ctx.state.clients.iter().filter(|client| filter.takes(client));
    let taken: Vec<ClientId> = taken.map(|client| client.id).collect();
    let mut killed: i64 = 0;
    for id in taken {
        ctx.state.kill(id);
        killed += 1;
    }
    if !filter.keep_self && filter.takes(ctx.client) {
        // The reply still goes out.
        ctx.client.close_after_reply = true;
        killed += 1;
    }
    match (old_form, killed) {
        (true, 0) => return Err("ERR No such client".into()),
        (true, _) => ctx.reply.ok(),
        (false, _) => ctx.reply.int(killed),
    }
    Ok(())
}

fn parse_filter(args: Args<'_>) -> Result<Filter<'_>, CommandError> {
    let mut filter = Filter { keep_self: true, ..Filter::default() };
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let Some(value) = args.get(at + 1) else { return Err(errors::SYNTAX) };
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = number::parse_i64(value).and_then(|id| u64::try_from(id).ok());
                let id = id.filter(|id| *id > 0);
                filter.id =
                    Some(id.ok_or(CommandError::new("ERR client-id should be greater than 0"))?);
            }
            b"type" => filter.client_type = Some(client_type(value)?),
            b"addr" => filter.address = Some(value),
            b"laddr" => filter.local_address = Some(value),
            b"user" if value == b"default" => {}
            b"user" => {
                let user = quoted(value);
                return Err(CommandError::owned(format!("ERR No such user '{user}'")));
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.keep_self = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.keep_self = false,
            _ => return Err(errors::SYNTAX),
        }
        at += 2;
    }
    Ok(filter)
}

pub(super) const UNBLOCK: Command = Command {
    name: "unblock",
    arity: Arity::AtLeast(3),
    flags: OTHERS,
    since: "5.0.0",
    summary: "Ends the wait of another connection, as if its time were over or with an error.",
    complexity: "O(log N) with N the connections",
    syntax: "client-id [TIMEOUT | ERROR]",
    run: unblock,
    ..SUBCOMMAND
};

/// What stock says of more arguments than a subcommand takes.
fn at_most_four(args: Args<'_>) -> CommandResult {
    if args.len() <= 4 {
        return Ok(());
    }
    let word = quoted(&args[1]);
    Err(CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{word}'. Try CLIENT HELP."
    )))
}

fn unblock(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    at_most_four(args)?;
    let with_error = match args.get(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"timeout") => false,
        Some(b"error") => true,
        _ => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
    };
    let id = number::parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let id = ClientId(u64::try_from(id).unwrap_or(0));
    const ERROR: &[u8] = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    if ctx.state.break_key_wait(id, with_error.then_some(ERROR)) {
        ctx.reply.int(1);
        return Ok(());
    }
    let waiting = match ctx.state.clients.get(id).and_then(|client| client.blocked) {
        Some(Blocked::Waiting { reply, .. }) => Some(reply),
        _ => None,
    };
    let unblocked = waiting.is_some_and(|reply| {
        let told = ctx.state.wait_reply(reply);
        ctx.state.end_wait(id, if with_error { ERROR } else { &told })
    });
    ctx.reply.int(i64::from(unblocked));
    Ok(())
}

pub(super) const PAUSE: Command = Command {
    name: "pause",
    arity: Arity::AtLeast(3),
    flags: OTHERS,
    since: "2.9.50",
    summary: "Makes commands of all clients wait, or only those that may write.",
    syntax: "timeout [WRITE | ALL]",
    run: pause,
    ..SUBCOMMAND
};

fn pause(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    at_most_four(args)?;
    let mut writes_only = match args.get(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"all") => false,
        Some(b"write") => true,
        _ => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
    };
    let until_ms = parse_timeout(&args[2], ctx.now_ms())?;
    // A pause of everything that is still going on stays one of everything.
    if let Some(pause) = ctx.state.pause {
        writes_only &= pause.writes_only;
    }
    ctx.state.pause = Some(Pause { until_ms, writes_only });
    ctx.reply.ok();
    Ok(())
}

/// A timeout in milliseconds as the moment at which it is over; 0 stays 0.
pub(super) fn parse_timeout(word: &[u8], now_ms: u64) -> Result<u64, CommandError> {
    let ms = number::parse_i64(word)
        .ok_or(CommandError::new("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::new("ERR timeout is negative"))?;
    match now_ms.checked_add(ms) {
        _ if ms == 0 => Ok(0),
        Some(until_ms) if i64::try_from(until_ms).is_ok() => Ok(until_ms),
        _ => Err("ERR timeout is out of range".into()),
    }
}

pub(super) const UNPAUSE: Command = Command {
    name: "unpause",
    flags: OTHERS,
    since: "6.2.0",
    summary: "Lets paused clients go on.",
    complexity: "O(N) with N the paused clients",
    run: unpause,
    ..SUBCOMMAND
};

fn unpause(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.state.end_pause();
    ctx.reply.ok();
    Ok(())
}
