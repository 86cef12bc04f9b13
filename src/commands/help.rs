//! HELP of a container, from the declarations of its subcommands.

use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use super::table::table;
use crate::resp::Args;

/// The HELP subcommand that every container has; families add group, categories and version.
pub(super) const HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale],
    since: "5.0.0",
    summary: "Lists the subcommands.",
    run: help,
    ..Command::DEFAULT
};

fn help(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let name = ctx.entry.full_name.split('|').next().unwrap_or_default();
    let Some(entry) = table().find(name.as_bytes()) else { return Ok(()) };
    let mut lines = Vec::with_capacity(2 * entry.subcommands.len());
    for subcommand in entry.subcommands.iter().filter(|entry| entry.command.name != "help") {
        let command = subcommand.command;
        let line = format!("{} {}", command.name.to_ascii_uppercase(), command.syntax);
        lines.push(line.trim_end().to_owned());
        lines.push(format!("    {}", command.summary));
    }
    answer(ctx, name, &lines);
    Ok(())
}

/// Writes a help text: a head, `lines`, and what HELP itself does.
pub(super) fn answer<L: AsRef<str>>(ctx: &mut Context<'_>, name: &str, lines: &[L]) {
    ctx.reply.array(lines.len() + 3);
    let name = name.to_ascii_uppercase();
    ctx.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        ctx.reply.simple(line.as_ref());
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
}
