//! What the node knows of its cluster as clients are shown it: the lines of CLUSTER NODES, the fields of CLUSTER INFO, and
//! the data behind CLUSTER SLOTS and SHARDS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::core::{Peer, PeerIx};
use super::packet::{KINDS, flags};
use super::{Cluster, NodeId};
use crate::keyspace::Slot;

/// Flags with the words that stand for them, in stock's order.
const FLAG_WORDS: [(u16, &str); 8] = [
    (flags::MYSELF, "myself"),
    (flags::PRIMARY, "master"),
    (flags::REPLICA, "slave"),
    (flags::PFAIL, "fail?"),
    (flags::FAIL, "fail"),
    (flags::HANDSHAKE, "handshake"),
    (flags::NOADDR, "noaddr"),
    (flags::NOFAILOVER, "nofailover"),
];

/// The flags of a node as words. While its name is not known, neither is its role.
#[must_use]
pub fn flag_words(peer: &Peer) -> String {
    let unknown = if peer.is(flags::HANDSHAKE) { flags::PRIMARY | flags::REPLICA } else { 0 };
    let shown = |(flag, _): &&(u16, &str)| peer.is(*flag & !unknown);
    let words: Vec<&str> = FLAG_WORDS.iter().filter(shown).map(|(_, word)| *word).collect();
    if words.is_empty() { "noflags".to_owned() } else { words.join(",") }
}

/// All nodes, a line for each.
#[must_use]
pub fn nodes(cluster: &Cluster) -> String {
    let slots = slots_by_owner(cluster);
    let mut text = String::new();
    for (place, _) in cluster.peers().iter() {
        text.push_str(&line(cluster, place, slots.get(&place)));
        text.push('\n');
    }
    text
}

/// The replicas of a primary, a line for each.
#[must_use]
pub fn replica_lines(cluster: &Cluster, primary: PeerIx) -> Vec<String> {
    let replicas = cluster.peers().replicas(primary);
    replicas.map(|(place, _)| line(cluster, place, None)).collect()
}

type Ranges = Vec<(Slot, Slot)>;

fn slots_by_owner(cluster: &Cluster) -> BTreeMap<PeerIx, Ranges> {
    let mut by_owner: BTreeMap<PeerIx, Ranges> = BTreeMap::new();
    for (first, last, owner) in cluster.slots().ranges() {
        by_owner.entry(owner).or_default().push((first, last));
    }
    by_owner
}

/// A node, without the end of the line:
///
/// ```text
///   id ip:port@bus[,hostname] flags primary|- ping-sent pong-received epoch link [slot|first-last|[open] ...]
/// ```
fn line(cluster: &Cluster, place: PeerIx, slots: Option<&Ranges>) -> String {
    let peer = &cluster.peers()[place];
    let primary = peer.primary.map(|primary| &cluster.peers()[primary]);
    let hostname = if peer.hostname.is_empty() { "" } else { "," };
    let moment = |ms: Option<u64>| ms.map_or(0, |ms| cluster.unix_ms(ms));
    let is_linked = place == PeerIx::ME || peer.out_link.is_some();
    let mut text = format!(
        "{} {}:{}@{}{hostname}{} {} {} {} {} {} {}",
        peer.id,
        peer.host,
        peer.ports.client,
        peer.ports.bus,
        peer.hostname,
        flag_words(peer),
        primary.map_or("-", |primary| primary.id.as_str()),
        moment(peer.ping_sent_ms),
        moment(peer.pong_received_ms),
        primary.unwrap_or(peer).config_epoch,
        if is_linked { "connected" } else { "disconnected" },
    );
    for (first, last) in slots.into_iter().flatten() {
        // Writing to a string cannot fail.
        let _infallible = match first == last {
            true => write!(text, " {}", first.number()),
            false => write!(text, " {}-{}", first.number(), last.number()),
        };
    }
    if place == PeerIx::ME {
        push_open_slots(cluster, &mut text);
    }
    text
}

/// Slots on the move: `[7->-target]`, `[7-<-source]`.
fn push_open_slots(cluster: &Cluster, text: &mut String) {
    for (slot, is_going, other) in cluster.slots().open() {
        let (slot, id) = (slot.number(), cluster.peers()[other].id);
        let arrow = if is_going { "->-" } else { "-<-" };
        text.push_str(&format!(" [{slot}{arrow}{id}]"));
    }
}

/// The fields of CLUSTER INFO.
#[must_use]
pub fn info(cluster: &Cluster) -> String {
    let (mut ok, mut pfail, mut fail) = (0, 0, 0);
    for (_, peer) in cluster.peers().iter() {
        let count = match peer {
            peer if peer.has_failed() => &mut fail,
            peer if peer.is(flags::PFAIL) => &mut pfail,
            _ => &mut ok,
        };
        *count += peer.slot_count;
    }
    let mut text = format!(
        "cluster_state:{}\r\n\
         cluster_slots_assigned:{}\r\n\
         cluster_slots_ok:{ok}\r\n\
         cluster_slots_pfail:{pfail}\r\n\
         cluster_slots_fail:{fail}\r\n\
         cluster_known_nodes:{}\r\n\
         cluster_size:{}\r\n\
         cluster_current_epoch:{}\r\n\
         cluster_my_epoch:{}\r\n",
        if cluster.is_ok() { "ok" } else { "fail" },
        cluster.slots().assigned(),
        cluster.peers().len(),
        cluster.peers().voters(),
        cluster.current_epoch(),
        cluster.config_epoch(),
    );
    let (sent, received, clogged) = cluster.counts();
    push_messages(&mut text, "sent", &sent);
    push_messages(&mut text, "received", &received);
    text.push_str(&format!("total_cluster_links_buffer_limit_exceeded:{clogged}\r\n"));
    text
}

/// Packets by type, where there were any, and all of them.
fn push_messages(text: &mut String, what: &str, counts: &[u64; KINDS.len()]) {
    for (kind, count) in KINDS.iter().zip(counts).filter(|(_, count)| **count > 0) {
        text.push_str(&format!("cluster_stats_messages_{kind}_{what}:{count}\r\n"));
    }
    let all: u64 = counts.iter().sum();
    text.push_str(&format!("cluster_stats_messages_{what}:{all}\r\n"));
}

/// The log offset of a node: `own` is this node's own.
#[must_use]
pub fn offset(cluster: &Cluster, place: PeerIx, own: u64) -> u64 {
    if place == PeerIx::ME { own } else { cluster.peers()[place].offset }
}

/// Consecutive slots with one owner, for CLUSTER SLOTS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRange {
    /// The first of them.
    pub first: Slot,
    /// The last of them.
    pub last: Slot,
    /// Who serves them: the primary, then those of its replicas that have data and have not failed.
    pub nodes: Vec<PeerIx>,
}

/// All slots that have an owner, ascending; `own_offset`: of this node's log.
#[must_use]
pub fn slot_ranges(cluster: &Cluster, own_offset: u64) -> Vec<SlotRange> {
    let peers = cluster.peers();
    let mut nodes_of: BTreeMap<PeerIx, Vec<PeerIx>> = BTreeMap::new();
    let mut range = |(first, last, owner): (Slot, Slot, PeerIx)| {
        let nodes = nodes_of.entry(owner).or_insert_with(|| {
            let serves = |(place, peer): &(PeerIx, &Peer)| {
                !peer.has_failed() && offset(cluster, *place, own_offset) > 0
            };
            let replicas = peers.replicas(owner).filter(serves).map(|(place, _)| place);
            std::iter::once(owner).chain(replicas).collect()
        });
        SlotRange { first, last, nodes: nodes.clone() }
    };
    cluster.slots().ranges().into_iter().map(&mut range).collect()
}

/// The nodes that keep the same data, for CLUSTER SHARDS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its slots: runs of consecutive ones, ascending.
    pub slots: Vec<(Slot, Slot)>,
    /// Its nodes, primaries first.
    pub nodes: Vec<PeerIx>,
}

/// All shards.
#[must_use]
pub fn shards(cluster: &Cluster) -> Vec<Shard> {
    let mut by_id: BTreeMap<NodeId, Vec<PeerIx>> = BTreeMap::new();
    let known = cluster.peers().iter().filter(|(_, peer)| !peer.is(flags::HANDSHAKE));
    for (place, peer) in known {
        by_id.entry(peer.shard).or_default().push(place);
    }
    let slots = slots_by_owner(cluster);
    let shard = |mut nodes: Vec<PeerIx>| {
        nodes.sort_by_key(|place| !cluster.peers()[*place].is_primary());
        let slots = nodes.iter().find_map(|place| slots.get(place)).cloned().unwrap_or_default();
        Shard { slots, nodes }
    };
    by_id.into_values().map(shard).collect()
}

/// How a node is, by the words of CLUSTER SHARDS; `own_offset`: of this node's log.
#[must_use]
pub fn health(cluster: &Cluster, place: PeerIx, own_offset: u64) -> &'static str {
    let peer = &cluster.peers()[place];
    if peer.has_failed() {
        "fail"
    } else if peer.is_replica() && offset(cluster, place, own_offset) == 0 {
        "loading"
    } else {
        "online"
    }
}

#[cfg(test)]
mod tests;
