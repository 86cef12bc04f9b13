//! Who owns which slot. Spec: cluster, "Hash slots configuration propagation" and "UPDATE messages, a closer look".

use highwater::cluster::core::OpenSlot;
use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Epoch};

use crate::layout::{THREE, id, slot, slots};
use crate::solo::{Solo, ping};

/// A primary says that these are its slots, in that epoch.
fn claims(node: &mut Solo, by: char, ranges: &str, epoch: u64) {
    node.hears_with(by, ping(), |header| {
        header.slots = slots(ranges).into();
        header.config_epoch = Epoch(epoch);
        header.current_epoch = header.current_epoch.max(Epoch(epoch));
        header.primary = None;
        header.flags = flags::PRIMARY | flags::MYSELF;
    });
}

fn update(node: &mut Solo, by: char, owner: char, ranges: &str, epoch: u64) {
    let slots = slots(ranges).into();
    node.hears(by, Body::Update { config_epoch: Epoch(epoch), owner: id(owner), slots });
}

// "If a hash slot is unassigned (set to NULL), and a known node claims it, I'll modify my hash slot table and associate the
// claimed hash slots to it."
#[test]
fn slot_of_nobody_goes_to_whoever_claims_it() {
    let mut node = Solo::of("a:0-10 b:11-20 c:40-16383", 'a');
    claims(&mut node, 'b', "11-30", 2);
    assert_eq!(node.slots('b'), "11-30");
    assert_eq!(node.lines(), ["pong -> b", "persist"]);
}

// "If a hash slot is already assigned, and a known node is advertising it using a configEpoch that is greater than the
// configEpoch of the master currently associated with the slot, I'll rebind the hash slot to the new node."
#[test]
fn greater_epoch_wins_a_slot() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'b', "5461-11000", 2);
    assert_eq!(node.slots('b'), "5461-10922", "a lesser one does not");
    claims(&mut node, 'b', "5461-11000", 3);
    assert_eq!(node.slots('b'), "5461-10922", "an equal one does not");
    claims(&mut node, 'b', "5461-11000", 4);
    assert_eq!((node.slots('b').as_str(), node.slots('c').as_str()), ("5461-11000", "11001-16383"));
}

#[test]
fn claims_of_replicas_move_no_slots() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('e', ping(), |header| {
        header.slots = slots("5461-11000").into();
        header.config_epoch = Epoch(9);
    });
    assert_eq!(node.slots('b'), "5461-10922");
}

// "replies with an UPDATE message": to whoever claims slots that have a newer owner. One a packet.
#[test]
fn old_claim_is_answered_with_an_update() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'b', "5461-16383", 2);
    assert_eq!(node.lines(), ["pong -> b", "update c 3 10923-16383 -> b"]);
}

#[test]
fn old_claim_to_ones_own_slots_is_answered_too() {
    let mut node = Solo::of(THREE, 'c');
    claims(&mut node, 'a', "0-5460,16383", 1);
    assert_eq!(node.lines(), ["pong -> a", "update c 3 10923-16383 -> a"]);
}

#[test]
fn replica_that_claims_for_its_primary_what_is_gone_is_corrected() {
    let mut node = Solo::of(THREE, 'a');
    node.hears_with('e', ping(), |header| header.slots = slots("5461-11000").into());
    assert_eq!(node.lines(), ["pong -> e", "update c 3 10923-16383 -> e"]);
}

#[test]
fn slot_without_owner_is_no_reason_for_an_update() {
    let mut node = Solo::of("a:0-10 b:11-20 c>b", 'a');
    node.hears_with('c', ping(), |header| header.slots = slots("11-25").into());
    assert_eq!(node.lines(), ["pong -> c"]);
}

// "the receiving node will update its configuration only if its configEpoch is smaller".
#[test]
fn update_with_a_newer_epoch_is_taken() {
    let mut node = Solo::of(THREE, 'a');
    update(&mut node, 'd', 'b', "5461-11000", 4);
    assert_eq!((node.slots('b').as_str(), node.peer('b').config_epoch), ("5461-11000", Epoch(4)));
    node.clear();
    update(&mut node, 'd', 'b', "5461-12000", 4);
    update(&mut node, 'd', 'x', "5461-12000", 5);
    assert_eq!(node.slots('b'), "5461-11000");
    assert_eq!(node.lines(), [""; 0]);
}

#[test]
fn update_makes_a_replica_a_primary() {
    let mut node = Solo::of(THREE, 'a');
    update(&mut node, 'b', 'f', "10923-16383", 4);
    assert!(node.is('f', flags::PRIMARY) && !node.is('f', flags::REPLICA));
    assert_eq!((node.primary_of('f'), node.slots('f').as_str()), (None, "10923-16383"));
}

#[test]
fn update_about_oneself_is_ignored() {
    let mut node = Solo::of(THREE, 'a');
    update(&mut node, 'b', 'a', "", 9);
    assert_eq!(node.slots('a'), "0-5460");
    assert_eq!(node.notes(), ["Discarding UPDATE message about myself."]);
}

// A slot that is being imported is given up only by hand.
#[test]
fn slot_that_is_imported_is_not_given_to_a_claim() {
    let mut node = Solo::of(THREE, 'a');
    let open = node.ask(|cluster| cluster.set_slot(slot(6000), OpenSlot::Importing(id('b')), 0));
    assert!(open.is_ok());
    claims(&mut node, 'c', "6000-6001,10923-16383", 9);
    assert_eq!(node.slots('c'), "6001,10923-16383");
}

// A claim that leaves a slot out does not make it nobody's: it is the owner's until somebody else claims it.
#[test]
fn slot_that_its_owner_does_not_claim_stays_bound_until_it_is_claimed() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'c', "10923-16000", 3);
    assert_eq!(node.slots('c'), "10923-16383");
    claims(&mut node, 'b', "5461-10922,16383", 2);
    assert_eq!(node.slots('b'), "5461-10922,16383", "in whatever epoch");
}

#[test]
fn what_the_owner_does_not_claim_is_in_no_update() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'c', "10923-16000", 3);
    node.clear();
    node.hears_with('e', ping(), |header| header.slots = slots("5461-11000").into());
    assert_eq!(node.lines(), ["pong -> e", "update c 3 10923-16000 -> e"]);
    node.hears_with('e', ping(), |header| header.slots = slots("5461-10922,16383").into());
    assert_eq!(node.lines(), ["pong -> e"]);
}

#[test]
fn owner_that_claims_a_slot_again_has_it_for_good() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'c', "10923-16000", 3);
    claims(&mut node, 'c', "10923-16383", 3);
    claims(&mut node, 'b', "5461-10922,16383", 2);
    assert_eq!(node.slots('c'), "10923-16383");
}

// "dirty slots": the keys of what somebody else has taken are not the truth any more.
#[test]
fn primary_that_loses_some_slots_drops_their_keys() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'b', "0-9,5461-10922", 4);
    assert_eq!(node.slots('a'), "10-5460");
    let expected = ["persist", "pong -> b", "persist", "gave up 0-9", "drop keys 0-9"];
    assert_eq!(node.lines(), expected);
    assert_eq!(node.follows(), None);
}

#[test]
fn primary_that_loses_a_slot_on_the_move_closes_it() {
    let mut node = Solo::of(THREE, 'a');
    node.ask(|cluster| cluster.set_slot(slot(5), OpenSlot::Migrating(id('b')), 9)).unwrap();
    assert!(node.cluster.slots().migrating_to(slot(5)).is_some());
    claims(&mut node, 'b', "5,5461-10922", 4);
    assert!(!node.cluster.slots().has_open());
}

// Section "Hash slots configuration propagation": "The actual rule is: ... if a master node is left without any hash slot,
// it reconfigures to replicate with the node that stole its last hash slot."
#[test]
fn primary_that_loses_its_last_slot_follows_whoever_took_it() {
    let mut node = Solo::of("a:0-1 b:2-100 c:101-16383", 'a');
    claims(&mut node, 'b', "0,2-100", 4);
    assert_eq!(node.follows(), None);
    node.clear();
    claims(&mut node, 'c', "1,101-16383", 5);
    assert_eq!(node.follows(), Some('c'));
    let expected = ["persist", "pong -> c", "persist", "gave up 1", "persist", "follow c"];
    assert_eq!(node.lines(), expected);
    assert!(node.cluster.peers().me().is_replica());
}

#[test]
fn failed_over_primary_follows_its_former_replica() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'd', "0-5460", 4);
    assert_eq!(node.follows(), Some('d'));
    assert!(node.is('d', flags::PRIMARY));
}

// With `cluster-allow-replica-migration no` only a node that has taken over everything is followed.
#[test]
fn primary_that_does_not_move_follows_only_its_successor() {
    let mut node = Solo::of(THREE, 'a');
    node.cluster.settings.allows_replica_moves = false;
    claims(&mut node, 'b', "0-10922", 4);
    assert_eq!(node.follows(), None);
    assert!(node.lines().contains(&"drop keys 0-5460".to_owned()));
    let mut node = Solo::of(THREE, 'a');
    node.cluster.settings.allows_replica_moves = false;
    claims(&mut node, 'd', "0-5460", 4);
    assert_eq!(node.follows(), Some('d'));
}

// "the same rule applies to replicas: they reconfigure to replicate with the new master".
#[test]
fn replica_whose_primary_loses_its_last_slot_follows_whoever_took_it() {
    let mut node = Solo::of("a:0-5460 b:5461-10922 c:10923-16383 d>a g>a", 'd');
    claims(&mut node, 'g', "0-5460", 4);
    assert_eq!(node.follows(), Some('g'));
    assert!(!node.lines().iter().any(|line| line.starts_with("drop")));
}

/// The primary `by` says that it follows `primary` now.
fn steps_down(node: &mut Solo, by: char, primary: char, epoch: u64) {
    node.hears_with(by, ping(), |header| {
        header.primary = Some(id(primary));
        header.config_epoch = Epoch(epoch);
        header.current_epoch = header.current_epoch.max(Epoch(epoch));
        header.flags = flags::REPLICA | flags::MYSELF;
    });
}

// docs/cluster.md, "Slots": so that there is no moment without an owner.
#[test]
fn primary_that_follows_its_successor_hands_its_slots_over() {
    let mut node = Solo::of(THREE, 'a');
    steps_down(&mut node, 'b', 'e', 4);
    assert_eq!((node.slots('b').as_str(), node.slots('e').as_str()), ("", "5461-10922"));
    assert_eq!((node.primary_of('b'), node.peer('e').config_epoch), (Some('e'), Epoch(4)));
    assert!(node.is('e', flags::PRIMARY), "who has slots is a primary");
    assert_eq!(node.primary_of('e'), None);
}

#[test]
fn primary_that_follows_a_stranger_or_in_an_old_epoch_leaves_its_slots_to_nobody() {
    for (heir, epoch) in [('c', 4), ('e', 2)] {
        let mut node = Solo::of(THREE, 'a');
        steps_down(&mut node, 'b', heir, epoch);
        assert_eq!((node.slots('b').as_str(), node.slots(heir) == "5461-10922"), ("", false));
        assert!(node.is('b', flags::REPLICA));
        let lines = node.lines();
        assert!(lines.contains(&"persist".to_owned()), "{lines:?}");
    }
}

// "sub-replicas" do not stay: a replica whose primary follows somebody follows that one.
#[test]
fn replica_of_a_replica_follows_its_primarys_primary() {
    let layout = "a:0-5460 b:5461-10922 c:10923-16383 d>a g>a";
    let mut node = Solo::of(layout, 'g');
    steps_down(&mut node, 'a', 'd', 4);
    assert_eq!(node.follows(), Some('d'), "before d itself is heard");
    let mut node = Solo::of(layout, 'g');
    claims(&mut node, 'd', "0-5460", 4);
    steps_down(&mut node, 'a', 'd', 4);
    assert_eq!(node.follows(), Some('d'));
}

#[test]
fn replica_whose_primary_says_that_it_follows_this_one_stays() {
    let mut node = Solo::of(THREE, 'd');
    steps_down(&mut node, 'a', 'd', 4);
    assert_eq!(node.follows(), Some('a'));
    assert_eq!(node.slots('d'), "", "only a won election gives a node slots");
}

// A replica that has been promoted elsewhere, without slots yet.
#[test]
fn replica_that_says_it_is_a_primary_is_one() {
    let mut node = Solo::of(THREE, 'a');
    claims(&mut node, 'e', "", 0);
    assert!(node.is('e', flags::PRIMARY) && node.primary_of('e').is_none());
    assert!(!node.is('b', flags::MIGRATE_TO), "its last replica has left");
}

// docs/cluster.md, "Order": with a file that cannot be written nothing is promised.
#[test]
fn node_that_cannot_save_sends_no_update() {
    let mut node = Solo::of(THREE, 'a');
    node.disk_works = false;
    node.ask(|cluster| cluster.save());
    node.clear();
    claims(&mut node, 'b', "5461-16383", 2);
    assert_eq!(node.lines(), ["pong -> b"]);
}
