//! `up --detach`, and what can be seen of it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::host::{Host, nodes_below, text, wait_for};

#[test]
fn detached_cluster_is_found_from_anywhere() {
    let host = Host::new(3);
    let port = host.port.to_string();
    let said =
        host.does("up", &["--detach", "--nodes", "3", "--port", &port, "--restart-after", "0"]);
    assert!(said.contains("Connect with") && said.contains("cluster down"), "{said}");
    let status = host.status();
    assert_eq!(status["ok"], true, "{status}");
    let supervisor = status["supervisor"].as_i64().unwrap();
    host.write(0, "a");
    host.does("kill", &["0"]);
    wait_for("its start", || {
        host.does("logs", &[]).contains(&format!("{port} starts (pid ")).then_some(())
    });
    host.wait_ok();
    assert!(host.refuses("up", &["--detach"]).contains(&supervisor.to_string()));
    host.does("down", &[]);
    assert_eq!(nodes_below(host.folder.path()).len(), 0);
    assert!(host.does("logs", &[]).contains("Stopped"));
}

#[test]
fn failure_of_a_detached_start_is_told() {
    let host = Host::new(1);
    // A process that another test is just starting may still hold what looked whether the port is free.
    let bind = || std::net::TcpListener::bind(("127.0.0.1", host.port)).ok();
    let _listener = wait_for("the port", bind);
    let output = host.run("up", &["--detach", "--nodes", "1", "--port", &host.port.to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is taken by"), "{}", text(&output.stderr));
}

#[test]
fn log_is_followed_while_it_grows() {
    let host = Host::with(1, &[]);
    let mut command = host.command("logs");
    let mut logs = command.args(["0", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(!first.is_empty());
    assert_eq!(host.cli(0, &["bgrewriteaof"]), "Background append only file rewriting started");
    assert!(lines.any(|line| line.unwrap().contains("rewrite")));
    logs.kill().unwrap();
    logs.wait().unwrap();
}
