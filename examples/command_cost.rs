//! What one SET or GET costs inside the node: parsed requests in, replies and log bytes out, no sockets.
//!
//! `cargo run --release --example command_cost` prints nanoseconds per command for 100,000 keys of 16 bytes with values of
//! 64, in batches of 16 requests, the clock read as a server reads it. Parsing is measured beside it.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use highwater::clock::{self, SystemClock};
use highwater::config::Config;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::Node;
use highwater::resp::inline::encode;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;
use highwater::state::run::Run;

const KEYS: u64 = 100_000;
const BATCH: usize = 16;
const BATCHES: usize = 100_000;
const ROUNDS: usize = 5;

fn main() {
    let keyspace = Keyspace::new(16, HashKey::from_seed(1), 1);
    let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
    let mut node = Node::new(Config::default(), keyspace, run, clock::now());
    node.state.stream.recording = true;
    let peer = Peer { loopback: true, ..Peer::default() };
    let client = node.connect(peer, clock::now()).expect("there is room");
    let value = [b'v'; 64];
    let set = |key: &[u8]| encode(&[b"SET", key, &value]);
    let get = |key: &[u8]| encode(&[b"GET", key]);
    let incr = |key: &[u8]| encode(&[&b"INCR"[..], &[b"n", key].concat()]);
    measure("fill", &mut node, client, 1, |index| set(&key_of(index)));
    for _ in 0..ROUNDS {
        measure("SET", &mut node, client, 7919, |index| set(&key_of(index)));
        measure("GET", &mut node, client, 7919, |index| get(&key_of(index)));
        measure("INCR", &mut node, client, 7919, |index| incr(&key_of(index)));
    }
}

fn key_of(index: u64) -> Vec<u8> {
    format!("key:{:012}", index % KEYS).into_bytes()
}

/// Runs batches of what `request` makes, whose indexes are `stride` apart, and prints the mean cost of one command.
fn measure(
    name: &str,
    node: &mut Node,
    client: ClientId,
    stride: u64,
    request: impl Fn(u64) -> Vec<u8>,
) {
    let mut index = 0;
    let batches: Vec<Vec<u8>> = std::iter::repeat_with(|| {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            batch.extend(request(index));
            index += stride;
        }
        batch
    })
    .take(BATCHES.div_ceil(10))
    .collect();
    let mut out = Vec::with_capacity(1 << 16);
    let mut requests = Requests::default();
    let (mut parsing_us, mut running_us, mut count) = (0, 0, 0u64);
    for batch in batches.iter().cycle().take(BATCHES) {
        let start = clock::mono_us();
        requests.clear();
        let limits = RequestLimits::default();
        RequestParser::default().parse(batch, limits, &mut requests).expect("well formed");
        let parsed = clock::mono_us();
        out.clear();
        let outcome = node.execute(client, (&requests, batch), 0, &mut out, &mut SystemClock);
        node.state.stream.pending.clear();
        running_us += clock::mono_us() - parsed;
        parsing_us += parsed - start;
        count += u64::try_from(outcome.executed).expect("a small number");
    }
    let (run_ns, parse_ns) = (running_us * 1000 / count, parsing_us * 1000 / count);
    println!("{name:5} {run_ns:4} ns to run, {parse_ns:3} ns to parse");
}
