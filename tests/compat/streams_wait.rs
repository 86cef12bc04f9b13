//! XREAD and XREADGROUP that wait: what they are answered, beside a stock server.

use highwater::clock::{self, SystemClock};
use highwater::state::client::Peer;
use highwater::state::{ClientId, Output};

use crate::ours::parse;
use crate::peer::{Client, Request, encode, shown_bytes, words};
use crate::random::Pair;

/// Both sides, each with a second client that waits.
pub(crate) struct Waiting {
    pub(crate) pair: Pair,
    stock_waiter: Client,
    our_waiter: ClientId,
}

impl Waiting {
    pub(crate) fn start() -> Waiting {
        let mut pair = Pair::start_with_log();
        let stock_waiter = Client::connect(pair.stock.port).expect("it listens");
        let peer = Peer { loopback: true, ..Peer::default() };
        let our_waiter = pair.ours.node.connect(peer, clock::now()).expect("there is room");
        Waiting { pair, stock_waiter, our_waiter }
    }

    /// The waiter's request; what it is answered at once.
    fn ask(&mut self, request: &Request) -> Vec<u8> {
        let bytes = encode(request);
        let requests = parse(&bytes);
        let mut out = Vec::new();
        let batch = (&requests, &bytes[..]);
        self.pair.ours.node.execute(self.our_waiter, batch, 0, &mut out, &mut SystemClock);
        out
    }

    /// What the waiter is answered by now.
    fn answers(&mut self) -> Vec<u8> {
        let answer = |output| match output {
            Output::Answer { client, bytes, .. } if client == self.our_waiter => Some(bytes),
            _ => None,
        };
        self.pair.ours.node.take_outputs().into_iter().filter_map(answer).flatten().collect()
    }

    /// `waits` is answered only behind the last of `lines`, and alike; `expected`, where our reference differs from 7.0.
    pub(crate) fn check(&mut self, waits: &str, lines: &[&str], expected: Option<&str>) {
        let request = words(waits);
        self.stock_waiter.send(&encode(&request)).expect("it reads");
        self.stock_is_blocked();
        assert_eq!(self.ask(&request), b"", "{waits} waits");
        for (at, line) in lines.iter().enumerate() {
            assert_eq!(self.answers(), b"", "{waits} waits before {line}");
            let line = [words(line)];
            let stock = self.pair.stock.run(&line);
            assert_eq!(self.pair.ours.run(&line), stock, "{} of {lines:?}", at + 1);
        }
        let stock = self.stock_waiter.reply().expect("an answer");
        let expected = expected.map_or(stock, |text| text.as_bytes().to_vec());
        let found = self.answers();
        assert_eq!(shown_bytes(&found), shown_bytes(&expected), "{waits}");
    }

    fn stock_is_blocked(&mut self) {
        let is_blocked = |reply: &[u8]| reply.windows(17).any(|text| text == b"blocked_clients:1");
        while !is_blocked(&self.pair.stock.run(&[words("INFO clients")])[0]) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

#[test]
fn readers_wait_for_entries() {
    let mut waiting = Waiting::start();
    waiting.check("XREAD BLOCK 0 STREAMS s $", &["SET x 1", "XADD s 1-1 f v"], None);
    waiting.check("XREAD BLOCK 0 STREAMS s $", &["XADD s 1-2 f v"], None);
    waiting.check("XREAD BLOCK 0 STREAMS s 1-3", &["XADD s 1-3 f v", "XADD s 1-4 f v"], None);
    waiting.check("XREAD BLOCK 0 COUNT 1 STREAMS other s 0 $", &["XADD other 7-7 g w"], None);
    waiting.check(
        "XREAD BLOCK 0 STREAMS s $",
        &["DEL s", "SET s x", "DEL s", "XADD s 9-1 f v"],
        None,
    );
    waiting.check(
        "XREAD BLOCK 0 STREAMS s $",
        &["MULTI", "XADD s 9-2 f v", "XADD s 9-3 f v", "EXEC"],
        None,
    );
}

#[test]
fn groups_wait_for_entries_and_hear_of_losses() {
    let mut waiting = Waiting::start();
    let made = ["XADD s 1-1 f v", "XGROUP CREATE s g $", "XGROUP CREATECONSUMER s g alice"];
    waiting.pair.check(&made.join("\n"));
    let waits = "XREADGROUP GROUP g alice BLOCK 0 STREAMS s >";
    waiting.check(waits, &["XADD s 2-1 f v"], None);
    waiting.pair.check("XPENDING s g");
    waiting.check(waits, &["XDEL s 2-1", "XADD s 2-2 f v"], None);
    waiting.check(
        "XREADGROUP GROUP g bob BLOCK 0 NOACK STREAMS s >",
        &["XGROUP CREATECONSUMER s g carol", "XADD s 2-3 f v"],
        None,
    );
    waiting.check(waits, &["XGROUP SETID s g 0", "XADD s 2-4 f v"], None);
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n";
    waiting.check(waits, &["XGROUP DESTROY s g"], Some(gone));
    waiting.pair.check("XGROUP CREATE s g $");
    waiting.check(waits, &["DEL s"], Some(gone));
    waiting.pair.check("XGROUP CREATE s g $ MKSTREAM");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    waiting.check(waits, &["SET s x"], Some(wrong));
    waiting.pair.check("DEL s\nXGROUP CREATE s g $ MKSTREAM");
    // One entry serves one reader; what it leaves behind is what a read at once leaves.
    waiting.pair.ours.take_log();
    waiting.check("XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", &["XADD s 3-1 f v"], None);
    let log = waiting.pair.ours.take_log();
    let names: Vec<String> = log
        .iter()
        .filter(|request| request.len() > 1)
        .map(|request| String::from_utf8_lossy(&request[0]).into_owned())
        .filter(|name| name != "SELECT")
        .collect();
    assert_eq!(names, ["XGROUP", "XADD", "XCLAIM", "XGROUP"]);
}
