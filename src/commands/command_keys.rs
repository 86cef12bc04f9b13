//! COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a request are keys.

use super::arguments::is;
use super::command::{Arity, Command, CommandResult, KeyFlag, KeySpec};
use super::command_info::{SUBCOMMAND, key_flag_name, words};
use super::context::Context;
use super::keys::for_each_key;
use super::table::table;
use crate::resp::{Args, CommandError};

pub(super) const GETKEYS: Command = Command {
    name: "getkeys",
    arity: Arity::AtLeast(3),
    summary: "Names the keys of a request.",
    complexity: "O(N) with N the arguments of the request",
    syntax: "command [arg [arg ...]]",
    run: getkeys,
    ..SUBCOMMAND
};

pub(super) const GETKEYSANDFLAGS: Command = Command {
    name: "getkeysandflags",
    arity: Arity::AtLeast(3),
    since: "7.0.0",
    summary: "Names the keys of a request and what it does with each.",
    complexity: "O(N) with N the arguments of the request",
    syntax: "command [arg [arg ...]]",
    run: getkeysandflags,
    ..SUBCOMMAND
};

fn getkeys(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = find(args)?;
    ctx.reply.array(keys.len());
    keys.iter().for_each(|(key, _)| ctx.reply.bulk(key));
    Ok(())
}

fn getkeysandflags(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let keys = find(args)?;
    ctx.reply.array(keys.len());
    for (key, spec) in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        // That the flags depend on other arguments is no flag of the key.
        let flags: Vec<&str> = flags_of(spec, args.skip_first().skip_first())
            .iter()
            .filter(|flag| !matches!(flag, KeyFlag::Incomplete | KeyFlag::VariableFlags))
            .map(|flag| key_flag_name(*flag))
            .collect();
        words(&mut ctx.reply, &flags);
    }
    Ok(())
}

/// What a request does with a key; what the specification says where that does not depend on other arguments.
fn flags_of(spec: &'static KeySpec, request: Args<'_>) -> &'static [KeyFlag] {
    const OVERWRITES: &[KeyFlag] = &[KeyFlag::Ow, KeyFlag::Update];
    const READS: &[KeyFlag] = &[KeyFlag::Ro, KeyFlag::Access];
    let is = |at: usize, name: &str| is(&request[at], name);
    if is(0, "SET") && !(3..request.len()).any(|at| is(at, "GET")) {
        return OVERWRITES;
    }
    if is(0, "BITFIELD") {
        let mut at = 2;
        while at < request.len() && (is(at, "GET") || is(at, "OVERFLOW")) {
            at += if is(at, "GET") { 3 } else { 2 };
        }
        if at >= request.len() {
            return READS;
        }
    }
    spec.flags
}

/// The keys of the request that stands behind the first two arguments.
fn find(args: Args<'_>) -> Result<Vec<(&[u8], &'static KeySpec)>, CommandError> {
    let request = args.skip_first().skip_first();
    let entry = table().find(&args[2]).map(|entry| {
        let subcommand = request.get(1).and_then(|name| entry.subcommand(name));
        // A container alone is as good as no command.
        subcommand.or(Some(entry).filter(|entry| entry.command.subcommands.is_empty()))
    });
    let Some(entry) = entry.flatten() else { return Err("ERR Invalid command specified".into()) };
    let is_key = |spec: &KeySpec| !spec.flags.contains(&KeyFlag::NotKey);
    if !entry.command.keys.iter().any(is_key) {
        return Err("ERR The command has no key arguments".into());
    }
    if !entry.arity.fits(request.len()) {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let mut found = Vec::new();
    let whole = for_each_key(entry.command, request, |index, spec| {
        if let Some(key) = args.get(index + 2) {
            found.push((key, spec));
        }
    });
    if !whole || found.is_empty() {
        return Err("ERR Invalid arguments specified for command".into());
    }
    Ok(found)
}
