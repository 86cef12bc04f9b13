//! What primaries and replicas say of themselves, whom they let in, and what a replica refuses.

use std::process::{Command, Stdio};

use crate::logs::{LogStream, compare};
use crate::node::{Kind, Node, settle};
use crate::peer::words;
use crate::server::wait_for;

use Kind::{Ours, Stock};

const LOG: [&str; 2] = ["--appendonly", "yes"];

/// Names of the fields of INFO replication, in their order.
fn field_names(node: &Node) -> Vec<String> {
    let info = node.ask("INFO replication");
    let names = info.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// A reply with its numbers and addresses left out.
fn form(reply: &str) -> String {
    let lines = reply.lines().filter(|line| !line.starts_with('$'));
    let form = lines.map(|line| line.replace(|c: char| c.is_ascii_digit(), ""));
    form.collect::<Vec<_>>().join(" ")
}

#[test]
fn both_roles_describe_themselves_as_stock_does() {
    let described = [Stock, Ours].map(|kind| {
        let mut primary = Node::start(kind, None, &[]);
        let replica = Node::start(kind, Some(&primary), &[]);
        primary.play("SET key value");
        settle(&primary, &replica);
        wait_for("an online replica", || {
            primary.ask("INFO replication").contains("state=online").then_some(())
        });
        let mut found = vec![field_names(&primary), field_names(&replica)];
        for node in [&primary, &replica] {
            found.push(vec![form(&node.ask("ROLE"))]);
        }
        primary.kill();
        wait_for("a lost link", || (!replica.is_linked()).then_some(()));
        found.push(field_names(&replica));
        found
    });
    assert_eq!(described[0], described[1]);
}

#[test]
fn a_replica_is_listed_and_can_be_killed_as_one() {
    let primary = Node::start(Ours, None, &LOG);
    for kind in [Ours, Stock] {
        let replica = Node::start(kind, Some(&primary), &LOG);
        settle(&primary, &replica);
        let list = primary.ask("CLIENT LIST TYPE replica");
        assert!(list.contains(" flags=S "), "{list}");
        let before = primary.syncs();
        assert_eq!(primary.ask("CLIENT KILL TYPE replica"), ":1\r\n");
        wait_for("its return", || (primary.syncs().1 > before.1).then_some(()));
        settle(&primary, &replica);
        assert_eq!(primary.syncs().0, before.0, "it goes on where it was");
    }
}

#[test]
fn a_replica_without_the_password_is_turned_away() {
    let primary = Node::start(Ours, None, &LOG);
    let mut stranger = Node::start(Ours, None, &LOG);
    let mut friend = Node::start(Ours, None, &[&LOG[..], &["--masterauth", "secret"]].concat());
    primary.play("SET key value\nCONFIG SET requirepass secret");
    stranger.follow(&primary);
    friend.follow(&primary);
    wait_for("the friend's link", || friend.is_linked().then_some(()));
    wait_for("the value", || (friend.ask("GET key") == "$5\r\nvalue\r\n").then_some(()));
    wait_for("a refusal", || stranger.said().contains("-NOAUTH").then_some(()));
    assert!(!stranger.is_linked());
    stranger.play("CONFIG SET masterauth wrong");
    wait_for("another one", || stranger.said().contains("Unable to AUTH to MASTER").then_some(()));
    stranger.play("CONFIG SET masterauth secret");
    wait_for("the stranger's link", || stranger.is_linked().then_some(()));
}

#[test]
fn a_replica_refuses_writes_unless_told_otherwise() {
    let primary = Node::start(Ours, None, &LOG);
    let replica = Node::start(Ours, Some(&primary), &LOG);
    settle(&primary, &replica);
    assert!(replica.ask("SET local 1").starts_with("-READONLY"));
    replica.play(
        "CONFIG SET replica-read-only no\nSET local only-here\nDEL local\nSET local only-here",
    );
    primary.play("SET key value\nSELECT 1\nSET other value");
    wait_for("the stream", || (primary.position() == replica.position()).then_some(()));
    assert_eq!(replica.ask("GET key"), "$5\r\nvalue\r\n");
    assert_eq!(replica.ask("GET local"), "$9\r\nonly-here\r\n");
    assert!(compare(&primary, &replica) > 0);
    let log = LogStream::read(replica.path()).bytes;
    assert!(!log.windows(9).any(|window| window == b"only-here"), "a local write is in the log");
}

#[test]
fn a_replica_that_must_not_show_old_data_says_so() {
    let mut primary = Node::start(Ours, None, &LOG);
    let settings = [&LOG[..], &["--replica-serve-stale-data", "no"]].concat();
    let replica = Node::start(Ours, Some(&primary), &settings);
    primary.play("SET key value");
    settle(&primary, &replica);
    primary.kill();
    wait_for("a refusal", || replica.ask("GET key").starts_with("-MASTERDOWN").then_some(()));
    assert_eq!(
        replica.ask("PING"),
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
    );
    assert_eq!(replica.info("role"), "slave");
    primary.restart();
    wait_for("the value", || (replica.ask("GET key") == "$5\r\nvalue\r\n").then_some(()));
}

/// Goal: a replica hides what has expired, and removes it when its primary says so. Method: a stock primary that deletes
/// expired keys only when somebody asks for them.
#[test]
fn an_expired_key_is_hidden_and_goes_with_the_primarys_del() {
    let primary = Node::start(Stock, None, &[]);
    let replica = Node::start(Ours, Some(&primary), &LOG);
    primary.play("DEBUG SET-ACTIVE-EXPIRE 0\nSET key value PX 200");
    settle(&primary, &replica);
    wait_for("the expiry", || (replica.ask("GET key") == "$-1\r\n").then_some(()));
    let (_, offset) = replica.position();
    assert_eq!(replica.ask("EXISTS key"), ":0\r\n");
    assert_eq!(replica.ask("DBSIZE"), ":1\r\n", "it is still there");
    assert_eq!(replica.position().1, offset, "a replica says nothing in the stream");
    assert_eq!(primary.ask("GET key"), "$-1\r\n");
    wait_for("the DEL", || (replica.ask("DBSIZE") == ":0\r\n").then_some(()));
    settle(&primary, &replica);
}

#[test]
fn tools_of_stock_take_a_snapshot_and_the_stream() {
    for log in ["yes", "no"] {
        let primary = Node::start(Ours, None, &["--appendonly", log]);
        primary.fill("key", 300, 100);
        let file = primary.path().join("taken.rdb");
        let port = primary.port.to_string();
        let mut command = Command::new("redis-cli");
        let taken = command.args(["-p", &port, "--rdb"]).arg(&file).output().unwrap();
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
        let checked = Command::new("redis-check-rdb").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

        let heard = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port, "--replica"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut listener = command.stdout(heard.reopen().unwrap()).spawn().unwrap();
        wait_for("an online replica", || {
            primary.ask("INFO replication").contains("state=online").then_some(())
        });
        primary.client().run(&[words("SELECT 5"), words("SET spoken-of value")]);
        wait_for("the stream", || {
            let text = std::fs::read_to_string(heard.path()).unwrap();
            text.contains("\"spoken-of\",\"value\"").then_some(())
        });
        listener.kill().unwrap();
        listener.wait().unwrap();
    }
}

/// A full sync of a replica whose setting says what its clients see meanwhile: the old data, or that it is loading.
fn seen_while_syncing(load: &str, log: &str) -> Vec<String> {
    let primary = Node::start(Ours, None, &LOG);
    primary.fill("big", 300, 100_000);
    let settings =
        ["--appendonly", log, "--repl-diskless-load", load, "--replica-serve-stale-data", "yes"];
    let mut replica = Node::start(Ours, None, &settings);
    replica.play("SET own data");
    replica.follow(&primary);
    let mut seen = Vec::new();
    wait_for("the end of the sync", || {
        let reply = replica.ask("GET own");
        if !seen.contains(&reply) {
            seen.push(reply);
        }
        replica.is_linked().then_some(())
    });
    settle(&primary, &replica);
    assert_eq!(replica.ask("DEBUG DIGEST"), primary.ask("DEBUG DIGEST"));
    seen
}

#[test]
fn old_data_are_shown_until_the_new_are_there_where_that_is_wanted() {
    for log in ["yes", "no"] {
        let seen = seen_while_syncing("swapdb", log);
        let allowed = ["$4\r\ndata\r\n", "$-1\r\n"];
        assert!(seen.iter().all(|reply| allowed.contains(&reply.as_str())), "{seen:?}");
        seen_while_syncing("disabled", log);
    }
}

#[test]
fn a_replica_leaves_eviction_to_its_primary() {
    let primary = Node::start(Ours, None, &LOG);
    let eviction = ["--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru"];
    let replica = Node::start(Ours, Some(&primary), &[&LOG[..], &eviction].concat());
    primary.fill("key", 300, 10_000);
    settle(&primary, &replica);
    assert_eq!(replica.ask("DBSIZE"), primary.ask("DBSIZE"));
    assert_eq!(replica.info("evicted_keys"), "0");
}
