//! One slot, several nodes that say they own it: one of them gets it, and the keys of the others.

use crate::keyspace::Slot;

use super::moving::{self, Move, Style};
use super::nodes::Cluster;
use super::options::Options;
use super::owner::{announce, claim, dispossess, stabilize, with_most_keys};
use super::screen::{Done, Screen};

/// Fixes `slot`, which all of `owners` claim.
///
/// # Errors
/// Where it cannot; the reason was said.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
    owners: &[usize],
) -> Done {
    let number = slot.number();
    screen.info(&format!(">>> Fixing multiple owners for slot {number}...\n"));
    let result = to_one(screen, cluster, options, slot, owners);
    if result.is_err() {
        screen.error(&format!("Failed to fix multiple owners for slot {number}\n"));
    }
    result
}

fn to_one(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
    owners: &[usize],
) -> Done {
    let newest = owners.iter().copied().max_by_key(|&index| cluster.nodes[index].config_epoch);
    let owner = with_most_keys(cluster, owners, slot).or(newest).expect("several claim it");
    let text = format!(">>> Setting slot {} owner: {}\n", slot.number(), cluster.nodes[owner].peer);
    screen.info(&text);
    claim(screen, &mut cluster.nodes[owner], slot, false)?;
    let id = cluster.nodes[owner].id.clone();
    for &source in owners.iter().filter(|&&index| index != owner) {
        dispossess(screen, &mut cluster.nodes[source], slot, &id)?;
        moving::slot(screen, cluster, options, Move { slot, source, target: owner }, Style::Cold)?;
        stabilize(screen, &mut cluster.nodes[source], slot)?;
    }
    announce(cluster, slot, owner);
    Ok(())
}
