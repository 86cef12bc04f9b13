//! How nodes and clusters are shown.

use serde::Serialize;

use super::nodes::{Cluster, Node, in_brackets};
use super::screen::Screen;

/// A node as two to four lines, each behind `indent`.
pub(super) fn node(node: &Node, indent: &str) -> String {
    let count = node.slots.len();
    let (letter, role) = if node.is_replica() { ("S", "slave") } else { ("M", "master") };
    let slots = in_brackets(&node.slots);
    let mut text = format!(
        "{indent}{letter}: {} {}\n{indent}   slots:{slots} ({count} slots) {role}\n",
        node.id, node.peer
    );
    if let Some(primary) = &node.primary {
        text += &format!("{indent}   replicates {primary}\n");
    } else if node.replicas > 0 {
        text += &format!("{indent}   {} additional replica(s)\n", node.replicas);
    }
    text
}

/// A node as it is to become: nothing of what is not decided yet.
pub(super) fn planned(node: &Node) -> String {
    match &node.primary {
        Some(primary) => format!("S: {} {}\n   replicates {primary}\n", node.id, node.peer),
        None => {
            let (slots, count) = (in_brackets(&node.slots), node.slots.len());
            format!("M: {} {}\n   slots:{slots} ({count} slots) master\n", node.id, node.peer)
        }
    }
}

/// A node for machines.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    host: &'a str,
    port: u16,
    role: &'static str,
    primary: Option<&'a str>,
    replicas: usize,
    slots: Vec<(u16, u16)>,
    slot_count: usize,
    config_epoch: u64,
    migrating: &'a std::collections::BTreeMap<u16, String>,
    importing: &'a std::collections::BTreeMap<u16, String>,
}

/// Puts all nodes into the JSON object.
pub(super) fn for_machines(screen: &mut Screen<'_>, cluster: &Cluster) {
    let shown = |node: &Node| {
        let ranges = node.slots.ranges().into_iter();
        serde_json::to_value(Shown {
            id: &node.id,
            host: &node.peer.host,
            port: node.peer.port,
            role: if node.is_replica() { "replica" } else { "primary" },
            primary: node.primary.as_deref(),
            replicas: node.replicas,
            slots: ranges.map(|(first, last)| (first.number(), last.number())).collect(),
            slot_count: node.slots.len(),
            config_epoch: node.config_epoch,
            migrating: &node.migrating,
            importing: &node.importing,
        })
        .unwrap_or_default()
    };
    let nodes: Vec<serde_json::Value> = cluster.nodes.iter().map(shown).collect();
    screen.fact("nodes", nodes);
    screen.fact("unreachable_primaries", cluster.unreachable_primaries);
    screen.fact("slots_covered", cluster.covered().len());
}

/// Keys, slots and replicas of each primary, and of all.
pub(super) fn summary(screen: &mut Screen<'_>, cluster: &mut Cluster) {
    let mut lines = String::new();
    let mut keys_total: i64 = 0;
    let mut keys_by_node = serde_json::Map::new();
    let primaries = cluster.primaries();
    for &index in &primaries {
        let node = &mut cluster.nodes[index];
        let reply = node.peer.line("DBSIZE");
        let keys = reply.ok().and_then(|reply| reply.integer()).unwrap_or_else(|| {
            screen.error(&format!("[ERR] Unable to load info for node {}\n", node.peer));
            0
        });
        keys_total += keys;
        keys_by_node.insert(node.id.clone(), keys.into());
        lines += &format!(
            "{} ({}...) -> {keys} keys | {} slots | {} slaves.\n",
            node.peer,
            node.short_id(),
            node.slots.len(),
            node.replicas
        );
    }
    screen.say(&lines);
    screen.success(&format!("[OK] {keys_total} keys in {} masters.\n", primaries.len()));
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    let average = keys_total as f64 / crate::keyspace::SLOT_COUNT as f64;
    screen.say(&format!("{average:.2} keys per slot on average.\n"));
    screen.fact("keys", keys_total);
    screen.fact("keys_by_node", keys_by_node);
}

#[cfg(test)]
mod tests {
    use super::super::nodes::Line;
    use super::super::peer::Peer;
    use super::*;

    fn made(line: &str) -> Node {
        let line = Line::parse(line).unwrap();
        Node::new(Peer::new(&line.host, line.port, &Default::default()), &line)
    }

    #[test]
    fn roles_differ_in_what_is_shown() {
        let mut primary = made("aa h:1@2 master - 0 0 1 connected 0-5 7");
        primary.replicas = 2;
        let shown = node(&primary, "  ");
        let expected =
            "  M: aa h:1\n     slots:[0-5],[7] (7 slots) master\n     2 additional replica(s)\n";
        assert_eq!(shown, expected);
        let replica = made("bb h:2@3 slave aa 0 0 1 connected");
        assert_eq!(node(&replica, ""), "S: bb h:2\n   slots: (0 slots) slave\n   replicates aa\n");
        assert_eq!(planned(&replica), "S: bb h:2\n   replicates aa\n");
    }
}
