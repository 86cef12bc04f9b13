//! Hashes: the same requests to both sides, with limits so low that small and large hashes are met.

use std::collections::{BTreeSet, VecDeque};

use crate::peer::{Request, Stock, bulk, shown, words};
use crate::random::{Pair, pick, with_seed};
use crate::strings::spoil;
use crate::tree::Tree;

const KEYS: [&str; 5] = ["a", "b", "c", "string", "list"];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    let at = if random.u8(..20) == 0 { random.usize(3..5) } else { random.usize(..3) };
    KEYS[at].as_bytes().to_vec()
}

fn field(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..12) {
        0 => Vec::new(),
        1 => vec![b'f'; random.usize(60..70)],
        2 => random.i64(-3..3).to_string().into_bytes(),
        3 => (random.i64(..) >> random.u32(..64)).to_string().into_bytes(),
        4 => vec![b'g'; random.usize(250..260)],
        _ => format!("field:{}", random.u8(..30)).into_bytes(),
    }
}

fn value(random: &mut fastrand::Rng) -> Vec<u8> {
    const NUMBERS: [&str; 14] = [
        "0",
        "1",
        "-1",
        "007",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "-0.1",
        "1e300",
        "inf",
        "-inf",
        "nan",
        " 1",
        "3.0e-5",
    ];
    match random.u8(..8) {
        0..4 => pick(random, &NUMBERS).as_bytes().to_vec(),
        4 => vec![b'v'; random.usize(60..70)],
        5 => vec![b'w'; random.usize(250..1200)],
        _ => format!("value {}", random.u16(..)).into_bytes(),
    }
}

fn number(random: &mut fastrand::Rng) -> Vec<u8> {
    let numbers =
        ["0", "1", "-1", "5", "-5", "100", "x", "", "9223372036854775807", "-9223372036854775808"];
    pick(random, &numbers).as_bytes().to_vec()
}

/// A request whose reply does not depend on chance or on the order of fields.
pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 22] = [
        "HSET",
        "HSET",
        "hset",
        "HMSET",
        "HSETNX",
        "HGET",
        "HMGET",
        "HLEN",
        "HSTRLEN",
        "HEXISTS",
        "HDEL",
        "HDEL",
        "HDEL",
        "HINCRBY",
        "HINCRBYFLOAT",
        "OBJECT ENCODING",
        "DEBUG DIGEST-VALUE",
        "TYPE",
        "DEL",
        "RENAME",
        "COPY",
        "HSCAN",
    ];
    let name = pick(random, &NAMES);
    let rare = matches!(name, "DEL" | "RENAME" | "COPY");
    if rare && random.u8(..4) > 0 {
        return request(random);
    }
    let mut request = words(name);
    request.push(key(random));
    match name {
        "HSET" | "hset" | "HMSET" => {
            for _ in 0..=random.usize(..4) {
                request.push(field(random));
                request.push(value(random));
            }
        }
        "HSETNX" => request.extend([field(random), value(random)]),
        "HGET" | "HSTRLEN" | "HEXISTS" => request.push(field(random)),
        "HMGET" | "HDEL" => (0..=random.usize(..6)).for_each(|_| request.push(field(random))),
        "HINCRBY" => request.extend([field(random), number(random)]),
        "HINCRBYFLOAT" => request.extend([field(random), value(random)]),
        // Only of hashes: what 7.2 calls a short list is a look away.
        "RENAME" | "COPY" => {
            let names = [0, 1].map(|_| KEYS[random.usize(..3)].into());
            request.truncate(1);
            request.extend(names);
        }
        // Of what is not there, or with what is wrong: the rest depends on the order of fields.
        "HSCAN" => {
            request[1] = pick(random, &["none", "list", "a"]).into();
            request.push(pick(random, &["0", "x", ""]).into());
            let wrong = ["COUNT", "COUNT 0", "COUNT x", "MATCH", "TYPE hash", "FOO 1"];
            request.extend(words(pick(random, &wrong)));
            return request;
        }
        _ => {}
    }
    spoil(random, &mut request);
    request
}

/// Short lists are listpacks since 7.2.
fn normalise(_: &mut Stock, request: &Request, reply: Vec<u8>) -> Vec<u8> {
    let asks = request[0] == b"OBJECT" && reply == b"$9\r\nquicklist\r\n";
    if asks { b"$8\r\nlistpack\r\n".to_vec() } else { reply }
}

/// The fields with their values that a side has.
fn fields(reply: &[u8]) -> BTreeSet<(String, String)> {
    let Tree::List(items) = Tree::read(reply) else { panic!("no list") };
    items.chunks(2).map(|pair| (pair[0].text().to_owned(), pair[1].text().to_owned())).collect()
}

/// Compares what the order of fields decides, and sends the hashes to and fro.
fn look(pair: &mut Pair) {
    pair.set_resp3(false);
    for key in &KEYS[..3] {
        for name in ["OBJECT ENCODING", "DEBUG DIGEST-VALUE", "HLEN"] {
            pair.check(&format!("{name} {key}"));
        }
        let questions = ["HGETALL", "OBJECT ENCODING", "DUMP", "EXISTS"];
        let questions = questions.map(|name| words(&format!("{name} {key}")));
        let (stock, ours) = (pair.stock.run(&questions), pair.ours.run(&questions));
        if stock[3] == b":0\r\n" {
            continue;
        }
        assert_eq!(fields(&stock[0]), fields(&ours[0]), "{key}");
        if bulk(&stock[1]) == b"listpack" {
            // One block in the order in which fields came.
            for name in ["HGETALL", "HKEYS", "HVALS", "HSCAN"] {
                let rest = if name == "HSCAN" { "0 MATCH *1*" } else { "" };
                pair.check(&format!("{name} {key} {rest}"));
            }
        }
        let restore = |payload: &[u8]| {
            let head = words("RESTORE copy 0");
            head.into_iter().chain([bulk(payload).to_vec(), b"REPLACE".to_vec()]).collect()
        };
        let to_stock = pair.stock.run(&[restore(&ours[2])]);
        let to_ours = pair.ours.run(&[restore(&stock[2])]);
        assert_eq!((&to_stock[0][..], &to_ours[0][..]), (&b"+OK\r\n"[..], &b"+OK\r\n"[..]));
        pair.check("DEBUG DIGEST-VALUE copy\nOBJECT ENCODING copy\nDEL copy");
    }
}

fn with_small_limits() -> Pair {
    let mut pair = Pair::start();
    pair.check("CONFIG SET hash-max-listpack-entries 12");
    pair.check("SET string 1");
    pair.put_list("list");
    pair
}

#[test]
fn random_hash_commands_answer_as_stock_does() {
    with_seed("random_hash_commands", 20_261_126, |seed| {
        let mut pair = with_small_limits();
        for part in 0..100 {
            pair.set_resp3(part % 3 == 1);
            pair.play(seed + part, 1000, request, &normalise);
            look(&mut pair);
            if part % 10 == 0 {
                pair.check("FLUSHALL\nSET string 1");
                pair.put_list("list");
            }
        }
    });
}

#[test]
fn replies_of_both_protocols_have_stocks_form() {
    let mut pair = Pair::start();
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        pair.check(
            "DEL h one\nHGETALL none\nHKEYS none\nHVALS none\nHMGET none a b\nHRANDFIELD none\nHRANDFIELD none 3
             HRANDFIELD none 3 WITHVALUES\nHSCAN none 0\nHSCAN none 5 FOO\nHSET h a 1 b two c 3.5 d \"\"\nHGETALL h\nHKEYS h
             HVALS h\nHMGET h a x c\nHGET h d\nHGET h x\nHSCAN h 0\nHSCAN h 0 MATCH a* COUNT 100\nHSCAN h 0 MATCH\nHSCAN h x
             HSCAN h 0 TYPE hash\nHSET one f v\nHRANDFIELD one\nHRANDFIELD one 5\nHRANDFIELD one 5 WITHVALUES
             HRANDFIELD one -2\nHRANDFIELD one -2 WITHVALUES\nHRANDFIELD one 0\nHRANDFIELD one x\nHRANDFIELD one 1 FOO
             HRANDFIELD one 1 WITHVALUES more\nHRANDFIELD one -9223372036854775808\nHRANDFIELD one 9223372036854775807
             HRANDFIELD one 9223372036854775807 WITHVALUES\nHRANDFIELD one -9223372036854775807 WITHVALUES
             HSET h a\nHSET h a 1 b\nHMSET h a 1 b\nHMSET h a 1\nHINCRBY h a 5\nHINCRBY h b 5\nHINCRBY h a x\nHINCRBY h new 3
             HINCRBYFLOAT h a 0.1\nHINCRBYFLOAT h b 1\nHINCRBYFLOAT h a inf\nHINCRBYFLOAT h a nan\nHINCRBYFLOAT h d 1
             HINCRBYFLOAT nokey f inf\nEXISTS nokey\nHDEL h a b c d x new\nEXISTS h\nHDEL h a\nHSETNX h a 1\nHSETNX h a 2",
        );
    }
}

/// Random samples: how many there are, whether they are fields of the hash, and whether they may repeat.
#[test]
fn samples_are_drawn_from_the_fields() {
    let mut pair = with_small_limits();
    for count in [5, 300] {
        let mut set = words("HSET h");
        (0..count).for_each(|n| set.extend(words(&format!("f{n} v{n}"))));
        pair.ours.run(&[words("DEL h"), set]);
        for wanted in [1, 2, 50, 99, 200, 299, 300, 500, -1, -50] {
            for values in ["", "WITHVALUES"] {
                let line = words(&format!("HRANDFIELD h {wanted} {values}"));
                let Tree::List(items) = Tree::read(&pair.ours.run(&[line])[0]) else { panic!() };
                let width = if values.is_empty() { 1 } else { 2 };
                let names: Vec<&str> = items.chunks(width).map(|pair| pair[0].text()).collect();
                let distinct = BTreeSet::from_iter(&names).len();
                if wanted < 0 {
                    assert_eq!(names.len(), usize::try_from(-wanted).unwrap());
                } else {
                    assert_eq!(names.len(), usize::try_from(wanted.min(count)).unwrap());
                    assert_eq!(distinct, names.len());
                }
                for item in items.chunks(width) {
                    let number: i32 = item[0].text()[1..].parse().unwrap();
                    assert!(number < count);
                    assert!(width == 1 || item[1].text() == format!("v{number}"));
                }
            }
        }
        // A scan gives every field once while nothing changes.
        let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let line = words(&format!("HSCAN h {cursor} COUNT 7 NOVALUES"));
            let Tree::List(reply) = Tree::read(&pair.ours.run(&[line])[0]) else { panic!() };
            reply[0].text().clone_into(&mut cursor);
            seen.extend(reply[1].list().iter().map(|tree| tree.text().to_owned()));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), usize::try_from(count).unwrap());
        assert_eq!(BTreeSet::from_iter(&seen).len(), seen.len());
    }
}

#[test]
fn effects_are_those_of_stock() {
    let lines = "HSET h a 1\nhset h a 1\nHMSET h b 2 c 3\nHSETNX h a 2\nHSETNX h d 2\nHGETALL h\nHINCRBY h a 5\nHINCRBY h a 0
        HINCRBY h zz x\nHINCRBYFLOAT h a 0.5\nHINCRBYFLOAT h n 3\nHDEL h x\nHDEL h a x b\nHDEL h c d n\nEXISTS h\nHDEL h a
        HSET h a 1\nHDEL h a\nHRANDFIELD h 3\nHSET s a 1 b 2\nHINCRBY s a x\nHINCRBYFLOAT s a inf";
    let mut pair = Pair::start_with_log();
    pair.check(lines);
    let (stock, ours) = (pair.stock_log(), pair.ours.take_log());
    let mut seen = VecDeque::new();
    for (expected, found) in stock.iter().zip(&ours) {
        seen.push_back(shown(found));
        assert_eq!(shown(expected), shown(found), "behind {seen:?}");
    }
    assert_eq!(stock.len(), ours.len());
}
