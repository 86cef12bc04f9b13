//! HyperLogLogs beside a stock server: replies, and the strings they are stored as, byte for byte.

use crate::peer::{Request, shown, words};
use crate::random::{Pair, pick, with_seed};
use crate::strings::spoil;

/// Random requests of the family.
const REQUESTS: usize = 100_000;

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "broken", "list", "text"];

fn key(random: &mut fastrand::Rng) -> Vec<u8> {
    let count = if random.u8(..10) == 0 { KEYS.len() } else { 5 };
    KEYS[random.usize(..count)].as_bytes().to_vec()
}

/// Elements, of which there are few kinds in some rounds and many in others.
fn element(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..4) {
        0 => random.u16(..300).to_string().into_bytes(),
        1 => (0..random.usize(..40)).map(|_| random.u8(..)).collect(),
        _ => random.u64(..).to_string().into_bytes(),
    }
}

pub(crate) fn request(random: &mut fastrand::Rng) -> Request {
    const NAMES: [&str; 17] = [
        "PFADD",
        "PFADD",
        "PFADD",
        "PFADD",
        "PFADD",
        "PFADD",
        "PFCOUNT",
        "PFCOUNT",
        "PFMERGE",
        "PFDEBUG",
        "GET",
        "OBJECT",
        "DEL",
        "STRLEN",
        "SETRANGE",
        "PFSELFTEST",
        "COPY",
    ];
    let name = pick(random, &NAMES);
    let mut request = vec![name.as_bytes().to_vec()];
    match name {
        "PFADD" => {
            request.push(key(random));
            let count = if random.u8(..50) == 0 { 400 } else { random.usize(..5) };
            (0..count).for_each(|_| request.push(element(random)));
        }
        "PFCOUNT" | "PFMERGE" => {
            request.extend((0..random.usize(1..4)).map(|_| key(random)));
        }
        "PFDEBUG" => {
            let word = pick(
                random,
                &["ENCODING", "decode", "GETREG", "TODENSE", "FOO", "encoding", "DECODE"],
            );
            // The others make what is sparse dense, too often for what is to be seen.
            let rare = matches!(word, "GETREG" | "TODENSE") && random.u8(..10) > 0;
            request.push(if rare { b"ENCODING".to_vec() } else { word.as_bytes().to_vec() });
            request.push(key(random));
        }
        "OBJECT" => {
            request.push(b"ENCODING".to_vec());
            request.push(key(random));
        }
        // Some damage, but for the first bytes of a run: what stock makes of a run that is cut nobody knows.
        "SETRANGE" => {
            request.push(b"broken".to_vec());
            let offset = pick(random, &["0", "3", "4", "5", "8", "15"]);
            request.push(offset.as_bytes().to_vec());
            request.push(vec![random.u8(..)]);
        }
        "DEL" if random.u8(..4) > 0 => return words("PFCOUNT a b"),
        "PFSELFTEST" => return words("DEL broken"),
        "COPY" => return words("COPY a broken"),
        _ => request.push(key(random)),
    }
    spoil(random, &mut request);
    request
}

/// Short lists are listpacks since 7.2.
fn short_lists_are_listpacks(
    _: &mut crate::peer::Stock,
    request: &Request,
    reply: Vec<u8>,
) -> Vec<u8> {
    let asks = request[0] == b"OBJECT" && reply == b"$9\r\nquicklist\r\n";
    if asks { b"$8\r\nlistpack\r\n".to_vec() } else { reply }
}

#[test]
fn random_hyperloglog_commands_answer_as_stock_does() {
    with_seed("random_hyperloglog_commands", 20_261_128, |seed| {
        let mut pair = Pair::start();
        // Compressors may choose differently.
        pair.check("CONFIG SET rdbcompression no");
        for round in 0..10 {
            pair.set_resp3(round % 2 == 1);
            pair.put_list("list");
            pair.check("SET text 5");
            pair.play(seed + round, REQUESTS / 10, request, &short_lists_are_listpacks);
            for key in &KEYS[..6] {
                pair.check(&format!(
                    "GET {key}\nDUMP {key}\nPFDEBUG DECODE {key}\nPFCOUNT {key}\nGET {key}"
                ));
            }
        }
    });
}

#[test]
fn settings_and_odd_strings_are_met_as_in_stock() {
    let mut pair = Pair::start();
    pair.check(
        r#"PFSELFTEST
        SET short HYLL
        PFADD short
        PFADD short x
        PFCOUNT short
        PFCOUNT short short
        PFMERGE short
        PFDEBUG GETREG short
        SET sparse "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe"
        PFCOUNT sparse
        PFCOUNT sparse sparse
        PFMERGE sparse
        PFMERGE new sparse
        EXISTS new
        PFDEBUG TODENSE sparse
        PFDEBUG GETREG sparse
        PFDEBUG DECODE sparse
        PFADD sparse a b c d e f
        GET sparse
        SET dense "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe"
        PFCOUNT dense
        SET other "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        PFADD other x
        PFDEBUG ENCODING nothing
        PFDEBUG FOO nothing
        CONFIG SET hll-sparse-max-bytes 30
        PFADD k a b c
        PFDEBUG ENCODING k
        PFADD k d e f g
        PFDEBUG ENCODING k
        PFCOUNT k
        CONFIG SET hll-sparse-max-bytes 0
        PFADD l
        PFDEBUG ENCODING l
        PFADD l a
        PFDEBUG ENCODING l
        CONFIG SET hll-sparse-max-bytes 13000"#,
    );
    // Sparse ones that are larger than dense ones.
    for from in (0..24_000).step_by(1000) {
        let mut request = words("PFADD large");
        request.extend((from..from + 1000).map(|number: u32| number.to_string().into_bytes()));
        let (stock, ours) = (pair.stock.run(&[request.clone()]), pair.ours.run(&[request]));
        assert_eq!(stock, ours);
        pair.check("GET large\nPFCOUNT large\nPFDEBUG ENCODING large");
    }
    pair.check(
        "PFMERGE merged large\nGET merged\nSTRLEN merged\nPFMERGE merged k large\nGET merged",
    );
}

/// A request that answers an error changes nothing and is in no log: it would stop replicas.
#[test]
fn what_is_refused_leaves_nothing_behind() {
    let mut pair = Pair::start_with_log();
    // 64 registers of 16384; all, the last run without its second byte; too many.
    pair.check(
        r#"PFADD one e0
        SET few "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f"
        PFADD few e70 e71
        PFADD few e71
        PFADD few
        PFMERGE few one
        PFCOUNT few
        SET half "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x41\xfe\x7e"
        PFCOUNT half
        PFADD half e0
        PFCOUNT half
        SET half "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x41\xfe\x7e"
        PFMERGE half one
        PFCOUNT half
        PFMERGE half one
        SET many "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\x7f\xff"
        PFADD many e0
        PFMERGE many one
        PFCOUNT many"#,
    );
    let mut lasting = words("PFADD half");
    lasting.extend((0..40).map(|number: u32| format!("e{number}").into_bytes()));
    assert_eq!(pair.ours.run(&[lasting, words("PFCOUNT half")]).concat(), b":1\r\n:40\r\n");
    let few = pair.ours.run(&[words("GET few")]);
    assert_eq!(crate::peer::bulk(&few[0]), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x3f");
    let log = pair.ours.take_log();
    let mut copy = crate::ours::Ours::start(|_| {});
    for (request, reply) in log.iter().zip(copy.run(&log)) {
        assert_ne!(reply[0], b'-', "{} answers {}", shown(request), reply.escape_ascii());
    }
    for key in ["few", "half", "many"] {
        let get = [words(&format!("GET {key}"))];
        assert_eq!(copy.run(&get), pair.ours.run(&get));
    }
}

/// What PFCOUNT stores reaches the log, and only that.
#[test]
fn effects_are_those_of_stock() {
    let mut pair = Pair::start_with_log();
    pair.check(
        "PFADD a\nPFADD a\nPFADD a x y\nPFADD a x\nPFCOUNT a\nPFCOUNT a\nPFADD b z\nPFCOUNT a b\nPFCOUNT b\nPFMERGE c a b
        PFMERGE c a b\nPFCOUNT c\nPFCOUNT none\nPFMERGE d\nPFDEBUG ENCODING a\nPFDEBUG DECODE a\nPFDEBUG GETREG b\nPFDEBUG GETREG b
        PFDEBUG TODENSE a\nPFDEBUG TODENSE a",
    );
    let (stock, ours) = (pair.stock_log(), pair.ours.take_log());
    let lines = |log: &[Request]| log.iter().map(shown).collect::<Vec<_>>();
    assert_eq!(lines(&stock), lines(&ours));
}
