//! Replies that wait, clients that wait, and what happens meanwhile.

use std::time::Duration;

use highwater::clock::mono_us;

use crate::peer::{Client, encode, words};
use crate::server::{Server, wait_for};

/// Longest time in which a reply has to come, whatever the machine does besides; in milliseconds.
const PATIENCE_MS: u64 = 20_000;

/// One client per thread, so that nobody else's requests wake a thread whose replies were forgotten. `hz 1` keeps the
/// tick from helping out.
#[test]
fn replies_come_although_another_thread_appends() {
    for policy in ["always", "everysec", "no"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = ["--appendfsync", policy, "--io-threads", "4", "--hz", "1"];
        let server = Server::start(folder.path(), &settings);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let mut client = server.client();
                client.set_patience(PATIENCE_MS);
                scope.spawn(move || {
                    let request = words(&format!("SET key:{number} value"));
                    let request = [request];
                    for _ in 0..2_000 {
                        assert_eq!(client.run(&request), [b"+OK\r\n"], "{policy}");
                    }
                });
            }
        });
    }
}

/// A client that does not wait for its replies writes once more while the reply before waits for a sync. `hz 1` again: the tick
/// would append the second write, up to a second later.
#[test]
fn writes_that_follow_a_reply_that_waits_are_not_left_lying() {
    const ROUNDS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--appendfsync", "always", "--hz", "1"]);
    let mut client = server.client();
    client.set_patience(PATIENCE_MS);
    let mut random = fastrand::Rng::with_seed(1);
    let began_us = mono_us();
    let mut slow = 0;
    for _ in 0..ROUNDS {
        let sent_us = mono_us();
        for _ in 0..3 {
            client.send(b"SET key value\r\n").unwrap();
            std::thread::sleep(Duration::from_micros(random.u64(0..600)));
        }
        for _ in 0..3 {
            assert_eq!(client.reply().unwrap(), b"+OK\r\n");
        }
        slow += usize::from(mono_us() - sent_us > 200_000);
    }
    // A disk may be slow now and then; the tick was what every other round waited for.
    let all_ms = (mono_us() - began_us) / 1000;
    assert!(slow < ROUNDS / 10, "{slow} of {ROUNDS} rounds were slow, {all_ms} ms in all");
}

/// One client sends much without a pause, another one looks how far the node is.
#[test]
fn a_client_that_sends_without_a_pause_lets_others_in() {
    const WRITES: usize = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--appendonly", "no", "--save", ""]);
    let (mut busy, mut watcher) = (server.client(), server.client());
    busy.set_patience(PATIENCE_MS);
    watcher.set_patience(PATIENCE_MS);
    let value = "x".repeat(1000);
    let mut writes = Vec::new();
    for number in 0..WRITES {
        writes.extend(encode(&words(&format!("SET key:{number} {value}"))));
    }
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| busy.send(&writes).unwrap());
        let mut seen = std::collections::BTreeSet::new();
        let began_us = mono_us();
        while !seen.contains(&WRITES) {
            assert!((mono_us() - began_us) / 1000 < PATIENCE_MS, "{seen:?}");
            let size = watcher.run(&[words("DBSIZE")]).remove(0);
            let size = String::from_utf8(size).unwrap();
            seen.insert(size[1..].trim_end().parse::<usize>().unwrap());
        }
        sender.join().unwrap();
        // 60 MB in turns of 256 KB are 240; without an end of its turns the client has some 10 or 20.
        assert!(seen.len() > 60, "others got their turn {} times", seen.len());
    });
}

/// The request that blocks is followed by something that is no request at all.
#[test]
fn a_blocked_request_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    client.send(b"INCR n\r\nINCR n\r\nWAIT 1 100\r\n*1\r\n:\r\n").unwrap();
    let replies: Vec<Vec<u8>> = (0..4).map(|_| client.reply().unwrap()).collect();
    assert_eq!(replies[..3], [b":1\r\n", b":2\r\n", b":0\r\n"]);
    assert!(replies[3].starts_with(b"-ERR Protocol error"), "{}", replies[3].escape_ascii());
    assert_eq!(server.ask("GET n"), "$1\r\n2\r\n");
}

#[test]
fn a_blocked_client_that_leaves_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    client.send(b"WAIT 1 0\r\n").unwrap();
    wait_for("the blocked client", || (server.info("blocked_clients") == "1").then_some(()));
    // What it sends meanwhile is kept, and does not hide that it leaves.
    client.send(b"SET k v\r\n").unwrap();
    drop(client);
    wait_for("its end", || (server.info("blocked_clients") == "0").then_some(()));
    assert_eq!(server.ask("EXISTS k"), ":0\r\n");
}

/// A client that leaves without having read what it asked for before: that is offered to it for a while, but what it waited for
/// is for others at once.
#[test]
fn a_blocked_client_that_leaves_replies_unread_waits_no_more() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask(&format!("SETRANGE big {} x", 30 << 20)), ":31457281\r\n");
    let mut client = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(b"GET big\r\nBLPOP l 0\r\n").unwrap();
    wait_for("the blocked client", || (server.info("blocked_clients") == "1").then_some(()));
    client.shutdown(std::net::Shutdown::Write).unwrap();
    wait_for("the end of its wait", || (server.info("total_blocking_keys") == "0").then_some(()));
    assert_eq!(server.info("connected_clients"), "2", "it is still there");
    assert_eq!(server.ask("RPUSH l x"), ":1\r\n");
    assert_eq!(server.ask("LLEN l"), ":1\r\n");
}

#[test]
fn what_a_blocked_client_sends_runs_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    client.send(b"WAIT 1 300\r\nINCR n\r\n").unwrap();
    wait_for("the blocked client", || (server.info("blocked_clients") == "1").then_some(()));
    client.send(b"INCR n\r\nINC").unwrap();
    assert_eq!(client.reply().unwrap(), b":0\r\n");
    client.send(b"R n\r\n").unwrap();
    let replies: Vec<Vec<u8>> = (0..3).map(|_| client.reply().unwrap()).collect();
    assert_eq!(replies, [b":1\r\n", b":2\r\n", b":3\r\n"]);
}

/// Without a log the last snapshot is all there is: what was acknowledged before the end is in it.
#[test]
fn an_orderly_stop_without_a_log_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["--appendonly", "no", "--save", "3600 1"];
    let mut counted = 0;
    for _ in 0..5 {
        let mut server = Server::start(folder.path(), &settings);
        let found = server.ask("GET n");
        assert!(
            counted == 0 || found == format!("${}\r\n{counted}\r\n", digits(counted)),
            "{found}"
        );
        fill(&server);
        let mut client = server.client();
        let counting = std::thread::spawn(move || count_on(&mut client, counted));
        std::thread::sleep(Duration::from_millis(100));
        server.terminate();
        counted = counting.join().unwrap();
    }
    assert!(counted > 0);
}

/// Keys that make a walk take some time.
fn fill(server: &Server) {
    let requests: Vec<_> = (0..20_000).map(|key| words(&format!("SET fill:{key} x"))).collect();
    server.client().run(&requests);
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

/// Counts until the server is gone; returns the last number acknowledged.
fn count_on(client: &mut Client, mut counted: u64) -> u64 {
    loop {
        if client.send(b"INCR n\r\n").is_err() {
            return counted;
        }
        match client.reply() {
            Ok(reply) => assert_eq!(reply, format!(":{}\r\n", counted + 1).as_bytes()),
            Err(_) => return counted,
        }
        counted += 1;
    }
}

/// On, off and on again, each before the other is through.
#[test]
fn switching_the_log_back_and_forth_leaves_it_as_it_was_last_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--appendonly", "no", "--io-threads", "2"]);
    fill(&server);
    let mut client = server.client();
    client.set_patience(PATIENCE_MS);
    for round in 0..20 {
        for value in ["yes", "no", "yes"] {
            assert_eq!(server.ask(&format!("CONFIG SET appendonly {value}")), "+OK\r\n");
            // A write is answered in every state.
            assert_eq!(client.run(&[words(&format!("SET k {round}{value}"))]), [b"+OK\r\n"]);
        }
        wait_for("the log", || {
            let on = server.info("aof_enabled") == "1"
                && server.info("aof_rewrite_in_progress") == "0"
                && server.info("aof_rewrite_scheduled") == "0";
            on.then_some(())
        });
        assert_eq!(client.run(&[words(&format!("SET last {round}"))]), [b"+OK\r\n"]);
        if round % 5 == 4 {
            server.kill();
            server = Server::start(folder.path(), &["--io-threads", "2"]);
            assert_eq!(server.ask("GET last"), format!("${}\r\n{round}\r\n", digits(round)));
            assert_eq!(server.ask("DBSIZE"), ":20002\r\n");
            client = server.client();
            client.set_patience(PATIENCE_MS);
        }
        assert_eq!(server.ask("CONFIG SET appendonly no"), "+OK\r\n");
    }
}
