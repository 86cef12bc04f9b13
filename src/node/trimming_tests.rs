//! Slots that a node has lost: their keys go in slices, nobody sees them meanwhile, and a replica follows.

use super::cluster_tests::{ask, node, play};
use super::tests::Bench;
use crate::clock::Clock;
use crate::cluster::testing::{claim, slots};
use crate::cluster::{Host, Input};
use crate::config::PrimaryAddress;
use crate::keyspace::Slot;
use crate::state::{Output, Pause};

fn bar() -> Slot {
    Slot::of(b"bar")
}

/// Node `a` with `count` keys of the slot of `{bar}` and one of another slot.
fn with_keys(count: u32) -> Bench {
    let mut bench = node('a');
    for i in 0..count {
        bench.run(&format!("set {{bar}}{i} {i}"));
    }
    bench.run("set {06S} xy");
    bench
}

/// Calls the driver's step until there is nothing to do, and says how often.
fn trim(bench: &mut Bench) -> usize {
    let steps = std::iter::from_fn(|| bench.node.trim_step(&mut bench.clock)).take(100).count();
    assert!(bench.node.state.trimming.is_empty());
    steps
}

/// Asks for trimming that the node wants driven, and lines that it logged.
fn outputs(bench: &mut Bench) -> (usize, Vec<String>) {
    let (mut asked, mut lines) = (0, Vec::new());
    for output in bench.node.take_outputs() {
        match output {
            Output::StartTrimming => asked += 1,
            Output::Note(note) => lines.push(note.text),
            _ => {}
        }
    }
    (asked, lines)
}

/// A clock on which every look takes a quarter of a millisecond.
struct Hurrying(crate::clock::ManualClock);

impl Clock for Hurrying {
    fn now(&mut self) -> crate::clock::Time {
        self.0.0.mono_us += 250;
        self.0.now()
    }
}

#[test]
fn slots_lost_to_a_claim_are_emptied_in_slices_and_a_replica_follows() {
    let mut bench = with_keys(5000);
    let mut replica = Bench::new();
    replica.run(&bench.log());
    let host = Host::new("10.0.0.2").unwrap();
    let link = bench.node.accept_link(bench.clock.0, host, host).expect("there is room");
    let claimed: Vec<Slot> = slots('b').into_iter().chain([bar()]).collect();
    let packet = claim('b', &claimed);
    bench.node.step_cluster(bench.clock.0, Input::Packet { link, packet: &packet });
    play(
        &mut bench,
        "get {bar}1 -> -MOVED 5061 10.0.0.2:7001
         dbsize -> :1
         cluster countkeysinslot 5061 -> :0",
    );
    assert_eq!(bench.log(), "", "nothing has been removed yet");
    assert_eq!(trim(&mut bench), 2);
    let log = bench.log();
    assert!(log.lines().all(|line| line.starts_with("UNLINK ") || line == "SELECT 0"), "{log}");
    let longest = log.lines().map(|line| line.split(' ').count()).max();
    assert_eq!((longest, log.lines().count()), (Some(65), 5000usize.div_ceil(64)));
    replica.run(&log);
    assert_eq!(replica.run("dbsize"), ":1\r\n");
    assert_eq!(replica.run("debug digest"), bench.run("debug digest"));
    assert!(!bench.node.state.keyspace.is_hidden(bar()), "an empty slot is shown");
    bench.node.state.keyspace.check_invariants();
}

#[test]
fn a_slice_ends_with_its_time() {
    let mut bench = with_keys(1000);
    bench.node.drop_slots(&[bar()]);
    let mut clock = Hurrying(bench.clock);
    // Others have run commands: a look is all there is time for, and they get as long.
    let pause_us = bench.node.trim_step(&mut clock).expect("there is more");
    assert_eq!(bench.node.state.trimming.removed, 64);
    assert!((250..1000).contains(&pause_us), "{pause_us}");
    // Four looks make a millisecond, when nobody else wants the node.
    assert_eq!(bench.node.trim_step(&mut clock), Some(0));
    assert_eq!(bench.node.state.trimming.removed, 5 * 64);
    bench.run("ping");
    assert!(bench.node.trim_step(&mut clock) > Some(0));
}

#[test]
fn the_driver_is_asked_once_and_told_when_there_is_nothing_left() {
    let mut bench = with_keys(10);
    bench.node.take_outputs();
    bench.node.drop_slots(&[bar(), Slot::new(7).unwrap()]);
    bench.node.drop_slots(&[bar(), Slot::of(b"06S")]);
    let (asked, lines) = outputs(&mut bench);
    assert_eq!(asked, 1);
    assert_eq!(lines, ["Removing the keys of 1 slots: they are of no use here"; 2]);
    assert!(bench.node.state.is_trimming(bar()) && !bench.node.state.is_trimming(Slot::of(b"x")));
    trim(&mut bench);
    assert_eq!(outputs(&mut bench).1, ["Removed 11 keys of former slots in 0 ms"]);
    bench.run("set bar 1");
    bench.node.drop_slots(&[bar()]);
    assert_eq!(outputs(&mut bench).0, 1, "and again");
}

#[test]
fn a_slot_without_keys_is_shown_at_once() {
    let mut bench = with_keys(0);
    bench.node.state.hide_slots([bar()]);
    bench.node.drop_slots(&[bar()]);
    assert!(bench.node.state.keyspace.hidden().next().is_none());
    assert!(!bench.node.state.is_trimming(bar()));
}

#[test]
fn ticks_get_there_without_a_driver() {
    let mut bench = with_keys(1000);
    bench.node.drop_slots(&[bar()]);
    let mut ticks = 0;
    while bench.node.state.is_trimming(bar()) {
        bench.node.tick(bench.clock.0);
        ticks += 1;
    }
    assert_eq!(ticks, 4);
    play(&mut bench, "dbsize -> :1");
}

#[test]
fn a_slot_that_comes_back_is_served_once_its_former_keys_are_gone() {
    let mut bench = with_keys(300);
    bench.node.drop_slots(&[bar()]);
    play(
        &mut bench,
        "set {bar}1 new -> -TRYAGAIN Slot is being trimmed
         get {bar}1 -> -TRYAGAIN Slot is being trimmed
         multi -> +OK
         get {bar}1 -> -TRYAGAIN Slot is being trimmed
         exec -> -EXECABORT Transaction discarded because of previous errors.
         spublish {bar}1 m -> :0
         get foo -> -MOVED 12182 10.0.0.2:7002
         strlen {06S} -> :2",
    );
    trim(&mut bench);
    play(&mut bench, "get {bar}1 -> $-1\nset {bar}1 new -> +OK\nget {bar}1 -> $3 new");
}

#[test]
fn an_import_waits_until_former_keys_are_gone() {
    let mut bench = with_keys(300);
    ask(&mut bench, "cluster delslots 5061");
    bench.node.drop_slots(&[bar()]);
    play(
        &mut bench,
        "cluster setslot 5061 importing <b> -> -ERR Slot 5061 is being trimmed: keys that were here before are still being removed, try again later
         cluster setslot 5061 stable -> +OK
         cluster addslots 5061 -> +OK
         get {bar}1 -> -TRYAGAIN Slot is being trimmed
         cluster setslot 5061 migrating <b> -> +OK",
    );
    trim(&mut bench);
    play(
        &mut bench,
        "cluster delslots 5061 -> +OK
         cluster setslot 5061 importing <b> -> +OK",
    );
}

#[test]
fn a_replica_leaves_what_there_is_to_its_primary() {
    let mut bench = with_keys(300);
    bench.node.drop_slots(&[bar()]);
    bench.node.state.hide_slots([Slot::of(b"06S")]);
    bench.log();
    let address = PrimaryAddress { host: "10.0.0.2".to_owned(), port: 7001 };
    bench.node.state.set_primary(Some(address));
    assert!(!bench.node.state.is_trimming(bar()));
    assert_eq!(bench.node.state.keyspace.hidden().collect::<Vec<_>>(), [Slot::of(b"06S")]);
    assert_eq!(bench.node.trim_step(&mut bench.clock), None);
    bench.node.drop_slots(&[bar()]);
    bench.node.tick(bench.clock.0);
    assert_eq!((bench.node.state.keyspace.len(0), bench.log()), (300, String::new()));
}

#[test]
fn nothing_is_removed_while_the_dataset_stands_still() {
    let mut bench = with_keys(300);
    bench.node.drop_slots(&[bar()]);
    bench.log();
    let until_ms = bench.clock.0.unix_ms() + 1000;
    bench.node.state.pause = Some(Pause { until_ms, writes_only: true });
    assert!(bench.node.trim_step(&mut bench.clock).is_some_and(|pause_us| pause_us > 0));
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.log(), "");
    bench.node.state.pause = None;
    bench.node.state.stopping = true;
    assert!(bench.node.trim_step(&mut bench.clock).is_some_and(|pause_us| pause_us > 0));
    bench.node.state.stopping = false;
    // Nor while the committer is behind.
    bench.node.state.stream.pending = vec![b'x'; 2 << 20];
    assert!(bench.node.trim_step(&mut bench.clock).is_some_and(|pause_us| pause_us > 0));
    assert_eq!(bench.node.state.trimming.removed, 0);
    bench.node.state.stream.pending.clear();
    trim(&mut bench);
}

#[test]
fn a_flush_leaves_nothing_to_trim() {
    let mut bench = with_keys(300);
    bench.node.drop_slots(&[bar()]);
    bench.run("flushall");
    bench.log();
    trim(&mut bench);
    assert_eq!(bench.log(), "");
    assert!(!bench.node.state.keyspace.is_hidden(bar()));
}

#[test]
fn a_watched_key_of_a_slot_that_is_trimmed_fails_the_transaction() {
    let mut bench = with_keys(10);
    bench.run("watch {bar}1");
    bench.node.drop_slots(&[bar()]);
    trim(&mut bench);
    play(&mut bench, "multi -> +OK\nget {bar}1 -> +QUEUED\nexec -> *-1");
}
