//! Whether the cluster serves. Spec: cluster, "Hash slots configuration propagation" and "Availability".

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Input};

use crate::layout::{self, THREE, TIMEOUT_MS, id};
use crate::solo::{Solo, pong, stranger};

fn fail(node: &mut Solo, name: char) {
    node.alive.remove(&name);
    let by = if name == 'b' { 'c' } else { 'b' };
    node.hears(by, Body::Fail(id(name)));
}

#[test]
fn cluster_with_all_slots_and_primaries_serves() {
    assert!(Solo::of(THREE, 'a').cluster.is_ok());
    assert!(Solo::of(THREE, 'd').cluster.is_ok());
}

// "A Redis Cluster is only up when all slots are covered."
#[test]
fn missing_slot_stops_all_where_all_are_needed() {
    let layout = "a:0-5460 b:5461-10922 c:10923-16382";
    assert!(!Solo::of(layout, 'a').cluster.is_ok());
    let mut settings = layout::settings();
    settings.needs_all_slots = false;
    assert!(Solo::with(layout, 'a', settings).cluster.is_ok());
}

#[test]
fn failed_owner_stops_all_where_all_slots_are_needed() {
    let mut node = Solo::of(THREE, 'a');
    fail(&mut node, 'b');
    assert!(!node.cluster.is_ok());
    assert_eq!(node.notes().last().map(String::as_str), Some("Cluster state changed: fail"));
    let mut node = Solo::of(THREE, 'a');
    node.cluster.settings.needs_all_slots = false;
    fail(&mut node, 'b');
    assert!(node.cluster.is_ok());
}

#[test]
fn suspected_owner_stops_nobody() {
    let mut node = Solo::of("a:0-10 b:11-20 c:21-30 d:31-40 e:41-16383", 'a');
    node.alive.remove(&'b');
    node.run(TIMEOUT_MS + 1200);
    assert!(node.is('b', flags::PFAIL) && node.cluster.is_ok());
}

#[test]
fn failed_nodes_without_slots_stop_nobody() {
    let mut node = Solo::of("a:0-5460 b:5461-10922 c:10923-16383 d>a x", 'a');
    fail(&mut node, 'd');
    fail(&mut node, 'x');
    assert!(node.cluster.is_ok());
}

// Section "Fault tolerance" ("Write safety"): "a minority partition ... stops accepting writes after NODE_TIMEOUT".
#[test]
fn node_without_a_majority_of_primaries_stops() {
    let mut node = Solo::of(THREE, 'a');
    node.cluster.settings.needs_all_slots = false;
    node.alive = ['b', 'd', 'e', 'f'].into();
    node.run(TIMEOUT_MS + 1200);
    assert!(node.cluster.is_ok(), "two of three");
    node.alive = ['d', 'e', 'f'].into();
    node.run(TIMEOUT_MS + 1200);
    assert!(!node.cluster.is_ok(), "one of three");
}

#[test]
fn half_of_the_primaries_are_no_majority() {
    let mut node = Solo::of("a:0-10 b:11-20 c:21-30 d:31-16383", 'a');
    node.cluster.settings.needs_all_slots = false;
    node.alive = ['b'].into();
    node.run(TIMEOUT_MS + 1200);
    assert!(!node.cluster.is_ok());
}

#[test]
fn replica_without_a_majority_of_primaries_stops() {
    let mut node = Solo::of(THREE, 'd');
    node.alive = ['a', 'e', 'f'].into();
    node.run(TIMEOUT_MS + 1200);
    assert!(!node.cluster.is_ok());
    node.alive.insert('b');
    node.run(200);
    assert!(!node.cluster.is_ok());
    node.run(TIMEOUT_MS);
    assert!(node.cluster.is_ok(), "a replica has nothing to wait for");
}

// "the node ... will wait for some time before accepting writes again", so that it can hear of its successor.
#[test]
fn primary_that_was_cut_off_waits_before_it_serves_again() {
    for (timeout_ms, wait_ms) in [(TIMEOUT_MS, TIMEOUT_MS), (300, 500), (20_000, 5000)] {
        let mut settings = layout::settings();
        settings.timeout_ms = timeout_ms;
        let mut node = Solo::with(THREE, 'a', settings);
        assert!(node.cluster.is_ok());
        node.alive.clear();
        while node.cluster.is_ok() {
            node.run(100);
        }
        node.alive = "bcdef".chars().collect();
        for name in ['b', 'c'] {
            node.run(100);
            while node.peer(name).link().is_none() {
                node.run(100);
            }
            node.answers(name, |_| {});
        }
        let back_ms = node.now_ms;
        while !node.cluster.is_ok() {
            node.run(100);
            assert!(node.now_ms < back_ms + 10_000);
        }
        let waited_ms = node.now_ms - back_ms;
        assert!((wait_ms - 200..=wait_ms + 100).contains(&waited_ms), "{waited_ms} of {wait_ms}");
    }
}

#[test]
fn primary_waits_for_two_seconds_after_its_start() {
    let mut node = Solo::started(THREE, 'a', layout::settings());
    node.tick();
    node.run(1900);
    assert!(!node.cluster.is_ok());
    node.run(100);
    assert!(node.cluster.is_ok());
}

#[test]
fn replica_does_not_wait_after_its_start() {
    let mut node = Solo::started(THREE, 'd', layout::settings());
    node.tick();
    assert!(node.cluster.is_ok());
}

#[test]
fn node_without_a_cluster_does_not_serve() {
    let mut node = Solo::alone('a');
    node.run(5000);
    assert!(!node.cluster.is_ok());
}

#[test]
fn only_primary_serves_with_all_slots() {
    assert!(Solo::of("a:0-16383", 'a').cluster.is_ok());
}

// A primary whose address is lost cannot be looked for, so it is not missed either.
#[test]
fn primary_without_an_address_counts_as_reachable() {
    let mut node = Solo::of(THREE, 'a');
    for name in ['b', 'c'] {
        let link = node.peer(name).link().unwrap();
        node.over(link, stranger('x'), pong());
        assert!(node.is(name, flags::NOADDR));
    }
    node.run(3 * TIMEOUT_MS);
    assert!(node.cluster.is_ok());
}

#[test]
fn forgotten_owner_leaves_its_slots_to_nobody() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.forget(&id('c'))).unwrap();
    assert!(!node.cluster.is_ok());
}

// Everything that a driver may say about a link that is gone is taken as it comes.
#[test]
fn word_of_unknown_links_is_nothing() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.ask(|cluster| cluster.forget(&id('b'))).unwrap();
    node.clear();
    node.step(Input::Connected { link });
    node.step(Input::Failed { link, is_refused: true });
    node.step(Input::Closed { link });
    node.step(Input::Clogged { link });
    node.over(link, stranger('b'), pong());
    assert_eq!(node.lines(), [""; 0]);
}

#[test]
fn clogged_link_is_closed_and_counted() {
    let mut node = Solo::of(THREE, 'a');
    let link = node.peer('b').link().unwrap();
    node.step(Input::Clogged { link });
    assert_eq!(node.lines(), ["close b"]);
    assert_eq!(node.cluster.counts().2, 1);
    node.run(100);
    assert!(node.lines().contains(&"connect b".to_owned()));
}
