//! Packets of the cluster bus, one of each type.

use std::sync::Arc;

use highwater::cluster::packet::{Header, Heartbeat, Ports};
use highwater::cluster::wire::encode;
use highwater::cluster::{Body, Epoch, Extension, Gossip, Host, NodeId, Packet};

use super::Seed;

fn id(digit: u8) -> NodeId {
    NodeId::new(&[digit; NodeId::BYTES]).unwrap()
}

fn bytes(body: Body) -> Vec<u8> {
    let header = Header {
        current_epoch: Epoch(7),
        config_epoch: Epoch(6),
        offset: 1000,
        sender: id(b'a'),
        slots: Arc::default(),
        primary: None,
        ip: Host::new("10.0.0.1").unwrap(),
        ports: Ports { client: 7000, other: 0, bus: 17000 },
        flags: 17,
        is_down: false,
        is_paused: false,
        forces_ack: false,
        steps_back: false,
        hides_offset: false,
        has_extensions: true,
    };
    let mut out = Vec::new();
    encode(&Packet { header: Some(Box::new(header)), body }, &mut out);
    out
}

fn heartbeat() -> Body {
    let node = Gossip {
        id: id(b'b'),
        ping_sent_s: 0,
        pong_received_s: 1_700_000_000,
        ip: Host::new("::1").unwrap(),
        ports: Ports { client: 7001, other: 7101, bus: 17001 },
        flags: 2,
    };
    let extensions = vec![
        Extension::Hostname("a.example".to_owned()),
        Extension::Nodename("node_a".to_owned()),
        Extension::Forgotten { id: id(b'c'), ttl_s: 60 },
        Extension::Unknown(9),
        Extension::Shard(id(b'd')),
    ];
    Body::Heartbeat { kind: Heartbeat::Ping, gossip: vec![node, node], extensions }
}

pub(super) fn made() -> Vec<Seed> {
    let publish = |sharded| Body::Publish {
        sharded,
        channel: b"channel".as_slice().into(),
        message: b"a message".as_slice().into(),
    };
    let mut seeds: Vec<Seed> = [
        ("ping", heartbeat()),
        ("fail", Body::Fail(id(b'e'))),
        ("publish", publish(false)),
        ("publish-shard", publish(true)),
        ("vote-request", Body::VoteRequest),
        ("update", Body::Update { config_epoch: Epoch(8), owner: id(b'f'), slots: Arc::default() }),
        ("module", Body::Module),
        ("unknown", Body::Unknown(99)),
    ]
    .into_iter()
    .map(|(name, body)| (name.to_owned(), bytes(body)))
    .collect();
    let light = b"RCmb\0\0\0\x23\0\x01\0\0\x80\x04\0\0\0\0\0\x07\0\0\0\x04channeltext";
    seeds.push(("light".to_owned(), light.to_vec()));
    seeds
}
