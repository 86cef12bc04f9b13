//! Nodes are added to a cluster, and one is taken out again.

use rustix::process::Signal;

use crate::host::{Host, THERE};

#[test]
fn new_nodes_join_empty_and_one_can_be_taken_out() {
    let mut host = Host::with(3, &["--maxmemory", "77mb"]);
    host.write(0, "old");
    assert!(host.end_up(Signal::INT).success());
    host.spawn(&["--nodes", "5"]);
    host.wait_said(THERE);
    host.wait_ok();
    assert_eq!(host.each("role"), ["primary"; 5]);
    assert_eq!(host.each("slot_count"), [5461, 5462, 5461, 0, 0]);
    assert_eq!(host.cli(4, &["config", "get", "maxmemory"]), "maxmemory\n80740352");
    host.has(4, "old");

    // Out again, as an operator does it.
    let id = host.ids()[4].clone();
    for index in 0..4 {
        assert_eq!(host.cli(index, &["cluster", "forget", &id]), "OK");
    }
    assert_eq!(host.cli(4, &["cluster", "reset"]), "OK");
    assert_eq!(host.node(4, "role"), "out");
    assert_eq!(host.status()["state"], "ok", "the others are a cluster without it");
    host.end_up(Signal::KILL);
    host.up(&[]);
    assert_eq!(host.node(4, "role"), "out", "it is not taken back");
    let port = (host.port + 4).to_string();
    let said = host.does("down", &[&port]);
    assert!(said.contains("struck off"), "{said}");
    assert_eq!(host.each("port").len(), 4);
    host.wait_ok();
    assert!(host.end_up(Signal::INT).success());
    host.up(&[]);
    assert_eq!(host.each("port").len(), 4, "it is not taken back");
}

#[test]
fn cluster_of_one_grows() {
    let mut host = Host::with(1, &[]);
    host.end_up(Signal::KILL);
    let pids = host.pids();
    host.up(&["--nodes", "3"]);
    assert_eq!(host.pids()[..1], pids, "the one that ran goes on");
    host.wait_ok();
    assert_eq!(host.each("slot_count"), [16384, 0, 0]);
    assert_eq!(host.cli(2, &["set", "a", "b"]), "OK");
}
