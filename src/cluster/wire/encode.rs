//! From packets to bytes.

use super::{
    EXTENSIONS_BYTES_MAX, GOSSIP_BYTES, HEADER_BYTES, MODULE_BYTES, SIGNATURE, VERSION, extension,
    fits, frame_length, is_light, kind, more, own, place,
};
use crate::cluster::packet::{Body, Gossip, Header, KINDS, Packet};
use crate::cluster::{Host, NodeId, SlotSet};

/// Appends the bytes of `packet`.
///
/// A heartbeat says that its sender understands extensions, whatever [`Header::has_extensions`] is.
///
/// # Panics
/// If nobody could read it: without a header (light ones are only read), with a message that does not fit
/// ([`super::fits`]), with more gossip or extensions than can be counted.
pub fn encode(packet: &Packet, out: &mut Vec<u8>) {
    let header = packet.header.as_deref().expect("packets that are sent have a header");
    let start = out.len();
    write_header(header, &packet.body, out);
    assert_eq!(out.len() - start, HEADER_BYTES, "a header has one length");
    write_body(&packet.body, out);
    let length = u32::try_from(out.len() - start).expect("parts of packets are bounded");
    out[start + place::LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(frame_length(&out[start..]), Ok(Some(out.len() - start)), "it can be read");
}

fn write_header(header: &Header, body: &Body, out: &mut Vec<u8>) {
    let (gossip, extensions) = match body {
        Body::Heartbeat { gossip, extensions, .. } => (gossip.len(), extensions.len()),
        _ => (0, 0),
    };
    let count = |number| u16::try_from(number).expect("as many as can be counted");
    let ports = header.ports;
    out.extend_from_slice(SIGNATURE);
    // The length, which is not known yet.
    out.extend_from_slice(&[0; 4]);
    put_u16(out, VERSION);
    put_u16(out, ports.client);
    put_u16(out, body.kind());
    put_u16(out, count(gossip));
    put_u64(out, header.current_epoch.0);
    put_u64(out, header.config_epoch.0);
    put_u64(out, header.offset);
    out.extend_from_slice(header.sender.as_bytes());
    header.slots.write_to(out);
    let primary = header.primary.map_or([0; NodeId::BYTES], |id| *id.as_bytes());
    out.extend_from_slice(&primary);
    out.extend_from_slice(header.ip.as_bytes());
    put_u16(out, count(extensions));
    out.extend_from_slice(&[0; place::OTHER_PORT - place::EXTENSIONS - 2]);
    put_u16(out, ports.other);
    put_u16(out, ports.bus);
    put_u16(out, header.flags);
    out.push(u8::from(header.is_down));
    let own =
        bits(&[(header.steps_back, own::STEPS_BACK), (header.hides_offset, own::HIDES_OFFSET)]);
    let understands = header.has_extensions || matches!(body, Body::Heartbeat { .. });
    let more = bits(&[
        (header.is_paused, more::PAUSED),
        (header.forces_ack, more::FORCES_ACK),
        (understands, more::EXTENSIONS),
    ]);
    out.extend_from_slice(&[more, own, 0]);
}

fn bits(facts: &[(bool, u8)]) -> u8 {
    facts.iter().filter(|(is_set, _)| *is_set).fold(0, |bits, (_, bit)| bits | bit)
}

fn write_body(body: &Body, out: &mut Vec<u8>) {
    match body {
        Body::Heartbeat { gossip, extensions, .. } => {
            gossip.iter().for_each(|node| write_gossip(node, out));
            let start = out.len();
            extensions.iter().for_each(|extension| extension::write(extension, out));
            assert!(out.len() - start <= EXTENSIONS_BYTES_MAX, "the receiver takes no more");
        }
        Body::Fail(id) => out.extend_from_slice(id.as_bytes()),
        Body::Publish { channel, message, .. } => {
            assert!(fits(channel, message), "{} and {} bytes", channel.len(), message.len());
            for part in [channel, message] {
                let length = u32::try_from(part.len()).expect("it was looked at");
                out.extend_from_slice(&length.to_be_bytes());
            }
            out.extend_from_slice(channel);
            out.extend_from_slice(message);
        }
        Body::Update { config_epoch, owner, slots } => {
            put_u64(out, config_epoch.0);
            out.extend_from_slice(owner.as_bytes());
            slots.write_to(out);
            debug_assert_eq!(super::UPDATE_BYTES, 8 + NodeId::BYTES + SlotSet::BYTES);
        }
        Body::Module => out.extend_from_slice(&[0; MODULE_BYTES]),
        Body::VoteRequest | Body::Vote | Body::ManualFailover => {}
        Body::Unknown(kind) => {
            assert!(usize::from(*kind) >= KINDS.len() && !is_light(*kind), "type {kind} is known");
        }
    }
}

fn write_gossip(node: &Gossip, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(node.id.as_bytes());
    out.extend_from_slice(&node.ping_sent_s.to_be_bytes());
    out.extend_from_slice(&node.pong_received_s.to_be_bytes());
    let ip: &[u8; Host::BYTES] = node.ip.as_bytes();
    out.extend_from_slice(ip);
    put_u16(out, node.ports.client);
    put_u16(out, node.ports.bus);
    put_u16(out, node.flags);
    put_u16(out, node.ports.other);
    put_u16(out, 0);
    debug_assert_eq!(out.len() - start, GOSSIP_BYTES);
}

fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

const _: () = assert!(kind::PUBLISHSHARD as usize + 1 == KINDS.len());
