//! Nodes die, hang, cannot start; the supervisor dies; everything dies.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::host::{Host, nodes_below, signal, wait_for};

#[test]
fn killed_primary_is_replaced_and_started_again() {
    let mut host = Host::with(6, &["--restart-after", "3"]);
    host.write(0, "before");
    let pid = host.node(0, "pid");
    let said = host.does("kill", &["0"]);
    assert!(said.contains(&pid.to_string()) && said.contains("starts again in 3 s"), "{said}");
    let port = host.port;
    host.wait_said(&format!("{} is a primary now, with slots 0-5460", port + 3));
    host.wait_said(&format!("{port} starts (pid "));
    host.wait_said(&format!("{port} is a replica of {}", port + 3));
    host.wait_ok();
    assert_ne!(host.node(0, "pid"), pid);
    assert_eq!(host.node(0, "role"), "replica");
    host.has(1, "before");
    let said = host.said();
    assert!(said.contains(&format!("{port} (pid {pid}) was killed (signal 9)")), "{said}");
}

#[test]
fn paused_node_is_seen_and_goes_on() {
    let host = Host::with(3, &["--cluster-node-timeout", "2000"]);
    let port = (host.port + 1).to_string();
    host.does("pause", &[&port]);
    assert_eq!(host.node(1, "state"), "paused");
    wait_for("a cluster that misses it", || (host.status()["state"] == "fail").then_some(()));
    assert_eq!(host.run("status", &[]).status.code(), Some(1));
    host.does("resume", &["1"]);
    host.wait_ok();
    // A paused one is stopped like the others.
    host.does("pause", &[&port]);
    host.does("down", &[]);
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
}

#[test]
fn nodes_outlive_their_supervisor_and_are_adopted() {
    let mut host = Host::with(3, &[]);
    host.write(0, "kept");
    let pids = host.pids();
    host.does("pause", &["1"]);
    host.end_up(Signal::KILL);
    assert_eq!(host.status()["supervisor"], serde_json::Value::Null);
    assert_eq!(host.pids(), pids);
    host.does("resume", &["1"]);
    host.wait_ok();
    host.has(1, "kept");
    assert!(host.does("start", &["0"]).contains("runs already"));
    host.does("kill", &["2"]);
    assert!(host.refuses("start", &["2"]).contains("cluster up"));
    let pids = pids[..2].to_vec();

    host.up(&["--restart-after", "0"]);
    assert_eq!(host.pids()[..2], pids, "nobody was started again that ran");
    // An adopted one is looked after as any other.
    host.does("kill", &["1"]);
    host.wait_said(&format!("{} starts (pid ", host.port + 1));
    host.wait_ok();

    // Without anybody who looks after them they can be stopped all the same.
    host.end_up(Signal::KILL);
    assert!(host.does("down", &[]).contains("is stopped"));
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
    host.up(&[]);
    host.has(2, "kept");
}

#[test]
fn everything_is_killed_and_the_data_are_there() {
    let mut host = Host::with(6, &[]);
    host.write(0, "safe");
    let ids = host.ids();
    host.end_up(Signal::KILL);
    for pid in host.pids() {
        signal(pid, Signal::KILL);
    }
    wait_for("their end", || nodes_below(host.folder.path()).is_empty().then_some(()));
    host.up(&[]);
    assert_eq!(host.ids(), ids);
    host.has(4, "safe");
}

#[test]
fn node_that_cannot_start_says_why_and_the_others_go_on() {
    let mut host = Host::with(3, &[]);
    host.write(0, "x");
    assert!(host.end_up(Signal::INT).success());
    let manifest =
        host.dir().join((host.port + 1).to_string()).join("appendonlydir/appendonly.aof.manifest");
    let good = fs::read(&manifest).unwrap();
    fs::write(&manifest, "nonsense\n").unwrap();
    host.spawn(&["--restart-after", "1"]);
    host.wait_said(&format!("more of it: highwater cluster logs {}", host.port + 1));
    let said = host.said();
    assert!(said.contains("ended with status 1") && said.contains("  | "), "{said}");
    assert!(said.contains("manifest"), "the lines say what is wrong:\n{said}");
    host.wait_said("starts again in 2 s");
    assert_eq!(host.node(0, "state"), "up");
    assert!(host.does("logs", &["1"]).contains("manifest"));

    // Once that is put right nobody has to wait.
    fs::write(&manifest, good).unwrap();
    wait_for("its start", || {
        host.run("start", &["1"]).status.success().then_some(())?;
        (host.node(1, "state") == "up").then_some(())
    });
    host.wait_ok();
    host.has(0, "x");
}

#[test]
fn node_that_was_shut_down_is_left_alone_until_it_is_started() {
    let mut host = Host::with(3, &["--restart-after", "0"]);
    host.cli(2, &["shutdown"]);
    host.wait_said(&format!("{} was shut down and is left alone", host.port + 2));
    assert_eq!(host.node(2, "state"), "down");
    assert!(host.does("start", &["2"]).contains("starts (pid "));
    host.wait_ok();
    host.does("down", &["1"]);
    host.wait_said(&format!("{} is stopped", host.port + 1));
    assert_eq!(host.each("state"), ["up", "down", "up"]);
    host.does("start", &["1"]);
    host.wait_ok();
}

#[test]
fn nodes_are_left_dead_where_that_is_asked() {
    let mut host = Host::with(3, &["--no-restart"]);
    let said = host.does("kill", &["2"]);
    assert!(said.contains("cluster start"), "{said}");
    host.wait_said("(signal 9): 'highwater cluster start");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(host.node(2, "state"), "down");
    host.does("start", &["2"]);
    host.wait_ok();
}

#[test]
fn second_interrupt_kills_what_does_not_stop() {
    // At its end a primary waits for replicas that lag; this one never says how far it is.
    let mut host = Host::with(1, &["--shutdown-timeout", "600", "--repl-diskless-sync-delay", "0"]);
    let mut replica = TcpStream::connect(("127.0.0.1", host.port)).unwrap();
    replica.write_all(b"REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n").unwrap();
    let mut reads = replica.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut reads, &mut std::io::sink()));
    wait_for("a replica", || {
        host.cli(0, &["info", "replication"]).contains("state=online").then_some(())
    });
    host.write(0, "acknowledged");
    let port = host.port;
    signal(host.supervisor(), Signal::INT);
    host.wait_said("Stopping");
    host.wait_said(&format!("waiting for {port} to write"));
    assert_eq!(nodes_below(host.folder.path()).len(), 1, "one Ctrl-C kills nobody");
    assert!(host.end_up(Signal::INT).success());
    assert!(host.said().contains(&format!("killing {port}")), "{}", host.said());
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
    drop(reader.join());
    host.up(&[]);
    host.has(0, "acknowledged");
}
