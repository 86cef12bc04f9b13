//! `rebalance`: each primary gets its share of the slots, by weight.

use crate::clock;

use super::moving::Move;
use super::nodes::Cluster;
use super::options::{Options, leading_decimal};
use super::plan::{self, Weighed};
use super::screen::{Done, Screen, Stop};
use super::transfer::Marks;
use super::{check, resume, transfer};

/// Balances the cluster.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, options: &Options) -> Done {
    let weights = weights(screen, cluster, options)?;
    if options.resumes {
        resume::run(screen, cluster, options)?;
    }
    check::demand(screen, cluster, options, true, |screen| {
        screen.error("*** Please fix your cluster problems before rebalancing\n");
    })?;
    let nodes = weigh(screen, cluster, options, &weights)?;
    let total: f64 = nodes.iter().map(|node| node.weight).sum();
    let Some(balance) = plan::balance(&nodes, options.threshold_percent) else {
        screen.warn(&format!(
            "*** No rebalancing needed! All nodes are within the {:.2}% threshold.\n",
            options.threshold_percent
        ));
        screen.fact("moves", Vec::<u8>::new());
        return Ok(());
    };
    screen.info(&format!(
        ">>> Rebalancing across {} nodes. Total weight = {total:.2}\n",
        nodes.len()
    ));
    if screen.is_verbose() {
        for (index, surplus) in &balance.surplus {
            let text = format!("{} balance is {surplus} slots\n", cluster.nodes[*index].peer);
            screen.say(&text);
        }
    }
    let batches = batches(cluster, &balance.moves);
    if options.simulate {
        for (source, target, moves) in &batches {
            announce(screen, cluster, *source, *target, moves.len());
            screen.say(&format!("{}\n", "#".repeat(moves.len())));
        }
        return Ok(());
    }
    let all: Vec<Move> = batches.iter().flat_map(|batch| batch.2.iter().copied()).collect();
    let begun_us = clock::mono_us();
    carry_out(screen, cluster, options, batches).map_err(|stop| {
        if !stop.text().is_empty() {
            screen.error(&format!("*** clusterManagerMoveSlot: {}\n", stop.text()));
        }
        Stop::said()
    })?;
    transfer::conclude(screen, cluster, options, &all, begun_us);
    Ok(())
}

/// Source, target, and what goes from the one to the other.
type Batch = (usize, usize, Vec<Move>);

/// Picks the slots of each move: the lowest that the source still has.
fn batches(cluster: &Cluster, moves: &[(usize, usize, usize)]) -> Vec<Batch> {
    let mut left: Vec<_> = cluster.nodes.iter().map(|node| node.slots.clone()).collect();
    let mut batches = Vec::new();
    for &(source, target, count) in moves {
        let slots: Vec<_> = left[source].iter().take(count).collect();
        assert_eq!(slots.len(), count, "a node has what it has too much of");
        slots.iter().for_each(|slot| left[source].remove(*slot));
        let moves = slots.into_iter().map(|slot| Move { slot, source, target });
        batches.push((source, target, moves.collect()));
    }
    batches
}

fn announce(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    source: usize,
    target: usize,
    count: usize,
) {
    let (from, to) = (cluster.nodes[source].address(), cluster.nodes[target].address());
    screen.say(&format!("Moving {count} slots from {from} to {to}\n"));
}

fn carry_out(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    batches: Vec<Batch>,
) -> Done {
    let all: Vec<Move> = batches.iter().flat_map(|(_, _, moves)| moves.iter().copied()).collect();
    if transfer::all_as_a_whole(cluster, options, &all) {
        for (source, target, moves) in &batches {
            announce(screen, cluster, *source, *target, moves.len());
        }
        return transfer::run(screen, cluster, options, &all, Marks::Hashes);
    }
    for (source, target, moves) in batches {
        announce(screen, cluster, source, target, moves.len());
        let moved = transfer::run(screen, cluster, options, &moves, Marks::Hashes);
        screen.say("\n");
        moved?;
    }
    Ok(())
}

/// The weight of each node.
fn weights(screen: &mut Screen<'_>, cluster: &Cluster, options: &Options) -> Done<Vec<f64>> {
    let mut weights = vec![1.0; cluster.nodes.len()];
    for word in &options.weights {
        let Some((name, weight)) = word.split_once('=') else { continue };
        let weight = leading_decimal(weight);
        let is_named = |&index: &usize| {
            let id = cluster.nodes[index].id.as_str();
            id.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let Some(index) = cluster.primaries().into_iter().find(is_named) else {
            screen.error(&format!("*** No such master node {name}\n"));
            return Err(Stop::said());
        };
        if !weight.is_finite() || weight < 0.0 {
            screen.error(&format!("*** invalid input {word}\n"));
            return Err(Stop::said());
        }
        weights[index] = weight;
    }
    Ok(weights)
}

/// The primaries that take part, with their weights.
fn weigh(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    options: &Options,
    weights: &[f64],
) -> Done<Vec<Weighed>> {
    let nodes = cluster.primaries().into_iter().filter_map(|index| {
        let slots = cluster.nodes[index].slots.len();
        let takes_part = slots > 0 || options.uses_empty_masters;
        takes_part.then_some(Weighed { node: index, weight: weights[index], slots })
    });
    let nodes: Vec<Weighed> = nodes.collect();
    if nodes.iter().map(|node| node.weight).sum::<f64>() > 0.0 {
        return Ok(nodes);
    }
    screen.error("*** No node with a weight is left to take the slots\n");
    Err(Stop::said())
}
