//! Views of the cluster of [`crate::cluster::testing`].

use super::*;
use crate::clock::Time;
use crate::cluster::core::OpenSlot;
use crate::cluster::testing::{cluster_of, id, slot};
use crate::cluster::{Facts, Host};

const START: Time = Time { mono_us: 1_000_000, unix_us: 1_700_000_000_000_000 };

fn named(cluster: &Cluster, letter: char) -> PeerIx {
    cluster.peers().find(&id(letter)).unwrap()
}

/// Names of nodes by their letters.
fn letters(cluster: &Cluster, places: &[PeerIx]) -> String {
    places.iter().map(|place| &cluster.peers()[*place].id.as_str()[..1]).collect()
}

#[test]
fn a_node_is_a_line_of_fields() {
    let mut cluster = cluster_of('a', START);
    cluster.begin(START, Facts::default());
    cluster.set_slot(slot(5000), OpenSlot::Migrating(id('b')), 0).unwrap();
    cluster.set_slot(slot(16000), OpenSlot::Importing(id('c')), 0).unwrap();
    cluster.set_slot(slot(6000), OpenSlot::Importing(id('b')), 0).unwrap();
    let (a, b, c, d) = (id('a'), id('b'), id('c'), id('d'));
    let text = nodes(&cluster);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            format!(
                "{a} 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 [5000->-{b}] [6000-<-{b}] [16000-<-{c}]"
            ),
            format!("{b} 10.0.0.2:7001@17001 master - 0 1700000000000 2 connected 5461-10922"),
            format!("{c} 10.0.0.2:7002@17002 master - 0 1700000000000 3 connected 10923-16383"),
            format!("{d} 10.0.0.2:7003@17003 slave {a} 0 1700000000000 1 connected"),
        ]
    );
    assert_eq!(replica_lines(&cluster, named(&cluster, 'a')), [lines[3]]);
    assert!(replica_lines(&cluster, named(&cluster, 'b')).is_empty());
}

#[test]
fn a_handshake_has_no_role_and_a_single_slot_no_dash() {
    let mut cluster = cluster_of('a', START);
    cluster.begin(START, Facts::default());
    cluster.meet(Host::new("10.0.0.9").unwrap(), 7009, 17009);
    cluster.delete_slots(&[slot(1), slot(3)]).unwrap();
    let text = nodes(&cluster);
    assert!(text.lines().next().unwrap().ends_with(" connected 0 2 4-5460"), "{text}");
    let line = text.lines().find(|line| line.contains("10.0.0.9")).unwrap();
    assert_eq!(&line[40..], " 10.0.0.9:7009@17009 handshake - 0 0 0 connected");
}

#[test]
fn a_host_name_follows_the_address() {
    let mut cluster = cluster_of('a', START);
    cluster.settings.hostname = "a.example".to_owned();
    cluster.settings_changed();
    let text = nodes(&cluster);
    assert!(text.contains(" 10.0.0.1:7000@17000,a.example myself,master "), "{text}");
}

#[test]
fn info_counts_slots_nodes_and_messages() {
    let text = info(&cluster_of('d', START));
    let expected = "cluster_state:ok\r\n\
        cluster_slots_assigned:16384\r\n\
        cluster_slots_ok:16384\r\n\
        cluster_slots_pfail:0\r\n\
        cluster_slots_fail:0\r\n\
        cluster_known_nodes:4\r\n\
        cluster_size:3\r\n\
        cluster_current_epoch:3\r\n\
        cluster_my_epoch:1\r\n\
        cluster_stats_messages_meet_sent:3\r\n\
        cluster_stats_messages_sent:3\r\n\
        cluster_stats_messages_pong_received:3\r\n\
        cluster_stats_messages_received:3\r\n\
        total_cluster_links_buffer_limit_exceeded:0\r\n";
    assert_eq!(text, expected);
}

#[test]
fn slots_name_replicas_that_have_data() {
    let cluster = cluster_of('a', START);
    let ranges = slot_ranges(&cluster, 0);
    let shown: Vec<String> = ranges
        .iter()
        .map(|range| {
            let nodes = letters(&cluster, &range.nodes);
            format!("{}-{} {nodes}", range.first.number(), range.last.number())
        })
        .collect();
    assert_eq!(shown, ["0-5460 ad", "5461-10922 b", "10923-16383 c"]);
    // The replica itself knows how much it has.
    let cluster = cluster_of('d', START);
    let served = |own_offset| letters(&cluster, &slot_ranges(&cluster, own_offset)[0].nodes);
    assert_eq!((served(0), served(7)), ("a".to_owned(), "ad".to_owned()));
}

#[test]
fn a_shard_has_its_primary_s_slots() {
    let cluster = cluster_of('d', START);
    let shards = shards(&cluster);
    let nodes: Vec<String> = shards.iter().map(|shard| letters(&cluster, &shard.nodes)).collect();
    assert_eq!(nodes, ["ad", "b", "c"]);
    assert_eq!(shards[0].slots, [(slot(0), slot(5460))]);
    let health = |letter, own| health(&cluster, named(&cluster, letter), own);
    assert_eq!((health('d', 0), health('d', 1), health('a', 0)), ("loading", "online", "online"));
}
