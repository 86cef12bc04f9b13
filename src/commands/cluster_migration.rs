//! Moving slots as a whole, by an operator's word: the commands of Valkey 9, sent to the source, and those of Redis 8.4, sent
//! to the target. Both begin the same jobs.

use super::arguments::is;
use super::cluster::{ADMIN, SUBCOMMAND, VIEW, VOLATILE, core, slot};
use super::cluster_handover::{check_log, drop_import};
use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use crate::cluster::core::PeerIx;
use crate::cluster::{NodeId, SlotSet};
use crate::migration::note::Plan;
use crate::migration::{Ended, Job, Outcome, Role, Said, Stage, shown_ranges};
use crate::resp::{Args, CommandError, errors, quoted};
use crate::state::{Output, State};

pub(super) const MIGRATESLOTS: Command = Command {
    name: "migrateslots",
    arity: Arity::AtLeast(7),
    flags: ADMIN,
    since: "7.2.4",
    summary: "Moves slots of this primary to others, each group as a whole.",
    complexity: "O(N) with N the slots; the work goes on in the background",
    syntax: "SLOTSRANGE start-slot end-slot [start-slot end-slot ...] NODE node-id [SLOTSRANGE ...]",
    run: migrate_slots,
    ..SUBCOMMAND
};

fn migrate_slots(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    check_primary(ctx.state)?;
    check_log(ctx.state)?;
    let mut plans: Vec<Plan> = Vec::new();
    let mut at = 2;
    while at < args.len() {
        let (plan, next) = group(ctx.state, args, at)?;
        if plans.iter().any(|other| other.slots.meets(&plan.slots)) {
            return Err("ERR Slot ranges in migrations overlap".into());
        }
        check_source(ctx.state, &plan)?;
        plans.push(plan);
        at = next;
    }
    for plan in plans {
        let name = fresh_name(ctx.state, &plan);
        begin(ctx, name, plan);
    }
    ctx.reply.ok();
    Ok(())
}

/// One `SLOTSRANGE .. NODE id`; and where the next one begins.
fn group(state: &State, args: Args<'_>, at: usize) -> Result<(Plan, usize), CommandError> {
    if !is(&args[at], "SLOTSRANGE") {
        return Err(errors::SYNTAX);
    }
    let end = (at + 1..args.len()).find(|index| is(&args[*index], "NODE"));
    let end = end.ok_or(errors::SYNTAX)?;
    let words: Vec<&[u8]> = args.iter_from(at + 1).take(end - at - 1).collect();
    let slots = ranges(&words)?;
    let word = args.get(end + 1).ok_or(errors::SYNTAX)?;
    let shown = quoted(word);
    let Some(target) = NodeId::new(word) else {
        return Err(CommandError::owned(format!("ERR Invalid node name: {shown}")));
    };
    let core = core(state)?;
    if !core.peers().knows(&target) {
        return Err(CommandError::owned(format!("ERR Unknown node name: {shown}")));
    }
    Ok((Plan { source: core.peers().me().id, target, slots }, end + 2))
}

/// Ranges as pairs of words.
fn ranges(words: &[&[u8]]) -> Result<SlotSet, CommandError> {
    if words.is_empty() {
        return Err("ERR No slot ranges specified".into());
    }
    let mut slots = SlotSet::EMPTY;
    let mut before: Vec<(u16, u16)> = Vec::new();
    for pair in words.chunks(2) {
        let [first, last] = pair else {
            return Err("ERR No end slot for final slot range".into());
        };
        let (first, last) = (slot(first)?.number(), slot(last)?.number());
        if first > last {
            return Err(CommandError::owned(format!(
                "ERR Start slot number {first} is greater than end slot number {last}."
            )));
        }
        if let Some((from, to)) = before.iter().find(|(from, to)| first <= *to && *from <= last) {
            return Err(CommandError::owned(format!(
                "ERR Slot range {first}-{last} overlaps with previous range {from}-{to}."
            )));
        }
        before.push((first, last));
        crate::keyspace::Slot::all()
            .filter(|slot| (first..=last).contains(&slot.number()))
            .for_each(|slot| slots.insert(slot));
    }
    Ok(slots)
}

fn check_primary(state: &State) -> CommandResult {
    let core = core(state)?;
    if !core.peers().me().is_primary() {
        return Err("ERR Slot migration can only be used on primary nodes.".into());
    }
    match core.slots().open().first() {
        Some((_, true, _)) => Err("ERR Slots are being manually migrated".into()),
        Some((_, false, _)) => Err("ERR Slots are being manually imported".into()),
        None => Ok(()),
    }
}

/// Whether this node can be the source of a job.
pub(super) fn check_source(state: &State, plan: &Plan) -> CommandResult {
    check_primary(state)?;
    let core = core(state)?;
    let owner = one_owner(state, &plan.slots)?;
    if owner != PeerIx::ME {
        return Err("ERR Slots are not served by this node.".into());
    }
    if plan.target == core.peers().me().id {
        return Err("ERR Target node can not be this node.".into());
    }
    let target = core.peers().find(&plan.target);
    if !target.is_some_and(|place| core.peers()[place].is_primary()) {
        return Err("ERR Target node is not a primary".into());
    }
    for slot in plan.slots.iter() {
        if state.migrations.of_slot(slot).is_some() {
            let number = slot.number();
            return Err(CommandError::owned(format!("ERR I am already migrating slot {number}.")));
        }
    }
    Ok(())
}

/// Whether this node can be the target of a job, its slots aside.
pub(super) fn check_target(state: &State, plan: &Plan) -> CommandResult {
    check_primary(state)?;
    let core = core(state)?;
    if plan.target != core.peers().me().id {
        return Err("ERR Target node is another one".into());
    }
    if !core.are_of_shard(&plan.slots, &plan.source) {
        return Err("ERR Target node does not agree about current slot ownership".into());
    }
    Ok(())
}

/// Who has all of these slots.
fn one_owner(state: &State, slots: &SlotSet) -> Result<PeerIx, CommandError> {
    let core = core(state)?;
    let mut owner = None;
    for slot in slots.iter() {
        let Some(one) = core.slots().owner(slot) else {
            let number = slot.number();
            return Err(CommandError::owned(format!("ERR Slot {number} has no node served.")));
        };
        if owner.is_some_and(|owner| owner != one) {
            return Err("ERR Requested slots span multiple shards".into());
        }
        owner = Some(one);
    }
    owner.ok_or(CommandError::new("ERR No slot ranges specified"))
}

/// A name that no job has: it follows from ids that nobody else has, and from where the log stands.
fn fresh_name(state: &State, plan: &Plan) -> NodeId {
    let first = plan.slots.iter().next().map_or(0, crate::keyspace::Slot::number);
    let parts = [state.time.unix_us, state.stream.end, u64::from(first)];
    state.fresh_name(&parts)
}

/// Begins a job at its source.
pub(super) fn begin(ctx: &mut Context<'_>, name: NodeId, plan: Plan) {
    ctx.effect_given = true;
    let slots = shown_ranges(&plan.slots, " ", false);
    ctx.note(format!("Export of slots {slots} to node {} ({name}) begins", plan.target));
    ctx.state.begin_export(name, plan);
}

pub(super) const CANCELSLOTMIGRATIONS: Command = Command {
    name: "cancelslotmigrations",
    flags: ADMIN,
    since: "7.2.4",
    summary: "Ends all jobs that move slots away from this node, unless it is too late.",
    run: cancel_exports,
    ..SUBCOMMAND
};

fn cancel_exports(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    match cancel(ctx, |job| job.role == Role::Source) {
        0 => Err("ERR No migrations ongoing".into()),
        _ => {
            ctx.reply.ok();
            Ok(())
        }
    }
}

/// Has jobs end; how many can. Exports end by themselves as soon as they look at this.
fn cancel(ctx: &mut Context<'_>, which: impl Fn(&Job) -> bool) -> usize {
    let mut imports = Vec::new();
    let mut count = 0;
    let State { cluster, migrations, .. } = &mut *ctx.state;
    let knows = |id| cluster.as_ref().is_some_and(|one| one.core.peers().knows(id));
    for job in migrations.iter_mut().filter(|job| which(job)) {
        match job.stage {
            Stage::Moving => job.is_cancelled = true,
            // Its target has been forgotten: whoever says both says that what it may have taken is lost.
            Stage::Granted if !knows(&job.plan.target) => job.is_cancelled = true,
            Stage::Receiving if !job.is_taking => {
                job.is_cancelled = true;
                imports.push(job.name);
            }
            _ => continue,
        }
        count += 1;
    }
    imports.iter().for_each(|name| drop_import(ctx, name));
    count
}

pub(super) const GETSLOTMIGRATIONS: Command = Command {
    name: "getslotmigrations",
    flags: VIEW,
    since: "7.2.4",
    summary: "Describes the jobs that move slots from or to this node, and those that are over.",
    complexity: "O(N) with N the jobs",
    tips: VOLATILE,
    run: get_slot_migrations,
    ..SUBCOMMAND
};

fn get_slot_migrations(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let is_replica = ctx.state.is_replica();
    let active: Vec<(Job, Option<Outcome>)> =
        ctx.state.migrations.iter().map(|job| (job.clone(), None)).collect();
    let ended = ctx.state.migrations.ended().map(|one| (one.job.clone(), Some(one.outcome)));
    let all: Vec<(Job, Option<Outcome>)> = active.into_iter().rev().chain(ended).collect();
    ctx.reply.array(all.len());
    for (job, outcome) in all {
        describe(ctx, &job, outcome, is_replica);
    }
    Ok(())
}

/// A job in the words of Valkey, and behind them what those lack.
fn describe(ctx: &mut Context<'_>, job: &Job, outcome: Option<Outcome>, is_replica: bool) {
    let state = match outcome {
        Some(outcome) => outcome.name(),
        None if is_replica => "occurring-on-primary",
        None if job.is_paused => "paused",
        None => job.phase,
    };
    let operation = if job.role == Role::Source { "EXPORT" } else { "IMPORT" };
    let (slots, progress) = (shown_ranges(&job.plan.slots, " ", true), job.progress);
    ctx.reply.map(if is_replica { 16 } else { 18 });
    let text = |ctx: &mut Context<'_>, name: &str, value: &str| {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    };
    let number = |ctx: &mut Context<'_>, name: &str, value: u64| {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(i64::try_from(value).unwrap_or(i64::MAX));
    };
    text(ctx, "name", job.name.as_str());
    text(ctx, "operation", operation);
    text(ctx, "slot_ranges", &slots);
    if !is_replica {
        text(ctx, "target_node", job.plan.target.as_str());
        text(ctx, "source_node", job.plan.source.as_str());
    }
    number(ctx, "create_time", job.created_s);
    number(ctx, "last_update_time", job.updated.unix_s());
    number(ctx, "last_ack_time", job.heard.unix_s());
    text(ctx, "state", state);
    text(ctx, "message", &job.message);
    number(ctx, "cow_size", 0);
    number(ctx, "remaining_repl_size", progress.lag_bytes);
    number(ctx, "keys_total", progress.keys_total);
    number(ctx, "keys_sent", progress.keys_done);
    number(ctx, "bytes_sent", progress.bytes);
    number(ctx, "rate_bytes_per_sec", progress.bytes_per_s);
    ctx.reply.bulk(b"eta_ms");
    ctx.reply.int(progress.eta_ms.map_or(-1, |eta| i64::try_from(eta).unwrap_or(i64::MAX)));
    number(ctx, "pause_us", progress.pause_us);
}

pub(super) const MIGRATION: Command = Command {
    name: "migration",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Admin, Flag::Stale, Flag::NoAsyncLoading],
    since: "7.2.4",
    summary: "Moves slots of another primary to this one, shows the jobs, and ends or holds them.",
    complexity: "O(N) with N the slots; the work goes on in the background",
    syntax: "IMPORT start-slot end-slot [start-slot end-slot ...] | STATUS ID task-id | STATUS ALL | CANCEL ID task-id | CANCEL ALL | PAUSE ID task-id | PAUSE ALL | RESUME ID task-id | RESUME ALL",
    tips: VOLATILE,
    run: migration,
    ..SUBCOMMAND
};

fn migration(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    match &args[2] {
        word if is(word, "IMPORT") => import(ctx, args),
        word if is(word, "STATUS") => status(ctx, args),
        word if is(word, "CANCEL") => {
            let chosen = chosen(args)?;
            check_log(ctx.state)?;
            let count = cancel(ctx, |job| chosen.is_none_or(|name| job.name == name));
            ctx.reply.len(count);
            Ok(())
        }
        word if is(word, "PAUSE") || is(word, "RESUME") => {
            let (chosen, pauses) = (chosen(args)?, is(word, "PAUSE"));
            let mut count = 0;
            let exports = ctx.state.migrations.iter_mut().filter(|job| {
                job.stage == Stage::Moving && chosen.is_none_or(|name| job.name == name)
            });
            for job in exports {
                job.is_paused = pauses;
                count += 1;
            }
            ctx.reply.len(count);
            Ok(())
        }
        _ => Err(errors::SYNTAX),
    }
}

/// `ID name`, or all of them.
fn chosen(args: Args<'_>) -> Result<Option<NodeId>, CommandError> {
    match (args.get(3), args.get(4)) {
        (Some(word), None) if is(word, "ALL") => Ok(None),
        (Some(word), Some(name)) if is(word, "ID") && args.len() == 5 => {
            // A name that no job can have is no mistake: there is none with it.
            Ok(Some(
                NodeId::new(name).unwrap_or_else(|| NodeId::new(&[b'z'; 40]).expect("letters")),
            ))
        }
        _ => Err(errors::SYNTAX),
    }
}

fn import(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words: Vec<&[u8]> = args.iter_from(3).collect();
    let slots = ranges(&words)?;
    check_log(ctx.state)?;
    let core = core(ctx.state)?;
    if !core.peers().me().is_primary() {
        return Err("ERR slot migration not allowed on replica.".into());
    }
    if !core.slots().open().is_empty() {
        return Err("ERR all slot states must be STABLE to start a slot migration task.".into());
    }
    if let Some(other) = ctx.state.migrations.meeting(&slots) {
        let (first, last) = other.plan.slots.ranges()[0];
        let (first, last) = (first.number(), last.number());
        return Err(CommandError::owned(format!(
            "ERR overlapping import exists for slot range: {first}-{last}"
        )));
    }
    let mut owner = None;
    for slot in slots.iter() {
        let one = core.slots().owner(slot).ok_or_else(|| {
            CommandError::owned(format!("ERR slot has no owner: {}", slot.number()))
        })?;
        if owner.is_some_and(|owner| owner != one) {
            return Err("ERR slots belong to different source nodes".into());
        }
        owner = Some(one);
    }
    let owner = owner.ok_or(errors::SYNTAX)?;
    if owner == PeerIx::ME {
        return Err("ERR this node is already the owner of the slot range".into());
    }
    let (source, target) = (core.peers()[owner].id, core.peers().me().id);
    let plan = Plan { source, target, slots };
    if ctx.state.has_foreign_keys(&plan.slots) {
        ctx.state.trim_foreign(&plan.slots);
        return Err("TRYAGAIN Slot is being trimmed".into());
    }
    let name = fresh_name(ctx.state, &plan);
    ctx.effect_given = true;
    ctx.state.say_of_job(name, Said::Import(Box::new(plan)));
    if let Some(job) = ctx.state.migrations.get_mut(&name) {
        job.phase = "connecting";
    }
    ctx.state.outputs.push(Output::RequestSlots { job: name });
    ctx.reply.bulk(name.as_bytes());
    Ok(())
}

fn status(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let chosen = chosen(args)?;
    let is_chosen = |name: &NodeId| chosen.is_none_or(|wanted| wanted == *name);
    let active = ctx.state.migrations.iter().filter(|job| is_chosen(&job.name));
    let mut all: Vec<(Job, Option<Ended>)> = active.map(|job| (job.clone(), None)).collect();
    let ended = ctx.state.migrations.ended().filter(|one| is_chosen(&one.job.name));
    all.extend(ended.map(|one| (one.job.clone(), Some(one.clone()))));
    ctx.reply.array(all.len());
    for (job, ended) in &all {
        describe_task(ctx, job, ended.as_ref());
    }
    Ok(())
}

/// A job in the words of Redis 8.4, and behind them what those lack.
fn describe_task(ctx: &mut Context<'_>, job: &Job, ended: Option<&Ended>) {
    let state = match ended.map(|one| one.outcome) {
        Some(Outcome::Success) => "completed",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Cancelled) => "canceled",
        None if job.is_paused => "paused",
        None => task_state(job),
    };
    let last_error = job.message.as_str();
    let end_ms = ended.map_or(-1, |one| i64::try_from(one.ended_s * 1000).unwrap_or(-1));
    let created_ms = i64::try_from(job.created_s * 1000).unwrap_or(-1);
    let operation = if job.role == Role::Source { "migrate" } else { "import" };
    let slots = shown_ranges(&job.plan.slots, " ", true);
    let texts = [
        ("id", job.name.as_str()),
        ("slots", &slots),
        ("source", job.plan.source.as_str()),
        ("dest", job.plan.target.as_str()),
        ("operation", operation),
        ("state", state),
        ("last_error", last_error),
    ];
    let progress = job.progress;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let numbers = [
        ("retries", signed(progress.retries)),
        ("create_time", created_ms),
        ("start_time", created_ms),
        ("end_time", end_ms),
        ("write_pause_ms", signed(progress.pause_us / 1000)),
        ("keys_total", signed(progress.keys_total)),
        ("keys_sent", signed(progress.keys_done)),
        ("bytes_sent", signed(progress.bytes)),
        ("rate_bytes_per_sec", signed(progress.bytes_per_s)),
        ("eta_ms", progress.eta_ms.map_or(-1, signed)),
    ];
    ctx.reply.map(texts.len() + numbers.len());
    for (name, value) in texts {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    for (name, value) in numbers {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(value);
    }
}

/// The name that Redis 8.4 has for what a job is doing.
fn task_state(job: &Job) -> &'static str {
    match (job.stage, job.phase) {
        (Stage::Moving, "snapshotting") => "send-bulk-and-stream",
        (Stage::Moving, "replicating") => "send-stream",
        (Stage::Moving, "failover-paused") => "handoff",
        (Stage::Moving, _) => "handoff-prep",
        (Stage::Granted | Stage::Handed, _) => "stream-eof",
        (Stage::Receiving, "connecting") => "connecting",
        (Stage::Receiving | Stage::Dropping, _) => "accumulate-buffer",
        (Stage::Taken, _) => "takeover",
    }
}
