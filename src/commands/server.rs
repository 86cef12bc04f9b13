//! TIME, ROLE, REPLICAOF, WAIT, WAITAOF, and what little there is of MODULE and ACL.

use super::categories;
use super::client_control::parse_timeout;
use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::command_info::filtered;
use super::context::Context;
use super::help;
use crate::resp::{Args, CommandError, errors, number};
use crate::state::client::{Blocked, Timeout};

const TIME: Command = Command {
    name: "time",
    arity: Arity::Exactly(1),
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    group: Group::Server,
    since: "2.6.0",
    summary: "Returns the server's time: seconds since 1970, and microseconds.",
    tips: &["nondeterministic_output"],
    run: time,
    ..Command::DEFAULT
};

fn time(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let unix_us = ctx.time.unix_us;
    ctx.reply.array(2);
    ctx.reply.bulk((unix_us / 1_000_000).to_string().as_bytes());
    ctx.reply.bulk((unix_us % 1_000_000).to_string().as_bytes());
    Ok(())
}

const ROLE: Command = Command {
    name: "role",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["admin", "dangerous"],
    group: Group::Server,
    since: "2.8.12",
    summary: "Returns the role in replication, the offset and the replicas.",
    run: role,
    ..Command::DEFAULT
};

fn role(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(ctx.state.stream.end.cast_signed());
    ctx.reply.array(0);
    Ok(())
}

const REPLICAOF: Command = Command {
    name: "replicaof",
    arity: Arity::Exactly(3),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale, Flag::NoAsyncLoading],
    group: Group::Server,
    since: "5.0.0",
    summary: "Makes the server a replica, or with NO ONE a primary. Only the latter is possible here.",
    syntax: "<host port | NO ONE>",
    run: replicaof,
    ..Command::DEFAULT
};

const SLAVEOF: Command = Command {
    name: "slaveof",
    since: "1.0.0",
    summary: "The former name of REPLICAOF.",
    ..REPLICAOF
};

fn replicaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.config.cluster_enabled {
        return Err("ERR REPLICAOF not allowed in cluster mode.".into());
    }
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        ctx.reply.ok();
        return Ok(());
    }
    let port = number::parse_i64(&args[2]).and_then(|port| u16::try_from(port).ok());
    Err(match port {
        Some(_) => "ERR replication is not part of this version".into(),
        None => "ERR Invalid master port".into(),
    })
}

const WAIT: Command = Command {
    name: "wait",
    arity: Arity::Exactly(3),
    flags: &[Flag::Blocking],
    categories: &["connection"],
    since: "3.0.0",
    summary: "Waits until replicas have acknowledged the connection's writes, and returns how many have.",
    syntax: "numreplicas timeout",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    run: wait,
    ..Command::DEFAULT
};

fn wait(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let until_ms = parse_timeout(&args[2], ctx.now_ms());
    let replicas = number::parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
    let until_ms = until_ms?;
    // There are no replicas: either none is asked for, or the time passes.
    if replicas <= 0 || ctx.client.in_exec {
        ctx.reply.int(0);
        return Ok(());
    }
    ctx.client.blocked = Some(Blocked::Waiting { until_ms, reply: Timeout::Zero });
    Ok(())
}

const WAITAOF: Command = Command {
    name: "waitaof",
    arity: Arity::Exactly(4),
    flags: &[Flag::Blocking],
    categories: &["connection"],
    since: "7.2.0",
    summary: "Waits until the connection's writes are synced here and on replicas, and returns how often they are.",
    syntax: "numlocal numreplicas timeout",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    run: waitaof,
    ..Command::DEFAULT
};

fn waitaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let local = within(&args[1], 1)?;
    let replicas = within(&args[2], i64::MAX)?;
    let until_ms = parse_timeout(&args[3], ctx.now_ms())?;
    let persistence = &ctx.state.persistence;
    if local > 0 && !persistence.aof_enabled {
        return Err(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.".into()
        );
    }
    let offset = if persistence.aof_enabled { ctx.state.stream.end } else { u64::MAX };
    let reply = Timeout::Durable { offset, suffices: replicas == 0 };
    let durable = persistence.durable;
    let met = reply.is_met(durable) || (local == 0 && replicas == 0);
    if met || ctx.client.in_exec {
        ctx.reply.raw(reply.bytes(durable));
        return Ok(());
    }
    ctx.client.blocked = Some(Blocked::Waiting { until_ms, reply });
    Ok(())
}

/// A number from 0 to `max`.
fn within(word: &[u8], max: i64) -> Result<i64, CommandError> {
    let number = number::parse_i64(word).ok_or(errors::NOT_INTEGER)?;
    if (0..=max).contains(&number) {
        return Ok(number);
    }
    Err(CommandError::owned(format!("ERR value is out of range, value must between 0 and {max}")))
}

const MODULE: Command = Command {
    name: "module",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "4.0.0",
    summary: "Looks at modules: there are none.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command { group: Group::Server, ..help::HELP },
        Command {
            name: "list",
            arity: Arity::Exactly(2),
            flags: &[Flag::Admin, Flag::Noscript],
            group: Group::Server,
            since: "4.0.0",
            summary: "Returns the modules in use.",
            tips: &["nondeterministic_output_order"],
            run: module_list,
            ..Command::DEFAULT
        },
    ],
    ..Command::DEFAULT
};

fn module_list(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.array(0);
    Ok(())
}

const ACL: Command = Command {
    name: "acl",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "6.0.0",
    summary: "Looks at users and categories. There is one user, default.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "cat",
            arity: Arity::AtLeast(2),
            flags: &[Flag::Noscript, Flag::Loading, Flag::Stale],
            group: Group::Server,
            since: "6.0.0",
            summary: "Returns the categories, or the commands of one.",
            syntax: "[category]",
            run: acl_cat,
            ..Command::DEFAULT
        },
        Command { group: Group::Server, since: "6.0.0", ..help::HELP },
        Command {
            name: "users",
            arity: Arity::Exactly(2),
            flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale],
            group: Group::Server,
            since: "6.0.0",
            summary: "Returns the names of all users.",
            run: acl_users,
            ..Command::DEFAULT
        },
        Command {
            name: "whoami",
            arity: Arity::Exactly(2),
            flags: &[Flag::Noscript, Flag::Loading, Flag::Stale],
            group: Group::Server,
            since: "6.0.0",
            summary: "Returns the name of the connection's user.",
            run: acl_whoami,
            ..Command::DEFAULT
        },
    ],
    ..Command::DEFAULT
};

fn acl_whoami(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.bulk(b"default");
    Ok(())
}

fn acl_users(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.array(1);
    ctx.reply.bulk(b"default");
    Ok(())
}

fn acl_cat(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let names = match args.get(2) {
        None => categories::ALL.to_vec(),
        Some(_) if args.len() > 3 => {
            return Err(
                "ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL HELP."
                    .into(),
            );
        }
        Some(word) => {
            let category = String::from_utf8_lossy(word).to_ascii_lowercase();
            if !categories::ALL.contains(&category.as_str()) {
                let word = errors::printable(word);
                return Err(CommandError::owned(format!("ERR Unknown category '{word}'")));
            }
            filtered(|entry| categories::belongs(entry.command, &category))
        }
    };
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[TIME, ROLE, REPLICAOF, SLAVEOF, WAIT, WAITAOF, MODULE, ACL];
