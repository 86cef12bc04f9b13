//! `del-node`: a node without slots leaves; its replicas follow others, and all forget it.

use super::nodes::Cluster;
use super::screen::{Done, Screen, Stop};

/// Removes the node with this id.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, id: &str) -> Done {
    let Some(gone) = cluster.find(id) else {
        screen.error(&format!("[ERR] No such node ID {id}\n"));
        return Err(Stop::said());
    };
    if !cluster.nodes[gone].slots.is_empty() {
        screen.error(&format!(
            "[ERR] Node {} is not empty! Reshard data away and try again.\n",
            cluster.nodes[gone].peer
        ));
        return Err(Stop::said());
    }
    screen.info(">>> Sending CLUSTER FORGET messages to the cluster...\n");
    let id = cluster.nodes[gone].id.clone();
    let others: Vec<usize> = (0..cluster.nodes.len()).filter(|&index| index != gone).collect();
    for index in others {
        if cluster.nodes[index].primary.as_deref() == Some(id.as_str()) {
            follow_another(screen, cluster, index, gone)?;
        }
        let peer = &mut cluster.nodes[index].peer;
        if let Err(failure) = peer.line(&format!("CLUSTER FORGET {id}")) {
            screen.error(&peer.replied(&failure.to_string()));
            return Err(Stop::said());
        }
    }
    screen.info(">>> Sending CLUSTER RESET SOFT to the deleted node.\n");
    let peer = &mut cluster.nodes[gone].peer;
    if let Err(failure) = peer.line("CLUSTER RESET SOFT") {
        screen.error(&peer.replied(&failure.to_string()));
        return Err(Stop::said());
    }
    Ok(())
}

/// Gives a replica of the node that leaves to the primary that has the fewest.
fn follow_another(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    replica: usize,
    gone: usize,
) -> Done {
    let candidates = cluster.primaries().into_iter().filter(|&index| index != gone);
    let fewest = candidates.min_by_key(|&index| cluster.nodes[index].replicas);
    let Some(primary) = fewest else { return Ok(()) };
    let (node, new) = (cluster.nodes[replica].address(), cluster.nodes[primary].address());
    screen.info(&format!(">>> {node} as replica of {new}\n"));
    let id = cluster.nodes[primary].id.clone();
    let peer = &mut cluster.nodes[replica].peer;
    if let Err(failure) = peer.line(&format!("CLUSTER REPLICATE {id}")) {
        screen.error(&peer.replied(&failure.to_string()));
        return Err(Stop::said());
    }
    cluster.nodes[primary].replicas += 1;
    cluster.nodes[replica].primary = Some(id);
    Ok(())
}
