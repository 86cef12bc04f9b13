//! Epochs. Spec: cluster, "Configuration handling, propagation, and failovers".

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Epoch};

use crate::layout::{THREE, TIMEOUT_MS, id, slots};
use crate::solo::{Solo, ping};

fn own(node: &Solo) -> (u64, u64) {
    (node.cluster.current_epoch().0, node.cluster.config_epoch().0)
}

// Section "Cluster current epoch": "if the epoch of the sender is greater than the local node epoch, the currentEpoch is
// updated to the sender epoch."
#[test]
fn current_epoch_is_the_greatest_ever_heard() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('d', ping(), |header| header.current_epoch = Epoch(9));
    assert_eq!(own(&node), (9, 1));
    node.hears_with('b', ping(), |header| header.current_epoch = Epoch(7));
    assert_eq!(own(&node), (9, 1));
}

// Section "Configuration epoch": "Every master always advertises its configEpoch in ping and pong packets".
#[test]
fn newer_epoch_of_a_primary_is_kept_before_anything_is_said() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('b', ping(), |header| header.config_epoch = Epoch(9));
    assert_eq!(node.peer('b').config_epoch, Epoch(9));
    assert_eq!(node.lines(), ["persist", "pong -> b"]);
    node.hears_with('b', ping(), |header| header.config_epoch = Epoch(8));
    assert_eq!(node.peer('b').config_epoch, Epoch(9), "it does not go back");
}

#[test]
fn epoch_of_a_replica_is_its_primarys_and_not_its_own() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('e', ping(), |header| header.config_epoch = Epoch(9));
    assert_eq!((node.peer('e').config_epoch, node.peer('b').config_epoch), (Epoch(0), Epoch(2)));
}

#[test]
fn epochs_out_of_range_are_refused() {
    let far = Epoch((1 << 62) + 1);
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('b', ping(), |header| header.current_epoch = far);
    node.hears_with('b', ping(), |header| header.config_epoch = far);
    let update = Body::Update { config_epoch: far, owner: id('b'), slots: slots("0-5").into() };
    node.hears('c', update);
    assert_eq!(own(&node), (3, 1));
    assert_eq!(node.peer('b').config_epoch, Epoch(2));
    assert_eq!(node.lines(), [""; 0]);
}

// Section "configEpoch conflicts resolution algorithm": "IF the node has a lexicographically smaller Node ID compared to the
// other ... THEN it increments its currentEpoch by 1, and uses it as the new configEpoch."
#[test]
fn of_two_primaries_with_one_epoch_the_smaller_takes_a_new_one() {
    let mut node = Solo::of(THREE, 'b');
    node.hears_with('c', ping(), |header| header.config_epoch = Epoch(2));
    assert_eq!(own(&node), (3, 2), "c is known with another epoch");
    let mut node = Solo::of(THREE, 'b');
    node.hears_with('c', ping(), |header| header.config_epoch = Epoch(3));
    assert_eq!(own(&node), (3, 2));
    let mut node = Solo::of("a:0-100 b:101-16383", 'a');
    node.hears_with('x', ping(), |_| {});
    node.hears_with('b', ping(), |header| header.config_epoch = Epoch(2));
    node.ask(|cluster| cluster.bump());
    assert_eq!(own(&node), (3, 3));
    node.clear();
    node.hears_with('b', ping(), |header| header.config_epoch = Epoch(3));
    assert_eq!(own(&node), (4, 4));
    assert_eq!(node.lines(), ["persist", "pong -> b", "persist"]);
}

#[test]
fn of_two_primaries_with_one_epoch_the_greater_keeps_it() {
    let mut node = Solo::of("a:0-100 b:101-16383", 'b');
    node.hears_with('a', ping(), |header| header.config_epoch = Epoch(2));
    assert_eq!(own(&node), (2, 2));
}

/// `d`, which followed `a`, says that it is a primary in `a`'s epoch.
fn sibling_speaks(node: &mut Solo) {
    node.hears_with('d', ping(), |header| {
        header.primary = None;
        header.flags = flags::PRIMARY | flags::MYSELF;
        header.config_epoch = Epoch(1);
        header.slots = std::sync::Arc::new(slots("0-5460"));
    });
}

// docs/cluster.md: of two primaries of one shard the one that was elected has to take a newer epoch. One that was not serves
// nothing meanwhile, and takes one itself if the other does not.
#[test]
fn of_two_siblings_with_one_epoch_the_one_that_was_not_elected_waits() {
    let mut node = Solo::of(THREE, 'a');
    node.run(6000);
    assert!(node.cluster.is_ok() && node.cluster.may_claim());
    let wait_ms = TIMEOUT_MS.max(3000);
    for _ in 0..wait_ms / 1000 {
        sibling_speaks(&mut node);
        node.run(1000);
        assert_eq!(own(&node), (3, 1));
        assert!(!node.cluster.is_ok() && !node.cluster.may_claim());
    }
    node.run(100);
    sibling_speaks(&mut node);
    assert_eq!(own(&node), (4, 4));
    node.run(6000);
    assert!(node.cluster.is_ok());
}

#[test]
fn a_sibling_that_falls_silent_is_waited_for_anew() {
    let mut node = Solo::of(THREE, 'a');
    node.run(6000);
    sibling_speaks(&mut node);
    node.alive.remove(&'d');
    node.run(2 * TIMEOUT_MS.max(3000));
    assert!(node.cluster.is_ok(), "nobody claims the slots any more");
    sibling_speaks(&mut node);
    node.run(500);
    sibling_speaks(&mut node);
    assert_eq!(own(&node), (3, 1));
}

#[test]
fn replicas_have_no_conflicts() {
    let mut node = Solo::of("a>b b:0-10 c:11-16383", 'a');
    node.hears('c', ping());
    assert_eq!(own(&node), (2, 1));
    let mut node = Solo::of("a:0-10 b>a c:11-16383", 'a');
    node.hears('b', ping());
    assert_eq!(own(&node), (2, 1));
}

// Even with the epoch 0, and without slots: so that a new cluster has distinct epochs.
#[test]
fn new_nodes_resolve_the_conflict_of_the_first_epoch() {
    let mut node = Solo::alone('a');
    node.ask(|cluster| cluster.meet(crate::layout::host('b'), 7000, 17000));
    let link = node.handshake_link();
    node.over(link, crate::solo::stranger('b'), crate::solo::pong());
    assert!(!node.is('b', flags::HANDSHAKE));
    assert_eq!(own(&node), (1, 1));
}

// Section "configEpoch conflicts resolution algorithm": BUMPEPOCH and its kin.
#[test]
fn bump_takes_a_new_epoch_unless_the_own_is_the_newest() {
    let mut node = Solo::of(THREE, 'a');
    assert_eq!(node.ask(|cluster| cluster.bump()), (true, Epoch(4)));
    assert_eq!(node.lines(), ["persist"]);
    assert_eq!(own(&node), (4, 4));
    assert_eq!(node.ask(|cluster| cluster.bump()), (false, Epoch(4)));
    assert_eq!(node.lines(), [""; 0]);
}

#[test]
fn bump_of_the_epoch_zero_is_a_bump() {
    let mut node = Solo::alone('a');
    assert_eq!(node.ask(|cluster| cluster.bump()), (true, Epoch(1)));
}

#[test]
fn first_epoch_may_be_given_by_hand_before_others_are_known() {
    let mut node = Solo::alone('a');
    assert!(node.ask(|cluster| cluster.set_config_epoch(Epoch(5))).is_ok());
    assert_eq!(own(&node), (5, 5));
    assert_eq!(node.lines(), ["persist"]);
    let again = node.ask(|cluster| cluster.set_config_epoch(Epoch(6)));
    assert_eq!(again, Err("Node config epoch is already non-zero".to_owned()));
    let mut node = Solo::of(THREE, 'a');
    assert!(node.ask(|cluster| cluster.set_config_epoch(Epoch(6))).is_err());
}
