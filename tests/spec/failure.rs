//! When a node counts as failed. Spec: cluster, "Failure detection" (all tests here).

use highwater::cluster::packet::{Heartbeat, flags};
use highwater::cluster::{Body, Input};

use crate::layout::{self, TIMEOUT_MS, id};
use crate::solo::{Solo, heartbeat, ping, word_of};

const FIVE: &str = "a:0-10 b:11-20 c:21-30 d:31-40 e:41-16383 f>a g>b h>b";

/// `by` says what it thinks of `about`.
fn told(node: &mut Solo, by: char, about: char, flags: u16) {
    node.hears(by, heartbeat(Heartbeat::Ping, vec![word_of(about, flags)]));
}

fn report(node: &mut Solo, by: char, about: char) {
    told(node, by, about, flags::PRIMARY | flags::PFAIL);
}

/// The node suspects `about`, and nobody else does.
fn suspects(layout: &str, me: char, about: char) -> Solo {
    let mut node = Solo::of(layout, me);
    node.alive.remove(&about);
    node.run(TIMEOUT_MS + 1200);
    assert!(node.is(about, flags::PFAIL) && !node.is(about, flags::FAIL));
    node.clear();
    node
}

fn reports(node: &mut Solo, about: char) -> usize {
    node.ask(|cluster| cluster.count_reports(&id(about))).unwrap()
}

// "A node flags another node with the PFAIL flag when the node is not reachable for more than NODE_TIMEOUT time."
#[test]
fn node_that_does_not_answer_is_suspected_after_the_timeout() {
    let mut node = Solo::of(FIVE, 'a');
    node.alive.remove(&'b');
    let heard_ms = node.peer('b').heard_ms.unwrap();
    while !node.is('b', flags::PFAIL) {
        node.run(100);
    }
    let waited_ms = node.now_ms - node.peer('b').ping_sent_ms.unwrap();
    assert!((TIMEOUT_MS..=TIMEOUT_MS + 100).contains(&waited_ms), "{waited_ms}");
    assert!(node.now_ms - heard_ms > TIMEOUT_MS);
}

// "Both master and replica nodes can flag another node as PFAIL, regardless of its type."
#[test]
fn replicas_suspect_and_are_suspected() {
    for (me, about) in [('f', 'b'), ('a', 'g'), ('f', 'g')] {
        suspects(FIVE, me, about);
    }
}

// Any data is a sign of life: large messages may hold up a PONG.
#[test]
fn node_that_talks_is_not_suspected_though_it_does_not_answer() {
    let mut node = Solo::of(FIVE, 'a');
    node.alive.remove(&'b');
    for _ in 0..10 {
        node.run(500);
        node.hears('b', ping());
    }
    assert!(!node.is('b', flags::PFAIL));
    assert!(node.peer('b').ping_sent_ms.is_some());
}

#[test]
fn answer_ends_the_suspicion() {
    let mut node = suspects(FIVE, 'a', 'b');
    node.hears('b', ping());
    assert!(node.is('b', flags::PFAIL), "a question is no answer");
    node.answers('b', |_| {});
    assert!(!node.is('b', flags::PFAIL));
    assert_eq!(node.peer('b').ping_sent_ms, None);
}

// "Some node ... collects the state of B from the point of view of the majority of masters in the cluster."
#[test]
fn majority_of_primaries_makes_a_failure() {
    let mut node = suspects(FIVE, 'a', 'b');
    report(&mut node, 'c', 'b');
    assert!(!node.is('b', flags::FAIL), "two of five");
    report(&mut node, 'd', 'b');
    assert!(node.is('b', flags::FAIL) && !node.is('b', flags::PFAIL), "three of five");
}

// "The majority of masters signaled the PFAIL or FAIL condition."
#[test]
fn fail_and_pfail_in_gossip_are_reports() {
    let mut node = suspects(FIVE, 'a', 'b');
    told(&mut node, 'c', 'b', flags::PRIMARY | flags::FAIL);
    told(&mut node, 'd', 'b', flags::PRIMARY | flags::PFAIL);
    assert!(node.is('b', flags::FAIL));
}

#[test]
fn word_of_replicas_is_no_report() {
    let mut node = suspects(FIVE, 'a', 'b');
    for by in ['f', 'g', 'h'] {
        report(&mut node, by, 'b');
    }
    assert_eq!(reports(&mut node, 'b'), 0);
    assert!(!node.is('b', flags::FAIL));
}

#[test]
fn one_primary_counts_once() {
    let mut node = suspects(FIVE, 'a', 'b');
    for _ in 0..5 {
        report(&mut node, 'c', 'b');
    }
    assert_eq!(reports(&mut node, 'b'), 1);
    assert!(!node.is('b', flags::FAIL));
}

// The node itself has to suspect it: what others say is not enough.
#[test]
fn without_an_own_suspicion_there_is_no_failure() {
    let mut node = Solo::of(FIVE, 'a');
    for by in ['c', 'd', 'e'] {
        report(&mut node, by, 'b');
    }
    assert!(!node.is('b', flags::PFAIL | flags::FAIL));
    assert_eq!(reports(&mut node, 'b'), 3);
}

// The reports that were missing may have come before the own suspicion.
#[test]
fn own_suspicion_may_be_the_last_that_was_missing() {
    let mut node = Solo::of(FIVE, 'a');
    node.alive.remove(&'b');
    while !node.is('b', flags::PFAIL | flags::FAIL) {
        report(&mut node, 'c', 'b');
        report(&mut node, 'd', 'b');
        node.run(100);
    }
    assert!(node.is('b', flags::FAIL));
}

// "within a maximum time of NODE_TIMEOUT * FAIL_REPORT_VALIDITY_MULT" (2).
#[test]
fn reports_count_for_two_timeouts() {
    let mut node = suspects(FIVE, 'a', 'b');
    report(&mut node, 'c', 'b');
    node.run(2 * TIMEOUT_MS);
    assert_eq!(reports(&mut node, 'b'), 1);
    node.run(100);
    assert_eq!(reports(&mut node, 'b'), 0);
    report(&mut node, 'd', 'b');
    assert!(!node.is('b', flags::FAIL));
}

#[test]
fn primary_takes_its_report_back() {
    let mut node = suspects(FIVE, 'a', 'b');
    report(&mut node, 'c', 'b');
    told(&mut node, 'c', 'b', flags::PRIMARY);
    assert_eq!(reports(&mut node, 'b'), 0);
    report(&mut node, 'd', 'b');
    assert!(!node.is('b', flags::FAIL));
}

// The quorum counts primaries with slots, those that failed included; reports of primaries without slots count.
#[test]
fn quorum_is_of_primaries_with_slots() {
    let layout = "a:0-10 b:11-20 c:21-16383 x y z";
    let mut node = suspects(layout, 'a', 'b');
    report(&mut node, 'x', 'b');
    assert!(node.is('b', flags::FAIL), "two of three");
}

#[test]
fn only_primary_with_slots_decides_alone() {
    let mut node = Solo::of("a:0-16383 b c>a", 'a');
    node.alive.remove(&'b');
    node.run(TIMEOUT_MS + 1200);
    assert!(node.is('b', flags::FAIL));
}

// A replica has no say of its own.
#[test]
fn replica_needs_the_whole_majority_of_others() {
    let mut node = suspects(FIVE, 'g', 'b');
    report(&mut node, 'c', 'b');
    report(&mut node, 'd', 'b');
    assert!(!node.is('b', flags::FAIL));
    report(&mut node, 'e', 'b');
    assert!(node.is('b', flags::FAIL));
}

// "Send a FAIL message (as opposed to a FAIL condition within a heartbeat message) to all the reachable nodes."
#[test]
fn failure_is_told_to_all() {
    let mut node = suspects(FIVE, 'a', 'b');
    report(&mut node, 'c', 'b');
    node.clear();
    report(&mut node, 'd', 'b');
    let expected: Vec<String> = ["pong -> d".to_owned(), "save soon".to_owned()]
        .into_iter()
        .chain("bcdefgh".chars().map(|name| format!("fail b -> {name}")))
        .collect();
    assert_eq!(node.lines(), expected);
}

// "The FAIL message will force every receiving node to mark the node in FAIL state, whether or not it already flagged the
// node in PFAIL state."
#[test]
fn fail_message_is_believed_without_a_suspicion() {
    for by in ['c', 'f'] {
        let mut node = Solo::of(FIVE, 'a');
        node.hears(by, Body::Fail(id('b')));
        assert!(node.is('b', flags::FAIL), "from {by}");
        assert_eq!(node.lines(), ["save soon"], "and not passed on");
    }
}

#[test]
fn fail_message_about_oneself_or_a_stranger_is_ignored() {
    let mut node = Solo::of(FIVE, 'a');
    node.hears('c', Body::Fail(id('a')));
    node.hears('c', Body::Fail(id('x')));
    assert!(!node.cluster.peers().me().is(flags::FAIL));
    assert_eq!(node.lines(), [""; 0]);
}

fn failed(about: char) -> Solo {
    let mut node = Solo::of(FIVE, 'a');
    node.alive.remove(&about);
    node.hears('c', Body::Fail(id(about)));
    node.clear();
    node
}

// "The node is already reachable and is a replica. In this case the FAIL flag can be cleared as replicas are not failed over."
#[test]
fn replica_that_answers_has_not_failed() {
    let mut node = failed('g');
    node.answers('g', |_| {});
    assert!(!node.is('g', flags::FAIL));
}

// "The node is already reachable and is a master not serving any slot."
#[test]
fn primary_without_slots_that_answers_has_not_failed() {
    let mut node = Solo::of("a:0-100 b:101-16383 c", 'a');
    node.hears('b', Body::Fail(id('c')));
    node.answers('c', |_| {});
    assert!(!node.is('c', flags::FAIL));
}

// "The node is already reachable and is a master, but a long time (N times the NODE_TIMEOUT) has elapsed without any
// detectable replica promotion."
#[test]
fn primary_with_slots_has_failed_for_two_timeouts_at_least() {
    let mut node = failed('b');
    node.now_ms += 2 * TIMEOUT_MS;
    node.answers('b', |_| {});
    assert!(node.is('b', flags::FAIL));
    node.now_ms += 1;
    node.hears('b', ping());
    assert!(node.is('b', flags::FAIL), "a question is no answer");
    node.answers('b', |_| {});
    assert!(!node.is('b', flags::FAIL));
}

#[test]
fn failure_does_not_end_by_itself() {
    let mut node = failed('b');
    node.run(20 * TIMEOUT_MS);
    assert!(node.is('b', flags::FAIL));
}

// A node in trouble may have moved: word of it from somebody who reaches it helps.
#[test]
fn suspected_node_is_looked_for_where_others_reach_it() {
    let mut node = suspects(FIVE, 'a', 'b');
    let mut word = word_of('b', flags::PRIMARY);
    word.ip = layout::host('x');
    node.hears('g', heartbeat(Heartbeat::Ping, vec![word]));
    assert_eq!(node.peer('b').host, layout::host('x'));
    let mut node = Solo::of(FIVE, 'a');
    node.hears('g', heartbeat(Heartbeat::Ping, vec![word]));
    assert_eq!(node.peer('b').host, layout::host('b'), "a healthy one tells itself");
}

/// All nodes on one host; the ports of `name` refuse.
fn refusing(name: char) -> Solo {
    let settings = layout::settings();
    let mut node = Solo::with(FIVE, 'a', settings);
    for other in "bcdefgh".chars() {
        node.hears_with(other, ping(), |header| {
            header.ip = layout::host('a');
            header.ports.bus = 17000 + u16::try_from(u32::from(other)).unwrap();
        });
    }
    node.run(1000);
    node.alive.remove(&name);
    node.shut.insert('a', true);
    node.clear();
    node
}

// docs/cluster.md, "A node in the eyes of another".
#[test]
fn refused_connection_on_this_host_is_a_suspicion_that_primaries_hear_of_at_once() {
    let mut node = refusing('b');
    let link = node.peer('b').link().unwrap();
    node.step(Input::Closed { link });
    assert!(node.is('b', flags::PFAIL));
    let lines = node.lines();
    let told: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("pong -> ")).collect();
    assert_eq!(told, ["c", "d", "e"], "{lines:?}");
}

#[test]
fn refused_connection_elsewhere_or_unwanted_is_no_suspicion() {
    let mut node = Solo::of(FIVE, 'a');
    node.shut.insert('b', true);
    let link = node.peer('b').link().unwrap();
    node.step(Input::Closed { link });
    assert!(!node.is('b', flags::PFAIL));
    let mut node = refusing('b');
    node.cluster.settings.suspects_refused = false;
    let link = node.peer('b').link().unwrap();
    node.step(Input::Closed { link });
    assert!(!node.is('b', flags::PFAIL));
}

#[test]
fn node_never_heard_of_is_not_suspected_for_refusing() {
    let mut node = Solo::started(FIVE, 'a', layout::settings());
    node.cluster.settings.announced_host = layout::host('b');
    node.cluster.settings_changed();
    node.alive.remove(&'b');
    node.shut.insert('b', true);
    node.run(500);
    assert!(!node.is('b', flags::PFAIL));
}
