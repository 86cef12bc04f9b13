//! Slots that nobody serves get somebody: a random primary, or the one that has their keys.

use std::collections::BTreeMap;

use crate::cluster::SlotSet;
use crate::keyspace::Slot;

use super::fix_open::danger;
use super::moving::{self, Move, Style, set_slot};
use super::nodes::{Cluster, in_brackets};
use super::options::Options;
use super::owner::{claim, key_count, stabilize};
use super::screen::{Done, Screen, Stop};

/// Who has keys of the slots that nobody serves.
type Holders = BTreeMap<u16, Vec<usize>>;

/// Covers what is not covered, as far as the operator agrees.
///
/// # Errors
/// Where it cannot, or may not; the reason was said.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, options: &Options) -> Done {
    if cluster.unreachable_primaries > 0 && !options.fixes_with_unreachable_masters {
        screen.warn(&danger("slots coverage", cluster.unreachable_primaries));
        return Err(Stop::said());
    }
    screen.info(">>> Fixing slots coverage...\n");
    let holders = holders(cluster);
    let group = |wanted: fn(usize) -> bool| {
        let fits = holders.iter().filter(move |(_, nodes)| wanted(nodes.len()));
        fits.filter_map(|(&number, nodes)| Some((Slot::new(number)?, nodes.clone())))
            .collect::<Vec<_>>()
    };
    let (none, one, many) =
        (group(|count| count == 0), group(|count| count == 1), group(|count| count > 1));
    let mut random = fastrand::Rng::with_seed(crate::random::seed());
    if agreed(screen, &none, "no keys across the cluster", "covering with a random node") {
        for (slot, _) in none {
            let primaries = cluster.primaries();
            let Some(&index) = random.choice(&primaries) else { return Err(Stop::said()) };
            cover(screen, cluster, slot, index)?;
        }
    }
    if agreed(screen, &one, "keys in just one node", "covering with those nodes") {
        for (slot, nodes) in one {
            cover(screen, cluster, slot, nodes[0])?;
        }
    }
    if agreed(screen, &many, "keys in multiple nodes", "moving keys into a single node") {
        for (slot, nodes) in many {
            gather(screen, cluster, options, slot, &nodes)?;
        }
    }
    let is_covered = cluster.covered().len() == crate::keyspace::SLOT_COUNT;
    if is_covered { Ok(()) } else { Err(Stop::said()) }
}

fn holders(cluster: &mut Cluster) -> Holders {
    let covered = cluster.covered();
    let primaries = cluster.primaries();
    let mut holders = Holders::new();
    for slot in Slot::all().filter(|slot| !covered.has(*slot)) {
        let has = |&&index: &&usize| key_count(&mut cluster.nodes[index], slot) > 0;
        let nodes: Vec<usize> = primaries.iter().filter(has).copied().collect();
        holders.insert(slot.number(), nodes);
    }
    holders
}

/// Lists a group of slots and asks what to do with it.
fn agreed(screen: &mut Screen<'_>, group: &[(Slot, Vec<usize>)], what: &str, how: &str) -> bool {
    if group.is_empty() {
        return false;
    }
    let mut slots = SlotSet::EMPTY;
    group.iter().for_each(|(slot, _)| slots.insert(*slot));
    screen.say(&format!("The following uncovered slots have {what}:\n{}\n", in_brackets(&slots)));
    screen.confirms(&format!("Fix these slots by {how}?"))
}

fn cover(screen: &mut Screen<'_>, cluster: &mut Cluster, slot: Slot, index: usize) -> Done {
    let node = &mut cluster.nodes[index];
    screen.info(&format!(">>> Covering slot {} with {}\n", slot.number(), node.peer));
    claim(screen, node, slot, false)
}

/// Brings all keys of `slot` to the node that has most of them, which gets the slot.
fn gather(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
    nodes: &[usize],
) -> Done {
    let number = slot.number();
    let target = super::owner::with_most_keys(cluster, nodes, slot).unwrap_or(nodes[0]);
    let to = cluster.nodes[target].address();
    screen.info(&format!(">>> Covering slot {number} moving keys to {to}\n"));
    claim(screen, &mut cluster.nodes[target], slot, true)?;
    let id = cluster.nodes[target].id.clone();
    for &source in nodes.iter().filter(|&&index| index != target) {
        let node = &mut cluster.nodes[source];
        // A node that is importing serves the keys it has, and so lets MIGRATE have them.
        for state in ["NODE", "IMPORTING"] {
            if let Err(failure) = set_slot(node, &format!("{number} {state} {id}")) {
                screen.error(&node.peer.replied(&failure.to_string()));
                return Err(Stop::said());
            }
        }
        moving::slot(screen, cluster, options, Move { slot, source, target }, Style::Cold)?;
        stabilize(screen, &mut cluster.nodes[source], slot)?;
    }
    Ok(())
}
