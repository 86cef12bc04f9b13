//! CLUSTER: which nodes there are, their roles and epochs, by an operator's word.

use std::net::IpAddr;

use super::arguments::integer;
use super::cluster::{ADMIN, SUBCOMMAND, VOLATILE, change, change_to, core, node, unknown_form};
use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use crate::cluster::core::EPOCH_MAX;
use crate::cluster::settings::BUS_PORT_OFFSET;
use crate::cluster::{Epoch, Host, NodeId};
use crate::resp::{Args, CommandError, errors, number, quoted};

pub(super) const MEET: Command = Command {
    name: "meet",
    arity: Arity::AtLeast(4),
    flags: ADMIN,
    summary: "Makes the node and another one members of one cluster.",
    syntax: "ip port [cluster-bus-port]",
    run: meet,
    ..SUBCOMMAND
};

fn meet(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    if args.len() > 5 {
        return Err(unknown_form(args));
    }
    let invalid = |what: &str, word: &[u8]| {
        let word = quoted(word);
        CommandError::owned(format!("ERR Invalid {what} port specified: {word}"))
    };
    let port = number::parse_i64(&args[3]).ok_or_else(|| invalid("base", &args[3]))?;
    let bus = match args.get(4) {
        Some(word) => number::parse_i64(word).ok_or_else(|| invalid("bus", word))?,
        None => port.saturating_add(i64::from(BUS_PORT_OFFSET)),
    };
    let port_of = |number: i64| u16::try_from(number).ok().filter(|port| *port != 0);
    let host = std::str::from_utf8(&args[2]).ok().and_then(|text| text.parse::<IpAddr>().ok());
    let (Some(host), Some(port), Some(bus)) = (host, port_of(port), port_of(bus)) else {
        let (host, port) = (quoted(&args[2]), quoted(&args[3]));
        return Err(CommandError::owned(format!(
            "ERR Invalid node address specified: {host}:{port}"
        )));
    };
    change(ctx, |core| {
        core.meet(Host::from(host), port, bus);
        Ok(())
    })
}

pub(super) const FORGET: Command = Command {
    name: "forget",
    arity: Arity::Exactly(3),
    flags: ADMIN,
    summary: "Removes another node from the cluster, as far as this one knows it.",
    syntax: "node-id",
    run: forget,
    ..SUBCOMMAND
};

fn forget(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let id = NodeId::new(&args[2]).ok_or_else(|| super::cluster::unknown_node(&args[2]))?;
    change(ctx, |core| core.forget(&id))
}

pub(super) const REPLICATE: Command = Command {
    name: "replicate",
    arity: Arity::Exactly(3),
    flags: ADMIN,
    summary: "Makes the node a replica of a primary.",
    syntax: "node-id",
    run: replicate,
    ..SUBCOMMAND
};

fn replicate(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (id, _) = node(ctx.state, &args[2])?;
    change(ctx, |core| core.replicate(&id))
}

pub(super) const FAILOVER: Command = Command {
    name: "failover",
    arity: Arity::AtLeast(2),
    flags: ADMIN,
    summary: "Makes a replica take its primary's place.",
    syntax: "[FORCE | TAKEOVER]",
    run: failover,
    ..SUBCOMMAND
};

fn failover(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    if args.len() > 3 {
        return Err(unknown_form(args));
    }
    let (force, takeover) = match args.get(2) {
        None => (false, false),
        Some(word) if word.eq_ignore_ascii_case(b"force") => (true, false),
        Some(word) if word.eq_ignore_ascii_case(b"takeover") => (true, true),
        Some(_) => return Err(errors::SYNTAX),
    };
    change(ctx, |core| core.fail_over(force, takeover))
}

pub(super) const RESET: Command = Command {
    name: "reset",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale],
    summary: "Makes the node forget its cluster, with HARD its own name too. A replica loses its keys.",
    complexity: "O(N) with N the known nodes, and the keys of a replica",
    syntax: "[HARD | SOFT]",
    run: reset,
    ..SUBCOMMAND
};

fn reset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    if args.len() > 3 {
        return Err(unknown_form(args));
    }
    let new = match args.get(2) {
        None => None,
        Some(word) if word.eq_ignore_ascii_case(b"soft") => None,
        Some(word) if word.eq_ignore_ascii_case(b"hard") => ctx.state.fresh_node_ids(),
        Some(_) => return Err(errors::SYNTAX),
    };
    change(ctx, |core| core.reset_node(new))
}

pub(super) const SAVECONFIG: Command = Command {
    name: "saveconfig",
    flags: ADMIN,
    summary: "Writes what the node knows of the cluster to its file.",
    run: saveconfig,
    ..SUBCOMMAND
};

fn saveconfig(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    change(ctx, |core| {
        core.save();
        Ok(())
    })
}

pub(super) const BUMPEPOCH: Command = Command {
    name: "bumpepoch",
    flags: ADMIN,
    summary: "Gives the node the newest epoch of the cluster, unless it has that.",
    tips: VOLATILE,
    run: bumpepoch,
    ..SUBCOMMAND
};

fn bumpepoch(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    change_to(ctx, |core| {
        let (bumped, epoch) = core.bump();
        Ok(format!("+{} {epoch}\r\n", if bumped { "BUMPED" } else { "STILL" }))
    })
}

pub(super) const SET_CONFIG_EPOCH: Command = Command {
    name: "set-config-epoch",
    arity: Arity::Exactly(3),
    flags: ADMIN,
    summary: "Gives an epoch to a new node that knows no other.",
    syntax: "config-epoch",
    run: set_config_epoch,
    ..SUBCOMMAND
};

fn set_config_epoch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let number = integer(&args[2])?;
    // Epochs that other nodes would not believe are refused here.
    let epoch = u64::try_from(number).ok().map(Epoch).filter(|epoch| *epoch <= EPOCH_MAX);
    let Some(epoch) = epoch else {
        return Err(CommandError::owned(format!("ERR Invalid config epoch specified: {number}")));
    };
    change(ctx, |core| core.set_config_epoch(epoch))
}

pub(super) const COUNT_FAILURE_REPORTS: Command = Command {
    name: "count-failure-reports",
    arity: Arity::Exactly(3),
    flags: &[Flag::Admin, Flag::Stale],
    summary: "Returns how many primaries have reported lately that a node does not answer.",
    complexity: "O(N) with N the reports",
    syntax: "node-id",
    tips: VOLATILE,
    run: count_failure_reports,
    ..SUBCOMMAND
};

fn count_failure_reports(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (id, _) = node(ctx.state, &args[2])?;
    change_to(ctx, |core| Ok(format!(":{}\r\n", core.count_reports(&id)?)))
}
