//! The order of the gates: which of several reasons a request is refused for.
//!
//! Each case is a fresh client on both sides: requests that set it up, then requests whose replies are compared. A
//! client that is paused or gone gets no reply.

use highwater::clock::{self, SystemClock};
use highwater::config::Config;
use highwater::config::choices::ProtectedAction;
use highwater::state::Pause;
use highwater::state::client::Peer;

use crate::ours::{Ours, parse};
use crate::peer::{Client, Stock, encode, shown_bytes, words};

const PASSWORD: &str = "AUTH secret";

/// Requests of every kind of refusal, and some that pass.
const REQUESTS: [&str; 39] = [
    "NOSUCH a",
    "NOSUCH",
    "GET",
    "GET a",
    "SET a",
    "SET a b",
    "DEL a",
    "APPEND a b",
    "PING",
    "PING a b",
    "ECHO",
    "ECHO a",
    "TYPE a",
    "SELECT 99",
    "DBSIZE a",
    "CONFIG",
    "CONFIG NOSUCH",
    "CONFIG GET",
    "CLIENT NOSUCH",
    "CLIENT GETNAME x",
    "CLIENT GETNAME",
    "DEBUG",
    "DEBUG SLEEP 0",
    "MODULE NOSUCH",
    "SAVE x",
    "SHUTDOWN a b c d e",
    "EXEC",
    "EXEC x",
    "DISCARD",
    "MULTI",
    "MULTI x",
    "UNWATCH",
    "QUIT",
    "AUTH",
    "AUTH wrong",
    "AUTH a b c",
    "HELLO 9",
    "HELLO",
    "RESET",
];

/// Our node and theirs, in the same state.
struct Sides {
    ours: Ours,
    stock: Stock,
    differences: Vec<String>,
}

impl Sides {
    /// `configure` changes the settings of ours; `settings` are the same for the stock server.
    fn start(configure: impl FnOnce(&mut Config), settings: &[&str]) -> Sides {
        let ours = Ours::start(|config| {
            config.values_mut().requirepass = b"secret".to_vec();
            config.values_mut().enable_debug_command = ProtectedAction::No;
            configure(config);
        });
        let mut stock = Stock::start(&["--enable-debug-command", "no"]);
        let set: Vec<_> = settings.iter().map(|line| words(line)).collect();
        for reply in stock.run(&set) {
            assert_ne!(reply[0], b'-', "{}", shown_bytes(&reply));
        }
        // Last: whoever sets it need not know it.
        stock.run(&[words("CONFIG SET requirepass secret")]);
        Sides { ours, stock, differences: Vec::new() }
    }

    /// Makes the snapshots of both fail.
    fn break_snapshots(&mut self) {
        std::fs::create_dir(self.stock.folder.path().join("dump.rdb")).expect("a new folder");
        // Whoever set the password is still in.
        self.stock.run(&[words("CONFIG SET save \"3600 1\""), words("BGSAVE")]);
        let failed = |stock: &mut Stock| {
            let info = stock.run(&[words("INFO persistence")]).remove(0);
            info.windows(25).any(|part| part == b"rdb_last_bgsave_status:er")
        };
        while !failed(&mut self.stock) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.ours.node.state.persistence.last_save_ok = false;
    }

    /// Pauses both.
    fn pause(&mut self, writes_only: bool) {
        let mode = if writes_only { "WRITE" } else { "ALL" };
        self.stock.run(&[words(&format!("CLIENT PAUSE 1000000 {mode}"))]);
        self.ours.node.state.pause = Some(Pause { until_ms: u64::MAX, writes_only });
    }

    /// Plays `lines` as a new client of both sides, the first of them as its past.
    fn play(&mut self, past: &[&str], lines: &[&str]) {
        let mut client = Client::connect(self.stock.port).expect("it listens");
        let peer = Peer { loopback: true, ..Peer::default() };
        self.ours.client = self.ours.node.connect(peer, clock::now()).expect("there is room");
        for line in past.iter().chain(lines) {
            let ours = self.ours_says(line);
            // What is to be silence is listened to for a moment, and everything else until it comes.
            client.set_patience(if ours.is_empty() { 30 } else { 60_000 });
            // A connection that the server closed is as silent as one that is paused.
            let reply = client.send(&encode(&words(line))).and_then(|()| client.reply());
            let stock = reply.unwrap_or_default();
            if shape(&ours) != shape(&stock) {
                let (ours, stock) = (shown_bytes(&ours), shown_bytes(&stock));
                self.differences.push(format!("{past:?} {lines:?} {line}: {stock} | {ours}"));
            }
            if stock.is_empty() {
                break;
            }
        }
        self.ours.node.disconnect(self.ours.client);
    }

    fn ours_says(&mut self, line: &str) -> Vec<u8> {
        let bytes = encode(&words(line));
        let requests = parse(&bytes);
        let mut out = Vec::new();
        let batch = (&requests, &bytes[..]);
        self.ours.node.execute(self.ours.client, batch, 0, &mut out, &mut SystemClock);
        out
    }

    /// Each request alone, as part of a transaction, and behind a transaction that is spoilt already.
    fn play_all(&mut self, past: &[&str]) {
        for request in REQUESTS {
            self.play(past, &[request]);
            let multi = [past, &["MULTI"]].concat();
            self.play(&multi, &[request, "EXEC"]);
            self.play(&multi, &["NOSUCH", request, "EXEC"]);
            self.play(&multi, &["GET a", "SET a b", request, "EXEC"]);
        }
    }

    fn end(self) {
        let shown = self.differences.join("\n");
        assert!(self.differences.is_empty(), "stock | ours\n{shown}");
    }
}

/// A reply without what differs for other reasons: HELLO tells versions and ids, and 7.2 says more of what it wants.
fn shape(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string();
    for part in ["$6\\r\\nserver\\r\\n", "-NOAUTH HELLO must be called"] {
        if let Some(at) = text.find(part) {
            return text[..at + part.len()].to_owned();
        }
    }
    text
}

#[test]
fn gates_stand_in_the_order_of_stock() {
    let mut sides = Sides::start(|_| {}, &[]);
    sides.play_all(&[]);
    sides.play_all(&[PASSWORD]);
    sides.end();
}

#[test]
fn gates_stand_in_that_order_for_those_who_listen() {
    let listens = [PASSWORD, "SUBSCRIBE a"];
    let mut sides = Sides::start(|_| {}, &[]);
    sides.play_all(&listens);
    sides.break_snapshots();
    sides.play_all(&listens);
    sides.pause(false);
    sides.play_all(&listens);
    sides.end();
    let mut sides =
        Sides::start(|config| config.values_mut().maxmemory = 1, &["CONFIG SET maxmemory 1"]);
    sides.play_all(&listens);
    sides.end();
}

#[test]
fn gates_stand_in_that_order_without_memory() {
    let mut sides =
        Sides::start(|config| config.values_mut().maxmemory = 1, &["CONFIG SET maxmemory 1"]);
    sides.play_all(&[]);
    sides.play_all(&[PASSWORD]);
    sides.end();
}

#[test]
fn gates_stand_in_that_order_when_snapshots_fail() {
    let mut sides = Sides::start(|_| {}, &[]);
    sides.break_snapshots();
    sides.play_all(&[]);
    sides.play_all(&[PASSWORD]);
    sides.pause(true);
    sides.play_all(&[PASSWORD]);
    sides.end();
}

#[test]
fn memory_is_looked_at_before_the_disk() {
    let mut sides =
        Sides::start(|config| config.values_mut().maxmemory = 1, &["CONFIG SET maxmemory 1"]);
    sides.break_snapshots();
    sides.play_all(&[PASSWORD]);
    sides.end();
}

#[test]
fn gates_stand_in_that_order_while_writes_pause() {
    let mut sides = Sides::start(|_| {}, &[]);
    sides.pause(true);
    sides.play_all(&[]);
    sides.play_all(&[PASSWORD]);
    sides.end();
}

#[test]
fn what_is_refused_is_refused_at_once_while_everything_pauses() {
    let mut sides = Sides::start(|_| {}, &[]);
    sides.pause(false);
    sides.play_all(&[]);
    sides.end();
}
