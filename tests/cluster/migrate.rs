//! MIGRATE between nodes that are in no cluster: ours, stock's, and stock's among themselves as the measure.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater::clock::mono_us;
use tempfile::TempDir;

use crate::member::Kind;
use crate::peer::{Client, Request, bulk, words};
use crate::server::{Server, wait_for};

use Kind::{Ours, Stock};

/// A server in a folder of its own.
pub(crate) struct Alone {
    server: Server,
    folder: TempDir,
}

impl std::ops::Deref for Alone {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Alone {
    pub(crate) fn start(kind: Kind, settings: &[&str]) -> Alone {
        let folder = tempfile::tempdir().unwrap();
        let server = Alone::run(kind, &folder, settings);
        Alone { server, folder }
    }

    fn run(kind: Kind, folder: &TempDir, settings: &[&str]) -> Server {
        let dir = folder.path().to_str().expect("temporary folders have plain names");
        Server::start_with(|port| {
            let port_word = port.to_string();
            let mut arguments = vec!["--port", &port_word, "--bind", "127.0.0.1", "--dir", dir];
            arguments.extend([
                "--appendonly",
                "yes",
                "--save",
                "",
                "--enable-debug-command",
                "yes",
            ]);
            arguments.extend(settings);
            match kind {
                Kind::Ours => Server::run("redis-server", port, &arguments),
                Kind::Stock => {
                    let mut command = Command::new("redis-server");
                    command.args(&arguments).stdin(Stdio::null());
                    Server::of(command, port)
                }
            }
        })
    }

    /// kill -9, and another process on the same files.
    fn come_back(&mut self, kind: Kind) {
        self.server.kill();
        self.server = Alone::run(kind, &self.folder, &[]);
    }

    /// `MIGRATE 127.0.0.1 port ...` to `target`.
    fn migrate(&self, target: &Alone, rest: &str) -> String {
        self.ask(&format!("MIGRATE 127.0.0.1 {} {rest}", target.port))
    }
}

/// A value of each type, as a stock server encodes it; keys are the names of the types.
pub(crate) fn values_of_all_types() -> Vec<Request> {
    let mut stock = crate::peer::Stock::start(&[]);
    let mut makes = vec![
        words("RPUSH list a b c"),
        words("HSET hash a 1 b 2"),
        words("SADD set a b c"),
        words("SADD numbers 1 2 3"),
        words("ZADD sorted 1 a 2.5 b"),
        words("XADD stream 1-1 field value"),
        words("XGROUP CREATE stream group 0"),
        words("XREADGROUP GROUP group consumer STREAMS stream >"),
        words("SET string value"),
        words("SET number 12345"),
    ];
    let long = vec![b'x'; 100_000];
    makes.push(vec![b"SET".to_vec(), b"long".to_vec(), long]);
    for number in 0..600 {
        makes.push(words(&format!("HSET longhash field:{number} value:{number}")));
        makes.push(words(&format!("RPUSH longlist element:{number}")));
        makes.push(words(&format!("ZADD longsorted {number}.5 member:{number}")));
    }
    stock.run(&makes);
    let names = stock.run(&[words("KEYS *")]).remove(0);
    let names = String::from_utf8(names).expect("names are text");
    let names = names.lines().filter(|line| !line.starts_with(['*', '$']));
    let restore = |name: &str| {
        let payload = stock.run(&[words(&format!("DUMP {name}"))]).remove(0);
        vec![b"RESTORE".to_vec(), name.into(), b"0".to_vec(), bulk(&payload).to_vec()]
    };
    names.map(restore).collect()
}

/// What both sides answer to a play, and hold afterwards.
fn play(from: Kind, to: Kind) -> Vec<String> {
    let (source, target) = (Alone::start(from, &[]), Alone::start(to, &["--databases", "4"]));
    let restores = values_of_all_types();
    let mut said = Vec::new();
    for reply in source.client().run(&restores) {
        said.push(String::from_utf8_lossy(&reply).into_owned());
    }
    let lines = "SET k v
        MIGRATE k 0 1000
        EXISTS k
        MIGRATE k 0 1000
        MIGRATE \"\" 0 1000 KEYS nosuch list hash other
        MIGRATE \"\" 0 1000 COPY KEYS set number sorted
        MIGRATE \"\" 0 1000 KEYS set number longlist sorted
        MIGRATE \"\" 0 1000 REPLACE KEYS set number sorted
        MIGRATE \"\" 0 1000 KEYS stream string numbers longhash long longsorted
        DBSIZE
        SELECT 5
        SET five 5 PX 100000
        MIGRATE five 2 1000
        MIGRATE five 2 1000
        SELECT 0
        SET k v
        MIGRATE k 0 1000 REPLACE AUTH secret
        MIGRATE k 0 1000 REPLACE AUTH2 user secret
        MIGRATE k x 1000
        MIGRATE k 0 x
        MIGRATE k 0 1000 AUTH
        MIGRATE k 0 1000 AUTH2 user
        MIGRATE k 0 1000 NOSUCH
        MIGRATE k 0 1000 KEYS a
        MIGRATE \"\" 0 1000 KEYS
        MIGRATE k 0
        MIGRATE k 0 1000 replace copy
        MIGRATE k 0 -1 REPLACE
        DBSIZE";
    let mut client = source.client();
    for line in lines.lines().map(str::trim) {
        let whole = line.replace("MIGRATE", &format!("MIGRATE 127.0.0.1 {}", target.port));
        let reply = client.run(&[words(&whole)]).remove(0);
        said.push(format!("{line} -> {}", String::from_utf8_lossy(&reply).trim_end()));
    }
    // Nobody listens where the source itself does not, nor at these addresses.
    for place in ["127.0.0.1 1", "127.0.0.1 nowhere", "nosuch.invalid 1"] {
        source.ask("SET k v");
        said.push(format!("{place} -> {}", source.ask(&format!("MIGRATE {place} k 0 1000"))));
    }
    for server in [&source, &target] {
        said.extend(holdings(server));
    }
    said
}

/// The keys of a server with their values' digests, and whether they expire.
pub(crate) fn holdings(server: &Server) -> Vec<String> {
    let mut held = Vec::new();
    let mut client = server.client();
    for db in 0..4 {
        let mut replies = client.run(&[words(&format!("SELECT {db}")), words("KEYS *")]);
        if replies[0] != b"+OK\r\n" {
            break;
        }
        let names = replies.remove(1);
        let names = String::from_utf8(names).expect("names are text");
        let mut names: Vec<_> =
            names.lines().filter(|name| !name.starts_with(['*', '$'])).collect();
        names.sort_unstable();
        for name in names {
            let asked =
                [words(&format!("DEBUG DIGEST-VALUE {name}")), words(&format!("TTL {name}"))];
            let replies = client.run(&asked);
            let expires = replies[1] != b":-1\r\n";
            held.push(format!("{db} {name} {} {expires}", replies[0].escape_ascii()));
        }
    }
    held
}

#[test]
fn all_pairs_say_and_hold_what_two_stock_servers_do() {
    let stock = play(Stock, Stock);
    for (from, to) in [(Ours, Stock), (Stock, Ours), (Ours, Ours)] {
        let said = play(from, to);
        for (ours, theirs) in said.iter().zip(&stock) {
            assert_eq!(ours, theirs, "{from:?} to {to:?}");
        }
        assert_eq!(said.len(), stock.len());
    }
}

#[test]
fn targets_with_a_password_are_told_it_each_time() {
    for (from, to) in [(Ours, Stock), (Stock, Ours), (Ours, Ours)] {
        let (source, target) = (Alone::start(from, &[]), Alone::start(to, &[]));
        source.ask("MSET a 1 b 2 c 3");
        assert_eq!(target.ask("CONFIG SET requirepass secret"), "+OK\r\n");
        let refused = "-ERR Target instance replied with error: ";
        let told = source.migrate(&target, "a 0 1000");
        assert!(told.starts_with(&format!("{refused}NOAUTH")), "{told}");
        let told = source.migrate(&target, "a 0 1000 AUTH wrong");
        assert!(told.starts_with(&format!("{refused}WRONGPASS")), "{told}");
        assert_eq!(source.migrate(&target, "a 0 1000 AUTH secret"), "+OK\r\n");
        assert_eq!(source.migrate(&target, "b 0 1000 AUTH2 default secret"), "+OK\r\n");
        let told = source.migrate(&target, "c 0 1000 AUTH wrong");
        assert!(told.starts_with(&format!("{refused}WRONGPASS")), "{told}");
        assert_eq!(source.ask("EXISTS a b c"), ":1\r\n");
        if from == Stock {
            // It sends the key behind the password without waiting for the answer.
            continue;
        }
        let all = target.client().run(&[words("AUTH secret"), words("MGET a b c")]);
        assert_eq!(all[1], b"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
    }
}

#[test]
fn nothing_is_sent_to_a_database_that_is_not_there() {
    for to in [Ours, Stock] {
        let (source, target) = (Alone::start(Ours, &[]), Alone::start(to, &["--databases", "4"]));
        source.ask("MSET a 1 b 2");
        assert_eq!(source.migrate(&target, "a 2 1000"), "+OK\r\n");
        let told = source.migrate(&target, "b 9 1000");
        let error = "-ERR Target instance replied with error: ERR DB index is out of range\r\n";
        assert_eq!(told, error);
        // Stock would have put it into the database before.
        assert_eq!(holdings(&target).len(), 1);
        assert_eq!(source.migrate(&target, "b 0 1000"), "+OK\r\n");
    }
}

/// Requests that others send while `until` is not set: the longest time that one took, in milliseconds.
fn longest_ms(server: &Server, until: &AtomicBool) -> u64 {
    let mut client = server.client();
    let (mut longest_us, mut number) = (0, 0);
    while !until.load(Ordering::SeqCst) {
        number += 1;
        let began_us = mono_us();
        let replies = client.run(&[words(&format!("SET other {number}")), words("GET k")]);
        longest_us = longest_us.max(mono_us() - began_us);
        assert_eq!(replies, [&b"+OK\r\n"[..], b"$1\r\nv\r\n"]);
        std::thread::sleep(Duration::from_millis(1));
    }
    longest_us / 1000
}

#[test]
fn a_target_that_is_paused_holds_up_nobody_but_writers_of_the_key() {
    /// What others may have to wait on a machine that does other things too; the target sleeps for much longer.
    const BOUND_MS: u64 = 400;
    for wakes in [true, false] {
        let (source, target) = (Alone::start(Ours, &[]), Alone::start(Stock, &[]));
        source.ask("SET k v");
        target.pause(true);
        let (done, is_in_flight) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let mover = scope.spawn(|| {
                let reply = source.migrate(&target, if wakes { "k 0 60000" } else { "k 0 2000" });
                done.store(true, Ordering::SeqCst);
                reply
            });
            wait_for("a client that waits", || {
                (source.info("blocked_clients") == "1").then_some(())
            });
            is_in_flight.store(true, Ordering::SeqCst);
            let writer = scope.spawn(|| (source.ask("APPEND k w"), mono_us()));
            wait_for("another", || (source.info("blocked_clients") == "2").then_some(()));
            let waker = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1500));
                // From now on the key may be gone.
                done.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                if wakes {
                    target.pause(false);
                }
            });
            let longest_ms = longest_ms(&source, &done);
            assert!(longest_ms < BOUND_MS, "others waited for {longest_ms} ms");
            waker.join().unwrap();
            let reply = mover.join().unwrap();
            let (appended, _) = writer.join().unwrap();
            if wakes {
                assert_eq!((reply.as_str(), appended.as_str()), ("+OK\r\n", ":1\r\n"));
            } else {
                let error = "-IOERR error or timeout reading to target instance\r\n";
                assert_eq!((reply.as_str(), appended.as_str()), (error, ":2\r\n"));
                target.pause(false);
            }
        });
        let there = target.ask("GET k");
        // It may have arrived all the same when its MIGRATE had been given up.
        assert!(there == "$1\r\nv\r\n" || there == "$-1\r\n" && !wakes, "{there}");
    }
}

#[test]
fn a_connection_is_kept_and_opened_again_where_the_target_has_closed_it() {
    for to in [Ours, Stock] {
        let (source, target) = (Alone::start(Ours, &[]), Alone::start(to, &[]));
        let others = |server: &Server| {
            let list = server.ask("CLIENT LIST");
            list.lines().filter(|line| line.contains("cmd=restore")).count()
        };
        let mut client = source.client();
        let mut send = |key: &str, database: u32| {
            let line = format!("MIGRATE 127.0.0.1 {} {key} {database} 1000", target.port);
            client.run(&[words(&format!("SET {key} v")), words(&line)]).remove(1)
        };
        for number in 0..20 {
            assert_eq!(send(&format!("k{number}"), number / 10), b"+OK\r\n");
        }
        assert_eq!(others(&target), 1);
        assert_eq!(source.info("migrate_cached_sockets"), "1");
        let counted = |what: &str| target.info(what).split(',').next().map(str::to_owned);
        assert_eq!(counted("cmdstat_select"), Some("calls=2".to_owned()), "once for each database");
        assert_eq!(target.ask("CLIENT KILL TYPE normal SKIPME yes").as_bytes()[0], b':');
        assert_eq!(send("again", 0), b"+OK\r\n", "it is opened again");
        assert_eq!(others(&target), 1);
        wait_for("an idle connection to be closed", || {
            (others(&target) == 0 && source.info("migrate_cached_sockets") == "0").then_some(())
        });
    }
}

#[test]
fn a_long_value_is_encoded_while_others_are_served() {
    const BYTES: usize = 24 << 20;
    const BOUND_MS: u64 = 400;
    let (source, target) = (Alone::start(Ours, &[]), Alone::start(Stock, &[]));
    let value: Vec<u8> = (0..BYTES).map(|_| fastrand::u8(..)).collect();
    source.client().run(&[vec![b"SET".to_vec(), b"long".to_vec(), value.clone()]]);
    source.ask("SET k v");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let reply = source.migrate(&target, "long 0 60000");
            done.store(true, Ordering::SeqCst);
            reply
        });
        let longest_ms = longest_ms(&source, &done);
        assert_eq!(mover.join().unwrap(), "+OK\r\n");
        assert!(longest_ms < BOUND_MS, "others waited for {longest_ms} ms");
    });
    let there = target.client().run(&[words("GET long")]).remove(0);
    assert!(bulk(&there) == value, "it is what it was");
    assert_eq!(source.ask("EXISTS long"), ":0\r\n");
}

#[test]
fn what_has_been_acknowledged_stays_away_after_a_crash_and_on_replicas() {
    let (mut source, target) = (Alone::start(Ours, &[]), Alone::start(Ours, &[]));
    let replica = Alone::start(Ours, &["--replicaof", &format!("127.0.0.1 {}", source.port)]);
    let mut client = source.client();
    let keys: Vec<String> = (0..1000).map(|number| format!("key:{number}")).collect();
    client.run(&keys.iter().map(|key| words(&format!("SET {key} v"))).collect::<Vec<_>>());
    let (moved, kept) = keys.split_at(700);
    let line = format!("\"\" 0 5000 KEYS {}", moved.join(" "));
    assert_eq!(source.migrate(&target, &line), "+OK\r\n");
    wait_for("a replica that has heard of it", || {
        (replica.ask("DBSIZE") == ":300\r\n").then_some(())
    });
    source.come_back(Ours);
    assert_eq!(source.ask("DBSIZE"), ":300\r\n");
    assert_eq!(source.ask(&format!("EXISTS {}", kept.join(" "))), ":300\r\n");
    assert_eq!(target.ask("DBSIZE"), ":700\r\n");
    assert_eq!(source.ask("DEBUG DIGEST"), replica.ask("DEBUG DIGEST"));
}

/// What a client sends while its MIGRATE runs is answered behind it, whenever it comes.
#[test]
fn replies_keep_the_order_of_their_requests() {
    let (source, target) = (Alone::start(Ours, &[]), Alone::start(Stock, &[]));
    let mut client = source.client();
    let move_it = words(&format!("MIGRATE 127.0.0.1 {} k 0 1000 REPLACE", target.port));
    let ping = crate::peer::encode(&words("PING"));
    for round in 0..3000 {
        assert_eq!(client.run(&[words("SET k v")]), [b"+OK\r\n"]);
        client.send(&crate::peer::encode(&move_it)).unwrap();
        let until_us = mono_us() + fastrand::u64(..1500);
        let mut pings = 0;
        while pings == 0 || mono_us() < until_us {
            client.send(&ping).unwrap();
            pings += 1;
        }
        assert_eq!(client.reply().unwrap(), b"+OK\r\n", "round {round}");
        for _ in 0..pings {
            assert_eq!(client.reply().unwrap(), b"+PONG\r\n", "round {round}");
        }
    }
}

/// A target that takes the connection, answers what it is told to, and shows what it got.
fn scripted(answers: &'static [u8]) -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut heard = Vec::new();
        // Whoever is refused once tries once more.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 65536];
            let count = stream.read(&mut buffer).unwrap();
            heard.extend_from_slice(&buffer[..count]);
            stream.write_all(answers).unwrap();
            if !answers.is_empty() {
                let count = stream.read(&mut buffer).unwrap_or(0);
                heard.extend_from_slice(&buffer[..count]);
                break;
            }
        }
        heard
    });
    (port, thread)
}

#[test]
fn what_is_no_acknowledgement_removes_nothing() {
    for answers in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"+OK\r\nHTTP/1.1 200 OK\r\n", b""] {
        let source = Alone::start(Ours, &[]);
        source.ask("SET k v");
        let (port, thread) = scripted(answers);
        let told = source.ask(&format!("MIGRATE 127.0.0.1 {port} k 0 1000"));
        assert_eq!(told, "-IOERR error or timeout reading to target instance\r\n");
        assert_eq!(source.ask("GET k"), "$1\r\nv\r\n");
        assert!(thread.join().unwrap().starts_with(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"));
    }
}

#[test]
fn the_password_of_a_target_is_not_shown() {
    let (source, target) = (Alone::start(Ours, &[]), Alone::start(Stock, &[]));
    let mut monitor = source.client();
    monitor.run(&[words("MONITOR")]);
    source.ask("CONFIG SET slowlog-log-slower-than 0");
    source.ask("SET k v");
    source.migrate(&target, "k 0 1000 AUTH2 user hidden");
    let log = source.ask("SLOWLOG GET");
    assert!(log.contains("(redacted)") && !log.contains("hidden"), "{log}");
    let mut seen = Vec::new();
    while !seen.ends_with(b"\"user\"\r\n") && !String::from_utf8_lossy(&seen).contains("redacted") {
        seen = monitor.reply().unwrap();
    }
    assert!(!String::from_utf8_lossy(&seen).contains("hidden"));
}

/// A client of each kind of change, while the target sleeps: none of them is served before the key is settled.
#[test]
fn a_client_that_leaves_does_not_keep_its_keys_held() {
    let (source, target) = (Alone::start(Ours, &[]), Alone::start(Stock, &[]));
    source.ask("SET k v");
    target.pause(true);
    let mut client = Client::connect(source.port).unwrap();
    client.send(&words_of(&format!("MIGRATE 127.0.0.1 {} k 0 60000", target.port))).unwrap();
    wait_for("a client that waits", || (source.info("blocked_clients") == "1").then_some(()));
    drop(client);
    wait_for("a client that has left", || (source.info("blocked_clients") == "0").then_some(()));
    target.pause(false);
    wait_for("the key to arrive", || (source.ask("EXISTS k") == ":0\r\n").then_some(()));
    assert_eq!(source.ask("SET k w"), "+OK\r\n");
    assert_eq!(target.ask("GET k"), "$1\r\nv\r\n");
}

fn words_of(line: &str) -> Vec<u8> {
    crate::peer::encode(&words(line))
}
