//! A cluster of four nodes as one of them sees it, for tests: primaries `a`, `b` and `c`, and `d`, a replica of `a`.

use std::sync::Arc;

use super::packet::{Heartbeat, Ports, flags};
use super::settings::Settings;
use super::{Body, Cluster, Epoch, Facts, Header, Host, Input, NodeId, Output, Packet, SlotSet};
use crate::clock::Time;
use crate::config::Config;
use crate::keyspace::Slot;

/// The name of a node: its letter, forty times.
pub(crate) fn id(letter: char) -> NodeId {
    NodeId::new(letter.to_string().repeat(40).as_bytes()).expect("a small letter")
}

/// Client port of a node.
pub(crate) fn port(letter: char) -> u16 {
    7000 + u16::try_from(u32::from(letter) - u32::from('a')).expect("a letter")
}

/// The slots of a primary.
pub(crate) fn slots(letter: char) -> Vec<Slot> {
    let range = match letter {
        'a' => 0..=5460,
        'b' => 5461..=10922,
        'c' => 10923..=16383,
        _ => return Vec::new(),
    };
    range.filter_map(Slot::new).collect()
}

/// The slot with a number.
pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).expect("below 16384")
}

/// What a node says in its packets.
fn header(letter: char) -> Header {
    let primary = (letter == 'd').then(|| id('a'));
    let claims = if letter == 'd' { 'a' } else { letter };
    let set: SlotSet = slots(claims).into_iter().collect();
    Header {
        current_epoch: Epoch(3),
        config_epoch: Epoch(u64::from(u32::from(claims) - u32::from('a')) + 1),
        offset: 100,
        sender: id(letter),
        slots: Arc::new(set),
        primary,
        ip: Host::UNKNOWN,
        ports: ports(letter),
        flags: if primary.is_some() { flags::REPLICA } else { flags::PRIMARY },
        is_down: false,
        is_paused: false,
        forces_ack: false,
        steps_back: false,
        hides_offset: false,
        has_extensions: false,
    }
}

fn ports(letter: char) -> Ports {
    Ports { client: port(letter), other: 0, bus: port(letter) + 10_000 }
}

/// The settings of a node.
fn settings(letter: char) -> Settings {
    let mut config = Config::default();
    config.values_mut().port = port(letter);
    config.values_mut().cluster_announce_ip = "10.0.0.1".to_owned();
    Settings::of(&config)
}

/// Lets `cluster` meet the node `letter`, at `10.0.0.2`.
fn introduce(cluster: &mut Cluster, letter: char, now: Time) {
    let ports = ports(letter);
    cluster.begin(now, Facts::default());
    cluster.meet(Host::new("10.0.0.2").expect("an address"), ports.client, ports.bus);
    let link = cluster.take_outputs().into_iter().find_map(|output| match output {
        Output::Connect { link, .. } => Some(link),
        _ => None,
    });
    let link = link.expect("a connection is opened");
    cluster.step(now, Facts::default(), Input::Connected { link });
    let body = Body::Heartbeat { kind: Heartbeat::Pong, gossip: vec![], extensions: vec![] };
    let packet = Packet { header: Some(Box::new(header(letter))), body };
    cluster.step(now, Facts::default(), Input::Packet { link, packet: &packet });
}

/// The cluster as `me` sees it, when it has begun to serve; `now` is the moment of its start. What it wants done is taken.
pub(crate) fn cluster_of(me: char, now: Time) -> Cluster {
    let shard = id(if me == 'd' { 'a' } else { me });
    let mut cluster = Cluster::new(id(me), shard, settings(me), 1, now);
    cluster.begin(now, Facts::default());
    if me != 'd' {
        cluster.set_config_epoch(header(me).config_epoch).expect("it has none");
        cluster.add_slots(&slots(me)).expect("they are free");
    }
    for letter in ['a', 'b', 'c', 'd'].into_iter().filter(|letter| *letter != me) {
        introduce(&mut cluster, letter, now);
    }
    if me == 'd' {
        cluster.replicate(&id('a')).expect("it is a primary");
    }
    let later = Time { mono_us: now.mono_us + 3_000_000, unix_us: now.unix_us + 3_000_000 };
    cluster.step(later, Facts::default(), Input::Tick);
    settle(&mut cluster, later);
    assert!(cluster.is_ok(), "the cluster serves");
    cluster
}

/// Takes what the cluster wants done; the configuration is on disk.
pub(crate) fn settle(cluster: &mut Cluster, now: Time) -> Vec<Output> {
    let number = cluster.saves_wanted();
    cluster.step(now, Facts::default(), Input::Saved { is_saved: true, number });
    cluster.take_outputs()
}

/// A packet in which the primary `letter` claims `slots` in an epoch that nobody has had.
pub(crate) fn claim(letter: char, slots: &[Slot]) -> Packet {
    let epoch = Epoch(10);
    let slots = Arc::new(slots.iter().copied().collect());
    let header = Header { current_epoch: epoch, config_epoch: epoch, slots, ..header(letter) };
    let body = Body::Heartbeat { kind: Heartbeat::Ping, gossip: vec![], extensions: vec![] };
    Packet { header: Some(Box::new(header)), body }
}
