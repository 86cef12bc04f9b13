//! Carries out many moves: as a whole where both nodes can do that, else slot by slot.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::clock;

use super::atomic;
use super::moving::{self, Move, Style};
use super::nodes::{self, Cluster, Node};
use super::options::Options;
use super::progress::Progress;
use super::screen::{Done, Screen};

/// How often, and how many times, a primary without slots is asked whether it follows another node.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS_FOLLOWS: usize = 10;

/// What is shown of slots that move one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// A line each, with a dot per key.
    Lines,
    /// A `#` each.
    Hashes,
}

/// Whether all of these moves can be done by the nodes themselves.
pub(super) fn all_as_a_whole(cluster: &mut Cluster, options: &Options, moves: &[Move]) -> bool {
    moves.iter().all(|step| can_as_a_whole(cluster, options, step))
}

fn can_as_a_whole(cluster: &mut Cluster, options: &Options, step: &Move) -> bool {
    let mut can = |index: usize| atomic::can(&mut cluster.nodes[index]);
    !options.is_legacy && can(step.source) && can(step.target)
}

/// Moves slots, in order. Those that nodes can move by themselves go together, before the others.
///
/// # Errors
/// At the first move that fails, with its text.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    moves: &[Move],
    marks: Marks,
) -> Done {
    let (whole, single): (Vec<Move>, Vec<Move>) =
        moves.iter().copied().partition(|step| can_as_a_whole(cluster, options, step));
    if !whole.is_empty() {
        atomic::run(screen, cluster, &whole)?;
    }
    one_by_one(screen, cluster, options, &single, marks)
}

/// Says under our own name what has come of moves that began at `begun_us`: how many slots went, in which time, and which
/// primaries have given their last one and follow another node now.
pub(super) fn conclude(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    moves: &[Move],
    begun_us: u64,
) {
    if !options.is_own || moves.is_empty() {
        return;
    }
    let took = Duration::from_micros(clock::mono_us().saturating_sub(begun_us));
    let (count, s) = (moves.len(), if moves.len() == 1 { "" } else { "s" });
    screen.success(&format!("{count} slot{s} moved in {:.1} s\n", took.as_secs_f64()));
    let sources: BTreeSet<usize> = moves.iter().map(|step| step.source).collect();
    let mut empty: Vec<usize> =
        sources.into_iter().filter(|&source| cluster.nodes[source].slots.is_empty()).collect();
    for look in 0..LOOKS_FOLLOWS {
        empty.retain(|&source| match primary_of(&mut cluster.nodes[source]) {
            Some(primary) => {
                let node = cluster.nodes[source].address();
                screen
                    .say(&format!("{node} has no slots left and is a replica of {primary} now\n"));
                false
            }
            None => true,
        });
        if empty.is_empty() {
            return;
        }
        if look + 1 < LOOKS_FOLLOWS {
            sleep(LOOK);
        }
    }
}

/// Address of the node that this one follows.
fn primary_of(node: &mut Node) -> Option<String> {
    let lines = nodes::parse(&node.peer.text("CLUSTER NODES").ok()?).ok()?;
    let id = lines.iter().find(|line| line.has_flag("myself"))?.primary.as_ref()?;
    let primary = lines.iter().find(|line| line.id == *id)?;
    Some(format!("{}:{}", primary.host, primary.port))
}

fn one_by_one(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    moves: &[Move],
    marks: Marks,
) -> Done {
    if moves.is_empty() {
        return Ok(());
    }
    // Under stock's name the lines are stock's.
    let mut progress = options.resumes.then(|| Progress::of_slots(moves.len())).flatten();
    let mut done = Vec::new();
    for step in moves {
        let style = match marks {
            Marks::Lines if progress.is_none() => Style::Line,
            _ => Style::Quiet,
        };
        let keys = moving::slot(screen, cluster, options, *step, style)?;
        if let Some(progress) = &mut progress {
            progress.slot(keys);
        } else if marks == Marks::Hashes {
            screen.say("#");
        }
        if screen.is_for_machines() {
            done.push(json!({
                "slots": step.slot.number().to_string(),
                "source": cluster.nodes[step.source].id,
                "target": cluster.nodes[step.target].id,
                "keys": keys,
                "state": "success",
            }));
        }
    }
    screen.facts("moves", done);
    if let Some(summary) = progress.take().map(|progress| progress.summary()) {
        screen.say(&summary);
    }
    Ok(())
}
