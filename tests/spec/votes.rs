//! What primaries answer to replicas that stand for election. Spec: cluster, "Masters reply to replica vote request" (all
//! tests here).

use std::collections::BTreeSet;

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Cluster, Epoch, Header};

use crate::layout::{self, SIBLINGS, THREE, TIMEOUT_MS, at, id, slots};
use crate::solo::{Solo, ping};

/// The voter `b` of a layout, which has heard that `a` has failed.
fn voter(layout: &str) -> Solo {
    let mut node = Solo::of(layout, 'b');
    node.alive.remove(&'a');
    node.hears('c', Body::Fail(id('a')));
    node.clear();
    node
}

/// Whether the node votes for `by`, in the epoch behind the newest, with some other header.
fn votes_with(node: &mut Solo, by: char, change: impl FnOnce(&mut Header)) -> bool {
    let next = node.cluster.current_epoch().next();
    node.clear();
    node.hears_with(by, Body::VoteRequest, |header| {
        header.current_epoch = next;
        change(header);
    });
    let acts = node.acts();
    let voted = acts.iter().any(|line| line.starts_with("vote -> "));
    assert!(voted || acts.is_empty(), "{acts:?}");
    voted
}

fn votes(node: &mut Solo, by: char) -> bool {
    votes_with(node, by, |_| {})
}

// The vote is a promise: it is on disk before it is sent.
#[test]
fn vote_is_persisted_before_it_is_sent() {
    let mut node = voter(THREE);
    node.hears_with('d', Body::VoteRequest, |header| header.current_epoch = Epoch(4));
    assert_eq!(node.lines(), ["persist", "vote -> d"]);
    assert_eq!(
        (node.cluster.last_vote_epoch(), node.cluster.current_epoch()),
        (Epoch(4), Epoch(4))
    );
    assert_eq!(node.cluster.config_epoch(), Epoch(2), "its own claim is what it was");
}

// "A master only votes a single time for a given epoch, and refuses to vote for older epochs".
#[test]
fn one_vote_in_an_epoch() {
    let mut node = voter("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>c");
    assert!(votes(&mut node, 'd'));
    let epoch = node.cluster.current_epoch();
    node.now_ms += 3 * TIMEOUT_MS;
    assert!(!votes_with(&mut node, 'e', |header| header.current_epoch = epoch));
    node.hears('d', Body::Fail(id('c')));
    assert!(!votes_with(&mut node, 'f', |header| header.current_epoch = epoch), "for nobody");
    assert!(votes(&mut node, 'f'));
}

#[test]
fn one_vote_in_an_epoch_whatever_was_in_between() {
    let mut node = voter(SIBLINGS);
    assert!(votes(&mut node, 'd'));
    let epoch = node.cluster.current_epoch();
    // A crash, and everything in memory is gone.
    let conf = node.cluster.to_conf();
    let now_ms = node.now_ms + 3 * TIMEOUT_MS;
    let cluster = Cluster::from_conf(&conf, layout::settings(), 2, at(now_ms)).unwrap();
    let mut node = Solo::around(cluster, BTreeSet::from(['c', 'd', 'e', 'f']));
    node.now_ms = now_ms;
    node.run(3000);
    assert!(node.is('a', flags::FAIL));
    assert!(!votes_with(&mut node, 'e', |header| header.current_epoch = epoch));
    assert!(votes(&mut node, 'e'), "in the next");
}

// "if the currentEpoch of the vote request is less than the master currentEpoch, it is ignored."
#[test]
fn request_of_an_old_epoch_gets_no_vote() {
    let mut node = voter(THREE);
    node.hears_with('c', ping(), |header| header.current_epoch = Epoch(9));
    assert!(!votes_with(&mut node, 'd', |header| header.current_epoch = Epoch(8)));
    assert!(votes_with(&mut node, 'd', |header| header.current_epoch = Epoch(9)), "equal will do");
}

// "A master votes for a replica only if the replica's master is flagged as FAIL."
#[test]
fn request_for_a_primary_that_is_up_gets_no_vote() {
    let mut node = Solo::of(THREE, 'b');
    assert!(!votes(&mut node, 'd'));
    node.alive.remove(&'a');
    node.run(TIMEOUT_MS + 1200);
    assert!(node.is('a', flags::PFAIL));
    assert!(!votes(&mut node, 'd'), "a suspicion is not enough");
}

// Section "Manual failover": the request says that no failure is needed.
#[test]
fn request_of_an_operator_gets_a_vote_though_the_primary_is_up() {
    let mut node = Solo::of(THREE, 'b');
    assert!(votes_with(&mut node, 'd', |header| header.forces_ack = true));
}

// "The masters do not vote a replica of the same master before NODE_TIMEOUT * 2 has elapsed if a replica of that master was
// already voted."
#[test]
fn one_vote_for_a_primary_in_two_timeouts() {
    let mut node = voter(SIBLINGS);
    assert!(votes(&mut node, 'd'));
    node.now_ms += 2 * TIMEOUT_MS - 1;
    assert!(!votes(&mut node, 'e'));
    assert!(!votes(&mut node, 'd'), "not even for the same");
    node.now_ms += 1;
    assert!(votes(&mut node, 'e'));
}

#[test]
fn votes_for_different_primaries_do_not_wait() {
    let mut node = voter(THREE);
    node.hears('d', Body::Fail(id('c')));
    assert!(votes(&mut node, 'd'));
    assert!(votes(&mut node, 'f'));
}

// "the configEpoch in the request ... must be equal or greater than the epoch of all the slots claimed".
#[test]
fn request_with_old_slots_gets_no_vote() {
    let mut node = voter(THREE);
    assert!(!votes_with(&mut node, 'd', |header| header.slots = slots("0-5460,16383").into()));
    assert!(!votes_with(&mut node, 'd', |header| header.config_epoch = Epoch(0)));
    assert!(votes_with(&mut node, 'd', |header| {
        header.slots = slots("0-5460,16383").into();
        header.config_epoch = Epoch(3);
    }));
}

#[test]
fn slots_of_nobody_are_nobodys_reason() {
    let mut node = voter("a:0-10 b:11-20 c:21-30 d>a");
    assert!(votes_with(&mut node, 'd', |header| header.slots = slots("0-10,500").into()));
}

#[test]
fn slots_that_their_owner_does_not_claim_are_no_reason() {
    let mut node = voter(THREE);
    node.hears_with('c', ping(), |header| header.slots = slots("10923-16382").into());
    assert!(votes_with(&mut node, 'd', |header| header.slots = slots("0-5460,16383").into()));
}

// "Masters ... with at least one slot": others have no say.
#[test]
fn replicas_and_primaries_without_slots_do_not_vote() {
    for layout in ["a:0-10 c:11-20 b>c d>a", "a:0-10 c:11-20 b d>a"] {
        let mut node = voter(layout);
        assert!(!votes(&mut node, 'd'), "{layout}");
        assert_eq!(node.cluster.last_vote_epoch(), Epoch(0));
    }
}

#[test]
fn request_of_a_primary_gets_no_vote() {
    let mut node = voter(THREE);
    assert!(!votes(&mut node, 'c'));
    node.hears_with('d', ping(), |header| {
        (header.primary, header.flags) = (None, flags::PRIMARY | flags::MYSELF);
    });
    assert!(!votes(&mut node, 'd'));
}

#[test]
fn request_of_a_node_whose_primary_is_not_known_gets_no_vote() {
    let mut node = voter("a:0-10 b:11-20 c:21-30 d>x");
    assert!(!votes(&mut node, 'd'));
}

// "Masters don't replicate denials": nothing is sent, and the epoch counts as heard.
#[test]
fn denial_is_silent_and_leaves_the_epoch() {
    let mut node = Solo::of(THREE, 'b');
    assert!(!votes_with(&mut node, 'd', |header| header.current_epoch = Epoch(9)));
    assert_eq!(
        (node.cluster.current_epoch(), node.cluster.last_vote_epoch()),
        (Epoch(9), Epoch(0))
    );
}

// docs/cluster.md, "Differs from stock".
#[test]
fn node_without_a_link_to_the_requester_keeps_its_vote() {
    let mut node = voter(SIBLINGS);
    node.shut.insert('d', false);
    let link = node.peer('d').link().unwrap();
    node.step(highwater::cluster::Input::Closed { link });
    assert!(!votes(&mut node, 'd'));
    let epoch = node.cluster.current_epoch();
    assert!(votes_with(&mut node, 'e', |header| header.current_epoch = epoch));
}

// docs/cluster.md, "Order".
#[test]
fn node_that_cannot_save_does_not_vote() {
    let mut node = voter(THREE);
    node.disk_works = false;
    node.ask(|cluster| cluster.save());
    assert!(!votes(&mut node, 'd'));
    node.disk_works = true;
    node.run(1100);
    assert!(votes(&mut node, 'd'));
}
