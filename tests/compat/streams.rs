//! The stream family: random requests to both sides, and what both write to their logs.
//!
//! Times are left out of the comparison. Consumers are made when their group is: since 7.2 a read that finds nothing makes its
//! consumer, too, which 7.0 does not. What XINFO tells of a consumer since 7.2 and not before (`inactive`, `active-time`) is
//! left out as well.

use std::collections::VecDeque;

use crate::peer::{Request, bulk, shown, words};
use crate::random::{Pair, pick, with_seed};
use crate::tree::Tree;

/// Random requests of the family; more of them with `REQUESTS` in the environment.
const REQUESTS: usize = 100_000;

/// Requests sent before the replies are compared.
const BATCH: usize = 100;

pub(crate) const KEYS: &[&str] =
    &["s", "s", "s", "s", "other", "other", "third", "string", "missing"];

const GROUPS: &[&str] = &["g", "g", "g", "h", "nogroup"];

const CONSUMERS: &[&str] = &["alice", "bob", "carol"];

/// What is wrong in one way or another.
const WRONG: &[&str] = &[
    "XADD s",
    "XADD s * f",
    "XADD s *",
    "XADD s MAXLEN 5 * f",
    "XADD s NOMKSTREAM f v",
    "XADD s 0-0 f v",
    "XADD s 0 f v",
    "XADD s x f v",
    "XADD s - f v",
    "XADD s + f v",
    "XADD s 1-x f v",
    "XADD s MAXLEN x 1-* f v",
    "XADD s MAXLEN -1 1-* f v",
    "XADD s MAXLEN = 1-* f v",
    "XADD s MAXLEN ~ 5 LIMIT 1-* f v",
    "XADD s MAXLEN 5 MINID 3 1-* f v",
    "XADD s MAXLEN 5 LIMIT 3 1-* f v",
    "XADD s LIMIT 3 1-* f v",
    "XADD s LIMIT 0 99-0 f v",
    "XADD s MINID - 99-0 f v",
    "XADD s MINID + 99-0 f v",
    "XADD s MINID x 1-* f v",
    "XADD string 1-* f v",
    "XADD nomk NOMKSTREAM 1-* f v",
    "XTRIM s MAXLEN",
    "XTRIM s FOO 5",
    "XTRIM s MAXLEN ~",
    "XTRIM s MAXLEN = x",
    "XTRIM s MAXLEN 5 LIMIT 0",
    "XTRIM s MAXLEN ~ 5 LIMIT -1",
    "XTRIM s MAXLEN ~ 5 LIMIT x",
    "XTRIM s MINID -",
    "XTRIM s MINID +",
    "XTRIM s MINID ~ +",
    "XTRIM s LIMIT 5",
    "XTRIM s LIMIT 0 x",
    "XTRIM s MAXLEN 5 MAXLEN 6",
    "XTRIM string MAXLEN 5",
    "XDEL s x",
    "XDEL missing x",
    "XDEL string 1",
    "XLEN string",
    "XRANGE s - + COUNT",
    "XRANGE s - + COUNT x",
    "XRANGE s - + FOO 1",
    "XRANGE s - + COUNT 0",
    "XRANGE s - + COUNT -3",
    "XRANGE s - + COUNT 1 COUNT 2",
    "XRANGE s (- +",
    "XRANGE s ( +",
    "XRANGE s (18446744073709551615-18446744073709551615 +",
    "XREVRANGE s + (18446744073709551615-18446744073709551615",
    "XREVRANGE s (0-0 -",
    "XRANGE s x y",
    "XRANGE string - +",
    "XRANGE missing - x",
    "XREAD STREAMS s",
    "XREAD STREAMS s other 0",
    "XREAD COUNT x STREAMS s 0",
    "XREAD COUNT STREAMS s 0",
    "XREAD STREAMS s >",
    "XREAD STREAMS s x",
    "XREAD STREAMS s -",
    "XREAD GROUP g alice STREAMS s 0",
    "XREAD NOACK STREAMS s 0",
    "XREAD FOO s 0",
    "XREAD STREAMS string 0",
    "XREAD BLOCK x STREAMS missing 0",
    "XREAD BLOCK -1 STREAMS missing 0",
    "XREADGROUP GROUP g alice COUNT 1 STREAMS s 18446744073709551615-18446744073709551615",
    "XREADGROUP GROUP g alice COUNT 1 STREAMS s 18446744073709551615",
    "XREADGROUP GROUP g alice STREAMS s $",
    "XAUTOCLAIM s g alice 0 0 COUNT 9223372036854",
    "XAUTOCLAIM s g alice 0 0 COUNT 576460752303423487",
    "XAUTOCLAIM s g alice 0 0 COUNT 576460752303423488",
    "XREADGROUP GROUP g alice STREAMS s x",
    "XREADGROUP GROUP g alice STREAMS s",
    "XREADGROUP GROUP g alice COUNT x STREAMS s >",
    "XREADGROUP COUNT 1 NOACK STREAMS s other 0 0",
    "XREADGROUP GROUP nogroup alice STREAMS s >",
    "XREADGROUP GROUP g alice STREAMS string >",
    "XREADGROUP GROUP g alice STREAMS missing >",
    "XGROUP",
    "XGROUP FOO",
    "XGROUP CREATE s",
    "XGROUP CREATE s g",
    "XGROUP CREATE s new x",
    "XGROUP CREATE s new - ",
    "XGROUP CREATE s new 0 FOO",
    "XGROUP CREATE s new 0 ENTRIESREAD",
    "XGROUP CREATE s new 0 ENTRIESREAD x",
    "XGROUP CREATE s new 0 ENTRIESREAD -2",
    "XGROUP CREATE s new 0 MKSTREAM MKSTREAM ENTRIESREAD 1",
    "XGROUP CREATE missing new $",
    "XGROUP CREATE string new $ MKSTREAM",
    "XGROUP SETID missing g $",
    "XGROUP SETID s nogroup $",
    "XGROUP SETID s g x",
    "XGROUP SETID s g 0 MKSTREAM",
    "XGROUP SETID s g 0 ENTRIESREAD 1 ENTRIESREAD 1",
    "XGROUP DESTROY missing g",
    "XGROUP DESTROY s nogroup",
    "XGROUP DESTROY string g",
    "XGROUP DESTROY s g more",
    "XGROUP CREATECONSUMER missing g alice",
    "XGROUP CREATECONSUMER s nogroup alice",
    "XGROUP DELCONSUMER s nogroup alice",
    "XGROUP DELCONSUMER s g nobody",
    "XACK s g x",
    "XACK s nogroup x",
    "XACK string g 1",
    "XPENDING s nogroup",
    "XPENDING missing g",
    "XPENDING string g",
    "XPENDING s g -",
    "XPENDING s g - +",
    "XPENDING s g - + x",
    "XPENDING s g - + -5",
    "XPENDING s g x + 5",
    "XPENDING s g - + 5 nobody",
    "XPENDING s g IDLE 0 - +",
    "XPENDING s g IDLE 0 - + 9",
    "XPENDING s g IDLE x - + 9",
    "XPENDING s g - + 5 alice more",
    "XPENDING s g - + 5 alice more more",
    "XPENDING s g - + 5 alice more more more",
    "XCLAIM s g alice x 1",
    "XCLAIM s g alice 0 x",
    "XCLAIM s g alice 0 1 FOO",
    "XCLAIM s g alice 0 1 IDLE",
    "XCLAIM s g alice 0 1 IDLE x",
    "XCLAIM s g alice 0 1 TIME x",
    "XCLAIM s g alice 0 1 RETRYCOUNT x",
    "XCLAIM s g alice 0 1 LASTID x",
    "XCLAIM s nogroup alice 0 1",
    "XCLAIM string g alice 0 1",
    "XCLAIM missing g alice x 1",
    "XAUTOCLAIM s g alice x 0",
    "XAUTOCLAIM s g alice 0 x",
    "XAUTOCLAIM s g alice 0 0 COUNT",
    "XAUTOCLAIM s g alice 0 0 COUNT 0",
    "XAUTOCLAIM s g alice 0 0 COUNT x",
    "XAUTOCLAIM s g alice 0 0 COUNT 999999999999999999",
    "XAUTOCLAIM s g alice 0 0 FOO",
    "XAUTOCLAIM s nogroup alice 0 0",
    "XAUTOCLAIM missing g alice 0 0 FOO",
    "XAUTOCLAIM string g alice 0 0",
    "XINFO",
    "XINFO FOO",
    "XINFO STREAM",
    "XINFO STREAM missing",
    "XINFO STREAM string",
    "XINFO STREAM s FOO",
    "XINFO STREAM s FULL COUNT",
    "XINFO STREAM s FULL COUNT x",
    "XINFO STREAM s FULL FOO 1",
    "XINFO STREAM s FULL COUNT 1 FOO",
    "XINFO GROUPS missing",
    "XINFO GROUPS string",
    "XINFO GROUPS s g",
    "XINFO CONSUMERS s",
    "XINFO CONSUMERS s nogroup",
    "XINFO CONSUMERS missing g",
    "XSETID s x",
    "XSETID s 5 FOO",
    "XSETID s 5 ENTRIESADDED",
    "XSETID s 5 ENTRIESADDED -1",
    "XSETID s 5 ENTRIESADDED x",
    "XSETID s 5 MAXDELETEDID x",
    "XSETID s 5 MAXDELETEDID 6",
];

fn line(text: &str) -> Request {
    words(text)
}

/// Makes requests. Ids go up slowly.
pub(crate) struct Generator {
    pub(crate) top: u64,
}

impl Generator {
    fn id(&self, random: &mut fastrand::Rng) -> String {
        let ms = (self.top + 2).saturating_sub(random.u64(..40));
        match random.u32(..8) {
            0 => ms.to_string(),
            _ => format!("{ms}-{}", random.u64(..4)),
        }
    }

    fn bound(&self, random: &mut fastrand::Rng) -> String {
        match random.u32(..10) {
            0..2 => "-".to_owned(),
            2..4 => "+".to_owned(),
            4..6 => format!("({}", self.id(random)),
            _ => self.id(random),
        }
    }

    fn ids(&self, random: &mut fastrand::Rng) -> String {
        let count = random.usize(1..6);
        (0..count).map(|_| self.id(random)).collect::<Vec<_>>().join(" ")
    }

    fn trimming(&self, random: &mut fastrand::Rng) -> String {
        let sign = pick(random, &["", "=", "~", "~"]);
        let strategy = match random.bool() {
            true => format!("{} {sign} {}", pick(random, &["MAXLEN", "maxlen"]), random.u32(..40)),
            false => format!("MINID {sign} {}", self.id(random)),
        };
        match sign {
            "~" if random.bool() => format!("{strategy} LIMIT {}", random.u32(..12)),
            _ => strategy,
        }
    }

    fn fields(random: &mut fastrand::Rng) -> String {
        let more = "f 1 g 2 long-name-of-a-field some-longer-value-that-takes-more-than-sixty-three-bytes-in-a-listpack";
        pick(random, &["f v", "f 17", "f -70000", "g v", "f v g 99999999999", "\"\" \"\"", more])
            .to_owned()
    }

    /// Requests that belong together.
    pub(crate) fn requests(&mut self, random: &mut fastrand::Rng) -> Vec<Request> {
        self.top += u64::from(random.u32(..12) == 0);
        let (key, group) = (pick(random, KEYS), pick(random, GROUPS));
        let consumer = pick(random, CONSUMERS);
        let one = |text: String| vec![line(&text)];
        match random.u32(..1000) {
            0..220 => one(self.add(random, key)),
            220..250 => one(format!("XTRIM {key} {}", self.trimming(random))),
            250..330 => one(format!("XDEL {key} {}", self.ids(random))),
            330..400 => {
                let name = pick(random, &["XRANGE", "XREVRANGE"]);
                let count = pick(random, &["", "COUNT 3", "COUNT 1", "count 100"]);
                one(format!("{name} {key} {} {} {count}", self.bound(random), self.bound(random)))
            }
            400..440 => {
                let count = pick(random, &["", "COUNT 2", "COUNT 0", "COUNT -1"]);
                let (id, other) = (self.id(random), pick(random, &["0", "$", "5-0"]));
                one(format!("XREAD {count} STREAMS {key} s {id} {other}"))
            }
            440..580 => one(self.read_group(random, key, group, consumer)),
            580..650 => one(format!("XACK {key} {group} {}", self.ids(random))),
            650..690 => one(self.pending(random, key, group, consumer)),
            690..740 => one(self.claim(random, key, group, consumer)),
            740..800 => {
                let idle = pick(random, &["0", "0", "100000000", "-1"]);
                let more = pick(random, &["", "COUNT 2", "JUSTID", "JUSTID COUNT 1", "COUNT 20"]);
                let start = self.bound(random);
                one(format!("XAUTOCLAIM {key} {group} {consumer} {idle} {start} {more}"))
            }
            800..830 => {
                let full =
                    pick(random, &["", "", "FULL", "FULL COUNT 2", "FULL COUNT 2", "FULL COUNT 0"]);
                one(format!("XINFO STREAM {key} {full}"))
            }
            830..850 => one(format!("XINFO GROUPS {key}")),
            850..870 => one(format!("XINFO CONSUMERS {key} {group}")),
            870..890 => self.create(random, key),
            890..900 => {
                let read = pick(random, &["", "ENTRIESREAD -1", "ENTRIESREAD 3"]);
                let id = self.id(random);
                let id = pick(random, &["0", "$", &id, "-", "+"]);
                one(format!("XGROUP SETID {key} {group} {id} {read}"))
            }
            900..906 => {
                let gone = format!("XGROUP DELCONSUMER {key} {group} {consumer}");
                vec![line(&gone), line(&format!("XGROUP CREATECONSUMER {key} {group} {consumer}"))]
            }
            906..908 => one(format!("XGROUP DESTROY {key} {group}")),
            908..920 => {
                let more = ["", "ENTRIESADDED 50", "ENTRIESADDED 1", "MAXDELETEDID 3-0"];
                let more = pick(random, &more);
                one(format!("XSETID {key} {}-9 {more}", self.top + 2))
            }
            920..925 => one(format!("DEL {key}")),
            925..935 => one(format!("COPY {key} {} REPLACE", pick(random, &["s", "other"]))),
            935..945 => one(format!("XLEN {key}")),
            945..955 => one(format!("DEBUG DIGEST-VALUE {key}")),
            955..957 => one("SET string x".to_owned()),
            957..965 => one(format!("TYPE {key}")),
            _ => one(pick(random, WRONG).to_owned()),
        }
    }

    fn add(&self, random: &mut fastrand::Rng, key: &str) -> String {
        let ms = self.top + random.u64(..2);
        let id = match random.u32(..6) {
            0 => format!("{ms}-*"),
            1 => format!("{ms}"),
            _ => format!("{ms}-{}", random.u64(..6)),
        };
        let trimming = match random.u32(..6) {
            0 => self.trimming(random),
            _ => String::new(),
        };
        let no_stream = pick(random, &["", "", "", "NOMKSTREAM"]);
        format!("XADD {key} {no_stream} {trimming} {id} {}", Self::fields(random))
    }

    fn create(&self, random: &mut fastrand::Rng, key: &str) -> Vec<Request> {
        let group = pick(random, &["g", "h"]);
        let read = pick(random, &["", "ENTRIESREAD 2", "MKSTREAM", "ENTRIESREAD 0 MKSTREAM"]);
        let id = self.id(random);
        let id = pick(random, &["0", "$", &id]);
        let create = format!("XGROUP CREATE {key} {group} {id} {read}");
        let consumer = |name: &&str| line(&format!("XGROUP CREATECONSUMER {key} {group} {name}"));
        std::iter::once(line(&create)).chain(CONSUMERS.iter().map(consumer)).collect()
    }

    fn read_group(
        &self,
        random: &mut fastrand::Rng,
        key: &str,
        group: &str,
        consumer: &str,
    ) -> String {
        let count = pick(random, &["", "COUNT 1", "COUNT 3", "COUNT 0"]);
        let no_ack = pick(random, &["", "", "", "NOACK"]);
        let id = self.id(random);
        let id = pick(random, &[">", ">", ">", ">", "0", &id]);
        let streams = match random.u32(..8) {
            0 => format!("{key} s {id} >"),
            _ => format!("{key} {id}"),
        };
        format!("XREADGROUP GROUP {group} {consumer} {count} {no_ack} STREAMS {streams}")
    }

    fn pending(
        &self,
        random: &mut fastrand::Rng,
        key: &str,
        group: &str,
        consumer: &str,
    ) -> String {
        if random.u32(..3) == 0 {
            return format!("XPENDING {key} {group}");
        }
        let idle = pick(random, &["", "", "IDLE 0", "IDLE 100000000"]);
        let (start, end) = (self.bound(random), self.bound(random));
        let consumer = pick(random, &["", consumer]);
        format!("XPENDING {key} {group} {idle} {start} {end} {} {consumer}", random.u32(..12))
    }

    fn claim(&self, random: &mut fastrand::Rng, key: &str, group: &str, consumer: &str) -> String {
        let idle = pick(random, &["0", "0", "0", "100000000"]);
        let mut request = format!("XCLAIM {key} {group} {consumer} {idle} {}", self.ids(random));
        for _ in 0..random.u32(..3) {
            request.push(' ');
            let last = format!("LASTID {}", self.id(random));
            let options = [
                "FORCE",
                "JUSTID",
                "IDLE 1000000000",
                "TIME 1000",
                "RETRYCOUNT 5",
                "TIME -5",
                &last,
            ];
            request.push_str(pick(random, &options));
        }
        request
    }
}

/// Times of now.
const NOW_MIN: i64 = 100_000_000_000;

/// A reply without what cannot be compared; see the module.
fn comparable(request: &Request, reply: &[u8]) -> Tree {
    let mut tree = Tree::read(reply);
    let name = request[0].to_ascii_uppercase();
    if name == b"XPENDING" && request.len() > 3 {
        each(&mut tree, |entry| each_number(entry, 2));
    }
    if name == b"XINFO" {
        without_times(&mut tree);
    }
    tree
}

fn each(tree: &mut Tree, change: impl FnMut(&mut Tree)) {
    if let Tree::List(items) = tree {
        items.iter_mut().for_each(change);
    }
}

fn each_number(tree: &mut Tree, at: usize) {
    if let Tree::List(items) = tree
        && let Some(item) = items.get_mut(at)
    {
        *item = Tree::Number(0);
    }
}

fn without_times(tree: &mut Tree) {
    match tree {
        Tree::Number(number) if *number > NOW_MIN => *number = 0,
        Tree::List(items) => {
            for name in ["inactive", "active-time"] {
                if let Some(at) = items.iter().position(|item| *item == Tree::Text(name.into())) {
                    items.drain(at..at + 2);
                }
            }
            if let Some(at) = items.iter().position(|item| *item == Tree::Text("idle".into())) {
                items[at + 1] = Tree::Number(0);
            }
            items.iter_mut().for_each(without_times);
        }
        _ => {}
    }
}

/// A reply of 7.0 as 7.2 has it: which command has an odd number of streams is said by its name.
fn of_7_2(request: &Request, reply: Tree) -> Tree {
    match reply {
        Tree::Error(text) if text.starts_with("ERR Unbalanced XREAD list") => {
            let name = String::from_utf8_lossy(&request[0]).to_lowercase();
            let symbol = if name == "xread" { '$' } else { '>' };
            Tree::Error(format!(
                "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
            ))
        }
        other => other,
    }
}

/// Sends requests to both sides and compares.
fn compare(pair: &mut Pair, requests: &[Request], history: &mut VecDeque<String>) {
    let expected = pair.stock.run(requests);
    let found = pair.ours.run(requests);
    for ((request, expected), found) in requests.iter().zip(&expected).zip(&found) {
        let (expected, found) = (comparable(request, expected), comparable(request, found));
        let expected = of_7_2(request, expected);
        history.push_back(format!("{} -> {expected:?}", shown(request)));
        history.drain(..history.len().saturating_sub(40));
        assert!(
            expected == found,
            "{}\nstock: {expected:?}\nours:  {found:?}\nafter:\n{}",
            shown(request),
            history.make_contiguous().join("\n")
        );
    }
}

/// Values go to and fro as payloads, and stay what they are.
fn compare_values(pair: &mut Pair, history: &mut VecDeque<String>) {
    for key in ["s", "other", "third"] {
        let dump = [line(&format!("DUMP {key}"))];
        let (theirs, ours) = (pair.stock.run(&dump), pair.ours.run(&dump));
        if theirs[0].starts_with(b"$-1") {
            continue;
        }
        let restore = |payload: &[u8]| {
            let mut request = line("RESTORE copy 0");
            request.extend([payload.to_vec(), b"REPLACE".to_vec()]);
            [request]
        };
        assert_eq!(pair.stock.run(&restore(bulk(&ours[0]))), [b"+OK\r\n"]);
        assert_eq!(pair.ours.run(&restore(bulk(&theirs[0]))), [b"+OK\r\n"]);
        let looks = [
            "XRANGE copy - +",
            "DEBUG DIGEST-VALUE copy",
            "OBJECT ENCODING copy",
            "XINFO GROUPS copy",
            "XPENDING copy g - + 1000",
            "XPENDING copy h",
            "XINFO CONSUMERS copy g",
            "DEL copy",
        ];
        compare(pair, &looks.map(line), history);
    }
}

#[test]
fn random_requests_of_the_stream_family() {
    with_seed("random_requests_of_the_stream_family", 31, |seed| {
        let mut pair = Pair::start();
        let mut generator = Generator { top: 5 };
        let count =
            std::env::var("REQUESTS").map_or(REQUESTS, |text| text.parse().expect("a number"));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut history = VecDeque::new();
        let limits = [(4, 200), (100, 4096), (0, 0), (3, 0), (0, 60)];
        for round in 0..count / BATCH {
            pair.set_resp3(round % 10 == 9);
            if round % 50 == 0 {
                let (entries, bytes) = limits[round / 50 % limits.len()];
                let set = [
                    line(&format!("CONFIG SET stream-node-max-entries {entries}")),
                    line(&format!("CONFIG SET stream-node-max-bytes {bytes}")),
                ];
                compare(&mut pair, &set, &mut history);
            }
            let mut requests = Vec::new();
            while requests.len() < BATCH {
                requests.extend(generator.requests(&mut random));
            }
            compare(&mut pair, &requests, &mut history);
            if round % 20 == 0 {
                pair.set_resp3(false);
                compare_values(&mut pair, &mut history);
            }
        }
        pair.ours.node.state.keyspace.check_invariants();
    });
}

/// Errors quote what was sent up to its first zero byte.
#[test]
fn words_of_any_bytes_are_quoted_as_they_are() {
    Pair::start().check(
        r#"XADD s 1-1 f v
        XREADGROUP GROUP "g\xff" c STREAMS s >
        XPENDING s "g\xe2\x82"
        XGROUP "CR\xff\xf4\x8f\xbe\x80" s
        XINFO "STR\xc3\xa9\xff" s
        XCLAIM s "\xf4\x8f\xbf\xbf" c 0 1-1
        EXPIRE s 1 "F\xff"
        OBJECT "\x80" s
        DEBUG ERROR "ERR \xff"
        PFDEBUG "\xfe" s
        "no\xff" "a\xff" "b\xc3\xa9""#,
    );
}

#[test]
fn an_emptied_stream_has_neither_a_first_nor_a_last_entry() {
    Pair::start().check("XADD s 1 a b\nXDEL s 1\nXINFO STREAM s\nXINFO STREAM s FULL");
}

#[test]
fn a_zero_byte_ends_a_word_that_is_quoted() {
    Pair::start().check(
        r#"XADD s 1-1 f v
        XGROUP CREATE s g 0
        XCLAIM s g c 0 1-1 "FO\x00O" 1
        XINFO "STR\x00" s
        XINFO STREAM s "FU\x00"
        XGROUP "\x00" s
        XGROUP SETID s "h\x00h" 0
        XREADGROUP GROUP "h\x00" c STREAMS s >
        CLIENT "x\x00y" z
        "no\x00such" "a\x00b" c"#,
    );
}

/// What 7.2 refuses and 7.0 does not: a last id below the highest that was deleted.
#[test]
fn the_last_id_stays_above_deleted_ones() {
    let mut pair = Pair::start();
    pair.check(
        "XADD s 1-0 f v
         XADD s 5-0 f v
         XDEL s 5-0
         XSETID s 5-0
         XSETID s 9-0 MAXDELETEDID 9-1
         XSETID s 9-0 MAXDELETEDID 8-0
         XINFO STREAM s",
    );
    let reply = pair.ours.run(&[line("XSETID s 7-0")]);
    let expected =
        b"-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id\r\n";
    assert_eq!(reply, [expected]);
}

/// What changes groups, but not the stream.
const UNNOTICED: &[&str] = &[
    "XREADGROUP GROUP g c COUNT 1 STREAMS s >",
    "XREADGROUP GROUP g c STREAMS s 0",
    "XREADGROUP GROUP g c COUNT 1 NOACK STREAMS s >",
    "XACK s g 1-1",
    "XCLAIM s g d 0 1-1",
    "XAUTOCLAIM s g c 0 0",
    "XGROUP CREATE s h 0",
    "XGROUP SETID s h 1-1",
    "XGROUP CREATECONSUMER s h c",
    "XGROUP DELCONSUMER s h c",
    "XGROUP DESTROY s h",
    "XSETID s 9-9",
];

#[test]
fn groups_change_without_being_noticed() {
    let mut pair = Pair::start();
    pair.check(
        "XADD s 1-1 a 1\nXADD s 2-1 a 1\nXADD s 3-1 a 1\nXGROUP CREATE s g 0
         XREADGROUP GROUP g c COUNT 1 STREAMS s >",
    );
    for request in UNNOTICED {
        pair.check(&format!("WATCH s\n{request}\nMULTI\nPING\nEXEC"));
    }
    for request in
        ["XADD s 10-1 a 1", "XDEL s 2-1", "XTRIM s MAXLEN 1", "XGROUP CREATE t g 0 MKSTREAM"]
    {
        pair.check(&format!("WATCH s t\n{request}\nMULTI\nPING\nEXEC"));
    }
}
