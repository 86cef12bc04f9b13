//! What can be asked of values of all types beside the values: OBJECT, MEMORY USAGE, DEBUG, SCAN with TYPE.

use crate::peer::{Request, Stock};
use crate::random::Pair;

/// A key of each type, by its name.
const VALUES: &str = r#"
    SET string v
    SET int 17
    RPUSH list a b
    SADD set a b
    SADD intset 1 2
    HSET hash f v
    ZADD zset 1 a
    XADD stream 1-1 f v
"#;

const KEYS: [&str; 9] =
    ["string", "int", "list", "set", "intset", "hash", "zset", "stream", "nothing"];

/// Short sets and lists are listpacks since 7.2.
fn newer(_: &mut Stock, request: &Request, reply: Vec<u8>) -> Vec<u8> {
    let asks = request[0] == b"OBJECT";
    match &request[request.len() - 1][..] {
        b"list" | b"set" if asks && reply.starts_with(b"$9\r\n") => b"$8\r\nlistpack\r\n".to_vec(),
        _ => reply,
    }
}

#[test]
fn objects_of_all_types_are_described() {
    let mut pair = Pair::start();
    pair.check(VALUES);
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        for key in KEYS {
            pair.check_as(
                &format!(
                    "TYPE {key}\nOBJECT ENCODING {key}\nOBJECT REFCOUNT {key}\nOBJECT FREQ {key}\nOBJECT IDLETIME {key}
                     MEMORY USAGE {key} SAMPLES\nMEMORY USAGE {key} SAMPLES x\nMEMORY USAGE {key} SAMPLES -1\nMEMORY USAGE {key} FOO 1"
                ),
                &newer,
            );
        }
    }
    pair.check("CONFIG SET maxmemory-policy allkeys-lfu");
    for key in KEYS {
        pair.check(&format!("OBJECT FREQ {key}\nOBJECT IDLETIME {key}"));
    }
}

/// Requests that count as uses of `key`, whether they overwrite it or not.
const USES: &[&str] = &[
    "SET {key} value",
    "SET {key} value XX",
    "SET {key} value KEEPTTL",
    "SETEX {key} 1000 value",
    "MSET {key} value other value",
    "GETSET {key} value",
    "SET {key} value GET",
    "SUNIONSTORE {key} words",
    "SORT words ALPHA STORE {key}",
    "ZUNIONSTORE {key} 1 scores",
    "ZRANGESTORE {key} scores 0 -1",
    "BITOP NOT {key} text",
    "COPY text {key} REPLACE",
];

#[test]
fn what_is_overwritten_is_used() {
    let mut pair = Pair::start();
    pair.check("CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0");
    pair.check("SET text abc\nSADD words a b\nZADD scores 1 a");
    for (number, request) in USES.iter().enumerate() {
        let key = format!("key-{number}");
        let line = request.replace("{key}", &key);
        pair.check(&format!("SET {key} value\n{line}\n{line}\n{line}\nOBJECT FREQ {key}"));
    }
}

#[test]
fn memory_is_told_of_all_types_whatever_the_samples() {
    let mut pair = Pair::start();
    pair.check(VALUES);
    for key in &KEYS[..8] {
        for samples in ["", "SAMPLES 0", "SAMPLES 1", "SAMPLES 1000"] {
            let (theirs, ours) = pair.numbers(&format!("MEMORY USAGE {key} {samples}"));
            // The head of a small collection is larger than stock's; what follows is not.
            assert!(ours > 0 && ours <= theirs + 160, "{key} {samples}: {ours} beside {theirs}");
        }
    }
    pair.check("MEMORY USAGE nothing SAMPLES 0");
}

#[test]
fn scan_finds_the_keys_of_a_type() {
    let mut pair = Pair::start();
    pair.check("SET one v\nSCAN 0 TYPE string\nSCAN 0 TYPE STRING COUNT 100\nFLUSHALL");
    pair.check("RPUSH one v\nSCAN 0 TYPE list\nSCAN 0 TYPE string\nFLUSHALL");
    pair.check("SADD one v\nSCAN 0 TYPE set\nSCAN 0 TYPE zset\nFLUSHALL");
    pair.check("HSET one f v\nSCAN 0 TYPE hash MATCH o*\nSCAN 0 TYPE hash MATCH x*\nFLUSHALL");
    pair.check("ZADD one 1 v\nSCAN 0 TYPE zset\nSCAN 0 TYPE nosuch\nRANDOMKEY\nFLUSHALL");
    pair.check("XADD one 1-1 f v\nSCAN 0 TYPE stream\nSCAN 0 TYPE\nRANDOMKEY\nFLUSHALL\nRANDOMKEY");
}

#[test]
fn debug_takes_what_tests_of_clients_send() {
    let mut pair = Pair::start();
    pair.check(
        "SET k v\nHSET h f v\nDEBUG OBJECT nothing\nDEBUG LISTPACK nothing\nDEBUG LISTPACK k\nDEBUG LISTPACK h
         DEBUG QUICKLIST-PACKED-THRESHOLD 100b\nDEBUG QUICKLIST-PACKED-THRESHOLD 1k\nDEBUG QUICKLIST-PACKED-THRESHOLD 0
         DEBUG QUICKLIST-PACKED-THRESHOLD x\nDEBUG QUICKLIST-PACKED-THRESHOLD 99999999999\nDEBUG QUICKLIST-PACKED-THRESHOLD
         DEBUG SET-ACTIVE-EXPIRE 0\nDEBUG SET-ACTIVE-EXPIRE 1\nDEBUG SET-ACTIVE-EXPIRE\nDEBUG SET-DISABLE-DENY-SCRIPTS 1
         DEBUG SET-SKIP-CHECKSUM-VALIDATION 1\nDEBUG ERROR \"ERR own text\"\nDEBUG FOO\nDEBUG DIGEST-VALUE k h nothing\nDEBUG DIGEST",
    );
}
