//! `add-node`: an empty node joins, as a primary without slots or as a replica.

use super::super::wire::{Credentials, Failure, Reply};
use super::check;
use super::create::demand_empty;
use super::nodes::Cluster;
use super::options::Options;
use super::peer::Peer;
use super::screen::{Done, Screen, Stop};
use super::{address, join, load};

/// Adds the node at `new` to the cluster of the node at `existing`.
pub(super) fn run(
    screen: &mut Screen<'_>,
    new: &str,
    existing: &str,
    credentials: &Credentials,
    options: &Options,
) -> Done {
    let (Some((new_host, new_port, bus_port)), Some((host, port, _))) =
        (address::parse(new), address::parse(existing))
    else {
        screen.complain(super::INVALID_ADDRESS);
        return Err(Stop::said());
    };
    screen.info(&format!(">>> Adding node {new_host}:{new_port} to cluster {host}:{port}\n"));
    let mut cluster = load::cluster(screen, &host, port, credentials)?;
    check::demand(screen, &mut cluster, options, false, |_| {})?;
    let primary = primary_for(screen, &cluster, options)?;
    let mut peer = Peer::new(&new_host, new_port, credentials);
    if load::connect(screen, &mut peer).is_err() {
        screen.error(&format!("[ERR] Sorry, can't connect to node {peer}\n"));
        return Err(Stop::said());
    }
    let (mut node, _) = load::node(screen, peer)?;
    demand_empty(screen, &mut node.peer)?;
    if !options.as_replica {
        copy_functions(screen, &mut cluster, &mut node.peer)?;
    }
    screen.info(&format!(
        ">>> Send CLUSTER MEET to node {} to make it join the cluster.\n",
        node.peer
    ));
    let first = &cluster.nodes[0];
    let bus = if first.bus_port != 0 && first.bus_port != first.peer.port.wrapping_add(10_000) {
        format!(" {}", first.bus_port)
    } else {
        String::new()
    };
    let meet = format!("CLUSTER MEET {} {}{bus}", first.peer.host, first.peer.port);
    ask(screen, &mut node.peer, &meet)?;
    if bus_port != 0 {
        node.bus_port = bus_port;
    }
    if let Some(primary) = primary {
        let (id, address) = (cluster.nodes[primary].id.clone(), cluster.nodes[primary].address());
        cluster.nodes.push(node);
        join::wait(screen, &mut cluster)?;
        screen.info(&format!(">>> Configure node as replica of {address}.\n"));
        let node = cluster.nodes.last_mut().expect("it was added above");
        ask(screen, &mut node.peer, &format!("CLUSTER REPLICATE {id}"))?;
    }
    screen.success("[OK] New node added correctly.\n");
    Ok(())
}

fn ask(screen: &mut Screen<'_>, peer: &mut Peer, line: &str) -> Done<Reply> {
    peer.line(line).map_err(|failure| {
        screen.error(&peer.replied(&failure.to_string()));
        Stop::said()
    })
}

/// The primary that the new node is to follow, if it is to be a replica.
fn primary_for(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    options: &Options,
) -> Done<Option<usize>> {
    if !options.as_replica {
        return Ok(None);
    }
    if let Some(id) = &options.master_id {
        let found = cluster.find(id);
        if found.is_none() {
            screen.error(&format!("[ERR] No such master ID {id}\n"));
            return Err(Stop::said());
        }
        return Ok(found);
    }
    let found = cluster.fewest_replicas();
    if let Some(index) = found {
        let text = format!("Automatically selected master {}\n", cluster.nodes[index].peer);
        screen.say(&text);
    }
    Ok(found)
}

/// A new primary gets the functions that the cluster has. Servers without functions are no obstacle.
fn copy_functions(screen: &mut Screen<'_>, cluster: &mut Cluster, new: &mut Peer) -> Done {
    screen.info(">>> Getting functions from cluster\n");
    let dump = match cluster.nodes[0].peer.line("FUNCTION DUMP") {
        Ok(reply) => reply.bytes().map(<[u8]>::to_vec),
        Err(Failure::Refused(text)) => {
            screen.info(&format!(
                ">>> Failed retrieving Functions from the cluster, skip this step as Redis version do not support function \
                 command (error = '{text}')\n"
            ));
            return Ok(());
        }
        Err(failure) => return Err(Stop::with(format!("{failure}\n"))),
    };
    screen
        .info(&format!(">>> Send FUNCTION LIST to {new} to verify there is no functions in it\n"));
    match new.line("FUNCTION LIST") {
        Ok(reply) if reply.elements().is_some_and(|list| !list.is_empty()) => {
            screen.error(
                ">>> New node already contains functions and can not be added to the cluster. Use FUNCTION FLUSH and try \
                 again.\r\n",
            );
            return Err(Stop::said());
        }
        Ok(_) => {}
        // A node of ours has no functions yet: where the cluster has none either, nothing is lost.
        Err(_) if dump.as_ref().is_none_or(|dump| dump.len() <= EMPTY_DUMP) => return Ok(()),
        Err(failure) => {
            screen.error(&format!(">>> Failed on CLUSTER LIST (error = '{failure}')\r\n"));
            return Err(Stop::said());
        }
    }
    screen.info(&format!(">>> Send FUNCTION RESTORE to {new}\n"));
    let Some(dump) = dump else { return Ok(()) };
    match new.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]) {
        Ok(_) => Ok(()),
        Err(_) if dump.len() <= EMPTY_DUMP => Ok(()),
        Err(failure) => {
            let text = format!("(error = '{failure}')");
            screen.error(&format!(">>> Failed loading functions to the new node {text}\r\n"));
            Err(Stop::said())
        }
    }
}

/// Bytes of a dump that holds no function: version and checksum.
const EMPTY_DUMP: usize = 10;
