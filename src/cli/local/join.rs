//! Makes a cluster of nodes that know nothing: epochs, slots, introductions, replicas.
//!
//! Every step looks first and does what is missing, so a run that was cut off is completed by the next one. Nothing is
//! taken back: where nodes have decided otherwise meanwhile (a failover, say), they are right.

use std::collections::HashMap;

use super::look::{Access, View, field, in_words};
use super::plan::{BUS, Plan, SLOTS};
use crate::clock;

/// After this the operator is told that nodes cannot be introduced, instead of trying on.
const GIVE_UP_US: u64 = 120_000_000;

/// Time between two tries at introducing nodes.
const AGAIN_US: u64 = 1_000_000;

/// Introductions in one try: enough for some nodes that found nobody, little for a host.
const MEETS_MAX: usize = 100;

/// Called while something is waited for, with what that is. An error ends the wait.
pub(super) type Wait<'a> = dyn FnMut(&str) -> Result<(), String> + 'a;

/// Makes the founders one cluster.
///
/// # Errors
/// What cannot be done, and where; the next call goes on from there.
pub(super) fn form(plan: &Plan, nodes: &[Access], wait: &mut Wait<'_>) -> Result<(), String> {
    let founders = &nodes[..plan.founders.min(nodes.len())];
    let views = views(founders, wait)?;
    distinct(founders, &views)?;
    for (index, (node, view)) in founders.iter().zip(&views).enumerate() {
        // Only a node that is still alone takes an epoch; the order makes them distinct.
        let epoch = view.myself().map_or(0, |myself| myself.config_epoch);
        if view.peers.len() == 1 && epoch == 0 {
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
    }
    give_slots(plan, founders, &views)?;
    introduce(founders, wait)?;
    replicate(plan, founders, wait)?;
    settle(founders, wait)
}

/// Makes the node at `index` known to a cluster that is formed. It has no slots, and replicates nobody.
///
/// # Errors
/// What cannot be done, and why.
pub(super) fn add(nodes: &[Access], index: usize, wait: &mut Wait<'_>) -> Result<(), String> {
    let new = &nodes[index];
    let id = own_id(new, &look(new, wait)?)?;
    let known = |node: &&Access| {
        node.port != new.port && node.view().is_ok_and(|view| view.ok && view.peers.len() > 1)
    };
    // A cluster of one knows nobody else.
    let alone = |node: &&Access| node.port != new.port && node.view().is_ok_and(|view| view.ok);
    let contact = nodes.iter().find(known).or_else(|| nodes.iter().find(alone));
    let contact = contact.ok_or("no other node serves the cluster")?;
    // All who are in it get to know the new one, and nobody who is not.
    let view = look(contact, wait)?;
    let is_in = |node: &&Access| {
        let own = node.view().ok().and_then(|view| Some(view.myself()?.id.clone()));
        own.is_some_and(|own| own != id && view.knows(&own))
    };
    let mut all: Vec<Access> = nodes.iter().filter(is_in).cloned().collect();
    all.push(new.clone());
    introduce(&all, wait)
}

/// The cluster as a node sees it, once it answers.
fn look(node: &Access, wait: &mut Wait<'_>) -> Result<View, String> {
    loop {
        match node.view() {
            Ok(view) => return Ok(view),
            Err(error) => wait(&format!("{} {}", node.port, in_words(&error)))?,
        }
    }
}

fn views(nodes: &[Access], wait: &mut Wait<'_>) -> Result<Vec<View>, String> {
    nodes.iter().map(|node| look(node, wait)).collect()
}

fn own_id(node: &Access, view: &View) -> Result<String, String> {
    let myself = view.myself().map(|myself| myself.id.clone());
    myself.ok_or_else(|| format!("{} does not say who it is", node.port))
}

/// Two nodes with one id never become one cluster: the folder of one was copied.
fn distinct(nodes: &[Access], views: &[View]) -> Result<(), String> {
    let mut seen: HashMap<String, u16> = HashMap::new();
    for (node, view) in nodes.iter().zip(views) {
        if let Some(other) = seen.insert(own_id(node, view)?, node.port) {
            return Err(format!(
                "{other} and {} have the same id: one's nodes.conf is a copy of the other's, and has to go",
                node.port
            ));
        }
    }
    Ok(())
}

/// Gives slots that nobody has to those who are to have them.
fn give_slots(plan: &Plan, nodes: &[Access], views: &[View]) -> Result<(), String> {
    let mut given = vec![false; usize::from(SLOTS)];
    for (first, last) in views.iter().flat_map(|view| &view.peers).flat_map(|peer| &peer.slots) {
        given[usize::from(*first)..=usize::from(*last)].fill(true);
    }
    for (index, node) in nodes.iter().enumerate() {
        let Some((first, last)) = plan.slots_of(index) else { continue };
        let mut words = vec!["CLUSTER".to_owned(), "ADDSLOTSRANGE".to_owned()];
        for (from, to) in gaps(&given, first, last) {
            words.extend([from.to_string(), to.to_string()]);
        }
        if words.len() > 2 {
            node.tell(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// The ranges from `first` to `last` that are not given.
fn gaps(given: &[bool], first: u16, last: u16) -> Vec<(u16, u16)> {
    let mut gaps: Vec<(u16, u16)> = Vec::new();
    for slot in (first..=last).filter(|slot| !given[usize::from(*slot)]) {
        match gaps.last_mut() {
            Some((_, end)) if *end + 1 == slot => *end = slot,
            _ => gaps.push((slot, slot)),
        }
    }
    gaps
}

/// Makes all nodes known to one another.
fn introduce(nodes: &[Access], wait: &mut Wait<'_>) -> Result<(), String> {
    let begun = clock::mono_us();
    let mut tried: Option<u64> = None;
    loop {
        let views = views(nodes, wait)?;
        let ids = nodes.iter().zip(&views).map(|(node, view)| own_id(node, view));
        let ids = ids.collect::<Result<Vec<String>, String>>()?;
        let strangers = strangers(&views, &ids);
        let Some((one, other)) = strangers.first().map(|(a, b)| (&nodes[*a], &nodes[*b])) else {
            return Ok(());
        };
        let now = clock::mono_us();
        let doubt = format!(
            "{} does not know {} yet (it connects to {}:{})",
            one.port,
            other.port,
            other.host(),
            other.port + BUS
        );
        if now - begun > GIVE_UP_US {
            return Err(format!("the nodes do not get to know each other: {doubt}"));
        }
        if tried.is_none_or(|tried| now - tried > AGAIN_US) {
            // First everybody by way of one; gossip does the rest. Whoever it leaves out is introduced directly.
            let by_one = |pair: &&(usize, usize)| tried.is_some() || pair.0 == 0;
            for (a, b) in strangers.iter().filter(by_one).take(MEETS_MAX) {
                meet(&nodes[*a], &nodes[*b])?;
            }
            tried = Some(now);
        }
        wait(&doubt)?;
    }
}

/// Pairs of nodes of which the first does not know the second.
fn strangers(views: &[View], ids: &[String]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (a, view) in views.iter().enumerate() {
        pairs.extend((0..ids.len()).filter(|b| !view.knows(&ids[*b])).map(|b| (a, b)));
    }
    pairs
}

fn meet(one: &Access, other: &Access) -> Result<(), String> {
    let (port, bus) = (other.port.to_string(), (other.port + BUS).to_string());
    one.tell(&["CLUSTER", "MEET", other.host(), &port, &bus])
}

/// Lets those who are to be replicas follow their primaries.
fn replicate(plan: &Plan, nodes: &[Access], wait: &mut Wait<'_>) -> Result<(), String> {
    let views = views(nodes, wait)?;
    for (index, node) in nodes.iter().enumerate() {
        let Some(primary) = plan.primary_of(index) else { continue };
        let myself = views[index].myself();
        if myself.is_none_or(|myself| myself.has("slave") || !myself.slots.is_empty()) {
            continue;
        }
        // Whoever has the primary's slots now.
        let target = views[primary].myself().and_then(|peer| peer.primary.clone());
        let target = match target {
            Some(target) => target,
            None => own_id(&nodes[primary], &views[primary])?,
        };
        let begun = clock::mono_us();
        // It may not have heard yet that its primary is one.
        while let Err(error) = node.tell(&["CLUSTER", "REPLICATE", &target]) {
            if clock::mono_us() - begun > GIVE_UP_US {
                return Err(error);
            }
            wait(&error)?;
        }
    }
    Ok(())
}

/// Waits until all nodes serve one cluster, and replicas have what their primaries have.
fn settle(nodes: &[Access], wait: &mut Wait<'_>) -> Result<(), String> {
    while let Some(doubt) = nodes.iter().find_map(unsettled) {
        wait(&doubt)?;
    }
    Ok(())
}

/// Why a node is not yet what it is to be: nothing if it is.
pub(super) fn unsettled(node: &Access) -> Option<String> {
    let port = node.port;
    let view = match node.view() {
        Ok(view) => view,
        Err(error) => return Some(format!("{port} {}", in_words(&error))),
    };
    // One that was taken out of the cluster is all that it is going to be.
    if !view.ok && !view.is_alone() {
        let given: u32 = view.peers.iter().map(|peer| peer.slot_count()).sum();
        return Some(match given < u32::from(SLOTS) {
            true => format!("{port} knows the owners of {given} of {SLOTS} slots"),
            false => format!("{port} does not serve the cluster yet"),
        });
    }
    if view.myself().is_some_and(|myself| myself.has("slave")) {
        let info = node.text(&["INFO", "replication"]).unwrap_or_default();
        if field(&info, "master_link_status") != Some("up") {
            return Some(format!("{port} does not have the data of its primary yet"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_given() {
        let mut given = vec![false; usize::from(SLOTS)];
        assert_eq!(gaps(&given, 0, 5460), [(0, 5460)]);
        given[10..=20].fill(true);
        given[5460] = true;
        assert_eq!(gaps(&given, 0, 5460), [(0, 9), (21, 5459)]);
        given.fill(true);
        assert_eq!(gaps(&given, 0, 16383), []);
    }
}
