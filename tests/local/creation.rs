//! A cluster is made, used, stopped, and is there again.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::host::{BUS, Host, THERE, nodes_below, signal, wait_for};

#[test]
fn cluster_is_made_used_and_goes_on_after_ctrl_c() {
    let mut host = Host::with(6, &[]);
    let status = host.status();
    assert_eq!(status["ok"], true, "{status}");
    assert_eq!(status["state"], "ok");
    assert_eq!(status["supervisor"], host.supervisor());
    let roles = ["primary", "primary", "primary", "replica", "replica", "replica"];
    assert_eq!(host.each("role"), roles);
    assert_eq!(host.node(0, "slots"), serde_json::json!([[0, 5460]]));
    assert_eq!(host.node(4, "primary"), host.port + 1);
    let said = host.said();
    assert!(said.contains(&format!("redis-cli -c -p {}", host.port)), "{said}");
    assert!(!said.contains('\x1b'), "no colours where no terminal is:\n{said}");
    assert!(
        said.lines().all(|line| line.len() < 80 || line.contains(env!("CARGO_BIN_EXE_highwater"))),
        "{said}"
    );
    host.write(0, "a");
    let (ids, pids) = (host.ids(), host.pids());

    assert!(host.end_up(Signal::INT).success(), "{}", host.said());
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
    let output = host.run("status", &[]);
    assert_eq!(output.status.code(), Some(1), "nothing runs");

    host.up(&[]);
    assert_eq!(host.ids(), ids);
    assert!(host.pids().iter().all(|pid| !pids.contains(pid)));
    assert_eq!(host.each("role"), roles, "an orderly stop changes no role");
    host.has(5, "a");
    for index in 0..6 {
        assert_eq!(host.cli(index, &["config", "get", "appendonly"]), "appendonly\nyes");
        assert_eq!(host.cli(index, &["config", "get", "appendfsync"]), "appendfsync\neverysec");
    }

    assert!(host.does("down", &[]).contains("is stopped"));
    assert!(host.wait_up().success());
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
}

#[test]
fn one_node_is_a_cluster() {
    let mut host = Host::with(1, &["--replicas", "0"]);
    assert_eq!(host.node(0, "slot_count"), 16384);
    host.write(0, "one");
    host.has(0, "one");
    assert!(host.end_up(Signal::TERM).success());
    host.up(&[]);
    host.has(0, "one");
}

#[test]
fn three_nodes_have_no_replicas() {
    let host = Host::with(3, &[]);
    assert_eq!(host.each("role"), ["primary"; 3]);
    assert_eq!(host.each("slot_count"), [5461, 5462, 5461]);
    host.write(2, "three");
}

/// Killed at many moments while it makes the cluster, with and without its nodes, `up` completes it when called again.
#[test]
fn creation_that_was_cut_off_is_completed() {
    for (round, delay_ms) in [0, 60, 120, 250, 400, 600, 900, 1300].into_iter().enumerate() {
        let mut host = Host::new(4);
        host.begin(4, &["--replicas", "1", "--maxmemory", "200mb"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        host.end_up(Signal::KILL);
        if round % 2 == 1 {
            for pid in nodes_below(host.folder.path()).into_keys() {
                signal(pid, Signal::KILL);
            }
            wait_for("their end", || nodes_below(host.folder.path()).is_empty().then_some(()));
        }
        host.create(4, &["--replicas", "1", "--maxmemory", "200mb"]);
        assert_eq!(host.status()["ok"], true, "after {delay_ms} ms");
        assert_eq!(host.each("role"), ["primary", "primary", "replica", "replica"]);
        assert_eq!(host.each("slot_count"), [8192, 8192, 0, 0]);
        host.write(3, "whole");
    }
}

#[test]
fn settings_reach_all_nodes_and_stay() {
    let mut host =
        Host::with(3, &["--appendfsync", "always", "--maxmemory=64mb", "--requirepass", "se sam"]);
    let ask = |host: &Host, index, name: &str| {
        host.cli(index, &["-a", "se sam", "--no-auth-warning", "config", "get", name])
    };
    for index in 0..3 {
        assert_eq!(ask(&host, index, "appendfsync"), "appendfsync\nalways");
        assert_eq!(ask(&host, index, "maxmemory"), "maxmemory\n67108864");
        assert_eq!(ask(&host, index, "masterauth"), "masterauth\nse sam");
    }
    assert!(host.cli(0, &["get", "x"]).contains("NOAUTH"));
    assert!(host.end_up(Signal::INT).success());
    host.up(&["--maxmemory", "65mb"]);
    for index in 0..3 {
        assert_eq!(ask(&host, index, "appendfsync"), "appendfsync\nalways");
        assert_eq!(ask(&host, index, "maxmemory"), "maxmemory\n68157440");
    }
    // Nodes that run are told.
    host.end_up(Signal::KILL);
    let pids = host.pids();
    host.up(&["--maxmemory", "66mb"]);
    assert_eq!(host.pids(), pids);
    for index in 0..3 {
        assert_eq!(ask(&host, index, "maxmemory"), "maxmemory\n69206016");
    }
}

#[test]
fn nothing_listens_beyond_loopback_unless_asked() {
    let mut host = Host::with(3, &[]);
    let addresses = |host: &Host| {
        let mut found = Vec::new();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = fs::read_to_string(table).unwrap_or_default();
            for line in text.lines().skip(1) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (address, port) = words[1].split_once(':').unwrap();
                let port = u16::from_str_radix(port, 16).unwrap();
                let own = (host.port..host.port + 3).any(|own| [own, own + BUS].contains(&port));
                if words[3] == "0A" && own {
                    found.push(address.to_owned());
                }
            }
        }
        found
    };
    // 127.0.0.1, as the kernel writes it.
    assert_eq!(addresses(&host), ["0100007F"; 6]);
    assert!(host.end_up(Signal::INT).success());

    host.spawn(&["--bind", "0.0.0.0"]);
    host.wait_said(THERE);
    assert_eq!(addresses(&host), ["00000000"; 6]);
    let said = host.said();
    assert!(said.contains("no password") && said.contains("--announce"), "{said}");
    assert!(host.end_up(Signal::INT).success());
    host.up(&["--bind", "127.0.0.1", "--requirepass", "x"]);
    assert!(!host.said().contains("no password"));
    assert_eq!(addresses(&host), ["0100007F"; 6]);
}
