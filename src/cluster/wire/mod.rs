//! Packets as bytes.
//!
//! [`frame_length`] finds the end of a packet before memory is taken for it, [`decode`] reads a whole one, [`encode`]
//! writes one. What is wrong with a packet matters: a stream that is out of step cannot be read on, so its link is closed
//! ([`WireError`]); a packet that is merely not understood is dropped and the link lives ([`Dropped`]), for nodes of other
//! versions send such packets all the time.
//!
//! All numbers are big endian. Spec: cluster, "Cluster bus"; `docs/format.md`, section 8.

mod decode;
mod encode;
mod extension;
#[cfg(test)]
mod tests;

use std::fmt;

use super::packet::{KINDS, Packet};
use super::{NodeId, SlotSet};

pub use decode::decode;
pub use encode::encode;

/// What every packet begins with.
const SIGNATURE: &[u8; 4] = b"RCmb";
/// The only version of the protocol there is.
const VERSION: u16 = 1;

/// Length of the header of all packets but light ones.
pub const HEADER_BYTES: usize = 2256;
/// Length of the header of a light packet.
pub const LIGHT_HEADER_BYTES: usize = 16;
/// This bit of the type says that the header is a light one.
const LIGHT: u16 = 0x8000;
/// Length of what is said of one node.
const GOSSIP_BYTES: usize = 104;
/// Length of a node and its epoch and slots in UPDATE.
const UPDATE_BYTES: usize = 8 + NodeId::BYTES + SlotSet::BYTES;
/// Two lengths, before channel and message.
const PUBLISH_BYTES: usize = 8;
/// Module, length and type, before what the module says.
const MODULE_BYTES: usize = 13;

/// Longest channel and message together: what a bulk string of a client may have. Stock knows no bound.
pub const PUBLISH_BYTES_MAX: usize = 512 << 20;
/// Room for extensions: each node that is to be forgotten takes 56 bytes, and a node that has more than a thousand of
/// them to tell tells the rest later.
pub const EXTENSIONS_BYTES_MAX: usize = 64 << 10;
/// Longest packet that is no message of a channel: as much gossip as can be counted, and the extensions.
const OTHER_BYTES_MAX: usize =
    HEADER_BYTES + GOSSIP_BYTES * u16::MAX as usize + EXTENSIONS_BYTES_MAX;

/// From here on epochs and offsets are refused, so that nothing that is added to them overflows.
const NUMBER_END: u64 = 1 << 63;

const _: () = assert!(HEADER_BYTES == place::FLAGS_MORE + 3 && GOSSIP_BYTES == gossip_place::END);
const _: () = assert!(HEADER_BYTES + UPDATE_BYTES <= OTHER_BYTES_MAX);
const _: () = assert!(PUBLISH_BYTES_MAX + HEADER_BYTES + PUBLISH_BYTES <= u32::MAX as usize);

/// Where the fields of a header stand.
mod place {
    pub(super) const LENGTH: usize = 4;
    pub(super) const VERSION: usize = 8;
    pub(super) const PORT: usize = 10;
    pub(super) const KIND: usize = 12;
    pub(super) const COUNT: usize = 14;
    pub(super) const CURRENT_EPOCH: usize = 16;
    pub(super) const CONFIG_EPOCH: usize = 24;
    pub(super) const OFFSET: usize = 32;
    pub(super) const SENDER: usize = 40;
    pub(super) const SLOTS: usize = 80;
    pub(super) const PRIMARY: usize = 2128;
    pub(super) const IP: usize = 2168;
    pub(super) const EXTENSIONS: usize = 2214;
    pub(super) const OTHER_PORT: usize = 2246;
    pub(super) const BUS_PORT: usize = 2248;
    pub(super) const FLAGS: usize = 2250;
    pub(super) const STATE: usize = 2252;
    pub(super) const FLAGS_MORE: usize = 2253;
}

/// Where the fields of a node in gossip stand.
mod gossip_place {
    pub(super) const PING_SENT: usize = 40;
    pub(super) const PONG_RECEIVED: usize = 44;
    pub(super) const IP: usize = 48;
    pub(super) const PORT: usize = 94;
    pub(super) const BUS_PORT: usize = 96;
    pub(super) const FLAGS: usize = 98;
    pub(super) const OTHER_PORT: usize = 100;
    pub(super) const END: usize = 104;
}

/// Bits of the byte at [`place::FLAGS_MORE`].
mod more {
    pub(super) const PAUSED: u8 = 1;
    pub(super) const FORCES_ACK: u8 = 2;
    pub(super) const EXTENSIONS: u8 = 4;
}

/// Bits of the byte behind it. Stock sends zero there and does not look at it.
mod own {
    pub(super) const STEPS_BACK: u8 = 1;
    pub(super) const HIDES_OFFSET: u8 = 2;
}

/// Types of packets by their numbers. `packet::KINDS` has their names.
mod kind {
    pub(super) const PING: u16 = 0;
    pub(super) const PONG: u16 = 1;
    pub(super) const MEET: u16 = 2;
    pub(super) const FAIL: u16 = 3;
    pub(super) const PUBLISH: u16 = 4;
    pub(super) const AUTH_REQUEST: u16 = 5;
    pub(super) const AUTH_ACK: u16 = 6;
    pub(super) const UPDATE: u16 = 7;
    pub(super) const MFSTART: u16 = 8;
    pub(super) const MODULE: u16 = 9;
    pub(super) const PUBLISHSHARD: u16 = 10;
}

/// The stream cannot be read on: its link is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// It does not begin with `RCmb`.
    Signature([u8; 4]),
    /// A length that has no room for the header.
    TooShort(u32),
    /// A length that no packet has. Differs: stock takes any.
    TooLong(u32),
    /// The bytes are not as many as their length says. [`frame_length`] finds those that are.
    Cut,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(bytes) => {
                write!(f, "a packet begins with \"{}\", not RCmb", bytes.escape_ascii())
            }
            Self::TooShort(length) => write!(f, "a packet of {length} bytes has no header"),
            Self::TooLong(length) => write!(f, "a packet of {length} bytes is too long"),
            Self::Cut => f.write_str("a packet is not as long as it says"),
        }
    }
}

impl std::error::Error for WireError {}

/// What became of the bytes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// It was understood.
    Packet(Packet),
    /// It is to be ignored; the link lives.
    Dropped {
        /// Its type, for the statistics, which count it.
        kind: u16,
        /// Why.
        why: Dropped,
    },
}

/// Why a packet is ignored. `Display` is the line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Of another version of the protocol. Nothing is said about it.
    Version(u16),
    /// Its type asks for another length.
    Length {
        /// The type.
        kind: u16,
        /// How long it is.
        length: usize,
        /// How long it would have to be.
        expected: u64,
    },
    /// An extension whose length is no multiple of 8, or reaches beyond the packet or beyond [`EXTENSIONS_BYTES_MAX`].
    Extension {
        /// Type of the packet.
        kind: u16,
        /// The length.
        length: u32,
    },
    /// A name of a node that is none. Differs: stock looks at those in gossip only, from 7.4 on.
    NodeId(u16),
    /// An epoch or offset that is not one. Differs: stock takes any.
    Number(u16),
}

impl Dropped {
    /// Whether nothing is to be logged.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Version(_))
    }
}

/// The name of a type for the log.
fn name(kind: u16) -> &'static str {
    KINDS.get(usize::from(kind & !LIGHT)).copied().unwrap_or("unknown")
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version(version) => write!(f, "Received a packet of version {version}"),
            Self::Length { kind, length, expected } => write!(
                f,
                "Received invalid {} packet of length {length} but expected length {expected}",
                name(kind)
            ),
            Self::Extension { kind, length } => {
                write!(f, "Received invalid {} packet, an extension of length {length}", name(kind))
            }
            Self::NodeId(kind) => {
                write!(f, "Received invalid {} packet, a name of a node is malformed", name(kind))
            }
            Self::Number(kind) => {
                write!(f, "Received invalid {} packet, an epoch is out of range", name(kind))
            }
        }
    }
}

/// Length of the packet that `buffer` begins with, which may have more bytes than are there yet; `None` if too few are
/// there to tell. At most [`LIGHT_HEADER_BYTES`] are needed.
///
/// # Errors
/// [`WireError`]: these bytes are no packet, or one that is longer than any we take.
pub fn frame_length(buffer: &[u8]) -> Result<Option<usize>, WireError> {
    let Some((start, _)) = buffer.split_first_chunk::<8>() else { return Ok(None) };
    let (signature, length) = (array(start, 0), u32::from_be_bytes(array(start, place::LENGTH)));
    if signature != *SIGNATURE {
        return Err(WireError::Signature(signature));
    }
    let bytes = usize::try_from(length).map_err(|_| WireError::TooLong(length))?;
    if bytes < LIGHT_HEADER_BYTES {
        return Err(WireError::TooShort(length));
    }
    if buffer.len() < LIGHT_HEADER_BYTES {
        return Ok(None);
    }
    let kind = u16_at(buffer, place::KIND);
    let header = header_bytes(kind);
    let bytes_max = match kind & !LIGHT {
        kind::PUBLISH | kind::PUBLISHSHARD => header + PUBLISH_BYTES + PUBLISH_BYTES_MAX,
        _ => OTHER_BYTES_MAX,
    };
    if bytes < header {
        return Err(WireError::TooShort(length));
    }
    if bytes > bytes_max {
        return Err(WireError::TooLong(length));
    }
    Ok(Some(bytes))
}

/// Whether a message can be sent. To be asked before [`encode`], which takes no other.
#[must_use]
pub fn fits(channel: &[u8], message: &[u8]) -> bool {
    channel.len().checked_add(message.len()).is_some_and(|bytes| bytes <= PUBLISH_BYTES_MAX)
}

/// Only messages of channels have light headers.
fn is_light(kind: u16) -> bool {
    kind & LIGHT != 0 && matches!(kind & !LIGHT, kind::PUBLISH | kind::PUBLISHSHARD)
}

fn header_bytes(kind: u16) -> usize {
    if is_light(kind) { LIGHT_HEADER_BYTES } else { HEADER_BYTES }
}

/// The `N` bytes at `at`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as many as were asked for")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(bytes, at))
}
