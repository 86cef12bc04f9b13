//! A replica that does not read: it costs the primary no more memory than it may.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::node::{Kind, Node};
use crate::server::wait_for;

/// Keys written while nobody reads, and bytes of each: far more than sockets hold.
const KEYS: usize = 400;
const KEY_BYTES: usize = 100_000;

/// More than this is never kept for a replica: backlog, what a connection is about to send, and the data's own growth.
const GROWTH_MAX: u64 = 12 << 20;

/// Asks for the stream, and does not read the answer.
fn silent_replica(node: &Node) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"PSYNC ? -1\r\n").unwrap();
    wait_for("a replica", || (node.info("connected_slaves") == "1").then_some(()));
    stream
}

/// Writes the same key again and again, so that only the stream grows.
fn write(node: &Node) -> u64 {
    let (_, from) = node.position();
    node.fill("key", 1, KEY_BYTES);
    let before = node.count("used_memory");
    let mut peak = before;
    for _ in 0..KEYS {
        node.fill("key", 1, KEY_BYTES);
        peak = peak.max(node.count("used_memory"));
    }
    assert!(node.position().1 - from > (KEYS * KEY_BYTES) as u64);
    peak - before
}

/// With the log on it is served from the files when it reads at last.
#[test]
fn a_slow_replica_is_served_from_disk_later() {
    let settings = ["--appendonly", "yes", "--repl-backlog-size", "1mb"];
    let node = Node::start(Kind::Ours, None, &settings);
    let mut replica = silent_replica(&node);
    let grown = write(&node);
    assert!(grown < GROWTH_MAX, "{grown} bytes of memory for a replica that does not read");
    let (_, end) = node.position();
    let (mut received, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    let header = format!("+FULLRESYNC {} ", node.info("master_replid"));
    // The snapshot of a log that began empty, and then the whole stream.
    while (received.len() as u64) < end {
        let count = replica.read(&mut piece).unwrap();
        assert!(count > 0, "the connection is gone at byte {} of {end}", received.len());
        received.extend_from_slice(&piece[..count]);
    }
    assert!(received.starts_with(header.as_bytes()));
    assert!(node.count("repl_stream_bytes_from_disk") > end / 2);
}

/// With the log off there is nothing to serve it from.
#[test]
fn without_a_log_a_slow_replica_is_cut_off() {
    let limits = ["--client-output-buffer-limit", "replica 2mb 0 0", "--repl-backlog-size", "1mb"];
    let node = Node::start(Kind::Ours, None, &[&["--appendonly", "no"], &limits[..]].concat());
    let replica = silent_replica(&node);
    let grown = write(&node);
    assert!(grown < GROWTH_MAX, "{grown} bytes of memory for a replica that does not read");
    wait_for("its end", || (node.info("connected_slaves") == "0").then_some(()));
    assert!(node.said().contains("too far behind"), "the log says why");
    drop(replica);
}
