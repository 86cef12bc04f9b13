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

fn request(random: &mut fastrand::Rng) -> Request {
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
            let shown = if random.u8(..10) == 0 {
                pick(random, &NUMBERS).to_owned()
            } else {
                count.to_string()
            };
            request.push(shown.into_bytes());
            (0..count).for_each(|_| request.push(key(random)));
            if random.bool() {
                request.push(pick(random, &["LIMIT", "limit", "LIMITS"]).as_bytes().to_vec());
                request.push(pick(random, &NUMBERS).as_bytes().to_vec());
            }
            spoil(random, &mut request);
            return request;
        }
        _ => {}
    }
    request.push(key(random));
    match name {
        "SADD" | "SREM" | "SMISMEMBER" => members(random, &mut request),
        "SISMEMBER" => request.push(member(random)),
        "SMOVE" => {
            request.push(key(random));
            request.push(member(random));
        }
        "SINTER" | "SUNION" | "SDIFF" => {
            (0..random.usize(..4)).for_each(|_| request.push(key(random)))
        }
        "SINTERSTORE" | "SUNIONSTORE" | "SDIFFSTORE" => {
            (0..random.usize(1..5)).for_each(|_| request.push(key(random)));
        }
        // What is random is compared where it is certain: nothing, all, and errors.
        "SPOP" | "SRANDMEMBER" => {
            request.push(
                pick(random, &["0", "10000", "x", "-9223372036854775808", ""]).as_bytes().to_vec(),
            );
        }
        "SSCAN" => {
            request.push(
                pick(random, &["0", "0", "x", "", "-1", "99999999999999999999"])
                    .as_bytes()
                    .to_vec(),
            );
            if random.bool() {
                request.push(
                    pick(random, &["MATCH", "COUNT", "count", "TYPE", "FOO"]).as_bytes().to_vec(),
                );
                let value =
                    pick(random, &["*", "1*", "m?", "set", "10", "0", "x", "[1-3]", "2000"]);
                request.push(value.as_bytes().to_vec());
            }
        }
        _ => {}
    }
    spoil(random, &mut request);
    if matches!(name, "SPOP" | "SRANDMEMBER") && request.len() == 2 {
        request.push(b"0".to_vec());
    }
    request
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
