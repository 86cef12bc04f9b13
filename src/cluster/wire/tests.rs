//! Bytes where the specification has them, packets that come back, and what stock answered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::cluster::packet::{Body, Extension, Gossip, Header, Heartbeat, Ports};
use crate::cluster::{Epoch, Host};
use crate::keyspace::Slot;

fn id(digit: u8) -> NodeId {
    NodeId::new(&[digit; NodeId::BYTES]).unwrap()
}

fn slots(numbers: &[u16]) -> Arc<SlotSet> {
    Arc::new(numbers.iter().map(|number| Slot::new(*number).unwrap()).collect())
}

fn header() -> Header {
    Header {
        current_epoch: Epoch(0x0102),
        config_epoch: Epoch(0x0304),
        offset: 0x0506_0708,
        sender: id(b'a'),
        slots: slots(&[0, 9, 16383]),
        primary: Some(id(b'b')),
        ip: Host::new("10.0.0.1").unwrap(),
        ports: Ports { client: 7950, other: 7951, bus: 17950 },
        flags: 0x0011,
        is_down: true,
        is_paused: true,
        forces_ack: true,
        steps_back: true,
        hides_offset: true,
        has_extensions: true,
    }
}

fn gossip() -> Gossip {
    Gossip {
        id: id(b'c'),
        ping_sent_s: 1,
        pong_received_s: 0x6000_0000,
        ip: Host::new("::1").unwrap(),
        ports: Ports { client: 1, other: 3, bus: 2 },
        flags: 0x0102,
    }
}

fn packet(body: Body) -> Packet {
    Packet { header: Some(Box::new(header())), body }
}

fn ping(gossip: Vec<Gossip>, extensions: Vec<Extension>) -> Packet {
    packet(Body::Heartbeat { kind: Heartbeat::Ping, gossip, extensions })
}

fn publish(sharded: bool, channel: &[u8], message: &[u8]) -> Body {
    Body::Publish { sharded, channel: channel.into(), message: message.into() }
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, &mut out);
    out
}

fn good(bytes: &[u8]) -> Packet {
    match decode(bytes) {
        Ok(Decoded::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn dropped(bytes: &[u8]) -> Dropped {
    match decode(bytes) {
        Ok(Decoded::Dropped { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

/// `bytes` with others at `at`, and the length they have now.
fn changed(mut bytes: Vec<u8>, at: usize, others: &[u8]) -> Vec<u8> {
    bytes[at..at + others.len()].copy_from_slice(others);
    with_length(bytes)
}

fn with_length(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn fields_of_the_header_stand_where_stock_has_them() {
    let bytes = bytes(&ping(vec![gossip()], vec![Extension::Shard(id(b'd'))]));
    let field = |at: usize, length: usize| &bytes[at..at + length];
    assert_eq!(bytes.len(), 2256 + 104 + 48);
    assert_eq!(field(0, 8), b"RCmb\0\0\x09\x68");
    assert_eq!(field(8, 8), [0, 1, 0x1f, 0x0e, 0, 0, 0, 1]);
    assert_eq!(field(16, 16), [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4]);
    assert_eq!(field(32, 8), [0, 0, 0, 0, 5, 6, 7, 8]);
    assert_eq!(field(40, 40), [b'a'; 40]);
    assert_eq!((field(80, 2), field(2126, 2)), (&[1, 2][..], &[0, 0x80][..]));
    assert_eq!(field(2128, 40), [b'b'; 40]);
    assert_eq!((field(2168, 10), field(2178, 36)), (&b"10.0.0.1\0\0"[..], &[0; 36][..]));
    assert_eq!((field(2214, 2), field(2216, 30)), (&[0, 1][..], &[0; 30][..]));
    assert_eq!(field(2246, 4), [0x1f, 0x0f, 0x46, 0x1e]);
    assert_eq!(field(2250, 6), [0, 0x11, 1, 7, 3, 0]);
}

#[test]
fn gossip_and_extensions_stand_where_stock_has_them() {
    let extensions = vec![
        Extension::Hostname("node-1".to_owned()),
        Extension::Nodename("sevenby".to_owned()),
        Extension::Forgotten { id: id(b'e'), ttl_s: 60 },
        Extension::Shard(id(b'd')),
    ];
    let bytes = bytes(&ping(vec![gossip()], extensions));
    let node = &bytes[2256..2360];
    assert_eq!(node[..48], [&[b'c'; 40][..], &[0, 0, 0, 1, 0x60, 0, 0, 0]].concat());
    assert_eq!(node[48..94], [&b"::1"[..], &[0; 43]].concat());
    assert_eq!(node[94..], [0, 1, 0, 2, 1, 2, 0, 3, 0, 0]);
    let behind = &bytes[2360..];
    assert_eq!(behind.len(), 16 + 16 + 56 + 48);
    assert_eq!(&behind[..16], b"\0\0\0\x10\0\0\0\0node-1\0\0");
    assert_eq!(&behind[16..32], b"\0\0\0\x10\0\x01\0\0sevenby\0");
    assert_eq!(&behind[32..40], b"\0\0\0\x38\0\x02\0\0");
    assert_eq!(behind[40..88], [&[b'e'; 40][..], &[0, 0, 0, 0, 0, 0, 0, 60]].concat());
    assert_eq!(behind[88..], [&b"\0\0\0\x30\0\x03\0\0"[..], &[b'd'; 40]].concat());
}

#[test]
fn bodies_stand_where_stock_has_them() {
    let check = |body: Body, kind: u8, behind: &[u8]| {
        let bytes = bytes(&packet(body));
        assert_eq!((bytes[12], bytes[13]), (0, kind));
        assert_eq!(&bytes[2256..], behind);
    };
    check(Body::Fail(id(b'f')), 3, &[b'f'; 40]);
    check(publish(false, b"ab", b"xyz"), 4, b"\0\0\0\x02\0\0\0\x03abxyz");
    check(Body::VoteRequest, 5, b"");
    check(Body::Vote, 6, b"");
    let update = Body::Update { config_epoch: Epoch(5), owner: id(b'g'), slots: slots(&[8]) };
    let mut expected = [&[0, 0, 0, 0, 0, 0, 0, 5][..], &[b'g'; 40], &[0; 2048]].concat();
    expected[49] = 1;
    check(update, 7, &expected);
    check(Body::ManualFailover, 8, b"");
    check(Body::Module, 9, &[0; 13]);
    check(publish(true, b"", b""), 10, &[0; 8]);
    check(Body::Unknown(11), 11, b"");
}

#[test]
fn lengths_are_found_and_bounded_before_the_packet_is_there() {
    let whole = bytes(&packet(Body::Vote));
    for end in 0..whole.len() {
        let expected = if end < 16 { None } else { Some(2256) };
        assert_eq!(frame_length(&whole[..end]), Ok(expected), "{end} bytes");
    }
    let check = |kind: u16, length: u32| {
        let bytes = changed(whole.clone(), 12, &kind.to_be_bytes());
        let mut start = bytes[..16].to_vec();
        start[4..8].copy_from_slice(&length.to_be_bytes());
        frame_length(&start)
    };
    assert_eq!(frame_length(b"RCmc\0\0\x08\xd0"), Err(WireError::Signature(*b"RCmc")));
    assert_eq!(frame_length(b"RCmb\0\0\0\x0f"), Err(WireError::TooShort(15)));
    assert_eq!(check(0, 2255), Err(WireError::TooShort(2255)));
    assert_eq!(check(0x8004, 2255), Ok(Some(2255)));
    assert_eq!(check(0x800a, 16), Ok(Some(16)));
    assert_eq!(check(0x8000, 2255), Err(WireError::TooShort(2255)));
    let publish_max = u32::try_from(PUBLISH_BYTES_MAX).unwrap() + 8;
    for (kind, max) in [
        (0, 2256 + 104 * 65535 + 65536),
        (9, 2256 + 104 * 65535 + 65536),
        (77, 2256 + 104 * 65535 + 65536),
        (4, 2256 + publish_max),
        (10, 2256 + publish_max),
        (0x8004, 16 + publish_max),
    ] {
        assert_eq!(check(kind, max), Ok(Some(max as usize)), "type {kind}");
        assert_eq!(check(kind, max + 1), Err(WireError::TooLong(max + 1)), "type {kind}");
    }
    assert_eq!(decode(&whole[..2000]), Err(WireError::Cut));
    assert_eq!(decode(b"RCmb"), Err(WireError::Cut));
}

#[test]
fn packets_that_are_not_understood_are_dropped() {
    let vote = bytes(&packet(Body::Vote));
    let version = dropped(&changed(vote.clone(), 8, &[0, 2]));
    assert!(version == Dropped::Version(2) && version.is_silent());
    // Of another version, and too long for its type: the version decides.
    let long = with_length([&vote[..], &[0; 8]].concat());
    assert_eq!(dropped(&changed(long.clone(), 8, &[0, 2])), Dropped::Version(2));
    let length = dropped(&long);
    assert_eq!(
        length.to_string(),
        "Received invalid auth-ack packet of length 2264 but expected length 2256"
    );
    let check = |body: Body| {
        let bytes = bytes(&packet(body));
        let cut = with_length(bytes[..bytes.len() - 1].to_vec());
        let expected = bytes.len() as u64;
        assert!(
            matches!(dropped(&cut), Dropped::Length { expected: found, .. } if found == expected)
        );
    };
    check(Body::Fail(id(b'f')));
    check(publish(false, b"ab", b"xyz"));
    check(publish(true, b"", b""));
    check(Body::Module);
    check(Body::Update { config_epoch: Epoch(5), owner: id(b'g'), slots: slots(&[8]) });
    // Lengths whose sum is none that fits.
    let far = changed(bytes(&packet(publish(false, b"", b""))), 2256, &[0xff; 8]);
    let expected = 2256 + 8 + 2 * u64::from(u32::MAX);
    assert_eq!(dropped(&far), Dropped::Length { kind: 4, length: 2264, expected });
    // A count that has nothing behind it.
    let count = dropped(&changed(bytes(&ping(vec![], vec![])), 14, &[0, 2]));
    assert_eq!(count, Dropped::Length { kind: 0, length: 2256, expected: 2464 });
}

#[test]
fn names_and_numbers_out_of_range_drop_the_packet() {
    let vote = bytes(&packet(Body::Vote));
    assert_eq!(dropped(&changed(vote.clone(), 40, b"A")), Dropped::NodeId(6));
    assert_eq!(dropped(&changed(vote.clone(), 2128, &[0])), Dropped::NodeId(6));
    assert_eq!(dropped(&changed(bytes(&packet(Body::Fail(id(b'f')))), 2256, b"-")), {
        Dropped::NodeId(3)
    });
    for at in [16, 24, 32] {
        assert_eq!(dropped(&changed(vote.clone(), at, &[0x80])), Dropped::Number(6));
        assert!(decode(&changed(vote.clone(), at, &[0x7f])).is_ok());
    }
    let update = Body::Update { config_epoch: Epoch(5), owner: id(b'g'), slots: slots(&[8]) };
    assert_eq!(dropped(&changed(bytes(&packet(update)), 2256, &[0xff])), Dropped::Number(7));
    let alone = good(&changed(vote.clone(), 2128, &[0; 40]));
    assert_eq!(alone.header.unwrap().primary, None);
    for text in [&b"10.0.0.1 \0"[..], &[0xff, 0], &[b'1'; 46]] {
        let odd = good(&changed(vote.clone(), 2168, text));
        assert!(odd.header.unwrap().ip.is_unknown());
    }
}

#[test]
fn gossip_with_a_malformed_name_is_left_out_as_a_whole() {
    let two = bytes(&ping(vec![gossip(), gossip()], vec![Extension::Shard(id(b'd'))]));
    let read = good(&changed(two.clone(), 2256 + 104, b"?"));
    assert_eq!(read, ping(vec![], vec![Extension::Shard(id(b'd'))]));
    let Body::Heartbeat { gossip, .. } = good(&changed(two, 2256 + 48, b"[")).body else {
        panic!()
    };
    assert!(gossip[0].ip.is_unknown() && !gossip[1].ip.is_unknown());
}

/// A ping with `extensions` of them, which have these bytes.
fn with_extensions(extensions: u16, behind: &[u8]) -> Vec<u8> {
    let ping = [&bytes(&ping(vec![], vec![]))[..], behind].concat();
    changed(ping, 2214, &extensions.to_be_bytes())
}

#[test]
fn extensions_that_make_no_sense_are_stepped_over() {
    let check = |behind: &[u8], expected: Extension| {
        let behind = [behind, b"\0\0\0\x10\0\0\0\0node-1\0\0"].concat();
        let last = Extension::Hostname("node-1".to_owned());
        assert_eq!(good(&with_extensions(2, &behind)), ping(vec![], vec![expected, last]));
    };
    check(b"\0\0\0\x08\0\x04\0\0", Extension::Unknown(4));
    check(b"\0\0\0\x08\0\0\0\0", Extension::Unknown(0));
    check(b"\0\0\0\x10\0\0\0\0no-end-1", Extension::Unknown(0));
    check(b"\0\0\0\x10\0\0\0\0under_1\0", Extension::Unknown(0));
    check(b"\0\0\0\x10\0\x01\0\0under_1\0", Extension::Nodename("under_1".to_owned()));
    check(b"\0\0\0\x10\0\x01\0\0with /\0\0", Extension::Unknown(1));
    check(&[&b"\0\0\x01\x10\0\x01\0\0"[..], &[b'x'; 256], &[0; 8]].concat(), Extension::Unknown(1));
    check(&[&b"\0\0\0\x30\0\x03\0\0"[..], &[b'X'; 40]].concat(), Extension::Unknown(3));
    check(&[&b"\0\0\0\x38\0\x03\0\0"[..], &[b'a'; 48]].concat(), Extension::Unknown(3));
    check(&[&b"\0\0\0\x38\0\x02\0\0"[..], &[b'a'; 48]].concat(), Extension::Unknown(2));
}

#[test]
fn extensions_of_wrong_length_drop_the_packet() {
    let check = |behind: &[u8], length| {
        let expected = Dropped::Extension { kind: 0, length };
        assert_eq!(dropped(&with_extensions(1, behind)), expected);
    };
    check(b"", 0);
    check(b"\0\0\0\0\0\0\0\0", 0);
    check(b"\0\0\0\x09\0\0\0\0a", 9);
    check(b"\0\0\0\x10\0\0\0\0", 16);
    check(b"\xff\xff\xff\xf8\0\0\0\0", 0xffff_fff8);
    // As much as there is room for, and more.
    let many =
        |number: u16| with_extensions(number, &b"\0\0\0\x08\0\x09\0\0".repeat(number.into()));
    assert_eq!(good(&many(8192)), ping(vec![], vec![Extension::Unknown(9); 8192]));
    assert_eq!(dropped(&many(8193)), Dropped::Extension { kind: 0, length: 8 });
    // Without the flag there are none, whatever the count says.
    let shard = [&b"\0\0\0\x30\0\x03\0\0"[..], &[b'd'; 40]].concat();
    let unflagged = changed(with_extensions(1, &shard), 2253, &[0]);
    let length = Dropped::Length { kind: 0, length: 2256 + 48, expected: 2256 };
    assert_eq!(dropped(&unflagged), length);
    let counted = good(&changed(with_extensions(1, b""), 2253, &[0]));
    assert!(!counted.header.unwrap().has_extensions);
}

#[test]
fn light_packets_are_read() {
    let start = |kind: u8| [&b"RCmb\0\0\0\0\0\x01\0\0\x80"[..], &[kind, 0, 0]].concat();
    let light = |kind, behind: &[u8]| with_length([&start(kind)[..], behind].concat());
    let read = good(&light(10, b"\0\0\0\x02\0\0\0\x03abxyz"));
    assert_eq!(read, Packet { header: None, body: publish(true, b"ab", b"xyz") });
    let short = dropped(&light(4, b"\0\0\0\x02\0\0\0\x03abxy"));
    assert_eq!(short, Dropped::Length { kind: 0x8004, length: 28, expected: 29 });
    assert!(short.to_string().contains("invalid publish packet"));
    assert_eq!(dropped(&light(4, b"")), Dropped::Length { kind: 0x8004, length: 16, expected: 24 });
    assert_eq!(dropped(&changed(light(4, &[0; 8]), 8, &[0, 3])), Dropped::Version(3));
}

fn ids() -> impl Strategy<Value = NodeId> {
    "[0-9a-z]{40}".prop_map(|text| NodeId::new(text.as_bytes()).unwrap())
}

fn sets() -> impl Strategy<Value = Arc<SlotSet>> {
    vec(0_u16..16384, 0..9).prop_map(|numbers| slots(&numbers))
}

fn hosts() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(Host::from),
        "[a-z0-9.-]{0,45}".prop_map(|text| Host::new(&text).unwrap()),
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    any::<[u16; 3]>().prop_map(|[client, other, bus]| Ports { client, other, bus })
}

fn headers() -> impl Strategy<Value = Box<Header>> {
    let numbers = (0..NUMBER_END, 0..NUMBER_END, 0..NUMBER_END);
    let names = (ids(), proptest::option::of(ids()), hosts());
    (numbers, names, sets(), ports(), any::<u16>(), any::<[bool; 5]>()).prop_map(
        |((current, config, offset), (sender, primary, ip), slots, ports, flags, bits)| {
            let [is_down, is_paused, forces_ack, steps_back, hides_offset] = bits;
            let epochs = (Epoch(current), Epoch(config));
            Box::new(Header {
                current_epoch: epochs.0,
                config_epoch: epochs.1,
                offset,
                sender,
                slots,
                primary,
                ip,
                ports,
                flags,
                is_down,
                is_paused,
                forces_ack,
                steps_back,
                hides_offset,
                has_extensions: true,
            })
        },
    )
}

fn heartbeats() -> impl Strategy<Value = Body> {
    let node = (ids(), any::<[u32; 2]>(), hosts(), ports(), any::<u16>()).prop_map(
        |(id, [ping_sent_s, pong_received_s], ip, ports, flags)| Gossip {
            id,
            ping_sent_s,
            pong_received_s,
            ip,
            ports,
            flags,
        },
    );
    let extension = prop_oneof![
        "[A-Za-z0-9.-]{0,255}".prop_map(Extension::Hostname),
        "[A-Za-z0-9._-]{0,20}".prop_map(Extension::Nodename),
        (ids(), any::<u32>())
            .prop_map(|(id, ttl_s)| Extension::Forgotten { id, ttl_s: u64::from(ttl_s) }),
        ids().prop_map(Extension::Shard),
        any::<u16>().prop_map(Extension::Unknown),
    ];
    let kind = prop_oneof![Just(Heartbeat::Ping), Just(Heartbeat::Pong), Just(Heartbeat::Meet)];
    (kind, vec(node, 0..5), vec(extension, 0..5))
        .prop_map(|(kind, gossip, extensions)| Body::Heartbeat { kind, gossip, extensions })
}

fn bodies() -> impl Strategy<Value = Body> {
    let text = || vec(any::<u8>(), 0..50);
    prop_oneof![
        4 => heartbeats(),
        1 => ids().prop_map(Body::Fail),
        1 => (any::<bool>(), text(), text())
            .prop_map(|(sharded, channel, message)| publish(sharded, &channel, &message)),
        1 => Just(Body::VoteRequest),
        1 => Just(Body::Vote),
        1 => (0..NUMBER_END, ids(), sets()).prop_map(|(epoch, owner, slots)| Body::Update {
            config_epoch: Epoch(epoch),
            owner,
            slots,
        }),
        1 => Just(Body::ManualFailover),
        1 => Just(Body::Module),
        1 => (11_u16..0x8000).prop_map(Body::Unknown),
    ]
}

proptest! {
    #[test]
    fn packets_come_back(header in headers(), body in bodies(), before in 0..3_usize) {
        let packet = Packet { header: Some(header), body };
        let mut out = vec![7; before];
        encode(&packet, &mut out);
        prop_assert_eq!(&out[..before], &[7; 3][..before]);
        prop_assert_eq!(frame_length(&out[before..]), Ok(Some(out.len() - before)));
        prop_assert_eq!(decode(&out[before..]), Ok(Decoded::Packet(packet)));
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bus").join(name)
}

/// What stock was asked, see fixtures/bus.
fn question() -> Packet {
    let header = Header {
        current_epoch: Epoch(0),
        config_epoch: Epoch(0),
        offset: 0,
        slots: Arc::default(),
        primary: None,
        ip: Host::UNKNOWN,
        ports: Ports { client: 7958, other: 0, bus: 7959 },
        is_down: false,
        is_paused: false,
        forces_ack: false,
        steps_back: false,
        hides_offset: false,
        ..header()
    };
    let body = Body::Heartbeat { kind: Heartbeat::Ping, gossip: vec![], extensions: vec![] };
    Packet { header: Some(Box::new(header)), body }
}

#[test]
fn stock_was_asked_what_we_would_ask() {
    let asked = bytes(&question());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(fixture("ping.bin"), &asked).unwrap();
    }
    assert!(std::fs::read(fixture("ping.bin")).unwrap() == asked);
}

#[test]
fn stock_answers_are_read_and_written_alike() {
    for (name, ranges, others) in
        [("pong_alone.bin", vec![], 0), ("pong_of_three.bin", vec![(0, 99), (16383, 16383)], 1)]
    {
        let answer = std::fs::read(fixture(name)).unwrap();
        let packet = good(&answer);
        assert!(bytes(&packet) == answer, "{name} is written as stock writes it");
        let header = packet.header.as_deref().unwrap();
        let numbers = header.slots.ranges();
        let numbers: Vec<_> = numbers.iter().map(|(a, b)| (a.number(), b.number())).collect();
        assert_eq!((numbers, header.primary, header.flags), (ranges, None, 0x0011), "{name}");
        assert_eq!(header.ports, Ports { client: 7950, other: 0, bus: 7955 });
        assert!(header.is_down && header.has_extensions && header.ip.is_unknown());
        let Body::Heartbeat { kind, gossip, extensions } = &packet.body else {
            panic!("{packet:?}")
        };
        assert_eq!((*kind, gossip.len()), (Heartbeat::Pong, others), "{name}");
        assert_eq!(*extensions, [Extension::Hostname("node-0.example".to_owned())]);
        for node in gossip {
            assert_eq!((node.ip.as_str(), node.flags), ("127.0.0.1", 1));
            assert!((7951..=7952).contains(&node.ports.client) && node.pong_received_s > 0);
        }
    }
}
