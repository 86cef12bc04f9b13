//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN: the node decides, its driver does the work.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::config::wait_for_job;
use super::context::Context;
use crate::resp::{Args, CommandError, errors};
use crate::state::output::Shutdown;
use crate::state::{Output, State};

const ADMIN: &[Flag] = &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading];

const IN_PROGRESS: CommandError = CommandError::new("ERR Background save already in progress");

const SAVE: Command = Command {
    name: "save",
    arity: Arity::Exactly(1),
    flags: &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading, Flag::NoMulti],
    group: Group::Server,
    summary: "Writes a snapshot and answers when it is on disk. Other clients are served meanwhile.",
    complexity: "O(N) with N the keys of all databases",
    run: save,
    ..Command::DEFAULT
};

fn save(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if ctx.state.persistence.snapshot.is_some() {
        return Err(IN_PROGRESS);
    }
    wait_for_job(ctx)?;
    ctx.state.persistence.save_waiters.push(ctx.client.id);
    ctx.state.request_snapshot();
    Ok(())
}

const BGSAVE: Command = Command {
    name: "bgsave",
    arity: Arity::AtLeast(1),
    flags: ADMIN,
    group: Group::Server,
    summary: "Begins a snapshot.",
    syntax: "[SCHEDULE]",
    run: bgsave,
    ..Command::DEFAULT
};

fn bgsave(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let schedule = match args.get(1) {
        None => false,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"schedule") => true,
        Some(_) => return Err(errors::SYNTAX),
    };
    if ctx.state.persistence.snapshot.is_some() {
        return Err(IN_PROGRESS);
    }
    if rewrite_runs(ctx.state) || ctx.client.in_exec {
        if !schedule && !ctx.client.in_exec {
            return Err("ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.".into());
        }
        ctx.state.persistence.snapshot_scheduled = true;
        ctx.reply.simple("Background saving scheduled");
        return Ok(());
    }
    ctx.state.request_snapshot();
    ctx.reply.simple("Background saving started");
    Ok(())
}

/// Whether a rewrite runs or is about to.
fn rewrite_runs(state: &State) -> bool {
    state.persistence.rewrite.is_some() || state.outputs.contains(&Output::StartRewrite)
}

const BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    arity: Arity::Exactly(1),
    flags: ADMIN,
    group: Group::Server,
    summary: "Begins to rewrite the log.",
    run: bgrewriteaof,
    ..Command::DEFAULT
};

fn bgrewriteaof(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    if rewrite_runs(ctx.state) {
        return Err("ERR Background append only file rewriting already in progress".into());
    }
    // Somebody looks after it now: the automatic rewrites need not wait any longer.
    ctx.state.persistence.rewrite_failures = 0;
    ctx.state.persistence.rewrite_retry_s = 0;
    if ctx.state.persistence.snapshot.is_some() || ctx.client.in_exec {
        ctx.state.persistence.rewrite_scheduled = true;
        ctx.reply.simple("Background append only file rewriting scheduled");
        return Ok(());
    }
    ctx.state.request_rewrite();
    ctx.reply.simple("Background append only file rewriting started");
    Ok(())
}

const LASTSAVE: Command = Command {
    name: "lastsave",
    arity: Arity::Exactly(1),
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["admin", "dangerous"],
    group: Group::Server,
    summary: "Returns when the last good snapshot was made, in seconds since 1970.",
    tips: &["nondeterministic_output"],
    run: lastsave,
    ..Command::DEFAULT
};

fn lastsave(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.int(ctx.state.persistence.last_save_s.cast_signed());
    Ok(())
}

const SHUTDOWN: Command = Command {
    name: "shutdown",
    arity: Arity::AtLeast(1),
    flags: &[
        Flag::Admin,
        Flag::Noscript,
        Flag::Loading,
        Flag::Stale,
        Flag::NoMulti,
        Flag::AllowBusy,
    ],
    group: Group::Server,
    summary: "Stops the server, after a snapshot where save points are set or SAVE is given.",
    complexity: "O(N) with N the keys when a snapshot is written, otherwise O(1)",
    syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    run: shutdown,
    ..Command::DEFAULT
};

fn shutdown(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut how = Shutdown { client: Some(ctx.client.id), ..Shutdown::default() };
    let mut abort = false;
    for word in args.iter_from(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" if how.save != Some(true) => how.save = Some(false),
            b"save" if how.save != Some(false) => how.save = Some(true),
            b"now" => how.now = true,
            b"force" => how.force = true,
            b"abort" => abort = true,
            _ => return Err(errors::SYNTAX),
        }
    }
    if abort {
        if args.len() > 2 {
            return Err(errors::SYNTAX);
        }
        if !std::mem::take(&mut ctx.state.shutdown_waits) {
            return Err("ERR No shutdown in progress.".into());
        }
        ctx.reply.ok();
        return Ok(());
    }
    wait_for_job(ctx)?;
    ctx.state.outputs.push(Output::Shutdown(how));
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN];
