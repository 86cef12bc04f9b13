//! Settings of a cluster, by what they change.

use std::time::Duration;

use highwater::keyspace::Slot;

use crate::member::{Kind, Member};
use crate::server::wait_for;
use crate::shards::{Shards, TIMEOUT_MS};

use Kind::{Ours, Stock};

#[track_caller]
fn set(member: &Member, name: &str, value: &str) {
    assert_eq!(member.ask(&format!("CONFIG SET {name} {value}")), "+OK\r\n", "{name}");
}

/// Waits until `seen_by` takes the node with this id for failed.
fn wait_for_fail(id: &str, seen_by: &Member) {
    wait_for("a failed node", || {
        let nodes = seen_by.ask("CLUSTER NODES");
        let line = nodes.lines().find(|line| line.starts_with(id)).expect("it is known");
        line.contains("fail ").then_some(())
    });
}

/// A key that the node at `index` serves.
fn key_of(shards: &Shards, index: usize) -> String {
    let mut keys = (0..).map(|number| format!("key:{number}"));
    keys.find(|key| shards.owner(key) == index).expect("every node has slots")
}

#[test]
fn a_shard_that_is_gone_stops_the_others_only_where_full_coverage_is_asked_for() {
    let mut shards = Shards::make(&[Ours, Stock, Ours], 0, &["--save", ""]);
    let keys: Vec<String> = (0..3).map(|index| key_of(&shards, index)).collect();
    let (id, address) = (shards.members[2].id(), shards.members[2].address());
    for (member, key) in shards.members.iter().zip(&keys).take(2) {
        assert_eq!(member.ask(&format!("SET {key} x")), "+OK\r\n");
    }
    shards.members[2].kill();
    for (member, key) in shards.members.iter().zip(&keys).take(2) {
        let (read, write) = (format!("GET {key}"), format!("SET {key} x"));
        wait_for_fail(&id, member);
        wait_for("a refusal", || member.ask(&read).starts_with("-CLUSTERDOWN").then_some(()));
        assert_eq!(member.ask(&write), "-CLUSTERDOWN The cluster is down\r\n");
        set(member, "cluster-allow-reads-when-down", "yes");
        assert_eq!(member.ask(&read), "$1\r\nx\r\n");
        let told = "-CLUSTERDOWN The cluster is down and only accepts read commands\r\n";
        assert_eq!(member.ask(&write), told);
        set(member, "cluster-allow-reads-when-down", "no");
        set(member, "cluster-require-full-coverage", "no");
        wait_for("a write", || (member.ask(&write) == "+OK\r\n").then_some(()));
        // Who asks for what is gone is sent to where it was.
        let slot = Slot::of(keys[2].as_bytes()).number();
        let told = member.ask(&format!("GET {}", keys[2]));
        assert_eq!(told, format!("-MOVED {slot} {address}\r\n"), "{:?}", member.kind);
        set(member, "cluster-require-full-coverage", "yes");
        // Stock looks again when something else has changed.
        wait_for("a refusal", || {
            let refuses = member.kind == Stock || member.ask(&read).starts_with("-CLUSTERDOWN");
            refuses.then_some(())
        });
    }
    shards.members[2].restart();
    shards.heal();
}

#[test]
fn a_replica_that_must_not_does_not_take_over() {
    let mut shards = Shards::of_ours(&[]);
    let primary = shards.owner("key");
    let replica = shards.replicas(primary)[0];
    let id = shards.members[primary].id();
    set(&shards.members[replica], "cluster-replica-no-failover", "yes");
    shards.members[primary].kill();
    let other = (0..6).find(|index| ![primary, replica].contains(index)).unwrap();
    wait_for_fail(&id, &shards.members[other]);
    // Several times as long as it would take.
    std::thread::sleep(Duration::from_millis(1000));
    assert!(!shards.members[replica].is_primary());
    let flags = shards.members[other].ask("CLUSTER NODES");
    assert!(flags.contains("nofailover"), "{flags}");
    set(&shards.members[replica], "cluster-replica-no-failover", "no");
    wait_for("a new primary", || shards.members[replica].is_primary().then_some(()));
    shards.members[primary].restart();
    shards.heal();
    // By an operator's word it would have anyway.
    set(&shards.members[primary], "cluster-replica-no-failover", "yes");
    assert_eq!(shards.members[primary].ask("CLUSTER FAILOVER"), "+OK\r\n");
    wait_for("the way back", || shards.members[primary].is_primary().then_some(()));
    shards.heal();
}

#[test]
fn a_replica_whose_data_are_too_old_does_not_stand() {
    let settings = ["--cluster-replica-validity-factor", "1", "--repl-ping-replica-period", "1"];
    let shards = Shards::of_ours(&settings);
    let primary = shards.owner("key");
    let replica = &shards.members[shards.replicas(primary)[0]];
    set(replica, "cluster-replica-no-failover", "yes");
    shards.members[primary].pause(true);
    // Older than the period and two timeouts together.
    std::thread::sleep(Duration::from_millis(5000));
    set(replica, "cluster-replica-no-failover", "no");
    wait_for("a reason", || {
        replica.said().contains("Disconnected from master for longer than allowed").then_some(())
    });
    assert!(!replica.is_primary());
    // However old: no factor, no bound.
    set(replica, "cluster-replica-validity-factor", "0");
    wait_for("a new primary", || replica.is_primary().then_some(()));
    shards.members[primary].pause(false);
    shards.heal();
}

#[test]
fn a_primary_that_lost_its_replica_gets_a_spare_one() {
    let mut shards = Shards::of_ours(&[]);
    let [rich, poor] = [0, 1].map(|number| {
        (0..6).filter(|index| shards.members[*index].is_primary()).nth(number).expect("three are")
    });
    let settings = ["--cluster-node-timeout", TIMEOUT_MS, "--cluster-migration-barrier", "1"];
    shards.members.push(Member::start(Ours, &settings));
    let spare = shards.members.last().expect("it was added");
    let at = &shards.members[rich];
    assert_eq!(spare.ask(&format!("CLUSTER MEET 127.0.0.1 {}", at.port)), "+OK\r\n");
    let replicate = format!("CLUSTER REPLICATE {}", at.id());
    wait_for("an acquaintance", || (spare.ask(&replicate) == "+OK\r\n").then_some(()));
    shards.heal();
    let replicas = shards.replicas(rich);
    assert_eq!(replicas.len(), 2);
    // The barrier holds both back.
    for index in replicas.clone() {
        set(&shards.members[index], "cluster-migration-barrier", "2");
    }
    let lost = shards.replicas(poor)[0];
    let id = shards.members[lost].id();
    shards.members[lost].kill();
    wait_for_fail(&id, &shards.members[poor]);
    // It would have moved five seconds after.
    std::thread::sleep(Duration::from_millis(5500));
    assert_eq!(shards.replicas(rich).len(), 2);
    for index in replicas {
        set(&shards.members[index], "cluster-migration-barrier", "1");
    }
    wait_for("a replica for the other one", || (shards.replicas(rich).len() == 1).then_some(()));
    wait_for("a sync", || {
        let replication = shards.members[poor].ask("INFO replication");
        replication.contains("connected_slaves:1\r\n").then_some(())
    });
    shards.members[lost].restart();
    shards.heal();
}

#[test]
fn a_primary_with_too_few_replicas_takes_no_writes() {
    let mut shards = Shards::of_ours(&["--min-replicas-to-write", "1"]);
    let primary = shards.owner("key");
    let replica = shards.replicas(primary)[0];
    wait_for("a write", || (shards.members[primary].ask("SET key x") == "+OK\r\n").then_some(()));
    shards.members[replica].kill();
    let told = "-NOREPLICAS Not enough good replicas to write.\r\n";
    wait_for("a refusal", || (shards.members[primary].ask("SET key x") == told).then_some(()));
    assert_eq!(shards.members[primary].ask("GET key"), "$1\r\nx\r\n");
    shards.members[replica].restart();
    wait_for("a write", || (shards.members[primary].ask("SET key x") == "+OK\r\n").then_some(()));
    shards.heal();
}
