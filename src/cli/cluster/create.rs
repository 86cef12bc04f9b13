//! `create`: empty nodes become a cluster.

use std::collections::BTreeMap;

use crate::cluster::SlotSet;
use crate::keyspace::Slot;

use super::super::wire::{Credentials, Failure};
use super::check::{self, How};
use super::layout::{self, Layout, Spread};
use super::load;
use super::nodes::{Cluster, Node};
use super::options::Options;
use super::peer::{Peer, field};
use super::screen::{Done, Screen, Stop};
use super::{address, join, show};

/// Primaries without which no majority survives the loss of one.
const PRIMARIES_MIN: usize = 3;

/// Makes a cluster of the nodes at `addresses`. Fewer than three primaries are made only where the options allow it.
///
/// # Errors
/// Where no cluster came of it; where the text of [`Stop`] is empty, the reason was said.
pub(in crate::cli) fn run(
    screen: &mut Screen<'_>,
    addresses: &[String],
    credentials: &Credentials,
    options: &Options,
) -> Done {
    let mut nodes = Vec::new();
    for word in addresses {
        let Some((host, port, bus_port)) = address::parse(word) else {
            screen.complain(&format!("Invalid address format: {word}\n"));
            return Err(Stop::said());
        };
        nodes.push(empty_node(screen, Peer::new(&host, port, credentials), bus_port)?);
    }
    demand_enough(screen, nodes.len(), options)?;
    refuse_copies(screen, &nodes)?;
    let mut cluster = Cluster { nodes, unreachable_primaries: 0, errors: Vec::new() };
    lay_out(screen, &mut cluster, options);
    let plan: String = cluster.nodes.iter().map(show::planned).collect();
    screen.say(&plan);
    if !options.yes && !screen.confirms("Can I set the above configuration?") {
        return Ok(());
    }
    carry_out(screen, &mut cluster)?;
    let first = &cluster.nodes[0].peer;
    let (host, port) = (first.host.clone(), first.port);
    let mut made = load::cluster(screen, &host, port, credentials)?;
    let is_well = check::run(screen, &mut made, options, How::default());
    if is_well { Ok(()) } else { Err(Stop::said()) }
}

/// A node that is in cluster mode, knows nobody and holds nothing.
fn empty_node(screen: &mut Screen<'_>, peer: Peer, bus_port: u16) -> Done<Node> {
    let (mut node, _) = load::node(screen, peer)?;
    demand_empty(screen, &mut node.peer)?;
    if bus_port != 0 {
        node.bus_port = bus_port;
    } else if node.bus_port == node.peer.port.wrapping_add(10_000) {
        // The port that follows from the other one needs not be said.
        node.bus_port = 0;
    }
    node.slots = SlotSet::EMPTY;
    Ok(node)
}

/// Refuses a node that knows others or has keys.
pub(super) fn demand_empty(screen: &mut Screen<'_>, peer: &mut Peer) -> Done {
    let info = load::text_of(screen, peer, "INFO")?;
    let is_alone = if info.contains("db0:") {
        false
    } else {
        let known = load::text_of(screen, peer, "CLUSTER INFO")?;
        field(&known, "cluster_known_nodes") == Some("1")
    };
    if is_alone {
        return Ok(());
    }
    screen.error(&format!(
        "[ERR] Node {peer} is not empty. Either the node already knows other nodes (check with CLUSTER NODES) or contains \
         some key in database 0.\n"
    ));
    Err(Stop::said())
}

fn demand_enough(screen: &mut Screen<'_>, count: usize, options: &Options) -> Done {
    let replicas = options.replicas;
    let least = if options.allows_small { 1 } else { PRIMARIES_MIN };
    if count / (replicas + 1) >= least {
        return Ok(());
    }
    screen.error(&format!(
        "*** ERROR: Invalid configuration for cluster creation.\n\
         *** Redis Cluster requires at least {PRIMARIES_MIN} master nodes.\n\
         *** This is not possible with {count} nodes and {replicas} replicas per node."
    ));
    let needed = least * (replicas + 1);
    screen.error(&format!("\n*** At least {needed} nodes are required.\n"));
    Err(Stop::said())
}

/// Two nodes of one id are copies of one folder. They would take each other for a node that moves.
fn refuse_copies(screen: &mut Screen<'_>, nodes: &[Node]) -> Done {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in nodes {
        places.entry(&node.id).or_default().push(node.address());
    }
    let Some((id, places)) = places.iter().find(|(_, places)| places.len() > 1) else {
        return Ok(());
    };
    screen.error(&format!(
        "[ERR] Nodes {} have the same ID {id}: their folders (nodes.conf) are copies of one another, or it is one node under \
         several addresses. Give each node a folder of its own, or send CLUSTER RESET HARD to all but one.\n",
        places.join(" and ")
    ));
    Err(Stop::said())
}

/// Decides who becomes what, and says it.
fn lay_out(screen: &mut Screen<'_>, cluster: &mut Cluster, options: &Options) {
    let nodes = &mut cluster.nodes;
    let count = nodes.len();
    let hosts: Vec<String> = nodes.iter().map(|node| node.peer.host.clone()).collect();
    screen.info(&format!(">>> Performing hash slots allocation on {count} nodes...\n"));
    let mut layout = layout::plan(&hosts, options.replicas);
    for (turn, &(index, first, last)) in layout.primaries.iter().enumerate() {
        screen.say(&format!("Master[{turn}] -> Slots {first} - {last}\n"));
        let numbers = (first..=last).filter_map(|number| u16::try_from(number).ok());
        numbers.filter_map(Slot::new).for_each(|slot| nodes[index].slots.insert(slot));
    }
    for (turn, &(replica, primary)) in layout.replicas.iter().enumerate() {
        if turn == layout.extra_from {
            screen.say("Adding extra replicas...\n");
        }
        let (replica, primary) = (&nodes[replica].peer, &nodes[primary].peer);
        screen.say(&format!("Adding replica {replica} to {primary}\n"));
    }
    spread(screen, &hosts, &mut layout);
    for &(replica, primary) in &layout.replicas {
        nodes[replica].primary = Some(nodes[primary].id.clone());
    }
}

/// Brings copies of one shard to different hosts, as far as there are enough.
fn spread(screen: &mut Screen<'_>, hosts: &[String], layout: &mut Layout) {
    if layout.replicas.is_empty() {
        return;
    }
    if layout::spread(hosts, &layout.replicas) == Spread::Perfect {
        return;
    }
    screen.info(">>> Trying to optimize slaves allocation for anti-affinity\n");
    let mut random = fastrand::Rng::with_seed(crate::random::seed());
    layout::optimize(hosts, layout, &mut random);
    match layout::spread(hosts, &layout.replicas) {
        Spread::Perfect => screen.success("[OK] Perfect anti-affinity obtained!\n"),
        Spread::TogetherWithPrimary => {
            screen.warn("[WARNING] Some slaves are in the same host as their master\n");
        }
        Spread::TogetherWithReplica => {
            screen.warn("[WARNING] Some slaves of the same master are in the same host\n");
        }
    }
}

fn carry_out(screen: &mut Screen<'_>, cluster: &mut Cluster) -> Done {
    for index in cluster.primaries() {
        add_slots(screen, &mut cluster.nodes[index])?;
    }
    screen.info(">>> Nodes configuration updated\n");
    screen.info(">>> Assign a different config epoch to each node\n");
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        // Nodes that have an epoch already keep it.
        drop(node.peer.line(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)));
    }
    screen.info(">>> Sending CLUSTER MEET messages to join the cluster\n");
    let (first, others) = cluster.nodes.split_first_mut().expect("a cluster has nodes");
    let bus = if first.bus_port == 0 { String::new() } else { format!(" {}", first.bus_port) };
    let meet = format!("CLUSTER MEET {} {}{bus}", first.peer.host, first.peer.port);
    for node in others {
        if let Err(failure) = node.peer.line(&meet) {
            screen.error(&node.peer.replied(&failure.to_string()));
            screen.error("Failed to send CLUSTER MEET command.\n");
            return Err(Stop::said());
        }
    }
    join::wait(screen, cluster)?;
    for node in cluster.nodes.iter_mut() {
        let Some(primary) = node.primary.clone() else { continue };
        if let Err(failure) = node.peer.line(&format!("CLUSTER REPLICATE {primary}")) {
            screen.error(&node.peer.replied(&failure.to_string()));
            return Err(Stop::said());
        }
    }
    Ok(())
}

fn add_slots(screen: &mut Screen<'_>, node: &mut Node) -> Done {
    let mut words = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
    words.extend(node.slots.iter().map(|slot| slot.number().to_string()));
    match node.peer.call(&words) {
        Ok(_) => Ok(()),
        Err(Failure::Refused(text)) => {
            screen.error(&node.peer.replied(&text));
            Err(Stop::said())
        }
        Err(failure) => Err(Stop::with(format!("{failure}\n"))),
    }
}
