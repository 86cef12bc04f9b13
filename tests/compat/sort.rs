//! SORT and SORT_RO.

use crate::peer::{Request, Stock, shown, words};
use crate::random::{Pair, pick, with_seed};

/// Random requests; more of them with `REQUESTS` in the environment.
const REQUESTS: usize = 100_000;

const COLLECTIONS: &[&str] = &["l", "numbers", "s", "ints", "z", "nothing", "words"];
const ELEMENTS: &[&str] = &[
    "1",
    "2",
    "3",
    "10",
    "-7",
    "2.5",
    "1e3",
    "\" 4\"",
    "inf",
    "-inf",
    "\"\"",
    "0x10",
    "+6",
    "9007199254740993",
];
const TEXTS: &[&str] = &["a", "b", "abc", "B", "\"x y\"", "zz", "10", "9", "\"\""];
const BY: &[&str] =
    &["w_*", "w_*", "h_*->n", "h_*->t", "t_*", "nosort", "#", "*", "w_*->", "w_*->x", "nothing_*"];
const GET: &[&str] = &[
    "#",
    "w_*",
    "t_*",
    "h_*->n",
    "h_*->t",
    "h_*",
    "*",
    "nosuch",
    "*_w",
    "h_*->nosuch",
    "l*",
    "h_*->",
];

fn element(random: &mut fastrand::Rng) -> String {
    match random.u8(..4) {
        0 => (*pick(random, ELEMENTS)).to_owned(),
        _ => random.i32(-20..60).to_string(),
    }
}

/// A request that fills the collections and the keys that patterns name.
fn change(random: &mut fastrand::Rng) -> String {
    let (one, text) = (element(random), pick(random, TEXTS));
    let plain = text.trim_matches('"').replace(' ', "-");
    let number = random.i32(-20..60);
    match random.u8(..16) {
        0 | 1 => format!("RPUSH l {one} {}", element(random)),
        2 => format!("LPOP l {}", random.u8(..3)),
        3 => format!("RPUSH numbers {number} {}", random.i32(..)),
        4 => format!("LPOP numbers {}", random.u8(..4)),
        5 => format!("SADD ints {number}"),
        6 => format!("SREM ints {number}"),
        7 => format!("ZADD z {} {one}", random.i8(..)),
        8 => format!("ZREM z {one}"),
        9 => format!("SADD s {number} {text}"),
        10 => format!("RPUSH words {text} {number}"),
        11 => format!("LTRIM {} 0 {}", pick(random, &["words", "l", "numbers"]), random.u8(..30)),
        12 => format!("SET w_{number} {one}"),
        13 => format!("SET t_{number} {plain}{number}"),
        14 => format!("HSET h_{number} n {} t {plain}{number}", random.i16(..)),
        _ => format!("DEL w_{number} t_{number} h_{number}"),
    }
}

fn sort(random: &mut fastrand::Rng) -> String {
    let key = pick(random, COLLECTIONS);
    let by = if random.bool() { Some(pick(random, BY)) } else { None };
    // Texts that are equal come in any order in stock, and so does a set that is not sorted.
    let texts = ["s", "words"].contains(&key);
    let by_itself = by.is_some_and(|by| ["nosort", "#"].contains(&by));
    let alpha = texts || (random.u8(..3) == 0 && (by.is_none() || by_itself));
    let by = by.filter(|_| !texts || (by_itself && key != "s"));
    let mut line = format!("{} {key}", pick(random, &["SORT", "SORT", "SORT_RO"]));
    if let Some(by) = by {
        line += &format!(" BY {by}");
    }
    for _ in 0..random.u8(..3) {
        line += &format!(" GET {}", pick(random, GET));
    }
    if random.bool() {
        line += &format!(" LIMIT {} {}", random.i32(-3..20), random.i32(-2..20));
    }
    line += pick(random, &["", "", " DESC", " ASC", " DESC ASC"]);
    if alpha {
        line += " ALPHA";
    }
    if random.u8(..4) == 0 {
        line += &format!(" STORE {}", pick(random, &["stored", "l", "other"]));
    }
    line
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    let line = match random.u8(..20) {
        0..=7 => change(random),
        8 => format!("LRANGE {} 0 -1", pick(random, &["stored", "other"])),
        9 => format!("DEL {}", pick(random, COLLECTIONS)),
        10 => pick(
            random,
            &[
                "SORT l BY",
                "SORT l GET",
                "SORT l LIMIT 1",
                "SORT l LIMIT a b",
                "SORT l STORE",
                "SORT l FOO",
                "SORT_RO l STORE x",
                "SORT w_1",
                "SORT h_1",
                "SORT l LIMIT 9223372036854775807 9223372036854775807",
                "SORT l LIMIT -9223372036854775808 -9223372036854775808",
                "SORT",
                "SORT_RO",
                "COMMAND GETKEYS SORT a STORE b GET x STORE c",
                "COMMAND GETKEYS SORT_RO a BY b",
            ],
        )
        .to_owned(),
        _ => sort(random),
    };
    words(&line)
}

fn play(seed: u64, count: usize) {
    let mut pair = Pair::start();
    let same = |_: &mut Stock, _: &Request, reply: Vec<u8>| reply;
    for (round, resp3) in [false, true, false].into_iter().enumerate() {
        pair.set_resp3(resp3);
        pair.play(seed + round as u64, count / 3, request, &same);
        pair.check("LRANGE stored 0 -1\nDEBUG DIGEST-VALUE stored other l s ints z numbers words");
    }
}

#[test]
fn random_requests_are_sorted_as_in_stock() {
    let count =
        std::env::var("REQUESTS").map_or(REQUESTS, |count| count.parse().expect("a number"));
    with_seed("random_requests_are_sorted_as_in_stock", 3, |seed| play(seed, count));
}

#[test]
fn texts_of_patterns_decide_where_no_two_are_equal() {
    let mut pair = Pair::start();
    pair.check(
        r#"
        RPUSH l 1 2 3 4 5
        MSET t_1 b t_2 a t_3 10 t_4 9
        SORT l BY t_* ALPHA
        SORT l BY t_* ALPHA DESC
        SORT l BY t_* ALPHA LIMIT 1 2 GET # GET t_*
        SORT l BY t_*
        SADD s z y x
        SORT s BY nosort STORE d
        LRANGE d 0 -1
        SORT s BY nosort DESC STORE d
        LRANGE d 0 -1
        SORT s
        ZADD z 3 a 2 b 1 c
        SORT z BY nosort
        SORT z BY nosort DESC
        SORT z BY nosort DESC LIMIT 1 1
        SORT z BY nosort LIMIT 1 1 STORE d
        LRANGE d 0 -1
        SORT z ALPHA
        SORT z
        SORT nothing STORE d
        EXISTS d
        "#,
    );
}

#[test]
fn stored_results_are_logged_as_in_stock() {
    let mut pair = Pair::start_with_log();
    pair.check(
        "RPUSH l 3 1 2\nSORT l STORE d\nSORT l\nSORT_RO l\nSORT nothing STORE d\nSORT nothing STORE d\nSORT l LIMIT 0 0 STORE d",
    );
    let shown = |log: Vec<Request>| log.iter().map(shown).collect::<Vec<_>>();
    assert_eq!(shown(pair.ours.take_log()), shown(pair.stock_log()));
}
