//! `--pipe` to one node.

use crate::both::{check, ours};
use crate::server::Server;

#[test]
fn replies_are_counted_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--enable-debug-command", "yes"]);
    for input in [
        "",
        "set k 1\nnonsense\nget k\n",
        "set k 1\r\nget k",
        "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "multi\nset k 2\nexec\nget k\n",
        "mget k k k\nmget\n",
    ] {
        check(server.port, &["-p", "{}", "--pipe"], input);
    }
    check(server.port, &["-p", "{}", "--pipe", "--pipe-timeout", "1"], "debug sleep 3\n");
}

#[test]
fn many_requests_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let value = "v".repeat(1000);
    let input: String = (0..20_000).map(|at| format!("set key{at} {value}\n")).collect();
    let said = ours(server.port, "--pipe", &input);
    assert!(said.out.ends_with("errors: 0, replies: 20000\n"), "{said:?}");
    assert_eq!(server.ask("DBSIZE"), ":20000\r\n");
}

#[test]
fn snapshot_is_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let said = ours(server.port, "--pipe", "REDIS0011\u{1}\u{2}");
    assert_eq!((said.status, &*said.out), (Some(1), ""));
    assert!(said.err.contains("nothing was sent"), "{said:?}");
}
