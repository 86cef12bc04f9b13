//! Gives a slot an owner by command: what all repairs end with.

use crate::keyspace::Slot;

use super::super::wire::{Failure, Reply};
use super::moving::set_slot;
use super::nodes::{Cluster, Node};
use super::screen::{Done, Screen, Stop};

/// How many keys of `slot` a node has.
pub(super) fn key_count(node: &mut Node, slot: Slot) -> i64 {
    let reply = node.peer.line(&format!("CLUSTER COUNTKEYSINSLOT {}", slot.number()));
    reply.ok().and_then(|reply| reply.integer()).unwrap_or(0)
}

/// Of some nodes the one with most keys of `slot`, the first of them, if any has one.
pub(super) fn with_most_keys(cluster: &mut Cluster, among: &[usize], slot: Slot) -> Option<usize> {
    let mut best = None;
    let mut most = 0;
    for &index in among {
        let count = key_count(&mut cluster.nodes[index], slot);
        if count > most {
            (best, most) = (Some(index), count);
        }
    }
    best
}

/// Makes a node the owner of `slot`, whatever it thought before, with an epoch that wins over others' claims.
pub(super) fn claim(
    screen: &mut Screen<'_>,
    node: &mut Node,
    slot: Slot,
    clears_state: bool,
) -> Done {
    let number = slot.number();
    let mut lines = vec![
        "MULTI".to_owned(),
        // An error where the slot is nobody's, which is just as well.
        format!("CLUSTER DELSLOTS {number}"),
        format!("CLUSTER ADDSLOTS {number}"),
    ];
    if clears_state {
        lines.push(format!("CLUSTER SETSLOT {number} STABLE"));
    }
    lines.push("CLUSTER BUMPEPOCH".to_owned());
    lines.push("EXEC".to_owned());
    let added = 1;
    let mut last = Reply::Nil;
    for line in &lines {
        match node.peer.line(line) {
            Ok(reply) => last = reply,
            Err(failure) => return Err(refused(screen, node, &failure)),
        }
    }
    let results = last.elements().unwrap_or_default();
    if let Some(error) = results.get(added).and_then(Reply::error) {
        let failure = Failure::Refused(error.to_owned());
        return Err(refused(screen, node, &failure));
    }
    node.slots.insert(slot);
    Ok(())
}

/// Takes `slot` from a node that should not have it, and prepares it to give its keys to the owner.
pub(super) fn dispossess(
    screen: &mut Screen<'_>,
    node: &mut Node,
    slot: Slot,
    owner: &str,
) -> Done {
    let number = slot.number();
    match node.peer.line(&format!("CLUSTER DELSLOTS {number}")) {
        // It may have learned of the new owner by itself.
        Ok(_) | Err(Failure::Refused(_)) => {}
        Err(failure) => return Err(refused(screen, node, &failure)),
    }
    for state in ["NODE", "IMPORTING"] {
        set_slot(node, &format!("{number} {state} {owner}"))
            .map_err(|failure| refused(screen, node, &failure))?;
    }
    node.slots.remove(slot);
    Ok(())
}

/// Closes `slot` on a node.
pub(super) fn stabilize(screen: &mut Screen<'_>, node: &mut Node, slot: Slot) -> Done {
    set_slot(node, &format!("{} STABLE", slot.number()))
        .map_err(|failure| refused(screen, node, &failure))?;
    node.migrating.remove(&slot.number());
    node.importing.remove(&slot.number());
    Ok(())
}

/// Names the owner of `slot` to all other primaries. What they think of it is no reason to stop.
pub(super) fn announce(cluster: &mut Cluster, slot: Slot, owner: usize) {
    let id = cluster.nodes[owner].id.clone();
    for index in cluster.primaries() {
        if index != owner {
            let named =
                set_slot(&mut cluster.nodes[index], &format!("{} NODE {id}", slot.number()));
            // They hear of it by gossip too.
            drop(named);
        }
    }
}

fn refused(screen: &mut Screen<'_>, node: &Node, failure: &Failure) -> Stop {
    screen.error(&node.peer.replied(&failure.to_string()));
    Stop::said()
}
