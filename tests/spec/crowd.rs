//! Hostile and large: packets that make no sense, and many nodes. Source: `docs/cluster.md`, "Differs from stock"; the style
//! of the project, "Input from outside is never asserted".

use std::sync::Arc;

use highwater::cluster::packet::{Gossip, Heartbeat, Ports, flags};
use highwater::cluster::{Body, Cluster, Epoch, Extension, Header, Host, NodeId, SlotSet};
use highwater_persistence::nodes_conf::NodesConf;

use crate::layout::{self, SIBLINGS, THREE, id, slot};
use crate::solo::{Solo, heartbeat, word_of};

/// Something that a peer might send, sane or not.
fn body(rng: &mut fastrand::Rng) -> Body {
    let name = |rng: &mut fastrand::Rng| id(rng.char('a'..='i'));
    let set = |rng: &mut fastrand::Rng| Arc::new(some_slots(rng));
    match rng.u8(0..12) {
        0 => Body::Fail(name(rng)),
        1 => Body::VoteRequest,
        2 => Body::Vote,
        3 => {
            Body::Update { config_epoch: Epoch(rng.u64(0..20)), owner: name(rng), slots: set(rng) }
        }
        4 => Body::ManualFailover,
        5 => Body::Unknown(rng.u16(11..)),
        _ => {
            let kinds = [Heartbeat::Ping, Heartbeat::Pong, Heartbeat::Meet];
            let kind = kinds[rng.usize(..kinds.len())];
            let gossip = (0..rng.usize(0..3)).map(|_| Gossip {
                pong_received_s: rng.u32(..),
                ping_sent_s: rng.u32(..),
                ..word_of(rng.char('a'..='i'), rng.u16(..))
            });
            let gossip = gossip.collect();
            let extensions = match rng.u8(0..4) {
                0 => vec![Extension::Forgotten { id: name(rng), ttl_s: rng.u64(0..100) }],
                1 => vec![Extension::Shard(name(rng)), Extension::Hostname("x".into())],
                _ => Vec::new(),
            };
            Body::Heartbeat { kind, gossip, extensions }
        }
    }
}

fn some_slots(rng: &mut fastrand::Rng) -> SlotSet {
    let first = rng.u16(0..16384);
    let count = rng.u16(0..200);
    (first..first.saturating_add(count).min(16384)).map(slot).collect()
}

fn distort(header: &mut Header, rng: &mut fastrand::Rng) {
    if rng.u8(0..3) == 0 {
        header.current_epoch = Epoch(rng.u64(0..20));
        header.config_epoch = Epoch(rng.u64(0..20));
    }
    if rng.u8(0..3) == 0 {
        header.primary = rng.bool().then(|| id(rng.char('a'..='i')));
    }
    if rng.u8(0..3) == 0 {
        header.slots = Arc::new(some_slots(rng));
    }
    if rng.u8(0..8) == 0 {
        header.flags = rng.u16(..);
        header.ports = Ports { client: rng.u16(0..2), other: 0, bus: rng.u16(0..2) };
        header.ip = Host::new("10.0.0.9").unwrap();
    }
    header.offset = rng.u64(0..100);
    header.is_paused = rng.bool();
    header.forces_ack = rng.bool();
    header.steps_back = rng.u8(0..5) == 0;
    header.has_extensions = rng.bool();
}

/// What has to be so whatever came.
fn check(node: &Solo) {
    let peers = node.cluster.peers();
    let slots = node.cluster.slots();
    let mut counted = 0;
    for (place, peer) in peers.iter() {
        assert_eq!(slots.set_of(place).len(), peer.slot_count, "{:?}", peer.id);
        assert!(peer.primary != Some(place), "{:?} follows itself", peer.id);
        assert!(!(peer.is_primary() && peer.is_replica()), "{:?} is both", peer.id);
        counted += peer.slot_count;
    }
    assert_eq!(counted, slots.assigned());
    let me = peers.me();
    assert!(me.is_replica() || me.primary.is_none());
    assert!(!me.is(flags::FAIL | flags::PFAIL | flags::NOADDR | flags::HANDSHAKE));
    if me.is_replica() {
        assert_eq!(me.slot_count, 0, "a replica has no slots");
    }
}

fn command(node: &mut Solo, rng: &mut fastrand::Rng) {
    let name = id(rng.char('a'..='i'));
    match rng.u8(0..6) {
        0 => node.ask(|cluster| drop(cluster.forget(&name))),
        1 => node.ask(|cluster| drop(cluster.replicate(&name))),
        2 => {
            let (force, takeover) = (rng.bool(), rng.u8(0..4) == 0);
            node.ask(|cluster| drop(cluster.fail_over(force, takeover)));
        }
        3 => assert!(node.ask(|cluster| cluster.bump()).1 <= Epoch(1000)),
        4 => node.ask(|cluster| cluster.meet(layout::host('h'), 7000, 17000)),
        _ => {
            node.run(100 * rng.u64(0..30));
        }
    }
}

/// Peers say, and an operator asks for, whatever the seed makes of it.
fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let layout = if rng.bool() { THREE } else { SIBLINGS };
    let mut node = Solo::of(layout, if rng.bool() { 'a' } else { 'd' });
    for _ in 0..120 {
        let name = rng.char('a'..='i');
        let said = body(&mut rng);
        if rng.u8(0..10) == 0 {
            command(&mut node, &mut rng);
        } else if rng.bool() && node.knows(name) && node.peer(name).link().is_some() {
            node.answers_body(name, said, |header| distort(header, &mut rng));
        } else {
            node.hears_with(name, said, |header| distort(header, &mut rng));
        }
        check(&node);
    }
    let text = node.cluster.to_conf().write();
    let conf = NodesConf::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let again = Cluster::from_conf(&conf, layout::settings(), seed, layout::at(node.now_ms));
    assert_eq!(again.unwrap().to_conf().write().lines().count(), text.lines().count());
}

#[test]
fn nothing_that_peers_say_breaks_a_node() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in seed.map_or(0..12, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| scenario(seed)) {
            eprintln!("again: SEED={seed} cargo test --test spec nothing_that_peers_say");
            std::panic::resume_unwind(panic);
        }
    }
}

// What a node does in a tick grows with the number of nodes, and not with its square.
#[test]
fn a_thousand_nodes_are_pinged_a_few_at_a_time() {
    let mut node = Solo::of("a:0-100 b:101-16383", 'a');
    node.cluster.settings.timeout_ms = 15_000;
    let crowd = (0..1000_u32).map(|number| Gossip {
        id: NodeId::new(format!("{number:040}").as_bytes()).unwrap(),
        ..word_of('z', flags::PRIMARY)
    });
    node.hears('b', heartbeat(Heartbeat::Ping, crowd.collect()));
    assert_eq!(node.cluster.peers().len(), 1002);
    node.run(100);
    node.clear();
    node.tick();
    assert!(node.lines().len() < 10, "nobody is pinged twice");
    let told = match &{
        node.hears('b', crate::solo::ping());
        node.packet("pong -> b")
    }
    .body
    {
        Body::Heartbeat { gossip, .. } => gossip.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told, 100);
}
