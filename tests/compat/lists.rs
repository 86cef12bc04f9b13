//! List commands beside a stock server.

use highwater::config::choices::ProtectedAction;

use crate::ours::Ours;
use crate::peer::{Request, Stock, bulk, shown, words};
use crate::random::{Pair, pick, with_seed};
use crate::several::Several;
use crate::strings::spoil;

const KEYS: [&str; 6] = ["a", "b", "c", "{x}d", "e", "string"];

/// Values of few kinds, so that requests meet them again.
const ITEMS: [&str; 20] = [
    "",
    "0",
    "1",
    "-1",
    "7",
    "007",
    "-0",
    "127",
    "128",
    "-4096",
    "4096",
    "32768",
    "-8388609",
    "x",
    "xx",
    "yes",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "\r\n\0",
];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    let choices = if random.u8(..20) == 0 { &KEYS[..] } else { &KEYS[..5] };
    pick(random, choices).as_bytes().to_vec()
}

fn item(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..60) {
        0 => vec![b'l'; random.usize(4000..10_000)],
        1 => (0..random.usize(..3000)).map(|_| random.u8(..)).collect(),
        2..6 => vec![b'm'; random.usize(60..600)],
        6..10 => random.i64(..).to_string().into_bytes(),
        10..20 => format!("item {}", random.u8(..40)).into_bytes(),
        _ => pick(random, &ITEMS).as_bytes().to_vec(),
    }
}

fn number(random: &mut fastrand::Rng) -> Vec<u8> {
    let number = match random.u8(..40) {
        0 => return item(random),
        1 => i64::MAX - i64::from(random.u8(..2)),
        2 => i64::MIN + 1 + i64::from(random.u8(..2)),
        3..8 => random.i64(-300..300),
        _ => random.i64(-12..12),
    };
    number.to_string().into_bytes()
}

fn end(random: &mut fastrand::Rng) -> Vec<u8> {
    let words = ["LEFT", "RIGHT", "LEFT", "RIGHT", "left", "Right", "LEFT", "RIGHT", "middle"];
    let choices = if random.u8(..8) == 0 { &words[..] } else { &words[..8] };
    pick(random, choices).as_bytes().to_vec()
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 34] = [
        "LPUSH",
        "RPUSH",
        "LPUSH",
        "RPUSH",
        "LPUSH",
        "RPUSH",
        "LPUSHX",
        "RPUSHX",
        "LPOP",
        "RPOP",
        "LPOP",
        "RPOP",
        "LLEN",
        "LRANGE",
        "LRANGE",
        "LINDEX",
        "LINDEX",
        "LSET",
        "LSET",
        "LINSERT",
        "LINSERT",
        "LREM",
        "LREM",
        "LTRIM",
        "LPOS",
        "LPOS",
        "LPOS",
        "LMOVE",
        "LMOVE",
        "RPOPLPUSH",
        "LMPOP",
        "LMPOP",
        "rpush",
        "DEL",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![name.as_bytes().to_vec()];
    if name == "LMPOP" {
        numbered_keys(random, &mut request);
    } else {
        request.push(key(random));
        arguments(random, &name.to_ascii_uppercase(), &mut request);
    }
    if name == "LPOS" {
        // A rank that has no counterpart with the other sign is refused since 7.2.
        request.retain(|word| word != b"-9223372036854775808");
    }
    spoil(random, &mut request);
    request
}

/// What stands behind the key.
fn arguments(random: &mut fastrand::Rng, name: &str, request: &mut Request) {
    match name {
        "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" => {
            let most = [2, 4, 40][random.usize(..3)];
            (0..random.usize(1..most)).for_each(|_| request.push(item(random)));
        }
        "LPOP" | "RPOP" if random.bool() => request.push(number(random)),
        "LRANGE" | "LTRIM" => {
            // Most of the list is to stay.
            let is_short = name == "LTRIM" && random.u8(..4) > 0;
            let start =
                if is_short { random.i32(..4).to_string().into_bytes() } else { number(random) };
            request.push(start);
            let end = if is_short { b"-2".to_vec() } else { number(random) };
            request.push(end);
        }
        "LINDEX" => request.push(number(random)),
        "LSET" | "LREM" => {
            request.push(number(random));
            request.push(item(random));
        }
        "LINSERT" => {
            let word = pick(random, &["BEFORE", "AFTER", "before", "after", "behind"]);
            request.push(word.as_bytes().to_vec());
            request.push(item(random));
            request.push(item(random));
        }
        "LPOS" => {
            request.push(item(random));
            for _ in 0..random.usize(..4) {
                let word = pick(random, &["RANK", "COUNT", "MAXLEN", "rank", "count", "FOO"]);
                request.push(word.as_bytes().to_vec());
                request.push(number(random));
            }
        }
        "LMOVE" | "RPOPLPUSH" => {
            request.push(key(random));
            if name == "LMOVE" {
                request.push(end(random));
                request.push(end(random));
            }
        }
        _ => {}
    }
}

/// What stands behind LMPOP, and behind the timeout of BLMPOP.
fn numbered_keys(random: &mut fastrand::Rng, request: &mut Request) {
    let keys = random.usize(1..4);
    let told = match random.u8(..20) {
        0 => number(random),
        1 => (keys + 1).to_string().into_bytes(),
        _ => keys.to_string().into_bytes(),
    };
    request.push(told);
    (0..keys).for_each(|_| request.push(key(random)));
    request.push(end(random));
    if random.bool() {
        let word = pick(random, &["COUNT", "count", "COUNT", "COUNT", "FOO"]);
        request.push(word.as_bytes().to_vec());
        request.push(number(random));
    }
}

fn as_it_is(_: &mut Stock, _: &Request, reply: Vec<u8>) -> Vec<u8> {
    reply
}

/// Both sides with other settings than the default.
fn start(node_size: i32, compress_depth: u32) -> Pair {
    let settings = [
        "--list-max-listpack-size",
        &node_size.to_string(),
        "--list-compress-depth",
        &compress_depth.to_string(),
    ];
    let stock = Stock::start(&settings);
    let ours = Ours::start(|config| {
        let values = config.values_mut();
        values.enable_debug_command = ProtectedAction::Yes;
        values.list_max_listpack_size = node_size;
        values.list_compress_depth = compress_depth;
    });
    Pair { stock, ours }
}

/// The lists are the same, also when they go to the other side as payloads.
fn look(pair: &mut Pair) {
    for key in &KEYS[..5] {
        pair.check(&format!("TYPE {key}\nLLEN {key}\nDEBUG DIGEST-VALUE {key}\nLRANGE {key} 0 -1"));
        let asks = [words(&format!("DUMP {key}")), words(&format!("OBJECT ENCODING {key}"))];
        let (stock, ours) = (pair.stock.run(&asks), pair.ours.run(&asks));
        assert_eq!(stock[0] == b"$-1\r\n", ours[0] == b"$-1\r\n");
        if stock[0] == b"$-1\r\n" {
            continue;
        }
        // Short ones are listpacks since 7.2.
        let encodings: [&[u8]; 2] = [b"$8\r\nlistpack\r\n", b"$9\r\nquicklist\r\n"];
        assert!(encodings.contains(&&ours[1][..]), "{}", ours[1].escape_ascii());
        let restore = |payload: &[u8]| {
            let parts: [&[u8]; 5] = [b"RESTORE", b"copy", b"0", bulk(payload), b"REPLACE"];
            [parts.map(<[u8]>::to_vec).to_vec()]
        };
        assert_eq!(pair.stock.run(&restore(&ours[0])), [b"+OK\r\n"]);
        assert_eq!(pair.ours.run(&restore(&stock[0])), [b"+OK\r\n"]);
        pair.check("DEBUG DIGEST-VALUE copy\nLRANGE copy 0 -1\nDEL copy");
    }
}

#[test]
fn random_list_commands_answer_as_stock_does() {
    with_seed("random_list_commands", 20_261_126, |seed| {
        for (round, (node_size, depth)) in (0..).zip([(-2, 0), (4, 1), (-1, 2)]) {
            let mut pair = start(node_size, depth);
            pair.check("SET string x");
            for part in 0..7 {
                pair.set_resp3(part % 3 == 2);
                pair.play(seed + 1000 * round + part, 5000, request, &as_it_is);
                pair.set_resp3(false);
                look(&mut pair);
            }
            pair.ours.node.state.keyspace.check_invariants();
        }
    });
}

/// The log of random requests, executed again, gives the same lists.
#[test]
fn the_log_of_random_list_commands_gives_the_same_lists() {
    with_seed("the_log_of_random_list_commands", 4, |seed| {
        let mut pair = Pair::start();
        let mut random = fastrand::Rng::with_seed(seed);
        let requests: Vec<Request> = (0..20_000).map(|_| request(&mut random)).collect();
        pair.ours.run(&requests);
        let log = pair.ours.take_log();
        assert!(log.len() > 5000 && log.len() < requests.len());
        pair.stock.run(&log);
        look(&mut pair);
    });
}

#[test]
fn list_commands_are_refused_as_by_stock() {
    let mut pair = Pair::start();
    pair.check(
        "RPUSH l a b c 1 2 3\nSET s x\nLPOP\nLPOP l x\nLPOP l -1\nLPOP nokey 0\nLPOP l 0\nLPOP nokey\nLPOP l 1 2\nLPOP s x\nLPOP s 1
        LPOP s 0\nLPOS l a RANK 0\nLPOS l a RANK -9223372036854775807\nLPOS l a RANK x\nLPOS l a COUNT -1\nLPOS l a COUNT x\nLPOS l a MAXLEN -1
        LPOS l a MAXLEN x\nLPOS l a FOO\nLPOS l a RANK\nLPOS nokey a COUNT 0\nLPOS nokey a\nLPOS s a RANK 0\nLPOS s a\nLPOS l zzz COUNT 0
        LREM l -9223372036854775808 zzz\nLREM l x a\nLREM nokey x a\nLREM s 1 a\nLMPOP 0 l LEFT\nLMPOP x l LEFT\nLMPOP -1 l LEFT\nLMPOP 1 l FOO
        LMPOP 2 l LEFT\nLMPOP 1 l LEFT COUNT 0\nLMPOP 1 l LEFT COUNT x\nLMPOP 1 l LEFT COUNT 1 COUNT 1\nLMPOP 1 l LEFT COUNT
        LMPOP 9223372036854775807 l LEFT\nLMPOP 1 nokey LEFT\nLMPOP 2 nokey s LEFT\nLMOVE l l FOO LEFT\nLMOVE l l LEFT FOO\nLINSERT l FOO a b
        LINSERT nokey BEFORE a b\nLINSERT s AFTER a b\nLINSERT l AFTER nothing b\nLSET nokey x y\nLSET l x y\nLSET l 99 y\nLSET l -99 y\nLSET s 0 y
        LINDEX nokey x\nLINDEX l x\nLINDEX s 0\nLRANGE nokey x 1\nLRANGE l 0 x\nLRANGE s 0 1\nLTRIM nokey x 1\nLTRIM nokey 0 1\nLTRIM s 0 1
        BLPOP l x\nBLPOP l -1\nBLPOP nokey s l 1\nBLPOP l\nBLMPOP x 1 l FOO\nBLMPOP x 1 l LEFT COUNT 0\nBLMPOP x 1 l LEFT
        BLMPOP 0 0 l LEFT\nBLMOVE l l LEFT FOO x\nBLMOVE l l LEFT LEFT x\nBLMOVE s l LEFT LEFT 0\nBLMOVE l s LEFT LEFT 0\nBRPOPLPUSH l l x
        BRPOPLPUSH l s 0\nBRPOPLPUSH s l 0\nLMOVE nokey s LEFT LEFT\nLMOVE l s LEFT LEFT\nLMOVE s l LEFT LEFT\nRPOPLPUSH nokey l\nRPUSHX nokey a
        LPUSHX s a\nLPUSH s a\nRPUSH\nRPUSH l\nLLEN s\nLLEN nokey\nLRANGE l 0 -1",
    );
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        pair.check(
            "RPUSH l a b c 1 2 3\nMULTI\nBLPOP nokey 0\nBRPOP l nokey 0\nBLMPOP 0 1 nokey LEFT\nBLMPOP 0 2 nokey l RIGHT COUNT 2\nBLMOVE nokey l LEFT LEFT 0
            BLMOVE l m LEFT RIGHT 0\nBRPOPLPUSH nokey l 0\nBRPOPLPUSH l m 0\nEXEC\nLRANGE l 0 -1\nLRANGE m 0 -1\nDEL l m",
        );
    }
}

/// What stands in the log of both sides is the same, but for what comes of starting.
fn compare_logs(stock: &[Request], ours: &[Request]) {
    let shown_all = |log: &[Request]| {
        log.iter().map(shown).filter(|line| !line.contains("SELECT")).collect::<Vec<_>>()
    };
    assert_eq!(shown_all(stock), shown_all(ours));
}

#[test]
fn effects_of_list_commands_are_those_of_stock() {
    let mut pair = Pair::start_with_log();
    pair.check(
        "RPUSH l a b c d e f g h\nLPUSH l 1 2 3\nLPUSHX nokey a\nRPUSHX l z\nLPOP l\nLPOP l 0\nLPOP l 2\nRPOP l 1\nRPOP nokey\nLSET l 0 first
        LSET l 0 first\nLSET l 99 x\nLINSERT l BEFORE c new\nLINSERT l AFTER nothing new\nLREM l 0 nothing\nLREM l 1 new\nLTRIM l 0 -1\nLTRIM l 0 -2
        LPOS l c\nLMOVE l m LEFT RIGHT\nLMOVE l l LEFT RIGHT\nLMOVE nokey l LEFT LEFT\nRPOPLPUSH l m\nRPOPLPUSH l l\nLMPOP 2 nokey l LEFT
        LMPOP 1 m RIGHT COUNT 10\nLMPOP 1 m RIGHT\nRPUSH l a b c d e f g h\nBLPOP nokey l 0\nBRPOP l 0\nBLMOVE l m left Right 0\nblmove l l LEFT RIGHT 0
        BRPOPLPUSH l m 0\nBLMPOP 0 2 nokey l LEFT COUNT 2\nBLMPOP 0 1 l RIGHT\nMULTI\nBLPOP nokey 0\nBLPOP l 0\nLPUSH l q\nBLMOVE nokey l LEFT LEFT 0\nEXEC
        LTRIM l 5 1\nLPUSH l x\nLREM l 0 x",
    );
    compare_logs(&pair.stock_log(), &pair.ours.take_log());
}

/// The log of both sides where clients wait.
fn compare_several_logs(several: &mut Several) {
    let pair_log = |folder: &std::path::Path| {
        let path = folder.join("appendonlydir/appendonly.aof.1.incr.aof");
        crate::ours::split(&std::fs::read(path).expect("it was started with a log"))
    };
    // 7.0 writes the ends in small letters where a client has waited, 7.2 as they came.
    let with_capitals = |mut log: Vec<Request>| {
        let moves = log.iter_mut().filter(|request| request[0] == b"LMOVE");
        moves
            .for_each(|request| request[3..].iter_mut().for_each(|end| end.make_ascii_uppercase()));
        log
    };
    let stock = with_capitals(pair_log(several.stock.folder.path()));
    compare_logs(&stock, &with_capitals(several.ours.take_log()));
}

#[test]
fn clients_that_wait_for_lists_are_served_as_by_stock() {
    let mut several = Several::start(5);
    several.steps(
        "1: BLPOP a b 0\n2: BRPOP b a 0\n0: RPUSH b 1 2 3\n0: LRANGE b 0 -1\n0: DEL b
        1: BLMOVE a b LEFT RIGHT 0\n2: BLPOP b 0\n0: LPUSH a x\n0: EXISTS a b
        1: BRPOPLPUSH a a 0\n2: BRPOP a 0\n0: RPUSH a 1 2\n0: LRANGE a 0 -1\n0: DEL a
        1: BLMPOP 0 2 a b LEFT COUNT 3\n2: BLMPOP 0 1 a RIGHT\n0: RPUSH a 1 2 3 4 5\n0: LRANGE a 0 -1\n0: DEL a
        1: BLPOP a 0\n0: SET a x\n0: DEL a\n0: RPUSH a y
        1: BLMOVE a s LEFT LEFT 0\n0: SET s x\n0: RPUSH a y\n0: LRANGE a 0 -1\n0: DEL a
        1: BLPOP a 0\n2: BLPOP a 0\n3: BLPOP a 0\n0: MULTI\n0: RPUSH a 1\n0: RPUSH a 2\n0: LPOP a\n0: EXEC\n0: RPUSH a 7 8 9\n0: LRANGE a 0 -1\n0: DEL a
        1: BLPOP a 0\n0: RPUSH b 1\n0: RENAME b a\n1: BLPOP a 0\n0: RPUSH b 1\n0: COPY b a\n0: DEL b
        1: BLPOP a a 0\n2: BLPOP a 0\n0: LPUSH a 1\n0: LPUSH a 2\n1: BLPOP a 0\n0: LMOVE b a LEFT LEFT\n0: RPUSH b 1 2\n0: LMOVE b a LEFT LEFT\n0: LRANGE b 0 -1
        1: BLMOVE a b LEFT LEFT 0\n2: BLMOVE b c LEFT LEFT 0\n3: BLPOP c 0\n0: RPUSH a end\n0: EXISTS a b c",
    );
    compare_several_logs(&mut several);
}

#[test]
fn clients_that_wait_in_vain_are_answered_as_by_stock() {
    let mut several = Several::start(7);
    for _ in 0..2 {
        several.steps(
            "1: BLMOVE a b LEFT RIGHT 0.3\n2: BRPOPLPUSH a b 0.3\n3: BLPOP a 0.3\n4: BLMPOP 0.3 1 a LEFT\n5: BZPOPMIN z 0.3
            6: XREAD BLOCK 300 STREAMS s 0",
        );
        several.let_time_pass();
        several.steps(
            "1: MULTI\n1: BLMOVE a b LEFT RIGHT 0\n1: BRPOPLPUSH a b 0\n1: BLPOP a 0\n1: BZPOPMAX z 0\n1: XREAD BLOCK 0 STREAMS s 0
            1: EXEC",
        );
        several.speak_resp3();
    }
}

#[test]
fn clients_that_want_no_reply_and_wait_get_none_as_from_stock() {
    let mut several = Several::start(3);
    several.steps("1: CLIENT REPLY SKIP\n1: BLPOP a 0\n0: RPUSH a x\n1: PING\n0: LLEN a");
    several.steps("1: CLIENT REPLY SKIP\n1: BLPOP a 0.2");
    several.let_time_pass();
    several.steps("1: PING\n1: CLIENT REPLY SKIP\n1: BLMOVE a b LEFT LEFT 0\n2: BLPOP b 0\n0: RPUSH a x\n1: PING");
}

#[test]
fn random_clients_that_wait_for_lists_are_served_as_by_stock() {
    with_seed("random_clients_that_wait_for_lists", 9, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut several = Several::start(5);
        let (mut waited, mut steps) = (0, 0);
        while steps < 4000 {
            let who = random.usize(..5);
            if several.waits(who) {
                continue;
            }
            // Somebody must be left to write.
            let request = if who == 0 { request(&mut random) } else { waiting(&mut random) };
            several.step(who, &request);
            waited += usize::from(several.waits(who));
            steps += 1;
        }
        assert!(waited > 200, "{waited}");
        compare_several_logs(&mut several);
    });
}

/// A request that may wait, without end.
///
/// 7.0 serves a client from the key that woke it, 7.2 runs its request again and so from the first of its keys that has something.
/// Here nothing that is moved arrives where a client waits for several keys, and so they do the same.
fn waiting(random: &mut fastrand::Rng) -> Request {
    let name = pick(random, &["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP"]);
    let mut request = vec![name.as_bytes().to_vec()];
    match name {
        "BLMPOP" => {
            request.push(b"0".to_vec());
            numbered_keys(random, &mut request);
            request.iter_mut().for_each(|word| *word = of_first_half(word));
            return request;
        }
        "BLMOVE" => {
            request.extend([key(random), target(random), end(random), end(random)]);
        }
        "BRPOPLPUSH" => request.extend([key(random), target(random)]),
        _ if random.bool() => request.push(key(random)),
        _ => (0..random.usize(2..4)).for_each(|_| request.push(of_first_half(&key(random)))),
    }
    request.push(b"0".to_vec());
    request
}

/// A key to which items are moved.
fn target(random: &mut fastrand::Rng) -> Vec<u8> {
    pick(random, &["{x}d", "e", "e", "string"]).as_bytes().to_vec()
}

/// `word`, but no key to which items are moved.
fn of_first_half(word: &[u8]) -> Vec<u8> {
    match word {
        b"{x}d" => b"a".to_vec(),
        b"e" => b"b".to_vec(),
        word => word.to_vec(),
    }
}

#[test]
fn events_of_lists_are_those_of_stock() {
    Several::start(2).compare_events(
        "0: RPUSH l a b c d e f a g\n0: LPUSH l 1 2\n0: LPUSHX l 1\n0: RPUSHX l 1\n0: RPUSHX nokey 1\n0: LPOP l\n0: RPOP l\n0: LPOP l 2\n0: LPOP l 0\n0: LPOP nokey
        0: LSET l 0 x\n0: LINSERT l BEFORE x y\n0: LINSERT l BEFORE nothing y\n0: LREM l 0 nothing\n0: LREM l 1 y\n0: LTRIM l 0 -1\n0: LTRIM l 0 -2
        0: LMOVE l m LEFT LEFT\n0: LMOVE l l LEFT RIGHT\n0: RPOPLPUSH m m\n0: RPOPLPUSH m l\n0: LMPOP 2 m l LEFT\n0: BLPOP m l 0\n0: BRPOPLPUSH l m 0
        0: LMPOP 1 m LEFT COUNT 10\n0: LREM l 0 a\n0: LTRIM l 1 0\n0: RPUSH l a a\n0: LREM l 0 a\n0: RPUSH l a\n0: RPOP l\n0: RPUSH l a\n0: BLMOVE l k LEFT LEFT 0\n0: LTRIM k 1 0
        1: BLPOP k 0\n0: RPUSH k a\n1: BLMOVE k l LEFT LEFT 0\n0: RPUSH k a b",
    );
}
