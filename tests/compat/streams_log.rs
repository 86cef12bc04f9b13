//! What streams leave in the log, beside a stock server's, and what replaying it gives.

use crate::ours::Ours;
use crate::peer::{Request, shown, words};
use crate::random::Pair;
use crate::tree::Tree;

/// Requests whose effects are not the requests themselves.
const LINES: &str = "
    XADD s 1-1 a 1
    XADD s 1-* a 2
    XADD s 2 a 3
    XADD s MAXLEN 2 3-1 a 4
    XADD s MAXLEN ~ 2 4-1 a 5
    XADD s MINID ~ 3 5-1 a 6
    XADD s MINID = 3 5-2 a 6
    XADD s NOMKSTREAM 5-3 a 6
    XADD none NOMKSTREAM 1-1 a 1
    XADD many 1-1 a 1
    XADD many 2-1 a 1
    XADD many 3-1 a 1
    XADD many 4-1 a 1
    XADD many 5-1 a 1
    XADD many 6-1 a 1
    XADD many 7-1 a 1
    XADD many maxlen ~ 3 limit 100 8-* a 1
    XTRIM many MAXLEN ~ 4
    XTRIM many MINID ~ 6-1
    XTRIM many MINID ~ 7 LIMIT 2
    XTRIM many MAXLEN = 1
    XTRIM many MAXLEN 1
    XGROUP CREATE s g 0
    XGROUP CREATE made g $ MKSTREAM ENTRIESREAD 0
    XGROUP CREATECONSUMER s g alice
    XGROUP CREATECONSUMER s g alice
    XGROUP CREATECONSUMER s g bob
    XREADGROUP GROUP g alice COUNT 2 NOACK STREAMS s >
    XREADGROUP GROUP g carol COUNT 1 NOACK STREAMS s >
    XADD s 6-1 a 7
    XADD s 6-2 a 8
    XADD s 6-3 a 9
    XCLAIM s g bob 0 6-1 FORCE
    XCLAIM s g alice 0 6-1 6-2 TIME 1000 RETRYCOUNT 3 FORCE JUSTID
    XCLAIM s g alice 0 9-9
    XCLAIM s g alice 0 6-1 LASTID 6-2
    XCLAIM s g alice 0 9-9 LASTID 6-3
    XDEL s 6-2
    XAUTOCLAIM s g bob 0 0
    XAUTOCLAIM s g bob 0 0
    XACK s g 6-1 6-2
    XACK s g 6-1
    XDEL s 9-9
    XDEL s 6-1
    XGROUP SETID s g 2 ENTRIESREAD 3
    XGROUP DELCONSUMER s g alice
    XGROUP DELCONSUMER s g alice
    XGROUP DESTROY s g
    XGROUP DESTROY s g
    XSETID s 90 ENTRIESADDED 70 MAXDELETEDID 7-7
";

/// A log without what is said of databases and units, and without times of now.
fn plain(log: Vec<Request>) -> Vec<String> {
    const FRAME: [&[u8]; 3] = [b"SELECT", b"MULTI", b"EXEC"];
    let effects = log.into_iter().filter(|request| !FRAME.contains(&&*request[0]));
    let shown = |mut request: Request| {
        if request[0] == b"XCLAIM"
            && let Some(at) = request.iter().position(|word| word == b"TIME")
            && request[at + 1].len() > 4
        {
            request[at + 1] = b"now".to_vec();
        }
        shown(&request)
    };
    effects.map(shown).collect()
}

fn same_logs(pair: &mut Pair) {
    let (stock, ours) = (plain(pair.stock_log()), plain(pair.ours.take_log()));
    let differ = stock.iter().zip(&ours).position(|(stock, ours)| stock != ours);
    let at = differ.unwrap_or(stock.len().min(ours.len()));
    assert!(stock == ours, "stock: {:#?}\nours: {:#?}", stock.get(at..), ours.get(at..));
}

#[test]
fn effects_are_those_of_stock() {
    let mut pair = Pair::start_with_log();
    pair.check(
        "CONFIG SET stream-node-max-entries 2
         CONFIG SET appendfsync always",
    );
    // What is answered is compared elsewhere; consumers that only 7.2 makes would differ.
    let requests: Vec<Request> =
        LINES.lines().map(str::trim).filter(|line| !line.is_empty()).map(words).collect();
    pair.stock.run(&requests);
    pair.ours.run(&requests);
    same_logs(&mut pair);
}

/// The datasets of two nodes, as far as clients see them and but for times of consumers.
fn seen(ours: &mut Ours) -> Vec<Tree> {
    let looks = ["XINFO STREAM s FULL COUNT 0", "XRANGE s - +", "DEBUG DIGEST-VALUE s"];
    let replies = ours.run(&looks.map(words));
    replies.iter().map(|reply| without_consumer_times(Tree::read(reply))).collect()
}

fn without_consumer_times(tree: Tree) -> Tree {
    let Tree::List(mut items) = tree else { return tree };
    for name in ["seen-time", "active-time", "radix-tree-nodes", "radix-tree-keys"] {
        if let Some(at) = items.iter().position(|item| *item == Tree::Text(name.into())) {
            items[at + 1] = Tree::Nil;
        }
    }
    Tree::List(items.into_iter().map(without_consumer_times).collect())
}

#[test]
fn replaying_the_log_gives_the_same_streams() {
    let debug = |config: &mut highwater::config::Config| {
        config.values_mut().enable_debug_command = highwater::config::choices::ProtectedAction::Yes;
    };
    let (mut ours, mut copy) = (Ours::start(debug), Ours::start(debug));
    let mut random = fastrand::Rng::with_seed(12);
    ours.run(&["CONFIG SET stream-node-max-entries 5"].map(words));
    for round in 0..3000 {
        let (id, consumer) = (random.u32(..200), random.u8(..4));
        let request = match random.u32(..20) {
            0..6 => "XADD s * field value".to_owned(),
            6 => format!("XADD s MAXLEN ~ {} * field value", random.u32(20..60)),
            7 => format!("XTRIM s MAXLEN ~ {}", random.u32(20..60)),
            8 => "XGROUP CREATE s g 0 MKSTREAM".to_owned(),
            9..14 => format!("XREADGROUP GROUP g c{consumer} COUNT 2 STREAMS s >"),
            14 => format!("XREADGROUP GROUP g c{consumer} NOACK COUNT 1 STREAMS s >"),
            15 => format!("XREADGROUP GROUP g c{consumer} COUNT 2 STREAMS s 0"),
            16 => format!("XAUTOCLAIM s g c{consumer} 0 0 COUNT 3"),
            17 => format!("XREADGROUP GROUP g d{consumer} STREAMS s 0"),
            18 => format!("XGROUP DELCONSUMER s g c{consumer}"),
            _ if id < 3 => "XGROUP DESTROY s g".to_owned(),
            _ => "XPENDING s g - + 3".to_owned(),
        };
        let replies = ours.run(&[words(&request)]);
        // Acknowledge and delete something that there is.
        if let b"XPENDING" = request.as_bytes().get(..8).unwrap_or_default()
            && let Tree::List(entries) = Tree::read(&replies[0])
        {
            for entry in &entries {
                let id = entry.list()[0].text();
                ours.run(&[words(&format!("XACK s g {id}"))]);
            }
        }
        if round % 7 == 0
            && let Tree::List(entries) = Tree::read(&ours.run(&[words("XRANGE s - + COUNT 3")])[0])
            && let Some(entry) = entries.last()
        {
            ours.run(&[words(&format!("XDEL s {}", entry.list()[0].text()))]);
        }
    }
    let log = ours.take_log();
    assert!(log.len() > 2000);
    copy.run(&log);
    assert_eq!(seen(&mut copy), seen(&mut ours));
}

/// Plays what `lines` leave in the log into another node, where nothing may fail; both then look the same.
fn replays(ours: &mut Ours, lines: &str, looks: &[&str]) {
    let mut copy = Ours::start(|_| {});
    let requests: Vec<Request> =
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(words).collect();
    ours.run(&requests);
    let log = ours.take_log();
    for (request, reply) in log.iter().zip(copy.run(&log)) {
        assert_ne!(reply[0], b'-', "{} answers {}", shown(request), reply.escape_ascii());
    }
    let looks: Vec<Request> = looks.iter().map(|look| words(look)).collect();
    assert_eq!(copy.run(&looks), ours.run(&looks));
}

/// Commands have no words for counts of 64 bits.
#[test]
fn counts_end_where_commands_cannot_tell_them() {
    let mut ours = Ours::start(|_| {});
    replays(
        &mut ours,
        "XADD s 1-1 a b
         XADD s 1-2 a b
         XGROUP CREATE s g 0 ENTRIESREAD 9223372036854775807
         XREADGROUP GROUP g c COUNT 1 STREAMS s >
         XREADGROUP GROUP g c NOACK STREAMS s >
         XCLAIM s g c 0 1-1 RETRYCOUNT 9223372036854775807 JUSTID
         XREADGROUP GROUP g c STREAMS s 0
         XCLAIM s g c 0 1-1
         XAUTOCLAIM s g c 0 0",
        &["XINFO GROUPS s"],
    );
    let found = ours.run(&[words("XPENDING s g - + 9"), words("XINFO GROUPS s")]);
    assert!(found[0].ends_with(b":9223372036854775807\r\n"), "{}", found[0].escape_ascii());
}

/// A payload may hold larger ones.
#[test]
fn counts_of_payloads_end_there_too() {
    use highwater_persistence::snapshot::{
        EncoderOptions, Event, StreamId, StreamMeta, encode_dump,
    };
    let (id, last_id) = (StreamId::new(1, 1), StreamId::new(1, 2));
    let field = Event::StreamField { field: b"f", value: b"v" };
    let events = [
        Event::StreamBegin,
        Event::StreamEntry { id, fields: 1 },
        field,
        Event::StreamEntry { id: last_id, fields: 1 },
        field,
        Event::StreamMeta(StreamMeta {
            length: 2,
            last_id,
            first_id: id,
            max_deleted_id: StreamId::ZERO,
            entries_added: 2,
        }),
        Event::StreamGroup { name: b"g", last_id: id, entries_read: Some(1 << 63) },
        Event::StreamPending { id, delivered_ms: 5, deliveries: u64::MAX },
        Event::StreamConsumer { name: b"c", seen_ms: 5, active_ms: None },
        Event::StreamConsumerPending { id },
        Event::ValueEnd,
    ];
    let payload = encode_dump(&EncoderOptions::default(), events).expect("it can be written");
    let mut ours = Ours::start(|_| {});
    let restore = [&b"RESTORE"[..], b"s", b"0", &payload].map(<[u8]>::to_vec).to_vec();
    assert_eq!(ours.run(&[restore]), [b"+OK\r\n"]);
    replays(
        &mut ours,
        "XCLAIM s g c 0 1-1 JUSTID
         XCLAIM s g c 0 1-9 LASTID 1-1
         XREADGROUP GROUP g c NOACK STREAMS s >
         XREADGROUP GROUP g c STREAMS s 0",
        &["XINFO GROUPS s"],
    );
}

/// Each repetition changes times and counts, which stock servers keep to themselves. Here a command tells many of them.
#[test]
fn repetitions_are_told_together() {
    let mut ours = Ours::start(|_| {});
    let lines: String = (1..=2500).map(|id| format!("XADD s {id}-1 f v\n")).collect();
    ours.run(&lines.lines().map(words).collect::<Vec<_>>());
    ours.run(
        &[
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XREADGROUP GROUP g c COUNT 10 STREAMS s 1200-1",
        ]
        .map(words),
    );
    let before = ours.take_log();
    let mut copy = Ours::start(|_| {});
    copy.run(&before);
    ours.run(&[words("XREADGROUP GROUP g c STREAMS s 0")]);
    let log = ours.take_log();
    let claims: Vec<usize> =
        log.iter().filter(|request| request[0] == b"XCLAIM").map(Vec::len).collect();
    assert_eq!(claims, [1000 + 13, 200 + 13, 10 + 13, 1000 + 13, 290 + 13]);
    copy.run(&log);
    assert_eq!(seen(&mut copy), seen(&mut ours));
    let counts = ours.run(&["XPENDING s g 1210 1210 1", "XPENDING s g 1211 1211 1"].map(words));
    assert!(counts[0].ends_with(b":3\r\n") && counts[1].ends_with(b":2\r\n"));
}

#[test]
fn ids_follow_the_time() {
    let mut ours = Ours::start(|_| {});
    let before = highwater::clock::now().unix_ms();
    let replies = ours.run(
        &[
            "XADD s * f v",
            "XADD s * f v",
            "XADD s 99999999999999-18446744073709551615 f v",
            "XADD s * f v",
            "XADD s 18446744073709551615-1 f v",
            "XADD s 18446744073709551615-* f v",
        ]
        .map(words),
    );
    let ids: Vec<String> =
        replies.iter().map(|reply| Tree::read(reply).text().to_owned()).collect();
    let ms = |id: &str| id.split_once('-').expect("an id").0.parse::<u64>().expect("a number");
    assert!(ms(&ids[0]) >= before && ms(&ids[1]) >= ms(&ids[0]));
    assert_eq!(ids[3], "100000000000000-0");
    assert_eq!(ids[5], "18446744073709551615-2");
    let log = ours.take_log();
    assert_eq!(
        log.iter().find(|request| request[0] == b"XADD").map(shown),
        Some(shown(&words(&format!("XADD s {} f v", ids[0]))))
    );
}
