//! Keyspace notifications: the same requests to both sides, and what a client hears that listens to all channels of them.

use highwater::state::ClientId;
use highwater::state::client::Peer;

use crate::ours::parse;
use crate::peer::{Client, Request, encode, shown, shown_bytes, words};
use crate::random::{Pair, pick, with_seed};

/// Random requests; more of them with `REQUESTS` in the environment.
const REQUESTS: usize = 100_000;

/// Requests sent before what was heard is compared.
const BATCH: usize = 50;

/// Both sides with a second client each that listens.
pub(crate) struct Listeners {
    pub(crate) pair: Pair,
    theirs: Client,
    own: ClientId,
    pings: usize,
    /// What was sent last, for the message of a failure.
    past: Vec<String>,
}

impl Listeners {
    pub(crate) fn start(events: &str) -> Listeners {
        let mut pair = Pair::start();
        let theirs = Client::connect(pair.stock.port).expect("it listens");
        let peer = Peer { loopback: true, ..Peer::default() };
        let now = highwater::clock::now();
        let own = pair.ours.node.connect(peer, now).expect("there is room");
        let mut listeners = Listeners { pair, theirs, own, pings: 0, past: Vec::new() };
        let subscribe = words("PSUBSCRIBE __key*");
        listeners.theirs.run(std::slice::from_ref(&subscribe));
        let bytes = encode(&subscribe);
        let mut out = Vec::new();
        listeners.pair.ours.node.execute(
            own,
            (&parse(&bytes), &bytes),
            0,
            &mut out,
            &mut highwater::clock::SystemClock,
        );
        // Keys go when they are met, not in between.
        listeners.pair.check(&format!("CONFIG SET notify-keyspace-events {events}"));
        listeners.pair.stock.run(&[words("DEBUG SET-ACTIVE-EXPIRE 0")]);
        listeners
    }

    /// What came to the stock server's listener.
    fn heard_there(&mut self) -> Vec<Vec<u8>> {
        self.pings += 1;
        let token = format!("ping-{}", self.pings);
        self.theirs.send(&encode(&words(&format!("PING {token}")))).expect("it reads");
        let mut frames = Vec::new();
        loop {
            let frame = self.theirs.reply().expect("it answers");
            if frame.windows(token.len()).any(|part| part == token.as_bytes()) {
                return frames;
            }
            frames.push(frame);
        }
    }

    fn heard_here(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(mail) = self.pair.ours.node.take_mail(self.own) {
            mail.write_to(&mut bytes);
        }
        let mut frames = Vec::new();
        while let Some(length) = crate::peer::reply_length(&bytes) {
            frames.push(bytes.drain(..length).collect());
        }
        frames
    }

    /// Sends `requests` to both; returns the replies.
    fn run(&mut self, requests: &[Request]) -> [Vec<Vec<u8>>; 2] {
        let expected = self.pair.stock.run(requests);
        let found = self.pair.ours.run(requests);
        let lines = requests.iter().zip(&expected);
        self.past.extend(
            lines.map(|(request, reply)| format!("{} -> {}", shown(request), shown_bytes(reply))),
        );
        let cut = self.past.len().saturating_sub(2 * BATCH);
        self.past.drain(..cut);
        [expected, found]
    }

    /// Sends `requests` to both, compares the replies and what was heard.
    pub(crate) fn step(&mut self, requests: &[Request]) {
        let [expected, found] = self.run(requests);
        let past = self.past.join("\n");
        for ((request, expected), found) in requests.iter().zip(expected).zip(found) {
            // Other tests compare what depends on the history of a value.
            let differs = ["dump", "object", "exec"]
                .map(str::as_bytes)
                .contains(&&*request[0].to_ascii_lowercase());
            assert!(
                expected == found || differs,
                "{}\nstock: {}\nours:  {}\nafter:\n{past}",
                shown(request),
                shown_bytes(&expected),
                shown_bytes(&found)
            );
        }
        self.compare_heard();
    }

    /// Sends `requests` to both, and compares what was heard alone.
    pub(crate) fn hear(&mut self, requests: &[Request]) {
        self.run(requests);
        self.compare_heard();
    }

    fn compare_heard(&mut self) {
        let past = self.past.join("\n");
        let (theirs, own) = (self.heard_there(), self.heard_here());
        let differs = theirs.iter().zip(&own).position(|(one, other)| one != other);
        let at = differs.unwrap_or(theirs.len().min(own.len()));
        assert!(
            theirs == own,
            "message {at}\nstock: {:?}\nours:  {:?}\nbefore: {:?}\nafter:\n{past}",
            theirs.get(at).map(|frame| shown_bytes(frame)),
            own.get(at).map(|frame| shown_bytes(frame)),
            at.checked_sub(1).map(|at| shown_bytes(&theirs[at])),
        );
    }

    /// The same for each line, one by one.
    pub(crate) fn check(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.step(&[words(line)]);
        }
    }
}

const KEYS: &[&str] = &["a", "b", "c", "{t}d", "{t}e", "\"\""];
const VALUES: &[&str] = &[
    "1",
    "77",
    "abc",
    "\"\"",
    "9223372036854775807",
    "2.5",
    "\"longer than embedded strings are, by far .......\"",
];
const EVENTS: &[&str] =
    &["KEA", "KEAmn", "KEAmn", "KEAmn", "Kg$", "Ex", "Kmn", "E$n", "\"\"", "Kgxm", "KA", "A"];

fn key(random: &mut fastrand::Rng) -> &'static str {
    pick(random, KEYS)
}

/// A request on strings, bits and whole keys. Keys that expire have expired already: each side meets them when they
/// are asked for next.
#[expect(clippy::too_many_lines, reason = "a flat list of forms")]
fn random_line(random: &mut fastrand::Rng) -> String {
    let (one, other) = (key(random), key(random));
    let value = pick(random, VALUES);
    let number = random.u8(..20);
    match random.u8(..60) {
        0..=3 => format!("SET {one} {value}"),
        4 => {
            format!("SET {one} {value} {}", pick(random, &["NX", "XX", "GET", "NX GET", "KEEPTTL"]))
        }
        5 | 6 => format!("SET {one} {value} PXAT 1{number}"),
        7 => format!("SET {one} {value} EX 1000{}", pick(random, &["", " GET", " XX", " NX"])),
        8 => format!("SETNX {one} {value}"),
        9 => format!("SETEX {one} 1000 {value}"),
        10 => format!("PSETEX {one} 1000000 {value}"),
        11 => format!("GETSET {one} {value}"),
        12 => format!("GETDEL {one}"),
        13 => format!("GETEX {one} {}", pick(random, &["", "EX 1000", "PXAT 1", "PERSIST"])),
        14 => format!("MSET {one} {value} {other} {value} {one} {value}"),
        15 => format!("MSETNX {one} {value} {other} {value}"),
        16 => format!("MGET {one} {other} {one}"),
        17 | 18 => format!("GET {one}"),
        19 => format!("APPEND {one} {value}"),
        20 => format!("SETRANGE {one} {number} {value}"),
        21 => format!("GETRANGE {one} 0 3"),
        22 => format!("STRLEN {one}"),
        23 => format!("{} {one}", pick(random, &["INCR", "DECR"])),
        24 => format!("{} {one} {number}", pick(random, &["INCRBY", "DECRBY"])),
        25 => format!("INCRBYFLOAT {one} 0.5"),
        26 => format!("LCS {one} {other}"),
        27 | 28 => format!("SETBIT {one} {number} {}", random.u8(..2)),
        29 => format!("GETBIT {one} {number}"),
        30 => format!("BITCOUNT {one}"),
        31 => format!("BITPOS {one} 1"),
        // EXISTS, here and below: what has expired is replaced unseen by stock, and found to have expired by ours.
        32 => format!(
            "EXISTS {one}\nBITOP {} {one} {other} {}",
            pick(random, &["AND", "OR", "XOR"]),
            key(random)
        ),
        33 => format!("EXISTS {one}\nBITOP NOT {one} {other}"),
        34 => format!("BITFIELD {one} SET u4 {number} {}", random.u8(..16)),
        35 => format!("BITFIELD {one} GET u4 {number}"),
        36 => format!("BITFIELD {one} OVERFLOW FAIL INCRBY u2 {number} {}", random.u8(..4)),
        37 => format!("BITFIELD_RO {one} GET i5 {number}"),
        38 => format!("DEL {one} {other} {one}"),
        39 => format!("UNLINK {one}"),
        40 => format!("EXISTS {one} {other}"),
        41 => format!("TOUCH {one} {other}"),
        42 => format!("TYPE {one}"),
        // What is there answers with a time, which is not the same on both sides.
        43 => format!("{} nothing", pick(random, &["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"])),
        44 => format!("{} {one} {other}", pick(random, &["RENAME", "RENAMENX"])),
        45 => format!(
            "COPY {one} {other}{}",
            pick(random, &["", " REPLACE", " DB 3", " DB 3 REPLACE"])
        ),
        46 => format!("MOVE {one} 3"),
        47 => format!(
            "EXPIRE {one} {}",
            pick(random, &["1000", "-1", "1000 NX", "10 GT", "99999 LT"])
        ),
        48 => format!("PEXPIREAT {one} {}", pick(random, &["1", "99999999999999"])),
        49 => format!("PERSIST {one}"),
        50 => format!("OBJECT {} {one}", pick(random, &["ENCODING", "REFCOUNT", "IDLETIME"])),
        51 => format!("DUMP {one}"),
        52 => {
            // The string "v" as 7.0 dumps it.
            let payload = r#""\x00\x01v\n\x00\x91\b\xce\xb2\x198\x8a\xce""#;
            let options =
                ["0", "0 {} REPLACE", "1000000 {} REPLACE", "1 {} ABSTTL REPLACE", "1 {} ABSTTL"];
            let option = pick(random, &options);
            let option = if option.contains("{}") {
                option.replace("{}", payload)
            } else {
                format!("{option} {payload}")
            };
            format!("EXISTS {one}\nRESTORE {one} {option}")
        }
        53 => pick(random, &["SELECT 0", "SELECT 3", "DBSIZE", "SWAPDB 0 3"]).to_owned(),
        54 => format!("CONFIG SET notify-keyspace-events {}", pick(random, EVENTS)),
        // SCAN and RANDOMKEY of stock delete what has expired when they meet it; ours pass over it.
        55 => format!("KEYS {one}"),
        56 => format!("PUBLISH __key:mine {value}"),
        57 => pick(random, &["FLUSHDB", "FLUSHALL", "KEYS a"]).to_owned(),
        58 => format!("SUBSTR {one} 0 1"),
        _ => format!("DEBUG OBJECT {one}"),
    }
}

fn play(seed: u64, count: usize) {
    let mut listeners = Listeners::start("KEAmn");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..count.div_ceil(BATCH) {
        let mut lines: Vec<String> = (0..BATCH).map(|_| random_line(&mut random)).collect();
        lines.retain(|line| !line.starts_with("DEBUG") && !line.contains("IDLETIME"));
        if random.u8(..4) == 0 {
            lines.retain(|line| !line.starts_with("SWAPDB"));
            lines.insert(0, "MULTI".to_owned());
            lines.push("EXEC".to_owned());
        }
        let requests: Vec<Request> =
            lines.iter().flat_map(|line| line.lines()).map(words).collect();
        listeners.step(&requests);
    }
}

#[test]
fn random_requests_are_heard_as_in_stock() {
    let count =
        std::env::var("REQUESTS").map_or(REQUESTS, |count| count.parse().expect("a number"));
    with_seed("random_requests_are_heard_as_in_stock", 1, |seed| play(seed, count));
}

#[test]
fn each_event_has_stocks_name_and_place() {
    let mut listeners = Listeners::start("KEAmn");
    listeners.check(
        "SET a 1\nSET a 2 EX 100\nSET b x PXAT 1\nGET b\nSET b x PXAT 1\nSET b y\nSET b x PXAT 1\nDEL b\nGETEX a PERSIST
         APPEND a x\nAPPEND n x\nSETRANGE a 0 \"\"\nSETRANGE a 3 zz\nSETBIT a 1 1\nSETBIT a 1 1\nINCR i\nINCRBYFLOAT i 1.5
         RENAME a b\nRENAME b b\nRENAMENX b i\nCOPY b i\nCOPY b i REPLACE\nCOPY b b DB 4\nCOPY b b DB 4\nMOVE b 4\nMOVE b 5
         MSET x 1 y 2 x 3\nMSETNX z 1 x 1\nGETDEL x\nGETDEL x\nBITOP AND q nothing nothing\nBITOP OR y i i\nBITOP OR y no no
         SET e x PXAT 1\nEXISTS e\nSET e x PXAT 1\nTTL e\nTYPE e\nOBJECT ENCODING e\nMEMORY USAGE e\nSET e x PXAT 1\nFLUSHALL
         SET e x PXAT 1\nKEYS *",
    );
}
