//! No process is signalled that is not the cluster's own, whatever stands in its files.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::host::Host;

#[test]
fn stale_mark_reaches_nobody() {
    let mut host = Host::with(1, &[]);
    let lock = host.dir().join("cluster.lock");
    let mark = fs::read_to_string(&lock).unwrap();
    assert!(host.end_up(Signal::INT).success());
    // A process that was given the number of the supervisor later on.
    let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let (_, rest) = mark.split_once(' ').unwrap();
    fs::write(&lock, format!("{} {rest}", other.id())).unwrap();
    host.does("down", &[]);
    assert_eq!(host.run("kill", &["0"]).status.code(), Some(2), "there is no node to kill");
    assert!(other.try_wait().unwrap().is_none(), "it was signalled");

    // Even while somebody else holds the folder.
    let held = fs::File::open(&lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    fs::write(&lock, format!("{} {rest}", other.id())).unwrap();
    assert_eq!(host.status()["supervisor"], serde_json::Value::Null);
    let error = host.refuses("up", &[]);
    assert!(error.contains("already") && !error.contains(&other.id().to_string()), "{error}");
    drop(held);
    assert!(other.try_wait().unwrap().is_none(), "it was signalled");
    other.kill().unwrap();
    other.wait().unwrap();
}
