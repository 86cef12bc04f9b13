//! What goes out by itself, to whom, when. Spec: cluster, "Heartbeat and gossip messages" and "Heartbeat packet content".

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater::cluster::packet::{Gossip, Heartbeat, flags};
use highwater::cluster::{Body, Epoch, Extension, Input, Packet};

use crate::layout::{self, PORTS, THREE, TIMEOUT_MS, id, slots};
use crate::solo::{Solo, heartbeat, ping, pong, word_of};

fn gossip(packet: &Packet) -> Vec<Gossip> {
    match &packet.body {
        Body::Heartbeat { gossip, .. } => gossip.clone(),
        other => panic!("{other:?}"),
    }
}

fn extensions(packet: &Packet) -> Vec<Extension> {
    match &packet.body {
        Body::Heartbeat { extensions, .. } => extensions.clone(),
        other => panic!("{other:?}"),
    }
}

/// The PONG that the node gives `name`.
fn pong_to(node: &mut Solo, name: char) -> Arc<Packet> {
    node.clear();
    node.hears(name, ping());
    node.packet(&format!("pong -> {name}"))
}

// "Node ID", "currentEpoch and configEpoch", "node flags", "bitmap of the hash slots", "sender TCP base port", "cluster port",
// "the state of the cluster", "the master node ID, if it is a replica".
#[test]
fn header_of_a_primary_tells_of_itself() {
    let mut node = Solo::of(THREE, 'b');
    node.facts.offset = 77;
    let packet = pong_to(&mut node, 'a');
    let header = packet.header.as_ref().unwrap();
    assert_eq!(header.sender, id('b'));
    assert_eq!((header.current_epoch, header.config_epoch), (Epoch(3), Epoch(2)));
    assert_eq!((header.offset, header.primary), (77, None));
    assert_eq!(*header.slots, slots("5461-10922"));
    assert_eq!(header.ports, PORTS);
    assert!(header.flags & (flags::PRIMARY | flags::MYSELF) == flags::PRIMARY | flags::MYSELF);
    assert!(header.ip.is_unknown() && !header.is_down && header.has_extensions);
    assert!(!header.is_paused && !header.forces_ack);
}

// "in the case of a replica ... the configEpoch and the slots bitmap of its master."
#[test]
fn header_of_a_replica_tells_of_its_primary() {
    let mut node = Solo::of(THREE, 'e');
    let packet = pong_to(&mut node, 'a');
    let header = packet.header.as_ref().unwrap();
    assert_eq!((header.config_epoch, header.primary), (Epoch(2), Some(id('b'))));
    assert_eq!(*header.slots, slots("5461-10922"));
    assert!(header.flags & flags::REPLICA != 0 && header.flags & flags::PRIMARY == 0);
}

#[test]
fn header_says_that_the_cluster_is_down() {
    let mut node = Solo::of("a:0-100 b:200-16383", 'a');
    assert!(pong_to(&mut node, 'b').header.as_ref().unwrap().is_down);
}

/// A cluster of so many nodes in all, the others without slots and learned through gossip.
fn crowd(count: u32) -> Solo {
    let mut node = Solo::of("a:0-100 b:101-16383", 'a');
    let others = (2..count).map(|number| Gossip {
        id: highwater::cluster::NodeId::new(format!("{number:040}").as_bytes()).unwrap(),
        ..word_of('z', flags::PRIMARY)
    });
    node.hears('b', heartbeat(Heartbeat::Ping, others.collect()));
    node.run(100);
    assert_eq!(node.cluster.peers().len(), count as usize);
    node
}

// Not in the specification's text: a tenth of the known nodes, three at least, never all.
#[test]
fn gossip_is_about_a_tenth_of_the_nodes_and_three_at_least() {
    for (known, told) in [(3, 1), (4, 2), (5, 3), (20, 3), (40, 4), (100, 10)] {
        let mut node = crowd(known);
        let ids: BTreeSet<_> =
            gossip(&pong_to(&mut node, 'b')).into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), told, "of {known}");
        assert!(!ids.contains(&id('a')) && !ids.contains(&id('b')));
    }
}

#[test]
fn gossip_is_never_about_handshakes_and_nodes_without_an_address() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.meet(layout::host('x'), 7000, 17000));
    let link = node.peer('c').link().unwrap();
    node.over(link, crate::solo::stranger('y'), pong());
    for _ in 0..50 {
        for entry in gossip(&pong_to(&mut node, 'b')) {
            assert!([id('d'), id('e'), id('f')].contains(&entry.id), "{:?}", entry.id);
        }
    }
}

// A node that cannot be reached and has no slots is not worth a word.
#[test]
fn gossip_is_not_about_what_is_not_connected_and_has_no_slots() {
    let mut node = Solo::of(THREE, 'a');
    node.shut = [('d', false), ('c', false)].into();
    for name in ['d', 'c'] {
        let link = node.peer(name).link().unwrap();
        node.now_ms += 10;
        node.step(Input::Closed { link });
    }
    let told: Vec<_> = (0..50).flat_map(|_| gossip(&pong_to(&mut node, 'b'))).collect();
    assert!(!told.iter().any(|entry| entry.id == id('d')));
    assert!(told.iter().any(|entry| entry.id == id('c')), "it has slots");
}

// "the sender's view of the node's flags": all that are suspected are told of, on top of the random ones.
#[test]
fn all_suspected_nodes_are_told_of() {
    let mut node = Solo::of("a:0-10 b:11-20 c:21-30 d:31-40 e:41-50 f:51-60 g:61-16383", 'a');
    node.alive = ['b', 'g'].into();
    node.run(2 * TIMEOUT_MS);
    for name in ['c', 'd', 'e', 'f'] {
        assert!(node.is(name, flags::PFAIL));
    }
    let told = gossip(&pong_to(&mut node, 'b'));
    let suspected: BTreeSet<_> =
        told.iter().filter(|entry| entry.flags & flags::PFAIL != 0).map(|entry| entry.id).collect();
    assert_eq!(suspected, BTreeSet::from([id('c'), id('d'), id('e'), id('f')]));
    assert_eq!(told.len(), 5, "and g: {told:?}");
}

#[test]
fn gossip_has_seconds_flags_and_the_address() {
    let mut node = Solo::of("a:0-10 b:11-20 c>b", 'a');
    let entry = gossip(&pong_to(&mut node, 'b'))[0];
    assert_eq!((entry.id, entry.flags), (id('c'), flags::REPLICA));
    assert_eq!((entry.ip, entry.ports), (layout::host('c'), PORTS));
    let answered = node.peer('c').pong_received_ms.unwrap();
    assert_eq!(u64::from(entry.pong_received_s), node.cluster.unix_ms(answered) / 1000);
    assert_eq!(entry.ping_sent_s, 0);
}

// "every node makes sure to ping every other node that hasn't sent a ping or received a pong for longer than half
// NODE_TIMEOUT time."
#[test]
fn every_node_is_pinged_within_half_the_timeout() {
    let mut node = Solo::of(THREE, 'a');
    for _ in 0..50 {
        node.run(100);
        for name in ['b', 'c', 'd', 'e', 'f'] {
            let silent_ms = node.now_ms - node.peer(name).pong_received_ms.unwrap();
            assert!(silent_ms <= TIMEOUT_MS / 2, "{name} for {silent_ms}");
        }
    }
}

// "Usually a node will ping a few random nodes every second": of the random ones the one that has been silent longest.
#[test]
fn one_of_some_is_pinged_each_second() {
    let mut node = Solo::of(THREE, 'a');
    node.cluster.settings.timeout_ms = 1_000_000;
    node.run(10_000);
    let lines = node.lines();
    let pings: BTreeSet<_> = lines.iter().filter(|line| line.starts_with("ping")).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("ping")).count(), 10);
    assert_eq!(pings.len(), 5, "each of them in turn: {pings:?}");
}

// A ping that waits for its answer counts from when it was sent, whatever happens to connections.
#[test]
fn unanswered_ping_keeps_its_time_over_connections() {
    let mut node = Solo::of(THREE, 'a');
    node.alive.remove(&'b');
    while node.peer('b').ping_sent_ms.is_none() {
        node.run(100);
    }
    let sent_ms = node.peer('b').ping_sent_ms.unwrap();
    node.run(500);
    let link = node.peer('b').link().unwrap();
    node.clear();
    node.step(Input::Closed { link });
    node.run(200);
    assert!(node.lines().contains(&"ping -> b".to_owned()));
    assert_eq!(node.peer('b').ping_sent_ms, Some(sent_ms));
}

// "the node ... tries to reconnect ... before a node is considered unreachable": after half the timeout.
#[test]
fn connection_without_an_answer_is_opened_anew() {
    let mut node = Solo::of(THREE, 'a');
    node.alive.remove(&'b');
    node.run(2500);
    let lines = node.lines();
    let close = lines.iter().position(|line| line == "close b").expect("it is given up");
    assert!(lines[close..].contains(&"connect b".to_owned()), "{lines:?}");
}

#[test]
fn lost_connection_is_opened_again_at_once() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.step(Input::Closed { link });
    assert_eq!(node.lines(), ["connect b", "ping -> b"]);
    let link = node.peer('b').link().unwrap();
    node.step(Input::Closed { link });
    assert_eq!(node.lines(), [""; 0], "but not again and again");
    node.run(100);
    assert!(node.lines().contains(&"connect b".to_owned()));
}

#[test]
fn connection_that_cannot_be_opened_counts_as_a_ping_without_answer() {
    let mut node = Solo::started(THREE, 'a', layout::settings());
    node.alive.remove(&'b');
    node.shut.insert('b', false);
    node.run(TIMEOUT_MS + 200);
    assert!(node.is('b', flags::PFAIL));
}

// "The configEpoch ... of the sender": the freshest answer that anybody had counts.
#[test]
fn word_of_an_answer_to_somebody_else_saves_a_ping() {
    let mut node = Solo::of(THREE, 'a');
    let told_s = u32::try_from(layout::at(node.now_ms).unix_s()).unwrap();
    node.now_ms += 400;
    let before = node.peer('c').pong_received_ms.unwrap();
    let mut word = word_of('c', flags::PRIMARY);
    word.pong_received_s = told_s + 1;
    node.hears('d', heartbeat(Heartbeat::Ping, vec![word]));
    assert_eq!(node.peer('c').pong_received_ms, Some(before), "from the future");
    node.now_ms += 400;
    node.hears('d', heartbeat(Heartbeat::Ping, vec![word]));
    assert!(node.peer('c').pong_received_ms > Some(before));
}

#[test]
fn word_of_an_answer_does_not_count_against_ones_own_ping() {
    let mut node = Solo::of(THREE, 'a');
    node.alive.remove(&'c');
    node.run(1500);
    let before = node.peer('c').pong_received_ms;
    let mut word = word_of('c', flags::PRIMARY);
    word.pong_received_s = u32::try_from(layout::at(node.now_ms).unix_s()).unwrap();
    node.hears('d', heartbeat(Heartbeat::Ping, vec![word]));
    assert_eq!(node.peer('c').pong_received_ms, before);
}

#[test]
fn extensions_go_to_those_who_understand_them() {
    let mut node = Solo::of("a:0-10 b:11-20", 'a');
    node.cluster.settings.hostname = "one.example".into();
    node.cluster.settings.nodename = "one".into();
    let expected = [
        Extension::Hostname("one.example".into()),
        Extension::Nodename("one".into()),
        Extension::Shard(id('a')),
    ];
    assert_eq!(extensions(&pong_to(&mut node, 'b')), expected);
    node.hears_with('x', ping(), |header| header.has_extensions = false);
    let packet = node.packet("pong -> x");
    assert!(extensions(&packet).is_empty());
    assert!(packet.header.as_ref().unwrap().has_extensions, "it says that it understands them");
}

#[test]
fn node_that_has_not_spoken_is_sent_no_extensions() {
    let mut node = Solo::started("a:0-10 b:11-20", 'a', layout::settings());
    node.alive.clear();
    node.run(100);
    assert!(extensions(&node.packet("ping -> b")).is_empty());
    node.hears_with('b', ping(), |header| header.has_extensions = false);
    assert!(extensions(&node.packet("pong -> b")).is_empty());
    assert!(!extensions(&pong_to(&mut node, 'b')).is_empty());
}

fn named(extensions: Vec<Extension>) -> Body {
    Body::Heartbeat { kind: Heartbeat::Ping, gossip: Vec::new(), extensions }
}

#[test]
fn names_that_are_not_sent_any_more_vanish() {
    let mut node = Solo::of(THREE, 'a');
    node.hears(
        'b',
        named(vec![Extension::Hostname("two".into()), Extension::Nodename("second".into())]),
    );
    assert_eq!(
        (node.peer('b').hostname.as_str(), node.peer('b').nodename.as_str()),
        ("two", "second")
    );
    node.hears('b', named(vec![Extension::Nodename("second".into())]));
    assert_eq!(
        (node.peer('b').hostname.as_str(), node.peer('b').nodename.as_str()),
        ("", "second")
    );
    // None at all from a node that can send some: it does not know yet that this one understands them.
    node.hears('b', ping());
    assert_eq!(node.peer('b').nodename, "second");
    node.hears_with('b', ping(), |header| header.has_extensions = false);
    assert_eq!(node.peer('b').nodename, "");
}

#[test]
fn replica_without_a_shard_of_its_own_is_in_that_of_its_primary() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', named(vec![Extension::Shard(id('q'))]));
    assert_eq!((node.peer('b').shard, node.peer('e').shard), (id('q'), id('q')));
    node.hears('e', ping());
    assert_eq!(node.peer('e').shard, id('q'));
}

#[test]
fn replica_takes_over_the_shard_of_its_primary_and_keeps_that() {
    let mut node = Solo::of(THREE, 'd');
    node.hears('a', named(vec![Extension::Shard(id('q'))]));
    assert_eq!(node.cluster.peers().me().shard, id('q'));
    assert_eq!(node.acts()[..1], ["persist"]);
}

// A flag of the header that is believed as it is.
#[test]
fn node_says_itself_whether_it_fails_over() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('d', ping(), |header| header.flags |= flags::NOFAILOVER);
    assert!(node.is('d', flags::NOFAILOVER));
    node.hears_with('d', ping(), |header| header.flags &= !flags::NOFAILOVER);
    assert!(!node.is('d', flags::NOFAILOVER));
    node.hears_with('d', ping(), |header| header.flags |= flags::FAIL | flags::PFAIL);
    assert!(!node.is('d', flags::FAIL | flags::PFAIL), "others are not");
}

// A light packet has no sender in it: the connection says who sends, if its first packet did.
#[test]
fn light_packet_needs_a_known_connection_and_is_a_sign_of_life() {
    let mut node = Solo::of(THREE, 'a');
    let body =
        Body::Publish { sharded: false, channel: (*b"news").into(), message: (*b"!").into() };
    let light = Packet { header: None, body };
    let link = node.inbound('b');
    node.step(Input::Packet { link, packet: &light });
    assert_eq!(node.lines(), ["close b"]);
    node.reconnected('b');
    node.hears('b', ping());
    node.clear();
    node.now_ms += 300;
    let link = node.inbound('b');
    node.step(Input::Packet { link, packet: &light });
    assert_eq!(node.lines(), ["deliver news"]);
    assert_eq!(node.peer('b').heard_ms, Some(node.now_ms));
}

// "The bus": a message of a shard stays in the shard.
#[test]
fn messages_go_to_all_and_those_of_a_shard_to_the_shard() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.publish(false, b"news", b"!"));
    assert_eq!(node.lines().len(), 5);
    node.ask(|cluster| cluster.publish(true, b"news", b"!"));
    assert_eq!(node.lines(), ["spublish -> d"]);
}

#[test]
fn later_connection_from_a_node_replaces_the_earlier() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', ping());
    let former = node.inbound('b');
    node.reconnected('b');
    node.clear();
    node.hears('b', ping());
    assert_eq!(node.lines(), ["close b", "pong -> b"]);
    assert_eq!(node.cluster.link_peer(former), None);
}
