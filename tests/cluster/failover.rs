//! Primaries die, and their replicas take their places.

use std::time::Duration;

use highwater::clock::mono_us;

use crate::member::Kind;
use crate::server::wait_for;
use crate::shards::Shards;
use crate::writers::{ClusterClient, Writers, check};

fn ports(shards: &Shards) -> Vec<u16> {
    shards.members.iter().map(|member| member.port).collect()
}

/// Kills the primary of a slot under load; its replica takes over, everything that WAIT confirmed is there, and the killed
/// one comes back as a replica. Returns how long the slot took no writes.
fn kill_a_primary(shards: &mut Shards) -> Duration {
    let ports = ports(shards);
    let writers = Writers::start(&ports, 3);
    std::thread::sleep(Duration::from_millis(400));
    let primary = shards.owner("key");
    shards.members[primary].kill();
    let began_us = mono_us();
    let mut client = ClusterClient::new(&ports);
    wait_for("a write behind the failover", || {
        let reply = client.ask("key", "SET key value");
        (reply.as_deref() == Some("+OK\r\n")).then_some(())
    });
    let took = Duration::from_micros(mono_us() - began_us);
    std::thread::sleep(Duration::from_millis(300));
    shards.members[primary].restart();
    shards.heal();
    let (confirmed, _) = check(&ports, &writers.stop());
    assert!(confirmed > 50, "only {confirmed} writes were confirmed");
    assert!(!shards.members[primary].is_primary());
    took
}

#[test]
fn a_killed_primary_is_replaced_within_a_second() {
    let mut shards = Shards::of_ours(&[]);
    for _ in 0..3 {
        let took = kill_a_primary(&mut shards);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn stock_and_ours_replace_each_other() {
    use Kind::{Ours, Stock};
    // The replica of each primary is of the other kind.
    let mut shards = Shards::make(&[Ours, Stock, Ours, Stock, Ours, Stock], 1, &[]);
    for _ in 0..4 {
        kill_a_primary(&mut shards);
    }
}

#[test]
fn a_paused_primary_is_replaced_and_follows() {
    let mut shards = Shards::of_ours(&[]);
    let ports = ports(&shards);
    let writers = Writers::start(&ports, 3);
    std::thread::sleep(Duration::from_millis(300));
    let primary = shards.owner("key");
    let replica = shards.replicas(primary)[0];
    shards.members[primary].pause(true);
    wait_for("a new primary", || shards.members[replica].is_primary().then_some(()));
    shards.members[primary].pause(false);
    shards.heal();
    let (confirmed, _) = check(&ports, &writers.stop());
    assert!(confirmed > 50, "only {confirmed} writes were confirmed");
    assert!(!shards.members[primary].is_primary());
    shards.members.clear();
}

#[test]
fn a_manual_failover_loses_nothing() {
    for kinds in [
        [Kind::Ours; 6],
        [Kind::Stock, Kind::Ours, Kind::Stock, Kind::Ours, Kind::Stock, Kind::Ours],
    ] {
        let shards = Shards::make(&kinds, 1, &[]);
        let ports = ports(&shards);
        let writers = Writers::start(&ports, 3);
        for _ in 0..4 {
            let primary = shards.owner("key");
            let replica = shards.replicas(primary)[0];
            assert_eq!(shards.members[replica].ask("CLUSTER FAILOVER"), "+OK\r\n");
            wait_for("a new primary", || shards.members[replica].is_primary().then_some(()));
            shards.heal();
            if kinds.contains(&Kind::Stock) {
                // Stock does not vote about one primary twice within two timeouts.
                std::thread::sleep(Duration::from_millis(3100));
            }
        }
        let (confirmed, missing) = check(&ports, &writers.stop());
        assert!(confirmed > 50, "only {confirmed} writes were confirmed");
        assert_eq!(missing, 0, "nothing that was acknowledged may be lost");
    }
}

#[test]
fn a_failover_among_ours_needs_no_full_sync() {
    let mut shards = Shards::make(&[Kind::Ours; 9], 2, &[]);
    let fulls = |shards: &Shards| -> Vec<String> {
        shards.running().map(|member| member.info("sync_full")).collect()
    };
    let primary = shards.owner("key");
    let replicas = shards.replicas(primary);
    assert_eq!(replicas.len(), 2);
    let before = fulls(&shards);
    shards.members[primary].kill();
    let winner = wait_for("a new primary", || {
        replicas.iter().copied().find(|replica| shards.members[*replica].is_primary())
    });
    shards.members[primary].restart();
    shards.heal();
    // The killed process began to count anew; nobody sent everything.
    let mut after = fulls(&shards);
    assert_eq!(after.remove(primary), "0");
    assert_eq!(after, [&before[..primary], &before[primary + 1..]].concat());
    let partial: u32 = shards.members[winner].info("sync_partial_ok").parse().unwrap();
    assert!(partial >= 2, "both others have gone on from where they were");
}
