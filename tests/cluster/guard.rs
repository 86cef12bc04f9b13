//! A primary that comes back with less than its replicas have does not take the rest from them.

use std::time::Duration;

use crate::server::wait_for;
use crate::shards::Shards;
use crate::writers::ClusterClient;

/// Kills a primary, does something to its files, starts it again before its replica can take over, and looks for the data.
fn come_back_with(change: impl Fn(&std::path::Path)) {
    let mut shards =
        Shards::of_ours(&["--cluster-suspect-refused", "no", "--cluster-node-timeout", "8000"]);
    let ports: Vec<u16> = shards.members.iter().map(|member| member.port).collect();
    let mut client = ClusterClient::new(&ports);
    for number in 0..100 {
        let key = format!("{{key}}{number}");
        assert_eq!(client.ask(&key, &format!("SET {key} x")).as_deref(), Some("+OK\r\n"));
    }
    let primary = shards.owner("key");
    let replica = shards.replicas(primary)[0];
    assert_eq!(client.ask_again("key", "WAIT 1 5000").as_deref(), Some(":1\r\n"));
    shards.members[primary].kill();
    change(shards.members[primary].folder.path());
    shards.members[primary].restart();
    wait_for("a new primary", || shards.members[replica].is_primary().then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    shards.heal();
    for number in 0..100 {
        let key = format!("{{key}}{number}");
        assert_eq!(
            client.ask(&key, &format!("GET {key}")).as_deref(),
            Some("$1\r\nx\r\n"),
            "{key}"
        );
    }
    assert!(!shards.members[primary].is_primary());
    assert_eq!(shards.members[primary].ask("DBSIZE"), shards.members[replica].ask("DBSIZE"));
}

#[test]
fn an_emptied_primary_does_not_empty_its_replicas() {
    come_back_with(|folder| std::fs::remove_dir_all(folder.join("appendonlydir")).unwrap());
}

#[test]
fn a_rolled_back_primary_does_not_roll_back_its_replicas() {
    come_back_with(|folder| {
        let folder = folder.join("appendonlydir");
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let log = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
        let bytes = std::fs::read(&log).unwrap();
        std::fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    });
}

/// A replica that has never had the data of its primary must not take its place: the primary would lose them to it when it
/// comes back.
#[test]
fn a_replica_of_another_shard_does_not_take_over() {
    let mut shards = Shards::of_ours(&[]);
    let ports: Vec<u16> = shards.members.iter().map(|member| member.port).collect();
    let mut client = ClusterClient::new(&ports);
    for number in 0..50 {
        for tag in ["key", "bar"] {
            let key = format!("{{{tag}}}{number}");
            assert_eq!(client.ask(&key, &format!("SET {key} x")).as_deref(), Some("+OK\r\n"));
        }
    }
    let (dead, other) = (shards.owner("key"), shards.owner("bar"));
    assert_ne!(dead, other, "the two keys are in two shards");
    let (dead_replica, stranger) = (shards.replicas(dead)[0], shards.replicas(other)[0]);
    let id = shards.members[dead].id();
    shards.members[dead_replica].kill();
    shards.members[dead].kill();
    assert_eq!(shards.members[stranger].ask(&format!("CLUSTER REPLICATE {id}")), "+OK\r\n");
    std::thread::sleep(Duration::from_secs(5));
    assert!(!shards.members[stranger].is_primary(), "{}", shards.members[stranger].said());
    shards.members[dead].restart();
    shards.members[dead_replica].restart();
    shards.heal();
    for number in 0..50 {
        let key = format!("{{key}}{number}");
        assert_eq!(
            client.ask(&key, &format!("GET {key}")).as_deref(),
            Some("$1\r\nx\r\n"),
            "{key}"
        );
    }
}
