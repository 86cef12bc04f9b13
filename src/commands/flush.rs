//! FLUSHDB and FLUSHALL. Memory is freed off the node's lock in any case, so SYNC and ASYNC do the same.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::cluster::NodeId;
use crate::keyspace::ExpireMode;
use crate::migration::{Job, Stage};
use crate::resp::{Args, CommandError, errors};

const FLUSHDB: Command = Command {
    name: "flushdb",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Write],
    categories: &["keyspace", "dangerous"],
    group: Group::Server,
    summary: "Removes all keys of the selected database.",
    complexity: "O(1); memory is freed in the background",
    syntax: "[ASYNC | SYNC]",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    run: flushdb,
    ..Command::DEFAULT
};

fn flushdb(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_mode(args)?;
    let db = ctx.db();
    voids_imports(ctx)?;
    ctx.state.keyspace.flush(db);
    ctx.effect_always();
    ctx.reply.ok();
    Ok(())
}

const FLUSHALL: Command = Command {
    name: "flushall",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Write],
    categories: &["keyspace", "dangerous"],
    group: Group::Server,
    summary: "Removes all keys of all databases.",
    complexity: "O(N) with N the databases; memory is freed in the background",
    syntax: "[ASYNC | SYNC]",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    run: flushall,
    ..Command::DEFAULT
};

/// Where there are save points, the empty dataset is saved at once and changes are counted anew: otherwise too few
/// changes would follow to replace a snapshot full of what was just removed.
fn flushall(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_mode(args)?;
    voids_imports(ctx)?;
    let before = ctx.state.keyspace.dirty;
    ctx.state.keyspace.flush_all();
    let is_replayed = ctx.state.keyspace.expire_mode == ExpireMode::Ignore;
    if !ctx.state.config.save.is_empty() && !is_replayed {
        ctx.state.keyspace.dirty = before;
        ctx.state.persistence.dirty = 0;
        if let Some(job) = &mut ctx.state.persistence.snapshot {
            job.dirty_at_cut = 0;
        }
        ctx.state.persistence.snapshot_scheduled = true;
    }
    ctx.effect_always();
    ctx.reply.ok();
    Ok(())
}

/// What is being received goes with all other keys: its source has to begin anew.
///
/// # Errors
/// Slots are being taken just now.
fn voids_imports(ctx: &mut Context<'_>) -> CommandResult {
    if ctx.state.is_replica() || ctx.state.keyspace.expire_mode == ExpireMode::Ignore {
        return Ok(());
    }
    if ctx.state.migrations.iter().any(|job| job.is_taking) {
        return Err("TRYAGAIN Slots are being taken over".into());
    }
    let receives = |job: &&Job| job.stage == Stage::Receiving;
    let names: Vec<NodeId> =
        ctx.state.migrations.iter().filter(receives).map(|job| job.name).collect();
    names.iter().for_each(|name| ctx.state.drop_import(name));
    Ok(())
}

/// # Errors
/// A word other than SYNC or ASYNC, or more than one.
fn check_mode(args: Args<'_>) -> Result<(), CommandError> {
    let known =
        |word: &[u8]| word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
    match args.len() {
        1 => Ok(()),
        2 if known(&args[1]) => Ok(()),
        _ => Err(errors::SYNTAX),
    }
}

/// The family.
pub const COMMANDS: &[Command] = &[FLUSHDB, FLUSHALL];
