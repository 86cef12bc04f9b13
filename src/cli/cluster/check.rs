//! `check` and `fix`: does the cluster agree, are slots open, is each slot served, and by one node only.

use std::collections::BTreeMap;

use crate::keyspace::{SLOT_COUNT, Slot};

use super::load;
use super::nodes::Cluster;
use super::options::Options;
use super::screen::{Done, Screen, Stop};
use super::{fix_coverage, fix_open, fix_owners, show};

/// How a check is made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// The nodes are not listed.
    pub(super) is_brief: bool,
    /// What is wrong is put right.
    pub(super) fixes: bool,
}

/// Checks, says what is wrong, and fixes it where that is wanted. Whether all is well.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    how: How,
) -> bool {
    let first = cluster.nodes[0].address();
    screen.info(&format!(">>> Performing Cluster Check (using node {first})\n"));
    if !how.is_brief {
        let lines: String = cluster.nodes.iter().map(|node| show::node(node, "")).collect();
        screen.say(&lines);
    }
    cluster.errors.clear();
    let mut is_well = true;
    if load::all_agree(cluster) {
        screen.success("[OK] All nodes agree about slots configuration.\n");
    } else {
        wrong(screen, cluster, "[ERR] Nodes don't agree about configuration!");
        is_well = false;
    }
    let closed = open_slots(screen, cluster, options, how.fixes);
    if let Some(is_closed) = closed {
        // Whoever repairs a slot gives it to somebody with a new epoch: what nodes thought before counts no more.
        is_well = is_closed;
    }
    screen.info(">>> Check slots coverage...\n");
    if cluster.covered().len() == SLOT_COUNT {
        screen.success(&format!("[OK] All {SLOT_COUNT} slots covered.\n"));
    } else {
        let text = format!("[ERR] Not all {SLOT_COUNT} slots are covered by nodes.\n");
        wrong(screen, cluster, &text);
        let is_covered = how.fixes && fix_coverage::run(screen, cluster, options).is_ok();
        is_well = is_covered && closed != Some(false);
    }
    if options.searches_multiple_owners {
        is_well &= multiple_owners(screen, cluster, options, how.fixes);
    }
    show::for_machines(screen, cluster);
    let errors: Vec<&str> = cluster.errors.iter().map(|text| text.trim_end()).collect();
    screen.fact("errors", errors);
    screen.fact("ok", is_well);
    is_well
}

/// Says what is wrong and keeps it.
pub(super) fn wrong(screen: &mut Screen<'_>, cluster: &mut Cluster, text: &str) {
    cluster.errors.push(text.to_owned());
    screen.error(&format!("{text}\n"));
}

/// Slots that are open somewhere.
pub(super) fn list_open(cluster: &Cluster) -> BTreeMap<u16, Slot> {
    let nodes = cluster.nodes.iter();
    let open = nodes.flat_map(|node| node.migrating.keys().chain(node.importing.keys()));
    open.filter_map(|&number| Some((number, Slot::new(number)?))).collect()
}

/// Says which slots are open, and closes them where that is wanted. Whether they are closed now; `None`: none was open.
fn open_slots(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    fixes: bool,
) -> Option<bool> {
    screen.info(">>> Check for open slots...\n");
    let open = list_open(cluster);
    if open.is_empty() {
        return None;
    }
    let comma =
        |numbers: Vec<&u16>| numbers.into_iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut warnings = Vec::new();
    for node in &cluster.nodes {
        for (state, slots) in [("migrating", &node.migrating), ("importing", &node.importing)] {
            if !slots.is_empty() {
                let slots = comma(slots.keys().collect());
                let text = format!("Node {} has slots in {state} state {slots}.", node.peer);
                warnings.push(format!("[WARNING] {text}"));
            }
        }
    }
    for text in warnings {
        wrong(screen, cluster, &text);
    }
    let slots = comma(open.keys().collect());
    screen.error(&format!("[WARNING] The following slots are open: {slots}.\n"));
    let closed =
        fixes && open.values().all(|&slot| fix_open::run(screen, cluster, options, slot).is_ok());
    Some(closed)
}

fn multiple_owners(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    fixes: bool,
) -> bool {
    screen.info(">>> Check for multiple slot owners...\n");
    let mut has_some = false;
    let mut is_well = true;
    for slot in Slot::all() {
        let owners: Vec<usize> =
            cluster.primaries().into_iter().filter(|&i| cluster.nodes[i].slots.has(slot)).collect();
        if owners.len() < 2 {
            continue;
        }
        has_some = true;
        let mut text = format!("[WARNING] Slot {} has {} owners:\n", slot.number(), owners.len());
        for &index in &owners {
            text += &format!("    {}\n", cluster.nodes[index].peer);
        }
        screen.warn(&text);
        cluster.errors.push(text);
        is_well &= fixes && fix_owners::run(screen, cluster, options, slot, &owners).is_ok();
    }
    if !has_some {
        screen.success("[OK] No multiple owners found.\n");
    }
    is_well
}

/// A cluster that has to be clean before it is worked on; `otherwise` is said where it is not.
pub(super) fn demand(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    is_brief: bool,
    otherwise: impl FnOnce(&mut Screen<'_>),
) -> Done {
    if run(screen, cluster, options, How { is_brief, fixes: false }) {
        return Ok(());
    }
    otherwise(screen);
    Err(Stop::said())
}
