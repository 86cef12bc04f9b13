//! String commands beside a stock server.

use std::collections::VecDeque;

use crate::peer::{Request, Stock, shown};
use crate::random::{Pair, pick, with_seed};

/// Keys that the requests share, so that they meet; `list` holds a list at the start of each round.
const KEYS: [&str; 7] = ["a", "b", "c", "d", "{x}e", "f", "list"];

/// Numbers at edges, numbers that are none, and text.
const VALUES: [&str; 44] = [
    "",
    "0",
    "1",
    "-1",
    "9",
    "10",
    "99",
    "007",
    "+5",
    "-0",
    " 1",
    "1 ",
    "hello",
    "ohmytext",
    "mynewtext",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "2147483647",
    "2147483648",
    "4294967296",
    "0.1",
    "0.2",
    "-0.5",
    "3.0",
    "1e5",
    "1e-5",
    "1.5e300",
    "1e4000",
    "-1e4931",
    "1e5000",
    "inf",
    "-inf",
    "nan",
    "0x1F",
    "0x1.8p3",
    ".5",
    "5.",
    "1e17",
    "100000000000000000.1",
    "12345678901234567890.12345678901234567890",
    "1..2",
    "\u{e9}\r\n\0\u{1f600}",
];

/// Expiries: the past, the far future, and what is no time. Nothing that passes while the test runs.
const TIMES: [&str; 16] = [
    "1000000",
    "100000000",
    "9999999999999",
    "9223372036854775807",
    "9223372036854775",
    "9223372036854776",
    "9223370000000000000",
    "0",
    "-1",
    "-9223372036854775808",
    "x",
    "",
    "1.5",
    "92233720368547758070",
    "1",
    "4102444800000",
];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    pick(random, &KEYS).as_bytes().to_vec()
}

fn value(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..10) {
        0 => random.i64(..).to_string().into_bytes(),
        1 => format!("{}.{}", random.i32(..), random.u64(..)).into_bytes(),
        2 => (0..random.usize(..100)).map(|_| random.u8(..)).collect(),
        3 => std::iter::repeat_with(|| *pick(random, &[&b'a', &b'b', &b'c'])).take(12).collect(),
        4 => format!("{}e{}", random.f64(), random.i32(-40..40)).into_bytes(),
        _ => pick(random, &VALUES).as_bytes().to_vec(),
    }
}

fn index(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..12) {
        0 => value(random),
        1 => (i64::MAX - i64::from(random.u8(..3))).to_string().into_bytes(),
        2 => (i64::MIN + i64::from(random.u8(..3))).to_string().into_bytes(),
        3 => random.i64(536_870_900..536_870_920).to_string().into_bytes(),
        _ => random.i64(-30..40).to_string().into_bytes(),
    }
}

/// Options of SET and GETEX in any number and order, right ones and wrong ones.
fn options(random: &mut fastrand::Rng, request: &mut Request) {
    const WORDS: [&str; 12] =
        ["NX", "XX", "GET", "KEEPTTL", "PERSIST", "EX", "PX", "EXAT", "PXAT", "ex", "nx", "FOO"];
    for _ in 0..[0, 0, 1, 1, 1, 2, 2, 3][random.usize(..8)] {
        let word = pick(random, &WORDS);
        request.push(word.as_bytes().to_vec());
        if matches!(word, "EX" | "PX" | "EXAT" | "PXAT" | "ex") && random.u8(..20) > 0 {
            request.push(time(random, word));
        }
    }
}

/// A time; small relative ones would pass while the test runs.
fn time(random: &mut fastrand::Rng, unit: &str) -> Vec<u8> {
    let relative = matches!(unit, "EX" | "PX" | "ex");
    loop {
        let time = pick(random, &TIMES);
        if !(relative && time == "1") {
            return time.as_bytes().to_vec();
        }
    }
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 33] = [
        "GET",
        "GET",
        "SET",
        "SET",
        "SET",
        "SET",
        "SETNX",
        "SETEX",
        "PSETEX",
        "GETSET",
        "GETDEL",
        "GETEX",
        "GETEX",
        "MGET",
        "MSET",
        "MSETNX",
        "APPEND",
        "STRLEN",
        "SUBSTR",
        "GETRANGE",
        "SETRANGE",
        "INCR",
        "DECR",
        "INCRBY",
        "DECRBY",
        "INCRBYFLOAT",
        "INCRBYFLOAT",
        "LCS",
        "LCS",
        "OBJECT",
        "DEL",
        "EXISTS",
        "INCRBY",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![name.as_bytes().to_vec()];
    if name == "OBJECT" {
        request.push(b"ENCODING".to_vec());
    }
    request.push(key(random));
    arguments(random, name, &mut request);
    spoil(random, &mut request);
    request
}

/// What stands behind the first key.
fn arguments(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    match name {
        "SET" => {
            request.push(value(random));
            options(random, request);
        }
        "GETEX" => options(random, request),
        "SETNX" | "GETSET" | "APPEND" | "INCRBYFLOAT" => request.push(value(random)),
        "INCRBY" | "DECRBY" => request.push(index(random)),
        "SETEX" | "PSETEX" => {
            request.push(time(random, "EX"));
            request.push(value(random));
        }
        "MGET" => (0..random.usize(..4)).for_each(|_| request.push(key(random))),
        "MSET" | "MSETNX" => {
            request.push(value(random));
            for _ in 0..random.usize(..3) {
                request.push(key(random));
                request.push(value(random));
            }
        }
        "SUBSTR" | "GETRANGE" => {
            request.push(index(random));
            request.push(index(random));
        }
        "SETRANGE" => {
            let offset = match index(random) {
                // Half a gigabyte of zeros takes longer than it teaches.
                offset if offset.starts_with(b"53687") => b"536870913".to_vec(),
                offset => offset,
            };
            request.push(offset);
            request.push(value(random));
        }
        "LCS" => lcs_arguments(random, request),
        _ => {}
    }
}

fn lcs_arguments(random: &mut fastrand::Rng, request: &mut Request) {
    request.push(key(random));
    for _ in 0..random.usize(..4) {
        let word = pick(random, &["IDX", "LEN", "WITHMATCHLEN", "MINMATCHLEN", "idx", "BAR"]);
        request.push(word.as_bytes().to_vec());
        if word == "MINMATCHLEN" && random.u8(..10) > 0 {
            request.push(random.i32(-2..6).to_string().into_bytes());
        }
    }
}

/// Now and then an argument too many or too few.
pub(crate) fn spoil(random: &mut fastrand::Rng, request: &mut Request) {
    match random.u8(..50) {
        0 => request.push(b"extra".to_vec()),
        1 if request.len() > 1 => {
            request.pop();
        }
        _ => {}
    }
}

/// Everything a client can see of the keys.
pub(crate) fn look(pair: &mut Pair, keys: &[&str], looks: &[&str]) {
    for key in keys {
        let (stock, ours) = pair.numbers(&format!("PEXPIRETIME {key}"));
        // Relative times were made absolute a moment apart.
        assert!(stock.abs_diff(ours) < 10_000, "{key} expires at {stock} and {ours}");
        for look in looks {
            pair.check(&format!("{look} {key}"));
        }
    }
}

/// Short lists are listpacks since 7.2.
fn short_lists_are_listpacks(_: &mut Stock, request: &Request, reply: Vec<u8>) -> Vec<u8> {
    let asks = request[0] == b"OBJECT" && reply == b"$9\r\nquicklist\r\n";
    if asks { b"$8\r\nlistpack\r\n".to_vec() } else { reply }
}

#[test]
fn random_string_commands_answer_as_stock_does() {
    with_seed("random_string_commands", 20_261_122, |seed| {
        let mut pair = Pair::start();
        for (round, resp3) in [false, true, false].into_iter().enumerate() {
            pair.set_resp3(resp3);
            for part in 0..20 {
                pair.put_list("list");
                let seed = seed + 1000 * u64::try_from(round).unwrap() + part;
                pair.play(seed, 1000, request, &short_lists_are_listpacks);
            }
            // The list's encoding is known to differ.
            look(&mut pair, &KEYS[..6], &["GET", "EXISTS", "OBJECT ENCODING", "TYPE"]);
        }
    });
}

#[test]
fn random_sums_of_fractions_have_stocks_digits() {
    with_seed("random_sums_of_fractions", 7, |seed| {
        let mut pair = Pair::start();
        let request = |random: &mut fastrand::Rng| {
            let text = match random.u8(..8) {
                0 => "0".to_owned(),
                1 => format!("{}e{}", random.i64(..), random.i32(-4990..4990)),
                2 => format!("-{}.{}e{}", random.u64(..), random.u64(..), random.i32(-60..60)),
                3 => format!("0x{:x}.{:x}p{}", random.u32(..), random.u64(..), random.i32(-80..80)),
                4 => format!("{:.3}", random.f64()),
                _ => format!("{}{:e}", pick(random, &["", "-", "+"]), random.f64() * 1e3),
            };
            let name = pick(random, &["SET", "INCRBYFLOAT", "INCRBYFLOAT", "INCRBYFLOAT"]);
            vec![name.as_bytes().to_vec(), b"n".to_vec(), text.into_bytes()]
        };
        pair.play(seed, 20_000, request, &|_, _, reply| reply);
    });
}

/// The log a request leaves is what a stock server appends to its own: same commands, same words, but for times.
#[test]
fn effects_are_those_of_stock() {
    let lines = "SET a 1\nSET a 1 KEEPTTL\nSET a 2 NX\nSET a 2 XX GET\nSET a 3 EX 1000000\nSET a 3 PX 1000000 GET
        SET a 4 EXAT 9999999999 XX\nSET a 5 PXAT 9999999999999 NX\nSET a 5 PXAT 9999999999999\nSET a 5 PXAT 9999999999999 GET
        SET a 5 XX PXAT 9999999999999
        SET a 6 KEEPTTL GET\nSETNX a 1\nSETNX b 1\nSETEX b 1000000 x\nPSETEX b 1000000000 y\nGETSET b 5\nGETDEL b\nGETDEL b
        GETEX a\nGETEX a PERSIST\nGETEX a PERSIST\nGETEX a EX 1000000\nGETEX a PXAT 9999999999999\nGETEX a EXAT 1\nGET a
        MSET a 1 b 2\nMSETNX a 1 c 2\nMSETNX c 1 d 2\nMGET a b\nAPPEND a 5\nAPPEND z \"\"\nSETRANGE a 3 x\nSETRANGE a 3 \"\"
        SETRANGE y 3 \"\"\nSET n 5\nINCR n\nDECR n\nINCRBY n 0\nDECRBY n 7\nINCRBYFLOAT n 0.5\nINCRBYFLOAT nn 3
        SETBIT a 1 1\nSETBIT a 1 1\nSETBIT a 1 0\nSETBIT a 500 0\nSETBIT a 500 0\nSETBIT new 7 0\nBITOP AND r a b\nBITOP NOT r nothing
        BITOP NOT r nothing\nBITFIELD a GET u8 0\nBITFIELD a SET u8 0 1\nBITFIELD a SET u8 0 1\nBITFIELD a SET u8 0 2 SET u8 0 1
        BITFIELD a INCRBY u8 0 0\nBITFIELD a OVERFLOW FAIL SET u8 0 256\nBITCOUNT a\nLCS a b\nSET gone 1 EXAT 1\nGET gone\nGET gone
        INCR list\nSET k v NX GET\nSET k v NX GET\nEXPIRE k 100\nPERSIST k";
    let mut pair = Pair::start_with_log();
    pair.check(lines);
    let (stock, ours) = (pair.stock_log(), pair.ours.take_log());
    let mut seen = VecDeque::new();
    for (expected, found) in stock.iter().map(masked).zip(ours.iter().map(masked)) {
        seen.push_back(shown(&found));
        assert_eq!(shown(&expected), shown(&found), "behind {seen:?}");
    }
    assert_eq!(stock.len(), ours.len());
}

/// Relative times were made absolute a moment apart: their last five digits may differ.
fn masked(request: &Request) -> Request {
    request
        .iter()
        .map(|word| if word.len() == 13 { word[..8].to_vec() } else { word.clone() })
        .collect()
}

/// LCS alone, of strings over few letters, where there are many ways to be right and stock takes one.
#[test]
fn random_common_parts_are_those_of_stock() {
    with_seed("random_common_parts_are_those_of_stock", 6, |seed| {
        let texts = |random: &mut fastrand::Rng| {
            let letters = pick(random, &["ab", "abc", "abcdefgh"]).as_bytes();
            let one = |random: &mut fastrand::Rng| -> Vec<u8> {
                (0..random.usize(..24)).map(|_| letters[random.usize(..letters.len())]).collect()
            };
            let name =
                |random: &mut fastrand::Rng| pick(random, &["x", "y", "z"]).as_bytes().to_vec();
            match random.u8(..4) {
                0 => vec![b"SET".to_vec(), name(random), one(random)],
                _ => {
                    let mut request = vec![b"LCS".to_vec(), name(random)];
                    lcs_arguments(random, &mut request);
                    request[2] = name(random);
                    request
                }
            }
        };
        let mut pair = Pair::start();
        for (round, resp3) in [false, true].into_iter().enumerate() {
            pair.set_resp3(resp3);
            pair.play(seed + round as u64, 50_000, texts, &|_, _, reply| reply);
        }
    });
}
