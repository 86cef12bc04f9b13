//! CONFIG: settings read and changed while the server runs. What a setting is, `crate::config` knows.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::{Context, Then};
use super::help;
use crate::config::{Client, ConfigError};
use crate::resp::{Args, CommandError, errors};
use crate::state::Output;
use crate::state::client::Blocked;
use crate::state::output::Follow;

const ADMIN: &[Flag] = &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale];

const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    flags: ADMIN,
    group: Group::Server,
    since: "2.0.0",
    ..Command::DEFAULT
};

const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const CONFIG: Command = Command {
    name: "config",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "2.0.0",
    summary: "Reads and changes settings.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "get",
            arity: Arity::AtLeast(3),
            summary: "Returns the settings whose names match patterns, with their values.",
            complexity: "O(N) with N the settings",
            syntax: "parameter [parameter ...]",
            run: get,
            ..SUBCOMMAND
        },
        Command { group: Group::Server, ..help::HELP },
        Command {
            name: "resetstat",
            summary: "Sets the counters of INFO back to zero.",
            tips: TO_ALL,
            run: resetstat,
            ..SUBCOMMAND
        },
        Command {
            name: "rewrite",
            since: "2.8.0",
            summary: "Writes the settings in force to the configuration file.",
            tips: TO_ALL,
            run: rewrite,
            ..SUBCOMMAND
        },
        Command {
            name: "set",
            arity: Arity::AtLeast(4),
            summary: "Changes settings, all of those given or none.",
            complexity: "O(N) with N the settings given",
            syntax: "parameter value [parameter value ...]",
            tips: TO_ALL,
            run: set,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn get(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let patterns: Vec<String> =
        args.iter_from(2).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let found = ctx.state.config.get_all(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(&value);
    }
    Ok(())
}

/// Settings that the system may not let the driver follow.
const FOLLOWED: [&str; 3] = ["port", "bind", "maxclients"];

fn set(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if !args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity("config|set"));
    }
    let words: Vec<&[u8]> = args.iter_from(2).collect();
    let pairs: Vec<(String, Vec<u8>)> = words
        .chunks_exact(2)
        .map(|pair| (String::from_utf8_lossy(pair[0]).into_owned(), pair[1].to_vec()))
        .collect();
    let asking = Client {
        local: ctx.client.peer.loopback || ctx.client.peer.unix,
        loading: ctx.state.persistence.loading.is_some(),
    };
    let changes = ctx.state.config.set(&pairs, asking).map_err(|error| match error {
        ConfigError::Loading => errors::LOADING,
        error => CommandError::owned(format!("ERR {error}")),
    })?;
    if FOLLOWED.iter().any(|name| changes.has(name)) {
        if let Err(error) = wait_for_job(ctx) {
            ctx.state.config.undo(changes);
            return Err(error);
        }
        let (client, before) = (ctx.client.id, changes.pairs_before());
        let follow = Follow { client, names: changes.names, before };
        ctx.state.outputs.push(Output::FollowSettings(follow));
        ctx.then = Then::SettingsChanged;
        return Ok(());
    }
    if !changes.names.is_empty() {
        ctx.state.outputs.push(Output::ConfigChanged(changes.names));
        ctx.then = Then::SettingsChanged;
    }
    ctx.reply.ok();
    Ok(())
}

fn rewrite(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.state.config.file().is_none() {
        return Err("ERR The server is running without a config file".into());
    }
    wait_for_job(ctx)?;
    ctx.state.outputs.push(Output::RewriteConfig { client: ctx.client.id });
    Ok(())
}

/// Makes the client wait until the driver answers ([`crate::state::Output`] says what it does meanwhile).
///
/// # Errors
/// Inside a transaction nothing can wait.
pub(super) fn wait_for_job(ctx: &mut Context<'_>) -> CommandResult {
    if ctx.client.in_exec {
        return Err("ERR Command not allowed inside a transaction".into());
    }
    ctx.client.blocked = Some(Blocked::Job);
    Ok(())
}

fn resetstat(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.state.stats.reset();
    ctx.state.keyspace.stats = Default::default();
    if let Some(membership) = &mut ctx.state.cluster {
        membership.slot_costs.clear();
    }
    let persistence = &mut ctx.state.persistence;
    persistence.delayed_syncs_before = persistence.delayed_syncs;
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[CONFIG];
