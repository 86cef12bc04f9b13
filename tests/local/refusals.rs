//! What cannot be done is said before anything is done.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::host::{BUS, Host, nodes_below, text};

#[test]
fn taken_port_is_named_and_nothing_is_started() {
    for bus in [0, BUS] {
        let host = Host::new(3);
        let taken = host.port + 2 + bus;
        let _listener = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        let error = host.refuses("up", &["--nodes", "3", "--port", &host.port.to_string()]);
        let process = format!("process {} (", std::process::id());
        assert!(error.contains(&taken.to_string()) && error.contains(&process), "{error}");
        assert!(error.contains("nothing was started"), "{error}");
        assert_eq!(nodes_below(host.folder.path()).len(), 0);
        assert!(!host.dir().join("cluster.state").exists());
    }
}

#[test]
fn wrong_arguments_leave_no_trace() {
    let host = Host::new(1);
    let check = |words: &[&str], part: &str| {
        let error = host.refuses("up", words);
        assert!(error.contains(part), "{words:?}: {error}");
        assert!(!host.dir().exists(), "{words:?} made a folder");
    };
    check(&["--maxmemory", "plenty"], "--maxmemory plenty is not possible");
    check(&["--appendfsync", "sometimes"], "everysec");
    check(&["--cluster-enabled", "no"], "cannot be set for all nodes");
    check(&["--nodes", "0"], "too few");
    check(&["--nodes", "2", "--replicas", "2"], "--nodes 3");
    check(&["--port", "60000"], "55535");
    check(&["--replica", "1"], "--replicas");
    check(&["--nosuch", "1"], "unexpected argument");
}

#[test]
fn there_is_nothing_to_do_without_a_cluster() {
    let host = Host::new(1);
    for word in ["status", "down"] {
        let error = host.refuses(word, &[]);
        assert!(error.contains("there is no cluster") && error.contains("cluster up"), "{error}");
    }
    for word in ["kill", "pause", "resume", "logs", "start"] {
        assert!(host.refuses(word, &["7000"]).contains("there is no cluster"));
    }
    assert!(!host.dir().exists());
}

#[test]
fn folders_of_others_are_left_alone() {
    let host = Host::new(3);
    let folder = host.dir().join((host.port + 1).to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("mine"), "x").unwrap();
    let error = host.refuses("up", &["--nodes", "3", "--port", &host.port.to_string()]);
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn second_up_is_refused_and_changes_nothing() {
    let host = Host::with(3, &[]);
    let before = fs::read(host.config(0)).unwrap();
    let error = host.refuses("up", &["--maxmemory", "1gb"]);
    let process = format!("process {}", host.supervisor());
    assert!(error.contains("already") && error.contains(&process), "{error}");
    assert_eq!(fs::read(host.config(0)).unwrap(), before);
    assert_eq!(host.status()["ok"], true);
}

#[test]
fn contradictions_to_what_is_there_are_refused() {
    let mut host = Host::with(3, &[]);
    host.end_up(Signal::KILL);
    let check = |words: &[&str], part: &str| {
        let error = host.refuses("up", words);
        assert!(error.contains(part), "{words:?}: {error}");
    };
    check(&["--nodes", "2"], "has 3 nodes");
    check(&["--replicas", "1"], "0 replicas");
    check(&["--port", "1"], "is at ports");
    // The nodes run all the while.
    assert_eq!(host.status()["ok"], true);
    // A line by hand that is wrong is named before anything happens.
    let good = fs::read_to_string(host.config(1)).unwrap();
    fs::write(host.config(1), good.clone() + "nosuch 1\n").unwrap();
    check(&[], "redis.conf, line ");
    fs::write(host.config(1), good).unwrap();
    host.up(&[]);
}

#[test]
fn unknown_nodes_are_told_with_those_there_are() {
    let host = Host::with(1, &[]);
    let error = host.refuses("kill", &["nobody"]);
    assert!(
        error.contains("no node 'nobody'") && error.contains(&host.port.to_string()),
        "{error}"
    );
    let id = host.ids()[0].clone();
    assert!(text(&host.run("logs", &[&id[..10]]).stdout).contains("Redis"));
}
