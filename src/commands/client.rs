//! CLIENT: the connection looked at and changed by its own client. Listing and killing others are in
//! `client_list` and `client_control`.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use super::{auth, client_control, client_list, help};
use crate::resp::{Args, CommandError, errors, quoted};
use crate::state::client::ReplyMode;

/// Flags of subcommands about the own connection.
const OWN: &[Flag] = &[Flag::Noscript, Flag::Loading, Flag::Stale];

/// Flags of subcommands about other connections.
pub(super) const OTHERS: &[Flag] = &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale];

/// What all subcommands share.
pub(super) const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    flags: OWN,
    categories: &["connection"],
    group: Group::Connection,
    ..Command::DEFAULT
};

const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const CLIENT: Command = Command {
    name: "client",
    arity: Arity::AtLeast(2),
    group: Group::Connection,
    since: "2.4.0",
    summary: "Looks at connections and changes them.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "caching",
            arity: Arity::Exactly(3),
            since: "6.0.0",
            summary: "Says whether the next command's keys are tracked. Keys are not tracked here: an error.",
            syntax: "<YES | NO>",
            run: caching,
            ..SUBCOMMAND
        },
        Command {
            name: "getname",
            since: "2.6.9",
            summary: "Returns the name of the connection.",
            run: getname,
            ..SUBCOMMAND
        },
        Command {
            name: "getredir",
            since: "6.0.0",
            summary: "Returns the connection that gets this one's invalidations: -1, there is none.",
            run: getredir,
            ..SUBCOMMAND
        },
        Command { categories: &["connection"], group: Group::Connection, ..help::HELP },
        Command {
            name: "id",
            since: "5.0.0",
            summary: "Returns the number of the connection.",
            run: id,
            ..SUBCOMMAND
        },
        client_list::INFO,
        client_control::KILL,
        client_list::LIST,
        Command {
            name: "no-evict",
            arity: Arity::Exactly(3),
            flags: OTHERS,
            since: "7.0.0",
            summary: "Keeps the connection out of client eviction, or not.",
            syntax: "<ON | OFF>",
            run: no_evict,
            ..SUBCOMMAND
        },
        Command {
            name: "no-touch",
            arity: Arity::Exactly(3),
            since: "7.2.0",
            summary: "Makes the connection's commands leave the access times of keys alone, or not.",
            syntax: "<ON | OFF>",
            run: no_touch,
            ..SUBCOMMAND
        },
        client_control::PAUSE,
        Command {
            name: "reply",
            arity: Arity::Exactly(3),
            since: "3.2.0",
            summary: "Switches replies on or off, or leaves out that of the next command.",
            syntax: "<ON | OFF | SKIP>",
            run: reply,
            ..SUBCOMMAND
        },
        Command {
            name: "setinfo",
            arity: Arity::Exactly(4),
            since: "7.2.0",
            summary: "Notes name or version of the client library.",
            syntax: "<LIB-NAME libname | LIB-VER libver>",
            tips: TO_ALL,
            run: setinfo,
            ..SUBCOMMAND
        },
        Command {
            name: "setname",
            arity: Arity::Exactly(3),
            since: "2.6.9",
            summary: "Names the connection.",
            syntax: "connection-name",
            tips: TO_ALL,
            run: setname,
            ..SUBCOMMAND
        },
        Command {
            name: "tracking",
            arity: Arity::AtLeast(3),
            since: "6.0.0",
            summary: "Switches tracking of keys for client side caching. Only OFF is possible here.",
            syntax: "<ON | OFF>",
            run: tracking,
            ..SUBCOMMAND
        },
        Command {
            name: "trackinginfo",
            since: "6.2.0",
            summary: "Describes the tracking of keys for this connection: it is off.",
            run: trackinginfo,
            ..SUBCOMMAND
        },
        client_control::UNBLOCK,
        client_control::UNPAUSE,
    ],
    ..Command::DEFAULT
};

fn id(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.int(ctx.client.id.0.cast_signed());
    Ok(())
}

fn getname(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let name = &ctx.client.name;
    ctx.reply.bulk_or_nil((!name.is_empty()).then_some(&name[..]));
    Ok(())
}

fn setname(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if !auth::is_plain(&args[2]) {
        return Err(
            "ERR Client names cannot contain spaces, newlines or special characters.".into()
        );
    }
    ctx.client.name = args[2].to_vec();
    ctx.reply.ok();
    Ok(())
}

fn setinfo(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (option, value) = (&args[2], &args[3]);
    let client = &mut *ctx.client;
    let place = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut client.lib_name,
        b"lib-ver" => &mut client.lib_ver,
        _ => {
            let option = quoted(option);
            return Err(CommandError::owned(format!("ERR Unrecognized option '{option}'")));
        }
    };
    if !auth::is_plain(value) {
        let option = quoted(option);
        return Err(CommandError::owned(format!(
            "ERR {option} cannot contain spaces, newlines or special characters."
        )));
    }
    *place = value.to_vec();
    ctx.reply.ok();
    Ok(())
}

/// `on` or `off`.
fn switch(word: &[u8]) -> Result<bool, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(errors::SYNTAX),
    }
}

fn no_evict(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.client.no_evict = switch(&args[2])?;
    ctx.reply.ok();
    Ok(())
}

fn no_touch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.client.no_touch = switch(&args[2])?;
    ctx.reply.ok();
    Ok(())
}

fn reply(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            ctx.client.reply_mode = ReplyMode::On;
            ctx.reply.ok();
        }
        b"off" => ctx.client.reply_mode = ReplyMode::Off,
        b"skip" if ctx.client.reply_mode == ReplyMode::Off => {}
        b"skip" => ctx.client.reply_mode = ReplyMode::SkipNext,
        _ => return Err(errors::SYNTAX),
    }
    Ok(())
}

fn getredir(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.int(-1);
    Ok(())
}

fn tracking(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if switch(&args[2])? {
        return Err("ERR client side caching is not supported by this server".into());
    }
    ctx.reply.ok();
    Ok(())
}

fn caching(_: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Err("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled".into())
}

fn trackinginfo(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(1);
    ctx.reply.bulk(b"off");
    ctx.reply.bulk(b"redirect");
    ctx.reply.int(-1);
    ctx.reply.bulk(b"prefixes");
    ctx.reply.array(0);
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[CLIENT];
