//! Bitmap commands beside a stock server.

use crate::peer::Request;
use crate::random::{Pair, pick, with_seed};
use crate::strings::{look, spoil};

const KEYS: [&str; 6] = ["a", "b", "c", "number", "missing", "list"];

/// OBJECT ENCODING is not among them: a stock server lets a SETBIT or BITFIELD that changes no bit turn a string raw, here
/// it stays what it is.
const LOOKS: [&str; 3] = ["GET", "EXISTS", "TYPE"];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    pick(random, &KEYS).as_bytes().to_vec()
}

fn word(text: impl ToString) -> Vec<u8> {
    text.to_string().into_bytes()
}

/// An offset of a bit, now and then one at the edge of what is allowed, or none.
fn offset(random: &mut fastrand::Rng, writes: bool) -> Vec<u8> {
    match random.u8(..30) {
        0 => word("4294967296"),
        1 if !writes => word("4294967295"),
        2 => word("-1"),
        3 => word(i64::MAX),
        4 => word("9223372036854775808"),
        5 => word("x"),
        6 => word(""),
        7 => word("01"),
        8 => word(random.u32(..20_000)),
        _ => word(random.u32(..200)),
    }
}

fn index(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..20) {
        0 => word(i64::MIN),
        1 => word(i64::MAX),
        2 => word("x"),
        3 => word(random.i32(-4000..4000)),
        _ => word(random.i32(-60..60)),
    }
}

fn field_type(random: &mut fastrand::Rng) -> Vec<u8> {
    const EDGES: [&str; 12] =
        ["u0", "i0", "u64", "i64", "i65", "u63", "u1", "i1", "x8", "u", "I8", "i08"];
    match random.u8(..4) {
        0 => word(pick(random, &EDGES)),
        1 => word(pick(random, &["u8", "i8", "u16", "i16", "u4", "i5"])),
        2 => format!("i{}", random.u8(1..=64)).into_bytes(),
        _ => format!("u{}", random.u8(1..=63)).into_bytes(),
    }
}

fn field_offset(random: &mut fastrand::Rng, writes: bool) -> Vec<u8> {
    match random.u8(..20) {
        0 => word("#9223372036854775807"),
        1 => word("#-1"),
        2 => word("#"),
        3 => word("#x"),
        4..=9 => format!("#{}", random.u8(..20)).into_bytes(),
        _ => offset(random, writes),
    }
}

/// A number to set or to add. Nothing below -2^62 is set: that saturates at the upper end of a field in a stock server, at the
/// lower end here.
fn field_value(random: &mut fastrand::Rng, name: &str) -> Vec<u8> {
    let lowest = if name.eq_ignore_ascii_case("SET") { i64::MIN / 2 } else { i64::MIN };
    match random.u8(..10) {
        0 => word(lowest),
        1 => word(i64::MAX),
        2 => word("x"),
        3 => word(random.i64(lowest..)),
        _ => word(random.i32(-300..300)),
    }
}

fn field_operations(random: &mut fastrand::Rng, request: &mut Request) {
    for _ in 0..random.usize(..4) {
        let name = pick(random, &["GET", "SET", "INCRBY", "OVERFLOW", "incrby", "set", "FOO"]);
        if name == "FOO" && random.bool() {
            continue;
        }
        request.push(word(name));
        match name {
            "OVERFLOW" => {
                request.push(word(pick(random, &["WRAP", "SAT", "FAIL", "sat", "fail", "NO"])))
            }
            "GET" => request.extend([field_type(random), field_offset(random, false)]),
            "FOO" => {}
            _ => request.extend([
                field_type(random),
                field_offset(random, true),
                field_value(random, name),
            ]),
        }
    }
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 16] = [
        "SETBIT",
        "SETBIT",
        "SETBIT",
        "GETBIT",
        "BITCOUNT",
        "BITCOUNT",
        "BITPOS",
        "BITPOS",
        "BITOP",
        "BITFIELD",
        "BITFIELD",
        "BITFIELD",
        "BITFIELD_RO",
        "SET",
        "DEL",
        "GET",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![word(name)];
    if name == "BITOP" {
        request.push(word(pick(random, &["AND", "OR", "XOR", "NOT", "not", "and", "NAND"])));
    }
    request.push(key(random));
    match name {
        "SETBIT" => request.extend([
            offset(random, true),
            word(pick(random, &["0", "1", "1", "1", "2", "x", "-1"])),
        ]),
        "GETBIT" => request.push(offset(random, false)),
        "BITCOUNT" | "BITPOS" => {
            if name == "BITPOS" {
                request.push(word(pick(random, &["0", "1", "0", "1", "0", "1", "2", "x"])));
            }
            for _ in 0..random.usize(..3) {
                request.push(index(random));
            }
            if random.bool() {
                request.push(word(pick(random, &["BIT", "BYTE", "bit", "bits"])));
            }
        }
        "BITOP" => (0..random.usize(1..4)).for_each(|_| request.push(key(random))),
        "BITFIELD" | "BITFIELD_RO" => field_operations(random, &mut request),
        "SET" => request.push(match random.u8(..4) {
            0 => word(random.i32(..)),
            1 => vec![0xff; random.usize(..40)],
            2 => vec![0; random.usize(..40)],
            _ => (0..random.usize(..60)).map(|_| random.u8(..)).collect(),
        }),
        _ => {}
    }
    spoil(random, &mut request);
    request
}

#[test]
fn random_bitmap_commands_answer_as_stock_does() {
    with_seed("random_bitmap_commands", 20_261_122, |seed| {
        let mut pair = Pair::start();
        for (round, resp3) in [false, true, false].into_iter().enumerate() {
            pair.set_resp3(resp3);
            for part in 0..20 {
                pair.put_list("list");
                let seed = seed + 1000 * u64::try_from(round).unwrap() + part;
                pair.play(seed, 1000, request, &|_, _, reply| reply);
            }
            look(&mut pair, &KEYS, &LOOKS);
        }
    });
}

/// Fields alone, in short strings, so that each operation meets what others have left.
#[test]
fn random_fields_are_read_and_written_as_in_stock() {
    with_seed("random_fields_are_read_and_written_as_in_stock", 5, |seed| {
        let fields = |random: &mut fastrand::Rng| match random.u8(..40) {
            0 => vec![word("DEL"), key(random)],
            1 => vec![word("SET"), key(random), word(random.i32(..))],
            2 => vec![word("GET"), key(random)],
            _ => {
                let name = pick(random, &["BITFIELD", "BITFIELD", "BITFIELD", "BITFIELD_RO"]);
                let mut request = vec![word(name), key(random)];
                field_operations(random, &mut request);
                request
            }
        };
        let mut pair = Pair::start();
        pair.put_list("list");
        pair.play(seed, 100_000, fields, &|_, _, reply| reply);
        look(&mut pair, &KEYS, &LOOKS);
    });
}
