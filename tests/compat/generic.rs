//! The generic family: random requests to both sides, and values that go to and fro as DUMP payloads.

use std::collections::VecDeque;

use crate::peer::{Request, bulk, shown, shown_bytes, words};
use crate::random::{Pair, pick, with_seed};

/// Random requests of the family; more of them with `REQUESTS` in the environment.
const REQUESTS: usize = 60_000;

/// Requests sent before the replies are compared.
const BATCH: usize = 100;

const KEYS: &[&str] =
    &["a", "b", "c", "key:1", "key:2", "{tag}1", "{tag}2", "x*", "[y]", "\\z", "a:b:c", ""];

const VALUES: &[&str] = &[
    "",
    "1",
    "-17",
    "9999",
    "10000",
    "007",
    "9223372036854775807",
    "9223372036854775808",
    "short",
    "forty-four bytes are the most an embstr has.",
    "forty-five bytes are one more than that, so ..",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

const PATTERNS: &[&str] = &[
    "*", "a*", "key:?", "?", "[a-c]", "[^a]", "*:*", "\\[*", "x\\*", "*}?", "[", "[]", "a",
    "**b**", "",
];

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "9223372036854776",
    "99999999999999999999",
];

/// Commands with one key and nothing else.
const OF_ONE_KEY: &[&str] = &[
    "TYPE",
    "TTL",
    "PTTL",
    "EXPIRETIME",
    "PEXPIRETIME",
    "PERSIST",
    "DUMP",
    "OBJECT ENCODING",
    "OBJECT FREQ",
    "OBJECT IDLETIME",
    "TOUCH",
    "GET",
];

/// What is wrong in one way or another.
const WRONG: &[&str] = &[
    "DEL",
    "EXISTS",
    "TYPE a b",
    "KEYS",
    "SCAN",
    "SCAN x",
    "SCAN 0 COUNT",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT x",
    "SCAN 0 FOO 1",
    "SCAN 99999999999999999999",
    "RENAME a",
    "COPY a a",
    "COPY a b DB",
    "COPY a b DB x",
    "COPY a b DB 16",
    "COPY a b DB 99999999999",
    "COPY a b FOO",
    "MOVE a 16",
    "MOVE a x",
    "MOVE a 99999999999",
    "MOVE a -1",
    "SWAPDB x 0",
    "SWAPDB 0 x",
    "SWAPDB 0 16",
    "OBJECT FOO",
    "OBJECT ENCODING",
    "OBJECT",
    "EXPIRE a",
    "TTL a b",
    "RANDOMKEY a",
    "DBSIZE a",
    "FLUSHALL FOO",
    "FLUSHDB SYNC ASYNC",
    "RESTORE a 0",
    "RESTORE a 0 x",
    "RESTORE a 0 x REPLACE",
    "RESTORE a -1 x REPLACE",
    "RESTORE a x x REPLACE",
    "RESTORE a 0 x FOO",
    "RESTORE a 0 x IDLETIME -1",
    "RESTORE a 0 x FREQ 256",
    "RESTORE a 0 x IDLETIME 1 FREQ 1",
    "RESTORE a 0 x IDLETIME",
];

/// Says that a string of a payload is compressed.
const LZF: u8 = 0xc3;

/// Makes requests. Payloads come from the stock server.
struct Generator {
    payloads: Vec<Vec<u8>>,
    now_s: u64,
}

impl Generator {
    fn new(pair: &mut Pair) -> Self {
        let mut payloads = Vec::new();
        for value in VALUES {
            let set = vec![b"SET".to_vec(), b"made".to_vec(), value.as_bytes().to_vec()];
            let replies = pair.stock.run(&[set, words("DUMP made"), words("DEL made")]);
            payloads.push(bulk(&replies[1]).to_vec());
        }
        let now_s = highwater::clock::now().unix_s();
        Self { payloads, now_s }
    }

    fn request(&self, random: &mut fastrand::Rng) -> Request {
        match random.u32(..100) {
            0..25 => self.set(random),
            25..32 => several(random, &["DEL", "UNLINK", "EXISTS", "TOUCH"]),
            32..52 => {
                let mut request = words(pick(random, OF_ONE_KEY));
                request.push(pick(random, KEYS).into());
                request
            }
            52..57 => vec![b"KEYS".to_vec(), pick(random, PATTERNS).into()],
            57..62 => scan(random),
            62..67 => line(&[
                pick(random, &["RENAME", "renamenx"]),
                pick(random, KEYS),
                pick(random, KEYS),
            ]),
            67..72 => copy(random),
            72..75 => line(&["MOVE", pick(random, KEYS), &random.u32(..4).to_string()]),
            75..76 => line(&["SWAPDB", &random.u32(..4).to_string(), &random.u32(..4).to_string()]),
            76..89 => self.expire(random),
            89..93 => self.restore(random),
            93..95 => line(&["SELECT", &random.u32(..4).to_string()]),
            95..97 => words(pick(random, &["DBSIZE", "RANDOMKEY"])),
            97 if random.u32(..20) == 0 => {
                words(pick(random, &["FLUSHALL", "FLUSHDB", "flushdb async", "FLUSHALL SYNC"]))
            }
            _ => words(pick(random, WRONG)),
        }
    }

    fn set(&self, random: &mut fastrand::Rng) -> Request {
        line(&["SET", pick(random, KEYS), pick(random, VALUES)])
    }

    /// Times lie so far from each other that it does not matter that the two sides' clocks differ by some milliseconds.
    fn expire(&self, random: &mut fastrand::Rng) -> Request {
        let name = pick(random, &["EXPIRE", "PEXPIRE", "EXPIREAT", "pexpireat"]);
        let far_s = random.u64(1000..1_000_000_000);
        let unit = if name.starts_with(['P', 'p']) { 1000 } else { 1 };
        let base_s = if name.to_ascii_uppercase().ends_with("AT") { self.now_s } else { 0 };
        let time = match random.u32(..10) {
            0 => pick(random, NUMBERS).to_owned(),
            _ => ((base_s + far_s) * unit).to_string(),
        };
        let mut request = line(&[name, pick(random, KEYS), &time]);
        for _ in 0..random.u32(..3) {
            request.push(pick(random, &["NX", "XX", "GT", "lt", "foo"]).into());
            if random.bool() {
                break;
            }
        }
        request
    }

    fn restore(&self, random: &mut fastrand::Rng) -> Request {
        let mut payload = self.payloads[random.usize(..self.payloads.len())].clone();
        if random.u32(..8) == 0 {
            let at = random.usize(..payload.len());
            payload[at] ^= 1 << random.u32(..8);
        }
        let far_ms = random.u64(1..1_000_000) * 1_000_000;
        let (ttl, absolute) = match random.u32(..4) {
            0 => (0, random.bool()),
            1 => (far_ms, false),
            2 => (self.now_s * 1000 + far_ms, true),
            _ => (1 + random.u64(..1000), true),
        };
        let mut request = line(&["RESTORE", pick(random, KEYS), &ttl.to_string()]);
        request.push(payload);
        if absolute {
            request.push(b"ABSTTL".to_vec());
        }
        if random.u32(..3) > 0 {
            request.push(b"replace".to_vec());
        }
        if random.u32(..4) == 0 {
            request.extend(words(pick(random, &["IDLETIME 1000", "FREQ 7", "IDLETIME 0"])));
        }
        request
    }
}

fn line(parts: &[&str]) -> Request {
    parts.iter().map(|part| part.as_bytes().to_vec()).collect()
}

fn several(random: &mut fastrand::Rng, names: &[&str]) -> Request {
    let mut request = line(&[pick(random, names)]);
    request.extend((0..random.usize(1..4)).map(|_| pick(random, KEYS).as_bytes().to_vec()));
    request
}

fn scan(random: &mut fastrand::Rng) -> Request {
    let mut request = words("SCAN 0 COUNT 1000");
    if random.bool() {
        request.extend(line(&["MATCH", pick(random, PATTERNS)]));
    }
    if random.u32(..3) == 0 {
        request.extend(line(&["TYPE", pick(random, &["string", "STRING", "list", "nosuch"])]));
    }
    request
}

fn copy(random: &mut fastrand::Rng) -> Request {
    let mut request = line(&["COPY", pick(random, KEYS), pick(random, KEYS)]);
    if random.u32(..3) == 0 {
        request.extend(line(&["DB", &random.u32(..4).to_string()]));
    }
    if random.bool() {
        request.push(b"REPLACE".to_vec());
    }
    request
}

fn number(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// The lines of a reply in ascending order. Keys contain no line ends here, so equal sets give equal lines.
fn sorted(reply: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = reply.split(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// Whether the two replies say the same, as far as they can.
fn agree(request: &Request, stock: &[u8], ours: &[u8]) -> bool {
    let near = |tolerance: i64| match (number(stock), number(ours)) {
        (Some(one), Some(two)) if one > 0 && two > 0 => (one - two).abs() <= tolerance,
        _ => false,
    };
    stock == ours
        || match request[0].to_ascii_uppercase().as_slice() {
            b"KEYS" | b"SCAN" => sorted(stock) == sorted(ours),
            b"RANDOMKEY" => {
                stock.starts_with(b"$")
                    && ours.starts_with(b"$")
                    && (stock == b"$-1\r\n") == (ours == b"$-1\r\n")
            }
            b"TTL" | b"EXPIRETIME" => near(3),
            b"PTTL" | b"PEXPIRETIME" => near(3000),
            b"OBJECT" => {
                request.len() == 3
                    && request[1] == b"IDLETIME"
                    && number(stock).is_some()
                    && number(ours).is_some()
            }
            // How well a string is compressed is up to the writer.
            b"DUMP" => [stock, ours].iter().all(|reply| bulk(reply).get(1) == Some(&LZF)),
            _ => false,
        }
}

#[test]
fn random_requests_of_the_generic_family() {
    with_seed("random_requests_of_the_generic_family", 21, |seed| {
        let mut pair = Pair::start();
        let generator = Generator::new(&mut pair);
        let count =
            std::env::var("REQUESTS").map_or(REQUESTS, |text| text.parse().expect("a number"));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut history: VecDeque<String> = VecDeque::new();
        for round in 0..count / BATCH {
            pair.set_resp3(round % 10 == 9);
            let requests: Vec<Request> =
                (0..BATCH).map(|_| generator.request(&mut random)).collect();
            let expected = pair.stock.run(&requests);
            let found = pair.ours.run(&requests);
            for ((request, stock), ours) in requests.iter().zip(&expected).zip(&found) {
                history.push_back(format!("{} -> {}", shown(request), shown_bytes(stock)));
                history.drain(..history.len().saturating_sub(30));
                assert!(
                    agree(request, stock, ours),
                    "{}\nstock: {}\nours:  {}\nafter:\n{}",
                    shown(request),
                    shown_bytes(stock),
                    shown_bytes(ours),
                    history.make_contiguous().join("\n")
                );
            }
        }
        pair.ours.node.state.keyspace.check_invariants();
    });
}

/// The log of random requests, played into a stock server, gives the dataset.
#[test]
fn the_log_of_random_requests_gives_the_same_dataset() {
    with_seed("the_log_of_random_requests_gives_the_same_dataset", 22, |seed| {
        let mut pair = Pair::start();
        let generator = Generator::new(&mut pair);
        let mut random = fastrand::Rng::with_seed(seed);
        let requests: Vec<Request> = (0..20_000).map(|_| generator.request(&mut random)).collect();
        pair.ours.run(&requests);
        let log = pair.ours.take_log();
        assert!(log.len() > 5000);
        for (entry, reply) in log.iter().zip(pair.stock.run(&log)) {
            assert_ne!(reply[0], b'-', "{} -> {}", shown(entry), shown_bytes(&reply));
        }
        for db in 0..4 {
            let select = words(&format!("SELECT {db}"));
            pair.stock.run(std::slice::from_ref(&select));
            pair.ours.run(&[select]);
            let questions: Vec<Request> = ["KEYS *", "DBSIZE"].map(words).into_iter().collect();
            let both = pair.stock.run(&questions).into_iter().zip(pair.ours.run(&questions));
            both.for_each(|(stock, ours)| assert_eq!(sorted(&stock), sorted(&ours)));
            for key in KEYS {
                let questions: Vec<Request> =
                    ["GET", "PEXPIRETIME"].map(|name| line(&[name, key])).into_iter().collect();
                let stock = pair.stock.run(&questions);
                assert_eq!(stock, pair.ours.run(&questions), "{key} in database {db}");
            }
        }
    });
}

/// Requests that make one value of each type and form at the stock server, each at the key `made`.
fn makers() -> Vec<(&'static str, Vec<Request>)> {
    let many = |verb: &str, count: usize, element: &dyn Fn(usize) -> Vec<String>| {
        let mut request = line(&[verb, "made"]);
        request.extend((0..count).flat_map(element).map(String::into_bytes));
        vec![request]
    };
    let long = |i: usize| format!("{i}:{}", "y".repeat(100));
    vec![
        ("int", vec![words("SET made 123456789")]),
        ("short string", vec![words("SET made short")]),
        ("string", vec![line(&["SET", "made", &"compress me ".repeat(5000)])]),
        ("list", many("RPUSH", 20, &|i| vec![i.to_string()])),
        ("long list", many("RPUSH", 5000, &|i| vec![long(i)])),
        ("list with a large element", many("RPUSH", 3, &|i| vec!["z".repeat(20_000 * i)])),
        ("integers", many("SADD", 300, &|i| vec![(i * i).to_string()])),
        ("set", many("SADD", 20, &|i| vec![format!("member:{i}")])),
        ("large set", many("SADD", 3000, &|i| vec![long(i)])),
        ("hash", many("HSET", 20, &|i| vec![format!("field:{i}"), i.to_string()])),
        ("large hash", many("HSET", 2000, &|i| vec![long(i), long(i + 1)])),
        ("zset", many("ZADD", 20, &|i| vec![format!("{}", i * 3), format!("m{i}")])),
        ("zset of fractions", many("ZADD", 40, &|i| vec![format!("{i}.1"), format!("m{i}")])),
        ("large zset", many("ZADD", 1000, &|i| vec![format!("-{i}.25"), long(i)])),
        ("infinite scores", vec![words("ZADD made -inf a +inf b 0 c 1e300 d")]),
        ("stream", stream_maker()),
        ("empty stream", vec![words("XADD made 5-5 a 1"), words("XDEL made 5-5")]),
    ]
}

/// A stream with groups, consumers and entries that are pending, and some deleted.
fn stream_maker() -> Vec<Request> {
    let mut requests: Vec<Request> = (1..400)
        .map(|i| match i % 3 {
            0 => words(&format!("XADD made {i}-1 name value{i} other {i}")),
            _ => words(&format!("XADD made {i}-1 name {i}")),
        })
        .collect();
    for rest in [
        "XDEL made 7-1 8-1 399-1",
        "XGROUP CREATE made g1 0",
        "XGROUP CREATE made g2 50-1",
        "XGROUP CREATECONSUMER made g1 idle",
        "XREADGROUP GROUP g1 one COUNT 30 STREAMS made >",
        "XREADGROUP GROUP g1 two COUNT 5 STREAMS made >",
        "XREADGROUP GROUP g2 one COUNT 5 STREAMS made >",
        "XACK made g1 3-1 4-1",
    ] {
        requests.push(words(rest));
    }
    requests
}

/// The encoding that 7.2 has where 7.0 has another one.
fn encoding_of_7_2<'a>(what: &str, encoding: &'a str) -> &'a str {
    match what {
        "list" => "listpack",
        "set" => "listpack",
        _ => encoding,
    }
}

#[test]
fn payloads_of_all_types_go_to_and_fro() {
    let mut pair = Pair::start();
    for (what, mut requests) in makers() {
        let questions =
            ["DUMP made", "TYPE made", "OBJECT ENCODING made", "DEBUG DIGEST-VALUE made"];
        requests.insert(0, words("DEL made"));
        requests.extend(questions.map(words));
        let replies = pair.stock.run(&requests);
        let [payload, kind, encoding, digest] = &replies[replies.len() - 4..] else { panic!() };

        let mut restore = words("RESTORE made 0");
        restore.extend([bulk(payload).to_vec(), b"REPLACE".to_vec()]);
        let found = pair.ours.run(&[
            restore,
            words("TYPE made"),
            words("OBJECT ENCODING made"),
            words("DUMP made"),
            words("COPY made copy REPLACE"),
            words("DUMP copy"),
        ]);
        assert_eq!(found[0], b"+OK\r\n", "{what}: {}", shown_bytes(&found[0]));
        assert_eq!(&found[1], kind, "{what}");
        let encoding = std::str::from_utf8(bulk(encoding)).expect("a name");
        assert_eq!(bulk(&found[2]), encoding_of_7_2(what, encoding).as_bytes(), "{what}");
        assert_eq!(found[3], found[5], "{what}: a copy is the same");

        let mut back = words("RESTORE made 0");
        back.extend([bulk(&found[3]).to_vec(), b"REPLACE".to_vec()]);
        let replies = pair.stock.run(&[back, words("DEBUG DIGEST-VALUE made")]);
        assert_eq!(replies[0], b"+OK\r\n", "{what}: {}", shown_bytes(&replies[0]));
        assert_eq!(&replies[1], digest, "{what}");
    }
}

#[test]
fn damaged_payloads_are_refused_and_change_nothing() {
    let mut pair = Pair::start();
    let mut random = fastrand::Rng::with_seed(31);
    for (what, mut requests) in makers() {
        requests.insert(0, words("DEL made"));
        requests.push(words("DUMP made"));
        let payload = bulk(pair.stock.run(&requests).last().expect("a reply")).to_vec();
        for _ in 0..50 {
            let mut damaged = payload.clone();
            match random.u32(..3) {
                0 => damaged.truncate(random.usize(..damaged.len())),
                _ => {
                    let at = random.usize(..damaged.len());
                    damaged[at] ^= 1 << random.u32(..8);
                }
            }
            let mut restore = words("RESTORE made 0");
            restore.push(damaged);
            let found = pair.ours.run(&[restore, words("EXISTS made")]);
            let refused = b"-ERR DUMP payload version or checksum are wrong\r\n";
            assert_eq!(found[0], refused, "{what}: {}", shown_bytes(&found[0]));
            assert_eq!(found[1], b":0\r\n");
        }
    }
}

/// Patterns made of the letters that mean something, against keys made of the same.
#[test]
fn random_patterns_match_the_same_keys() {
    with_seed("random_patterns_match_the_same_keys", 41, |seed| {
        let mut pair = Pair::start();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut word = |letters: &[u8], max: usize| -> Vec<u8> {
            let length = random.usize(..=max);
            (0..length).map(|_| letters[random.usize(..letters.len())]).collect()
        };
        let mut sets: Vec<Request> = Vec::new();
        for _ in 0..200 {
            sets.push(vec![b"SET".to_vec(), word(b"abcd*?[]^-\\\xff", 6), b"1".to_vec()]);
        }
        pair.stock.run(&sets);
        pair.ours.run(&sets);
        let patterns: Vec<Request> =
            (0..10_000).map(|_| vec![b"KEYS".to_vec(), word(b"aabc**?[[]]^--\\\xff", 9)]).collect();
        let both = pair.stock.run(&patterns).into_iter().zip(pair.ours.run(&patterns));
        for (pattern, (stock, ours)) in patterns.iter().zip(both) {
            assert!(
                sorted(&stock) == sorted(&ours),
                "{}: {} or {}",
                shown(pattern),
                shown_bytes(&stock),
                shown_bytes(&ours)
            );
        }
    });
}
