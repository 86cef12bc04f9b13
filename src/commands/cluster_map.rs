//! CLUSTER SLOTS, SHARDS and LINKS: maps of the cluster for clients and operators.

use super::cluster::{SUBCOMMAND, VIEW, VOLATILE, core};
use super::command::{Command, CommandResult, Flag};
use super::context::Context;
use crate::cluster::core::{Peer, PeerIx};
use crate::cluster::redirect::endpoint;
use crate::cluster::{Cluster, view};
use crate::config::choices::EndpointType;
use crate::resp::{Args, Reply};

/// Maps are shown while data are loaded: clients need them to find those that serve.
const MAP: Command = Command {
    flags: &[Flag::Loading, Flag::Stale],
    complexity: "O(N) with N the known nodes",
    tips: VOLATILE,
    ..SUBCOMMAND
};

pub(super) const SLOTS: Command =
    Command { name: "slots", summary: "Returns who serves which slots.", run: slots, ..MAP };

fn slots(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let kind = ctx.state.config.cluster_preferred_endpoint_type;
    let own_offset = ctx.state.cluster_facts().offset;
    let core = core(ctx.state)?;
    let ranges = view::slot_ranges(core, own_offset);
    ctx.reply.array(ranges.len());
    for range in ranges {
        ctx.reply.array(2 + range.nodes.len());
        ctx.reply.int(i64::from(range.first.number()));
        ctx.reply.int(i64::from(range.last.number()));
        for place in range.nodes {
            address(&mut ctx.reply, &core.peers()[place], kind);
        }
    }
    Ok(())
}

/// How to reach a node: endpoint, port, name, and what the endpoint does not say.
fn address(reply: &mut Reply<'_>, peer: &Peer, kind: EndpointType) {
    reply.array(4);
    reply.bulk_or_nil(endpoint(peer, kind).map(str::as_bytes));
    reply.int(i64::from(peer.ports.client));
    reply.bulk(peer.id.as_bytes());
    let ip = (kind != EndpointType::Ip).then_some(("ip", peer.host.as_str()));
    let has_name = kind != EndpointType::Hostname && !peer.hostname.is_empty();
    let hostname = has_name.then_some(("hostname", peer.hostname.as_str()));
    let more = [ip, hostname];
    reply.map(more.iter().flatten().count());
    for (name, value) in more.into_iter().flatten() {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

pub(super) const SHARDS: Command = Command {
    name: "shards",
    since: "7.0.0",
    summary: "Returns the shards, with their slots and nodes.",
    run: shards,
    ..MAP
};

fn shards(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let kind = ctx.state.config.cluster_preferred_endpoint_type;
    let own_offset = ctx.state.cluster_facts().offset;
    let core = core(ctx.state)?;
    let shards = view::shards(core);
    let reply = &mut ctx.reply;
    reply.array(shards.len());
    for shard in shards {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2 * shard.slots.len());
        for (first, last) in shard.slots {
            reply.int(i64::from(first.number()));
            reply.int(i64::from(last.number()));
        }
        reply.bulk(b"nodes");
        reply.array(shard.nodes.len());
        shard.nodes.iter().for_each(|place| describe(reply, core, *place, own_offset, kind));
    }
    Ok(())
}

/// A field's value.
enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

fn describe(
    reply: &mut Reply<'_>,
    core: &Cluster,
    place: PeerIx,
    own_offset: u64,
    kind: EndpointType,
) {
    use Value::{Number, Text};
    let peer = &core.peers()[place];
    let port = |port: u16| (port != 0).then(|| Number(u64::from(port)));
    let hostname = Some(peer.hostname.as_str()).filter(|name| !name.is_empty());
    let role = if peer.is_replica() { "replica" } else { "master" };
    let fields = [
        ("id", Some(Text(peer.id.as_str()))),
        ("port", port(peer.ports.client)),
        ("tls-port", port(peer.ports.other)),
        ("ip", Some(Text(peer.host.as_str()))),
        ("endpoint", Some(Text(endpoint(peer, kind).unwrap_or_default()))),
        ("hostname", hostname.map(Text)),
        ("role", Some(Text(role))),
        ("replication-offset", Some(Number(view::offset(core, place, own_offset)))),
        ("health", Some(Text(view::health(core, place, own_offset)))),
    ];
    let there = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let there: Vec<(&str, Value<'_>)> = there.collect();
    reply.map(there.len());
    for (name, value) in there {
        reply.bulk(name.as_bytes());
        match value {
            Text(text) => reply.bulk(text.as_bytes()),
            Number(number) => reply.int(number.cast_signed()),
        }
    }
}

pub(super) const LINKS: Command = Command {
    name: "links",
    flags: VIEW,
    since: "7.0.0",
    summary: "Returns the connections to and from other nodes.",
    complexity: "O(N) with N the known nodes",
    tips: VOLATILE,
    run: links,
    ..SUBCOMMAND
};

fn links(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let core = core(ctx.state)?;
    let waiting = ctx.state.cluster.iter().flat_map(|membership| &membership.link_bytes);
    let waiting: std::collections::BTreeMap<_, usize> = waiting.copied().collect();
    let links = core.shown_links();
    let reply = &mut ctx.reply;
    reply.array(links.len());
    for link in links {
        let bytes = waiting.get(&link.id).copied().unwrap_or(0);
        reply.map(6);
        reply.bulk(b"direction");
        reply.bulk(if link.is_inbound { b"from" } else { b"to" });
        reply.bulk(b"node");
        reply.bulk(core.peers()[link.peer].id.as_bytes());
        reply.bulk(b"create-time");
        reply.int(link.created_ms.cast_signed());
        reply.bulk(b"events");
        reply.bulk(if bytes > 0 { b"rw" } else { b"r" });
        reply.bulk(b"send-buffer-allocated");
        reply.len(bytes);
        reply.bulk(b"send-buffer-used");
        reply.len(bytes);
    }
    Ok(())
}
