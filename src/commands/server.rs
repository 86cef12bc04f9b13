//! TIME, and what little there is of MODULE and ACL.

use super::categories;
use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::command_info::filtered;
use super::context::Context;
use super::help;
use crate::resp::{Args, CommandError, quoted};

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
                let word = quoted(word);
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
pub const COMMANDS: &[Command] = &[TIME, MODULE, ACL];
