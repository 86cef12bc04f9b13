//! How a replica takes over from its failed primary. Spec: cluster, "Replica election and promotion", "Replica rank".

use highwater::cluster::packet::flags;
use highwater::cluster::{Body, Epoch};

use crate::layout::{self, SIBLINGS, THREE, TIMEOUT_MS, id};
use crate::solo::{Solo, ping};

/// Votes are waited for so long: two timeouts.
const WAIT_MS: u64 = 2 * TIMEOUT_MS;

fn fail(node: &mut Solo, name: char) {
    node.alive.remove(&name);
    node.hears('b', Body::Fail(id(name)));
}

/// The node `d`, whose primary has just failed.
fn orphan(layout: &str) -> Solo {
    let mut node = Solo::of(layout, 'd');
    node.clear();
    fail(&mut node, 'a');
    node
}

/// Runs until votes are asked for; how long that took.
fn asks(node: &mut Solo) -> u64 {
    let began_ms = node.now_ms;
    while !node.lines().iter().any(|line| line.starts_with("vote?")) {
        assert!(node.now_ms < began_ms + 60_000, "it never asks");
        node.now_ms += 10;
        node.tick();
    }
    node.now_ms - began_ms
}

fn vote(node: &mut Solo, by: char) {
    let epoch = node.cluster.current_epoch();
    node.hears_with(by, Body::Vote, |header| header.current_epoch = epoch);
}

/// `d`, which stands for election and lacks one vote.
fn candidate() -> Solo {
    let mut node = orphan(THREE);
    asks(&mut node);
    vote(&mut node, 'b');
    node
}

fn has_won(node: &Solo) -> bool {
    node.cluster.peers().me().is_primary()
}

// "DELAY = 500 milliseconds + random delay between 0 and 500 milliseconds + REPLICA_RANK * 1000 milliseconds."
#[test]
fn election_is_delayed_by_half_a_second_to_a_second() {
    for extra in 0..8 {
        let mut node = Solo::of(THREE, 'd');
        // Another moment, other random numbers.
        node.run(extra * 500);
        fail(&mut node, 'a');
        let delay_ms = asks(&mut node);
        assert!((500..=1010).contains(&delay_ms), "{delay_ms}");
    }
}

// "REPLICA_RANK is the rank of this replica regarding the amount of replication data it has processed from the master."
#[test]
fn each_replica_with_more_data_goes_a_second_before() {
    for (own, rank) in [(30, 0), (20, 0), (15, 1), (5, 2)] {
        let mut node = Solo::of(SIBLINGS, 'd');
        node.facts.offset = own;
        for (name, offset) in [('e', 10), ('f', 20)] {
            node.hears_with(name, ping(), |header| header.offset = offset);
        }
        fail(&mut node, 'a');
        let delay_ms = asks(&mut node);
        let range = 500 + rank * 1000..=1010 + rank * 1000;
        assert!(range.contains(&delay_ms), "{delay_ms} with {own}");
    }
}

#[test]
fn siblings_that_do_not_stand_have_no_rank() {
    let mut node = Solo::of(SIBLINGS, 'd');
    node.hears('b', Body::Fail(id('f')));
    node.hears_with('e', ping(), |header| {
        header.offset = 10;
        header.flags |= flags::NOFAILOVER;
    });
    fail(&mut node, 'a');
    assert!(asks(&mut node) <= 1010);
}

// "the replica will exchange messages ... the rank is updated": it only ever grows.
#[test]
fn sibling_that_turns_out_to_have_more_is_waited_for() {
    let mut node = orphan(SIBLINGS);
    node.hears_with('e', ping(), |header| header.offset = 10);
    let delay_ms = asks(&mut node);
    assert!((1500..=2010).contains(&delay_ms), "{delay_ms}");
}

#[test]
fn sibling_that_turns_out_to_have_less_changes_nothing() {
    let mut node = Solo::of(SIBLINGS, 'd');
    node.hears_with('e', ping(), |header| header.offset = 10);
    fail(&mut node, 'a');
    node.hears_with('e', ping(), |header| header.offset = 0);
    assert!(asks(&mut node) >= 1500);
}

// docs/cluster.md, "A replica whose primary has failed".
#[test]
fn delays_follow_from_the_timeout_where_elections_are_fast() {
    let mut settings = layout::settings();
    settings.fast_election = true;
    let mut node = Solo::with(THREE, 'd', settings);
    fail(&mut node, 'a');
    let delay_ms = asks(&mut node);
    let unit_ms = TIMEOUT_MS / 30;
    assert!((unit_ms..=2 * unit_ms + 10).contains(&delay_ms), "{delay_ms}");
}

// So that siblings know their ranks.
#[test]
fn scheduled_election_tells_siblings_and_those_who_vote_of_the_offset() {
    let mut node = Solo::of(SIBLINGS, 'd');
    node.clear();
    node.facts.offset = 42;
    node.hears('b', Body::Fail(id('a')));
    assert_eq!(
        node.lines(),
        ["save soon", "pong -> a", "pong -> b", "pong -> c", "pong -> e", "pong -> f"]
    );
}

// "the replica ... increments its currentEpoch counter, and requests votes from master instances ... by broadcasting a
// FAILOVER_AUTH_REQUEST packet to every master": on disk first.
#[test]
fn epoch_is_on_disk_before_votes_are_asked_for() {
    let mut node = orphan(THREE);
    let before = node.cluster.current_epoch();
    node.clear();
    loop {
        node.now_ms += 10;
        node.tick();
        let acts = node.acts();
        if !acts.is_empty() {
            let asked = "abcef".chars().map(|name| format!("vote? -> {name}"));
            let expected: Vec<String> = ["persist".to_owned()].into_iter().chain(asked).collect();
            assert_eq!(acts, expected);
            break;
        }
    }
    assert_eq!(node.cluster.current_epoch(), before.next());
}

#[test]
fn request_has_the_epoch_and_slots_of_the_primary() {
    let mut node = orphan(THREE);
    loop {
        node.now_ms += 10;
        node.tick();
        let sent = node.sent();
        if let Some((_, packet)) = sent.iter().find(|(line, _)| line == "vote? -> b") {
            let header = packet.header.as_ref().unwrap();
            assert_eq!(*header.slots, layout::slots("0-5460"));
            assert_eq!((header.current_epoch, header.config_epoch), (Epoch(4), Epoch(1)));
            assert_eq!(header.primary, Some(id('a')));
            assert!(!header.forces_ack);
            break;
        }
    }
}

#[test]
fn without_a_failure_there_is_no_election() {
    let mut node = Solo::of(THREE, 'd');
    node.alive.remove(&'a');
    node.run(10_000);
    assert!(node.is('a', flags::PFAIL));
    assert!(!node.lines().iter().any(|line| line.starts_with("vote?")));
}

// "The replica's master was serving a non-zero number of slots."
#[test]
fn nobody_stands_for_a_primary_without_slots() {
    let mut node = orphan("a b:5461-10922 c:10923-16383 d>a");
    node.run(10_000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")));
}

#[test]
fn replica_that_does_not_fail_over_does_not_stand() {
    let mut settings = layout::settings();
    settings.no_failover = true;
    let mut node = Solo::with(THREE, 'd', settings);
    fail(&mut node, 'a');
    node.run(10_000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")));
    assert!(node.cluster.never_fails_over());
}

// "The replica replication link was disconnected from the master for no longer than a given amount of time".
#[test]
fn data_that_are_too_old_do_not_stand() {
    // repl-ping-replica-period + timeout * factor, and the timeout for the failure itself.
    let limit_ms = 10_000 + 10 * TIMEOUT_MS + TIMEOUT_MS;
    for (age_ms, factor, stands) in [
        (limit_ms, 10, true),
        (limit_ms + 1, 10, false),
        (u64::MAX, 10, false),
        (u64::MAX, 0, true),
    ] {
        let mut node = Solo::of(THREE, 'd');
        node.cluster.settings.validity_factor = factor;
        node.facts.data_age_ms = age_ms;
        fail(&mut node, 'a');
        node.run(1100);
        let asked = node.acts().iter().any(|line| line.starts_with("vote?"));
        assert_eq!(asked, stands, "{age_ms} by {factor}");
    }
}

// "Once the replica receives ACKs from the majority of masters, it wins the election."
#[test]
fn majority_of_votes_wins() {
    let mut node = orphan(THREE);
    asks(&mut node);
    vote(&mut node, 'b');
    assert!(!has_won(&node), "one of three");
    vote(&mut node, 'c');
    assert!(has_won(&node), "two of three, the failed one among them");
}

#[test]
fn half_of_the_votes_do_not_win() {
    let mut node = orphan("a:0-5460 b:5461-10922 c:10923-11000 d>a g:11001-16383");
    asks(&mut node);
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(!has_won(&node), "two of four");
    vote(&mut node, 'g');
    assert!(has_won(&node));
}

#[test]
fn two_votes_of_one_node_are_one() {
    let mut node = orphan(THREE);
    asks(&mut node);
    vote(&mut node, 'b');
    vote(&mut node, 'b');
    assert!(!has_won(&node));
}

// "The replica discards any AUTH_ACK replies having an epoch that is less than the currentEpoch at the time the vote request
// was sent."
#[test]
fn votes_of_the_past_and_of_those_without_a_say_do_not_count() {
    let mut node = orphan("a:0-5460 b:5461-10922 c:10923-16383 d>a e>b f>c x y");
    asks(&mut node);
    let past = Epoch(node.cluster.current_epoch().0 - 1);
    node.hears_with('b', Body::Vote, |header| header.current_epoch = past);
    node.hears_with('c', Body::Vote, |header| header.current_epoch = past);
    for by in ['e', 'f', 'x', 'y'] {
        vote(&mut node, by);
    }
    assert!(!has_won(&node));
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(has_won(&node));
}

#[test]
fn vote_that_nobody_asked_for_is_nothing() {
    let mut node = orphan(THREE);
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    asks(&mut node);
    assert!(!has_won(&node));
}

// "the replica ... starts to advertise itself as master in ping and pong packets, providing the set of served slots with a
// configEpoch that is set to the currentEpoch at which the election was won": on disk first.
#[test]
fn winner_has_its_claim_on_disk_before_it_tells_of_it() {
    let mut node = candidate();
    node.clear();
    vote(&mut node, 'c');
    let expected = ["promote", "persist", "pong -> a", "pong -> b", "pong -> c", "pong -> e"];
    let lines = node.lines();
    assert_eq!(lines[..6], expected);
    assert_eq!(lines[6..], ["pong -> f"]);
    assert_eq!((node.slots('d').as_str(), node.slots('a').as_str()), ("0-5460", ""));
    assert_eq!(node.cluster.config_epoch(), node.cluster.current_epoch());
    assert_eq!((node.cluster.config_epoch(), node.follows()), (Epoch(4), None));
}

#[test]
fn pong_of_the_winner_has_the_new_claim() {
    let mut node = candidate();
    node.clear();
    vote(&mut node, 'c');
    let packet = node.packet("pong -> b");
    let header = packet.header.as_ref().unwrap();
    assert_eq!((header.config_epoch, header.primary), (Epoch(4), None));
    assert_eq!(*header.slots, layout::slots("0-5460"));
    assert!(header.flags & flags::PRIMARY != 0 && header.flags & flags::REPLICA == 0);
}

// docs/cluster.md, "Slots that move as a whole": the predecessor has taken the same epoch by itself, and comes back.
#[test]
fn winner_takes_a_newer_epoch_than_its_predecessor_also_after_a_restart() {
    let mut node = candidate();
    vote(&mut node, 'c');
    let mut again = crate::conf::restarted(&node);
    for node in [&mut node, &mut again] {
        assert_eq!(node.cluster.config_epoch(), Epoch(4));
        node.hears_with('a', ping(), |header| {
            (header.config_epoch, header.current_epoch) = (Epoch(4), Epoch(4));
        });
        assert_eq!(node.cluster.config_epoch(), Epoch(5), "though its name is the greater one");
        assert!(node.cluster.to_conf().elected_in == 0, "in that one it was not elected");
    }
}

// docs/cluster.md, "Order": no write is taken before the claim is on disk.
#[test]
fn winner_takes_no_writes_before_its_claim_is_on_disk() {
    let mut node = candidate();
    node.disk_works = false;
    vote(&mut node, 'c');
    assert!(has_won(&node) && node.cluster.is_saving());
    node.disk_works = true;
    node.run(1100);
    assert!(!node.cluster.is_saving());
}

// "If the majority is not reached within the period of two times NODE_TIMEOUT (but always at least 2 seconds), the election
// is aborted and a new one will be tried again after NODE_TIMEOUT * 4 (and always at least 4 seconds)."
#[test]
fn votes_that_come_too_late_do_not_count() {
    let mut node = orphan(THREE);
    asks(&mut node);
    node.run(WAIT_MS + 100);
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(!has_won(&node));
}

#[test]
fn election_is_tried_again_after_four_timeouts_in_a_new_epoch() {
    let mut node = orphan(THREE);
    asks(&mut node);
    let epoch = node.cluster.current_epoch();
    let waited_ms = asks(&mut node);
    let range = 2 * WAIT_MS + 500..=2 * WAIT_MS + 1100;
    assert!(range.contains(&waited_ms), "{waited_ms}");
    assert_eq!(node.cluster.current_epoch(), epoch.next());
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(has_won(&node));
}

#[test]
fn elections_last_two_seconds_at_least() {
    let mut settings = layout::settings();
    settings.timeout_ms = 300;
    let mut node = Solo::with(THREE, 'd', settings);
    fail(&mut node, 'a');
    asks(&mut node);
    node.run(1900);
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(has_won(&node));
}

// Votes of the first try are none in the second.
#[test]
fn votes_are_counted_anew_in_each_election() {
    let mut node = orphan(THREE);
    asks(&mut node);
    vote(&mut node, 'b');
    asks(&mut node);
    vote(&mut node, 'c');
    assert!(!has_won(&node));
}

// docs/cluster.md, "A replica whose primary has failed": any, the primary is back, idle.
#[test]
fn election_ends_when_the_primary_is_back() {
    let mut node = orphan(THREE);
    asks(&mut node);
    vote(&mut node, 'b');
    node.now_ms += 2 * TIMEOUT_MS + 1;
    node.answers('a', |_| {});
    assert!(!node.is('a', flags::FAIL));
    vote(&mut node, 'c');
    node.tick();
    assert!(!has_won(&node));
}

#[test]
fn sibling_that_wins_ends_the_election() {
    let mut node = orphan(SIBLINGS);
    asks(&mut node);
    node.hears_with('e', ping(), |header| {
        header.primary = None;
        header.config_epoch = Epoch(9);
        header.current_epoch = Epoch(9);
        header.flags = flags::PRIMARY | flags::MYSELF;
    });
    assert_eq!(node.follows(), Some('e'));
    vote(&mut node, 'b');
    vote(&mut node, 'c');
    assert!(!has_won(&node));
}

// docs/cluster.md, "Order".
#[test]
fn replica_that_cannot_save_does_not_stand() {
    let mut node = orphan(THREE);
    node.disk_works = false;
    node.ask(|cluster| cluster.save());
    node.clear();
    node.run(5000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")));
    node.disk_works = true;
    node.run(5000);
    assert!(node.acts().iter().any(|line| line.starts_with("vote?")));
}
