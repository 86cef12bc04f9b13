//! What can be asked of values of all types beside the values: OBJECT, MEMORY USAGE, DEBUG, SCAN with TYPE.

use crate::peer::{Request, Stock, words};
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
                     MEMORY USAGE {key} SAMPLES\nMEMORY USAGE {key} SAMPLES x\nMEMORY USAGE {key} SAMPLES -1\nMEMORY USAGE {key} FOO 1
                     MEMORY USAGE {key} SAMPLES 1 SAMPLES\nMEMORY USAGE nothing SAMPLES 1 SAMPLES 2\nMEMORY USAGE {key} FOO"
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
         DEBUG SET-SKIP-CHECKSUM-VALIDATION 1\nDEBUG ERROR \"ERR own text\"\nDEBUG FOO\nDEBUG DIGEST-VALUE k h nothing\nDEBUG DIGEST
         DEBUG PROTOCOL push\nDEBUG PROTOCOL set\nPING",
    );
}

/// Requests with the changes that each counts as, in the order in which they are sent.
const CHANGES: &str = "SET s v
    SET s v XX
    MSET a 1 b 2 c 3
    DEL a b none
    UNLINK c
    APPEND s w
    SETRANGE s 100 x
    SETBIT bits 100 1
    BITFIELD bits SET u8 0 1 SET u8 8 2 GET u8 0 INCRBY u8 16 5
    INCR n
    INCRBYFLOAT n 1.5
    GETSET s t
    EXPIRE s 100
    PERSIST s
    RPUSH l a b c d e f a a
    LPUSH l x
    LPUSHX l y z
    LINSERT l BEFORE a q
    LSET l 0 r
    LREM l 2 a
    LTRIM l 1 -2
    LPOP l
    RPOP l 2
    LMOVE l m LEFT RIGHT
    LMOVE l l LEFT RIGHT
    RPOPLPUSH m l
    LMPOP 1 l LEFT COUNT 2
    DEL l
    HSET h a 1 b 2 c 3 d 4
    HMSET h a 1 e 2
    HSETNX h f 1
    HSETNX h f 1
    HINCRBY h n 4
    HINCRBYFLOAT h n 1.5
    HDEL h a b none
    HDEL h c d e f n
    SADD x a b c d e
    SADD x a f
    SREM x a none
    SMOVE x y b
    SMOVE x y c
    SPOP y
    SPOP y 10
    SADD z 1 2 3
    SINTERSTORE w z
    SUNIONSTORE w z x
    SDIFFSTORE w none
    ZADD za 1 a 2 b 3 c
    ZADD za 1 a 5 b 7 d
    ZADD za XX CH 1 none
    ZINCRBY za 2 a
    ZREM za a none
    ZPOPMIN za
    ZADD za 1 a 2 b 3 c 4 d
    ZPOPMAX za 2
    ZREMRANGEBYRANK za 0 0
    ZREMRANGEBYSCORE za -inf 3
    ZADD za 1 a 2 b 3 c
    ZREMRANGEBYLEX za - +
    ZADD za 1 a 2 b 3 c
    ZUNIONSTORE zb 2 za z
    ZRANGESTORE zc za 0 -1
    ZMPOP 1 zc MAX COUNT 2
    GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
    GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 200 km
    GEORADIUS g 15 37 200 km STORE gs
    PFADD p a b c d e
    PFADD p a
    PFADD p f g
    PFADD q
    PFMERGE p q
    SORT z STORE sorted
    COPY s s2
    RENAME s2 s3
    MOVE s3 1
    XADD st 1-1 a 1
    XADD st 2-1 a 1
    XADD st 3-1 a 1
    XGROUP CREATE st g 0
    XGROUP CREATECONSUMER st g c
    XACK st g 1-1
    XGROUP SETID st g 0
    XGROUP DELCONSUMER st g c
    XDEL st 1-1 9-9
    XTRIM st MAXLEN 0
    XSETID st 9-9
    XGROUP DESTROY st g
    FLUSHDB";

/// Requests that look for keys that are there or not; they change nothing.
const READS: &str = "GET s
    GET none
    MGET s none n
    STRLEN none
    GETRANGE s 0 1
    GETBIT none 1
    BITCOUNT bits
    BITPOS none 1
    BITFIELD none GET u8 0
    LCS s none
    EXISTS s none
    TYPE none
    TTL none
    DUMP none
    OBJECT ENCODING none
    LLEN l
    LRANGE none 0 1
    LPOS none a
    HGET h a
    HGETALL none
    HRANDFIELD none
    SMEMBERS x
    SISMEMBER none a
    SINTER x none
    SINTERCARD 2 x none
    SRANDMEMBER none
    ZSCORE za b
    ZRANK none a
    ZRANGE za 0 -1
    ZUNION 2 za none
    ZINTERCARD 2 za none
    ZDIFF 2 za none
    ZRANDMEMBER none
    GEOPOS none a
    GEOSEARCH none FROMLONLAT 15 37 BYRADIUS 200 km
    PFCOUNT p none
    SORT none
    XLEN none
    XRANGE none - +
    XREAD STREAMS none 0
    XINFO STREAM none
    XPENDING none g
    XACK none g 1-1
    XCLAIM none g c 0 1-1
    XAUTOCLAIM none g c 0 0
    XREADGROUP GROUP g c STREAMS none >
    LPOP none
    SPOP none
    SPOP none 2
    ZPOPMIN none
    HDEL none a
    SREM none a
    ZREM none a
    XDEL none 1-1
    RENAME none other
    COPY none other
    MOVE none 1
    EXPIRE none 1
    PERSIST none
    GETDEL none
    GETEX none
    SMOVE none x a
    LMOVE none l LEFT LEFT
    LINSERT none BEFORE a b
    LSET none 0 a
    LREM none 0 a
    LTRIM none 0 1
    ZINTERSTORE zd 2 za none
    SINTERSTORE xd x none
    ZRANGESTORE zd none 0 1
    TOUCH s none
    SCAN 0
    SSCAN none 0
    HSCAN none 0
    ZSCAN none 0";

/// What INFO counts.
const COUNTED: [&str; 3] = ["rdb_changes_since_last_save", "keyspace_hits", "keyspace_misses"];

fn counts(replies: &[Vec<u8>]) -> [i64; 3] {
    let text = String::from_utf8_lossy(&replies[0]);
    COUNTED.map(|name| {
        let told = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        told.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    })
}

#[test]
fn changes_hits_and_misses_are_counted_as_in_stock() {
    let mut pair = Pair::start();
    let info = [words("INFO everything")];
    let mut before = [counts(&pair.stock.run(&info)), counts(&pair.ours.run(&info))];
    let mut wrong = Vec::new();
    let (most, last) = CHANGES.rsplit_once('\n').expect("many lines");
    let lines = most.lines().chain(READS.lines()).chain([last]);
    for line in lines.map(str::trim) {
        pair.stock.run(&[words(line)]);
        pair.ours.run(&[words(line)]);
        let after = [counts(&pair.stock.run(&info)), counts(&pair.ours.run(&info))];
        for (at, name) in COUNTED.iter().enumerate() {
            let [stock, ours] = [0, 1].map(|side: usize| after[side][at] - before[side][at]);
            if stock != ours {
                wrong.push(format!("{line}: {name} {stock} in stock, {ours} here"));
            }
        }
        before = after;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
