//! Several nodes at once: what the sentences amount to. Sections of the specification are named above each test.

use std::collections::BTreeSet;

use highwater::cluster::core::OpenSlot;
use highwater::cluster::packet::flags;

use crate::bench::Bench;
use crate::layout::{self, SIBLINGS, THREE, TIMEOUT_MS, host, id, slot};

/// How [`THREE`] is seen by all.
const CALM: &str = "a:0-5460 b:5461-10922 c:10923-16383 d>a e>b f>c";

// Spec: cluster, "Nodes handshake": "the cluster is able to auto-discover other nodes, but only if there is a trusted
// relationship that was forced by the system administrator".
#[test]
fn node_that_meets_one_is_known_to_all() {
    let mut bench = Bench::of(THREE);
    bench.add('x');
    bench.ask('x', |cluster| cluster.meet(host('d'), 7000, 17000));
    bench.agrees_on(&format!("{CALM} x:"));
    let epochs = bench.cluster('x').peers().iter().filter(|(_, peer)| peer.is_primary());
    let epochs: Vec<u64> = epochs.map(|(_, peer)| peer.config_epoch.0).collect();
    assert_eq!(epochs.len(), epochs.iter().collect::<BTreeSet<_>>().len(), "{epochs:?}");
}

#[test]
fn nodes_that_meet_in_a_row_make_one_cluster() {
    let mut bench = Bench::of("a");
    for name in ['b', 'c', 'd'] {
        bench.add(name);
    }
    bench.ask('a', |cluster| cluster.meet(host('b'), 7000, 17000));
    bench.ask('b', |cluster| cluster.meet(host('c'), 7000, 17000));
    bench.ask('c', |cluster| cluster.meet(host('d'), 7000, 17000));
    bench.agrees_on("a: b: c: d:");
    bench.run(3000);
    let epochs: BTreeSet<u64> =
        "abcd".chars().map(|name| bench.cluster(name).config_epoch().0).collect();
    assert_eq!(epochs.len(), 4, "every primary has an epoch of its own: {epochs:?}");
}

// Spec: cluster, "Replica election and promotion".
#[test]
fn replica_takes_over_from_a_dead_primary() {
    let mut bench = Bench::of(THREE);
    bench.kill('a');
    bench.agrees_on("a: fail b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
    let epochs: Vec<u64> = "bcd".chars().map(|name| bench.cluster(name).config_epoch().0).collect();
    assert_eq!(epochs, [2, 3, 4]);
    bench.until("it serves", |bench| "bcdef".chars().all(|name| bench.cluster(name).is_ok()));
}

#[test]
fn dead_primary_comes_back_as_a_replica_of_its_successor() {
    let mut bench = Bench::of(THREE);
    bench.kill('a');
    bench.agrees_on("a: fail b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
    bench.start('a');
    bench.agrees_on("a>d b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
    let acts = bench.acts('a');
    assert!(acts.iter().any(|line| line == "follow d"), "{acts:?}");
}

#[test]
fn siblings_follow_the_winner() {
    let mut bench = Bench::of(SIBLINGS);
    bench.facts('e').offset = 10;
    bench.run(2000);
    bench.kill('a');
    bench.agrees_on("a: fail b:5461-10922 c:10923-16383 d>e e:0-5460 f>e");
}

#[test]
fn two_failures_one_after_the_other_are_survived() {
    let mut bench = Bench::of("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>b");
    bench.kill('a');
    let won = |bench: &Bench, name| bench.cluster(name).peers().me().is_primary();
    bench.until("one wins", |bench| won(bench, 'd') || won(bench, 'e'));
    bench.run(5 * TIMEOUT_MS);
    let first = if won(&bench, 'd') { 'd' } else { 'e' };
    let second = if first == 'd' { 'e' } else { 'd' };
    bench.kill(first);
    bench.until("the other wins", |bench| won(bench, second));
    bench.run(3000);
    assert_eq!(bench.seen('b', second), format!("{second}:0-5460"));
}

// Spec: cluster, "Fault tolerance": "the cluster is not available in the minority side of the partition".
#[test]
fn minority_does_not_fail_over() {
    let mut bench = Bench::of(THREE);
    bench.cut("abde", "cf");
    bench.run(20 * TIMEOUT_MS);
    assert_eq!(bench.seen('f', 'f'), "f>c");
    assert!(!bench.cluster('c').is_ok() && !bench.cluster('f').is_ok());
    bench.heal();
    bench.agrees_on(CALM);
}

#[test]
fn primary_in_the_minority_follows_its_successor_when_it_is_back() {
    let mut bench = Bench::of(THREE);
    bench.cut("a", "bcdef");
    let view = "a: fail b:5461-10922 c:10923-16383 d:0-5460 e>b f>c";
    let sees = |bench: &Bench| "abcdef".chars().map(|of| bench.seen('b', of)).collect::<Vec<_>>();
    bench.until("it is replaced", |bench| sees(bench).join(" ") == view);
    assert!(!bench.cluster('a').is_ok(), "and has not served for a while");
    assert_eq!(bench.seen('a', 'a'), "a:0-5460");
    bench.heal();
    bench.agrees_on("a>d b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
}

#[test]
fn replica_that_was_away_learns_of_the_failover() {
    let mut bench = Bench::of("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>b");
    bench.cut("e", "abcdf");
    bench.run(2000);
    bench.kill('a');
    bench.until("d wins", |bench| bench.cluster('d').peers().me().is_primary());
    bench.heal();
    bench.agrees_on("a: fail b:5461-10922 c:10923-16383 d:0-5460 e>d f>b");
}

// Spec: cluster, "Manual failover".
#[test]
fn roles_are_exchanged_by_hand() {
    let mut bench = Bench::of(THREE);
    for name in ['a', 'd'] {
        bench.facts(name).offset = 500;
    }
    bench.clear();
    bench.ask('d', |cluster| cluster.fail_over(false, false)).unwrap();
    bench.agrees_on("a>d b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
    let acts = bench.acts('a');
    let place = |what: &str| acts.iter().position(|line| line == what).expect(what);
    assert!(place("pause") < place("unpause") && place("unpause") <= place("follow d"), "{acts:?}");
    let back = bench.ask('a', |cluster| cluster.fail_over(false, false));
    assert_eq!(back, Ok(()));
    bench.agrees_on(CALM);
}

// The offsets do not meet: both give up, and nothing has changed.
#[test]
fn failover_by_hand_of_a_replica_that_lags_comes_to_nothing() {
    let mut bench = Bench::of(THREE);
    bench.facts('a').offset = 500;
    bench.facts('d').offset = 400;
    bench.ask('d', |cluster| cluster.fail_over(false, false)).unwrap();
    bench.run(6000);
    bench.agrees_on(CALM);
    assert_eq!(bench.acts('a'), ["pause"], "it ends by itself");
}

// Whoever hears first: the former primary's word, or the winner's.
#[test]
fn all_siblings_follow_whatever_they_hear_first() {
    for held in ['e', 'f', 'b'] {
        let mut bench = Bench::of(SIBLINGS);
        bench.hold(held);
        bench.ask('d', |cluster| cluster.fail_over(true, false)).unwrap();
        bench.run(1000);
        bench.let_go(held);
        bench.agrees_on("a>d b:5461-10922 c:10923-16383 d:0-5460 e>d f>d");
    }
}

#[test]
fn sibling_that_hears_only_the_former_primary_follows_the_winner() {
    let mut bench = Bench::of(SIBLINGS);
    bench.cut("d", "f");
    bench.ask('d', |cluster| cluster.fail_over(true, false)).unwrap();
    bench.until("it has heard", |bench| bench.seen('f', 'f') == "f>d");
}

// Spec: cluster, "Hash slots configuration propagation": takeovers without votes meet.
#[test]
fn of_two_takeovers_one_is_left() {
    let mut bench = Bench::of(SIBLINGS);
    bench.cut("ad", "bcef");
    bench.ask('d', |cluster| cluster.fail_over(false, true)).unwrap();
    bench.ask('e', |cluster| cluster.fail_over(false, true)).unwrap();
    let epochs = (bench.cluster('d').config_epoch(), bench.cluster('e').config_epoch());
    assert_eq!(epochs.0, epochs.1, "both have taken the same");
    bench.heal();
    bench.until("one follows the other", |bench| {
        let views = [bench.seen('b', 'd'), bench.seen('b', 'e')];
        views == ["d:0-5460", "e>d"] || views == ["d>e", "e:0-5460"]
    });
    bench.run(3000);
    assert!(bench.agreed().is_some());
}

// Spec: cluster, "Cluster live reconfiguration": the end of an import is believed everywhere.
#[test]
fn slot_that_has_been_imported_is_its_new_owners_for_all() {
    let mut bench = Bench::of(THREE);
    let five = slot(5);
    bench.ask('b', |cluster| cluster.set_slot(five, OpenSlot::Importing(id('a')), 0)).unwrap();
    bench.ask('a', |cluster| cluster.set_slot(five, OpenSlot::Migrating(id('b')), 3)).unwrap();
    bench.run(3000);
    bench.agrees_on(CALM);
    bench.ask('b', |cluster| cluster.set_slot(five, OpenSlot::Node(id('b')), 3)).unwrap();
    bench.ask('a', |cluster| cluster.set_slot(five, OpenSlot::Node(id('b')), 0)).unwrap();
    bench.agrees_on("a:0-4,6-5460 b:5,5461-10922 c:10923-16383 d>a e>b f>c");
    assert!(!bench.cluster('a').slots().has_open() && !bench.cluster('b').slots().has_open());
    assert_eq!(bench.cluster('b').config_epoch().0, 4);
}

// Spec: cluster, "Replica migration".
#[test]
fn spare_replica_moves_to_a_primary_that_has_lost_its_own() {
    let mut bench = Bench::of("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>b g>c");
    bench.kill('f');
    bench.until("it has moved", |bench| bench.seen('c', 'd') == "d>b");
    assert_eq!(bench.seen('c', 'e'), "e>a");
}

// Spec: cluster, "Removing nodes": one FORGET is passed on.
#[test]
fn node_forgotten_by_one_is_forgotten_by_all() {
    let mut bench = Bench::of(&format!("{THREE} x"));
    bench.kill('x');
    bench.ask('b', |cluster| cluster.forget(&id('x'))).unwrap();
    bench.agrees_on(CALM);
    bench.run(10_000);
    bench.agrees_on(CALM);
}

// Spec: cluster, "Masters reply to replica vote request": crashes in between do not make a second vote.
#[test]
fn two_elections_in_one_epoch_have_one_winner() {
    let mut bench = Bench::of("a:0-5460 b:5461-10922 c:10923-16383 d>a e>b f>c");
    let before = bench.cluster('c').current_epoch();
    bench.ask('d', |cluster| cluster.fail_over(true, false)).unwrap();
    for name in ['b', 'c'] {
        bench.kill(name);
        bench.start(name);
        assert_eq!(bench.cluster(name).last_vote_epoch(), before.next());
    }
}

// docs/cluster.md, "Order": the file of a winner that dies at once has its claim.
#[test]
fn winner_that_dies_at_once_comes_back_with_its_slots() {
    let mut bench = Bench::of(THREE);
    bench.kill('a');
    bench.until("it wins", |bench| bench.cluster('d').peers().me().is_primary());
    bench.kill('d');
    bench.start('d');
    assert_eq!(bench.seen('d', 'd'), "d:0-5460");
    assert_eq!(bench.cluster('d').config_epoch().0, 4);
    bench.until("it is believed", |bench| bench.seen('c', 'd') == "d:0-5460");
}

// docs/cluster.md, "A node in the eyes of another": no timeout has to pass.
#[test]
fn all_dead_at_once_and_started_again_are_as_before() {
    let mut bench = Bench::of(THREE);
    let names = ['a', 'b', 'c', 'd', 'e', 'f'];
    names.into_iter().for_each(|name| bench.kill(name));
    for name in names {
        bench.start(name);
        bench.run(500);
    }
    bench.agrees_on(CALM);
    bench.until("it serves", |bench| names.iter().all(|name| bench.cluster(*name).is_ok()));
}

// docs/cluster.md, "A primary that comes back with less".
#[test]
fn primary_that_comes_back_with_less_is_replaced_by_who_has_more() {
    let mut settings = layout::settings();
    settings.guards_replicas = true;
    let mut bench = Bench::with(THREE, settings);
    bench.facts('a').offset = 100;
    bench.facts('d').offset = 100;
    bench.run(3000);
    bench.kill('a');
    bench.start('a');
    bench.facts('a').offset = 60;
    bench.agrees_on("a>d b:5461-10922 c:10923-16383 d:0-5460 e>b f>c");
    let flags = bench.cluster('b').peers().get(&id('a')).unwrap().flags;
    assert_eq!(flags & flags::FAIL, 0, "nobody had to wait for a failure");
}
