//! COMMAND DOCS: what people want to know of commands, and the tree of their arguments.

use super::command::{Command, CommandResult};
use super::command_age::{self, Deprecated};
use super::command_info::{SUBCOMMAND, words};
use super::command_syntax::{self, Argument, Kind};
use super::context::Context;
use super::table::{Entry, table};
use crate::resp::{Args, Reply};

pub(super) const DOCS: Command = Command {
    name: "docs",
    since: "7.0.0",
    summary: "Documents the commands named, or all.",
    complexity: "O(N) with N the commands",
    syntax: "[command-name [command-name ...]]",
    tips: &["nondeterministic_output_order"],
    run: docs,
    ..SUBCOMMAND
};

fn docs(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let entries: Vec<&Entry> = if args.len() == 2 {
        table().entries().iter().collect()
    } else {
        // Unknown names are left out.
        args.iter_from(2).filter_map(|name| table().find_full(name)).collect()
    };
    ctx.reply.map(entries.len());
    entries.iter().for_each(|entry| document(&mut ctx.reply, entry));
    Ok(())
}

/// The reply to COMMAND DOCS, of version 3 of the protocol.
pub fn documentation() -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, true);
    reply.map(table().entries().len());
    table().entries().iter().for_each(|entry| document(&mut reply, entry));
    out
}

/// Name and facts of one command.
fn document(reply: &mut Reply<'_>, entry: &Entry) {
    let command = entry.command;
    let arguments = command_syntax::arguments(command);
    reply.bulk(entry.full_name.as_bytes());
    let lists = usize::from(!arguments.is_empty()) + usize::from(!entry.subcommands.is_empty());
    let deprecated = command_age::deprecated(&entry.full_name);
    let flag = match deprecated {
        Some(_) => Some("deprecated"),
        None => command_age::is_of_servers(&entry.full_name).then_some("syscmd"),
    };
    let age = usize::from(flag.is_some()) + 2 * usize::from(deprecated.is_some());
    reply.map(4 + age + lists);
    let facts = [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
        ("complexity", command.complexity),
    ];
    for (name, fact) in facts {
        reply.bulk(name.as_bytes());
        reply.bulk(fact.as_bytes());
    }
    if let Some(flag) = flag {
        reply.bulk(b"doc_flags");
        words(reply, &[flag]);
    }
    if let Some(Deprecated { since, by }) = deprecated {
        for text in ["deprecated_since", since, "replaced_by", by] {
            reply.bulk(text.as_bytes());
        }
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        list(reply, &arguments);
    }
    if !entry.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(entry.subcommands.len());
        entry.subcommands.iter().for_each(|subcommand| document(reply, subcommand));
    }
}

fn list(reply: &mut Reply<'_>, arguments: &[Argument]) {
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| describe(reply, argument));
}

fn describe(reply: &mut Reply<'_>, argument: &Argument) {
    let flags: Vec<&str> = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect();
    let plain = !matches!(argument.kind, Kind::PureToken | Kind::Oneof | Kind::Block);
    let optional_fields = [
        plain,
        argument.key_spec.is_some(),
        argument.token.is_some(),
        !flags.is_empty(),
        !argument.arguments.is_empty(),
    ];
    reply.map(2 + optional_fields.iter().filter(|has| **has).count());
    let mut field = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    field("name", &argument.name);
    field("type", argument.kind.name());
    if plain {
        field("display_text", &argument.name);
    }
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.len(index);
    }
    if let Some(token) = &argument.token {
        reply.bulk(b"token");
        reply.bulk(token.as_bytes());
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        words(reply, &flags);
    }
    if !argument.arguments.is_empty() {
        reply.bulk(b"arguments");
        list(reply, &argument.arguments);
    }
}
