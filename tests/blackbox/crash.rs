//! kill -9 at random moments under load: all that was acknowledged is there again, and nothing else.
//!
//! Several clients change a database each, and keep books of what was acknowledged and what was still open. Meanwhile
//! another one starts snapshots and rewrites, changes `appendfsync`, and empties everything. Then the process is killed,
//! started again, and compared with the books. A round takes some 150 ms; the data go on from round to round.
//! `CRASH_ROUNDS` asks for more rounds per policy, `SEED` for another seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crate::journal::{Change, Data, Journal};
use crate::judge::elements;
use crate::peer::{Client, bulk, encode, words};
use crate::server::{Server, wait_for};

/// Clients that change data, each its own database, from 0 on.
const CLIENTS: usize = 4;

/// Rounds for each policy.
const ROUNDS: u64 = 75;

/// Keys in [`FILLER_DB`] that make walks take some time.
const FILLER: usize = 1_000;
const FILLER_DB: &str = "15";

#[test]
fn acknowledged_writes_survive_kills_under_always() {
    rounds("always", 0xA1);
}

#[test]
fn acknowledged_writes_survive_kills_under_everysec() {
    rounds("everysec", 0xE5);
}

#[test]
fn acknowledged_writes_survive_kills_under_no() {
    rounds("no", 0x40);
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

fn rounds(policy: &str, fixed: u64) {
    let seed = number("SEED").unwrap_or(fixed);
    let count = number("CRASH_ROUNDS").unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut books = Books::default();
        let mut before = None;
        for round in 0..count {
            let mut random = fastrand::Rng::with_seed(seed ^ round << 32);
            before = Some(books.round(&mut random, folder.path(), policy, round, before));
        }
        let acknowledged: u64 =
            books.journals.iter().map(|journal| journal.lock().unwrap().acknowledged).sum();
        let (rewrites, saves) = (books.rewrites, books.saves);
        eprintln!(
            "{policy}: {count} rounds, {acknowledged} changes acknowledged, {rewrites} rewrites, {saves} snapshots"
        );
        assert!(acknowledged > 20 * count, "too little was done to mean much");
        assert!(rewrites > 0 && saves > 0, "no walk has ever ended");
    }));
    if let Err(panic) = played {
        eprintln!("the files are kept in {}", folder.keep().display());
        eprintln!("again: SEED={seed} CRASH_ROUNDS={count} cargo test --test blackbox {policy}");
        resume_unwind(panic);
    }
}

/// How a process ended and what it said before.
#[derive(Debug, Clone)]
struct Before {
    id: String,
    offset: u64,
    killed: bool,
}

/// The books of all clients.
#[derive(Debug, Default)]
struct Books {
    journals: [Arc<Mutex<Journal>>; CLIENTS],
    /// The keys of the filler are there.
    filled: bool,
    /// FLUSHALL was sent and not answered.
    flushing: bool,
    rewrites: u64,
    saves: u64,
}

impl Books {
    /// Starts, compares, loads, stops.
    fn round(
        &mut self,
        random: &mut fastrand::Rng,
        folder: &std::path::Path,
        policy: &str,
        round: u64,
        before: Option<Before>,
    ) -> Before {
        let resp = if random.u32(..5) == 0 { "no" } else { "yes" };
        let mut settings = vec!["--appendfsync", policy, "--aof-use-rdb-preamble", resp];
        if random.bool() {
            settings.extend(["--io-threads", "3"]);
        }
        let mut server = Server::start(folder, &settings);
        if let Some(before) = &before {
            check_history(&server, before);
        }
        self.settle(&server, round);
        self.fill(&server);
        let id = server.info("master_replid");
        let start: u64 = server.info("master_repl_offset").parse().unwrap();

        let killed = round % 8 != 7;
        if !killed {
            // On a busy machine no walk may end before the kill; here one of each does, so that its result is loaded.
            for (request, running) in
                [("BGREWRITEAOF", "aof_rewrite_in_progress"), ("BGSAVE", "rdb_bgsave_in_progress")]
            {
                server.ask(request);
                wait_for(request, || (server.info(running) == "0").then_some(()));
            }
        }
        self.load(&mut server, random, killed);
        let added = |journal: &Arc<Mutex<Journal>>| journal.lock().unwrap().log_bytes;
        let offset = start + self.journals.iter().map(added).sum::<u64>();
        Before { id, offset, killed }
    }

    /// Compares a server that has just started with the books.
    fn settle(&mut self, server: &Server, round: u64) {
        let flushed = std::mem::take(&mut self.flushing);
        let filler = fetch(server, FILLER_DB);
        let found: Vec<Data> = (0..CLIENTS).map(|db| fetch(server, &db.to_string())).collect();
        if flushed && filler.is_empty() && found.iter().all(Data::is_empty) {
            self.filled = false;
            self.journals.iter().for_each(|journal| {
                *journal.lock().unwrap() = Journal::default();
            });
        }
        for (db, (journal, found)) in self.journals.iter().zip(found).enumerate() {
            let settled = journal.lock().unwrap().settle(found);
            settled.unwrap_or_else(|error| {
                panic!("round {round}, database {db}, FLUSHALL open: {flushed}: {error}")
            });
        }
        assert_eq!(filler.len(), if self.filled { FILLER } else { 0 }, "filler in round {round}");
        let keyspace = server.ask("INFO keyspace");
        let strange = keyspace.lines().filter_map(|line| line.strip_prefix("db")).find(|line| {
            let number = line.split(':').next().unwrap_or_default();
            number != FILLER_DB && number.parse::<usize>().map_or(true, |db| db >= CLIENTS)
        });
        assert_eq!(strange, None, "a database that nobody wrote to");
    }

    /// Puts keys there that keep walks busy.
    fn fill(&mut self, server: &Server) {
        if std::mem::replace(&mut self.filled, true) {
            return;
        }
        let mut requests = vec![words(&format!("SELECT {FILLER_DB}"))];
        let value = "f".repeat(100);
        requests.extend((0..FILLER).map(|number| words(&format!("SET filler:{number} {value}"))));
        for reply in server.client().run(&requests) {
            assert_eq!(reply, b"+OK\r\n");
        }
    }

    /// Works on a server until it is stopped.
    fn load(&mut self, server: &mut Server, random: &mut fastrand::Rng, kill: bool) {
        // Whoever empties everything is alone for that moment; otherwise the books could not tell what was first.
        let alone = Arc::new(RwLock::new(()));
        let port = server.port;
        let workers: Vec<_> = (0..CLIENTS)
            .map(|db| {
                let (journal, alone) = (Arc::clone(&self.journals[db]), Arc::clone(&alone));
                let random = random.fork();
                std::thread::spawn(move || work(port, db, &journal, &alone, random))
            })
            .collect();
        let disturbances = random.fork();
        let end = Duration::from_micros(random.u64(10_000..160_000));
        let (rewrites, saves) = std::thread::scope(|scope| {
            let books = &mut *self;
            let disturber = scope.spawn(|| books.disturb(port, &alone, disturbances));
            std::thread::sleep(end);
            if kill {
                server.kill();
            } else {
                assert!(server.terminate().success(), "an orderly stop");
            }
            disturber.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        self.rewrites += rewrites;
        self.saves += saves;
    }

    /// Starts jobs and changes settings until the server is gone. Returns how many rewrites and snapshots have ended.
    fn disturb(&mut self, port: u16, alone: &RwLock<()>, mut random: fastrand::Rng) -> (u64, u64) {
        let (mut rewrites, mut saves) = (0, 0);
        let Ok(mut client) = Client::connect(port) else { return (0, 0) };
        loop {
            std::thread::sleep(Duration::from_micros(random.u64(500..8_000)));
            let request = match random.u32(..40) {
                0..12 => "BGREWRITEAOF",
                12..24 => "BGSAVE",
                24..26 => "CONFIG SET appendfsync always",
                26..28 => "CONFIG SET appendfsync everysec",
                28..30 => "CONFIG SET appendfsync no",
                30 if random.u32(..4) == 0 => {
                    let _alone = alone.write().unwrap_or_else(|_| panic!("a client failed"));
                    self.flushing = true;
                    if ask(&mut client, "FLUSHALL").is_err() {
                        return (rewrites, saves);
                    }
                    self.flushing = false;
                    self.filled = false;
                    for journal in &self.journals {
                        journal.lock().unwrap().sure.clear();
                    }
                    continue;
                }
                _ => "INFO persistence",
            };
            let Ok(reply) = ask(&mut client, request) else { return (rewrites, saves) };
            let Ok(info) = ask(&mut client, "INFO persistence") else { return (rewrites, saves) };
            let field = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|number| number.parse::<u64>().ok()).expect("a count")
            };
            (rewrites, saves) = (field("aof_rewrites:"), field("rdb_saves:"));
            let busy = reply.contains("in progress") || reply.contains("process is active");
            let refused = reply.starts_with('-') && !busy;
            assert!(!refused, "{request}: {reply}");
        }
    }
}

/// What the log says about itself after a start.
fn check_history(server: &Server, before: &Before) {
    let offset: u64 = server.info("master_repl_offset").parse().unwrap();
    assert!(offset >= before.offset, "{offset} is before what was acknowledged: {before:?}");
    if before.killed {
        assert_ne!(server.info("master_replid"), before.id, "a tail may be lost: a new history");
        assert_eq!(server.info("master_replid2"), before.id);
        // The first byte that the two histories need not have in common.
        assert_eq!(server.info("second_repl_offset"), (offset + 1).to_string());
    } else {
        assert_eq!(server.info("master_replid"), before.id, "nothing was lost: the same history");
    }
}

fn ask(client: &mut Client, line: &str) -> std::io::Result<String> {
    client.send(&encode(&words(line)))?;
    Ok(String::from_utf8_lossy(&client.reply()?).into_owned())
}

/// All of a database.
fn fetch(server: &Server, db: &str) -> Data {
    let mut client = server.client();
    let select = words(&format!("SELECT {db}"));
    let listing = client.run(&[select, words("KEYS *")]).remove(1);
    let keys = elements(&listing);
    let gets: Vec<_> = keys.iter().map(|key| vec![b"GET".to_vec(), key.clone()]).collect();
    let values = client.run(&gets);
    keys.into_iter().zip(values).map(|(key, value)| (key, bulk(&value).to_vec())).collect()
}

/// Changes a database until the server is gone.
fn work(
    port: u16,
    db: usize,
    journal: &Mutex<Journal>,
    alone: &RwLock<()>,
    mut random: fastrand::Rng,
) {
    let Ok(mut client) = Client::connect(port) else { return };
    if ask(&mut client, &format!("SELECT {db}")).is_err() {
        return;
    }
    loop {
        let _not_alone = alone.read().unwrap();
        let deep = random.u32(..3) == 0;
        let batch = if deep { random.usize(1..24) } else { 1 };
        let changes: Vec<Change> = (0..batch).map(|_| Change::random(&mut random)).collect();
        let bytes: Vec<u8> = changes
            .iter()
            .flat_map(Change::requests)
            .flat_map(|request| encode(&request))
            .collect();
        let replies: Vec<usize> = changes.iter().map(|change| change.requests().len()).collect();
        journal.lock().unwrap().open = changes;
        if client.send(&bytes).is_err() {
            return;
        }
        for count in replies {
            for _ in 0..count {
                let Ok(reply) = client.reply() else { return };
                let refused = reply[0] == b'-' && reply != b"-ERR no such key\r\n";
                assert!(!refused, "{}", reply.escape_ascii());
            }
            journal.lock().unwrap().acknowledge();
        }
    }
}

/// The number behind `name=` in an annotation.
fn annotated(line: &str, name: &str) -> u64 {
    let rest = line.split(&format!(" {name}=")).nth(1).expect("the field");
    rest.split(' ').next().expect("a word").parse().expect("a number")
}

/// Goal: under `always` a reply waits for the sync, which no kill can show. Method: several clients ask for one thing at a
/// time. A client's next write comes after the reply to the one before; so the batch on disk that holds it must say that
/// the batch with the one before was synced when it was written.
#[test]
fn under_always_a_write_is_durable_before_its_reply() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--appendfsync", "always"]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut client = server.client();
            scope.spawn(move || {
                for count in 0..100 {
                    let set = words(&format!("SET key client:{number}:{count}"));
                    assert_eq!(client.run(&[set]), [b"+OK\r\n"]);
                }
            });
        }
    });
    server.kill();
    let log = std::fs::read(folder.path().join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap();
    let log = String::from_utf8(log).unwrap();
    let (mut writers, mut ends) = (Vec::new(), BTreeMap::new());
    let mut writes = 0;
    for line in log.lines() {
        if let Some(write) = line.strip_prefix("client:") {
            let (client, _) = write.split_once(':').expect("client and count");
            writers.push(client.to_owned());
        } else if line.starts_with("#hw batch ") {
            let (end, sync) = (annotated(line, "end"), annotated(line, "sync"));
            for client in writers.drain(..) {
                writes += 1;
                let before = ends.insert(client, end).unwrap_or(0);
                assert!(sync >= before, "{before} was answered and not synced yet at {line}");
            }
        }
    }
    assert_eq!(writes, 800);
}
