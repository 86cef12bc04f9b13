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
