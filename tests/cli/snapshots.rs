//! `--rdb` and `--replica`, from both kinds of server.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::both::{Client, check, command, ours, say};
use crate::peer::Stock;
use crate::server::Server;

fn is_good(path: &std::path::Path) -> bool {
    Command::new("redis-check-rdb").arg(path).output().unwrap().status.success()
}

#[test]
fn snapshots_are_fetched_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.rdb");
    let name = file.to_str().unwrap();
    let stock = Stock::start(&["--repl-diskless-sync-delay", "0"]);
    ours(stock.port, "set k v", "");
    for diskless in ["yes", "no"] {
        ours(stock.port, &format!("config set repl-diskless-sync {diskless}"), "");
        let [found, expected] = [Client::Ours, Client::Stock]
            .map(|client| say(client, stock.port, &["-p", "{}", "--rdb", name], ""));
        // The snapshot holds a time, and so may be a byte longer or shorter.
        assert_eq!(
            (found.status, found.err.lines().count()),
            (expected.status, expected.err.lines().count())
        );
        assert!(found.err.contains("Transfer finished with success"), "{found:?}");
        assert!(is_good(&file), "{diskless}");
    }
    let said = ours(stock.port, "--rdb -", "");
    assert!(said.out.starts_with("REDIS00"), "{said:?}");
}

#[test]
fn own_snapshot_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    ours(server.port, "set k v", "");
    let file = folder.path().join("copy.rdb");
    for _ in 0..2 {
        let said = ours(server.port, &format!("--rdb {}", file.display()), "");
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(is_good(&file));
    }
}

#[test]
fn old_copy_stays_when_there_is_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    ours(server.port, "config set requirepass x", "");
    let file = folder.path().join("copy.rdb");
    std::fs::write(&file, "old").unwrap();
    let name = file.to_str().unwrap();
    let said = say(Client::Ours, server.port, &["-p", "{}", "--rdb", name], "");
    assert_eq!(said.status, Some(1));
    assert!(said.err.contains("SYNC with master failed: -NOAUTH"), "{said:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    let left = std::fs::read_dir(folder.path()).unwrap();
    assert!(!left.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("temp-")));
}

#[test]
fn file_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let said = ours(server.port, "--rdb /no/such/folder/x", "");
    assert_eq!(
        (said.status, &*said.err),
        (Some(1), "Error opening '/no/such/folder/x': No such file or directory\n")
    );
    check(0, &["-p", "1", "--rdb", "/no/such/folder/x"], "");
}

#[test]
fn stream_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Server::start(folder.path(), &[]);
    let stock = Stock::start(&["--repl-diskless-sync-delay", "0"]);
    for port in [ours.port, stock.port] {
        let mut command = command(Client::Ours);
        command.args(["-p", &port.to_string(), "--replica"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = stderr.lines().map_while(Result::ok);
        assert!(told.any(|line| line.contains("Logging commands from master.")), "{port}");
        crate::both::ours(port, "set k v", "");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "\"set\",\"k\",\"v\""), "{port}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
