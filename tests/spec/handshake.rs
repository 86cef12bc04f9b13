//! Who belongs to the cluster. Spec: cluster, "Cluster bus and nodes handshake" (all tests here).

use highwater::cluster::packet::{Heartbeat, Ports, flags};
use highwater::cluster::{Body, Epoch, Host, Input};

use crate::layout::{BEGIN_MS, PORTS, THREE, TIMEOUT_MS, host, id};
use crate::solo::{Solo, heartbeat, ping, pong, stranger, word_of};

fn meet() -> Body {
    heartbeat(Heartbeat::Meet, Vec::new())
}

fn meets(node: &mut Solo, name: char) {
    node.ask(|cluster| cluster.meet(host(name), 7000, 17000));
}

// "Nodes always accept connections on the cluster bus port, and even reply to pings when received, even if the pinging node
// is not trusted."
#[test]
fn ping_of_a_stranger_is_answered() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('x', ping());
    assert_eq!(node.lines(), ["pong -> x"]);
    assert!(!node.knows('x'));
}

// "all other packets will be discarded by the receiving node if the sending node is not considered part of the cluster."
#[test]
fn word_of_a_stranger_changes_nothing() {
    let mut node = Solo::of(THREE, 'a');
    let told = heartbeat(Heartbeat::Ping, vec![word_of('y', flags::PRIMARY)]);
    let epoch = node.cluster.current_epoch();
    node.hears_with('x', told, |header| header.current_epoch = Epoch(99));
    for body in [Body::Fail(id('b')), Body::VoteRequest, Body::Vote, Body::ManualFailover] {
        node.hears_with('x', body, |header| header.current_epoch = Epoch(99));
    }
    assert_eq!(node.lines(), ["pong -> x"]);
    assert_eq!(node.names(), "abcdef");
    assert!(!node.is('b', flags::FAIL));
    assert_eq!(node.cluster.current_epoch(), epoch);
}

// "If a node presents itself with a MEET message."
#[test]
fn stranger_that_sends_meet_is_asked_its_name() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('x', meet());
    assert_eq!(node.lines(), ["connect x", "pong -> x", "ping -> x"]);
    assert_eq!(node.names(), "?abcdef");
}

#[test]
fn pong_ends_the_handshake_with_the_name_of_the_other() {
    let mut node = Solo::of(THREE, 'a');
    meets(&mut node, 'x');
    assert_eq!(node.lines(), ["connect x", "meet -> x"]);
    let link = node.handshake_link();
    node.over(link, stranger('x'), pong());
    assert_eq!(node.names(), "abcdefx");
    assert!(!node.is('x', flags::HANDSHAKE | flags::MEET) && node.is('x', flags::PRIMARY));
    assert_eq!(node.peer('x').host, host('x'));
}

// A replica joins as what it is.
#[test]
fn role_is_learned_with_the_name() {
    let mut node = Solo::of(THREE, 'a');
    meets(&mut node, 'x');
    let link = node.handshake_link();
    let mut header = stranger('x');
    (header.primary, header.flags) = (Some(id('b')), flags::REPLICA | flags::MYSELF);
    node.over(link, header, pong());
    assert!(node.is('x', flags::REPLICA) && !node.is('x', flags::PRIMARY));
    assert_eq!(node.primary_of('x'), Some('b'));
}

#[test]
fn meet_is_repeated_over_each_new_connection_until_it_is_answered() {
    let mut node = Solo::of("a:0-100", 'a');
    meets(&mut node, 'x');
    let link = node.handshake_link();
    node.clear();
    node.step(Input::Closed { link });
    node.run(100);
    assert_eq!(node.lines(), ["connect x", "meet -> x"]);
}

#[test]
fn second_meet_of_one_address_changes_nothing() {
    let mut node = Solo::of(THREE, 'a');
    meets(&mut node, 'x');
    node.clear();
    meets(&mut node, 'x');
    node.hears('x', meet());
    assert_eq!(node.lines(), ["pong -> x"]);
    assert_eq!(node.names(), "?abcdef");
}

#[test]
fn handshake_ends_after_the_timeout() {
    let mut node = Solo::of("a:0-100", 'a');
    meets(&mut node, 'x');
    node.run(TIMEOUT_MS);
    assert_eq!(node.names(), "?a");
    node.run(100);
    assert_eq!(node.names(), "a");
}

#[test]
fn handshake_lasts_a_second_where_the_timeout_is_shorter() {
    let mut node = Solo::of("a:0-100", 'a');
    node.cluster.settings.timeout_ms = 100;
    meets(&mut node, 'x');
    node.run(1000);
    assert_eq!(node.names(), "?a");
    node.run(100);
    assert_eq!(node.names(), "a");
}

// MEET goes to the address of a node that is known already.
#[test]
fn handshake_with_a_known_node_teaches_its_address() {
    let mut node = Solo::of(THREE, 'a');
    meets(&mut node, 'x');
    let link = node.handshake_link();
    let header = node.header('b');
    node.over(link, header, pong());
    assert_eq!(node.names(), "abcdef");
    assert_eq!(node.peer('b').host, host('x'));
    assert!(node.lines().contains(&"close b".to_owned()), "the connection to the old address");
}

// "A node will also register another node as part of the cluster if a node that is already trusted will gossip about this
// other node."
#[test]
fn node_is_trusted_on_the_word_of_a_trusted_one() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', heartbeat(Heartbeat::Pong, vec![word_of('x', flags::PRIMARY)]));
    assert!(node.knows('x') && !node.is('x', flags::HANDSHAKE));
    node.clear();
    node.run(100);
    assert_eq!(node.lines(), ["connect x", "ping -> x"]);
}

#[test]
fn gossip_of_nodes_without_an_address_or_a_name_is_not_taken_up() {
    let mut node = Solo::of(THREE, 'a');
    let mut nowhere = word_of('w', flags::PRIMARY);
    nowhere.ip = Host::UNKNOWN;
    let told = vec![
        word_of('x', flags::PRIMARY | flags::NOADDR),
        word_of('y', flags::PRIMARY | flags::HANDSHAKE),
        nowhere,
    ];
    node.hears('b', heartbeat(Heartbeat::Ping, told));
    assert_eq!(node.names(), "abcdef");
}

// Flags of gossip are believed as they are: a node may be born failed.
#[test]
fn node_learned_through_gossip_has_the_flags_it_is_told_with() {
    let mut node = Solo::of(THREE, 'a');
    let told = flags::REPLICA | flags::FAIL | flags::NOFAILOVER;
    let target = flags::PRIMARY | flags::PFAIL | flags::MIGRATE_TO;
    let told = vec![word_of('x', told), word_of('y', target | flags::MEET | flags::MYSELF)];
    node.hears('b', heartbeat(Heartbeat::Ping, told));
    assert_eq!(node.peer('x').flags, flags::REPLICA | flags::FAIL | flags::NOFAILOVER);
    assert_eq!(node.peer('y').flags, target);
}

// Somebody else answers where a node was.
#[test]
fn node_whose_address_has_another_id_has_no_address() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.over(link, stranger('x'), pong());
    assert!(node.is('b', flags::NOADDR));
    assert_eq!((node.peer('b').host, node.peer('b').ports), (Host::UNKNOWN, Ports::default()));
    assert!(node.peer('b').link().is_none());
    node.clear();
    node.run(1000);
    assert!(!node.lines().contains(&"connect b".to_owned()));
}

// The same where the address has become the node's own.
#[test]
fn node_whose_address_is_ones_own_has_no_address() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.over(link, stranger('a'), pong());
    assert!(node.is('b', flags::NOADDR));
    assert_eq!(node.lines(), ["close b", "save soon"]);
}

#[test]
fn ping_tells_a_new_address() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('b', ping(), |header| header.ip = host('x'));
    assert_eq!(node.peer('b').host, host('x'));
    assert_eq!(node.lines(), ["pong -> b", "close b", "save soon"]);
    node.run(100);
    assert_eq!(node.lines(), ["connect x", "ping -> b"]);
}

#[test]
fn ping_without_an_address_tells_that_of_its_connection() {
    let mut node = Solo::of(THREE, 'a');
    let header = node.header('b');
    let link = node.inbound('x');
    node.over(link, header, ping());
    assert_eq!(node.peer('b').host, host('x'));
}

#[test]
fn pong_tells_no_address() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('b', pong(), |header| header.ip = host('x'));
    node.answers('b', |header| header.ip = host('x'));
    assert_eq!(node.peer('b').host, host('b'));
}

#[test]
fn node_without_an_address_comes_back_with_its_ping() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.over(link, stranger('x'), pong());
    node.hears('b', ping());
    assert!(!node.is('b', flags::NOADDR));
    assert_eq!(node.peer('b').host, host('b'));
}

#[test]
fn replica_follows_its_primary_to_the_new_address() {
    let mut node = Solo::of(THREE, 'd');
    node.hears_with('a', ping(), |header| header.ports = Ports { client: 8000, ..PORTS });
    assert!(node.lines().contains(&"follow a".to_owned()));
}

#[test]
fn meet_tells_a_node_its_own_address() {
    let mut node = Solo::alone('a');
    assert!(node.cluster.peers().me().host.is_unknown());
    node.hears('x', ping());
    assert_eq!(node.cluster.peers().me().host, host('a'), "while it has none, PING does");
    let other = node.cluster.accepted(host('y'), host('w'));
    node.over(other, stranger('y'), ping());
    assert_eq!(node.cluster.peers().me().host, host('a'), "then PING does not");
    node.over(other, stranger('y'), meet());
    assert_eq!(node.cluster.peers().me().host, host('w'), "MEET does");
}

#[test]
fn announced_address_is_not_discovered() {
    let mut node = Solo::alone('a');
    node.cluster.settings.announced_host = host('q');
    node.cluster.settings_changed();
    node.hears('x', meet());
    assert_eq!(node.cluster.peers().me().host, host('q'));
    assert_eq!(node.packet("pong -> x").header.as_ref().unwrap().ip, host('q'));
}

#[test]
fn node_that_meets_itself_forgets_the_handshake() {
    let mut node = Solo::alone('a');
    meets(&mut node, 'b');
    let link = node.handshake_link();
    node.over(link, stranger('a'), pong());
    assert_eq!(node.names(), "a");
    assert_eq!(node.now_ms, BEGIN_MS);
}

// The name of a handshake is nobody's: it is not to be guessed, and not to be claimed.
#[test]
fn name_of_a_handshake_is_not_a_node() {
    let mut node = Solo::alone('a');
    meets(&mut node, 'x');
    let link = node.handshake_link();
    let (_, peer) =
        node.cluster.peers().iter().find(|(_, peer)| peer.is(flags::HANDSHAKE)).unwrap();
    let header = highwater::cluster::Header { sender: peer.id, ..stranger('x') };
    let other = node.inbound('y');
    node.over(other, header.clone(), ping());
    node.over(link, header, pong());
    assert_eq!(node.names(), "a");
}

// A configuration with a node of two roles could not be read again.
#[test]
fn node_has_one_role_whatever_is_said() {
    for (told, role) in [
        (flags::PRIMARY | flags::REPLICA, flags::PRIMARY),
        (0, flags::PRIMARY),
        (flags::REPLICA, flags::REPLICA),
    ] {
        let mut node = Solo::of(THREE, 'a');
        node.hears('b', heartbeat(Heartbeat::Ping, vec![word_of('x', told)]));
        assert_eq!(node.peer('x').flags, role);
        meets(&mut node, 'y');
        let link = node.handshake_link();
        let header = highwater::cluster::Header { flags: told, ..stranger('y') };
        node.over(link, header, ping());
        assert!(!node.is('y', flags::HANDSHAKE) && !node.is('y', flags::REPLICA));
    }
}

// Ours: whoever can reach the bus port can cause any number of handshakes, but not of lines in the log.
#[test]
fn handshakes_that_time_out_do_not_fill_the_log() {
    let mut node = Solo::of(THREE, 'a');
    node.run(10_000);
    node.notes();
    for (lines, told) in [(10, "Handshake with node at"), (11, "190 more handshakes")] {
        for bus in 1..=200 {
            node.ask(|cluster| cluster.meet(host('x'), 7000, bus));
        }
        node.run(TIMEOUT_MS + 1000);
        let mut notes = node.notes();
        notes.retain(|note| note.contains("andshake"));
        assert_eq!(notes.len(), lines, "{notes:#?}");
        assert!(notes[0].contains(told), "{}", notes[0]);
        node.run(10_000);
    }
}
