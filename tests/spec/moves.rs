//! Replicas that move to primaries without. Spec: cluster, "Replica migration" (all tests here).

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Epoch, Header};

use crate::layout::id;
use crate::solo::{Solo, ping};

/// `a` has three replicas; the only one of `b` is to fail.
const RICH: &str = "a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>a g>b h>c i>c";

fn follows(header: &mut Header, primary: char) {
    (header.primary, header.flags) = (Some(id(primary)), flags::REPLICA | flags::MYSELF);
}

/// The replica `me` of a layout, after the failure of `g`.
fn orphaned(layout: &str, me: char) -> Solo {
    let mut node = Solo::of(layout, me);
    assert!(node.is('b', flags::MIGRATE_TO));
    node.alive.remove(&'g');
    node.hears('b', Body::Fail(id('g')));
    node.clear();
    node
}

// "the replica ... with the smallest node ID among the masters with the highest number of attached replicas".
#[test]
fn smallest_replica_of_the_richest_primary_moves() {
    for me in ['d', 'e', 'f', 'h', 'i'] {
        let mut node = orphaned(RICH, me);
        let before = node.follows();
        node.run(6000);
        let expected = if me == 'd' { Some('b') } else { before };
        assert_eq!(node.follows(), expected, "{me}");
    }
}

#[test]
fn replica_that_moves_has_it_on_disk_first() {
    let mut node = orphaned(RICH, 'd');
    node.run(6000);
    let acts: Vec<_> = node.acts().into_iter().filter(|act| !act.ends_with('g')).collect();
    assert_eq!(acts, ["persist", "follow b"]);
    assert_eq!(node.cluster.peers().me().shard, node.peer('b').shard);
}

// Not at once: a replica may be restarting.
#[test]
fn primary_has_to_be_without_replicas_for_five_seconds() {
    let mut node = orphaned(RICH, 'd');
    node.run(5000);
    assert_eq!(node.follows(), Some('a'));
    node.answers('g', |_| {});
    node.run(100);
    node.hears('b', Body::Fail(id('g')));
    node.run(5000);
    assert_eq!(node.follows(), Some('a'), "it counts anew");
    node.run(300);
    assert_eq!(node.follows(), Some('b'));
}

#[test]
fn failed_sibling_does_not_keep_others_from_moving() {
    let mut node = orphaned(RICH, 'e');
    node.alive.remove(&'d');
    node.hears('b', Body::Fail(id('d')));
    node.run(6000);
    assert_eq!(node.follows(), Some('b'));
}

// `cluster-migration-barrier`: "the number of good replicas a master must be left with".
#[test]
fn barrier_of_working_replicas_stays() {
    for (barrier, moves) in [(0, true), (2, true), (3, false)] {
        let mut node = orphaned(RICH, 'd');
        node.cluster.settings.migration_barrier = barrier;
        node.run(6000);
        assert_eq!(node.follows() == Some('b'), moves, "{barrier}");
    }
}

#[test]
fn suspected_siblings_do_not_count_for_the_barrier() {
    let mut node = orphaned(RICH, 'd');
    node.cluster.settings.migration_barrier = 2;
    node.alive.remove(&'f');
    node.run(8000);
    assert!(node.is('f', flags::PFAIL));
    assert_eq!(node.follows(), Some('a'));
}

#[test]
fn nobody_moves_where_that_is_not_allowed() {
    let mut node = orphaned(RICH, 'd');
    node.cluster.settings.allows_replica_moves = false;
    node.run(8000);
    assert_eq!(node.follows(), Some('a'));
}

#[test]
fn only_replica_of_a_primary_stays() {
    let mut node = orphaned("a:0-5460 b:5461-10922 c:10923-16383 d>a g>b h>c", 'd');
    node.run(8000);
    assert_eq!(node.follows(), Some('a'));
}

#[test]
fn nobody_moves_while_the_cluster_is_down() {
    let mut node = orphaned(RICH, 'd');
    node.alive.remove(&'c');
    node.hears('b', Body::Fail(id('c')));
    assert!(!node.cluster.is_ok());
    node.run(3000);
    assert_eq!(node.follows(), Some('a'));
}

#[test]
fn nobody_moves_to_a_primary_that_has_failed() {
    let mut node = orphaned(RICH, 'd');
    node.cluster.settings.needs_all_slots = false;
    node.alive.remove(&'b');
    node.hears('a', Body::Fail(id('b')));
    node.run(8000);
    assert_eq!(node.follows(), Some('a'));
}

// "MIGRATE_TO": a primary that never had a replica is left as its operator made it.
#[test]
fn primary_without_the_flag_is_no_orphan() {
    let mut node = orphaned(RICH, 'd');
    node.ask(|cluster| cluster.forget(&id('g'))).unwrap();
    node.hears_with('h', ping(), |header| follows(header, 'c'));
    assert!(node.is('b', flags::MIGRATE_TO), "it failed, and was not moved away");
    let mut node = Solo::of(RICH, 'd');
    node.hears_with('g', ping(), |header| {
        follows(header, 'c');
        header.config_epoch = Epoch(3);
    });
    assert!(!node.is('b', flags::MIGRATE_TO), "its replica has left");
    node.run(8000);
    assert_eq!(node.follows(), Some('a'));
}

#[test]
fn primary_that_gets_a_replica_is_a_target() {
    let mut node = Solo::of("a:0-10 b:11-20 c>a", 'a');
    assert!(!node.is('b', flags::MIGRATE_TO));
    node.hears_with('c', ping(), |header| {
        follows(header, 'b');
        header.config_epoch = Epoch(2);
    });
    assert!(node.is('b', flags::MIGRATE_TO));
    assert!(!node.cluster.peers().me().is(flags::MIGRATE_TO));
}

#[test]
fn primary_that_gets_its_first_slot_is_a_target_where_others_have_replicas() {
    for (layout, expected) in [("a:0-10 b c>a", true), ("a:0-10 b c", false)] {
        let mut node = Solo::of(layout, 'a');
        node.hears_with('b', ping(), |header| header.slots = crate::layout::slots("50").into());
        assert_eq!(node.is('b', flags::MIGRATE_TO), expected, "{layout}");
    }
}

#[test]
fn promoted_replica_is_a_target() {
    let mut node = Solo::of(RICH, 'a');
    node.hears_with('g', ping(), |header| {
        (header.primary, header.flags) = (None, flags::PRIMARY | flags::MYSELF);
        header.config_epoch = Epoch(9);
    });
    assert!(node.is('g', flags::MIGRATE_TO));
}

#[test]
fn primary_whose_last_replica_is_told_to_leave_is_no_target() {
    let mut node = Solo::of("a:0-10 b:11-20 c>a", 'c');
    node.ask(|cluster| cluster.replicate(&id('b'))).unwrap();
    assert!(!node.is('a', flags::MIGRATE_TO) && node.is('b', flags::MIGRATE_TO));
}
