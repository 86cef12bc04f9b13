//! `appendonly` and `appendfsync` changed under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::peer::{Client, encode, words};
use crate::server::{Server, wait_for};

/// Counts up a key with a client of its own until told to stop or the server is gone; notes what was acknowledged.
fn count_up(port: u16, stop: &AtomicBool, acknowledged: &AtomicUsize) {
    let mut client = Client::connect(port).expect("it listens");
    while !stop.load(Ordering::SeqCst) {
        if client.send(&encode(&words("INCR counter"))).is_err() {
            return;
        }
        let Ok(reply) = client.reply() else { return };
        let text = std::str::from_utf8(&reply).expect("a number").trim();
        let number = text.strip_prefix(':').unwrap_or_else(|| panic!("{text}"));
        acknowledged.store(number.parse().expect("a number"), Ordering::SeqCst);
    }
}

#[test]
fn a_log_switched_on_under_load_keeps_what_it_acknowledged() {
    for policy in ["always", "everysec", "no"] {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..4 {
            let mut server =
                Server::start(folder.path(), &["--appendonly", "yes", "--appendfsync", policy]);
            let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
            let port = server.port;
            std::thread::scope(|scope| {
                scope.spawn(|| count_up(port, &stop, &acknowledged));
                for _ in 0..round {
                    assert_eq!(server.ask("CONFIG SET appendonly no"), "+OK\r\n");
                    assert_eq!(server.ask("SET between x"), "+OK\r\n");
                    assert_eq!(server.ask("CONFIG SET appendonly yes"), "+OK\r\n");
                    wait_for("the first base", || {
                        let ready = server.info("aof_pending_rewrite") == "0"
                            && server.info("aof_rewrite_in_progress") == "0";
                        ready.then_some(())
                    });
                    assert_eq!(server.info("aof_enabled"), "1");
                }
                for other in ["no", "always", "everysec", policy] {
                    assert_eq!(server.ask(&format!("CONFIG SET appendfsync {other}")), "+OK\r\n");
                    let now = acknowledged.load(Ordering::SeqCst);
                    wait_for("more", || {
                        (acknowledged.load(Ordering::SeqCst) > now + 5).then_some(())
                    });
                }
                server.kill();
            });
            let server = Server::start(folder.path(), &[]);
            let reply = server.ask("GET counter");
            let found: usize = reply.lines().nth(1).expect("a number").parse().expect("a number");
            let sure = acknowledged.load(Ordering::SeqCst);
            assert!((sure..=sure + 1).contains(&found), "{policy}: {found} of {sure}");
            if round > 0 {
                assert_eq!(server.ask("GET between"), "$1\r\nx\r\n", "{policy}");
            }
        }
    }
}

#[test]
fn a_log_switched_off_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("SET a 1"), "+OK\r\n");
    assert_eq!(server.ask("CONFIG SET appendonly no"), "+OK\r\n");
    assert_eq!(server.ask("SET a 2"), "+OK\r\n");
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("GET a"), "$1\r\n1\r\n");
}

/// A thread's bytes may be appended by another thread's commit; the replies have to leave although nothing else happens.
#[test]
fn replies_of_all_threads_leave_by_themselves() {
    for policy in ["everysec", "no", "always"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = ["--io-threads", "3", "--appendfsync", policy];
        let server = Server::start(folder.path(), &settings);
        let port = server.port;
        std::thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(move || {
                    let mut client = Client::connect(port).expect("it listens");
                    client.set_patience(10_000);
                    for count in 1..=2_000 {
                        client.send(&encode(&words(&format!("INCR key:{number}")))).unwrap();
                        let reply = client.reply().unwrap_or_else(|error| {
                            panic!("{policy}: no reply to write {count}: {error}")
                        });
                        assert_eq!(reply, format!(":{count}\r\n").as_bytes());
                    }
                });
            }
        });
    }
}
