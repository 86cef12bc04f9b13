//! From bytes to packets.

use std::sync::Arc;

use super::{
    Decoded, Dropped, EXTENSIONS_BYTES_MAX, GOSSIP_BYTES, HEADER_BYTES, MODULE_BYTES, NUMBER_END,
    PUBLISH_BYTES, UPDATE_BYTES, VERSION, WireError, array, extension, frame_length, gossip_place,
    header_bytes, is_light, kind, more, own, place, u16_at, u32_at, u64_at,
};
use crate::cluster::packet::{Body, Extension, Gossip, Header, Heartbeat, Packet, Ports};
use crate::cluster::{Epoch, Host, NodeId, SlotSet};

/// Reads `bytes`, a whole packet as [`frame_length`] finds it.
///
/// Texts and names that make no sense are left out where the rest can stand without them: an address is then not known,
/// an extension is then not known, gossip with a malformed name is left out as a whole.
///
/// # Errors
/// [`WireError`]: the link cannot be read on.
pub fn decode(bytes: &[u8]) -> Result<Decoded, WireError> {
    if frame_length(bytes)? != Some(bytes.len()) {
        return Err(WireError::Cut);
    }
    let kind = u16_at(bytes, place::KIND);
    Ok(match read(bytes, kind) {
        Ok(packet) => Decoded::Packet(packet),
        Err(why) => Decoded::Dropped { kind, why },
    })
}

fn read(bytes: &[u8], kind: u16) -> Result<Packet, Dropped> {
    let version = u16_at(bytes, place::VERSION);
    if version != VERSION {
        return Err(Dropped::Version(version));
    }
    let (start, data) = bytes.split_at(header_bytes(kind));
    // Lengths come first: what else is wrong with a packet of another length means nothing.
    let extensions = check_length(start, data, kind)?;
    if is_light(kind) {
        let body = read_publish(data, kind & !super::LIGHT);
        return Ok(Packet { header: None, body });
    }
    let header = read_header(start, kind)?;
    let body = read_body(start, data, kind, extensions)?;
    Ok(Packet { header: Some(Box::new(header)), body })
}

/// Whether the data is as long as the type asks for. Returns the extensions, whose lengths had to be looked at.
fn check_length(start: &[u8], data: &[u8], kind: u16) -> Result<Vec<Extension>, Dropped> {
    let mut extensions = Vec::new();
    let expected = match kind & if is_light(kind) { !super::LIGHT } else { u16::MAX } {
        kind::PING | kind::PONG | kind::MEET => {
            let gossip = GOSSIP_BYTES * usize::from(u16_at(start, place::COUNT));
            let mut end = gossip;
            // Without the flag the count means nothing: versions before 7.0 left both zero.
            if start[place::FLAGS_MORE] & more::EXTENSIONS != 0 {
                for _ in 0..u16_at(start, place::EXTENSIONS) {
                    let rest = data.get(end..).unwrap_or_default();
                    let (extension, length) = extension::read(rest)
                        .map_err(|length| Dropped::Extension { kind, length })?;
                    extensions.push(extension);
                    end += length;
                    if end - gossip > EXTENSIONS_BYTES_MAX {
                        let length = u32::try_from(length).unwrap_or(u32::MAX);
                        return Err(Dropped::Extension { kind, length });
                    }
                }
            }
            end as u64
        }
        kind::FAIL => NodeId::BYTES as u64,
        kind::PUBLISH | kind::PUBLISHSHARD => {
            data.split_first_chunk::<PUBLISH_BYTES>().map_or(0, |(lengths, _)| {
                u64::from(u32_at(lengths, 0)) + u64::from(u32_at(lengths, 4))
            }) + PUBLISH_BYTES as u64
        }
        kind::AUTH_REQUEST | kind::AUTH_ACK | kind::MFSTART => 0,
        kind::UPDATE => UPDATE_BYTES as u64,
        kind::MODULE => {
            data.split_first_chunk::<MODULE_BYTES>()
                .map_or(0, |(module, _)| u64::from(u32_at(module, 8)))
                + MODULE_BYTES as u64
        }
        _ => data.len() as u64,
    };
    if data.len() as u64 == expected {
        return Ok(extensions);
    }
    let (length, expected) = (start.len() + data.len(), start.len() as u64 + expected);
    Err(Dropped::Length { kind, length, expected })
}

fn read_header(start: &[u8], kind: u16) -> Result<Header, Dropped> {
    assert_eq!(start.len(), HEADER_BYTES, "the caller has cut it off");
    let number = |at| bounded(u64_at(start, at), kind);
    let more = start[place::FLAGS_MORE];
    let primary: [u8; NodeId::BYTES] = array(start, place::PRIMARY);
    let primary = match primary {
        [0, ..] if primary.iter().all(|byte| *byte == 0) => None,
        _ => Some(node_id(&primary, kind)?),
    };
    Ok(Header {
        current_epoch: Epoch(number(place::CURRENT_EPOCH)?),
        config_epoch: Epoch(number(place::CONFIG_EPOCH)?),
        offset: number(place::OFFSET)?,
        sender: node_id(&start[place::SENDER..][..NodeId::BYTES], kind)?,
        slots: Arc::new(SlotSet::from_bytes(&array(start, place::SLOTS))),
        primary,
        ip: host(&start[place::IP..][..Host::BYTES]),
        ports: Ports {
            client: u16_at(start, place::PORT),
            other: u16_at(start, place::OTHER_PORT),
            bus: u16_at(start, place::BUS_PORT),
        },
        flags: u16_at(start, place::FLAGS),
        is_down: start[place::STATE] != 0,
        is_paused: more & more::PAUSED != 0,
        forces_ack: more & more::FORCES_ACK != 0,
        steps_back: start[place::FLAGS_MORE + 1] & own::STEPS_BACK != 0,
        hides_offset: start[place::FLAGS_MORE + 1] & own::HIDES_OFFSET != 0,
        has_extensions: more & more::EXTENSIONS != 0,
    })
}

/// `data` is as long as [`check_length`] asks for.
fn read_body(
    start: &[u8],
    data: &[u8],
    kind: u16,
    extensions: Vec<Extension>,
) -> Result<Body, Dropped> {
    let heartbeat = |kind| {
        let end = GOSSIP_BYTES * usize::from(u16_at(start, place::COUNT));
        let (nodes, _) = data[..end].as_chunks::<GOSSIP_BYTES>();
        // One malformed name, and nothing of it is believed.
        let gossip = nodes.iter().map(read_gossip).collect::<Option<_>>().unwrap_or_default();
        Body::Heartbeat { kind, gossip, extensions }
    };
    Ok(match kind {
        kind::PING => heartbeat(Heartbeat::Ping),
        kind::PONG => heartbeat(Heartbeat::Pong),
        kind::MEET => heartbeat(Heartbeat::Meet),
        kind::FAIL => Body::Fail(node_id(data, kind)?),
        kind::PUBLISH | kind::PUBLISHSHARD => read_publish(data, kind),
        kind::AUTH_REQUEST => Body::VoteRequest,
        kind::AUTH_ACK => Body::Vote,
        kind::UPDATE => Body::Update {
            config_epoch: Epoch(bounded(u64_at(data, 0), kind)?),
            owner: node_id(&data[8..8 + NodeId::BYTES], kind)?,
            slots: Arc::new(SlotSet::from_bytes(&array(data, 8 + NodeId::BYTES))),
        },
        kind::MFSTART => Body::ManualFailover,
        kind::MODULE => Body::Module,
        other => Body::Unknown(other),
    })
}

fn read_publish(data: &[u8], kind: u16) -> Body {
    let (lengths, text) = data.split_at(PUBLISH_BYTES);
    let channel = usize::try_from(u32_at(lengths, 0)).expect("it was compared with the length");
    let (channel, message) = text.split_at(channel);
    let sharded = kind == kind::PUBLISHSHARD;
    Body::Publish { sharded, channel: channel.into(), message: message.into() }
}

fn read_gossip(node: &[u8; GOSSIP_BYTES]) -> Option<Gossip> {
    Some(Gossip {
        id: NodeId::new(&node[..NodeId::BYTES])?,
        ping_sent_s: u32_at(node, gossip_place::PING_SENT),
        pong_received_s: u32_at(node, gossip_place::PONG_RECEIVED),
        ip: host(&node[gossip_place::IP..][..Host::BYTES]),
        ports: Ports {
            client: u16_at(node, gossip_place::PORT),
            other: u16_at(node, gossip_place::OTHER_PORT),
            bus: u16_at(node, gossip_place::BUS_PORT),
        },
        flags: u16_at(node, gossip_place::FLAGS),
    })
}

fn node_id(bytes: &[u8], kind: u16) -> Result<NodeId, Dropped> {
    NodeId::new(bytes).ok_or(Dropped::NodeId(kind))
}

fn bounded(number: u64, kind: u16) -> Result<u64, Dropped> {
    if number < NUMBER_END { Ok(number) } else { Err(Dropped::Number(kind)) }
}

/// The text before the first zero byte, if it can be an address.
fn host(bytes: &[u8]) -> Host {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).ok();
    text.and_then(Host::new).unwrap_or(Host::UNKNOWN)
}
