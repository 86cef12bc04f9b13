//! FAILOVER and stops: a primary hands its place over, and nothing is sent twice for it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::logs::compare;
use crate::node::{Kind, Node, settle};
use crate::peer::words;
use crate::server::wait_for;

use Kind::{Ours, Stock};

const LOG: [&str; 2] = ["--appendonly", "yes"];

/// Goal: the replica takes over with everything, the old primary follows it with a partial resync.
fn hands_over([old, new]: [Kind; 2]) {
    let old = Node::start(old, None, &LOG);
    let new = Node::start(new, Some(&old), &LOG);
    old.fill("key", 200, 100);
    settle(&old, &new);
    let asked = old.ask(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", new.port));
    assert_eq!(asked, "+OK\r\n", "{:?} to {:?}", old.kind, new.kind);
    wait_for("the replica in the primary's place", || {
        (new.info("role") == "master" && old.info("role") == "slave").then_some(())
    });
    wait_for("the end of it", || {
        (old.info("master_failover_state") == "no-failover").then_some(())
    });
    assert_eq!(new.ask("SET later 1"), "+OK\r\n");
    settle(&new, &old);
    assert_eq!(new.syncs(), (0, 1), "{:?} to {:?}", old.kind, new.kind);
    if old.kind == Ours && new.kind == Ours {
        assert!(compare(&new, &old) > 0);
    }
}

#[test]
fn a_failover_costs_no_full_resync() {
    hands_over([Ours, Ours]);
    hands_over([Ours, Stock]);
    hands_over([Stock, Ours]);
}

/// Nobody may be a primary beside the new one, and nobody waits for ever.
#[test]
fn a_failover_that_is_forced_leaves_one_primary() {
    let old = Node::start(Ours, None, &LOG);
    let new = Node::start(Ours, Some(&old), &LOG);
    old.fill("key", 50, 100);
    settle(&old, &new);
    // The replica's link stands still, so it lacks what comes now, and the time runs out.
    old.front.cut();
    let mut writer = old.client();
    writer.run(&[words("SET extra 1")]);
    wait_for("its return", || new.is_linked().then_some(()));
    let forced = format!("FAILOVER TO 127.0.0.1 {} FORCE TIMEOUT 1", new.port);
    assert_eq!(old.ask(&forced), "+OK\r\n");
    wait_for("one primary", || {
        let roles = [new.info("role"), old.info("role")];
        (roles == ["master", "slave"] && old.is_linked()).then_some(())
    });
    assert_eq!(old.info("master_failover_state"), "no-failover");
    assert!(old.ask("SET key x").starts_with("-READONLY"));
    settle(&new, &old);
}

#[test]
fn a_node_that_fails_over_takes_no_other_orders() {
    let old = Node::start(Ours, None, &LOG);
    let new = Node::start(Ours, Some(&old), &LOG);
    settle(&old, &new);
    // A target that has nothing behind it: a write that nobody has acknowledged keeps the failover waiting.
    let mut writer = old.client();
    let replies = writer.run(&[words("SET a 1"), words("FAILOVER"), words("REPLICAOF NO ONE")]);
    assert_eq!(replies[1], b"+OK\r\n");
    let refused = b"-ERR REPLICAOF not allowed while failing over.\r\n";
    assert_eq!(replies[2], refused, "{}", replies[2].escape_ascii());
    wait_for("the end of it", || (new.info("role") == "master").then_some(()));
}

/// Clients that have written far along one log are served when the node follows a primary with a shorter one.
#[test]
fn connections_outlive_a_longer_log() {
    let short = Node::start(Ours, None, &LOG);
    short.fill("key", 10, 10);
    let mut long = Node::start(Ours, None, &LOG);
    let mut client = long.client();
    let value = "x".repeat(1 << 20);
    for _ in 0..70 {
        client.run(&[words(&format!("SET big {value}"))]);
    }
    long.follow(&short);
    settle(&short, &long);
    for _ in 0..3 {
        assert_eq!(
            client.run(&[words("GET big"), words("PING")]),
            [b"$-1\r\n".to_vec(), b"+PONG\r\n".to_vec()]
        );
    }
}

/// The keyspace is exchanged while the stream comes in.
#[test]
fn a_replica_that_reloads_misses_nothing() {
    let primary = Node::start(Ours, None, &LOG);
    let replica = Node::start(Ours, Some(&primary), &LOG);
    // So much that a reload takes some tenths of a second.
    primary.fill("key", 400, 100_000);
    settle(&primary, &replica);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                primary.fill(&format!("more{round}"), 20, 100);
                if ends.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        for how in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
            assert_eq!(replica.ask(how), "+OK\r\n");
        }
        ends.store(true, Ordering::SeqCst);
    });
    settle(&primary, &replica);
}
