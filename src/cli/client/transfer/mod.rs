//! What a server sends to replicas: a snapshot, then the stream of changes.

mod rdb;
mod replica;

use std::io;

use super::screen::complain;
use crate::cli::wire::Connection;

pub(super) use rdb::run as fetch;
pub(super) use replica::run as follow;

/// How the server tells where a snapshot ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// It has so many bytes.
    After(u64),
    /// These bytes stand behind it: it is written as it is sent.
    Marker(Vec<u8>),
}

/// Bytes of a marker.
const MARKER_BYTES: usize = 40;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Asks for a snapshot. `wish` is what else to tell the server first, which may not know it.
///
/// # Errors
/// What to tell the user.
fn begin(connection: &mut Connection, wish: &[&str]) -> Result<End, String> {
    let plain = |error: io::Error| format!("Error: {}", super::session::plain(&error));
    for words in [&["REPLCONF", "capa", "eof"][..], wish] {
        complain(&format!("sending {}", words.join(" ")));
        if let Some(text) = connection.ask(words).map_err(plain)?.error() {
            complain(&format!("{} {} error: {text}", words[0], words[1]));
        }
    }
    connection.put_raw(b"SYNC\r\n");
    connection.flush().map_err(plain)?;
    loop {
        let line = connection.read_line().map_err(plain)?;
        // Empty lines say that it is still at work.
        if !line.is_empty() {
            return read_head(&line).ok_or_else(|| {
                format!("SYNC with master failed: {}", String::from_utf8_lossy(&line))
            });
        }
    }
}

fn read_head(line: &[u8]) -> Option<End> {
    let head = line.strip_prefix(b"$")?;
    match head.strip_prefix(b"EOF:") {
        Some(marker) => (marker.len() == MARKER_BYTES).then(|| End::Marker(marker.to_vec())),
        None => std::str::from_utf8(head).ok()?.parse().ok().map(End::After),
    }
}

/// Hands the bytes of a snapshot to `take`; how many there were.
///
/// # Errors
/// Those of the connection, and those of `take`.
fn receive(
    connection: &mut Connection,
    end: &End,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    match end {
        End::After(length) => receive_counted(connection, *length, &mut take).map(|()| *length),
        End::Marker(marker) => receive_marked(connection, marker, &mut take),
    }
}

fn receive_counted(
    connection: &mut Connection,
    length: u64,
    take: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let count = read_some(connection, &mut bytes[..room])?;
        take(&bytes[..count])?;
        left -= u64::try_from(count).unwrap_or(left);
    }
    Ok(())
}

/// The last bytes are kept back until it is known that they are not the marker. What stands behind the marker is read as
/// well only when it came with it, which no server does before it has been told to go on.
fn receive_marked(
    connection: &mut Connection,
    marker: &[u8],
    take: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut bytes = vec![0; PIECE];
    let mut kept: Vec<u8> = Vec::new();
    let mut total = 0;
    loop {
        let count = read_some(connection, &mut bytes)?;
        kept.extend_from_slice(&bytes[..count]);
        let (whole, end) = kept.split_at(kept.len().saturating_sub(marker.len()));
        take(whole)?;
        total += u64::try_from(whole.len()).unwrap_or(0);
        if end == marker {
            return Ok(total);
        }
        kept = end.to_vec();
    }
}

fn read_some(connection: &mut Connection, bytes: &mut [u8]) -> io::Result<usize> {
    match connection.read_raw(bytes)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Server closed the connection")),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        assert_eq!(read_head(b"$509"), Some(End::After(509)));
        let marker = [b'a'; MARKER_BYTES];
        let head = [b"$EOF:", &marker[..]].concat();
        assert_eq!(read_head(&head), Some(End::Marker(marker.to_vec())));
        for other in [&b"-ERR no"[..], b"$EOF:short", b"$-1", b"$"] {
            assert_eq!(read_head(other), None);
        }
    }
}
