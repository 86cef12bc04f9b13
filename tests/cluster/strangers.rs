//! Strangers on the bus port: whatever they send, and whatever they do not read, the node goes on and does not grow.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use highwater::clock::mono_us;

use crate::member::ports::BUS;
use crate::member::{Kind, Member};
use crate::peer::words;
use crate::server::wait_for;
use crate::shards::Shards;

/// Length of a packet without anything behind its header.
const HEADER_BYTES: usize = 2256;
const PING: u16 = 0;
const PUBLISH: u16 = 4;

/// The start of a packet from a node that nobody knows.
fn header(kind: u16, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..4].copy_from_slice(b"RCmb");
    bytes[4..8].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    bytes[9] = 1;
    bytes[12..14].copy_from_slice(&kind.to_be_bytes());
    bytes[40..80].fill(b'f');
    bytes
}

fn connect(member: &Member) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", member.port + BUS)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn start() -> Member {
    Member::start(Kind::Ours, &["--cluster-node-timeout", "1000"])
}

/// Bytes of memory that the process has in use.
fn memory(member: &Member) -> u64 {
    let path = format!("/proc/{}/status", member.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn sockets(member: &Member) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", member.pid())).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// Whether the other side has closed: what it had sent before is read away.
fn has_ended(stream: &mut TcpStream) -> bool {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Sends pings until `count` have left or nobody takes them any more; how many bytes have left.
fn ping(stream: &mut TcpStream, count: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let ping = header(PING, HEADER_BYTES);
    let (mut sent, mut stuck) = (0, 0);
    while sent < count * HEADER_BYTES && stuck < 200 {
        match stream.write(&ping[sent % HEADER_BYTES..]) {
            Ok(written) => (sent, stuck) = (sent + written, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stuck += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

#[test]
fn who_asks_and_does_not_read_is_not_answered_for_ever() {
    const PINGS: usize = 40_000;
    let member = start();
    let before = memory(&member);
    let mut stream = connect(&member);
    let sent = ping(&mut stream, PINGS);
    assert!(sent < PINGS * HEADER_BYTES, "it took {sent} bytes");
    let grown = memory(&member).saturating_sub(before);
    assert!(grown < 24 << 20, "it grew by {grown} bytes");
    // Whoever reads is answered again: more than the kernel and the node had in stock.
    let mut read = 0;
    let mut bytes = vec![0; 1 << 16];
    while read < sent - 2 * HEADER_BYTES {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "it ended after {read} of {sent} bytes");
        read += count;
    }
    assert!(has_ended(&mut stream), "it has said nothing that makes it known");
    assert_eq!(member.ask("PING"), "+PONG\r\n");
    assert_eq!(member.cluster_info("cluster_known_nodes"), "1");
}

#[test]
fn a_long_packet_from_nobody_is_not_waited_for() {
    let member = start();
    let before = memory(&member);
    for _ in 0..20 {
        let mut stream = connect(&member);
        stream.write_all(&header(PUBLISH, 500 << 20)).unwrap();
        assert!(has_ended(&mut stream));
    }
    let grown = memory(&member).saturating_sub(before);
    assert!(grown < 8 << 20, "it grew by {grown} bytes");
    for _ in 0..50 {
        let mut stream = connect(&member);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(has_ended(&mut stream));
    }
    assert_eq!(member.said().matches("Bad message received from Cluster bus").count(), 1);
}

#[test]
fn strangers_are_no_more_than_a_thousand_and_do_not_stay() {
    const MANY: usize = 1_100;
    const MOST: usize = 1_000;
    let member = start();
    let before = sockets(&member);
    let began_us = mono_us();
    let streams: Vec<TcpStream> = (0..MANY).map(|_| connect(&member)).collect();
    let is_refused = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!((&mut &**stream).read(&mut [0]), Ok(0))
    };
    wait_for("a refusal of the surplus", || {
        (streams.iter().filter(is_refused).count() >= MANY - MOST).then_some(())
    });
    assert!(sockets(&member) <= before + MOST + 10);
    if mono_us() - began_us < 8_000_000 {
        assert_eq!(streams.iter().filter(is_refused).count(), MANY - MOST);
    }
    assert_eq!(member.ask("SET key value"), "-CLUSTERDOWN Hash slot not served\r\n");
    wait_for("the end of all", || (sockets(&member) <= before + 10).then_some(()));
    // The last ten of them may end a moment later.
    wait_for("an end that each sees", || {
        streams.iter().all(|stream| is_refused(&stream)).then_some(())
    });
    let said = member.said();
    let refusals = said.matches("too many connections on the cluster bus").count();
    assert!((1..=3).contains(&refusals), "{refusals}");
}

#[test]
fn clients_and_connections_of_the_bus_are_counted_together() {
    let shards = Shards::make(&[Kind::Ours; 3], 0, &[]);
    let member = &shards.members[0];
    assert_eq!(member.info("cluster_connections"), "4");
    assert_eq!(member.ask("CONFIG SET maxclients 6"), "+OK\r\n");
    let (mut first, mut second) = (member.client(), member.client());
    assert_eq!(first.run(&[words("PING")]), [b"+PONG\r\n"]);
    let told = wait_for("a refusal", || {
        // Clients of before may still be counted.
        second.send(b"PING\r\n").ok()?;
        match second.reply() {
            Ok(reply) if reply == b"+PONG\r\n" => {
                let mut third = member.client();
                third.send(b"PING\r\n").ok();
                third.reply().ok()
            }
            Ok(reply) => Some(reply),
            Err(_) => None,
        }
    });
    let told = String::from_utf8_lossy(&told);
    assert_eq!(told, "-ERR max number of clients + cluster connections reached\r\n");
}

#[test]
fn a_long_message_crosses_the_bus_in_a_moment() {
    // Listeners may have as much as 32 MiB wait for them.
    const BYTES: usize = 31 << 20;
    let shards = Shards::make(&[Kind::Ours; 3], 0, &[]);
    let mut listener = shards.members[1].client();
    listener.run(&[words("SUBSCRIBE news")]);
    let mut speaker = shards.members[0].client();
    let message = vec![b'x'; BYTES];
    let began_us = mono_us();
    speaker.run(&[vec![b"PUBLISH".to_vec(), b"news".to_vec(), message]]);
    let told = listener.reply().unwrap();
    let took_us = mono_us() - began_us;
    assert!(told.len() > BYTES);
    assert!(took_us < 5_000_000, "it took {took_us} microseconds");
    shards.heal();
}
