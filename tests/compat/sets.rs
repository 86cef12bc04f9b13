//! Set commands beside a stock server.
//!
//! Listpacks of sets came with 7.2: here they are switched off, so that encodings can be compared, but for one test.

use highwater::config::Config;

use crate::ours::Ours;
use crate::peer::{Request, Stock, bulk, shown, shown_bytes, words};
use crate::random::{Pair, pick, with_seed};
use crate::strings::spoil;

/// Random requests of the family.
const REQUESTS: usize = 100_000;

/// Keys that the requests share; `list` holds a list and `text` a string at the start of each round.
const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "{x}f", "list", "text"];

const MEMBERS: [&str; 24] = [
    "",
    "0",
    "1",
    "-1",
    "007",
    "+5",
    "-0",
    "1.0",
    "a",
    "b",
    "word",
    "another word",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "\u{e9}\r\n\0\u{1f600}",
    "sixty-five bytes are one more than a listpack takes, that is to say: ",
];

const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "2",
    "5",
    "100",
    "-1",
    "-3",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    // Those that hold something else come up less often.
    let count = if random.u8(..10) == 0 { KEYS.len() } else { 6 };
    KEYS[random.usize(..count)].as_bytes().to_vec()
}

fn member(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..10) {
        0..=5 => random.i32(-20..700).to_string().into_bytes(),
        6 => format!("m{}", random.u16(..700)).into_bytes(),
        _ => pick(random, &MEMBERS).as_bytes().to_vec(),
    }
}

fn members(random: &mut fastrand::Rng, request: &mut Request) {
    match random.u8(..60) {
        // Sets that grow out of an intset.
        0 => {
            let first = random.i32(..100);
            request.extend((first..first + 400).map(|number| number.to_string().into_bytes()));
        }
        _ => (0..random.usize(1..5)).for_each(|_| request.push(member(random))),
    }
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 25] = [
        "SADD",
        "SADD",
        "SADD",
        "SADD",
        "SADD",
        "SREM",
        "SREM",
        "SISMEMBER",
        "SMISMEMBER",
        "SCARD",
        "SMEMBERS",
        "SMOVE",
        "SMOVE",
        "SINTER",
        "SINTERCARD",
        "SINTERSTORE",
        "SUNION",
        "SUNIONSTORE",
        "SDIFF",
        "SDIFFSTORE",
        "SPOP",
        "SRANDMEMBER",
        "SSCAN",
        "OBJECT",
        "DEL",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![name.as_bytes().to_vec()];
    match name {
        "OBJECT" => request.push(b"ENCODING".to_vec()),
        "SINTERCARD" => {
            let count = random.usize(1..4);
            let wrong = random.u8(..10) == 0;
            let number =
                if wrong { word(random, &NUMBERS) } else { count.to_string().into_bytes() };
            request.push(number);
            request.extend((1..count).map(|_| key(random)));
        }
        _ => {}
    }
    request.push(key(random));
    arguments(random, name, &mut request);
    spoil(random, &mut request);
    if matches!(name, "SPOP" | "SRANDMEMBER") && request.len() == 2 {
        request.push(b"0".to_vec());
    }
    request
}

fn word(random: &mut fastrand::Rng, words: &[&str]) -> Vec<u8> {
    pick(random, words).as_bytes().to_vec()
}

/// What stands behind the first key.
fn arguments(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    match name {
        "SADD" | "SREM" | "SMISMEMBER" => members(random, request),
        "SISMEMBER" => request.push(member(random)),
        "SMOVE" => request.extend([key(random), member(random)]),
        "SINTER" | "SUNION" | "SDIFF" => {
            request.extend((0..random.usize(..4)).map(|_| key(random)));
        }
        "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" => {
            request.extend((0..random.usize(1..5)).map(|_| key(random)));
        }
        "SINTERCARD" if random.bool() => {
            request.push(word(random, &["LIMIT", "limit", "LIMITS"]));
            request.push(word(random, &NUMBERS));
        }
        // What is random is compared where it is certain: nothing, all, and errors.
        "SPOP" | "SRANDMEMBER" => {
            request.push(word(random, &["0", "10000", "x", "-9223372036854775808", ""]));
        }
        "SSCAN" => {
            request.push(word(random, &["0", "0", "x", "", "-1", "99999999999999999999"]));
            if random.bool() {
                request.push(word(random, &["MATCH", "COUNT", "count", "TYPE", "FOO"]));
                let values = ["*", "1*", "m?", "set", "10", "0", "x", "[1-3]", "2000"];
                request.push(word(random, &values));
            }
        }
        _ => {}
    }
}

/// Commands whose replies have no order.
fn is_unordered(request: &Request) -> bool {
    const NAMES: [&[u8]; 6] =
        [b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"SPOP", b"SRANDMEMBER"];
    NAMES.contains(&&request[0][..])
}

/// A reply with its elements in order.
fn sorted(reply: &[u8]) -> Vec<u8> {
    let Some(b'*' | b'~') = reply.first() else { return reply.to_vec() };
    let head = reply.iter().position(|&byte| byte == b'\n').expect("a head") + 1;
    let (mut elements, mut rest) = (Vec::new(), &reply[head..]);
    while !rest.is_empty() {
        let length = crate::peer::reply_length(rest).expect("whole replies");
        elements.push(&rest[..length]);
        rest = &rest[length..];
    }
    elements.sort_unstable();
    [&reply[..head], &elements.concat()].concat()
}

/// Compares replies of which some have no order, so that [`Pair::play`] would not do.
fn play(pair: &mut Pair, seed: u64, count: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..count / 200 {
        let requests: Vec<Request> = (0..200).map(|_| request(&mut random)).collect();
        let expected = pair.stock.run(&requests);
        let found = pair.ours.run(&requests);
        for (at, request) in requests.iter().enumerate() {
            compare(request, &expected[at], &found[at]);
        }
    }
}

fn compare(request: &Request, expected: &[u8], found: &[u8]) {
    let fails = || {
        panic!(
            "{}\nstock: {}\nours:  {}",
            shown(request),
            shown_bytes(expected),
            shown_bytes(found)
        )
    };
    if is_unordered(request) {
        if sorted(expected) != sorted(found) {
            fails();
        }
    } else if request[0] == b"SSCAN" && expected.starts_with(b"*2\r\n$") {
        // Steps through tables are each server's own; whole sets are compared by `scans_show_all_members`.
        let done = |reply: &[u8]| reply.starts_with(b"*2\r\n$1\r\n0\r\n");
        let members = |reply: &[u8]| sorted(&reply[b"*2\r\n$1\r\n0\r\n".len()..]);
        if done(expected)
            && done(found)
            && request[2] == b"0"
            && members(expected) != members(found)
        {
            fails();
        }
    } else if expected != found && expected != b"$9\r\nquicklist\r\n" {
        // Short lists are listpacks since 7.2.
        fails();
    }
}

fn configured(entries_max: u64) -> Pair {
    let stock = Stock::start(&[]);
    let ours = Ours::start(|config: &mut Config| {
        let values = config.values_mut();
        values.enable_debug_command = highwater::config::choices::ProtectedAction::Yes;
        values.set_max_listpack_entries = entries_max;
    });
    Pair { stock, ours }
}

fn put_others(pair: &mut Pair) {
    pair.put_list("list");
    pair.check("SET text x");
}

fn ask(pair: &mut Pair, line: &str) -> (Vec<u8>, Vec<u8>) {
    let request = [words(line)];
    (pair.stock.run(&request).remove(0), pair.ours.run(&request).remove(0))
}

/// Compares what the keys hold, and takes payloads to the other side and back.
fn look(pair: &mut Pair) {
    for key in &KEYS[..6] {
        pair.check(&format!(
            "TYPE {key}\nDEBUG DIGEST-VALUE {key}\nOBJECT ENCODING {key}\nSCARD {key}"
        ));
        let (stock, ours) = ask(pair, &format!("DUMP {key}"));
        if !stock.starts_with(b"$-1") && !stock.starts_with(b"_") {
            let restore = |name: &str, payload: &[u8]| -> Request {
                vec![
                    b"RESTORE".to_vec(),
                    name.into(),
                    b"0".to_vec(),
                    bulk(payload).to_vec(),
                    b"REPLACE".to_vec(),
                ]
            };
            // Each side gets its own and the other's.
            for (name, payload) in [("copy1", &stock), ("copy2", &ours)] {
                let replies = (
                    pair.stock.run(&[restore(name, payload)]),
                    pair.ours.run(&[restore(name, payload)]),
                );
                assert_eq!(replies.0, replies.1);
                assert_eq!(replies.0[0], b"+OK\r\n");
                pair.check(&format!(
                    "DEBUG DIGEST-VALUE {name} {key}\nOBJECT ENCODING {name}\nDEL {name}"
                ));
            }
        }
    }
}

#[test]
fn random_set_commands_answer_as_stock_does() {
    with_seed("random_set_commands", 20_261_126, |seed| {
        let mut pair = configured(0);
        for (round, resp3) in [false, true].into_iter().enumerate() {
            pair.set_resp3(resp3);
            for part in 0..10 {
                put_others(&mut pair);
                play(&mut pair, seed + 1000 * round as u64 + part, REQUESTS / 20);
                look(&mut pair);
            }
        }
    });
}

#[test]
fn random_set_commands_with_listpacks_answer_as_stock_does() {
    with_seed("random_set_commands_with_listpacks", 20_261_127, |seed| {
        let mut pair = configured(128);
        for part in 0..10 {
            put_others(&mut pair);
            let mut random = fastrand::Rng::with_seed(seed + part);
            for _ in 0..20 {
                let requests: Vec<Request> = std::iter::repeat_with(|| request(&mut random))
                    .filter(|request| request[0] != b"OBJECT")
                    .take(200)
                    .collect();
                let (expected, found) = (pair.stock.run(&requests), pair.ours.run(&requests));
                for (at, request) in requests.iter().enumerate() {
                    compare(request, &expected[at], &found[at]);
                }
            }
            for key in &KEYS[..6] {
                pair.check(&format!("DEBUG DIGEST-VALUE {key}\nSCARD {key}"));
            }
        }
    });
}

/// A log with members of SREM in order, and those of neighbours for one key put together: stock 7.0 writes one each.
fn gathered(log: &[Request]) -> Vec<String> {
    let mut lines: Vec<Request> = Vec::new();
    for request in log.iter().filter(|request| !matches!(&request[0][..], b"MULTI" | b"EXEC")) {
        match lines.last_mut() {
            Some(last) if last[0] == b"SREM" && request[0] == b"SREM" && last[1] == request[1] => {
                last.extend_from_slice(&request[2..]);
            }
            _ => lines.push(request.clone()),
        }
    }
    let sort = |mut line: Request| {
        if line[0] == b"SREM" {
            line[2..].sort_unstable();
        }
        shown(&line)
    };
    lines.into_iter().map(sort).collect()
}

#[test]
fn effects_are_those_of_stock() {
    let mut pair = Pair::start_with_log();
    let lines = "SADD a 1 2 3\nSADD a 1 2\nSADD a 3 4\nSREM a 9\nSREM a 4 9\nSMOVE a b 9\nSMOVE a b 1\nSADD a 1\nSMOVE a b 1
        SMOVE a a 2\nSMOVE none b 2\nSINTERSTORE c a none\nSINTERSTORE c a a\nSINTERSTORE c a none\nSINTERSTORE c none
        SUNIONSTORE c a b\nSUNIONSTORE c none\nSUNIONSTORE c none\nSDIFFSTORE c a b\nSDIFFSTORE c a a\nSDIFFSTORE list a
        SPOP none\nSPOP none 5\nSPOP a 0\nSADD one x\nSPOP one\nSADD all 1 2 3\nSPOP all 3\nSADD all 1 2 3\nSPOP all 7
        SINTER a b\nSUNION a b\nSDIFF a b\nSRANDMEMBER a 0\nSSCAN a 0\nSREM b 1 2\nsadd lower case\nSPOP lower
        SADD gone x\nPEXPIREAT gone 1\nSADD gone y";
    let requests: Vec<Request> = lines.lines().map(|line| words(line.trim())).collect();
    let expected = pair.stock.run(&requests);
    let found = pair.ours.run(&requests);
    for (at, request) in requests.iter().enumerate() {
        compare(request, &expected[at], &found[at]);
    }
    let (stock, ours) = (pair.stock_log(), pair.ours.take_log());
    assert_eq!(gathered(&stock), gathered(&ours));
    // Since 7.2 a setting says how the key goes.
    let lines = ["CONFIG SET lazyfree-lazy-server-del yes", "SADD all 1 2 3", "SPOP all 7"];
    pair.ours.run(&lines.map(words));
    assert_eq!(gathered(&pair.ours.take_log())[1], "\"UNLINK\" \"all\"");
}

/// What SPOP took is what its effects remove, in pieces; a log that is played again gives what is there.
#[test]
fn members_that_are_popped_are_those_that_the_log_removes() {
    let mut pair = configured(128);
    for (count, word) in [(20, ""), (500, ""), (100, "m"), (5000, "m"), (5000, "")] {
        for taken in [1, count / 3, count / 2, count * 9 / 10, count - 1] {
            let mut sadd = words("SADD s");
            sadd.extend((0..count).map(|number| format!("{word}{number}").into_bytes()));
            pair.ours.run(&[words("DEL s t"), sadd.clone()]);
            pair.ours.take_log();
            let popped = pair.ours.run(&[words(&format!("SPOP s {taken}"))]).remove(0);
            let log = pair.ours.take_log();
            let removals: Vec<&Request> =
                log.iter().filter(|request| request[0] == b"SREM").collect();
            assert!(removals.iter().all(|request| request.len() <= 2 + 1024));
            assert_eq!(removals.len(), usize::div_ceil(taken, 1024));
            let mut removed: Vec<_> = removals.iter().flat_map(|request| &request[2..]).collect();
            removed.sort_unstable();
            let bulks = removed.iter().flat_map(|member| {
                [format!("${}\r\n", member.len()).into_bytes(), member.to_vec(), b"\r\n".to_vec()]
            });
            let mut elements: Vec<u8> = format!("*{taken}\r\n").into_bytes();
            elements.extend(bulks.flatten());
            assert_eq!(sorted(&popped), sorted(&elements));

            sadd[1] = b"t".to_vec();
            pair.ours.run(&[sadd]);
            for removal in removals {
                let mut again = removal.clone();
                again[1] = b"t".to_vec();
                pair.ours.run(&[again]);
            }
            let digests =
                pair.ours.run(&[words("DEBUG DIGEST-VALUE s"), words("DEBUG DIGEST-VALUE t")]);
            assert_eq!(digests[0], digests[1]);
        }
    }
}

#[test]
fn random_members_are_members() {
    let mut pair = configured(128);
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        for (count, word) in [(1, ""), (500, ""), (100, "m"), (3000, "m")] {
            let mut sadd = words("SADD s");
            sadd.extend((0..count).map(|number| format!("{word}{number}").into_bytes()));
            pair.ours.run(&[words("DEL s"), sadd.clone()]);
            pair.stock.run(&[words("DEL s"), sadd]);
            for wanted in [1, 2, 10, 90, 450, 2500, 3000, 5000, -1, -2, -1000] {
                let line = format!("SRANDMEMBER s {wanted}");
                let (stock, ours) = ask(&mut pair, &line);
                let head =
                    |reply: &[u8]| reply.split(|&byte| byte == b'\n').next().map(<[u8]>::to_vec);
                assert_eq!(head(&stock), head(&ours), "{line} of {count}");
                let text = String::from_utf8(ours).unwrap();
                let found: Vec<&str> = text.split("\r\n").skip(2).step_by(2).collect();
                let different: std::collections::BTreeSet<_> = found.iter().collect();
                assert!(wanted < 0 || different.len() == found.len(), "{line} of {count}");
                let mut asks = words("SMISMEMBER s");
                asks.extend(found.iter().map(|member| member.as_bytes().to_vec()));
                let answer = pair.ours.run(&[asks]).remove(0);
                assert!(!answer.windows(2).any(|pair| pair == b":0"), "{line} of {count}");
            }
            // One at a time until nothing is left.
            let mut popped = std::collections::BTreeSet::new();
            for _ in 0..count {
                assert!(popped.insert(pair.ours.run(&[words("SPOP s")]).remove(0)));
            }
            assert_eq!(pair.ours.run(&[words("EXISTS s")]), [b":0\r\n"]);
            pair.stock.run(&[words("DEL s")]);
        }
    }
    pair.check(
        "SPOP s\nSPOP s 5\nSPOP s -1\nSPOP s 1 1\nSRANDMEMBER s\nSRANDMEMBER s 5\nSRANDMEMBER s -5\nSRANDMEMBER s 1 1
        SRANDMEMBER s 99999999999999999999\nSADD s x\nSPOP s -1\nSPOP s x\nSRANDMEMBER s x\nSRANDMEMBER s\nSRANDMEMBER s -3
        SRANDMEMBER s -9223372036854775808\nSPOP s 9223372036854775808\nSPOP s\nSPOP s",
    );
}

#[test]
fn scans_show_all_members() {
    let mut pair = configured(128);
    for (count, word) in [(500, ""), (100, "m"), (3000, "m")] {
        let mut sadd = words("SADD s");
        sadd.extend((0..count).map(|number| format!("{word}{number}").into_bytes()));
        pair.ours.run(&[words("DEL s"), sadd]);
        for (options, expected) in [("", count), ("COUNT 100", count), ("MATCH *7", count / 10)] {
            let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
            loop {
                let reply =
                    pair.ours.run(&[words(&format!("SSCAN s {cursor} {options}"))]).remove(0);
                let text = String::from_utf8(reply).unwrap();
                let lines: Vec<&str> = text.split("\r\n").collect();
                seen.extend(lines[4..].iter().skip(1).step_by(2).map(|line| (*line).to_owned()));
                cursor = lines[2].to_owned();
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(seen.len(), expected, "{count} {options}");
        }
    }
}

/// Short lists of members are in order since 7.2; stock 7.0 has no listpacks of sets.
#[test]
fn small_sets_are_kept_as_in_7_2() {
    let mut ours = configured(128).ours;
    let mut check = |line: &str, expected: &str| {
        let reply = ours.run(&[words(line)]).remove(0);
        let words: Vec<String> =
            String::from_utf8(reply).unwrap().split("\r\n").map(str::to_owned).collect();
        let shown: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| !word.starts_with(['*', '$', '~']))
            .collect();
        assert_eq!(shown.join(" ").trim_end(), expected, "{line}");
    };
    check("SADD s 3 1 2", ":3");
    check("SMEMBERS s", "1 2 3");
    check("OBJECT ENCODING s", "intset");
    check("SADD s word 0 -5", ":3");
    check("SMEMBERS s", "1 2 3 word 0 -5");
    check("OBJECT ENCODING s", "listpack");
    check("SREM s 2 word", ":2");
    check("SMEMBERS s", "1 3 0 -5");
    check("OBJECT ENCODING s", "listpack");
    check("SADD t b a 1", ":3");
    check("SMEMBERS t", "b a 1");
    check("SINTERSTORE u s t", ":1");
    check("OBJECT ENCODING u", "intset");
    check("SUNIONSTORE u t s", ":6");
    check("SMEMBERS u", "b a 1 3 0 -5");
    check("SDIFFSTORE u t s", ":2");
    check("SMEMBERS u", "b a");
    check("SMOVE t new a", ":1");
    check("OBJECT ENCODING new", "listpack");
    check("SUNION s", "1 3 0 -5");
    check("CONFIG SET set-max-listpack-entries 3", "+OK");
    check("SADD t c", ":1");
    check("OBJECT ENCODING t", "listpack");
    check("SADD t d", ":1");
    check("OBJECT ENCODING t", "hashtable");
    check("CONFIG SET set-max-intset-entries 4", "+OK");
    check("SADD i 1 2 3 4", ":4");
    check("OBJECT ENCODING i", "intset");
    check("SADD i 5", ":1");
    check("OBJECT ENCODING i", "hashtable");
    check("SADD j 1 2 3 4 5", ":5");
    check("OBJECT ENCODING j", "hashtable");
}

#[test]
fn sets_take_no_more_memory_than_in_stock() {
    // What a collection of any type costs beside its elements, more than in stock.
    const BESIDE: i64 = 64;
    let mut pair = configured(128);
    for (count, word) in
        [(10, ""), (500, ""), (100, "word:"), (20_000, ""), (20_000, "member:0000")]
    {
        let members = (0..count).map(|number| format!("{word}{number:05}").into_bytes());
        let members: Vec<_> = if word.is_empty() {
            (0..count).map(|number: u32| number.to_string().into_bytes()).collect()
        } else {
            members.collect()
        };
        pair.check("DEL s");
        for part in members.chunks(100) {
            let mut sadd = words("SADD s");
            sadd.extend_from_slice(part);
            assert_eq!(pair.stock.run(&[sadd.clone()]), pair.ours.run(&[sadd]));
        }
        let (stock, ours) = pair.numbers("MEMORY USAGE s SAMPLES 0");
        println!("{count} of {word:?}: stock {stock}, ours {ours}");
        assert!(ours <= stock + BESIDE, "{count} of {word:?}: {ours} bytes, in stock {stock}");
    }
}
