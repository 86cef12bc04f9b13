//! Clusters in a line of text: `a:0-5460 b:5461-10922 c:10923-16383 d>a`. A node has slots, or follows another one, or has
//! neither (`e`). Primaries have the epochs 1, 2, 3 and so on in the order of the text.

use highwater::clock::Time;
use highwater::cluster::packet::Ports;
use highwater::cluster::settings::Settings;
use highwater::cluster::{Host, NodeId, SlotSet};
use highwater::keyspace::Slot;
use highwater_persistence::nodes_conf::{NodeFlag, NodeLine, NodesConf};

/// `cluster-node-timeout` of all tests, milliseconds.
pub(crate) const TIMEOUT_MS: u64 = 2000;

/// When tests begin, milliseconds since the process started: long enough ago for all timers.
pub(crate) const BEGIN_MS: u64 = 1_000_000;

/// Three primaries that have all slots, a replica each.
pub(crate) const THREE: &str = "a:0-5460 b:5461-10922 c:10923-16383 d>a e>b f>c";

/// Three primaries that have all slots, and all replicas with the first.
pub(crate) const SIBLINGS: &str = "a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>a";

pub(crate) fn id(name: char) -> NodeId {
    NodeId::new(name.to_string().repeat(NodeId::BYTES).as_bytes()).unwrap()
}

pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// The set of these ranges: `0-5,7`; nothing: no slots.
pub(crate) fn slots(text: &str) -> SlotSet {
    ranges(text).into_iter().flat_map(|(first, last)| first..=last).map(slot).collect()
}

fn ranges(text: &str) -> Vec<(u16, u16)> {
    let number = |text: &str| text.parse().unwrap();
    let words = text.split(',').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            (number(first), number(last))
        })
        .collect()
}

/// Where a node is: the tenth letter is at 10.0.0.10.
pub(crate) fn host(name: char) -> Host {
    Host::new(&format!("10.0.0.{}", u32::from(name) - u32::from('a') + 1)).unwrap()
}

pub(crate) const PORTS: Ports = Ports { client: 7000, other: 0, bus: 17000 };

pub(crate) fn at(mono_ms: u64) -> Time {
    Time { mono_us: mono_ms * 1000, unix_us: (1_700_000_000_000 + mono_ms) * 1000 }
}

pub(crate) fn settings() -> Settings {
    Settings {
        timeout_ms: TIMEOUT_MS,
        validity_factor: 10,
        primary_ping_ms: 10_000,
        no_failover: false,
        migration_barrier: 1,
        allows_replica_moves: true,
        needs_all_slots: true,
        announced_host: Host::UNKNOWN,
        ports: PORTS,
        hostname: String::new(),
        nodename: String::new(),
        suspects_refused: true,
        fast_election: false,
        guards_replicas: false,
    }
}

/// The configuration file of the node named `me`.
pub(crate) fn conf(layout: &str, me: char) -> NodesConf {
    let mut epoch = 0;
    let nodes: Vec<NodeLine> =
        layout.split_whitespace().map(|word| line(word, me, &mut epoch)).collect();
    assert!(nodes.iter().any(|node| node.is(NodeFlag::Myself)), "{me} is not in {layout}");
    NodesConf {
        nodes,
        current_epoch: epoch,
        last_vote_epoch: 0,
        has_vars: true,
        elected_in: 0,
        data_until: 0,
        unclaimed: Vec::new(),
    }
}

fn line(word: &str, me: char, epoch: &mut u64) -> NodeLine {
    let name = word.chars().next().unwrap();
    let followed = word[1..].strip_prefix('>').and_then(|rest| rest.chars().next());
    let role = if followed.is_some() { NodeFlag::Replica } else { NodeFlag::Primary };
    let myself = (name == me).then_some(NodeFlag::Myself);
    if followed.is_none() {
        *epoch += 1;
    }
    NodeLine {
        id: id(name).to_string(),
        ip: host(name).to_string(),
        port: PORTS.client,
        cport: PORTS.bus,
        flags: myself.into_iter().chain([role]).collect(),
        primary: followed.map(|primary| id(primary).to_string()),
        shard_id: Some(id(followed.unwrap_or(name)).to_string()),
        config_epoch: if followed.is_none() { *epoch } else { 0 },
        slots: word[1..].strip_prefix(':').map(ranges).unwrap_or_default(),
        ..NodeLine::default()
    }
}
