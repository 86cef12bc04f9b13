//! Waits until nodes that were introduced to each other form one cluster, and says what is in the way.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use super::load::signature;
use super::nodes::{self, Cluster, Line};
use super::screen::{Done, Screen};

/// How often nodes are asked.
const LOOK: Duration = Duration::from_secs(1);

/// Looks without a word. A handshake takes less than a second where nothing is in its way.
const PATIENCE: usize = 4;

/// Waits for ever: whoever repairs the network wants the work to go on.
pub(super) fn wait(screen: &mut Screen<'_>, cluster: &mut Cluster) -> Done {
    // Nodes need a moment for their handshakes.
    sleep(LOOK);
    screen.say("Waiting for the cluster to join\n");
    let mut said = BTreeSet::new();
    for look in 1_usize.. {
        let views: Vec<Option<Vec<Line>>> = cluster
            .nodes
            .iter_mut()
            .map(|node| {
                node.peer.text("CLUSTER NODES").ok().and_then(|text| nodes::parse(&text).ok())
            })
            .collect();
        if are_one(&views, cluster.nodes.len()) {
            break;
        }
        screen.say(".");
        if look > PATIENCE {
            let reachable = complaints(cluster, &views);
            let new: Vec<&String> = reachable.iter().filter(|text| !said.contains(*text)).collect();
            if !new.is_empty() {
                let text: String = new.into_iter().map(String::as_str).collect();
                screen.say("\n");
                screen.warn(&format!(
                    "Warning: {} node(s) may be unreachable\n{text}",
                    reachable.len()
                ));
                screen.warn(
                    "Cluster bus ports must be reachable by every node.\n\
                     Remember that cluster bus ports are different from standard instance ports.\n",
                );
                said.extend(reachable);
            }
        }
        sleep(LOOK);
    }
    screen.say("\n");
    Ok(())
}

/// Whether all nodes know all others and agree on who serves what.
fn are_one(views: &[Option<Vec<Line>>], count: usize) -> bool {
    let signatures: Option<BTreeSet<String>> = views
        .iter()
        .map(|view| {
            let lines = view.as_ref()?;
            let known = lines.iter().filter(|line| !line.has_flag("handshake")).count();
            (known >= count).then(|| signature(lines))
        })
        .collect();
    signatures.is_some_and(|signatures| signatures.len() == 1)
}

/// What each node cannot reach, a text per node that is out of reach.
fn complaints(cluster: &Cluster, views: &[Option<Vec<Line>>]) -> Vec<String> {
    let mut texts = Vec::new();
    for (index, node) in cluster.nodes.iter().enumerate() {
        let address = node.address();
        if views[index].is_none() {
            texts.push(format!(" - Node {address} does not answer\n"));
            continue;
        }
        let bus = views[index].as_ref().and_then(|lines| own_bus_port(lines)).unwrap_or(0);
        let mut from = String::new();
        for (other, view) in views.iter().enumerate().filter(|(other, _)| *other != index) {
            let line = view.as_ref().and_then(|lines| {
                lines.iter().find(|line| {
                    line.id == node.id
                        || (line.host == node.peer.host && line.port == node.peer.port)
                })
            });
            // Node 0 is the one that all were told of: what the others do not know of one another follows from it.
            let is_told = other != 0 && index == 0;
            let is_stuck = line.is_some_and(|line| !line.is_linked || line.has_flag("handshake"));
            if is_stuck || (is_told && line.is_none()) {
                from += &format!("   {}\n", cluster.nodes[other].address());
            }
        }
        if !from.is_empty() {
            texts.push(format!(
                " - The port {bus} of node {address} may be unreachable from:\n{from}"
            ));
        }
    }
    texts
}

/// The port at which a node says its bus listens.
fn own_bus_port(lines: &[Line]) -> Option<u16> {
    let own = lines.iter().find(|line| line.has_flag("myself"))?;
    Some(if own.bus_port == 0 { own.port.wrapping_add(10_000) } else { own.bus_port })
}

#[cfg(test)]
mod tests {
    use super::super::nodes::Node;
    use super::super::peer::Peer;
    use super::*;

    fn view(text: &str) -> Option<Vec<Line>> {
        Some(nodes::parse(text).unwrap())
    }

    const ONE: &str =
        "aa h:1@101 myself,master - 0 0 1 connected 0-5\nbb h:2@102 master - 0 0 2 connected\n";

    #[test]
    fn one_cluster_is_where_all_know_all() {
        let other =
            "aa h:1@101 master - 0 0 1 connected 0-5\nbb h:2@102 myself,master - 0 0 2 connected\n";
        assert!(are_one(&[view(ONE), view(other)], 2));
        assert!(!are_one(&[view(ONE), None], 2));
        assert!(!are_one(&[view(ONE), view(&other.replace("0-5", "0-4"))], 2));
        assert!(!are_one(&[view(&ONE.replace("2@102 master", "2@102 handshake"))], 2));
    }

    #[test]
    fn who_cannot_reach_whom_is_named_with_the_port() {
        let first = "aa h:1@101 myself,master - 0 0 1 connected 0-5\n";
        let second = "xx h:1@101 handshake - 0 0 0 disconnected\nbb h:2@102 myself,master - 0 0 2 connected\n";
        let views = [view(first), view(second)];
        let node = |text: &str| {
            let line =
                Line::parse(text.lines().find(|line| line.contains("myself")).unwrap()).unwrap();
            Node::new(Peer::new(&line.host, line.port, &Default::default()), &line)
        };
        let nodes = vec![node(first), node(second)];
        let cluster = Cluster { nodes, unreachable_primaries: 0, errors: Vec::new() };
        let expected = " - The port 101 of node h:1 may be unreachable from:\n   h:2\n";
        assert_eq!(complaints(&cluster, &views), [expected]);
    }
}
