//! A host is cut off: the others go on without it, it takes no more writes, and afterwards it follows.

use std::time::Duration;

use highwater::clock::mono_us;
use highwater::keyspace::Slot;

use crate::hosts::{Cut, Hosts, ask};
use crate::seeds::play;
use crate::server::wait_for;
use crate::shards::TIMEOUT_MS;
use crate::writers::{ClusterClient, Writers, check_with};

const SETTINGS: &[&str] = &["--cluster-node-timeout", TIMEOUT_MS];

/// Cuts off the host of the primary of a slot, waits for what has to happen on both sides, and makes all well.
fn cut_off(hosts: &Hosts, cut: Cut) {
    let slot = Slot::of(b"key").number();
    let places = hosts.places();
    let writers = Writers::start_with(3, || ClusterClient::at(&places));
    std::thread::sleep(Duration::from_millis(300));
    let primary = hosts.owner(places[0], slot).expect("it is served");
    let host = hosts.host_of(primary);
    let others: Vec<_> =
        places.iter().copied().filter(|place| hosts.host_of(*place) != host).collect();
    hosts.cut(host, cut, true);
    let began_us = mono_us();
    wait_for("a new primary", || {
        let owner = hosts.owner(others[0], slot)?;
        (owner != primary).then_some(())
    });
    let mut client = ClusterClient::at(&others);
    wait_for("a write on the side of the majority", || {
        (client.ask("key", "SET key new").as_deref() == Some("+OK\r\n")).then_some(())
    });
    eprintln!("{cut:?}: a write after {} ms", (mono_us() - began_us) / 1000);
    wait_for("a refusal on the side of the minority", || {
        let reply = hosts.ask_at_home(primary, "SET key old");
        reply.starts_with("CLUSTERDOWN").then_some(())
    });
    assert!(hosts.ask_at_home(primary, "ROLE").starts_with("master"));
    // The majority goes on for a while.
    std::thread::sleep(Duration::from_millis(500));
    hosts.cut(host, cut, false);
    hosts.heal();
    let mut reader = ClusterClient::at(&places);
    let (confirmed, _) = check_with(&mut reader, &writers.stop());
    assert!(confirmed > 10, "only {confirmed} writes were confirmed");
    assert_eq!(reader.ask("key", "GET key").as_deref(), Some("$3\r\nnew\r\n"));
    let role = ask(primary, "ROLE").expect("it is back");
    assert!(role.contains("slave"), "{role}");
    // Back to one primary on each host: with two of three on one, there is no majority without it.
    assert_eq!(ask(primary, "CLUSTER FAILOVER").as_deref(), Some("+OK\r\n"));
    wait_for("the way back", || (hosts.owner(places[0], slot)? == primary).then_some(()));
    hosts.heal();
}

/// Hosts, as far as they can be made.
fn hosts() -> Option<Hosts> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("only root can make hosts: nothing was tested");
    }
    is_root.then(|| Hosts::make(SETTINGS))
}

#[test]
fn a_host_that_is_cut_off_takes_no_writes_and_follows_afterwards() {
    let Some(hosts) = hosts() else { return };
    cut_off(&hosts, Cut::Cable);
    cut_off(&hosts, Cut::Silence);
    cut_off(&hosts, Cut::Cable);
}

/// Goal: whoever is cut off, and for how long, what WAIT confirmed is there afterwards. Method: random cuts, one behind the
/// other, some too short to be noticed, some of a host with two primaries; then all is connected, and has to heal.
#[test]
fn random_cuts_heal() {
    play("random_cuts_heal", (0xC03, 3), |seed, rounds| {
        let Some(hosts) = hosts() else { return };
        let mut random = fastrand::Rng::with_seed(seed);
        let places = hosts.places();
        let mut confirmed = 0;
        for _ in 0..rounds {
            let writers = Writers::start_with(3, || ClusterClient::at(&places));
            for _ in 0..random.usize(1..4) {
                std::thread::sleep(Duration::from_millis(random.u64(50..800)));
                let host = random.usize(..3);
                let cut = [Cut::Cable, Cut::Silence][random.usize(..2)];
                hosts.cut(host, cut, true);
                std::thread::sleep(Duration::from_millis(random.u64(100..4000)));
                hosts.cut(host, cut, false);
            }
            // What was lost just before the end is missed up to a timeout later.
            std::thread::sleep(Duration::from_millis(2000));
            hosts.heal();
            confirmed += check_with(&mut ClusterClient::at(&places), &writers.stop()).0;
        }
        assert!(confirmed > 10, "only {confirmed} writes were confirmed");
    });
}
