//! Leaving a cluster. Spec: cluster, "Removing nodes" (CLUSTER FORGET) and "Node resets" (CLUSTER RESET).

use highwater::cluster::core::OpenSlot;
use highwater::cluster::packet::{Heartbeat, flags};
use highwater::cluster::{Body, Epoch, Extension, NodeId};

use crate::layout::{self, THREE, host, id, slot};
use crate::solo::{Solo, heartbeat, ping, pong, stranger, word_of};

const MINUTE_MS: u64 = 60_000;

fn told(node: &mut Solo, by: char, about: char) {
    node.hears(by, heartbeat(Heartbeat::Ping, vec![word_of(about, flags::PRIMARY)]));
}

fn forget(node: &mut Solo, name: char) -> Result<(), String> {
    node.ask(|cluster| cluster.forget(&id(name)))
}

// "It removes the specified node from the nodes table."
#[test]
fn forgotten_node_is_gone_with_all_that_refers_to_it() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', ping());
    node.ask(|cluster| cluster.set_slot(slot(5), OpenSlot::Migrating(id('b')), 0)).unwrap();
    node.ask(|cluster| cluster.set_slot(slot(6000), OpenSlot::Importing(id('b')), 0)).unwrap();
    node.hears('b', heartbeat(Heartbeat::Ping, vec![word_of('c', flags::PRIMARY | flags::FAIL)]));
    assert_eq!(node.ask(|cluster| cluster.count_reports(&id('c'))), Ok(1));
    node.clear();
    forget(&mut node, 'b').unwrap();
    assert_eq!(node.lines(), ["close b", "close b", "persist"]);
    assert_eq!(node.names(), "acdef");
    assert!(!node.cluster.slots().has_open());
    assert_eq!(node.cluster.slots().owner(slot(6000)), None);
    assert_eq!(node.ask(|cluster| cluster.count_reports(&id('c'))), Ok(0));
    assert_eq!(node.primary_of('e'), None, "its replica has no primary");
    assert!(node.is('e', flags::REPLICA));
}

// "It adds the node ID to a ban list for 60 seconds": against gossip.
#[test]
fn forgotten_node_is_not_learned_of_for_a_minute() {
    let mut node = Solo::of(THREE, 'a');
    forget(&mut node, 'f').unwrap();
    node.run(MINUTE_MS - 100);
    told(&mut node, 'b', 'f');
    assert!(!node.knows('f'));
    node.run(100);
    told(&mut node, 'b', 'f');
    assert!(node.knows('f'));
}

#[test]
fn handshake_brings_a_forgotten_node_back() {
    let mut node = Solo::of(THREE, 'a');
    forget(&mut node, 'f').unwrap();
    node.ask(|cluster| cluster.meet(host('f'), 7000, 17000));
    let link = node.handshake_link();
    node.over(link, stranger('f'), pong());
    assert!(node.knows('f'));
}

#[test]
fn word_of_forgetting_goes_out_with_heartbeats() {
    let mut node = Solo::of(THREE, 'a');
    forget(&mut node, 'f').unwrap();
    node.run(10_000);
    node.hears('b', ping());
    let packet = node.packet("pong -> b");
    let Body::Heartbeat { extensions, .. } = &packet.body else { panic!("{packet:?}") };
    assert!(
        extensions.contains(&Extension::Forgotten { id: id('f'), ttl_s: 50 }),
        "{extensions:?}"
    );
    node.run(50_000);
    node.hears('b', ping());
    let packet = node.packet("pong -> b");
    let Body::Heartbeat { extensions, .. } = &packet.body else { panic!("{packet:?}") };
    assert_eq!(*extensions, [Extension::Shard(id('a'))]);
}

fn forgets(id: NodeId, ttl_s: u64) -> Body {
    let extensions = vec![Extension::Forgotten { id, ttl_s }];
    Body::Heartbeat { kind: Heartbeat::Ping, gossip: Vec::new(), extensions }
}

#[test]
fn word_of_forgetting_is_followed_for_the_rest_of_its_time() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', forgets(id('f'), 20));
    assert!(!node.knows('f'));
    node.run(19_900);
    told(&mut node, 'c', 'f');
    assert!(!node.knows('f'));
    node.run(100);
    told(&mut node, 'c', 'f');
    assert!(node.knows('f'));
}

#[test]
fn word_of_forgetting_oneself_or_ones_primary_is_ignored() {
    let mut node = Solo::of(THREE, 'd');
    node.hears('b', forgets(id('d'), 60));
    node.hears('b', forgets(id('a'), 60));
    node.hears('b', forgets(id('x'), 60));
    assert_eq!(node.names(), "abcdef");
    assert_eq!(node.follows(), Some('a'));
}

// Who is told to be forgotten by itself takes the rest of its own packet with it.
#[test]
fn node_that_wants_to_be_forgotten_is() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', forgets(id('b'), 60));
    assert_eq!(node.names(), "acdef");
}

#[test]
fn forgetting_a_node_twice_is_no_mistake_and_a_stranger_is_one() {
    let mut node = Solo::of(THREE, 'a');
    forget(&mut node, 'f').unwrap();
    assert_eq!(forget(&mut node, 'f'), Ok(()));
    assert_eq!(forget(&mut node, 'x'), Err(format!("Unknown node {}", id('x'))));
    node.run(MINUTE_MS);
    assert!(forget(&mut node, 'f').is_err());
}

// "a node cannot forget itself", "a replica cannot forget its master".
#[test]
fn node_cannot_forget_itself_or_its_primary() {
    let mut node = Solo::of(THREE, 'd');
    assert!(forget(&mut node, 'd').is_err() && forget(&mut node, 'a').is_err());
    assert_eq!(node.names(), "abcdef");
}

// A place that is free again is another node's: nothing of the former is left in it.
#[test]
fn newcomer_in_the_place_of_a_forgotten_node_starts_afresh() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('b', ping());
    let link = node.inbound('b');
    node.hears('c', heartbeat(Heartbeat::Ping, vec![word_of('b', flags::PRIMARY | flags::FAIL)]));
    forget(&mut node, 'b').unwrap();
    told(&mut node, 'c', 'x');
    assert_eq!((node.peer('x').slot_count, node.peer('x').reports.len()), (0, 0));
    assert_eq!(node.slots('x'), "");
    assert_eq!((node.primary_of('e'), node.peer('x').in_link), (None, None));
    // What was on its way from the former is from a stranger now.
    let header = stranger('b');
    node.over(link, header, ping());
    assert!(!node.knows('b'));
    node.run(500);
}

// "1. Soft and hard reset: If the node is a replica, it is turned into a master, and its dataset is discarded."
#[test]
fn reset_makes_a_replica_an_empty_primary() {
    let mut node = Solo::of(THREE, 'd');
    node.facts.has_keys = true;
    node.clear();
    node.ask(|cluster| cluster.reset_node(None)).unwrap();
    let acts = node.acts();
    assert_eq!(acts[..2], ["promote", "flush"]);
    assert_eq!(acts.last().map(String::as_str), Some("persist"));
    assert!(node.cluster.peers().me().is_primary());
}

// "If the node is a master and contains keys, the reset operation is aborted."
#[test]
fn primary_with_keys_is_not_reset() {
    let mut node = Solo::of(THREE, 'a');
    node.facts.has_keys = true;
    assert!(node.ask(|cluster| cluster.reset_node(None)).is_err());
    assert_eq!(node.names(), "abcdef");
}

// "2. All the slots are released, and the manual failover state is reset." "3. All the other nodes in the nodes table are
// removed, so the node no longer knows any other node."
#[test]
fn soft_reset_keeps_the_name_and_the_epochs() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.set_slot(slot(5), OpenSlot::Migrating(id('b')), 0)).unwrap();
    forget(&mut node, 'f').unwrap();
    node.ask(|cluster| cluster.reset_node(None)).unwrap();
    assert_eq!((node.names().as_str(), node.slots('a').as_str()), ("a", ""));
    assert_eq!((node.cluster.current_epoch(), node.cluster.config_epoch()), (Epoch(3), Epoch(1)));
    assert!(!node.cluster.slots().has_open());
    assert_eq!(node.cluster.slots().assigned(), 0);
    assert!(forget(&mut node, 'f').is_err(), "nobody is kept away any more");
    node.run(1000);
    assert!(!node.cluster.is_ok());
}

// "4. Hard reset only: currentEpoch, configEpoch, and lastVoteEpoch are set to 0." "5. Hard reset only: the Node ID is changed
// to a new random ID."
#[test]
fn hard_reset_takes_a_new_name_and_no_epochs() {
    let mut node = Solo::of(THREE, 'd');
    node.ask(|cluster| cluster.reset_node(Some((id('y'), id('z'))))).unwrap();
    assert_eq!(node.names(), "y");
    assert_eq!((node.cluster.current_epoch(), node.cluster.config_epoch()), (Epoch(0), Epoch(0)));
    assert_eq!(node.cluster.last_vote_epoch(), Epoch(0));
    assert_eq!(node.cluster.peers().me().shard, id('z'));
    let conf = node.cluster.to_conf();
    assert_eq!(conf.nodes.len(), 1);
    assert_eq!(conf.nodes[0].id, id('y').to_string());
}

// A node that hears others after its reset is a stranger among them.
#[test]
fn reset_node_can_join_again() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.reset_node(None)).unwrap();
    node.reconnected('b');
    node.hears('b', ping());
    assert_eq!(node.names(), "a");
    node.ask(|cluster| cluster.meet(layout::host('b'), 7000, 17000));
    assert_eq!(node.names(), "?a");
}

// Section "Node resets" leaves it out: strangers cannot fill the memory.
#[test]
fn strangers_are_let_in_within_bounds() {
    let mut node = Solo::of(THREE, 'a');
    let crowd = (0..10_000_u32).map(|number| {
        let mut word = word_of('x', flags::PRIMARY);
        word.id = NodeId::new(format!("{number:040}").as_bytes()).unwrap();
        word.ip = highwater::cluster::Host::new(&format!("10.1.{}.{}", number / 256, number % 256))
            .unwrap();
        word
    });
    node.hears('x', heartbeat(Heartbeat::Meet, crowd.collect()));
    assert!(node.cluster.peers().len() < 1100, "{}", node.cluster.peers().len());
}
