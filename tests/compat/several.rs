//! Several clients of a stock server and of a node in this process: who waits, who is answered what when others write, and
//! what those hear who listen.

use std::time::Duration;

use highwater::clock::{self, SystemClock};
use highwater::state::client::Peer;
use highwater::state::{ClientId, Output};

use crate::ours::{Ours, parse};
use crate::peer::{Client, Request, Stock, encode, shown, shown_bytes, words};

/// Both sides with their clients.
pub(crate) struct Several {
    pub(crate) stock: Stock,
    pub(crate) ours: Ours,
    clients: Vec<Client>,
    ids: Vec<ClientId>,
}

impl Several {
    /// Connects `count` clients to each side; the stock server keeps a log.
    pub(crate) fn start(count: usize) -> Several {
        let stock = Stock::start(&["--appendonly", "yes"]);
        let mut ours = Ours::start(|_| {});
        let clients =
            (0..count).map(|_| Client::connect(stock.port).expect("it listens")).collect();
        let ids = (0..count).map(|_| connect(&mut ours)).collect();
        Several { stock, ours, clients, ids }
    }

    /// Whether a client's command waits.
    pub(crate) fn waits(&self, who: usize) -> bool {
        self.ours.node.state.key_waits.get(self.ids[who]).is_some()
    }

    /// Sends `request` as client `who` and compares who is answered what.
    pub(crate) fn step(&mut self, who: usize, request: &Request) {
        let answers = self.answers(who, request);
        self.clients[who].send(&encode(request)).expect("it reads");
        self.compare(answers, &format!("when {who} sent {}", shown(request)));
        self.wait_until_as_many_wait(request);
    }

    fn compare(&mut self, answers: Vec<(usize, Vec<u8>)>, when: &str) {
        for (client, found) in answers {
            let expected = self.clients[client].reply();
            let expected = expected.unwrap_or_else(|error| {
                panic!("{error}: client {client} got {} only from us, {when}", shown_bytes(&found))
            });
            assert!(
                expected == found,
                "client {client}, {when}\nstock: {}\nours:  {}",
                shown_bytes(&expected),
                shown_bytes(&found)
            );
        }
    }

    /// Waits until the time of all waits that have one is over, and compares who is answered what.
    pub(crate) fn let_time_pass(&mut self) {
        while self.ours.node.end_due_waits(&mut SystemClock).is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let answers = self.told();
        self.compare(answers, "when time had passed");
    }

    /// Has all clients speak RESP3. What they are told of the server is not compared.
    pub(crate) fn speak_resp3(&mut self) {
        let hello = words("HELLO 3");
        for (client, id) in self.clients.iter_mut().zip(&self.ids) {
            client.run(std::slice::from_ref(&hello));
            execute(&mut self.ours, *id, &hello, &mut Vec::new());
        }
    }

    /// Sends lines as `who: request`, one after the other.
    pub(crate) fn steps(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (who, line) = line.split_once(": ").expect("a client's number");
            self.step(who.parse().expect("a client's number"), &words(line));
        }
    }

    /// Who is answered what by our node.
    fn answers(&mut self, who: usize, request: &Request) -> Vec<(usize, Vec<u8>)> {
        let mut out = Vec::new();
        execute(&mut self.ours, self.ids[who], request, &mut out);
        let mut answers = Vec::new();
        if !out.is_empty() {
            answers.push((who, out));
        }
        answers.extend(self.told());
        answers
    }

    /// Who was told what by our node unasked, or later than asked.
    fn told(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut answers = Vec::new();
        for output in self.ours.node.take_outputs() {
            if let Output::Answer { client, bytes, .. } | Output::Push { client, bytes } = output {
                let at = self.ids.iter().position(|id| *id == client).expect("one of them");
                answers.push((at, bytes));
            }
        }
        answers
    }

    /// A request that is to wait has been read by the stock server when it counts one more.
    fn wait_until_as_many_wait(&mut self, request: &Request) {
        let expected = self.ours.node.state.key_waits.clients().count();
        let wanted = format!("blocked_clients:{expected}\r\n");
        for _ in 0..5000 {
            if self.stock_says("INFO clients").contains(&wanted) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{wanted} after {}", shown(request));
    }

    fn stock_says(&mut self, line: &str) -> String {
        String::from_utf8_lossy(&self.stock.run(&[words(line)])[0]).into_owned()
    }

    /// What both sides tell a client that listens to all events of keys while `lines` are sent, `who: request` each; they are
    /// compared line by line.
    pub(crate) fn compare_events(&mut self, lines: &str) {
        let (on, listen) =
            (words("CONFIG SET notify-keyspace-events KA"), words("PSUBSCRIBE __key*"));
        self.step(0, &on);
        let mut listener = Client::connect(self.stock.port).expect("it listens");
        listener.run(std::slice::from_ref(&listen));
        let id = connect(&mut self.ours);
        execute(&mut self.ours, id, &listen, &mut Vec::new());
        let mut events = 0;
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.steps(line);
            let mut found = Vec::new();
            if let Some(mail) = self.ours.node.take_mail(id) {
                mail.write_to(&mut found);
            }
            listener.send(&encode(&words("PING end"))).expect("it reads");
            let mut expected = Vec::new();
            loop {
                let frame = listener.reply().expect("it answers");
                if frame == b"*2\r\n$4\r\npong\r\n$3\r\nend\r\n" {
                    break;
                }
                expected.extend_from_slice(&frame);
            }
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{line}"
            );
            events += usize::from(!found.is_empty());
        }
        assert!(events > 5, "{events}");
    }
}

fn connect(ours: &mut Ours) -> ClientId {
    let peer = Peer { loopback: true, ..Peer::default() };
    ours.node.connect(peer, clock::now()).expect("there is room")
}

fn execute(ours: &mut Ours, id: ClientId, request: &Request, out: &mut Vec<u8>) {
    let bytes = encode(request);
    let requests = parse(&bytes);
    ours.node.execute(id, (&requests, &bytes[..]), 0, out, &mut SystemClock);
}

/// Requests of two databases, in and outside of transactions, and some that no monitor sees.
const SEEN: &str = "SET a 1
    MULTI
    SET a 1
    GET a
    LPUSH a x
    EXEC
    SELECT 1
    GET b
    CONFIG GET maxmemory
    AUTH secret
    MULTI
    DISCARD
    UNKNOWN a
    GET
    RESET
    GET a";

/// What a monitor was shown: database and words of each command, without its time and the client's address.
fn seen(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let (time, rest) = text.split_once(" [").unwrap_or_else(|| panic!("{text}"));
    assert!(time.starts_with('+') && time.contains('.'), "{text}");
    let (from, words) = rest.split_once("] ").expect("who");
    format!("{} {words}", from.split(' ').next().expect("a database"))
}

#[test]
fn monitors_see_commands_when_they_have_run() {
    let mut several = Several::start(3);
    assert_eq!(several.answers(1, &words("MONITOR")), [(1, b"+OK\r\n".to_vec())]);
    several.clients[1].run(&[words("MONITOR")]);
    for line in SEEN.lines().map(str::trim) {
        let answers = several.answers(0, &words(line));
        let stock = several.clients[0].run(&[words(line)]);
        let (own, shown): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(who, _)| *who == 0);
        assert_eq!(own[0].1, stock[0], "{line}");
        // Nothing else is on its way: the next thing that a monitor sees is this.
        several.answers(2, &words("ECHO end"));
        several.clients[2].run(&[words("ECHO end")]);
        let mut expected = Vec::new();
        loop {
            let frame = seen(&several.clients[1].reply().expect("it is shown"));
            if frame.contains("\"ECHO\"") {
                break;
            }
            expected.push(frame);
        }
        let shown: Vec<String> = shown.iter().map(|(_, bytes)| seen(bytes)).collect();
        assert_eq!(shown, expected, "{line}");
    }
}
