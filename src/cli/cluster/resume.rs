//! Finishes what an interrupted run left half done, so that the same command can simply be given again.

use crate::keyspace::Slot;

use super::atomic;
use super::check::list_open;
use super::moving::{self, Move, Style, set_slot};
use super::nodes::Cluster;
use super::options::Options;
use super::screen::{Done, Screen, Stop};

/// What an open slot is, when it comes from a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// On its way: open on both sides, or only on the side that is opened first.
    Half { source: usize, target: usize },
    /// Gone already, and the one that gave it does not know.
    Gone { source: usize, owner: usize },
}

/// Finishes moves that are open on both sides, and waits for those that nodes carry out by themselves. Whatever else is open
/// is left to the check behind this, which then refuses to go on.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, options: &Options) -> Done {
    atomic::wait_for_others(screen, cluster)?;
    let left: Vec<(Slot, Left)> = list_open(cluster)
        .into_values()
        .filter_map(|slot| Some((slot, what_is_left(cluster, slot)?)))
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    screen.info(&format!(
        ">>> An interrupted run left {} slots on their way: finishing these moves first\n",
        left.len()
    ));
    for (slot, left) in left {
        match left {
            Left::Half { source, target } => {
                let moved = Move { slot, source, target };
                moving::slot(screen, cluster, options, moved, Style::Line)
                    .map_err(|_| Stop::said())?;
            }
            Left::Gone { source, owner } => {
                let id = cluster.nodes[owner].id.clone();
                let line = format!("{} NODE {id}", slot.number());
                let node = &mut cluster.nodes[source];
                if let Err(failure) = set_slot(node, &line) {
                    screen.error(&node.peer.replied(&failure.to_string()));
                    return Err(Stop::said());
                }
                node.migrating.remove(&slot.number());
            }
        }
    }
    Ok(())
}

/// What became of a move of `slot`. `None`: what is open does not look like one.
fn what_is_left(cluster: &Cluster, slot: Slot) -> Option<Left> {
    let number = slot.number();
    let open = |index: &usize| {
        let node = &cluster.nodes[*index];
        (node.migrating.get(&number), node.importing.get(&number))
    };
    let primaries = cluster.primaries();
    let giving: Vec<usize> =
        primaries.iter().copied().filter(|index| open(index).0.is_some()).collect();
    let taking: Vec<usize> =
        primaries.iter().copied().filter(|index| open(index).1.is_some()).collect();
    let owner = cluster.owner(slot)?;
    let id = |index: usize| Some(&cluster.nodes[index].id);
    match (&giving[..], &taking[..]) {
        (&[source], &[target]) => {
            let fits = open(&source).0 == id(target) && open(&target).1 == id(source);
            fits.then_some(Left::Half { source, target })
        }
        // The target is opened first.
        ([], &[target]) => {
            let fits = open(&target).1 == id(owner) && owner != target;
            fits.then_some(Left::Half { source: owner, target })
        }
        // The source is told last.
        (&[source], []) if source != owner => Some(Left::Gone { source, owner }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::nodes::{Line, Node};
    use super::super::peer::Peer;
    use super::*;

    /// A cluster from the nodes' own lines.
    fn cluster(lines: [&str; 3]) -> Cluster {
        let node = |(index, rest): (usize, &str)| {
            let letter = char::from(b'a' + u8::try_from(index).unwrap());
            let line = format!("{letter} h:{index}@1 myself,master - 0 0 1 connected {rest}");
            let line = Line::parse(&line).unwrap();
            Node::new(Peer::new(&line.host, line.port, &Default::default()), &line)
        };
        let nodes = lines.into_iter().enumerate().map(node).collect();
        Cluster { nodes, unreachable_primaries: 0, errors: Vec::new() }
    }

    #[track_caller]
    fn check(lines: [&str; 3], expected: Option<Left>) {
        assert_eq!(what_is_left(&cluster(lines), Slot::new(5).unwrap()), expected);
    }

    #[test]
    fn moves_are_recognized_at_each_of_their_steps() {
        let half = Some(Left::Half { source: 0, target: 1 });
        check(["0-9", "[5-<-a]", ""], half);
        check(["0-9 [5->-b]", "[5-<-a]", ""], half);
        check(["0-4 [5->-b]", "5", ""], Some(Left::Gone { source: 0, owner: 1 }));
    }

    #[test]
    fn what_is_no_move_is_left_alone() {
        check(["0-9 [5->-b]", "", ""], None);
        check(["0-9 [5->-b]", "", "[5-<-a]"], None);
        check(["0-9 [5->-b]", "[5-<-a]", "[5-<-a]"], None);
        check(["0-4", "[5-<-a]", ""], None);
    }
}
