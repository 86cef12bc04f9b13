//! Clients that take too much: output that nobody fetches, requests without end, all clients together.

use crate::peer::{Client, encode, words};
use crate::server::{Server, wait_for};

const MB: usize = 1 << 20;

fn start(settings: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec!["--appendonly", "no"];
    all.extend(settings);
    let server = Server::start(folder.path(), &all);
    (folder, server)
}

/// Whether the server ends the connection before the client has read `bytes_max`.
fn ends(client: &mut Client) -> bool {
    (0..1_000).any(|_| client.reply().is_err())
}

/// Sets a key of a megabyte.
fn with_large_value(server: &Server) {
    let set = [b"SET".to_vec(), b"large".to_vec(), vec![b'x'; MB]];
    assert_eq!(server.client().run(&[set.to_vec()]), [b"+OK\r\n"]);
}

/// Asks for `count` megabytes and reads nothing.
fn asks_for(server: &Server, count: usize) -> Client {
    let mut client = server.client();
    client.send(&encode(&words("GET large")).repeat(count)).unwrap();
    client
}

#[test]
fn hard_limit_closes_a_client_that_does_not_read() {
    let (_folder, server) = start(&["--client-output-buffer-limit", "normal 16mb 0 0"]);
    with_large_value(&server);
    let mut client = asks_for(&server, 100);
    wait_for("the end of the client", || {
        (server.info("client_output_buffer_limit_disconnections") == "1").then_some(())
    });
    assert!(ends(&mut client));
    let said = server.said();
    assert!(
        said.contains("scheduled to be closed ASAP for overcoming of output buffer limits."),
        "{said}"
    );
    assert_eq!(said.matches("overcoming").count(), 1, "{said}");
    // Eight fit, and whoever reads in time may have any number.
    let mut client = asks_for(&server, 8);
    for _ in 0..8 {
        assert_eq!(client.reply().unwrap().len(), MB + 12);
    }
}

#[test]
fn soft_limit_closes_after_its_seconds() {
    let (_folder, server) = start(&["--client-output-buffer-limit", "normal 0 1mb 1"]);
    with_large_value(&server);
    let started_us = highwater::clock::mono_us();
    let mut client = asks_for(&server, 20);
    assert_eq!(server.info("client_output_buffer_limit_disconnections"), "0");
    wait_for("the end of the client", || {
        (server.info("client_output_buffer_limit_disconnections") == "1").then_some(())
    });
    let waited_us = highwater::clock::mono_us() - started_us;
    assert!((1_000_000..5_000_000).contains(&waited_us), "{waited_us} us");
    assert!(ends(&mut client));
    assert!(server.said().contains("closed for overcoming of output buffer limits."));
}

#[test]
fn monitors_are_ordinary_clients() {
    let settings = ["--client-output-buffer-limit", "normal 4mb 0 0 replica 1gb 0 0"];
    let (_folder, server) = start(&settings);
    let mut monitor = server.client();
    assert_eq!(monitor.run(&[words("MONITOR")]), [b"+OK\r\n"]);
    let echo = encode(&vec![b"ECHO".to_vec(), vec![b'x'; 100_000]]);
    let mut busy = server.client();
    for _ in 0..200 {
        busy.send(&echo).unwrap();
        busy.reply().unwrap();
    }
    wait_for("the end of the monitor", || {
        (server.info("client_output_buffer_limit_disconnections") == "1").then_some(())
    });
    assert!(ends(&mut monitor));
}

#[test]
fn without_limits_a_client_that_does_not_read_waits() {
    let (_folder, server) = start(&[]);
    with_large_value(&server);
    let mut client = asks_for(&server, 200);
    // It is not read from either once 64 MB wait for it.
    let held = wait_for("a full output", || {
        let omem = server.ask("CLIENT LIST");
        let mut sizes = omem
            .split("omem=")
            .skip(1)
            .map(|rest| rest.split(' ').next().unwrap().parse::<usize>().unwrap());
        sizes.find(|bytes| *bytes > 60 * MB)
    });
    assert!(held < 70 * MB, "{held}");
    assert!(server.info("used_memory").parse::<usize>().unwrap() < 160 * MB);
    for _ in 0..200 {
        assert_eq!(client.reply().unwrap().len(), MB + 12);
    }
    assert_eq!(client.run(&[words("PING")]), [b"+PONG\r\n"]);
}

#[test]
fn requests_without_end_close_the_client() {
    let (_folder, server) = start(&["--client-query-buffer-limit", "1mb"]);
    let mut client = server.client();
    // The server may be gone before all is sent.
    client.send(b"*2\r\n$3\r\nGET\r\n$5000000\r\n").unwrap();
    client.send(&vec![b'x'; 4 * MB]).ok();
    assert!(ends(&mut client));
    assert_eq!(server.info("client_query_buffer_limit_disconnections"), "1");
    let said = server.said();
    assert!(said.contains("Closing client that reached max query buffer length: id="), "{said}");
}

#[test]
fn largest_clients_are_evicted_unless_they_are_spared() {
    let (_folder, server) = start(&["--maxmemory-clients", "8mb"]);
    let mut spared = server.client();
    assert_eq!(spared.run(&[words("CLIENT NO-EVICT on")]), [b"+OK\r\n"]);
    let mut small = server.client();
    small.run(&[words("PING")]);
    let half = |client: &mut Client| {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000000\r\n").unwrap();
        client.send(&vec![b'x'; 10 * MB]).ok();
    };
    let mut large = server.client();
    half(&mut large);
    assert!(ends(&mut large));
    assert_eq!(server.info("evicted_clients"), "1");
    assert!(server.said().contains("Evicting client: id="));
    half(&mut spared);
    wait_for("a large client that stays", || {
        let list = server.ask("CLIENT LIST");
        list.contains("qbuf=10").then_some(())
    });
    assert_eq!(small.run(&[words("PING")]), [b"+PONG\r\n"]);
    assert_eq!(server.info("evicted_clients"), "1");
}

#[test]
fn a_write_of_a_million_arguments_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let mut request = b"*1200001\r\n$4\r\nMSET\r\n".to_vec();
    request.extend(b"$1\r\na\r\n$1\r\n1\r\n".repeat(600_000));
    let mut client = server.client();
    client.send(&request).unwrap();
    assert_eq!(client.reply().unwrap(), b"+OK\r\n");
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("GET a"), "$1\r\n1\r\n");
}
