//! Commands that wait for keys: who is served when, and what the log gets.

use super::cluster_tests::node;
use super::tests::Bench;
use crate::config::PrimaryAddress;
use crate::state::client::Peer;
use crate::state::{ClientId, Output};

/// A client that sends `line`, which has to make it wait.
fn waiter(bench: &mut Bench, line: &str) -> ClientId {
    let peer = Peer { loopback: true, ..Peer::default() };
    let id = bench.node.connect(peer, bench.clock.0).expect("there is room");
    let own = std::mem::replace(&mut bench.client, id);
    assert_eq!(bench.run(line), "", "{line} waits");
    bench.client = own;
    id
}

/// What clients were told since the last call, in order.
fn told(bench: &mut Bench) -> Vec<(ClientId, String)> {
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

fn popped(key: &str, item: &str) -> String {
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
fn waits_end_at_their_very_moment() {
    let mut bench = Bench::new();
    let long = waiter(&mut bench, "blpop a 0.0105");
    let short = waiter(&mut bench, "blmove a b left left 0.002");
    waiter(&mut bench, "blpop a 0");
    let deadlines = bench.node.take_outputs();
    assert_eq!(deadlines, [Output::Deadline, Output::Deadline], "each is sooner than the last");
    let start_ms = bench.clock.0.unix_ms();
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), Some(start_ms + 2));
    bench.clock.advance_ms(2);
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), Some(start_ms + 11));
    assert_eq!(told(&mut bench), [(short, "$-1\r\n".to_owned())]);
    bench.clock.advance_ms(9);
    assert_eq!(bench.node.end_due_waits(&mut bench.clock), None);
    assert_eq!(told(&mut bench), [(long, "*-1\r\n".to_owned())]);
    let stats = bench.run("info commandstats");
    assert!(stats.contains("cmdstat_blpop:calls=1,"), "{stats}");
    for (timeout, error) in [
        ("-1", "timeout is negative"),
        ("x", "timeout is not a float or out of range"),
        ("1e300", "timeout is out of range"),
    ] {
        assert_eq!(bench.run(&format!("blpop a {timeout}")), format!("-ERR {error}\r\n"));
    }
}

#[test]
fn a_wait_can_be_broken_off() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop a 0");
    let two = waiter(&mut bench, "blpop a 0");
    let three = waiter(&mut bench, "blpop a 0");
    assert!(bench.run("info clients").contains("blocked_clients:3\r\n"));
    assert_eq!(bench.run(&format!("client unblock {}", one.0)), ":1\r\n");
    assert_eq!(bench.run(&format!("client unblock {} error", two.0)), ":1\r\n");
    assert_eq!(bench.run(&format!("client unblock {}", one.0)), ":0\r\n");
    let error = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n".to_owned();
    assert_eq!(told(&mut bench), [(one, "*-1\r\n".to_owned()), (two, error)]);
    bench.node.disconnect(three);
    bench.run("rpush a 1");
    assert_eq!((told(&mut bench), bench.run("llen a")), (Vec::new(), ":1\r\n".to_owned()));
}

#[test]
fn a_node_that_becomes_a_replica_lets_nobody_wait() {
    let mut bench = Bench::new();
    let one = waiter(&mut bench, "blpop a 0");
    bench.node.take_outputs();
    let address = PrimaryAddress { host: "h".to_owned(), port: 1 };
    bench.node.state.set_primary(Some(address));
    let told = told(&mut bench);
    assert_eq!(told.len(), 1);
    assert!(told[0].0 == one && told[0].1.starts_with("-UNBLOCKED "), "{told:?}");
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
