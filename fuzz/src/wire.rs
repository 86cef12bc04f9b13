//! Packets of the cluster bus.

use highwater::cluster::wire::{
    Decoded, HEADER_BYTES, LIGHT_HEADER_BYTES, PUBLISH_BYTES_MAX, WireError, decode, encode,
    frame_length,
};
use highwater::cluster::{Body, Packet};

/// The bytes as they are, and as they would be with the right signature and length: few mutations leave both.
pub fn check(input: &[u8]) {
    check_packet(input);
    let Ok(length) = u32::try_from(input.len()) else { return };
    let mut framed = input.to_vec();
    if let Some((start, _)) = framed.split_first_chunk_mut::<8>() {
        start[..4].copy_from_slice(b"RCmb");
        start[4..].copy_from_slice(&length.to_be_bytes());
        check_packet(&framed);
    }
}

fn check_packet(bytes: &[u8]) {
    let length = check_length(bytes);
    match decode(bytes) {
        Err(WireError::Cut) => assert_ne!(length, Ok(Some(bytes.len()))),
        Err(error) => assert_eq!(length, Err(error)),
        Ok(Decoded::Dropped { why, .. }) => {
            assert_eq!(length, Ok(Some(bytes.len())));
            assert!(!why.to_string().is_empty());
        }
        Ok(Decoded::Packet(packet)) => {
            assert_eq!(length, Ok(Some(bytes.len())));
            comes_back(packet, bytes.len());
        }
    }
}

/// The length is the same however many bytes are there, and bounded.
fn check_length(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let whole = frame_length(bytes);
    for end in 0..=bytes.len().min(LIGHT_HEADER_BYTES) {
        let found = frame_length(&bytes[..end]);
        assert!(found == whole || found == Ok(None), "{end} bytes: {found:?}, all: {whole:?}");
    }
    if let Ok(Some(length)) = whole {
        assert!((LIGHT_HEADER_BYTES..=HEADER_BYTES + 8 + PUBLISH_BYTES_MAX).contains(&length));
    }
    whole
}

/// What is read is written so that it reads the same; what was not understood takes no room then.
fn comes_back(mut packet: Packet, length: usize) {
    let is_heartbeat = matches!(packet.body, Body::Heartbeat { .. });
    let Some(header) = packet.header.as_mut() else {
        let Body::Publish { channel, message, .. } = packet.body else { panic!("{packet:?}") };
        assert_eq!(LIGHT_HEADER_BYTES + 8 + channel.len() + message.len(), length);
        return;
    };
    // Heartbeats of ours always say so.
    header.has_extensions |= is_heartbeat;
    let mut out = Vec::new();
    encode(&packet, &mut out);
    assert!(out.len() <= length, "{} bytes of {length}", out.len());
    assert_eq!(decode(&out), Ok(Decoded::Packet(packet)));
}
