//! CLUSTER HANDOVER: what the source of a migration asks of its target. Not for operators; those of `cluster_migration` are.
//!
//! ```text
//!   BEGIN job source target ranges session epoch
//!                                    receive these slots; answers the last batch of this session applied
//!   APPLY job number commands        apply a batch; answers its number
//!   READY job                        bring what you have to disk; answers when it is there
//!   TAKE job number epoch            that was all: claim the slots, in a newer epoch; answers that of the claim
//!   RESOLVE job source epoch ranges  they were granted, did you take them? Answers the epoch of the claim, which is made now if
//!                                    your log says that you took them; OK: you have not, and never will under this grant
//!   ABORT job ranges                 they are not granted: forget what has come; an error if you have them
//!   FINISH job                       the source knows that they are yours
//!   REQUEST job target ranges        asked of the source by a target: move these slots to me
//! ```
//!
//! Each is answered once it is in the log, as everything is. Batches that were applied are passed over, so the source may
//! send again what it has no answer to.

use super::arguments::{integer, is};
use super::cluster::{ADMIN, SUBCOMMAND, core};
use super::cluster_migration::{begin, check_source, check_target};
use super::command::{Arity, Command, CommandResult};
use super::context::{Context, Then};
use crate::cluster::core::EPOCH_MAX;
use crate::cluster::{Epoch, NodeId, SlotSet};
use crate::migration::note::{Plan, is_session};
use crate::migration::{Job, Role, Said, Stage, parse_ranges};
use crate::resp::{Args, CommandError, errors};
use crate::state::client::Blocked;
use crate::state::{Output, State};

pub(super) const HANDOVER: Command = Command {
    name: "handover",
    arity: Arity::AtLeast(4),
    flags: ADMIN,
    since: "7.2.4",
    summary: "Used between nodes of this server to move slots.",
    syntax: "BEGIN | APPLY | READY | TAKE | RESOLVE | ABORT | FINISH | REQUEST job [argument ...]",
    run: handover,
    ..SUBCOMMAND
};

fn handover(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    if ctx.client.in_exec {
        return Err("ERR CLUSTER HANDOVER is not for transactions".into());
    }
    check_log(ctx.state)?;
    let name = NodeId::new(&args[3]).ok_or(CommandError::new("ERR Invalid job name"))?;
    match (&args[2], args.len()) {
        (word, 9) if is(word, "BEGIN") => receive(ctx, name, args),
        (word, 6) if is(word, "APPLY") => {
            // The batch is applied by the node: commands do not run commands.
            ctx.then = Then::ApplyBatch;
            Ok(())
        }
        (word, 4) if is(word, "READY") => {
            check_claims(ctx.state)?;
            ctx.client.blocked = Some(Blocked::Job);
            ctx.state.outputs.push(Output::SyncLog { client: ctx.client.id });
            Ok(())
        }
        (word, 6) if is(word, "TAKE") => take(ctx, name, args),
        (word, 7) if is(word, "RESOLVE") => resolve(ctx, name, args),
        (word, 5) if is(word, "ABORT") => abort(ctx, name, args),
        (word, 4) if is(word, "FINISH") => finish(ctx, name),
        (word, 6) if is(word, "REQUEST") => request(ctx, name, args),
        _ => Err(errors::SYNTAX),
    }
}

/// Jobs are begun, go on and end in the log.
pub(super) fn check_log(state: &State) -> CommandResult {
    match state.stands_still() {
        true => Err(
            "TRYAGAIN Nothing is added to the log while writes are paused, or just after a start"
                .into(),
        ),
        false => Ok(()),
    }
}

/// The import of that name.
pub(super) fn import<'s>(state: &'s mut State, name: &NodeId) -> Option<&'s mut Job> {
    state.migrations.get_mut(name).filter(|job| job.role == Role::Target)
}

fn node_id(word: &[u8]) -> Result<NodeId, CommandError> {
    NodeId::new(word).ok_or(CommandError::new("ERR Invalid node name"))
}

fn ranges(word: &[u8]) -> Result<SlotSet, CommandError> {
    let text = std::str::from_utf8(word).ok();
    text.and_then(parse_ranges).ok_or(CommandError::new("ERR Invalid slot ranges"))
}

fn receive(ctx: &mut Context<'_>, name: NodeId, args: Args<'_>) -> CommandResult {
    let (source, target) = (node_id(&args[4])?, node_id(&args[5])?);
    let slots = ranges(&args[6])?;
    let from = session_name(&args[7])?;
    let epoch = epoch_of(&args[8])?;
    let (now, session) = (ctx.time, ctx.client.id.0);
    if let Some(job) = import(ctx.state, &name) {
        job.heard = now;
        if job.stage == Stage::Dropping {
            return Err("TRYAGAIN What came of this job before is being removed".into());
        }
        if job.plan.slots != slots {
            return Err("ERR A job of that name is about other slots".into());
        }
        if job.stage == Stage::Taken {
            return begin_again(ctx, &name, &source);
        }
        let (batch, is_same) = (job.batch, job.from == from);
        check_epoch(ctx.state, &slots, epoch)?;
        if batch > 0 && !is_same {
            // The source has begun anew, or another one has. Batches of two sessions do not go together.
            drop_import(ctx, &name);
            return Err("TRYAGAIN What came of another session is being removed".into());
        }
        ctx.effect_given = true;
        if !is_same {
            ctx.state.say_of_job(name, Said::From(from));
        }
        if let Some(job) = import(ctx.state, &name) {
            job.session = Some(session);
        }
        ctx.reply.int(i64::try_from(batch).unwrap_or(i64::MAX));
        return Ok(());
    }
    let plan = Plan { source, target, slots };
    check_target(ctx.state, &plan)?;
    check_epoch(ctx.state, &plan.slots, epoch)?;
    if let Some(other) = ctx.state.migrations.meeting(&plan.slots).map(|job| job.name) {
        // Another job of the same source is over, or it would not have begun this one.
        let is_stale = import(ctx.state, &other)
            .is_some_and(|job| job.plan.source == source && job.stage == Stage::Receiving);
        let is_void = import(ctx.state, &other)
            .is_some_and(|job| job.stage == Stage::Taken && !job.is_taking)
            && is_sources(ctx.state, &other, &source)?;
        if !is_stale && !is_void {
            return Err(
                "ERR Slot is already being imported on the target by a different migration".into(),
            );
        }
        drop_import(ctx, &other);
        return Err("TRYAGAIN What came of another job is being removed".into());
    }
    if ctx.state.has_foreign_keys(&plan.slots) {
        ctx.state.trim_foreign(&plan.slots);
        return Err("TRYAGAIN Keys of these slots are being removed".into());
    }
    ctx.effect_given = true;
    ctx.state.say_of_job(name, Said::Import(Box::new(plan)));
    ctx.state.say_of_job(name, Said::From(from));
    if let Some(job) = import(ctx.state, &name) {
        job.session = Some(session);
    }
    ctx.reply.int(0);
    Ok(())
}

fn session_name(word: &[u8]) -> Result<String, CommandError> {
    let text = std::str::from_utf8(word).ok().filter(|_| is_session(word));
    text.map(str::to_owned).ok_or(CommandError::new("ERR Invalid session"))
}

fn epoch_of(word: &[u8]) -> Result<Epoch, CommandError> {
    let epoch = u64::try_from(integer(word)?).map(Epoch).map_err(|_| errors::NOT_INTEGER)?;
    if epoch > EPOCH_MAX { Err("ERR Epoch is out of range".into()) } else { Ok(epoch) }
}

/// A source whose shard has claimed the slots in a newer epoch than its own has been replaced, and does not know yet.
fn check_epoch(state: &State, slots: &SlotSet, epoch: Epoch) -> CommandResult {
    match core(state)?.newest_claim_of(slots) > epoch {
        true => Err("ERR Target node does not agree about current slot ownership".into()),
        false => Ok(()),
    }
}

/// The source begins, and the log says that the slots are taken: it has kept them, then, and whoever took them back is dead.
fn begin_again(ctx: &mut Context<'_>, name: &NodeId, source: &NodeId) -> CommandResult {
    let is_taking = import(ctx.state, name).is_some_and(|job| job.is_taking);
    if is_taking || !is_sources(ctx.state, name, source)? {
        return Err("ERR The slots are taken already".into());
    }
    drop_import(ctx, name);
    Err("TRYAGAIN What came of this job before is being removed".into())
}

/// Whether the slots of an import are still the source's, as far as this node knows.
fn is_sources(state: &mut State, name: &NodeId, source: &NodeId) -> Result<bool, CommandError> {
    let slots = import(state, name).map(|job| job.plan.slots.clone()).unwrap_or_default();
    Ok(core(state)?.are_left_to(&slots, source))
}

fn take(ctx: &mut Context<'_>, name: NodeId, args: Args<'_>) -> CommandResult {
    let (batch, epoch) = (integer(&args[4])?, epoch_of(&args[5])?);
    let session = Some(ctx.client.id.0);
    let plan = match import(ctx.state, &name) {
        Some(job) if job.stage == Stage::Receiving && !job.is_taking && job.session == session => {
            if i64::try_from(job.batch) != Ok(batch) {
                return Err("ERR Other batches than that have been applied".into());
            }
            job.plan.clone()
        }
        _ => return Err("ERR There is nothing to take".into()),
    };
    check_owner(ctx.state, &plan)?;
    check_epoch(ctx.state, &plan.slots, epoch)?;
    check_claims(ctx.state)?;
    ctx.effect_given = true;
    ctx.state.say_of_job(name, Said::Take);
    claim(ctx, name, epoch, false)
}

/// The slots are still the source's.
fn check_owner(state: &State, plan: &Plan) -> CommandResult {
    let core = core(state)?;
    if !core.peers().me().is_primary() {
        return Err("ERR Slot migration can only be used on primary nodes.".into());
    }
    if !core.are_of_shard(&plan.slots, &plan.source) {
        return Err("ERR Target node does not agree about current slot ownership".into());
    }
    Ok(())
}

/// The node may claim slots.
fn check_claims(state: &State) -> CommandResult {
    match core(state)?.may_claim() && !state.is_being_replaced() {
        true => Ok(()),
        false => Err("TRYAGAIN This node may be about to be replaced, or has just started".into()),
    }
}

fn abort(ctx: &mut Context<'_>, name: NodeId, args: Args<'_>) -> CommandResult {
    let slots = ranges(&args[4])?;
    let core = core(ctx.state)?;
    if !core.peers().me().is_primary() {
        return Err("ERR Slot migration can only be used on primary nodes.".into());
    }
    let (epoch, has_none) = (core.config_epoch(), core.has_none_of(&slots));
    let is_claiming = core.is_claiming();
    let stage = import(ctx.state, &name).map(|job| (job.stage, job.is_taking));
    match stage {
        Some((_, true)) => return Err("TRYAGAIN The slots are being taken".into()),
        Some((Stage::Receiving, _)) => drop_import(ctx, &name),
        // A claim that is not on disk is lost with the process, and is none until then.
        _ if !has_none && is_claiming => return Err(CLAIMING),
        // What counts is who has the slots.
        _ if !has_none => return Err(CommandError::owned(format!("TAKEN {epoch}"))),
        Some((Stage::Taken, _)) => drop_import(ctx, &name),
        _ => {}
    }
    ctx.reply.ok();
    Ok(())
}

const CLAIMING: CommandError = CommandError::new("TRYAGAIN The claim is on its way to the disk");

fn resolve(ctx: &mut Context<'_>, name: NodeId, args: Args<'_>) -> CommandResult {
    let (source, slots) = (node_id(&args[4])?, ranges(&args[6])?);
    let epoch = u64::try_from(integer(&args[5])?).map(Epoch).map_err(|_| errors::NOT_INTEGER)?;
    let core = core(ctx.state)?;
    if !core.peers().me().is_primary() {
        return Err("ERR Slot migration can only be used on primary nodes.".into());
    }
    if core.is_claiming() {
        return Err(CLAIMING);
    }
    let (own_epoch, has_none) = (core.config_epoch(), core.has_none_of(&slots));
    let is_sources = core.are_nobody_elses(&slots, &source);
    let now = ctx.time;
    let stage = import(ctx.state, &name).map(|job| {
        job.heard = now;
        (job.stage, job.is_taking)
    });
    match stage {
        Some((_, true)) => return Err("TRYAGAIN The slots are being taken".into()),
        Some((Stage::Receiving, _)) => drop_import(ctx, &name),
        _ if !has_none => {
            ctx.reply.int(i64::try_from(own_epoch.0).unwrap_or(i64::MAX));
            return Ok(());
        }
        Some((Stage::Taken, _)) => return claim(ctx, name, epoch, true),
        // They may have been taken, and handed on to others since, of whom the source will hear.
        _ if !is_sources => return Err("TRYAGAIN The slots are another node's".into()),
        _ => {}
    }
    ctx.reply.ok();
    Ok(())
}

/// Claims slots that the log says are taken, when that is settled.
fn claim(ctx: &mut Context<'_>, name: NodeId, former: Epoch, resolves: bool) -> CommandResult {
    check_claims(ctx.state)?;
    if let Some(job) = import(ctx.state, &name) {
        (job.is_taking, job.is_resolving, job.former) = (true, resolves, former);
    }
    ctx.client.blocked = Some(Blocked::Job);
    ctx.state.outputs.push(Output::TakeSlots { job: name, client: ctx.client.id });
    Ok(())
}

/// What has come of an import goes; the tick ends the job when nothing is left.
pub(super) fn drop_import(ctx: &mut Context<'_>, name: &NodeId) {
    ctx.effect_given = true;
    ctx.state.drop_import(name);
}

fn finish(ctx: &mut Context<'_>, name: NodeId) -> CommandResult {
    if core(ctx.state)?.is_claiming() {
        return Err(CLAIMING);
    }
    let stage = import(ctx.state, &name).map(|job| (job.stage, job.is_taking));
    let plan = import(ctx.state, &name).map(|job| (job.plan.clone(), job.former));
    if let (Some((Stage::Taken, false)), Some((plan, former))) = (stage, &plan)
        && !core(ctx.state)?.unclaimed_of(&plan.slots, Some(&plan.source)).is_empty()
    {
        // A predecessor's claim has not been heard here, or was lost with it.
        return claim(ctx, name, *former, true);
    }
    match stage {
        Some((Stage::Taken, false)) => {
            if let Some((plan, _)) =
                plan.filter(|(plan, _)| ctx.state.has_foreign_keys(&plan.slots))
            {
                // Another one of the shard, which this node was a replica of, has claimed them.
                ctx.state.trim_foreign(&plan.slots);
                return Err(
                    "TRYAGAIN What came of slots that are another's is being removed".into()
                );
            }
            ctx.effect_given = true;
            ctx.state.end_job(&name, crate::migration::Outcome::Success, "");
        }
        Some(_) => return Err("ERR The slots are not taken".into()),
        None => {}
    }
    ctx.reply.ok();
    Ok(())
}

fn request(ctx: &mut Context<'_>, name: NodeId, args: Args<'_>) -> CommandResult {
    let (target, slots) = (node_id(&args[4])?, ranges(&args[5])?);
    if ctx.state.migrations.get(&name).is_some() {
        ctx.no_effect();
        ctx.reply.ok();
        return Ok(());
    }
    let source = core(ctx.state)?.peers().me().id;
    let plan = Plan { source, target, slots };
    check_source(ctx.state, &plan)?;
    begin(ctx, name, plan);
    ctx.reply.ok();
    Ok(())
}
