//! COMMAND, COMMAND INFO, COUNT and LIST: the declarations as clients and proxies read them.

use super::command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec};
use super::context::Context;
use super::table::{Entry, table};
use super::{categories, command_docs, command_keys, help};
use crate::glob;
use crate::resp::{Args, Reply, errors};

const ANYTIME: &[Flag] = &[Flag::Loading, Flag::Stale];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

/// What all subcommands share.
pub(super) const SUBCOMMAND: Command = Command {
    arity: Arity::AtLeast(2),
    flags: ANYTIME,
    categories: &["connection"],
    group: Group::Server,
    since: "2.8.13",
    ..Command::DEFAULT
};

const COMMAND: Command = Command {
    name: "command",
    flags: ANYTIME,
    categories: &["connection"],
    group: Group::Server,
    since: "2.8.13",
    summary: "Describes all commands.",
    complexity: "O(N) with N the commands",
    tips: UNORDERED,
    run: command,
    subcommands: &[
        Command {
            name: "count",
            arity: Arity::Exactly(2),
            summary: "Counts the commands.",
            run: count,
            ..SUBCOMMAND
        },
        command_docs::DOCS,
        command_keys::GETKEYS,
        command_keys::GETKEYSANDFLAGS,
        Command { categories: &["connection"], group: Group::Server, ..help::HELP },
        Command {
            name: "info",
            summary: "Describes the commands named, or all: arity, flags, keys, categories.",
            complexity: "O(N) with N the commands",
            syntax: "[command-name [command-name ...]]",
            tips: UNORDERED,
            run: info,
            ..SUBCOMMAND
        },
        Command {
            name: "list",
            since: "7.0.0",
            summary: "Names all commands, or those that pass a filter.",
            complexity: "O(N) with N the commands",
            syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
            tips: UNORDERED,
            run: list,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn command(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let entries = table().entries();
    ctx.reply.array(entries.len());
    entries.iter().for_each(|entry| describe(&mut ctx.reply, entry));
    Ok(())
}

fn count(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.len(table().entries().len());
    Ok(())
}

fn info(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len() == 2 {
        return command(ctx, args);
    }
    ctx.reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match table().find_full(name) {
            Some(entry) => describe(&mut ctx.reply, entry),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// The ten facts of one command.
fn describe(reply: &mut Reply<'_>, entry: &Entry) {
    let command = entry.command;
    let (first, last, step) = legacy_range(command);
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.int(command.arity.shown());
    let flags: Vec<&str> = FLAG_NAMES
        .iter()
        .filter(|(flag, _)| command.has(*flag) || (*flag == Flag::Movablekeys && moves(command)))
        .map(|(_, name)| *name)
        .collect();
    words(reply, &flags);
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories: Vec<String> =
        categories::of(command).map(|category| format!("@{category}")).collect();
    words(reply, &categories);
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| describe_keys(reply, spec));
    reply.set(entry.subcommands.len());
    entry.subcommands.iter().for_each(|subcommand| describe(reply, subcommand));
}

/// A set of status lines.
pub(super) fn words<W: AsRef<str>>(reply: &mut Reply<'_>, words: &[W]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word.as_ref()));
}

/// Flags by the names that COMMAND INFO shows, in stock's order. The others are not shown.
const FLAG_NAMES: [(Flag, &str); 18] = [
    (Flag::Write, "write"),
    (Flag::Readonly, "readonly"),
    (Flag::Denyoom, "denyoom"),
    (Flag::Admin, "admin"),
    (Flag::Pubsub, "pubsub"),
    (Flag::Noscript, "noscript"),
    (Flag::Blocking, "blocking"),
    (Flag::Loading, "loading"),
    (Flag::Stale, "stale"),
    (Flag::SkipMonitor, "skip_monitor"),
    (Flag::SkipSlowlog, "skip_slowlog"),
    (Flag::Asking, "asking"),
    (Flag::Fast, "fast"),
    (Flag::NoAuth, "no_auth"),
    (Flag::NoAsyncLoading, "no_async_loading"),
    (Flag::NoMulti, "no_multi"),
    (Flag::Movablekeys, "movablekeys"),
    (Flag::AllowBusy, "allow_busy"),
];

/// Whether a client cannot find the keys by the old range alone.
fn moves(command: &Command) -> bool {
    let counted =
        |spec: &KeySpec| matches!(spec.find, Find::Counted { .. } | Find::CountedPairs { .. });
    let incomplete = |spec: &KeySpec| spec.flags.contains(&KeyFlag::Incomplete);
    command.keys.iter().any(|spec| counted(spec) || incomplete(spec))
}

/// The keys as first, last and step, for clients that know nothing newer: one range over all specifications that are
/// ranges, as far as they adjoin.
fn legacy_range(command: &Command) -> (i64, i64, i64) {
    let ranges: Vec<(i64, i64, i64)> = command
        .keys
        .iter()
        .filter_map(|spec| match spec.find {
            Find::Range { first, last, step } => {
                Some((i64::from(first), i64::from(last), i64::from(step)))
            }
            Find::OneUnless { at, .. } => Some((i64::from(at), i64::from(at), 1)),
            Find::Counted { .. }
            | Find::CountedPairs { .. }
            | Find::AllBehind { .. }
            | Find::HalfBehind { .. }
            | Find::BehindLast { .. }
            | Find::Nowhere
            | Find::Behind { .. } => None,
        })
        .collect();
    match ranges[..] {
        [] => (0, 0, 0),
        [only] => only,
        [first, ref others @ ..] => {
            let mut range = first;
            for &(next, last, step) in others {
                if step != 1 || range.2 != 1 || range.1 != next - 1 {
                    break;
                }
                range.1 = last;
            }
            range
        }
    }
}

fn describe_keys(reply: &mut Reply<'_>, spec: &KeySpec) {
    let flags: Vec<&str> = spec.flags.iter().map(|flag| key_flag_name(*flag)).collect();
    reply.map(3);
    reply.bulk(b"flags");
    words(reply, &flags);
    if matches!(spec.find, Find::BehindLast { .. } | Find::Nowhere) {
        for step in ["begin_search", "find_keys"] {
            reply.bulk(step.as_bytes());
            find_step(reply, "unknown", &[]);
        }
        return;
    }
    let (begin, kind, fields): (u8, &str, [(&str, i64); 3]) = match spec.find {
        Find::Range { first, last, step } => {
            let last = i64::from(last);
            let relative = if last < 0 { last } else { last - i64::from(first) };
            let fields = [("lastkey", relative), ("keystep", i64::from(step)), ("limit", 0)];
            (first, "range", fields)
        }
        Find::Counted { at, first } | Find::CountedPairs { at, first } => {
            let step = if matches!(spec.find, Find::CountedPairs { .. }) { 2 } else { 1 };
            let first = i64::from(first) - i64::from(at);
            (at, "keynum", [("keynumidx", 0), ("firstkey", first), ("keystep", step)])
        }
        Find::OneUnless { at, .. } => (at, "range", [("lastkey", 0), ("keystep", 1), ("limit", 0)]),
        // From the second last argument towards the front, says stock.
        Find::Behind { from, .. } => {
            (from, "range", [("lastkey", 0), ("keystep", 1), ("limit", 0)])
        }
        Find::BehindLast { .. } | Find::Nowhere | Find::AllBehind { .. } => {
            (0, "range", [("lastkey", -1), ("keystep", 1), ("limit", 0)])
        }
        Find::HalfBehind { .. } => (0, "range", [("lastkey", -1), ("keystep", 1), ("limit", 2)]),
    };
    reply.bulk(b"begin_search");
    match spec.find {
        Find::AllBehind { word } => find_word(reply, word, -2),
        Find::HalfBehind { word, from } => find_word(reply, word, i64::from(from)),
        Find::Behind { word, from } => find_word(reply, word, i64::from(from)),
        _ => find_step(reply, "index", &[("index", i64::from(begin))]),
    }
    reply.bulk(b"find_keys");
    find_step(reply, kind, &fields);
}

fn find_word(reply: &mut Reply<'_>, word: &str, from: i64) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"keyword");
    reply.bulk(b"spec");
    reply.map(2);
    reply.bulk(b"keyword");
    reply.bulk(word.as_bytes());
    reply.bulk(b"startfrom");
    reply.int(from);
}

fn find_step(reply: &mut Reply<'_>, kind: &str, fields: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.int(*value);
    }
}

/// A key flag by the name that COMMAND INFO and GETKEYSANDFLAGS show.
pub(super) fn key_flag_name(flag: KeyFlag) -> &'static str {
    match flag {
        KeyFlag::Ro => "RO",
        KeyFlag::Rw => "RW",
        KeyFlag::Ow => "OW",
        KeyFlag::Rm => "RM",
        KeyFlag::Access => "access",
        KeyFlag::Update => "update",
        KeyFlag::Insert => "insert",
        KeyFlag::Delete => "delete",
        KeyFlag::NotKey => "not_key",
        KeyFlag::Incomplete => "incomplete",
        KeyFlag::VariableFlags => "variable_flags",
    }
}

fn list(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let named = |at: usize, word: &str| {
        args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let names: Vec<&str> = if args.len() == 2 {
        filtered(|_| true)
    } else if args.len() == 5 && named(2, "filterby") && named(3, "module") {
        Vec::new()
    } else if args.len() == 5 && named(2, "filterby") && named(3, "aclcat") {
        let category = String::from_utf8_lossy(&args[4]).to_ascii_lowercase();
        filtered(|entry| categories::belongs(entry.command, &category))
    } else if args.len() == 5 && named(2, "filterby") && named(3, "pattern") {
        filtered(|entry| glob::matches_any_case(&args[4], entry.full_name.as_bytes()))
    } else {
        return Err(errors::SYNTAX);
    };
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// Commands and subcommands that `takes` likes.
pub(super) fn filtered(takes: impl Fn(&Entry) -> bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    super::info_stats::for_each_entry(|entry| {
        if takes(entry) {
            names.push(entry.full_name.as_str());
        }
    });
    names
}

/// The family.
pub const COMMANDS: &[Command] = &[COMMAND];
