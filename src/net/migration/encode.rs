//! Keys of a walk as commands that bring them back.

use highwater_persistence::snapshot::{EncoderOptions, SnapshotError};

use crate::keyspace::{ValueRef, WalkEntry};
use crate::resp::inline::encode_into;
use crate::types::Object;
use crate::types::convert::{dump_object, write_commands};

/// A value that is longer travels in pieces of this size.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// Appends commands to `out` that make a key what it was at the cut. `send` takes what is there whenever it is a piece of
/// its own; what is left is the caller's to send.
///
/// # Errors
/// Those of `send`; a value that has no form as bytes.
pub(super) async fn entry<E: From<SnapshotError>>(
    out: &mut Vec<u8>,
    entry: &WalkEntry<'_>,
    options: &EncoderOptions,
    mut send: impl AsyncFnMut(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut digits = itoa::Buffer::new();
    let mut number = itoa::Buffer::new();
    let expiry = entry.expiry_ms.map(|when| digits.format(when).as_bytes());
    match entry.value {
        ValueRef::Object(object) => {
            let large = object.memory_usage() > PIECE_BYTES;
            if let Some(pieces) = large.then(|| pieces(object, entry.key)).flatten() {
                for mut piece in pieces {
                    send(out).await?;
                    out.append(&mut piece);
                }
                if let Some(expiry) = expiry {
                    encode_into(out, &[b"PEXPIREAT", entry.key, expiry]);
                }
            } else {
                let payload = dump_object(object, options)?;
                let expiry = expiry.unwrap_or(b"0");
                encode_into(out, &[b"RESTORE", entry.key, expiry, &payload, b"ABSTTL"]);
            }
        }
        ValueRef::Int(value) => set(out, entry.key, number.format(value).as_bytes(), expiry),
        ValueRef::Str(bytes) if bytes.len() <= PIECE_BYTES => set(out, entry.key, bytes, expiry),
        ValueRef::Str(bytes) => {
            let mut pieces = bytes.chunks(PIECE_BYTES);
            set(out, entry.key, pieces.next().unwrap_or_default(), expiry);
            for piece in pieces {
                send(out).await?;
                encode_into(out, &[b"APPEND", entry.key, piece]);
            }
        }
    }
    Ok(())
}

/// The commands that make a collection, in pieces. Nothing: there are none, so that it has to travel as one payload.
fn pieces(object: &Object, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut pieces = vec![Vec::new()];
    let written = write_commands(object, key, |words| {
        if pieces.last().is_some_and(|piece| piece.len() >= PIECE_BYTES) {
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            encode_into(piece, words);
        }
    });
    written.ok().map(|()| pieces)
}

fn set(out: &mut Vec<u8>, key: &[u8], value: &[u8], expiry: Option<&[u8]>) {
    match expiry {
        Some(expiry) => encode_into(out, &[b"SET", key, value, b"PXAT", expiry]),
        None => encode_into(out, &[b"SET", key, value]),
    }
}
