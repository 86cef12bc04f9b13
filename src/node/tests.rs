//! A node without sockets: requests in, replies as bytes, and the log they leave.

use super::dispatch::Status;
use super::*;
use crate::clock::ManualClock;
use crate::keyspace::HashKey;
use crate::resp::inline::encode;
use crate::resp::{RequestLimits, RequestParser, Requests};

/// A node and one client, with a clock that stands still.
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) client: ClientId,
    pub(crate) clock: ManualClock,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut clock = ManualClock::default();
        clock.advance_ms(1_000_000_000);
        let keyspace = Keyspace::new(16, HashKey::from_seed(1), 1);
        let mut config = Config::default();
        config.values_mut().enable_debug_command = crate::config::choices::ProtectedAction::Yes;
        let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
        let mut node = Node::new(config, keyspace, run, clock.0);
        node.state.stream.recording = true;
        let peer = Peer { loopback: true, ..Peer::default() };
        let client = node.connect(peer, clock.0).expect("there is room");
        Self { node, client, clock }
    }

    /// Runs requests, each a line of words, and returns the replies as text.
    pub(crate) fn run(&mut self, lines: &str) -> String {
        let mut bytes = Vec::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words = crate::resp::inline::split_words(line.as_bytes()).expect("balanced");
            bytes.extend(encode(&words));
        }
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("well formed");
        let mut out = Vec::new();
        let batch = (&requests, &bytes[..]);
        let mut done = 0;
        // Some requests end a batch: the next begins behind them.
        loop {
            let outcome = self.node.execute(self.client, batch, done, &mut out, &mut self.clock);
            done += outcome.executed;
            if done == requests.len() || outcome.executed == 0 || outcome.status != Status::Go {
                break;
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Ticks, and spends the tick's time on expired keys. Whether more are due.
    pub(crate) fn expire(&mut self) -> bool {
        self.node.tick(self.clock.0);
        self.node.expire_slice(&mut self.clock)
    }

    /// Takes what the log got, as words.
    pub(crate) fn log(&mut self) -> String {
        let bytes = std::mem::take(&mut self.node.state.stream.pending);
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("a log of requests");
        let words = |index: usize| -> Vec<String> {
            let args = requests.get(index, &bytes);
            args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
        };
        (0..requests.len()).map(|index| words(index).join(" ")).collect::<Vec<_>>().join("\n")
    }
}

fn check(lines: &str, replies: &str, log: &str) {
    let mut bench = Bench::new();
    assert_eq!(bench.run(lines), replies, "replies to {lines}");
    assert_eq!(bench.log(), log, "log of {lines}");
}

#[test]
fn a_write_is_its_own_effect_and_selects_its_database_once() {
    check("set k v\nset k w\nget k", "+OK\r\n+OK\r\n$1\r\nw\r\n", "SELECT 0\nset k v\nset k w");
    check("select 3\nset k v", "+OK\r\n+OK\r\n", "SELECT 3\nset k v");
}

#[test]
fn reads_and_errors_leave_no_trace_in_the_log() {
    check(
        "get k\nset k\nnosuch",
        "$-1\r\n-ERR wrong number of arguments for 'set' command\r\n-ERR unknown command 'nosuch', with args beginning with: \r\n",
        "",
    );
}

#[test]
fn a_transaction_is_wrapped_with_its_select_inside() {
    check(
        "multi\nset a 1\nset b 2\nexec",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n",
        "MULTI\nSELECT 0\nset a 1\nset b 2\nEXEC",
    );
    check(
        "multi\nset a 1\nget a\nexec",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n",
        "SELECT 0\nset a 1",
    );
}

#[test]
fn a_refused_command_spoils_its_transaction() {
    check(
        "multi\nset a\nset a 1\nexec\nget a",
        "+OK\r\n-ERR wrong number of arguments for 'set' command\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n",
        "",
    );
}

#[test]
fn a_changed_watched_key_fails_the_transaction() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("watch k\nset k 1"), "+OK\r\n+OK\r\n");
    assert_eq!(bench.run("multi\nset k 2\nexec"), "+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(bench.run("get k"), "$1\r\n1\r\n");
}

#[test]
fn a_watch_sees_the_writes_of_its_own_pipeline_and_ends_with_the_transaction() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.run("watch k\nset k 1\nmulti\nincr k\nexec"),
        "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n"
    );
    assert_eq!(
        bench.run("watch k\nset k 1\nunwatch\nwatch other\nmulti\nping\nexec"),
        "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n"
    );
}

#[test]
fn replies_wait_for_what_they_show() {
    let mut bench = Bench::new();
    let bytes = encode(&["get", "k"]);
    bench.run("set k v");
    let end = bench.node.state.stream.end;
    let mut requests = Requests::default();
    RequestParser::default().parse(&bytes, RequestLimits::default(), &mut requests).unwrap();
    let mut out = Vec::new();
    let id = bench.client;
    let held = bench.node.execute(id, (&requests, &bytes), 0, &mut out, &mut bench.clock);
    assert!(held.hold > 0 && held.hold <= end, "the read waits for the write it shows");
    let bytes = encode(&["get", "other-key-in-another-slot"]);
    requests.clear();
    RequestParser::default().parse(&bytes, RequestLimits::default(), &mut requests).unwrap();
    let free = bench.node.execute(id, (&requests, &bytes), 0, &mut out, &mut bench.clock);
    assert_eq!(free.hold, 0, "a read of an untouched slot waits for nothing");
}

#[test]
fn an_exec_that_is_refused_ends_its_transaction() {
    let mut bench = Bench::new();
    bench.run("watch k\nmulti\nset k 1");
    bench.node.state.persistence.log_error = Some("no space".to_owned());
    assert_eq!(
        bench.run("exec"),
        "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file: no space\r\n"
    );
    bench.node.state.persistence.log_error = None;
    assert_eq!(bench.run("get k\nexec"), "$-1\r\n-ERR EXEC without MULTI\r\n");
    assert_eq!(
        bench.run("multi\nexec x\nget k"),
        "+OK\r\n-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n$-1\r\n"
    );
}

#[test]
fn a_queue_does_not_run_while_data_are_loaded() {
    let mut bench = Bench::new();
    bench.run("multi\nset k 1");
    let loading = crate::state::persistence::Loading {
        started_s: 0,
        total_bytes: 1,
        loaded_bytes: 0,
        serves: false,
    };
    bench.node.state.persistence.loading = Some(loading);
    let replies = bench.run("exec");
    assert!(replies.starts_with("-EXECABORT") && replies.contains("LOADING"), "{replies}");
    assert_eq!(bench.log(), "");
}

#[test]
fn writes_wait_while_the_last_snapshot_is_written() {
    let mut bench = Bench::new();
    bench.node.state.stopping = true;
    assert_eq!(bench.run("get k\nset k 1\nget k"), "$-1\r\n", "the write and what follows wait");
    bench.node.state.stopping = false;
    bench.node.state.resume_paused();
    assert_eq!(bench.run("set k 1\nget k"), "+OK\r\n$1\r\n1\r\n");
}
