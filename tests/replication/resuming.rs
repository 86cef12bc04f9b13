//! Where the stream goes on after a stop: at its offset, in its database, with what had expired, from memory or from disk.

use crate::load::{Load, counted};
use crate::logs::compare;
use crate::node::{Kind, Node, settle};
use crate::peer::words;
use crate::server::wait_for;

use Kind::{Ours, Stock};

const LOG: [&str; 2] = ["--appendonly", "yes"];
const NO_LOG: [&str; 2] = ["--appendonly", "no"];

/// A restarted replica applied what followed in database 0, until the stream selected one.
#[test]
fn a_restarted_replica_goes_on_in_the_database_of_the_stream() {
    let primary = Node::start(Ours, None, &LOG);
    let mut replica = Node::start(Ours, Some(&primary), &LOG);
    let mut client = primary.client();
    client.run(&[words("SELECT 3"), words("SET before 1")]);
    settle(&primary, &replica);
    replica.kill();
    client.run(&[words("RENAME before behind")]);
    replica.restart();
    settle(&primary, &replica);
    assert_eq!(primary.syncs(), (1, 1));
}

/// An acknowledgement of offset 0 counted as none, and without one nothing follows a streamed snapshot.
#[test]
fn a_replica_of_an_empty_primary_gets_what_follows() {
    for kind in [Ours, Stock] {
        let streamed = [&NO_LOG[..], &["--repl-diskless-sync", "yes"]].concat();
        let primary = Node::start(Ours, None, &streamed);
        let replica = Node::start(kind, Some(&primary), &NO_LOG);
        settle(&primary, &replica);
        primary.play("SET first 1");
        settle(&primary, &replica);
    }
}

/// What was written while the first base was being prepared went to replicas and past the log.
#[test]
fn logs_switched_on_under_load_hold_the_stream() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut primary = Node::start(Ours, None, &NO_LOG);
    let mut replica = Node::start(Ours, Some(&primary), &NO_LOG);
    settle(&primary, &replica);
    let load = Load::start(primary.port, &mut random);
    for node in [&primary, &replica] {
        node.play("BGREWRITEAOF");
        wait_for("a log for once", || (node.info("aof_rewrite_in_progress") == "0").then_some(()));
        node.play("CONFIG SET appendonly yes");
        wait_for("the log", || {
            (node.info("aof_pending_rewrite") == "0" && node.info("aof_rewrite_in_progress") == "0")
                .then_some(())
        });
    }
    load.stop();
    settle(&primary, &replica);
    assert!(compare(&primary, &replica) > 0, "both logs hold some of the load");
    let before = counted(&mut primary.client());
    for node in [&mut primary, &mut replica] {
        node.set("--appendonly", "yes");
        node.kill();
    }
    primary.restart();
    replica.restart();
    settle(&primary, &replica);
    assert_eq!(primary.syncs().0, 0, "the logs say where the stream goes on");
    assert_eq!(counted(&mut primary.client()), before);
}

/// A replica that starts from a snapshot dropped keys that had expired, though the stream goes on to use them.
#[test]
fn a_replica_keeps_what_has_expired_in_its_snapshot() {
    let primary = Node::start(Ours, None, &LOG);
    let mut replica = Node::start(Ours, Some(&primary), &NO_LOG);
    primary.play("SET key value PX 5000\nSET twin value PX 5000");
    settle(&primary, &replica);
    replica.play("SAVE");
    replica.kill();
    primary.play("RENAME key other\nPERSIST other");
    wait_for("the expiry", || (primary.ask("GET twin") == "$-1\r\n").then_some(()));
    replica.restart();
    settle(&primary, &replica);
    assert_eq!(replica.ask("GET other"), "$5\r\nvalue\r\n");
    assert_eq!(primary.syncs(), (1, 1));
}

/// A replica that is away while `count` keys of `bytes` are written.
fn comes_back_from_disk(backlog: &str, count: usize, bytes: usize) {
    let settings = [&LOG[..], &["--repl-backlog-size", backlog]].concat();
    let primary = Node::start(Ours, None, &settings);
    let mut replica = Node::start(Ours, Some(&primary), &settings);
    primary.fill("before", 10, 100);
    settle(&primary, &replica);
    let before = primary.count("repl_stream_bytes_from_disk");
    let from = replica.position().1;
    replica.kill();
    primary.fill("missed", count, bytes);
    let missed = primary.position().1 - from;
    // Memory holds no more than that: the setting, and a block of 16 KiB.
    let kept = primary.count("repl_backlog_size") + (16 << 10);
    assert!(missed >= 100 * primary.count("repl_backlog_size"), "{missed} bytes were missed");
    replica.restart();
    settle(&primary, &replica);
    assert_eq!(primary.syncs(), (1, 1));
    // It is counted with the next tick.
    let what = format!("{missed} bytes from disk, but for at most {kept} that were in memory");
    let read = wait_for(&what, || {
        let read = primary.count("repl_stream_bytes_from_disk") - before;
        (read >= missed - kept).then_some(read)
    });
    compare(&primary, &replica);
    eprintln!("backlog {backlog}: {missed} bytes missed, {read} from disk");
}

#[test]
fn a_replica_comes_back_though_100_backlogs_were_missed() {
    comes_back_from_disk("16kb", 900, 2_000);
}

#[test]
fn a_replica_comes_back_though_100_large_backlogs_were_missed() {
    comes_back_from_disk("1mb", 220, 500_000);
}
