//! Logs of random requests: whoever plays them, we after a crash or a stock server, ends with the same dataset.

use std::path::Path;

use crate::judge::{Judge, stock_on};
use crate::peer::{Client, Request, words};
use crate::program::Server;
use crate::random::{pick, with_seed};
use crate::{bitmaps, geo, hashes, hyperloglogs, lists, sets, sort, streams, strings, zsets};

/// Crashes of each family, and batches of requests between them.
const CRASHES: usize = 4;
const BATCHES: usize = 25;

/// Requests of a batch, which are sent at once.
const BATCH: usize = 200;

fn start(folder: &Path) -> Server {
    Server::start(folder, &["--enable-debug-command", "yes"])
}

/// A batch of requests; some are transactions.
fn batch(
    random: &mut fastrand::Rng,
    requests: &mut impl FnMut(&mut fastrand::Rng) -> Vec<Request>,
) -> Vec<Request> {
    let is_transaction = random.u8(..4) == 0;
    let mut batch = Vec::new();
    batch.extend(is_transaction.then(|| words("MULTI")));
    while batch.len() < BATCH {
        batch.extend(requests(random));
    }
    batch.extend(is_transaction.then(|| words("EXEC")));
    batch
}

/// The states of streams with their groups, in which nothing is left out but when consumers were seen: reads that change
/// nothing else are not logged.
fn streams_of(client: &mut Client) -> Vec<String> {
    let mut found = Vec::new();
    for key in streams::KEYS.iter().chain(&["x"]) {
        let info = client.run(&[words(&format!("XINFO STREAM {key} FULL COUNT 0"))]).remove(0);
        let text = info.escape_ascii().to_string();
        let mut parts = text.split("-time\\r\\n:");
        let mut rest = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let is_seen = rest.ends_with("seen") || rest.ends_with("active");
            let from = if is_seen { part.find('\\').unwrap_or(0) } else { 0 };
            rest.push_str(&part[from..]);
        }
        found.push(rest);
    }
    found
}

/// Sends random requests to our program, kills it, and looks at what it has when it is back; a stock server has to have the
/// same, if it knows the commands.
fn play(
    name: &str,
    fixed: u64,
    is_of_stock: bool,
    mut requests: impl FnMut(&mut fastrand::Rng) -> Vec<Request>,
) {
    with_seed(name, fixed, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut judge = Judge::start();
        let mut server = start(folder.path());
        for crash in 0..CRASHES {
            let mut client = server.client();
            for _ in 0..BATCHES {
                client.run(&batch(&mut random, &mut requests));
            }
            // Short times have to pass before anybody looks.
            client.run(&[words("BLPOP never 0.1")]);
            let expected = (judge.contents(&mut client), streams_of(&mut client));
            assert!(!expected.0.is_empty(), "there is something to compare");
            server.kill();
            if is_of_stock {
                let mut stock = stock_on(folder.path(), &["--appendonly", "yes"]);
                let found = judge.contents(&mut stock.client);
                assert_eq!(found, expected.0, "stock, crash {crash}");
            }
            server = start(folder.path());
            let mut client = server.client();
            let found = (judge.contents(&mut client), streams_of(&mut client));
            assert_eq!(found, expected, "ours, crash {crash}");
            assert_eq!(server.info("aof_last_write_status"), "ok");
        }
    });
}

fn one(
    request: impl Fn(&mut fastrand::Rng) -> Request,
) -> impl FnMut(&mut fastrand::Rng) -> Vec<Request> {
    move |random| vec![request(random)]
}

#[test]
fn logs_of_strings() {
    play("logs_of_strings", 61, true, one(strings::request));
}

#[test]
fn logs_of_bitmaps() {
    play("logs_of_bitmaps", 62, true, one(bitmaps::request));
}

#[test]
fn logs_of_lists() {
    play("logs_of_lists", 63, true, one(lists::request));
}

#[test]
fn logs_of_hashes() {
    play("logs_of_hashes", 64, true, one(hashes::request));
}

#[test]
fn logs_of_sets() {
    play("logs_of_sets", 65, true, one(sets::request));
}

#[test]
fn logs_of_sorted_sets() {
    play("logs_of_sorted_sets", 66, true, one(zsets::request));
}

#[test]
fn logs_of_streams() {
    let mut generator = streams::Generator { top: 5 };
    play("logs_of_streams", 67, true, |random| generator.requests(random));
}

#[test]
fn logs_of_hyperloglogs() {
    play("logs_of_hyperloglogs", 68, true, one(hyperloglogs::request));
}

#[test]
fn logs_of_places() {
    play("logs_of_places", 69, true, one(geo::request));
}

#[test]
fn logs_of_what_is_sorted() {
    play("logs_of_what_is_sorted", 70, true, one(sort::request));
}

/// A request of which only the server knows what it does: what is drawn by lot, named by the clock, rounded, waited for, or over
/// within milliseconds.
fn undecided(random: &mut fastrand::Rng) -> Request {
    let list = |random: &mut fastrand::Rng| pick(random, &["l", "m"]).to_owned();
    let set = |random: &mut fastrand::Rng| pick(random, &["s", "t"]).to_owned();
    let (number, short) = (random.u8(..30), random.u8(1..30));
    let side = pick(random, &["LEFT", "RIGHT"]);
    let consumer = pick(random, &["c", "d"]);
    let line = match random.u8(..40) {
        0..3 => format!("SADD {} {number} word-{number} {short}", set(random)),
        3 => format!("SPOP {}", set(random)),
        4 => format!("SPOP {} {}", set(random), number % 5),
        5 => format!("SMOVE s t {number}"),
        6 => format!("{} s s t", pick(random, &["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"])),
        7..10 => format!("RPUSH {} {number} {short}", list(random)),
        10 => format!("BLPOP {} {} 0.001", list(random), list(random)),
        11 => format!("BLMOVE {} {} {side} RIGHT 0.001", list(random), list(random)),
        12 => format!("BLMPOP 0.001 2 l m {side} COUNT 2"),
        13 => format!("BRPOPLPUSH {} {} 0.001", list(random), list(random)),
        14..16 => format!("ZADD z {number}.1 {short} {short} {number}"),
        16 => format!("ZINCRBY z 0.1 {number}"),
        17 => format!("{} z 0.001", pick(random, &["BZPOPMIN", "BZPOPMAX"])),
        18 => "BZMPOP 0.001 2 nothing z MIN COUNT 2".to_owned(),
        19 => format!("HINCRBYFLOAT h f{} 0.1", number % 4),
        20 => format!("INCRBYFLOAT n {number}.3"),
        21 => format!("SET {} {number} PX {short}", pick(random, &["n", "l", "h", "gone"])),
        22 => format!("SET n {number} EX 100000"),
        23 => format!("GETEX n {}", pick(random, &["PX 5", "EX 100000", "PERSIST", "PXAT 1"])),
        24 => format!("PEXPIRE {} {short}", pick(random, &["s", "z", "h", "x", "m"])),
        25 => format!("EXPIRE {} 100000", pick(random, &["s", "z", "h", "x", "m"])),
        26..30 => format!("XADD x * f {number}"),
        30 => format!("XADD x MAXLEN ~ 150 * f {number}"),
        31 => "XGROUP CREATE x g 0 MKSTREAM".to_owned(),
        32 => format!("XREADGROUP GROUP g {consumer} COUNT 3 BLOCK 1 STREAMS x >"),
        33 => format!("XREADGROUP GROUP g {consumer} NOACK COUNT 1 STREAMS x >"),
        34 => format!("XAUTOCLAIM x g {consumer} 0 - COUNT 3"),
        35 => format!("XTRIM x MAXLEN {}", 20 + number),
        36 => "SORT s ALPHA STORE m".to_owned(),
        37 => format!("GEORADIUS z 0 0 1 km STORE {}", pick(random, &["z", "y"])),
        38 => format!("PFADD p {number} {short}"),
        _ => {
            pick(random, &["PFMERGE p p n", "BITOP NOT n p", "DEL n l", "RENAME gone n"]).to_owned()
        }
    };
    words(&line)
}

#[test]
fn logs_of_what_nobody_foresees() {
    play("logs_of_what_nobody_foresees", 73, true, one(undecided));
}

/// A request of servers later than the stock one here. Times have passed already or are far away.
fn later(random: &mut fastrand::Rng) -> Request {
    const TIMES: [&str; 4] = ["1", "2000000000000", "3000000000000", "4000000000000"];
    let (key, other) = (pick(random, &["a", "b", "c"]), pick(random, &["a", "b", "c"]));
    let (field, more) = (pick(random, &["f", "g", "h", "i"]), pick(random, &["f", "g", "h", "i"]));
    let (time, value) = (pick(random, &TIMES), random.u8(..20));
    let condition = pick(random, &["", "NX", "XX", "GT", "LT"]);
    let line = match random.u8(..18) {
        0..4 => format!("HSET {key} {field} {value} {more} {value}"),
        4 => format!("HPEXPIREAT {key} {time} {condition} FIELDS 2 {field} {more}"),
        5 => format!("HEXPIRE {key} 100000 {condition} FIELDS 1 {field}"),
        6 => format!("HPERSIST {key} FIELDS 2 {field} {more}"),
        7 => format!("HGETEX {key} PXAT {time} FIELDS 2 {field} {more}"),
        8 => format!("HGETEX {key} PERSIST FIELDS 1 {field}"),
        9 => format!("HGETDEL {key} FIELDS 2 {field} {more}"),
        10 => {
            let condition = pick(random, &["", "FNX", "FXX"]);
            let expiry = pick(random, &["", "KEEPTTL", "EX 100000"]);
            format!("HSETEX {key} {condition} {expiry} FIELDS 2 {field} {value} {more} {value}")
        }
        11 => format!("HSETEX {key} PXAT {time} FIELDS 1 {field} {value}"),
        12 => format!("HINCRBY {key} {field} {value}"),
        13 => format!("COPY {key} {other} REPLACE"),
        14 => {
            format!("SET text {value} {}", pick(random, &["IFEQ 3", "IFNE 3", "GET", "IFEQ 4 GET"]))
        }
        15 => format!("DELEX text {}", pick(random, &["IFEQ 3", "IFNE 4", "IFEQ 7"])),
        16 => format!(
            "MSETEX 2 text {value} t {value} {}",
            pick(random, &["", "NX", "XX EX 1000000"])
        ),
        _ => format!("DELIFEQ t {value}"),
    };
    words(&line)
}

#[test]
fn logs_of_later_commands() {
    play("logs_of_later_commands", 71, false, one(later));
    // The times of fields are in no digest.
    with_seed("logs_of_later_commands", 72, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = start(folder.path());
        let times =
            ["a", "b", "c"].map(|key| words(&format!("HPEXPIRETIME {key} FIELDS 4 f g h i")));
        for _ in 0..20 {
            let requests: Vec<_> =
                std::iter::repeat_with(|| later(&mut random)).take(500).collect();
            server.client().run(&requests);
            let expected = server.client().run(&times);
            server.kill();
            server = start(folder.path());
            assert_eq!(server.client().run(&times), expected);
        }
    });
}
