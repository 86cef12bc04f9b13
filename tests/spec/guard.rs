//! A primary that comes back with less than its replicas have. Source: docs/cluster.md, "A primary that comes back with less"
//! (all tests here); the votes are those of Spec: cluster, "Manual failover".

use highwater::cluster::core::Guard;
use highwater::cluster::packet::flags;
use highwater::cluster::settings::Settings;
use highwater::cluster::{Cluster, Epoch};
use highwater_persistence::nodes_conf::{NodeFlag, NodesConf};

use crate::layout::{self, SIBLINGS, THREE, TIMEOUT_MS, slots};
use crate::solo::{Solo, ping};

fn guarding() -> Settings {
    Settings { guards_replicas: true, ..layout::settings() }
}

/// A node that has read this file, among living ones.
fn read(conf: &NodesConf, alive: &[char]) -> Solo {
    let now = layout::at(layout::BEGIN_MS);
    let cluster = Cluster::from_conf(conf, guarding(), 1, now).unwrap();
    Solo::around(cluster, alive.iter().copied().collect())
}

/// The primary `a` right after its start, with a log up to 100.
fn started(layout: &str) -> Solo {
    started_with(layout, TIMEOUT_MS, "")
}

/// The same with another timeout, and the processes of `gone` not there.
fn started_with(layout: &str, timeout_ms: u64, gone: &str) -> Solo {
    let settings = Settings { timeout_ms, ..guarding() };
    let mut node = Solo::started(layout, 'a', settings);
    node.shut.extend(gone.chars().map(|name| (name, true)));
    node.facts.offset = 100;
    node.alive.clear();
    node.run(100);
    node.clear();
    node
}

/// A node tells its offset, and the tick after that comes.
fn tells(node: &mut Solo, name: char, offset: u64) {
    node.hears_with(name, ping(), |header| header.offset = offset);
    node.tick();
}

fn is_behind(node: &Solo) -> bool {
    matches!(node.cluster.guard(), Guard::Behind { .. })
}

fn asks(node: &Solo) -> bool {
    matches!(node.cluster.guard(), Guard::Asking { .. })
}

#[test]
fn primary_with_slots_asks_for_two_seconds_after_its_start() {
    let mut node = started(SIBLINGS);
    assert!(asks(&node) && !node.cluster.is_ok());
    for (name, offset) in [('d', 100), ('e', 99), ('f', 0)] {
        tells(&mut node, name, offset);
        assert!(asks(&node), "others may not know yet that they follow it");
    }
    node.run(2000);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

#[test]
fn nodes_with_nothing_to_lose_do_not_ask() {
    let settings = guarding();
    for (layout, me) in [(THREE, 'd'), ("a b:0-10 d>a", 'a')] {
        let node = Solo::started(layout, me, settings.clone());
        assert_eq!(node.cluster.guard(), Guard::Clear, "{layout}");
    }
    let node = Solo::started(THREE, 'a', layout::settings());
    assert_eq!(node.cluster.guard(), Guard::Clear, "nor where that is not wanted");
}

#[test]
fn silent_replica_that_may_be_alive_is_waited_for_until_it_is_suspected() {
    let mut node = started_with(THREE, 10_000, "");
    node.run(6000);
    assert!(asks(&node), "it is connected and has not spoken");
    let mut late = started_with(THREE, 10_000, "");
    late.run(6000);
    tells(&mut late, 'd', 101);
    assert!(is_behind(&late), "{:?}", late.cluster.guard());
    node.run(10_000);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

#[test]
fn replica_that_is_not_there_is_waited_for_two_seconds_after_loading() {
    let mut node = started_with(THREE, 10_000, "d");
    node.run(1800);
    assert!(asks(&node));
    node.run(200);
    assert_eq!(node.cluster.guard(), Guard::Clear);
    let mut node = started_with(THREE, 10_000, "d");
    node.facts.is_loading = true;
    node.run(10_000);
    assert!(asks(&node));
    node.facts.is_loading = false;
    node.run(1900);
    assert!(asks(&node));
    node.run(200);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

// What the file does not know yet: `d` had neither slots nor a primary when it was written.
#[test]
fn node_that_may_have_become_a_replica_is_waited_for() {
    let layout = "a:0-5460 b:5461-10922 c:10923-16383 d e>b";
    let mut node = started_with(layout, 10_000, "");
    node.run(6000);
    assert!(asks(&node), "it has not said whom it follows");
    node.hears_with('d', ping(), |header| {
        header.flags = flags::REPLICA | flags::MYSELF;
        (header.primary, header.offset) = (Some(layout::id('a')), 101);
        header.slots = slots("0-5460").into();
    });
    node.tick();
    assert!(is_behind(&node), "{:?}", node.cluster.guard());
    let mut node = started_with(layout, 10_000, "");
    tells(&mut node, 'd', 0);
    node.run(2000);
    assert_eq!(node.cluster.guard(), Guard::Clear, "b, c and e have other things to do");
}

#[test]
fn new_replica_of_this_node_is_on_disk_at_once() {
    let mut node = Solo::of("a:0-5460 b:5461-10922 c:10923-16383 d e", 'a');
    for (name, primary, save) in [('d', 'a', "persist"), ('e', 'b', "save soon")] {
        node.clear();
        let its_slots = node.slots(primary);
        node.hears_with(name, ping(), |header| {
            header.flags = flags::REPLICA | flags::MYSELF;
            (header.primary, header.slots) = (Some(layout::id(primary)), slots(&its_slots).into());
        });
        let acts = node.acts();
        assert_eq!(acts.last().map(String::as_str), Some(save), "{acts:?}");
    }
}

#[test]
fn primary_behind_tells_its_replicas_at_once_and_each_second() {
    let mut node = started("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a f>b");
    node.run(500);
    tells(&mut node, 'e', 50);
    node.clear();
    tells(&mut node, 'd', 101);
    let told = |node: &mut Solo| -> Vec<String> {
        node.lines().into_iter().filter(|line| line.starts_with("pong ")).collect()
    };
    assert_eq!(told(&mut node), ["pong -> d", "pong -> d", "pong -> e"], "the first is the answer");
    node.run(2000);
    assert_eq!(told(&mut node), ["pong -> d", "pong -> e"].repeat(2));
    node.run(2000);
    node.clear();
    node.run(1000);
    assert_eq!(node.lines(), [""; 0], "it is silent");
}

// Not the one with more, but the one with most is to take over.
#[test]
fn primary_listens_to_all_replicas_before_it_steps_back() {
    let mut node = started_with("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a", 10_000, "e");
    tells(&mut node, 'd', 101);
    node.run(1500);
    assert!(asks(&node), "e is not there, and may be there in a moment");
    let mut late = started_with("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a", 10_000, "");
    node.run(600);
    assert!(is_behind(&node));
    tells(&mut late, 'd', 101);
    late.run(5000);
    assert!(asks(&late), "e is there, and has not told");
    tells(&mut late, 'e', 102);
    assert!(is_behind(&late) && late.notes().iter().any(|note| note.contains("offset 102")));

    // Nor does it vote for another one, as long as that one is there.
    let stands = |node: &mut Solo, name, offset| {
        node.clear();
        node.hears_with(name, highwater::cluster::Body::VoteRequest, |header| {
            header.current_epoch = Epoch(header.current_epoch.0 + 1);
            (header.offset, header.forces_ack) = (offset, true);
        });
        node.acts().iter().any(|line| line.starts_with("vote "))
    };
    assert!(!stands(&mut late, 'd', 101));
    // Which may not be able to stand: it does not keep the other one from it for ever.
    late.run(12_000);
    assert!(stands(&mut late, 'd', 101));
}

#[test]
fn replica_with_more_makes_the_primary_step_back() {
    let mut node = started(THREE);
    node.run(500);
    node.clear();
    tells(&mut node, 'd', 101);
    assert!(is_behind(&node) && !node.cluster.is_ok());
    node.clear();
    tells(&mut node, 'd', 101);
    let packet = node.packet("pong -> d");
    assert!(packet.header.as_ref().unwrap().steps_back);
}

#[test]
fn replicas_of_others_are_not_compared_with() {
    let mut node = started(THREE);
    tells(&mut node, 'e', 1000);
    tells(&mut node, 'b', 1000);
    assert!(asks(&node));
}

// What a replica told while the node was loading counts once it has loaded, whoever speaks next.
#[test]
fn word_that_came_while_loading_counts() {
    let mut node = started("a:0-5460 b:5461-10922 c:10923-16383 d>a e>a");
    node.facts.is_loading = true;
    tells(&mut node, 'd', 101);
    tells(&mut node, 'e', 50);
    assert!(asks(&node));
    node.facts.is_loading = false;
    tells(&mut node, 'e', 50);
    assert!(is_behind(&node), "{:?}", node.cluster.guard());
}

#[test]
fn word_that_came_while_loading_counts_if_nobody_speaks_again() {
    let mut node = started(THREE);
    node.facts.is_loading = true;
    tells(&mut node, 'd', 101);
    node.run(500);
    node.facts.is_loading = false;
    node.run(3000);
    assert!(is_behind(&node), "{:?}", node.cluster.guard());
}

#[test]
fn replica_that_is_loading_is_waited_for() {
    let loads = |node: &mut Solo| {
        node.hears_with('d', ping(), |header| (header.offset, header.hides_offset) = (0, true));
    };
    let mut node = started_with(THREE, 10_000, "");
    for _ in 0..10 {
        loads(&mut node);
        node.run(2000);
    }
    assert!(asks(&node), "it has spoken all the time, and has not told its offset");
    tells(&mut node, 'd', 101);
    assert!(is_behind(&node));
    // Starts again.
    loads(&mut node);
    node.run(100);
    assert!(is_behind(&node));
    tells(&mut node, 'd', 100);
    node.run(100);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

#[test]
fn node_says_that_its_offset_is_not_known_yet() {
    let mut node = Solo::of(THREE, 'd');
    let until_ms = Some(1);
    for (is_loading, offset, data_until_ms, hides) in [
        (true, 0, until_ms, true),
        (true, 9, until_ms, false),
        (false, 0, until_ms, false),
        // What it has is of another history: there is nothing to wait for.
        (true, 0, None, false),
    ] {
        (node.facts.is_loading, node.facts.offset) = (is_loading, offset);
        node.facts.data_until_ms = data_until_ms;
        node.clear();
        node.hears('a', ping());
        let packet = node.packet("pong -> a");
        assert_eq!(packet.header.as_ref().unwrap().hides_offset, hides);
    }
}

// The bus of a primary stands still while it loads.
#[test]
fn primary_asks_for_two_seconds_after_a_load_without_ticks() {
    let mut node = Solo::started(SIBLINGS, 'a', guarding());
    node.facts.is_loading = true;
    node.ask(|_| ());
    node.now_ms += 60_000;
    node.facts.is_loading = false;
    node.ask(|_| ());
    for name in ['d', 'e', 'f'] {
        tells(&mut node, name, 0);
    }
    node.run(1900);
    assert!(asks(&node) && !node.cluster.is_ok());
    node.run(200);
    assert!(node.cluster.is_ok());
    // What is loaded later changes nothing.
    node.facts.is_loading = true;
    node.ask(|_| ());
    node.facts.is_loading = false;
    node.ask(|_| ());
    assert!(node.cluster.is_ok() && node.cluster.may_claim());
}

#[test]
fn primary_without_a_guard_does_not_serve_right_after_a_load() {
    let mut node = Solo::started(THREE, 'a', layout::settings());
    node.facts.is_loading = true;
    node.ask(|_| ());
    node.now_ms += 60_000;
    node.facts.is_loading = false;
    node.ask(|_| ());
    node.run(1900);
    assert!(!node.cluster.is_ok());
    node.run(200);
    assert!(node.cluster.is_ok());
}

#[test]
fn failure_that_only_the_file_knows_of_does_not_end_it() {
    let mut conf = layout::conf(THREE, 'a');
    let line = conf.nodes.iter_mut().find(|line| line.id == layout::id('d').to_string()).unwrap();
    line.flags.push(NodeFlag::Fail);
    let mut node = read(&conf, &['b', 'c', 'e', 'f']);
    node.facts.offset = 100;
    node.run(100);
    tells(&mut node, 'd', 101);
    node.run(100);
    assert!(is_behind(&node), "{:?}", node.cluster.guard());
}

#[test]
fn node_that_is_only_named_is_not_waited_for() {
    let mut conf = layout::conf("a:0-5460 b:5461-10922 c:10923-16383 e>b", 'a');
    let line = conf.nodes.iter_mut().find(|line| line.id == layout::id('e').to_string()).unwrap();
    line.primary = Some(layout::id('z').to_string());
    let mut node = read(&conf, &['b', 'c', 'e']);
    node.run(5000);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

/// Everybody lives, and talks to the silent primary, which must not conclude from its own silence that others are gone.
fn stays_behind(layout: &str, others: &[char], timeout_ms: u64) {
    let mut node = started_with(layout, timeout_ms, "");
    node.alive = others.iter().copied().collect();
    node.run(200);
    tells(&mut node, 'd', 101);
    for _ in 0..40 {
        node.run(timeout_ms + 200);
        for name in others {
            node.hears(*name, ping());
        }
        assert!(is_behind(&node), "{:?}", node.notes());
        let suspected = others.iter().find(|name| node.is(**name, flags::PFAIL | flags::FAIL));
        assert_eq!(suspected, None);
    }
}

#[test]
fn silent_primary_suspects_nobody() {
    stays_behind(THREE, &['b', 'c', 'd', 'e', 'f'], TIMEOUT_MS);
    stays_behind("a:0-16383 d>a", &['d'], 15_000);
}

#[test]
fn primary_behind_says_what_helps() {
    let mut node = started(THREE);
    tells(&mut node, 'd', 101);
    node.clear();
    for _ in 0..100 {
        node.run(1000);
        tells(&mut node, 'd', 101);
    }
    let helps = |note: &&String| note.contains("CLUSTER FAILOVER FORCE");
    assert_eq!(node.notes().iter().filter(helps).count(), 3);
}

#[test]
fn primary_behind_falls_silent_after_three_seconds() {
    let mut node = started(THREE);
    tells(&mut node, 'd', 101);
    node.run(3000);
    node.clear();
    tells(&mut node, 'd', 101);
    assert_eq!(node.acts(), [""; 0]);
    node.now_ms += 1;
    tells(&mut node, 'd', 101);
    assert!(!node.lines().contains(&"pong -> d".to_owned()));
}

#[test]
fn primary_behind_follows_the_winner() {
    let mut node = started(THREE);
    tells(&mut node, 'd', 101);
    node.hears_with('d', ping(), |header| {
        (header.primary, header.config_epoch) = (None, Epoch(4));
        (header.slots, header.flags) = (slots("0-5460").into(), flags::PRIMARY | flags::MYSELF);
    });
    assert_eq!((node.follows(), node.cluster.guard()), (Some('d'), Guard::Clear));
}

#[test]
fn primary_serves_again_when_no_replica_with_more_is_left() {
    let mut node = started(THREE);
    tells(&mut node, 'd', 101);
    // A replica that is down has more all the same.
    node.hears('b', highwater::cluster::Body::Fail(layout::id('d')));
    node.run(60_000);
    assert!(is_behind(&node));
    assert!(node.notes().iter().any(|note| note.contains("is down. CLUSTER FAILOVER FORCE")));
    tells(&mut node, 'd', 100);
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

// Reset, or another process at its address.
#[test]
fn replica_that_has_become_somebody_else_is_not_waited_for() {
    let mut node = started(THREE);
    tells(&mut node, 'd', 101);
    node.answers('d', |header| header.sender = layout::id('z'));
    node.tick();
    assert_eq!(node.cluster.guard(), Guard::Clear);
}

/// A replica of a primary that has said that it lacks something.
fn successor(own: u64, primarys: u64) -> Solo {
    let mut node = Solo::of(THREE, 'd');
    node.facts.offset = own;
    node.alive.remove(&'a');
    node.clear();
    node.hears_with('a', ping(), |header| (header.steps_back, header.offset) = (true, primarys));
    node
}

#[test]
fn replica_with_more_stands_at_once_and_says_that_no_failure_is_needed() {
    let mut node = successor(101, 100);
    node.run(1100);
    let packet = node.packet("vote? -> b");
    assert!(packet.header.as_ref().unwrap().forces_ack);
}

#[test]
fn replica_with_more_stands_however_long_both_were_down() {
    let mut node = successor(101, 100);
    node.facts.data_age_ms = 86_400_000;
    node.run(1100);
    node.packet("vote? -> b");
    let mut node = successor(101, 100);
    node.facts.data_age_ms = u64::MAX;
    node.run(3000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")), "of another history");
}

// Another one may have more, and be newer.
#[test]
fn replica_that_was_cut_off_for_long_waits_for_word_of_its_siblings() {
    let stands = |tells_offset: bool| {
        let mut node = Solo::started(SIBLINGS, 'd', layout::settings());
        (node.facts.offset, node.facts.data_age_ms) = (101, 86_400_000);
        node.alive.clear();
        if tells_offset {
            for name in ['e', 'f'] {
                node.hears_with(name, ping(), |header| header.offset = 90);
            }
        }
        node.clear();
        node.hears_with('a', ping(), |header| (header.steps_back, header.offset) = (true, 100));
        node.run(1100);
        node.acts().iter().any(|line| line.starts_with("vote?"))
    };
    assert!(stands(true) && !stands(false));
}

#[test]
fn replica_with_as_much_does_not_stand() {
    let mut node = successor(100, 100);
    node.run(3000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")));
}

#[test]
fn replica_does_not_stand_once_its_primary_serves_again() {
    let mut node = successor(101, 100);
    node.hears_with('a', ping(), |header| header.steps_back = false);
    node.run(3000);
    assert!(!node.acts().iter().any(|line| line.starts_with("vote?")));
}
