//! Random subscriptions and publications of several clients, over real sockets, on a stock server and on our program.
//!
//! Behind each step every client of either side sends a PING of its own: what it has got by the answer is compared.

use crate::peer::{Client, Request, Stock, encode, shown, words};
use crate::program::Server;
use crate::random::{pick, with_seed};

/// Clients of each side.
const CLIENTS: usize = 4;

const NAMES: [&str; 6] = ["a", "b", "{a}b", "news.art", "news.box", "\"\""];
const PATTERNS: [&str; 6] = ["*", "a", "news.*", "news.?ox", "[ab]", "\"\""];

/// One server with its clients.
struct Side {
    clients: Vec<Client>,
    /// Answers its own clients' publications before it sends them what they published, as 7.2 does.
    reply_first: bool,
    pings: usize,
}

impl Side {
    fn connect(port: u16, reply_first: bool) -> Side {
        let clients = (0..CLIENTS).map(|_| Client::connect(port).expect("it listens")).collect();
        Side { clients, reply_first, pings: 0 }
    }

    /// Sends `requests` as client `who`; what each client has got then.
    fn step(&mut self, who: usize, requests: &[Request]) -> Vec<Vec<Vec<u8>>> {
        let bytes: Vec<u8> = requests.iter().flat_map(encode).collect();
        self.clients[who].send(&bytes).expect("it reads");
        // The one that asked first: once it has its answer, others must have what follows from it.
        let mut got = vec![Vec::new(); CLIENTS];
        got[who] = self.drain(who);
        for other in (0..CLIENTS).filter(|other| *other != who) {
            got[other] = self.drain(other);
        }
        if !self.reply_first {
            got[who] = with_own_messages_last(std::mem::take(&mut got[who]));
        }
        got
    }

    fn drain(&mut self, who: usize) -> Vec<Vec<u8>> {
        self.pings += 1;
        let token = format!("ping-{}", self.pings);
        let client = &mut self.clients[who];
        client.send(&encode(&words(&format!("PING {token}")))).expect("it reads");
        let mut frames = Vec::new();
        loop {
            let frame = client.reply().expect("it answers");
            let is_pong = frame.windows(token.len()).any(|part| part == token.as_bytes());
            if is_pong {
                return frames;
            }
            frames.push(frame);
        }
    }
}

fn is_message(frame: &[u8]) -> bool {
    let kinds: [&[u8]; 3] =
        [b"\r\n$7\r\nmessage\r\n", b"$8\r\npmessage\r\n", b"$8\r\nsmessage\r\n"];
    let starts = |kind: &&[u8]| frame.windows(kind.len()).take(6).any(|part| part == *kind);
    frame[0] == b'>' && kinds.iter().any(starts)
}

/// 7.0 sends a RESP3 client the message that it publishes to itself before the reply, 7.2 behind it.
fn with_own_messages_last(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let (messages, mut others): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| is_message(frame));
    others.extend(messages);
    others
}

/// Frames as they are compared.
fn shape(line: &str, frames: Vec<Vec<u8>>) -> Vec<String> {
    let mut frames: Vec<String> = frames.iter().map(|frame| text(line, frame)).collect();
    let ends_all = matches!(line, "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE");
    if ends_all {
        // Stock servers go through their tables; the names come in any order, the counts do not.
        let counts =
            frames.iter().map(|frame| frame.rsplit("\\r\\n:").next().unwrap_or("").to_owned());
        let counts: Vec<String> = counts.collect();
        let names =
            frames.iter().map(|frame| frame.split("\\r\\n:").next().unwrap_or("").to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        return [counts, names].concat();
    }
    if line.starts_with("PUBLISH") {
        // Patterns are gone through in no order.
        frames.sort_unstable();
    }
    frames
}

fn text(line: &str, frame: &[u8]) -> String {
    let text = frame.escape_ascii().to_string();
    if line.starts_with("HELLO") && text.contains("$6\\r\\nserver") {
        return text[..2].to_owned();
    }
    if line.starts_with("CLIENT INFO") && text.contains(" flags=") {
        let fields = ["flags=", "sub=", "psub=", "ssub=", "resp="];
        let shown =
            text.split(' ').filter(|word| fields.iter().any(|field| word.starts_with(field)));
        let shown: Vec<&str> = shown.map(|word| word.split("\\n").next().unwrap_or("")).collect();
        return shown.join(" ");
    }
    if line.starts_with("PUBSUB") && line.contains("CHANNELS") {
        let mut lines: Vec<&str> = text.split("\\r\\n").collect();
        lines.sort_unstable();
        return lines.join(" ");
    }
    text
}

fn several(random: &mut fastrand::Rng, from: &[&str], least: usize) -> String {
    let count = random.usize(least..4);
    (0..count).map(|_| format!(" {}", pick(random, from))).collect()
}

/// What one client sends at once, a line for each request. What it is known by stands first.
fn random_step(random: &mut fastrand::Rng) -> String {
    let name = |random: &mut fastrand::Rng| pick(random, &NAMES).to_owned();
    match random.u8(..30) {
        0..=3 => format!("SUBSCRIBE{}", several(random, &NAMES, 1)),
        4 | 5 => format!("PSUBSCRIBE{}", several(random, &PATTERNS, 1)),
        6 | 7 => format!("SSUBSCRIBE{}", several(random, &NAMES, 1)),
        8 => format!("UNSUBSCRIBE{}", several(random, &NAMES, 0)),
        9 => format!("PUNSUBSCRIBE{}", several(random, &PATTERNS, 0)),
        10 => format!("SUNSUBSCRIBE{}", several(random, &NAMES, 0)),
        11..=16 => format!("PUBLISH {} m{}", name(random), random.u8(..)),
        17 | 18 => format!("SPUBLISH {} m{}", name(random), random.u8(..)),
        19 => format!("PUBSUB CHANNELS {}", pick(random, &PATTERNS)),
        20 => format!("PUBSUB SHARDCHANNELS\nPUBSUB NUMPAT\nPUBSUB SHARDNUMSUB {}", name(random)),
        21 => format!("PUBSUB NUMSUB{}", several(random, &NAMES, 0)),
        22 => "HELLO 2".to_owned(),
        23 => "HELLO 3".to_owned(),
        24 => "RESET".to_owned(),
        25 => format!("GET k\nSET k v\nPING\nPUBLISH {}", name(random)),
        26 => "CLIENT INFO".to_owned(),
        27 => {
            let (one, other) = (name(random), name(random));
            format!(
                "CLIENT REPLY OFF\nSUBSCRIBE {one}\nGET k\nUNSUBSCRIBE {other} {one}\nCLIENT REPLY ON"
            )
        }
        28 => format!("CLIENT REPLY SKIP\nSSUBSCRIBE {}\nPING", name(random)),
        _ => {
            let (one, other) = (name(random), name(random));
            format!(
                "MULTI\nSUBSCRIBE {one}\nSSUBSCRIBE {one}\nPING\nGET k\nPUNSUBSCRIBE {other}\nEXEC"
            )
        }
    }
}

fn play(seed: u64, steps: usize) {
    let stock = Stock::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Server::start(folder.path(), &["--appendonly", "no"]);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut theirs, mut own) = (Side::connect(stock.port, false), Side::connect(ours.port, true));
    let mut history: Vec<String> = Vec::new();
    for _ in 0..steps {
        let who = random.usize(..CLIENTS);
        let lines = random_step(&mut random);
        let requests: Vec<Request> = lines.lines().map(words).collect();
        history
            .push(format!("{who}: {}", requests.iter().map(shown).collect::<Vec<_>>().join(", ")));
        let (expected, found) = (theirs.step(who, &requests), own.step(who, &requests));
        for (client, (expected, found)) in expected.into_iter().zip(found).enumerate() {
            let (expected, found) = (shape(&lines, expected), shape(&lines, found));
            let past = &history[history.len().saturating_sub(12)..];
            assert!(
                expected == found,
                "client {client} got\nstock: {expected:#?}\nours:  {found:#?}\nafter:\n{}",
                past.join("\n")
            );
        }
    }
}

#[test]
fn random_messages_reach_whom_they_reach_in_stock() {
    with_seed("random_messages_reach_whom_they_reach_in_stock", 7, |seed| play(seed, 1500));
}

#[test]
fn pubsub_answers_as_stock() {
    let mut pair = crate::random::Pair::start();
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        pair.check(
            "PUBSUB\nPUBSUB FOO\nPUBSUB NUMPAT x\nPUBSUB NUMPAT\nPUBSUB CHANNELS a b\nPUBSUB CHANNELS\nPUBSUB SHARDCHANNELS a b
             PUBSUB NUMSUB\nPUBSUB NUMSUB a b\nPUBSUB SHARDNUMSUB\nPUBSUB SHARDNUMSUB a\nPUBSUB HELP x
             SUBSCRIBE\nPSUBSCRIBE\nSSUBSCRIBE\nUNSUBSCRIBE\nPUNSUBSCRIBE\nSUNSUBSCRIBE\nUNSUBSCRIBE a\nSUNSUBSCRIBE a
             PUBLISH\nPUBLISH a\nPUBLISH a b c\nSPUBLISH a\nPUBLISH a b\nSPUBLISH a b\nPUBLISH \"\" \"\"
             SUBSCRIBE a\nSUBSCRIBE a\nPSUBSCRIBE a\nSSUBSCRIBE a\nPING\nPING x\nPING x y\nUNSUBSCRIBE a\nPUNSUBSCRIBE\nPING
             SUNSUBSCRIBE\nPING\nGET k
             MULTI\nSSUBSCRIBE a\nSUBSCRIBE a\nPSUBSCRIBE a\nPING\nUNSUBSCRIBE\nPUNSUBSCRIBE x\nPUNSUBSCRIBE\nEXEC",
        );
    }
}

#[test]
fn publications_enter_the_stream_as_in_stock() {
    // A chain of both kinds shows what each takes from the other; `tests/replication` does. Here: what a stock server
    // keeps out of its own log, ours keeps in, since its log is the stream.
    let mut pair = crate::random::Pair::start_with_log();
    pair.check("SELECT 3\nPUBLISH a b\nSPUBLISH a b\nMULTI\nSET k v\nPUBLISH a c\nEXEC");
    let plain = |log: Vec<Request>| log.iter().map(shown).collect::<Vec<_>>();
    let kept: Vec<Request> =
        ["SELECT 3", "PUBLISH a b", "SPUBLISH a b", "MULTI", "SET k v", "PUBLISH a c", "EXEC"]
            .map(words)
            .into();
    assert_eq!(plain(pair.ours.take_log()), plain(kept));
}
