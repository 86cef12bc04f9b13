//! Sorted set commands beside a stock server.

use highwater::config::Config;

use crate::notices::Listeners;
use crate::ours::Ours;
use crate::peer::{Request, Stock, bulk, reply_length, shown, shown_bytes, words};
use crate::random::{Pair, pick, with_seed};
use crate::streams_wait::Waiting;
use crate::strings::spoil;

/// Random requests of the family, for each protocol and each limit.
const REQUESTS: usize = 40_000;

/// Keys that the requests share. Scores of `lex` and `{x}lex` are all 0. `set` holds a set, `list` a list.
const KEYS: [&str; 6] = ["a", "b", "c", "{x}d", "lex", "{x}lex"];

const MEMBERS: [&str; 16] = [
    "",
    "0",
    "1",
    "-1",
    "007",
    "a",
    "aa",
    "ab",
    "b",
    "z",
    "word",
    "9223372036854775807",
    "9223372036854775808",
    "\u{e9}\r\n\0\u{1f600}",
    "sixty-five bytes are one more than a listpack takes, that is to say: ",
    "another member that is longer than what a listpack takes, and begins so",
];

/// Scores that both versions print alike, and what is none.
const SCORES: [&str; 22] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "1.5",
    "-2.25",
    "100",
    "inf",
    "-inf",
    "+inf",
    "1e3",
    "0x10",
    "1099511627776",
    "3",
    "3",
    "5.5",
    "nan",
    "x",
    "",
    " 1",
    "1e400",
];

const BOUNDS: [&str; 24] = [
    "-inf", "+inf", "inf", "(inf", "(-inf", "0", "(0", "1", "(1", "-1", "2", "(2.5", "3", "100",
    "(100", "1.5", "", "(", " 1", "nan", "x", "1e400", "((1", "-2.25",
];

const LEX_BOUNDS: [&str; 18] = [
    "-", "+", "[", "(", "[a", "(a", "[aa", "(b", "[z", "(word", "[1", "(9", "[m5", "(m3", "x", "",
    "--", "+x",
];

const NUMBERS: [&str; 17] = [
    "0",
    "1",
    "2",
    "5",
    "17",
    "100",
    "-1",
    "-2",
    "-5",
    "-20",
    "-100",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
];

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..40) {
        0 => text("list"),
        1..=3 => text("set"),
        4..=7 => text("lex"),
        number => text(KEYS[usize::from(number) % 4]),
    }
}

/// A key in which not all scores are equal.
fn scored_key(random: &mut fastrand::Rng) -> Vec<u8> {
    text(if random.u8(..40) == 0 { "list" } else { KEYS[random.usize(..4)] })
}

fn lex_key(random: &mut fastrand::Rng) -> Vec<u8> {
    text(pick(random, &["lex", "{x}lex"]))
}

fn member(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..10) {
        0..=3 => pick(random, &MEMBERS).as_bytes().to_vec(),
        4..=6 => random.u8(..40).to_string().into_bytes(),
        _ => format!("m{}", random.u8(..60)).into_bytes(),
    }
}

fn score(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..10) {
        0..=2 => pick(random, &SCORES[..17]).as_bytes().to_vec(),
        3 if random.u8(..5) == 0 => pick(random, &SCORES).as_bytes().to_vec(),
        4..=6 => random.i32(-20..20).to_string().into_bytes(),
        _ => (f64::from(random.i32(-400..400)) / 8.0).to_string().into_bytes(),
    }
}

fn word(random: &mut fastrand::Rng, choices: &[&str]) -> Vec<u8> {
    let word = pick(random, choices);
    if random.u8(..4) == 0 { text(&word.to_lowercase()) } else { text(word) }
}

fn number(random: &mut fastrand::Rng) -> Vec<u8> {
    let count = if random.u8(..8) == 0 { NUMBERS.len() } else { 11 };
    text(NUMBERS[random.usize(..count)])
}

/// A number of keys that mostly is right, and the keys.
fn counted_keys(random: &mut fastrand::Rng, request: &mut Request) {
    let count = random.usize(1..4);
    let wrong = random.u8(..15) == 0;
    request.push(if wrong { number(random) } else { text(&count.to_string()) });
    (0..count).for_each(|_| request.push(key(random)));
}

fn limit(random: &mut fastrand::Rng, request: &mut Request) {
    if random.u8(..3) == 0 {
        request.push(word(random, &["LIMIT"]));
        request.push(number(random));
        request.push(number(random));
    }
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 52] = [
        "ZADD",
        "ZADD",
        "ZADD",
        "ZADD",
        "ZADD",
        "ZADD",
        "ZADD lex",
        "ZADD lex",
        "ZADD many",
        "ZINCRBY",
        "ZINCRBY",
        "ZREM",
        "ZREM",
        "ZSCORE",
        "ZMSCORE",
        "ZCARD",
        "ZCOUNT",
        "ZLEXCOUNT",
        "ZRANK",
        "ZREVRANK",
        "ZRANGE",
        "ZRANGE",
        "ZRANGE lex",
        "ZRANGESTORE",
        "ZREVRANGE",
        "ZRANGEBYSCORE",
        "ZREVRANGEBYSCORE",
        "ZRANGEBYLEX",
        "ZREVRANGEBYLEX",
        "ZREMRANGEBYRANK",
        "ZREMRANGEBYSCORE",
        "ZREMRANGEBYLEX",
        "ZPOPMIN",
        "ZPOPMAX",
        "ZMPOP",
        "ZRANDMEMBER",
        "ZUNION",
        "ZINTER",
        "ZDIFF",
        "ZUNIONSTORE",
        "ZINTERSTORE",
        "ZDIFFSTORE",
        "ZINTERCARD",
        "ZSCAN",
        "BZPOPMIN",
        "BZMPOP",
        "OBJECT",
        "DEL",
        "SADD",
        "TYPE",
        "ZCOUNT",
        "ZRANGE",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![text(name.split(' ').next().expect("a name"))];
    arguments(random, name, &mut request);
    spoil(random, &mut request);
    if name == "ZRANDMEMBER" && request.len() == 2 {
        request.push(text("0"));
    }
    request
}

#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn arguments(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    match name {
        "ZADD" => {
            request.push(scored_key(random));
            for _ in 0..[0, 0, 0, 1, 1, 2, 3][random.usize(..7)] {
                request.push(word(random, &["NX", "XX", "GT", "LT", "CH", "INCR", "CH"]));
            }
            for _ in 0..[1, 1, 1, 2, 5][random.usize(..5)] {
                request.extend([score(random), member(random)]);
            }
        }
        "ZADD lex" => {
            request.push(lex_key(random));
            for _ in 0..random.usize(1..6) {
                request.extend([text("0"), member(random)]);
            }
        }
        "ZADD many" => {
            request.push(scored_key(random));
            for number in 0..random.u8(..60) {
                request.extend([score(random), format!("m{number}").into_bytes()]);
            }
            request.extend([text("1"), text("a")]);
        }
        "ZINCRBY" => request.extend([scored_key(random), score(random), member(random)]),
        "ZREM" | "ZMSCORE" => {
            request.push(key(random));
            (0..random.usize(1..4)).for_each(|_| request.push(member(random)));
        }
        "ZSCORE" | "ZRANK" | "ZREVRANK" => request.extend([key(random), member(random)]),
        "ZCOUNT" | "ZREMRANGEBYSCORE" => {
            request.push(key(random));
            request.extend([text(pick(random, &BOUNDS)), text(pick(random, &BOUNDS))]);
        }
        "ZLEXCOUNT" | "ZREMRANGEBYLEX" => {
            request.push(lex_key(random));
            request.extend([text(pick(random, &LEX_BOUNDS)), text(pick(random, &LEX_BOUNDS))]);
        }
        "ZREMRANGEBYRANK" => request.extend([key(random), number(random), number(random)]),
        "SADD" => request.extend([text("set"), member(random)]),
        "OBJECT" => request.extend([text("ENCODING"), key(random)]),
        "ZPOPMIN" | "ZPOPMAX" => {
            request.push(key(random));
            if random.bool() {
                request.push(number(random));
            }
        }
        // What is random is compared where it is certain: nothing, all, and errors.
        "ZRANDMEMBER" => {
            let counts = ["0", "10000", "x", "-9223372036854775808", "9223372036854775807"];
            request.extend([key(random), text(pick(random, &counts))]);
            if random.bool() {
                request.push(word(random, &["WITHSCORES", "WITHSCORES", "FOO"]));
            }
        }
        "ZSCAN" => {
            request.extend([key(random), text(pick(random, &["0", "0", "0", "x", ""]))]);
            if random.bool() {
                request.push(word(random, &["MATCH", "COUNT", "TYPE", "FOO"]));
                request.push(text(pick(random, &["*", "m*", "1?", "zset", "10", "0", "1000"])));
            }
        }
        // A key that has members, so that nobody waits.
        "BZPOPMIN" => request.extend([text("set"), text("nokey"), text("x")]),
        "BZMPOP" => request.extend([text("x"), text("1"), text("a"), text("MIN")]),
        "ZMPOP" => {
            counted_keys(random, request);
            request.push(word(random, &["MIN", "MAX", "MIN", "MAX", "MID"]));
            if random.bool() {
                request.extend([word(random, &["COUNT", "COUNT", "LIMIT"]), number(random)]);
            }
        }
        "ZUNION" | "ZINTER" | "ZDIFF" | "ZUNIONSTORE" | "ZINTERSTORE" | "ZDIFFSTORE"
        | "ZINTERCARD" => algebra(random, name, request),
        _ if name.starts_with("ZR") => range(random, name, request),
        _ => request.push(key(random)),
    }
}

fn algebra(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    if name.ends_with("STORE") {
        request.push(scored_key(random));
    }
    counted_keys(random, request);
    if name == "ZINTERCARD" {
        if random.bool() {
            request.extend([word(random, &["LIMIT"]), number(random)]);
        }
        return;
    }
    if random.u8(..3) == 0 {
        request.push(word(random, &["WEIGHTS"]));
        for _ in 0..random.usize(1..4) {
            request.push(text(pick(random, &["1", "2", "0.5", "-1", "0", "inf", "-inf", "x"])));
        }
    }
    if random.u8(..3) == 0 {
        request.push(word(random, &["AGGREGATE"]));
        request.push(word(random, &["SUM", "MIN", "MAX", "AVG"]));
    }
    if random.u8(..3) == 0 {
        request.push(word(random, &["WITHSCORES"]));
    }
}

fn range(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    if name == "ZRANGESTORE" {
        request.push(scored_key(random));
    }
    let kind = match name {
        "ZREVRANGE" => 0,
        "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => 1,
        "ZRANGEBYLEX" | "ZREVRANGEBYLEX" | "ZRANGE lex" => 2,
        _ => random.u8(..2),
    };
    if kind == 2 {
        request.push(lex_key(random));
    } else {
        request.push(key(random));
    }
    for _ in 0..2 {
        request.push(match kind {
            0 => number(random),
            1 => text(pick(random, &BOUNDS)),
            _ => text(pick(random, &LEX_BOUNDS)),
        });
    }
    let by_options = name.starts_with("ZRANGE") && !name.starts_with("ZRANGEBY");
    match kind {
        1 if by_options => request.push(word(random, &["BYSCORE"])),
        2 if by_options => request.push(word(random, &["BYLEX"])),
        _ => {}
    }
    if by_options && random.bool() {
        request.push(word(random, &["REV"]));
    }
    limit(random, request);
    if random.u8(..3) == 0 {
        request.push(word(random, &["WITHSCORES", "WITHSCORES", "WITHSCORES", "WITHSCORE"]));
    }
}

/// A reply with its elements in order.
fn sorted(reply: &[u8]) -> Vec<&[u8]> {
    let head = reply.iter().position(|&byte| byte == b'\n').expect("a head") + 1;
    let (mut elements, mut rest) = (vec![&reply[..head]], &reply[head..]);
    while !rest.is_empty() {
        let length = reply_length(rest).expect("whole replies");
        elements.push(&rest[..length]);
        rest = &rest[length..];
    }
    elements[1..].sort_unstable();
    elements
}

fn compare(request: &Request, expected: &[u8], found: &[u8]) {
    const DONE: &[u8] = b"*2\r\n$1\r\n0\r\n";
    let same = match &request[0][..] {
        // WITHSCORE came with 7.2.
        b"ZRANK" | b"ZREVRANK" if request.len() > 3 => true,
        b"ZSCAN" if expected.starts_with(b"*2\r\n$") => {
            // Steps through large sets are each server's own; whole sets are compared by `scans_show_all_members`.
            let whole = expected.starts_with(DONE) && found.starts_with(DONE);
            !whole
                || request[2] != b"0"
                || sorted(&expected[DONE.len()..]) == sorted(&found[DONE.len()..])
        }
        // Pairs in any order.
        b"ZRANDMEMBER" => match expected.first() {
            Some(b'*') => sorted(expected) == sorted(found),
            _ => expected == found,
        },
        _ => {
            expected == found
                || expected == b"$9\r\nquicklist\r\n"
                || expected == b"$9\r\nhashtable\r\n"
        }
    };
    assert!(
        same,
        "{}\nstock: {}\nours:  {}",
        shown(request),
        shown_bytes(expected),
        shown_bytes(found)
    );
}

/// Compares replies of which some have no order, so that [`Pair::play`] would not do.
fn play(pair: &mut Pair, seed: u64, count: usize, make: impl Fn(&mut fastrand::Rng) -> Request) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..count / 200 {
        let requests: Vec<Request> = (0..200).map(|_| make(&mut random)).collect();
        let expected = pair.stock.run(&requests);
        let found = pair.ours.run(&requests);
        for (at, request) in requests.iter().enumerate() {
            compare(request, &expected[at], &found[at]);
        }
    }
}

fn configured(entries_max: u64) -> Pair {
    let stock = Stock::start(&["--zset-max-listpack-entries", &entries_max.to_string()]);
    let ours = Ours::start(|config: &mut Config| {
        let values = config.values_mut();
        values.enable_debug_command = highwater::config::choices::ProtectedAction::Yes;
        values.zset_max_listpack_entries = entries_max;
    });
    Pair { stock, ours }
}

fn ask(pair: &mut Pair, line: &str) -> (Vec<u8>, Vec<u8>) {
    let request = [words(line)];
    (pair.stock.run(&request).remove(0), pair.ours.run(&request).remove(0))
}

/// Compares what the keys hold, and takes payloads to the other side and back.
pub(crate) fn look(pair: &mut Pair, keys: &[&str]) {
    for key in keys {
        pair.check(&format!(
            "TYPE {key}\nDEBUG DIGEST-VALUE {key}\nOBJECT ENCODING {key}\nZCARD {key}"
        ));
        let (stock, ours) = ask(pair, &format!("DUMP {key}"));
        if stock.starts_with(b"$-1") || stock.starts_with(b"_") {
            continue;
        }
        let restore = |name: &str, payload: &[u8]| -> Request {
            let mut request = words(&format!("RESTORE {name} 0"));
            request.extend([bulk(payload).to_vec(), text("REPLACE")]);
            request
        };
        // Each side gets its own and the other's.
        for (name, payload) in [("copy1", &stock), ("copy2", &ours)] {
            let requests = [restore(name, payload)];
            let replies = (pair.stock.run(&requests), pair.ours.run(&requests));
            assert_eq!(replies.0, replies.1);
            assert_eq!(replies.0[0], b"+OK\r\n");
            pair.check(&format!(
                "DEBUG DIGEST-VALUE {name} {key}\nOBJECT ENCODING {name}\nDEL {name}"
            ));
        }
    }
}

#[test]
fn random_zset_commands_answer_as_stock_does() {
    with_seed("random_zset_commands", 20_261_128, |seed| {
        for (round, entries_max) in [16, 0, 128].into_iter().enumerate() {
            let mut pair = configured(entries_max);
            for resp3 in [false, true] {
                pair.set_resp3(resp3);
                for part in 0..5 {
                    pair.put_list("list");
                    pair.check("SADD set 1 a m1 m2 word 7 17");
                    let seed = seed + 1000 * round as u64 + 100 * u64::from(resp3) + part;
                    play(&mut pair, seed, REQUESTS / 10, request);
                    look(&mut pair, &KEYS);
                }
            }
        }
    });
}

/// As a number where it is one, printed as 7.2 does.
fn shortest(reply: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in reply.split_inclusive(|&byte| byte == b'\n') {
        let text = std::str::from_utf8(line).expect("text").trim_end();
        match text.strip_prefix(',').unwrap_or(text).parse::<f64>() {
            Ok(number) => {
                // The length in front of it goes.
                let before = out.iter().rposition(|&byte| byte == b'$');
                out.truncate(if text.starts_with(',') {
                    out.len()
                } else {
                    before.expect("a bulk")
                });
                out.extend_from_slice(format!("{:x}\n", number.to_bits()).as_bytes());
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

#[test]
fn scores_of_all_kinds_are_the_same_numbers() {
    with_seed("scores_of_all_kinds", 20_261_129, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pair = configured(16);
        for round in 0..60 {
            pair.set_resp3(round % 2 == 1);
            let mut requests = vec![words("DEL fractions")];
            for number in 0..random.u8(1..40) {
                let score = match random.u8(..4) {
                    0 => f64::from_bits(random.u64(..)),
                    1 => random.f64(),
                    2 => f64::from(random.u16(..1000)) / 10.0,
                    _ => (random.f64() * 1e18).floor(),
                };
                if score.is_finite() {
                    requests.push(words(&format!("ZADD fractions {score:e} member{number}")));
                    requests.push(words(&format!("ZINCRBY fractions 0.1 member{number}")));
                    requests.push(words(&format!("ZSCORE fractions member{number}")));
                }
            }
            requests.push(words("ZRANGE fractions 0 -1 WITHSCORES"));
            requests.push(words("ZUNION 2 fractions fractions WEIGHTS 0.1 3.3 WITHSCORES"));
            let (expected, found) = (pair.stock.run(&requests), pair.ours.run(&requests));
            for (at, request) in requests.iter().enumerate() {
                let (expected, found) = (shortest(&expected[at]), shortest(&found[at]));
                assert_eq!(
                    String::from_utf8_lossy(&expected),
                    String::from_utf8_lossy(&found),
                    "{}",
                    shown(request)
                );
            }
        }
    });
}

#[test]
fn zero_has_a_sign_in_large_sets_only() {
    let mut pair = configured(2);
    pair.check(
        "ZADD z -0 a
         ZSCORE z a
         ZINCRBY z -0 b
         ZADD z 1 c 2 d
         ZSCORE z a
         ZADD z -0 e
         ZSCORE z e
         ZADD z CH 0 e
         ZSCORE z e
         ZRANGE z 0 -1 WITHSCORES
         ZCOUNT z 0 (0
         ZCOUNT z -0 0
         ZRANGEBYSCORE z (-0 1",
    );
}

#[test]
fn scans_show_all_members() {
    let mut pair = configured(16);
    for count in [0, 5, 16, 17, 3000] {
        let mut add = words("ZADD scanned");
        for number in 0..count {
            add.extend([text(&(number % 10).to_string()), text(&format!("member{number}"))]);
        }
        pair.ours.run(&[words("DEL scanned"), add]);
        let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), "0".to_owned());
        loop {
            let reply =
                pair.ours.run(&[words(&format!("ZSCAN scanned {cursor} COUNT 7"))]).remove(0);
            let tree = crate::tree::Tree::read(&reply);
            let [next, members] = tree.list() else { panic!("{tree:?}") };
            seen.extend(members.names().iter().map(|member| (*member).to_owned()));
            cursor = next.text().to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), count);
    }
}

#[test]
fn picks_are_members() {
    let mut pair = configured(16);
    for count in [3, 16, 400] {
        let mut add = words("ZADD picked");
        for number in 0..count {
            add.extend([text(&number.to_string()), text(&format!("m{number}"))]);
        }
        pair.ours.run(&[words("DEL picked"), add]);
        for (wanted, expected) in
            [(1, 1), (2, 2), (100, count.min(100)), (300, count.min(300)), (-50, 50)]
        {
            let reply = pair.ours.run(&[words(&format!("ZRANDMEMBER picked {wanted} WITHSCORES"))]);
            let tree = crate::tree::Tree::read(&reply[0]);
            let pairs: Vec<_> = tree.list().chunks(2).collect();
            assert_eq!(pairs.len(), expected);
            for pair in &pairs {
                assert_eq!(pair[0].text(), format!("m{}", pair[1].text()));
            }
            if wanted > 0 {
                let names: std::collections::BTreeSet<_> = tree.names().into_iter().collect();
                assert_eq!(names.len(), expected, "no member twice");
            }
        }
        let reply = pair.ours.run(&[words("ZRANDMEMBER picked")]);
        assert!(bulk(&reply[0]).starts_with(b"m"));
    }
}

#[test]
fn ranks_come_with_scores_as_in_7_2() {
    let mut ours = Ours::start(|_| {});
    let replies = ours.run(
        &[
            "ZADD z 1 a 2.5 b 3 c",
            "ZRANK z b WITHSCORE",
            "ZREVRANK z b withscore",
            "ZRANK z x WITHSCORE",
            "ZRANK no x WITHSCORE",
            "ZRANK z b FOO",
            "ZRANK z b WITHSCORE x",
        ]
        .map(words),
    );
    assert_eq!(replies[1], b"*2\r\n:1\r\n$3\r\n2.5\r\n");
    assert_eq!(replies[2], b"*2\r\n:1\r\n$3\r\n2.5\r\n");
    assert_eq!(replies[3], b"*-1\r\n");
    assert_eq!(replies[4], b"*-1\r\n");
    assert_eq!(replies[5], b"-ERR syntax error\r\n");
    assert_eq!(replies[6], b"-ERR wrong number of arguments for 'zrank' command\r\n");
}

#[test]
fn the_log_sees_what_stocks_log_sees() {
    let mut pair = Pair::start_with_log();
    let lines = "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h
                 ZADD z 1 a
                 ZADD z NX 5 a
                 ZADD z XX 5 nobody
                 ZADD z GT CH 0 a 9 a
                 ZADD z INCR 2.5 a
                 ZINCRBY z 0 a
                 ZINCRBY z 1 a
                 ZREM z nobody
                 ZREM z h nobody
                 ZMPOP 2 nokey z MAX COUNT 1
                 ZMPOP 1 z MIN COUNT 2
                 ZMPOP 1 nokey MIN
                 ZPOPMIN z 0
                 ZPOPMIN z
                 ZPOPMAX nokey 5
                 BZPOPMIN nokey z 0
                 ZADD z 11 x 12 y 13 w
                 BZPOPMAX z 0
                 BZMPOP 0 1 z MIN COUNT 2
                 ZREMRANGEBYSCORE z 100 200
                 ZREMRANGEBYRANK z 0 0
                 ZADD z 1 a 2 b 3 c
                 ZREMRANGEBYLEX z [q [r
                 ZRANGESTORE d z 0 0
                 ZRANGESTORE nokey nobody 0 0
                 ZUNIONSTORE d 2 z d
                 ZINTERSTORE d 2 z nokey
                 ZDIFFSTORE d 1 nokey
                 ZMPOP 1 z MIN COUNT 100
                 GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
                 GEOADD g CH 13.361389 38.115556 Palermo 15.1 37.5 Catania
                 GEOADD g XX 13.361389 38.115556 Palermo
                 GEORADIUS g 15 37 200 km
                 GEORADIUS g 15 37 200 km STORE d
                 GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST
                 GEOSEARCHSTORE nokey g FROMLONLAT 15 37 BYRADIUS 1 m";
    pair.check(lines);
    compare_logs(&mut pair);
}

fn compare_logs(pair: &mut Pair) {
    let expected = pair.stock_log();
    let expected: Vec<_> = expected.iter().filter(|request| request[0] != b"SELECT").collect();
    let found = pair.ours.take_log();
    let found: Vec<_> = found.iter().filter(|request| request[0] != b"SELECT").collect();
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(shown(expected), shown(found));
    }
    assert_eq!(expected.len(), found.len());
}

#[test]
fn who_may_not_wait_is_answered_at_once() {
    let mut pair = configured(128);
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        pair.check(
            "MULTI
             BZPOPMIN nokey 0
             BZPOPMAX nokey other 0
             BZMPOP 0 2 nokey other MAX COUNT 5
             EXEC
             ZADD z 1 a 2.5 b 3 c
             BZPOPMIN nokey z 0
             BZPOPMAX z 0.5
             BZMPOP 0 2 nokey z MAX COUNT 5
             BZPOPMIN z x
             BZPOPMIN z -1
             SET text x
             BZPOPMIN nokey text z 0
             BZMPOP 0 1 text MIN",
        );
    }
}

#[test]
fn who_waits_is_served_when_members_come() {
    let mut waiting = Waiting::start();
    waiting.check("BZPOPMIN z 0", &["ZADD z 3 a 1.5 b"], None);
    waiting.pair.check("DEL z");
    waiting.check("BZPOPMAX other z 0", &["SET x 1", "ZADD z 5 c"], None);
    waiting.check("BZMPOP 0 2 one two MAX COUNT 2", &["ZADD two 1 a 2 b 3 c"], None);
    waiting.pair.check("DEL two");
    waiting.check("BZPOPMIN one two 0", &["SET two x", "DEL two", "GEOADD two 1 1 a"], None);
    waiting.check(
        "BZPOPMIN z 0",
        &["MULTI", "ZADD z 1 a", "DEL z", "ZADD z 2 b 3 c", "EXEC"],
        None,
    );
    waiting.check("BZPOPMIN d 0", &["ZUNIONSTORE d 1 z"], None);
    waiting.check("BZPOPMIN e 0", &["RENAME z e"], None);
    compare_logs(&mut waiting.pair);
}

#[test]
fn random_requests_are_heard_as_in_stock() {
    with_seed("zsets::random_requests_are_heard", 20_261_132, |seed| {
        let mut listeners = Listeners::start("KEAmn");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..300 {
            let mut requests: Vec<Request> = (0..60).map(|_| request(&mut random)).collect();
            // What is answered in another order, or otherwise since 7.2.
            let others: [&[u8]; 5] = [b"ZSCAN", b"ZRANDMEMBER", b"ZRANK", b"ZREVRANK", b"OBJECT"];
            requests.retain(|request| !others.contains(&&request[0][..]));
            listeners.step(&requests);
        }
        listeners.check(
            "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
             GEOADD g 13.361389 38.115556 Palermo
             GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km
             GEORADIUS g 15 37 200 km STORE d
             GEORADIUS g 15 37 1 m STORE d
             GEORADIUSBYMEMBER nokey a 1 m STORE d",
        );
    });
}
