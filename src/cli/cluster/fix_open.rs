//! Closes a slot that an interrupted move left open.
//!
//! First it is clear whose the slot is: of the one node that has it or keys of it, or, where there are several, of the one
//! with most keys. Then what is open decides which of four cases it is.

use crate::keyspace::Slot;

use super::moving::{self, Move, Style};
use super::nodes::{Cluster, Node};
use super::options::Options;
use super::owner::{announce, claim, dispossess, key_count, stabilize, with_most_keys};
use super::screen::{Done, Screen, Stop};

/// What is to be done, by indexes of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Case {
    /// One gives, one takes: the move is finished.
    Finish { source: usize, target: usize },
    /// Some take and nobody gives: what they have goes to the owner.
    GiveBack { sources: Vec<usize> },
    /// One gives and several take: the one it gives to gets it, the others are closed.
    FinishOne { source: usize, target: usize, others: Vec<usize> },
    /// One gives and several take, none of them the one it gives to: all are closed.
    CloseAll { nodes: Vec<usize> },
    /// One gives and nobody takes.
    Close { source: usize },
    /// None of these.
    Unknown,
}

/// What is open where, with what is needed to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    owner: usize,
    migrating: Vec<usize>,
    importing: Vec<usize>,
    /// The node to which the one that is migrating gives the slot.
    target: Option<usize>,
    /// Nodes that have keys of the slot.
    with_keys: Vec<usize>,
}

impl State {
    fn case(&self) -> Case {
        match (&self.migrating[..], &self.importing[..]) {
            (&[source], &[target]) => Case::Finish { source, target },
            ([], sources) if !sources.is_empty() => Case::GiveBack { sources: sources.to_vec() },
            (&[source], []) if source == self.owner || !self.with_keys.contains(&source) => {
                Case::Close { source }
            }
            (&[source], takers) if takers.len() > 1 => self.case_of_several(source, takers),
            _ => Case::Unknown,
        }
    }

    fn case_of_several(&self, source: usize, takers: &[usize]) -> Case {
        let target = self.target.filter(|target| takers.contains(target));
        let others = takers.iter().copied().filter(|taker| Some(*taker) != target);
        let others: Vec<usize> = others.collect();
        if others.iter().any(|taker| self.with_keys.contains(taker)) {
            return Case::Unknown;
        }
        match target {
            Some(target) => Case::FinishOne { source, target, others },
            None => Case::CloseAll { nodes: [&[source], takers].concat() },
        }
    }
}

/// Fixes `slot`.
///
/// # Errors
/// Where it cannot; the reason was said.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
) -> Done {
    if cluster.unreachable_primaries > 0 && !options.fixes_with_unreachable_masters {
        screen.warn(&danger("open slots", cluster.unreachable_primaries));
        return Err(Stop::said());
    }
    screen.info(&format!(">>> Fixing open slot {}\n", slot.number()));
    let owners = owners(screen, cluster, slot);
    let mut owner = if let [only] = owners[..] { Some(only) } else { None };
    let (mut migrating, mut importing) = open_nodes(screen, cluster, slot, owner);
    list(screen, cluster, "Set as migrating in", &migrating);
    list(screen, cluster, "Set as importing in", &importing);
    if owner.is_none() {
        let chosen = choose(screen, cluster, slot, &owners)?;
        owner = Some(chosen);
        migrating.retain(|&index| index != chosen);
        importing.retain(|&index| index != chosen);
        let id = cluster.nodes[chosen].id.clone();
        for &other in owners.iter().filter(|&&index| index != chosen) {
            dispossess(screen, &mut cluster.nodes[other], slot, &id)?;
            migrating.retain(|&index| index != other);
            if !importing.contains(&other) {
                importing.push(other);
            }
        }
    }
    let owner = owner.expect("one was chosen, or there was one");
    let with_keys = |cluster: &mut Cluster, nodes: &[usize]| {
        let has = |&&index: &&usize| key_count(&mut cluster.nodes[index], slot) > 0;
        nodes.iter().filter(has).copied().collect::<Vec<_>>()
    };
    let target = migrating
        .first()
        .and_then(|&index| cluster.find(cluster.nodes[index].migrating.get(&slot.number())?));
    let with_keys = with_keys(cluster, &[&migrating[..], &importing[..]].concat());
    let state = State { owner, migrating, importing, target, with_keys };
    carry_out(screen, cluster, options, slot, &state)
}

/// Why nothing is fixed while primaries are out of reach.
pub(super) fn danger(what: &str, unreachable: usize) -> String {
    format!(
        "*** Fixing {what} with {unreachable} unreachable masters is dangerous: redis-cli will assume that slots about \
         masters that are not reachable are not covered, and will try to reassign them to the reachable nodes. This can \
         cause data loss and is rarely what you want to do. If you really want to proceed use the \
         --cluster-fix-with-unreachable-masters option.\n"
    )
}

/// Nodes that have the slot or keys of it.
fn owners(screen: &mut Screen<'_>, cluster: &mut Cluster, slot: Slot) -> Vec<usize> {
    let mut owners = Vec::new();
    for index in cluster.primaries() {
        let node = &mut cluster.nodes[index];
        if node.slots.has(slot) {
            owners.push(index);
        } else if key_count(node, slot) > 0 {
            let (number, peer) = (slot.number(), &node.peer);
            let text = format!("*** Found keys about slot {number} in non-owner node {peer}!\n");
            screen.warn(&text);
            owners.push(index);
        }
    }
    owners
}

/// Nodes on which the slot is migrating, and those on which it is importing or that have keys without owning it.
fn open_nodes(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    slot: Slot,
    owner: Option<usize>,
) -> (Vec<usize>, Vec<usize>) {
    let (mut migrating, mut importing) = (Vec::new(), Vec::new());
    for index in cluster.primaries() {
        let node = &mut cluster.nodes[index];
        if node.migrating.contains_key(&slot.number()) {
            migrating.push(index);
        } else if node.importing.contains_key(&slot.number()) {
            importing.push(index);
        } else if owner != Some(index) && key_count(node, slot) > 0 {
            let text =
                format!("*** Found keys about slot {} in node {}!\n", slot.number(), node.peer);
            screen.warn(&text);
            importing.push(index);
        }
    }
    (migrating, importing)
}

fn addresses(cluster: &Cluster, nodes: &[usize]) -> String {
    nodes.iter().map(|&index| cluster.nodes[index].address()).collect::<Vec<_>>().join(",")
}

fn list(screen: &mut Screen<'_>, cluster: &Cluster, what: &str, nodes: &[usize]) {
    if !nodes.is_empty() {
        screen.say(&format!("{what}: {}\n", addresses(cluster, nodes)));
    }
}

/// Makes one the owner: who has most keys, or, where nobody has any, who claims the slot with the highest epoch.
fn choose(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    slot: Slot,
    owners: &[usize],
) -> Done<usize> {
    let text = ">>> No single clear owner for the slot, selecting an owner by # of keys...\n";
    screen.info(text);
    let primaries = cluster.primaries();
    let claims = |index: &usize| cluster.nodes[*index].config_epoch;
    let by_claim = owners.iter().copied().max_by_key(claims);
    let Some(chosen) = with_most_keys(cluster, &primaries, slot).or(by_claim) else {
        screen.error("[ERR] Can't select a slot owner. Impossible to fix.\n");
        return Err(Stop::said());
    };
    let node = &mut cluster.nodes[chosen];
    screen.warn(&format!("*** Configuring {} as the slot owner\n", node.peer));
    stabilize(screen, node, slot)?;
    claim(screen, node, slot, true)?;
    Ok(chosen)
}

fn carry_out(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
    state: &State,
) -> Done {
    let number = slot.number();
    let at = |cluster: &Cluster, index: usize| cluster.nodes[index].address();
    match state.case() {
        Case::Finish { source, target } => {
            let (from, to) = (at(cluster, source), at(cluster, target));
            screen.info(&format!(">>> Case 1: Moving slot {number} from {from} to {to}\n"));
            moved(screen, cluster, options, Move { slot, source, target }, Style::Line)
        }
        Case::GiveBack { sources } => {
            give_back(screen, cluster, options, slot, state.owner, &sources)
        }
        Case::FinishOne { source, target, others } => {
            let (from, to) = (at(cluster, source), at(cluster, target));
            screen.info(&format!(
                ">>> Case 3: Moving slot {number} from {from} to {to} and closing it on all the other importing nodes.\n"
            ));
            moved(screen, cluster, options, Move { slot, source, target }, Style::Line)?;
            others.iter().try_for_each(|&index| stabilize(screen, &mut cluster.nodes[index], slot))
        }
        Case::CloseAll { nodes } => {
            screen.info(&format!(
                ">>> Case 3: Closing slot {number} on both migrating and importing nodes.\n"
            ));
            nodes.iter().try_for_each(|&index| stabilize(screen, &mut cluster.nodes[index], slot))
        }
        Case::Close { source } => {
            let address = at(cluster, source);
            screen.info(&format!(">>> Case 4: Closing slot {number} on {address}\n"));
            stabilize(screen, &mut cluster.nodes[source], slot)
        }
        Case::Unknown => {
            let [giving, taking] =
                [&state.migrating, &state.importing].map(|nodes| addresses(cluster, nodes));
            screen.error(&format!(
                "[ERR] Sorry, redis-cli can't fix this slot yet (work in progress). Slot is set as migrating in {giving}, \
                 as importing in {taking}, owner is {}\n",
                at(cluster, state.owner)
            ));
            Err(Stop::said())
        }
    }
}

/// Case 2.
fn give_back(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    slot: Slot,
    owner: usize,
    sources: &[usize],
) -> Done {
    let number = slot.number();
    let to = cluster.nodes[owner].address();
    screen.info(&format!(">>> Case 2: Moving all the {number} slot keys to its owner {to}\n"));
    for &source in sources.iter().filter(|&&index| index != owner) {
        moved(screen, cluster, options, Move { slot, source, target: owner }, Style::Cold)?;
        let node: &mut Node = &mut cluster.nodes[source];
        screen.info(&format!(">>> Setting {number} as STABLE in {}\n", node.peer));
        stabilize(screen, node, slot)?;
    }
    announce(cluster, slot, owner);
    Ok(())
}

/// Moves a slot. The reply that ends a move that fails is shown; its text is not said again.
fn moved(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    step: Move,
    style: Style,
) -> Done {
    moving::slot(screen, cluster, options, step, style).map(drop).map_err(|_| Stop::said())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(migrating: &[usize], importing: &[usize], target: Option<usize>, expected: Case) {
        check_with(&[], migrating, importing, target, expected);
    }

    #[track_caller]
    fn check_with(
        with_keys: &[usize],
        migrating: &[usize],
        importing: &[usize],
        target: Option<usize>,
        expected: Case,
    ) {
        let state = State {
            owner: 0,
            migrating: migrating.to_vec(),
            importing: importing.to_vec(),
            target,
            with_keys: with_keys.to_vec(),
        };
        assert_eq!(state.case(), expected, "{state:?}");
    }

    #[test]
    fn cases_are_told_apart() {
        check(&[0], &[1], Some(1), Case::Finish { source: 0, target: 1 });
        check(&[], &[1, 2], None, Case::GiveBack { sources: vec![1, 2] });
        let others = vec![2];
        check(&[0], &[1, 2], Some(1), Case::FinishOne { source: 0, target: 1, others });
        check(&[0], &[1, 2], Some(3), Case::CloseAll { nodes: vec![0, 1, 2] });
        check(&[0], &[], Some(1), Case::Close { source: 0 });
        check(&[0, 1], &[2], Some(2), Case::Unknown);
        check(&[], &[], None, Case::Unknown);
    }

    #[test]
    fn keys_decide_what_may_be_closed() {
        check_with(&[2], &[0], &[1, 2], Some(1), Case::Unknown);
        let others = vec![2];
        check_with(&[1], &[0], &[1, 2], Some(1), Case::FinishOne { source: 0, target: 1, others });
        check_with(&[3], &[3], &[], None, Case::Unknown);
        check_with(&[], &[3], &[], None, Case::Close { source: 3 });
    }
}
