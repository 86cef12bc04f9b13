//! A node without sockets, one client, and a clock that is moved by hand.

use highwater::clock::ManualClock;
use highwater::config::Config;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::Node;
use highwater::resp::inline::{encode, split_words};
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;
use highwater::state::run::Run;

/// When the clock of a bench starts, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_000_000_000;

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) clock: ManualClock,
    client: ClientId,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::configured(|_| {})
    }

    pub(crate) fn configured(configure: impl FnOnce(&mut Config)) -> Bench {
        let mut clock = ManualClock::default();
        clock.advance_ms(START_MS);
        let mut config = Config::default();
        configure(&mut config);
        let keyspace = Keyspace::new(16, HashKey::from_seed(1), 1);
        let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
        let mut node = Node::new(config, keyspace, run, clock.0);
        node.state.stream.recording = true;
        let peer = Peer { loopback: true, ..Peer::default() };
        let client = node.connect(peer, clock.0).expect("there is room");
        Bench { node, clock, client }
    }

    /// Runs one request and gives its reply: a scalar without its mark, an aggregate as a list in brackets.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let bytes = encode(&split_words(line.as_bytes()).expect("balanced quotes"));
        let requests = parse(&bytes);
        let mut out = Vec::new();
        self.node.execute(self.client, (&requests, &bytes), 0, &mut out, &mut self.clock);
        shown(&mut &out[..])
    }

    /// Runs a transcript: each line `request -> reply`.
    pub(crate) fn play(&mut self, transcript: &str) {
        for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (request, reply) = line.split_once(" -> ").expect("request -> reply");
            assert_eq!(self.run(request), reply, "reply to {request}");
        }
    }

    /// Takes what the log got, a command to the line, without the SELECT at its start.
    pub(crate) fn log(&mut self) -> String {
        let bytes = std::mem::take(&mut self.node.state.stream.pending);
        let requests = parse(&bytes);
        let line = |index| {
            let args = requests.get(index, &bytes);
            args.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
        };
        let lines: Vec<String> = (0..requests.len()).map(line).collect();
        lines.into_iter().filter(|line| line != "SELECT 0").collect::<Vec<_>>().join("\n")
    }
}

/// Plays a transcript on a fresh node.
pub(crate) fn check(transcript: &str) {
    Bench::new().play(transcript);
}

/// Runs requests on a fresh node and compares the log they leave.
pub(crate) fn check_log(requests: &[&str], log: &[&str]) {
    let mut bench = Bench::new();
    for request in requests {
        bench.run(request);
    }
    assert_eq!(bench.log(), log.join("\n"), "log of {requests:?}");
}

fn parse(bytes: &[u8]) -> Requests {
    let mut requests = Requests::default();
    let limits = RequestLimits::default();
    RequestParser::default().parse(bytes, limits, &mut requests).expect("well formed");
    requests
}

fn shown(bytes: &mut &[u8]) -> String {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
    let kind = bytes[0];
    *bytes = &bytes[end + 2..];
    let count = || line.parse::<i64>().expect("a count");
    match kind {
        b'$' | b'*' | b'_' if kind == b'_' || count() < 0 => "nil".to_owned(),
        b'$' => {
            let (text, rest) = bytes.split_at(usize::try_from(count()).expect("a length"));
            *bytes = &rest[2..];
            format!("\"{}\"", text.escape_ascii())
        }
        b'*' => {
            let items: Vec<String> = (0..count()).map(|_| shown(bytes)).collect();
            format!("[{}]", items.join(" "))
        }
        _ => line,
    }
}
