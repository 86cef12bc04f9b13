//! Commands that wait for keys: who is served when, and what the log gets.

use super::cluster_tests::node;
use super::tests::Bench;
use crate::clock::mono_us;
use crate::keyspace::{HashKey, Keyspace};
use crate::state::client::Peer;
use crate::state::persistence::Beside;
use crate::state::{ClientId, Output};

pub(super) fn connect(bench: &mut Bench) -> ClientId {
    let peer = Peer { loopback: true, ..Peer::default() };
    bench.node.connect(peer, bench.clock.0).expect("there is room")
}

/// A client that sends `line`, which has to make it wait.
pub(super) fn waiter(bench: &mut Bench, line: &str) -> ClientId {
    let id = connect(bench);
    let own = std::mem::replace(&mut bench.client, id);
    assert_eq!(bench.run(line), "", "{line} waits");
    bench.client = own;
    id
}

fn waiters(bench: &mut Bench, count: usize, line: &str) {
    for _ in 0..count {
        waiter(bench, line);
    }
}

/// What clients were told since the last call, in order.
pub(super) fn told(bench: &mut Bench) -> Vec<(ClientId, String)> {
    let outputs = bench.node.take_outputs();
    let resumed = outputs.iter().filter(|one| matches!(one, Output::Resume { .. })).count();
    let replies: Vec<(ClientId, String)> = outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::Push { client, bytes } | Output::Answer { client, bytes, .. } => {
                Some((client, String::from_utf8(bytes).expect("text")))
            }
            _ => None,
        })
        .collect();
    assert_eq!(replies.len(), resumed, "who is told goes on");
    replies
}

pub(super) fn popped(key: &str, item: &str) -> String {
    format!("*2\r\n${}\r\n{key}\r\n${}\r\n{item}\r\n", key.len(), item.len())
}

#[test]
fn who_came_first_is_served_first_and_the_log_sees_plain_pops() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop a b 0");
    let two = waiter(&mut bench, "brpop b a 0");
    let three = waiter(&mut bench, "blpop a 0");
    assert_eq!(bench.run("rpush a 1 2\nrpush c 1"), ":2\r\n:1\r\n");
    assert_eq!(told(&mut bench), [(one, popped("a", "1")), (two, popped("a", "2"))]);
    assert_eq!(bench.log(), "SELECT 0\nrpush a 1 2\nLPOP a\nRPOP a\nrpush c 1");
    assert_eq!(bench.run("exists a\nrename c a\nexists a"), ":0\r\n+OK\r\n:0\r\n");
    assert_eq!(told(&mut bench), [(three, popped("a", "1"))]);
    assert!(bench.node.state.key_waits.is_empty() && bench.node.state.keyspace.waited_keys() == 0);
}

#[test]
fn a_transaction_is_whole_before_anybody_is_served() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop a 0");
    bench.run("multi\nrpush a 1\nrpush a 2\nlpop a\nexec");
    assert_eq!(told(&mut bench), [(one, popped("a", "2"))]);
    assert_eq!(bench.log(), "MULTI\nSELECT 0\nrpush a 1\nrpush a 2\nlpop a\nEXEC\nLPOP a");
    waiter(&mut bench, "blpop a 0");
    bench.run("multi\nrpush a 1\ndel a\nexec");
    assert_eq!(told(&mut bench), []);
    assert_eq!(bench.run("multi\nblpop nothing 0\nexec"), "+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n");
}

#[test]
fn one_that_is_served_may_serve_the_next() {
    let mut bench = Bench::new();
    let last = waiter(&mut bench, "blpop c 0");
    let second = waiter(&mut bench, "blmove b c left left 0");
    let first = waiter(&mut bench, "brpoplpush a b 0");
    bench.run("rpush a x");
    let item = || "$1\r\nx\r\n".to_owned();
    assert_eq!(told(&mut bench), [(first, item()), (second, item()), (last, popped("c", "x"))]);
    let log = bench.log();
    assert_eq!(log, "SELECT 0\nrpush a x\nRPOPLPUSH a b\nLMOVE b c left left\nLPOP c");
}

#[test]
fn a_value_of_another_type_serves_nobody() {
    let mut bench = Bench::new();
    waiter(&mut bench, "blpop a 0");
    waiter(&mut bench, "bzpopmin a 0");
    bench.run("set a x\nsadd s 1\ndel a\nselect 1\nrpush a 1");
    assert_eq!(told(&mut bench), []);
    bench.run("select 0\nzadd a 1 m");
    assert_eq!(told(&mut bench).len(), 1);
}

#[test]
fn who_waits_for_a_slot_that_moves_away_is_sent_there() {
    let mut bench = node('a');
    let one = waiter(&mut bench, "blpop bar 0");
    bench.node.tick(bench.clock.0);
    assert_eq!(told(&mut bench), [], "the slot is here");
    let target = "b".repeat(40);
    bench.run(&format!("cluster setslot 5061 node {target}"));
    bench.node.tick(bench.clock.0);
    let told = told(&mut bench);
    let moved = told.iter().find(|(id, _)| *id == one).map(|(_, reply)| reply.as_str());
    assert!(moved.is_some_and(|reply| reply.starts_with("-MOVED 5061 ")), "{told:?}");
}

/// `count` keys that hash to the slot of `bar`, which is 5061.
fn keys_of_bar(count: usize) -> String {
    (0..count).map(|number| format!("{{bar}}{number} ")).collect()
}

#[test]
fn a_tick_takes_no_time_for_the_keys_that_are_waited_for() {
    let mut bench = node('a');
    let keys = keys_of_bar(5000);
    waiters(&mut bench, 10, &format!("blpop {keys} 0"));
    let began_us = mono_us();
    (0..100).for_each(|_| bench.node.tick(bench.clock.0));
    let took_us = mono_us() - began_us;
    assert!(took_us < 1_000_000, "{took_us} us for 100 ticks");
}

#[test]
fn who_waits_on_a_replica_is_redirected_as_its_request_would_be() {
    let mut bench = node('d');
    let redirected = bench.run("xread block 0 streams bar $");
    assert!(redirected.starts_with("-MOVED 5061 "), "{redirected}");
    bench.run("readonly");
    let id = bench.client;
    assert_eq!(bench.run("xread block 0 streams bar $"), "");
    bench.node.tick(bench.clock.0);
    assert_eq!(told(&mut bench), []);
    bench.node.state.clients.get_mut(id).expect("it is connected").readonly = false;
    bench.node.tick(bench.clock.0);
    assert_eq!(told(&mut bench), [(id, redirected)]);
}

#[test]
fn a_change_that_serves_nobody_asks_nobody() {
    let mut bench = Bench::new();
    waiters(&mut bench, 3000, "blpop l 0");
    waiters(&mut bench, 3000, "xread block 0 streams s 9-9");
    bench.run("xadd t 1-1 f v\nxgroup create t g $");
    waiters(&mut bench, 3000, "xreadgroup group g c block 0 streams t >");
    let began_us = mono_us();
    for round in 1..50 {
        bench.run("sadd l a\nsrem l a\nset l x\ndel l");
        bench.run(&format!("xadd s 1-{round} f v\nxdel s 1-{round}"));
        bench.run(&format!("multi\nxadd t 2-{round} f v\nxdel t 2-{round}\nexec"));
    }
    assert_eq!(told(&mut bench), []);
    let took_us = mono_us() - began_us;
    assert!(took_us < 4_000_000, "{took_us} us for 50 rounds");
    bench.run("rpush l 1\nxadd s 10 f v\nxadd t 3-1 f v");
    assert_eq!(told(&mut bench).len(), 1 + 3000 + 1);
}

#[test]
fn a_request_is_not_run_again_for_nothing() {
    let mut bench = Bench::new();
    bench.run("xadd s 1-1 f v\nxgroup create s g $");
    let ahead = waiter(&mut bench, "xread block 0 streams other s 0 1-3");
    let first = waiter(&mut bench, "xreadgroup group g c block 0 streams s >");
    waiter(&mut bench, "xreadgroup group g c block 0 streams s >");
    let looked = |bench: &Bench| {
        let stats = bench.node.state.keyspace.stats;
        stats.hits + stats.misses
    };
    let before = looked(&bench);
    bench.run("xadd s 1-2 f v");
    assert_eq!(told(&mut bench).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first]);
    let once = looked(&bench) - before;
    let before = looked(&bench);
    let alone = waiter(&mut bench, "xreadgroup group g c block 0 streams s >");
    let for_one = looked(&bench) - before;
    assert!(once <= for_one, "{once} lookups, one request takes {for_one}");
    bench.node.state.end_key_wait(alone);
    bench.run("xadd s 1-4 f v");
    assert!(told(&mut bench).iter().any(|(id, _)| *id == ahead));
    // An id that runs ahead of the entries is no entry.
    waiter(&mut bench, "xread block 0 streams s 1-4");
    let before = looked(&bench);
    bench.run("xsetid s 9-9");
    assert_eq!((looked(&bench) - before, told(&mut bench)), (0, Vec::new()));
}

#[test]
fn a_stream_named_twice_is_waited_for_from_the_lower_id() {
    let mut bench = Bench::new();
    for ids in ["9-9 1-1", "1-1 9-9"] {
        let id = waiter(&mut bench, &format!("xread block 0 streams s s {ids}"));
        bench.run("xadd s 1-2 f v");
        assert_eq!(told(&mut bench).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id], "{ids}");
        bench.run("del s");
    }
}

#[test]
fn a_group_that_goes_ends_its_waits_among_those_of_others() {
    let mut bench = Bench::new();
    bench.run("xgroup create s g $ mkstream\nxgroup create s h $");
    let of_g = waiter(&mut bench, "xreadgroup group g c block 0 streams s >");
    let plain = waiter(&mut bench, "xread block 0 streams s $");
    let of_h = waiter(&mut bench, "xreadgroup group h c block 0 streams s >");
    let names = |bench: &mut Bench| told(bench).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    bench.run("xgroup destroy s g");
    assert_eq!(names(&mut bench), [of_g]);
    bench.run("del s");
    assert_eq!(names(&mut bench), [of_h]);
    bench.run("sadd s x\ndel s\nxadd s * f v");
    assert_eq!(names(&mut bench), [plain]);
}

fn empty() -> Keyspace {
    Keyspace::new(16, HashKey::from_seed(2), 2)
}

#[test]
fn waits_outlive_the_data() {
    let mut bench = Bench::new();
    let reader = waiter(&mut bench, "xread block 0 streams s 5-5");
    let one = waiter(&mut bench, "blpop f 0");
    let two = waiter(&mut bench, "blpop f 0");
    let hurried = waiter(&mut bench, "blpop f 0.001");
    bench.node.take_outputs();
    bench.node.make_room_for_data(empty());
    bench.clock.advance_ms(1);
    bench.node.end_due_waits(&mut bench.clock);
    assert_eq!(told(&mut bench), [(hurried, "*-1\r\n".to_owned())]);
    let mut other = Bench::new();
    other.run("rpush f 1\nxadd s 5-6 a b\nselect 1\nrpush f other");
    let loaded = std::mem::replace(&mut other.node.state.keyspace, empty());
    bench.node.replace_data(loaded, Beside::default());
    bench.node.serve_ready(&mut bench.clock);
    let served = told(&mut bench);
    assert!(served[0].0 == reader && served[0].1.contains("5-6"), "{served:?}");
    assert_eq!(served[1..], [(one, popped("f", "1"))]);
    bench.run("rpush f 2");
    assert_eq!(told(&mut bench), [(two, popped("f", "2"))]);
    assert_eq!(bench.node.state.keyspace.waited_keys(), 0);
}
