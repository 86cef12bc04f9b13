//! Carries out many moves: as a whole where both nodes can do that, else slot by slot.

use serde_json::json;

use super::atomic;
use super::moving::{self, Move, Style};
use super::nodes::Cluster;
use super::options::Options;
use super::progress::Progress;
use super::screen::{Done, Screen};

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

fn one_by_one(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    moves: &[Move],
    marks: Marks,
) -> Done {
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
