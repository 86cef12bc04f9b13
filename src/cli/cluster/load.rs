//! Asks a cluster what it is: one node first, then all that it names.

use super::super::wire::Credentials;
use super::nodes::{self, Cluster, Line, Node};
use super::peer::{Peer, Unreachable, field};
use super::screen::{Done, Screen, Stop};

/// Connects to a node and says it where that fails: standard error has what is said of one that is not there.
pub(super) fn connect(screen: &mut Screen<'_>, peer: &mut Peer) -> Done {
    match peer.connect() {
        Ok(_) => Ok(()),
        Err(Unreachable::Silent(text)) => {
            screen.complain(&text);
            Err(Stop::said())
        }
        Err(Unreachable::Refuses(text)) => {
            screen.error(&text);
            Err(Stop::said())
        }
    }
}

/// Asks a node for a text, and shows what it replies where that is an error.
pub(super) fn text_of(screen: &mut Screen<'_>, peer: &mut Peer, command: &str) -> Done<String> {
    peer.text(command).map_err(|failure| {
        screen.error(&peer.replied(&failure.to_string()));
        Stop::said()
    })
}

/// Whether a node is one of a cluster, by its INFO.
pub(super) fn is_in_cluster_mode(screen: &mut Screen<'_>, peer: &mut Peer) -> Done<bool> {
    match peer.text("INFO") {
        Ok(info) => Ok(field(&info, "cluster_enabled") == Some("1")),
        Err(failure) => {
            screen.error(&format!("[ERR] Node {peer} {failure}\n"));
            Err(Stop::said())
        }
    }
}

/// A node by what it says of itself, and what it says of all.
pub(super) fn node(screen: &mut Screen<'_>, mut peer: Peer) -> Done<(Node, Vec<Line>)> {
    connect(screen, &mut peer)?;
    if !is_in_cluster_mode(screen, &mut peer)? {
        screen.error(&format!("[ERR] Node {peer} is not configured as a cluster node.\n"));
        return Err(Stop::said());
    }
    let lines = lines_of(screen, &mut peer)?;
    let Some(own) = lines.iter().find(|line| line.has_flag("myself")) else {
        return Err(Stop::with("Error: invalid CLUSTER NODES reply\n"));
    };
    Ok((Node::new(peer, own), lines))
}

fn lines_of(screen: &mut Screen<'_>, peer: &mut Peer) -> Done<Vec<Line>> {
    let text = text_of(screen, peer, "CLUSTER NODES")?;
    nodes::parse(&text).map_err(|_| Stop::with("Error: invalid CLUSTER NODES reply\n"))
}

/// The cluster that the node at this address knows.
pub(super) fn cluster(
    screen: &mut Screen<'_>,
    host: &str,
    port: u16,
    credentials: &Credentials,
) -> Done<Cluster> {
    let (first, lines) = node(screen, Peer::new(host, port, credentials))?;
    let own = first.id.clone();
    let mut cluster = Cluster { nodes: vec![first], unreachable_primaries: 0, errors: Vec::new() };
    let others = lines.iter().filter(|line| line.id != own);
    for line in others.filter(|line| !line.has_flag("noaddr") && !line.has_flag("handshake")) {
        match friend(screen, line, credentials) {
            Some(node) => cluster.nodes.push(node),
            None if line.has_flag("master") => cluster.unreachable_primaries += 1,
            None => {}
        }
    }
    for (address, primary) in cluster.count_replicas() {
        let text = format!("claims to be slave of unknown node ID {primary}.");
        screen.warn(&format!("*** WARNING: {address} {text}\n"));
    }
    Ok(cluster)
}

/// A node that another one names, if it answers.
fn friend(screen: &mut Screen<'_>, line: &Line, credentials: &Credentials) -> Option<Node> {
    let mut peer = Peer::new(&line.host, line.port, credentials);
    match peer.connect() {
        Ok(_) => {}
        Err(Unreachable::Silent(text)) => {
            screen.complain(&text);
            return None;
        }
        Err(Unreachable::Refuses(text)) => {
            screen.error(&text);
            return None;
        }
    }
    let lines = peer.text("CLUSTER NODES").ok().and_then(|text| nodes::parse(&text).ok());
    match lines.as_ref().and_then(|lines| lines.iter().find(|line| line.has_flag("myself"))) {
        Some(own) => Some(Node::new(peer, own)),
        None => {
            screen.error(&format!("[ERR] Unable to load info for node {peer}\n"));
            None
        }
    }
}

/// Asks the nodes of a cluster again what they are.
pub(super) fn refresh(cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        let lines = node.peer.text("CLUSTER NODES").ok().and_then(|text| nodes::parse(&text).ok());
        if let Some(own) = lines.iter().flatten().find(|line| line.has_flag("myself")) {
            node.update(own);
        }
    }
    cluster.count_replicas();
}

/// What a node thinks of who serves what. Two nodes with one signature agree.
pub(super) fn signature(lines: &[Line]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for line in lines.iter().filter(|line| !line.slots.is_empty()) {
        let mut ranges: Vec<(u16, u16)> =
            line.slots.iter().map(|(first, last)| (first.number(), last.number())).collect();
        ranges.sort_unstable();
        let ranges: Vec<String> =
            ranges.into_iter().map(|(first, last)| format!("{first}-{last}")).collect();
        parts.push(format!("{}:{}", line.id, ranges.join(",")));
    }
    parts.sort_unstable();
    parts.join("|")
}

/// Whether all nodes think the same of who serves what.
pub(super) fn all_agree(cluster: &mut Cluster) -> bool {
    let mut first: Option<String> = None;
    for node in &mut cluster.nodes {
        let lines = node.peer.text("CLUSTER NODES").ok().and_then(|text| nodes::parse(&text).ok());
        let Some(lines) = lines else { return false };
        let signature = signature(&lines);
        if *first.get_or_insert_with(|| signature.clone()) != signature {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_tell_who_serves_what_and_nothing_else() {
        let lines = |text: &str| signature(&nodes::parse(text).unwrap());
        let one =
            lines("a h:1@2 master - 0 0 1 connected 5-9 1\nb h:2@3 master - 0 0 2 connected 2\n");
        let other = lines(
            "b h:2@3 myself,master - 0 7 2 connected 2 [1-<-a]\na h:1@2 master - 9 9 1 connected 1 5-9\n\
             c h:3@4 slave a 0 0 1 connected\n",
        );
        assert_eq!(one, other);
        assert_ne!(one, lines("a h:1@2 master - 0 0 1 connected 5-9 1-2\n"));
    }
}
