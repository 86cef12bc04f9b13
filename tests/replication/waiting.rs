//! Clients that wait for replicas or keys, and primaries that want some.

use highwater::clock::mono_us;

use crate::node::{Kind, Node, settle};
use crate::peer::{Client, encode, words};
use crate::server::wait_for;

use Kind::{Ours, Stock};

const LOG: [&str; 2] = ["--appendonly", "yes"];

/// Sends lines over one connection at once, and returns the last reply.
fn last(node: &Node, lines: &str) -> String {
    let requests: Vec<_> = lines.lines().map(|line| words(line.trim())).collect();
    let reply = node.client().run(&requests).pop().unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn wait_counts_the_replicas_that_have_the_write() {
    let primary = Node::start(Ours, None, &LOG);
    assert_eq!(last(&primary, "SET a 1\nWAIT 0 0"), ":0\r\n");
    assert_eq!(last(&primary, "SET a 1\nWAIT 1 20"), ":0\r\n");
    let ours = Node::start(Ours, Some(&primary), &LOG);
    let mut stock = Node::start(Stock, Some(&primary), &[]);
    [&ours, &stock].into_iter().for_each(|replica| settle(&primary, replica));
    for number in 0..20 {
        assert_eq!(last(&primary, &format!("SET a {number}\nWAIT 2 0")), ":2\r\n");
    }
    assert_eq!(last(&primary, "SET a 2\nWAIT 3 50"), ":2\r\n", "the time runs out");
    let in_multi = last(&primary, "MULTI\nSET a 3\nWAIT 5 0\nEXEC");
    assert!(in_multi.starts_with("*2\r\n+OK\r\n:"), "{in_multi}");
    assert!(ours.ask("WAIT 0 0").starts_with("-ERR WAIT cannot be used with replica instances"));
    assert!(ours.ask("WAITAOF 0 0 0").starts_with("-ERR WAITAOF cannot be used with replica"));
    stock.kill();
    wait_for("its absence", || (primary.info("connected_slaves") == "1").then_some(()));
    assert_eq!(last(&primary, "SET a 4\nWAIT 1 0"), ":1\r\n");
    assert_eq!(last(&primary, "SET a 5\nWAIT 2 50"), ":1\r\n");
}

/// A WAIT of its own, behind a write whose reply has been read, is asked for at once and not with the next tick.
#[test]
fn a_wait_alone_takes_no_tick() {
    let primary = Node::start(Ours, None, &LOG);
    for kind in [Ours, Stock] {
        let replica = Node::start(kind, Some(&primary), &LOG);
        settle(&primary, &replica);
        let mut client = primary.client();
        let mut quick = 0;
        for number in 0..30 {
            client.run(&[words(&format!("SET a {number}"))]);
            let began_us = mono_us();
            assert_ne!(client.run(&[words("WAIT 1 0")])[0], b":0\r\n");
            quick += usize::from(mono_us() - began_us < 50_000);
        }
        // The tick behind one is the start of the next: none would be quick.
        assert!(quick >= 10, "{quick} of 30 took less than half a tick");
    }
}

/// WAIT also answers for what the connection has only read, whoever wrote it.
#[test]
fn who_has_read_a_write_waits_for_it() {
    for kind in [Ours, Stock] {
        let primary = Node::start(kind, None, &LOG);
        let replica = Node::start(Ours, Some(&primary), &LOG);
        settle(&primary, &replica);
        replica.pause(true);
        assert_eq!(primary.ask("SET a 1"), "+OK\r\n");
        assert_eq!(last(&primary, "GET a\nWAIT 1 30"), ":0\r\n", "{kind:?}");
        replica.pause(false);
        assert_eq!(last(&primary, "GET a\nWAIT 1 0"), ":1\r\n", "{kind:?}");
    }
}

#[test]
fn a_replica_of_ours_counts_for_a_stock_primary() {
    let primary = Node::start(Stock, None, &[]);
    let replica =
        Node::start(Ours, Some(&primary), &[&LOG[..], &["--appendfsync", "always"]].concat());
    settle(&primary, &replica);
    for number in 0..20 {
        assert_eq!(last(&primary, &format!("SET a {number}\nWAIT 1 0")), ":1\r\n");
    }
}

#[test]
fn waitaof_counts_the_logs_that_hold_the_write() {
    let primary = Node::start(Ours, None, &LOG);
    let logs = Node::start(Ours, Some(&primary), &LOG);
    let plain = Node::start(Ours, Some(&primary), &["--appendonly", "no"]);
    [&logs, &plain].into_iter().for_each(|replica| settle(&primary, replica));
    assert_eq!(last(&primary, "SET a 1\nWAITAOF 1 1 0"), "*2\r\n:1\r\n:1\r\n");
    let too_many = last(&primary, "SET a 2\nWAITAOF 1 2 2500");
    assert_eq!(too_many, "*2\r\n:1\r\n:1\r\n", "one of them keeps no log");
    let in_multi = last(&primary, "MULTI\nSET a 3\nWAITAOF 1 1 0\nEXEC");
    assert!(in_multi.starts_with("*2\r\n+OK\r\n*2\r\n:"), "{in_multi}");
    assert!(primary.ask("WAITAOF 2 0 0").starts_with("-ERR value is out of range"));
    let without = Node::start(Ours, None, &["--appendonly", "no"]);
    assert!(without.ask("WAITAOF 1 0 0").starts_with("-ERR WAITAOF cannot be used when numlocal"));
}

#[test]
fn writes_are_refused_while_too_few_replicas_keep_up() {
    let primary = Node::start(Ours, None, &[&LOG[..], &["--min-replicas-to-write", "1"]].concat());
    let refused = |line: &str| last(&primary, line).contains("-NOREPLICAS");
    assert!(refused("SET a 1") && !refused("GET a"));
    assert!(last(&primary, "MULTI\nSET a 1\nEXEC").starts_with("-EXECABORT"));
    for kind in [Ours, Stock] {
        let mut replica = Node::start(kind, Some(&primary), &[]);
        wait_for("a write", || (!refused("SET a 1")).then_some(()));
        settle(&primary, &replica);
        assert_eq!(primary.info("min_slaves_good_slaves"), "1");
        replica.kill();
        wait_for("a refusal", || refused("SET a 2").then_some(()));
    }
}

/// A client that has sent `line`, which makes it wait.
fn waiter(node: &Node, line: &str) -> Client {
    let before = node.count("blocked_clients");
    let mut client = node.client();
    client.send(&encode(&words(line))).unwrap();
    wait_for("one more that waits", || (node.count("blocked_clients") > before).then_some(()));
    client
}

#[test]
fn what_is_pushed_after_a_kill_stays() {
    for kind in [Stock, Ours] {
        let node = Node::start(kind, None, &LOG);
        for [before, after] in [["", ""], ["MULTI\n", "\nEXEC"]] {
            let _waiters: Vec<Client> = (0..3).map(|_| waiter(&node, "BLPOP L 0")).collect();
            let pushes = "CLIENT KILL TYPE normal\nRPUSH L x\nRPUSH L x\nRPUSH L x\nLLEN L";
            let replies = last(&node, &format!("{before}{pushes}{after}"));
            assert!(replies.ends_with(":3\r\n"), "{kind:?}: {replies}");
            assert_eq!(node.ask("DEL L"), ":1\r\n");
        }
    }
}

#[test]
fn who_waits_for_keys_is_served_after_a_reload() {
    for kind in [Stock, Ours] {
        let node = Node::start(kind, None, &LOG);
        for command in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
            let mut client = waiter(&node, "BLPOP f 0");
            assert_eq!(node.ask(command), "+OK\r\n");
            assert_eq!(node.ask("RPUSH f 1"), ":1\r\n");
            let reply = client.reply().unwrap();
            assert_eq!(reply, b"*2\r\n$1\r\nf\r\n$1\r\n1\r\n", "{kind:?} {command}");
        }
    }
}

#[test]
fn readers_of_a_replica_are_served_when_other_data_arrive() {
    let primary = Node::start(Ours, None, &LOG);
    let other = Node::start(Ours, None, &LOG);
    primary.play("XADD s 1-1 f v");
    other.play("XADD s 5-6 f v");
    for (kind, load) in [(Stock, "disabled"), (Ours, "disabled"), (Ours, "swapdb")] {
        let settings = [&LOG[..], &["--repl-diskless-load", load]].concat();
        primary.front.retarget(primary.port);
        let replica = Node::start(kind, Some(&primary), &settings);
        settle(&primary, &replica);
        let mut now = waiter(&replica, "XREAD BLOCK 0 STREAMS s 5-5");
        let mut later = waiter(&replica, "XREAD BLOCK 0 STREAMS t $");
        primary.front.retarget(other.port);
        primary.front.cut();
        settle(&other, &replica);
        assert!(now.reply().unwrap().ends_with(b"v\r\n"), "{kind:?} {load}");
        other.play("XADD t * f w");
        assert!(later.reply().unwrap().ends_with(b"w\r\n"), "{kind:?} {load}");
        other.play("DEL t");
    }
}

#[test]
fn who_waits_is_sent_away_when_the_node_gets_another_primary() {
    for kind in [Stock, Ours] {
        let (primary, other) = (Node::start(kind, None, &LOG), Node::start(kind, None, &LOG));
        let mut node = Node::start(kind, None, &LOG);
        let is_sent_away = |mut client: Client, line: &str| {
            let reply = client.reply().unwrap();
            let expected = b"-UNBLOCKED force unblock from blocking operation, instance state";
            assert!(reply.starts_with(expected), "{kind:?} {line}: {}", reply.escape_ascii());
            client.reply().expect_err("its connection is closed");
        };
        let lines = ["BLPOP l 0", "BZPOPMIN z 0", "XREAD BLOCK 0 STREAMS s $", "WAIT 1 0"];
        let clients = lines.map(|line| (waiter(&node, line), line));
        node.follow(&primary);
        clients.into_iter().for_each(|(client, line)| is_sent_away(client, line));
        settle(&primary, &node);
        let reader = waiter(&node, "XREAD BLOCK 0 STREAMS s $");
        node.follow(&other);
        is_sent_away(reader, "XREAD");
        settle(&other, &node);
        let mut reader = waiter(&node, "XREAD BLOCK 0 STREAMS s $");
        node.lead();
        node.play("XADD s * f v");
        assert!(reader.reply().unwrap().ends_with(b"v\r\n"), "{kind:?}");
    }
}
