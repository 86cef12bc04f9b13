//! MONITOR: from now on the connection is shown every command.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::resp::Args;

const MONITOR: Command = Command {
    name: "monitor",
    arity: Arity::Exactly(1),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale],
    group: Group::Server,
    summary: "Shows every command as it runs.",
    run: monitor,
    ..Command::DEFAULT
};

fn monitor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.client.in_exec {
        return Err("ERR MONITOR isn't allowed for DENY BLOCKING client".into());
    }
    // Asking again changes nothing and is not answered.
    if !std::mem::replace(&mut ctx.client.monitor, true) {
        ctx.state.monitors += 1;
        ctx.reply.ok();
    }
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[MONITOR];
