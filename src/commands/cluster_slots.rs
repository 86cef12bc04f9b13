//! CLUSTER: who owns which slot, by an operator's word.

use super::cluster::{ADMIN, SUBCOMMAND, change, core, slot};
use super::command::{Arity, Command, CommandResult};
use super::context::Context;
use crate::cluster::core::{OpenSlot, PeerIx};
use crate::cluster::{NodeId, SlotSet};
use crate::keyspace::Slot;
use crate::migration::Stage;
use crate::resp::{Args, CommandError, errors, quoted};
use crate::state::State;

pub(super) const ADDSLOTS: Command = Command {
    name: "addslots",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    summary: "Gives the node slots that nobody has.",
    complexity: "O(N) with N the slots",
    syntax: "slot [slot ...]",
    run: addslots,
    ..SUBCOMMAND
};

fn addslots(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let slots = single(ctx, args, Assign::Add)?;
    change(ctx, |core| core.add_slots(&slots))
}

pub(super) const DELSLOTS: Command = Command {
    name: "delslots",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    summary: "Makes the node forget who has these slots.",
    complexity: "O(N) with N the slots",
    syntax: "slot [slot ...]",
    run: delslots,
    ..SUBCOMMAND
};

fn delslots(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let slots = single(ctx, args, Assign::Delete)?;
    change(ctx, |core| core.delete_slots(&slots))
}

pub(super) const ADDSLOTSRANGE: Command = Command {
    name: "addslotsrange",
    arity: Arity::AtLeast(4),
    since: "7.0.0",
    summary: "Gives the node ranges of slots that nobody has.",
    syntax: "start-slot end-slot [start-slot end-slot ...]",
    run: addslotsrange,
    ..ADDSLOTS
};

fn addslotsrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let slots = ranges(ctx, args, Assign::Add)?;
    change(ctx, |core| core.add_slots(&slots))
}

pub(super) const DELSLOTSRANGE: Command = Command {
    name: "delslotsrange",
    arity: Arity::AtLeast(4),
    since: "7.0.0",
    summary: "Makes the node forget who has these ranges of slots.",
    syntax: "start-slot end-slot [start-slot end-slot ...]",
    run: delslotsrange,
    ..DELSLOTS
};

fn delslotsrange(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let slots = ranges(ctx, args, Assign::Delete)?;
    change(ctx, |core| core.delete_slots(&slots))
}

/// What is to become of slots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Assign {
    Add,
    Delete,
}

/// Slots to be added or deleted, each looked at as it is named.
struct Named {
    what: Assign,
    seen: SlotSet,
    slots: Vec<Slot>,
}

impl Named {
    fn new(what: Assign) -> Self {
        Self { what, seen: SlotSet::EMPTY, slots: Vec::new() }
    }

    fn add(&mut self, ctx: &Context<'_>, slot: Slot) -> CommandResult {
        not_on_its_way(ctx.state, slot)?;
        let is_owned = core(ctx.state)?.slots().owner(slot).is_some();
        let wrong = match self.what {
            Assign::Add if is_owned => "is already busy",
            Assign::Delete if !is_owned => "is already unassigned",
            _ if self.seen.has(slot) => "specified multiple times",
            _ => {
                self.seen.insert(slot);
                self.slots.push(slot);
                return Ok(());
            }
        };
        Err(CommandError::owned(format!("ERR Slot {} {wrong}", slot.number())))
    }
}

/// Slots named one by one. All numbers are read before the first slot is looked at.
fn single(ctx: &Context<'_>, args: Args<'_>, what: Assign) -> Result<Vec<Slot>, CommandError> {
    core(ctx.state)?;
    let slots: Vec<Slot> = args.iter_from(2).map(slot).collect::<Result<_, _>>()?;
    let mut named = Named::new(what);
    slots.into_iter().try_for_each(|slot| named.add(ctx, slot))?;
    Ok(named.slots)
}

/// Ranges of slots.
fn ranges(ctx: &Context<'_>, args: Args<'_>, what: Assign) -> Result<Vec<Slot>, CommandError> {
    core(ctx.state)?;
    if !args.len().is_multiple_of(2) {
        return Err(errors::wrong_arity(&ctx.entry.full_name));
    }
    let mut named = Named::new(what);
    for index in (2..args.len()).step_by(2) {
        let (first, last) = (slot(&args[index])?, slot(&args[index + 1])?);
        if first > last {
            return Err(CommandError::owned(format!(
                "ERR start slot number {} is greater than end slot number {}",
                first.number(),
                last.number()
            )));
        }
        let numbers = first.number()..=last.number();
        numbers.filter_map(Slot::new).try_for_each(|slot| named.add(ctx, slot))?;
    }
    Ok(named.slots)
}

pub(super) const FLUSHSLOTS: Command = Command {
    name: "flushslots",
    flags: ADMIN,
    summary: "Takes all of its slots from the node, which must have no keys.",
    run: flushslots,
    ..SUBCOMMAND
};

fn flushslots(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    change(ctx, |core| core.flush_slots())
}

pub(super) const SETSLOT: Command = Command {
    name: "setslot",
    arity: Arity::AtLeast(4),
    flags: ADMIN,
    summary: "Opens a slot for its way to or from another node, closes it, or says who owns it.",
    syntax: "slot <IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE>",
    run: setslot,
    ..SUBCOMMAND
};

fn setslot(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if core(ctx.state)?.peers().me().is_replica() {
        return Err("ERR Please use SETSLOT only with masters.".into());
    }
    let slot = slot(&args[2])?;
    let what = open_slot(ctx, slot, args)?;
    if matches!(what, OpenSlot::Importing(_)) && ctx.state.is_trimming(slot) {
        return Err(CommandError::owned(format!(
            "ERR Slot {} is being trimmed: keys that were here before are still being removed, try again later",
            slot.number()
        )));
    }
    if what != OpenSlot::Stable {
        not_on_its_way(ctx.state, slot)?;
    }
    let keys = ctx.state.keyspace.count_in_slot(0, slot);
    change(ctx, |core| core.set_slot(slot, what, keys))
}

/// A slot that a job moves as a whole is not moved by hand.
fn not_on_its_way(state: &State, slot: Slot) -> CommandResult {
    let number = slot.number();
    match state.migrations.of_slot(slot).map(|job| job.stage) {
        None | Some(Stage::Handed | Stage::Taken) => Ok(()),
        Some(Stage::Moving | Stage::Granted) => {
            Err(CommandError::owned(format!("ERR I am already migrating slot {number}.")))
        }
        Some(Stage::Receiving | Stage::Dropping) => {
            Err(CommandError::owned(format!("ERR I am already importing slot {number}.")))
        }
    }
}

/// What SETSLOT is to do. What is no node's name is known by nobody, but whose slot it is comes first.
fn open_slot(ctx: &Context<'_>, slot: Slot, args: Args<'_>) -> Result<OpenSlot, CommandError> {
    const FORM: CommandError = CommandError::new(
        "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
    );
    let (action, word) = (args[3].to_ascii_lowercase(), args.get(4).unwrap_or_default());
    let id = NodeId::new(word);
    let shown = quoted(word);
    let is_mine = core(ctx.state)?.slots().owner(slot) == Some(PeerIx::ME);
    let refused = |text: String| Err(CommandError::owned(text));
    match (action.as_slice(), args.len()) {
        (b"migrating", 5) => match id {
            Some(id) => Ok(OpenSlot::Migrating(id)),
            None if is_mine => refused(format!("ERR I don't know about node {shown}")),
            None => refused(format!("ERR I'm not the owner of hash slot {}", slot.number())),
        },
        (b"importing", 5) => match id {
            Some(id) => Ok(OpenSlot::Importing(id)),
            None if !is_mine => refused(format!("ERR I don't know about node {shown}")),
            None => refused(format!("ERR I'm already the owner of hash slot {}", slot.number())),
        },
        (b"stable", 4) => Ok(OpenSlot::Stable),
        (b"node", 5) => id.map(OpenSlot::Node).ok_or_else(|| super::cluster::unknown_node(word)),
        _ => Err(FORM),
    }
}
