//! What stands behind the gossip: whole length, type, and the data, padded with zero bytes to a multiple of 8.
//!
//! ```text
//! offset  size
//!      0     4  length, all of it
//!      4     2  type
//!      6     2  0
//!      8        data
//! ```
//!
//! Types that are not known are stepped over. So are known ones whose data makes no sense: they do not make what else the
//! packet says less true.

use super::{array, u16_at, u32_at, u64_at};
use crate::cluster::NodeId;
use crate::cluster::packet::Extension;

/// Length, type and two bytes of nothing.
pub(super) const HEADER_BYTES: usize = 8;
const ALIGNMENT: usize = 8;

const HOSTNAME: u16 = 0;
const NODENAME: u16 = 1;
const FORGOTTEN: u16 = 2;
const SHARD: u16 = 3;

/// Names end before this many bytes.
const NAME_BYTES_MAX: usize = 256;
/// Longest time for which a node can be forgotten: what a time in seconds has room for elsewhere in packets.
const TTL_S_MAX: u64 = u32::MAX as u64;

/// The extension that `bytes` begins with, and its length; the length that it claims, if that cannot be.
pub(super) fn read(bytes: &[u8]) -> Result<(Extension, usize), u32> {
    if bytes.len() < HEADER_BYTES {
        return Err(0);
    }
    let claimed = u32_at(bytes, 0);
    let length = usize::try_from(claimed).map_err(|_| claimed)?;
    if length < HEADER_BYTES || length > bytes.len() || !length.is_multiple_of(ALIGNMENT) {
        return Err(claimed);
    }
    let kind = u16_at(bytes, 4);
    let known = understood(kind, &bytes[HEADER_BYTES..length]);
    Ok((known.unwrap_or(Extension::Unknown(kind)), length))
}

fn understood(kind: u16, data: &[u8]) -> Option<Extension> {
    match kind {
        HOSTNAME => name(data, b".-").map(Extension::Hostname),
        NODENAME => name(data, b".-_").map(Extension::Nodename),
        FORGOTTEN if data.len() == NodeId::BYTES + 8 => {
            let (id, ttl_s) = (NodeId::new(&data[..NodeId::BYTES])?, u64_at(data, NodeId::BYTES));
            (ttl_s <= TTL_S_MAX).then_some(Extension::Forgotten { id, ttl_s })
        }
        SHARD if data.len() == NodeId::BYTES => {
            NodeId::new(&array::<{ NodeId::BYTES }>(data, 0)).map(Extension::Shard)
        }
        _ => None,
    }
}

/// The text before the first zero byte, if it has only letters, digits and what is in `others`.
fn name(data: &[u8], others: &[u8]) -> Option<String> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let text = &data[..end];
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || others.contains(byte);
    if text.len() >= NAME_BYTES_MAX || !text.iter().all(allowed) {
        return None;
    }
    String::from_utf8(text.to_vec()).ok()
}

/// Appends an extension. One that is not known has no data.
pub(super) fn write(extension: &Extension, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let kind = match extension {
        Extension::Hostname(_) => HOSTNAME,
        Extension::Nodename(_) => NODENAME,
        Extension::Forgotten { .. } => FORGOTTEN,
        Extension::Shard(_) => SHARD,
        Extension::Unknown(kind) => *kind,
    };
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0; 2]);
    match extension {
        Extension::Hostname(text) | Extension::Nodename(text) => {
            assert!(text.len() < NAME_BYTES_MAX, "a name of {} bytes", text.len());
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        Extension::Forgotten { id, ttl_s } => {
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(&ttl_s.to_be_bytes());
        }
        Extension::Shard(id) => out.extend_from_slice(id.as_bytes()),
        Extension::Unknown(_) => {}
    }
    let length = (out.len() - start).next_multiple_of(ALIGNMENT);
    out.resize(start + length, 0);
    let length = u32::try_from(length).expect("names are short");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
