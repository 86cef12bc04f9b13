//! CLUSTER FAILOVER. Spec: cluster, "Manual failover" (all tests here).

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Epoch};

use crate::layout::{SIBLINGS, THREE, id, slots};
use crate::solo::{Solo, ping};

/// The replica `d`, asked to take over; its primary's answer is to come.
fn asked(force: bool) -> Solo {
    let mut node = Solo::of(THREE, 'd');
    node.facts.offset = 90;
    node.ask(|cluster| cluster.fail_over(force, false)).unwrap();
    node
}

fn paused(node: &mut Solo, offset: u64) {
    node.hears_with('a', ping(), |header| (header.is_paused, header.offset) = (true, offset));
}

fn vote(node: &mut Solo, by: char) {
    let epoch = node.cluster.current_epoch();
    node.hears_with(by, Body::Vote, |header| header.current_epoch = epoch);
}

fn asks_for_votes(node: &mut Solo) -> bool {
    node.acts().iter().any(|line| line.starts_with("vote?"))
}

#[test]
fn replica_asks_its_primary_to_stop() {
    let mut node = asked(false);
    assert_eq!(node.lines(), ["mfstart -> a"]);
    node.run(1000);
    assert!(!asks_for_votes(&mut node), "it waits for the answer");
}

#[test]
fn primary_stops_for_its_own_replica_and_tells_its_offset() {
    let mut node = Solo::of(THREE, 'a');
    node.facts.offset = 100;
    node.hears('d', Body::ManualFailover);
    let sent = node.sent();
    assert_eq!(sent.len(), 1);
    let header = sent[0].1.header.as_ref().unwrap();
    assert_eq!((sent[0].0.as_str(), header.is_paused, header.offset), ("ping -> d", true, 100));
}

#[test]
fn primary_pauses_before_it_answers() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', Body::ManualFailover);
    assert_eq!(node.lines(), ["pause", "ping -> d"]);
    for _ in 0..10 {
        node.run(100);
        assert!(node.lines().contains(&"ping -> d".to_owned()), "with every tick");
    }
}

#[test]
fn primary_does_not_stop_for_others() {
    let mut node = Solo::of(THREE, 'a');
    for by in ['e', 'b'] {
        node.hears(by, Body::ManualFailover);
    }
    assert_eq!(node.lines(), [""; 0]);
    let mut node = Solo::of(THREE, 'd');
    node.hears('e', Body::ManualFailover);
    assert_eq!(node.lines(), [""; 0], "nor does a replica");
}

#[test]
fn replica_stands_once_it_has_what_the_primary_had() {
    let mut node = asked(false);
    paused(&mut node, 100);
    node.run(200);
    assert!(!asks_for_votes(&mut node));
    node.facts.offset = 100;
    node.now_ms += 10;
    node.tick();
    let expected = "persist,vote? -> a,vote? -> b,vote? -> c,vote? -> e,vote? -> f";
    assert_eq!(node.acts().join(","), expected, "without a delay");
}

#[test]
fn offset_is_the_first_that_a_paused_primary_tells() {
    let mut node = asked(false);
    node.hears_with('a', ping(), |header| header.offset = 90);
    assert!(!asks_for_votes(&mut node), "it has not paused yet");
    paused(&mut node, 100);
    paused(&mut node, 90);
    node.run(200);
    assert!(!asks_for_votes(&mut node));
    node.hears_with('b', ping(), |header| (header.is_paused, header.offset) = (true, 90));
    assert!(!asks_for_votes(&mut node));
}

#[test]
fn request_says_that_no_failure_is_needed() {
    let mut node = asked(false);
    node.clear();
    paused(&mut node, 90);
    let packet = node.packet("vote? -> b");
    assert!(packet.header.as_ref().unwrap().forces_ack);
}

#[test]
fn winner_replaces_a_primary_that_is_up() {
    let mut node = asked(false);
    paused(&mut node, 90);
    vote(&mut node, 'a');
    node.clear();
    vote(&mut node, 'b');
    let expected = ["promote", "persist", "pong -> a", "pong -> b", "pong -> c", "pong -> e"];
    assert_eq!(node.lines()[..6], expected);
    assert_eq!(node.slots('d'), "0-5460");
}

#[test]
fn forced_failover_asks_for_votes_at_once() {
    let mut node = asked(true);
    let acts = node.acts();
    assert_eq!(acts[..2], ["persist", "vote? -> a"], "{acts:?}");
    assert!(!acts.contains(&"mfstart -> a".to_owned()));
}

#[test]
fn forced_failover_has_no_rank_and_no_limit_of_age() {
    let mut node = Solo::of(SIBLINGS, 'd');
    node.hears_with('e', ping(), |header| header.offset = 1000);
    node.facts.data_age_ms = u64::MAX;
    node.cluster.settings.no_failover = true;
    node.ask(|cluster| cluster.fail_over(true, false)).unwrap();
    assert!(asks_for_votes(&mut node));
}

// TAKEOVER: "the replica ... will generate a new configuration epoch unilaterally".
#[test]
fn takeover_asks_nobody() {
    let mut node = Solo::of(THREE, 'd');
    node.clear();
    node.ask(|cluster| cluster.fail_over(false, true)).unwrap();
    let lines = node.lines();
    assert_eq!(lines[..4], ["persist", "promote", "persist", "pong -> a"], "{lines:?}");
    assert_eq!(node.slots('d'), "0-5460");
    assert_eq!((node.cluster.config_epoch(), node.cluster.current_epoch()), (Epoch(4), Epoch(4)));
}

#[test]
fn takeover_has_an_epoch_that_wins_though_a_claim_came_before() {
    let mut node = Solo::of(THREE, 'd');
    node.hears_with('c', ping(), |header| header.config_epoch = Epoch(9));
    node.ask(|cluster| cluster.fail_over(false, true)).unwrap();
    assert_eq!(node.cluster.config_epoch(), Epoch(10));
}

#[test]
fn replica_gives_up_after_five_seconds() {
    let mut node = asked(false);
    paused(&mut node, 100);
    node.run(5100);
    node.facts.offset = 100;
    node.run(1000);
    assert!(!asks_for_votes(&mut node));
    let mut node = asked(true);
    node.run(5100);
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(node.cluster.peers().me().is_replica(), "nor are votes of the past counted");
}

#[test]
fn primary_gives_up_after_five_seconds_and_lets_its_pause_end_by_itself() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', Body::ManualFailover);
    node.run(5100);
    assert!(!node.lines().contains(&"unpause".to_owned()), "the replica may just have won");
    node.hears('b', ping());
    assert!(!node.packet("pong -> b").header.as_ref().unwrap().is_paused);
}

#[test]
fn replaced_primary_goes_on_as_a_replica() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', Body::ManualFailover);
    node.clear();
    node.hears_with('d', ping(), |header| {
        (header.primary, header.config_epoch) = (None, Epoch(4));
        (header.slots, header.flags) = (slots("0-5460").into(), flags::PRIMARY | flags::MYSELF);
    });
    let acts = node.acts();
    assert_eq!(node.follows(), Some('d'));
    let place = |what: &str| acts.iter().position(|line| line == what).expect(what);
    assert!(place("persist") < place("unpause") && place("unpause") < place("follow d"));
}

#[test]
fn primary_whose_successor_is_forgotten_goes_on_at_once() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', Body::ManualFailover);
    node.clear();
    node.ask(|cluster| cluster.forget(&id('d'))).unwrap();
    assert!(node.lines().contains(&"unpause".to_owned()));
}

#[test]
fn primary_that_is_reset_goes_on_at_once() {
    let mut node = Solo::of(THREE, 'a');
    node.hears('d', Body::ManualFailover);
    node.clear();
    node.ask(|cluster| cluster.reset_node(None)).unwrap();
    assert!(node.lines().contains(&"unpause".to_owned()));
}

#[test]
fn second_request_begins_anew() {
    let mut node = Solo::of(SIBLINGS, 'a');
    node.hears('d', Body::ManualFailover);
    node.run(4000);
    node.clear();
    node.hears('e', Body::ManualFailover);
    assert_eq!(node.lines(), ["unpause", "pause", "ping -> e"]);
    node.run(4000);
    assert!(!node.lines().contains(&"unpause".to_owned()));
}

#[test]
fn failover_is_refused_where_it_makes_no_sense() {
    let refusal = |node: &mut Solo, force, takeover| {
        node.ask(|cluster| cluster.fail_over(force, takeover)).unwrap_err()
    };
    let mut node = Solo::of(THREE, 'a');
    assert_eq!(refusal(&mut node, true, true), "You should send CLUSTER FAILOVER to a replica");
    let mut node = Solo::of(THREE, 'd');
    node.hears('b', Body::Fail(id('a')));
    let down = "Master is down or failed, please use CLUSTER FAILOVER FORCE";
    assert_eq!(refusal(&mut node, false, false), down);
    assert!(node.ask(|cluster| cluster.fail_over(true, false)).is_ok());
}
