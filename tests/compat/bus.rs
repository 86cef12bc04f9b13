//! A stock node among packets of ours: it takes us for a member of its cluster, believes what we tell it, and what it says
//! is understood.
//!
//! No node of ours is running here: the test says each word itself. Behind each packet a PING goes over the same connection,
//! and its PONG tells that the packet was looked at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use highwater::cluster::packet::{Header, Heartbeat, Ports, flags};
use highwater::cluster::wire::{Decoded, HEADER_BYTES, decode, encode, frame_length};
use highwater::cluster::{Body, Epoch, Extension, Gossip, Host, NodeId, Packet, SlotSet};
use highwater::keyspace::Slot;

use crate::peer::{Client, Stock, bulk, words};

fn id(digit: u8) -> NodeId {
    NodeId::new(&[digit; NodeId::BYTES]).expect("digits")
}

fn slots(numbers: &[u16]) -> Arc<SlotSet> {
    Arc::new(numbers.iter().map(|number| Slot::new(*number).expect("a slot")).collect())
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a loopback port")
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

/// One connection of the bus.
struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Link {
    fn over(stream: TcpStream) -> Link {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an open socket");
        Link { stream, buffer: Vec::new() }
    }

    fn send(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        encode(packet, &mut bytes);
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("stock reads");
    }

    /// The next packet, which has to be one that is understood; `None` where the link was closed.
    fn next(&mut self) -> Option<(Header, Body)> {
        loop {
            if let Some(length) = frame_length(&self.buffer).expect("a packet")
                && self.buffer.len() >= length
            {
                let bytes: Vec<u8> = self.buffer.drain(..length).collect();
                let Ok(Decoded::Packet(packet)) = decode(&bytes) else {
                    panic!("not understood: {}", bytes.escape_ascii())
                };
                return Some((*packet.header.expect("7.0 has no others"), packet.body));
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                // What was still on its way to it may turn the end into an error.
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits for a packet of some kind; others are passed over.
    fn wait_for<T>(&mut self, wanted: impl Fn(&Header, &Body) -> Option<T>) -> T {
        loop {
            let (header, body) = self.next().expect("stock keeps the link");
            if let Some(found) = wanted(&header, &body) {
                return found;
            }
        }
    }
}

fn heartbeat(kind: Heartbeat, gossip: Vec<Gossip>, extensions: Vec<Extension>) -> Body {
    Body::Heartbeat { kind, gossip, extensions }
}

fn is_pong(_: &Header, body: &Body) -> Option<()> {
    matches!(body, Body::Heartbeat { kind: Heartbeat::Pong, .. }).then_some(())
}

/// A stock node, and us.
struct Pair {
    stock: Stock,
    header: Header,
    /// From us to it.
    ours: Link,
    /// From it to us.
    theirs: Link,
}

impl Pair {
    /// Introduces us to a node that is alone.
    fn meet() -> Pair {
        let bus = port(&loopback()).to_string();
        let stock = Stock::start(
            &[
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus],
                ["--cluster-node-timeout", "100000"],
            ]
            .concat(),
        );
        let listener = loopback();
        let header = Header {
            current_epoch: Epoch(5),
            config_epoch: Epoch(5),
            offset: 0,
            sender: id(b'e'),
            slots: slots(&[]),
            primary: None,
            ip: Host::UNKNOWN,
            ports: Ports { client: 7000, other: 0, bus: port(&listener) },
            flags: flags::PRIMARY | flags::MYSELF,
            is_down: false,
            is_paused: false,
            forces_ack: false,
            steps_back: false,
            hides_offset: false,
            has_extensions: true,
        };
        let packet = |kind| {
            let body = heartbeat(kind, Vec::new(), Vec::new());
            Packet { header: Some(Box::new(header.clone())), body }
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{bus}")).expect("the bus is there");
        let mut ours = Link::over(stream);
        ours.send(&packet(Heartbeat::Meet));
        ours.wait_for(is_pong);
        let mut theirs = Link::over(listener.accept().expect("stock comes").0);
        theirs.wait_for(|_, body| {
            matches!(body, Body::Heartbeat { kind: Heartbeat::Ping, .. }).then_some(())
        });
        theirs.send(&packet(Heartbeat::Pong));
        let mut pair = Pair { stock, header, ours, theirs };
        while !pair.ask("CLUSTER NODES").contains(id(b'e').as_str()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        pair
    }

    fn packet(&self, body: Body) -> Packet {
        Packet { header: Some(Box::new(self.header.clone())), body }
    }

    /// Sends a packet and waits until it was looked at.
    fn tell(&mut self, body: Body) {
        self.ours.send(&self.packet(body));
        self.ours.send(&self.packet(heartbeat(Heartbeat::Ping, Vec::new(), Vec::new())));
        self.ours.wait_for(is_pong);
    }

    fn ask(&mut self, request: &str) -> String {
        let reply = self.stock.run(&[words(request)]).remove(0);
        String::from_utf8(bulk(&reply).to_vec()).expect("it is text")
    }

    fn run(&mut self, request: &str) {
        let reply = self.stock.run(&[words(request)]).remove(0);
        assert_ne!(reply[0], b'-', "{}", reply.escape_ascii());
    }

    /// What stock says of a node.
    fn line(&mut self, node: NodeId) -> String {
        let nodes = self.ask("CLUSTER NODES");
        let line = nodes.lines().find(|line| line.starts_with(node.as_str()));
        line.unwrap_or_else(|| panic!("{node} is not known: {nodes}")).to_owned()
    }
}

fn third() -> Gossip {
    Gossip {
        id: id(b'f'),
        ping_sent_s: 0,
        pong_received_s: 0,
        ip: Host::new("127.0.0.1").expect("an address"),
        ports: Ports { client: 1, other: 0, bus: 2 },
        flags: flags::PRIMARY,
    }
}

#[test]
fn stock_believes_heartbeats_and_news() {
    let mut pair = Pair::meet();
    pair.header.slots = slots(&[100, 101, 16383]);
    // The last PING decides about the host name, so this one has none behind it.
    let extensions = vec![
        Extension::Hostname("member.example".to_owned()),
        Extension::Nodename("member".to_owned()),
        Extension::Shard(id(b'd')),
    ];
    let ping = pair.packet(heartbeat(Heartbeat::Ping, vec![third()], extensions));
    pair.ours.send(&ping);
    pair.ours.wait_for(is_pong);
    let us = pair.line(id(b'e'));
    assert!(us.contains(",member.example master - ") && us.ends_with(" 100-101 16383"), "{us}");
    let bus = pair.header.ports.bus;
    assert!(us.contains(&format!("127.0.0.1:7000@{bus}")), "{us}");
    let other = pair.line(id(b'f'));
    assert!(other.contains(" 127.0.0.1:1@2 master - "), "{other}");

    let update =
        Body::Update { config_epoch: Epoch(9), owner: id(b'f'), slots: slots(&[300, 302]) };
    pair.tell(update);
    assert!(pair.line(id(b'f')).ends_with(" 9 disconnected 300 302"));
    pair.tell(Body::Fail(id(b'f')));
    assert!(pair.line(id(b'f')).contains(" master,fail - "));
}

#[test]
fn messages_go_both_ways() {
    let mut pair = Pair::meet();
    let mut listener = Client::connect(pair.stock.port).expect("stock listens");
    listener.run(&[words("SUBSCRIBE news")]);
    let message: Arc<[u8]> = b"a\0b".as_slice().into();
    let channel: Arc<[u8]> = b"news".as_slice().into();
    pair.tell(Body::Publish { sharded: false, channel, message });
    let heard = listener.reply().expect("a message");
    assert_eq!(heard, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\na\0b\r\n");
    pair.run("PUBLISH answers yes");
    pair.theirs.wait_for(|_, body| match body {
        Body::Publish { sharded: false, channel, message } => {
            assert_eq!((&channel[..], &message[..]), (&b"answers"[..], &b"yes"[..]));
            Some(())
        }
        _ => None,
    });
}

#[test]
fn stock_votes_for_us() {
    let mut pair = Pair::meet();
    pair.run("CLUSTER ADDSLOTS 0");
    pair.tell(heartbeat(Heartbeat::Ping, vec![third()], Vec::new()));
    pair.tell(Body::Update { config_epoch: Epoch(9), owner: id(b'f'), slots: slots(&[300]) });
    pair.tell(Body::Fail(id(b'f')));
    pair.header = Header {
        primary: Some(id(b'f')),
        slots: slots(&[300]),
        config_epoch: Epoch(9),
        flags: flags::REPLICA | flags::MYSELF,
        ..pair.header.clone()
    };
    pair.tell(heartbeat(Heartbeat::Pong, Vec::new(), Vec::new()));
    assert!(pair.line(id(b'e')).contains(&format!(" slave {} ", id(b'f').as_str())));
    pair.header.current_epoch = Epoch(10);
    pair.tell(Body::VoteRequest);
    let epoch = pair.theirs.wait_for(|header, body| {
        matches!(body, Body::Vote).then(|| {
            assert_eq!(header.slots, slots(&[0]));
            header.current_epoch
        })
    });
    assert_eq!(epoch, Epoch(10));
}

/// The same packets that [`decode`] drops or refuses.
#[test]
fn stock_drops_packets_and_closes_links_where_we_do() {
    let mut pair = Pair::meet();
    let mut vote = Vec::new();
    encode(&pair.packet(Body::Vote), &mut vote);
    let changed = |at: usize, others: &[u8]| {
        let mut bytes = vote.clone();
        bytes[at..at + others.len()].copy_from_slice(others);
        bytes
    };
    let mut longer = changed(4, &[0, 0, 8, 0xd8]);
    longer.extend([0; 8]);
    // Another version, an unknown type, a length that is not the type's, gossip that is not there.
    let dropped = [changed(8, &[0, 2]), changed(12, &[0, 77]), longer, changed(12, &[0, 0, 0, 1])];
    for bytes in dropped {
        assert!(decode(&bytes).is_ok());
        pair.ours.send_bytes(&bytes);
        pair.tell(Body::Vote);
    }
    let closing = [changed(0, b"RCmc"), changed(4, &[0, 0, 8, 0xcf])];
    let bus = pair.ours.stream.peer_addr().expect("it is connected");
    for bytes in closing {
        assert!(frame_length(&bytes).is_err());
        let mut link = Link::over(TcpStream::connect(bus).expect("the bus is there"));
        link.send_bytes(&bytes[..HEADER_BYTES]);
        assert!(link.next().is_none());
    }
    pair.tell(Body::Vote);
}
