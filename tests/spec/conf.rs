//! What a node knows after a restart. Spec: cluster, "Cluster node attributes", and `docs/cluster.md`, "What is persisted
//! when".

use highwater::clock::Time;
use highwater::cluster::core::OpenSlot;
use highwater::cluster::packet::Heartbeat;
use highwater::cluster::{Body, Cluster, Epoch, Extension, Host};
use highwater_persistence::nodes_conf::{NodeFlag, NodeLine, NodesConf};

use crate::layout::{self, THREE, TIMEOUT_MS, at, host, id, slot};
use crate::solo::{Solo, pong, stranger};

/// The same node after a restart, some time later.
pub(crate) fn restarted(node: &Solo) -> Solo {
    let conf = node.cluster.to_conf();
    let now_ms = node.now_ms + 1000;
    let cluster = Cluster::from_conf(&conf, layout::settings(), 7, at(now_ms)).unwrap();
    let mut again = Solo::around(cluster, node.alive.clone());
    again.now_ms = now_ms;
    again
}

/// What of a file does not depend on when and over which connections it was written.
fn lasting(conf: &NodesConf) -> NodesConf {
    let mut conf = conf.clone();
    for node in &mut conf.nodes {
        node.connected = false;
        node.ping_sent = u64::from(node.ping_sent != 0);
        node.pong_received = u64::from(node.pong_received != 0);
    }
    conf
}

fn assert_same(node: &Solo) {
    let again = restarted(node);
    let pairs = [node.cluster.to_conf(), again.cluster.to_conf()];
    assert_eq!(lasting(&pairs[0]), lasting(&pairs[1]));
    assert_eq!(again.cluster.current_epoch(), node.cluster.current_epoch());
    assert_eq!(again.cluster.last_vote_epoch(), node.cluster.last_vote_epoch());
    assert_eq!(again.cluster.config_epoch(), node.cluster.config_epoch());
    assert!(!again.cluster.is_saving());
}

#[test]
fn every_kind_of_node_comes_back_as_it_was() {
    for me in "abcdef".chars() {
        let mut node = Solo::of(THREE, me);
        assert_same(&node);
        let other = if me == 'b' { 'c' } else { 'b' };
        node.hears('f', Body::Fail(id(other)));
        node.alive.remove(&'e');
        node.run(TIMEOUT_MS + 1200);
        if me != 'a' {
            let link = node.peer('a').link().unwrap();
            node.over(link, stranger('x'), pong());
        }
        assert_same(&node);
    }
}

#[test]
fn names_and_shards_come_back() {
    let mut node = Solo::of(THREE, 'a');
    let extensions = vec![
        Extension::Hostname("two.example".into()),
        Extension::Nodename("second".into()),
        Extension::Shard(id('q')),
    ];
    node.hears('b', Body::Heartbeat { kind: Heartbeat::Ping, gossip: Vec::new(), extensions });
    assert_same(&node);
    let again = restarted(&node);
    let peer = again.peer('b');
    assert_eq!((peer.hostname.as_str(), peer.nodename.as_str()), ("two.example", "second"));
    assert_eq!((peer.shard, again.peer('e').shard), (id('q'), id('q')));
}

#[test]
fn open_slots_come_back() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.set_slot(slot(5), OpenSlot::Migrating(id('b')), 9)).unwrap();
    node.ask(|cluster| cluster.set_slot(slot(6000), OpenSlot::Importing(id('b')), 0)).unwrap();
    assert_same(&node);
    let again = restarted(&node);
    assert!(again.cluster.slots().migrating_to(slot(5)).is_some());
    assert!(again.cluster.slots().importing_from(slot(6000)).is_some());
}

#[test]
fn epochs_and_the_last_vote_come_back() {
    let mut node = Solo::of(THREE, 'b');
    node.hears('c', Body::Fail(id('a')));
    node.hears_with('d', Body::VoteRequest, |header| header.current_epoch = Epoch(9));
    assert_same(&node);
    assert_eq!(restarted(&node).cluster.last_vote_epoch(), Epoch(9));
}

// "fail" in a file counts from the restart.
#[test]
fn failed_node_has_failed_at_the_restart() {
    let mut node = Solo::of(THREE, 'b');
    node.hears('c', Body::Fail(id('a')));
    node.run(10 * TIMEOUT_MS);
    let again = restarted(&node);
    assert_eq!(again.peer('a').failed_ms, again.now_ms);
}

#[test]
fn replicas_have_the_epoch_of_their_primary_in_the_file_and_none_behind_it() {
    let node = Solo::of(THREE, 'd');
    let conf = node.cluster.to_conf();
    let epoch = |name| {
        let text = id(name).to_string();
        conf.nodes.iter().find(|line| line.id == text).unwrap().config_epoch
    };
    assert_eq!((epoch('d'), epoch('a'), epoch('f'), epoch('c')), (1, 1, 3, 3));
    let again = restarted(&node);
    assert_eq!((again.peer('d').config_epoch, again.peer('f').config_epoch), (Epoch(0), Epoch(0)));
}

#[test]
fn handshakes_are_not_written() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.meet(host('x'), 7000, 17000));
    assert_eq!(node.names(), "?abcdef");
    assert_eq!(node.cluster.to_conf().nodes.len(), 6);
}

#[test]
fn newest_epoch_of_a_node_is_the_current_one() {
    let mut conf = layout::conf(THREE, 'a');
    conf.current_epoch = 1;
    let cluster = Cluster::from_conf(&conf, layout::settings(), 1, at(5)).unwrap();
    assert_eq!(cluster.current_epoch(), Epoch(3));
}

#[test]
fn reading_a_file_asks_for_nothing() {
    let conf = layout::conf(THREE, 'd');
    let cluster = Cluster::from_conf(&conf, layout::settings(), 1, at(5)).unwrap();
    assert!(!cluster.has_outputs() && !cluster.is_saving());
}

#[test]
fn nodes_that_are_only_named_are_known_without_an_address() {
    let mut node = Solo::started("a:0-10 b:11-20 d>x", 'a', layout::settings());
    assert_eq!(node.primary_of('d'), Some('x'));
    assert_eq!(node.peer('x').host, Host::UNKNOWN);
    node.run(3000);
    assert!(!node.lines().iter().any(|line| line.ends_with(" x")));
    assert_same(&node);
}

fn refused(change: impl FnOnce(&mut Vec<NodeLine>)) -> String {
    let mut conf = layout::conf(THREE, 'a');
    change(&mut conf.nodes);
    Cluster::from_conf(&conf, layout::settings(), 1, Time::default()).unwrap_err()
}

#[test]
fn files_that_make_no_sense_are_refused() {
    let no_self = |nodes: &mut Vec<NodeLine>| nodes[0].flags = vec![NodeFlag::Primary];
    assert_eq!(refused(no_self), "no line is the node's own");
    let itself = |nodes: &mut Vec<NodeLine>| nodes[3].primary = Some(id('d').to_string());
    assert_eq!(refused(itself), format!("node {} follows itself", id('d')));
    assert!(refused(|nodes| nodes[0].slots = vec![(16383, 16384)]).contains("16384"));
    assert!(refused(|nodes| nodes[1].id = "b".into()).contains("'b'"));
}

// `cluster-announce-*` and ports: the file does not outlive the settings.
#[test]
fn settings_win_over_the_file() {
    let mut settings = layout::settings();
    settings.ports.client = 9000;
    settings.hostname = "new.example".into();
    settings.announced_host = host('q');
    settings.no_failover = true;
    let conf = layout::conf(THREE, 'a');
    let cluster = Cluster::from_conf(&conf, settings, 1, at(5)).unwrap();
    let me = cluster.peers().me();
    assert_eq!((me.ports.client, me.hostname.as_str(), me.host), (9000, "new.example", host('q')));
    assert!(cluster.never_fails_over());
}

// docs/cluster.md, "Order": a save that failed is tried again each second, and nothing is held back but promises.
#[test]
fn failed_save_is_tried_again_each_second() {
    let mut node = Solo::of(THREE, 'a');
    node.disk_works = false;
    node.ask(|cluster| cluster.save());
    assert!(node.cluster.is_saving());
    node.clear();
    node.run(2900);
    let tries = node.lines().iter().filter(|line| *line == "persist").count();
    assert_eq!(tries, 2);
    node.disk_works = true;
    node.run(200);
    assert!(!node.cluster.is_saving());
    node.clear();
    node.run(3000);
    assert!(!node.lines().contains(&"persist".to_owned()));
}

// Keys that were loaded say which slots the node had.
#[test]
fn slots_of_loaded_keys_are_taken_or_imported() {
    let mut node = Solo::of("a:0-10 b:11-20", 'a');
    node.ask(|cluster| cluster.claim_loaded([5, 15, 500].map(slot).into_iter()));
    assert_eq!(node.slots('a'), "0-10,500");
    assert!(node.cluster.slots().importing_from(slot(15)).is_some());
    assert_eq!(node.acts(), ["persist"]);
    let mut node = Solo::of("a:0-10 b:11-20 d>a", 'd');
    node.ask(|cluster| cluster.claim_loaded([500].map(slot).into_iter()));
    assert_eq!(node.acts(), [""; 0], "a replica has no slots");
}
