//! Commands from standard input, line by line.

use crate::both::{check, check_but, ours};
use crate::server::Server;

const EACH: [&str; 5] = ["--raw", "--no-raw", "--csv", "--json", "--quoted-json"];

#[test]
fn lines_are_taken_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    for input in [
        "set k 1\nget k\n\nnonsense\nget k",
        "set k \"a\\x00b\"\nget k\nget 'k'\nget \"unbalanced\nget k\"x\n",
        "set n 1\n3 incr n\n-3 incr n\n0 incr n\n2x incr n\n2\n",
        "select 3\nset k 3\nselect 0\nselect x\n",
        "multi\nset k 2\nselect 2\nexec\nmulti\nnonsense\nexec\nmulti\ndiscard\n",
        ":set hints\n:set nonsense\n:nonsense\n:set\n",
        "get k\nexit\nget k\n",
        "get k\nQUIT now\nget k\n",
        "auth x\nauth a b\n",
        "connect 127.0.0.1\nconnect 127.0.0.1 1\nget k\n",
        "clear\nclear x\n",
        "help nonsense\nhelp @nonsense\n",
        "shutdown nonsense\n",
        "reset\nget k\n",
    ] {
        for form in EACH {
            check(server.port, &["-p", "{}", form], input);
        }
    }
}

#[test]
fn version_of_the_protocol_follows_hello() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let input = "hello 3\nconfig get maxmemory\nclient tracking on\nget k\nset k 2\nget k\nreset\nconfig get maxmemory\n";
    // The number of a connection is its own.
    let keep = |text: &str| {
        text.lines().filter(|line| !line.contains("id")).map(|line| format!("{line}\n")).collect()
    };
    for pushes in ["y", "n"] {
        check_but(
            server.port,
            &["-p", "{}", "--no-raw", "--show-pushes", pushes],
            "set k 2\n",
            keep,
        );
        check_but(server.port, &["-p", "{}", "--no-raw", "--show-pushes", pushes], input, keep);
    }
}

#[test]
fn lines_without_a_server_are_all_tried() {
    check(0, &["-p", "1"], "get k\nping\n");
    check(0, &["-p", "1", "--no-raw"], "get k\n");
}

#[test]
fn connect_goes_to_another_server() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let servers = [0, 1].map(|at| Server::start(folders[at].path(), &[]));
    let input = format!("set k one\nconnect 127.0.0.1 {}\nget k\nset k two\n", servers[1].port);
    assert_eq!(ours(servers[0].port, "--no-raw", &input).out, "OK\n(nil)\nOK\n");
    check(
        servers[0].port,
        &["-p", "{}"],
        &format!("get k\nconnect 127.0.0.1 {}\nget k\n", servers[1].port),
    );
}

#[test]
fn help_comes_from_the_server_or_from_here() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let get = "\r\n  \x1b[1mGET\x1b[0m \x1b[90mkey\x1b[0m\r\n  \x1b[33msummary:\x1b[0m ";
    for port in [server.port, 1] {
        assert!(ours(port, "help get", "").out.starts_with(get), "{port}");
        assert!(ours(port, "--raw", "help GET\n").out.starts_with(get), "{port}");
        assert!(ours(port, "--raw", "? config\n").out.contains("CONFIG REWRITE"), "{port}");
        assert!(ours(port, "--raw", "help @transactions\n").out.contains("DISCARD"), "{port}");
    }
    assert!(ours(server.port, "help", "").out.contains("help @GROUP"));
}

/// What was typed to log in serves the next connection as well.
#[test]
fn login_goes_along_to_another_server() {
    for login in ["auth secret", "auth default secret", "hello 3 auth default secret"] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let servers = [0, 1].map(|at| Server::start(folders[at].path(), &[]));
        for server in &servers {
            ours(server.port, "config set requirepass secret", "");
        }
        let input = format!("{login}\nconnect 127.0.0.1 {}\nset k v\n", servers[1].port);
        let said = ours(servers[0].port, "--raw", &input);
        assert!(said.out.ends_with("OK\n") && said.err.is_empty(), "{said:?}");
    }
}

/// Against a stock server both describe its commands from the same source.
#[test]
fn help_on_a_stock_server_is_its_own() {
    let stock = crate::peer::Stock::start(&[]);
    for topic in [
        "get",
        "set",
        "config",
        "client kill",
        "zadd",
        "xautoclaim",
        "@transactions",
        "@string",
        "bitop",
    ] {
        check(stock.port, &["-p", "{}"], &format!("help {topic}\n"));
    }
}
