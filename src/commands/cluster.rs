//! CLUSTER and its kin: the container, what a client says of itself, and what it asks of the node.
//!
//! Subcommands that change the cluster are in `cluster_slots` and `cluster_nodes`, those that show a map of it in
//! `cluster_map`.

use super::arguments::integer;
use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::{Context, Then};
use super::{
    cluster_handover, cluster_map, cluster_migration, cluster_nodes, cluster_slots, cluster_stats,
    help,
};
use crate::cluster::core::{Answer, PeerIx};
use crate::cluster::{Cluster, NodeId, view};
use crate::keyspace::{SLOT_COUNT, Slot};
use crate::resp::{Args, CommandError, errors, quoted};
use crate::state::State;

/// Changes of the cluster.
pub(super) const ADMIN: &[Flag] = &[Flag::Admin, Flag::Stale, Flag::NoAsyncLoading];

/// Looks at the cluster. Differs: they work while data are loaded. A replica that gets a full sync is a part of the
/// cluster, and managers ask it just then.
pub(super) const VIEW: &[Flag] = &[Flag::Stale, Flag::AlsoLoading];

/// Tips of subcommands whose replies come and go by themselves.
pub(super) const VOLATILE: &[&str] = &["nondeterministic_output"];

/// What most subcommands share.
pub(super) const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    flags: &[Flag::Stale],
    group: Group::Cluster,
    since: "3.0.0",
    ..Command::DEFAULT
};

const CLUSTER: Command = Command {
    name: "cluster",
    arity: Arity::AtLeast(2),
    group: Group::Cluster,
    since: "3.0.0",
    summary: "Holds the commands about the cluster.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        cluster_slots::ADDSLOTS,
        cluster_slots::ADDSLOTSRANGE,
        cluster_nodes::BUMPEPOCH,
        cluster_migration::CANCELSLOTMIGRATIONS,
        cluster_nodes::COUNT_FAILURE_REPORTS,
        COUNTKEYSINSLOT,
        cluster_slots::DELSLOTS,
        cluster_slots::DELSLOTSRANGE,
        cluster_nodes::FAILOVER,
        cluster_slots::FLUSHSLOTS,
        cluster_nodes::FORGET,
        GETKEYSINSLOT,
        cluster_migration::GETSLOTMIGRATIONS,
        cluster_handover::HANDOVER,
        Command { group: Group::Cluster, run: help, ..help::HELP },
        INFO,
        KEYSLOT,
        cluster_map::LINKS,
        cluster_nodes::MEET,
        cluster_migration::MIGRATESLOTS,
        cluster_migration::MIGRATION,
        MYID,
        MYSHARDID,
        NODES,
        REPLICAS,
        cluster_nodes::REPLICATE,
        cluster_nodes::RESET,
        cluster_nodes::SAVECONFIG,
        cluster_nodes::SET_CONFIG_EPOCH,
        cluster_slots::SETSLOT,
        cluster_map::SHARDS,
        SLAVES,
        cluster_stats::SLOT_STATS,
        cluster_map::SLOTS,
    ],
    ..Command::DEFAULT
};

/// What the node knows of its cluster.
///
/// # Errors
/// It is in none.
pub(super) fn core(state: &State) -> Result<&Cluster, CommandError> {
    let membership = state.cluster.as_deref().ok_or(errors::CLUSTER_DISABLED)?;
    Ok(&membership.core)
}

/// The node named by an argument.
///
/// # Errors
/// There is no such node, or no cluster.
pub(super) fn node(state: &State, word: &[u8]) -> Result<(NodeId, PeerIx), CommandError> {
    let core = core(state)?;
    let id = NodeId::new(word).ok_or_else(|| unknown_node(word))?;
    let place = core.peers().find(&id).ok_or_else(|| unknown_node(word))?;
    Ok((id, place))
}

/// `Unknown node x`.
pub(super) fn unknown_node(word: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Unknown node {}", quoted(word)))
}

/// Options that do not fit a subcommand.
pub(super) fn unknown_form(args: Args<'_>) -> CommandError {
    let name = &args[1];
    let name = quoted(&name[..name.len().min(128)]);
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try CLUSTER HELP."
    ))
}

/// Changes the cluster, and answers OK when that is on disk.
///
/// # Errors
/// The change is refused, or there is no cluster.
pub(super) fn change(
    ctx: &mut Context<'_>,
    run: impl FnOnce(&mut Cluster) -> Answer,
) -> CommandResult {
    change_to(ctx, |core| run(core).map(|()| "+OK\r\n".to_owned()))
}

/// Changes the cluster, and answers what `run` returns when that is on disk.
///
/// # Errors
/// The change is refused, or there is no cluster.
pub(super) fn change_to(
    ctx: &mut Context<'_>,
    run: impl FnOnce(&mut Cluster) -> Result<String, String>,
) -> CommandResult {
    let result = ctx.state.change_cluster(run).ok_or(errors::CLUSTER_DISABLED)?;
    ctx.then = Then::ClusterChanged;
    let reply = result.map_err(|text| CommandError::owned(format!("ERR {text}")))?.into_bytes();
    // Inside EXEC nothing can wait.
    if ctx.client.in_exec || !ctx.state.wait_for_config(ctx.client, reply.clone()) {
        ctx.reply.raw(&reply);
    }
    Ok(())
}

fn help(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    (help::HELP.run)(ctx, args)
}

const INFO: Command = Command {
    name: "info",
    flags: VIEW,
    summary: "Describes the state of the cluster as this node sees it.",
    tips: VOLATILE,
    run: info,
    ..SUBCOMMAND
};

fn info(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let mut text = view::info(core(ctx.state)?);
    let hidden = ctx.state.keyspace.hidden().count();
    if hidden > 0 {
        text.push_str(&format!("cluster_slots_hidden:{hidden}\r\n"));
    }
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

const NODES: Command = Command {
    name: "nodes",
    flags: VIEW,
    summary: "Describes all known nodes, a line for each.",
    complexity: "O(N) with N the known nodes",
    tips: VOLATILE,
    run: nodes,
    ..SUBCOMMAND
};

fn nodes(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let text = view::nodes(core(ctx.state)?);
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

const REPLICAS: Command = Command {
    name: "replicas",
    arity: Arity::Exactly(3),
    flags: &[Flag::Admin, Flag::Stale, Flag::AlsoLoading],
    since: "5.0.0",
    summary: "Describes the replicas of a primary, a line for each.",
    complexity: "O(N) with N the replicas",
    syntax: "node-id",
    tips: VOLATILE,
    run: replicas,
    ..SUBCOMMAND
};

const SLAVES: Command =
    Command { name: "slaves", since: "3.0.0", summary: "The former name of REPLICAS.", ..REPLICAS };

fn replicas(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (_, place) = node(ctx.state, &args[2])?;
    let core = core(ctx.state)?;
    if core.peers()[place].is_replica() {
        return Err("ERR The specified node is not a master".into());
    }
    let lines = view::replica_lines(core, place);
    ctx.reply.array(lines.len());
    lines.iter().for_each(|line| ctx.reply.bulk(line.as_bytes()));
    Ok(())
}

const MYID: Command = Command {
    name: "myid",
    flags: VIEW,
    summary: "Returns the name of the node.",
    run: myid,
    ..SUBCOMMAND
};

fn myid(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let id = core(ctx.state)?.peers().me().id;
    ctx.reply.bulk(id.as_bytes());
    Ok(())
}

const MYSHARDID: Command = Command {
    name: "myshardid",
    flags: VIEW,
    since: "7.2.0",
    summary: "Returns the name of the node's shard.",
    tips: VOLATILE,
    run: myshardid,
    ..SUBCOMMAND
};

fn myshardid(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let shard = core(ctx.state)?.peers().me().shard;
    ctx.reply.bulk(shard.as_bytes());
    Ok(())
}

const KEYSLOT: Command = Command {
    name: "keyslot",
    arity: Arity::Exactly(3),
    summary: "Returns the slot of a key.",
    complexity: "O(N) with N the bytes of the key",
    syntax: "key",
    run: keyslot,
    ..SUBCOMMAND
};

fn keyslot(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    ctx.reply.int(i64::from(Slot::of(&args[2]).number()));
    Ok(())
}

const COUNTKEYSINSLOT: Command = Command {
    name: "countkeysinslot",
    arity: Arity::Exactly(3),
    summary: "Returns how many keys the node has in a slot.",
    syntax: "slot",
    run: countkeysinslot,
    ..SUBCOMMAND
};

fn countkeysinslot(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let number = integer(&args[2])?;
    let slot = slot_of(number).ok_or(CommandError::new("ERR Invalid slot"))?;
    ctx.state.keyspace.observe_all();
    ctx.reply.len(ctx.state.keyspace.count_in_slot(0, slot));
    Ok(())
}

const GETKEYSINSLOT: Command = Command {
    name: "getkeysinslot",
    arity: Arity::Exactly(4),
    summary: "Returns keys that the node has in a slot, as many as asked for.",
    complexity: "O(N) with N the keys returned",
    syntax: "slot count",
    tips: VOLATILE,
    run: getkeysinslot,
    ..SUBCOMMAND
};

fn getkeysinslot(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let (number, count) = (integer(&args[2])?, integer(&args[3])?);
    let (Some(slot), Ok(count)) = (slot_of(number), usize::try_from(count)) else {
        return Err("ERR Invalid slot or number of keys".into());
    };
    ctx.state.keyspace.observe_all();
    let keys = ctx.state.keyspace.keys_in_slot(0, slot, count);
    ctx.reply.array(keys.len());
    keys.iter().for_each(|key| ctx.reply.bulk(key));
    Ok(())
}

/// The slot with that number.
fn slot_of(number: i64) -> Option<Slot> {
    const _: () = assert!(SLOT_COUNT <= u16::MAX as usize, "numbers of slots have 16 bits");
    u16::try_from(number).ok().and_then(Slot::new)
}

/// The slot that an argument names.
///
/// # Errors
/// `Invalid or out of range slot`.
pub(super) fn slot(word: &[u8]) -> Result<Slot, CommandError> {
    let number = integer(word).ok().and_then(slot_of);
    number.ok_or(CommandError::new("ERR Invalid or out of range slot"))
}

/// What the three commands about a connection share.
const OF_CONNECTION: Command = Command {
    arity: Arity::Exactly(1),
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["connection"],
    group: Group::Cluster,
    since: "3.0.0",
    ..Command::DEFAULT
};

const READONLY: Command = Command {
    name: "readonly",
    summary: "Lets a replica answer the connection's reads of its primary's slots.",
    run: readonly,
    ..OF_CONNECTION
};

fn readonly(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    ctx.client.readonly = true;
    ctx.reply.ok();
    Ok(())
}

const READWRITE: Command = Command {
    name: "readwrite",
    summary: "Ends what READONLY began.",
    run: readwrite,
    ..OF_CONNECTION
};

fn readwrite(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    ctx.client.readonly = false;
    ctx.reply.ok();
    Ok(())
}

const ASKING: Command = Command {
    name: "asking",
    flags: &[Flag::Fast],
    summary: "Lets the next command use a slot that is on its way to this node.",
    run: asking,
    ..OF_CONNECTION
};

fn asking(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    ctx.client.asking = true;
    ctx.reply.ok();
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[CLUSTER, READONLY, READWRITE, ASKING];
