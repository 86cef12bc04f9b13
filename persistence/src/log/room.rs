//! Room made ahead: lines behind the log that appends overwrite.
//!
//! A sync after bytes were added to a file also has to make the file's new size durable, which costs the file system a
//! commit of its journal; a sync after bytes were overwritten does not. So while replies wait for syncs the file is
//! kept longer than the log, by lines that stock loaders skip as comments:
//!
//! ```text
//! ...crc=0123456789abcdef pad=.....\r\n | #hw-room ....................\r\n | #hw-room ...
//!                                  a multiple of 64                  64 bytes each, up to the end of the file
//! ```
//!
//! Each write ends where a line begins, so what is left of the room is whole lines. Spec: `docs/format.md`, section 2.

use std::io;

use memchr::memmem;

use crate::storage::StorageFile;

/// Bytes of a line, line end included.
pub const LINE_BYTES: usize = 64;

/// Room that a writer whose replies wait for syncs makes at a time, in bytes.
pub const ROOM_BYTES: u64 = 1 << 20;

/// What a line begins with; not what an annotation does.
const MARK: &[u8] = b"#hw-room";

const LINE: &[u8; LINE_BYTES] =
    b"#hw-room .....................................................\r\n";

/// Many lines, to write them with few calls.
static LINES: [u8; 1024 * LINE_BYTES] = lines();

/// Shortest padding: ` pad=`.
const PAD: &[u8] = b" pad=";

const fn lines() -> [u8; 1024 * LINE_BYTES] {
    let mut lines = [0; 1024 * LINE_BYTES];
    let mut at = 0;
    while at < lines.len() {
        lines[at] = LINE[at % LINE_BYTES];
        at += 1;
    }
    lines
}

/// Whether `bytes`, which reach to the end of a file, are room and nothing else. The last line may be cut: a process
/// may be killed while it makes room. (A cut that leaves less than the mark could be any comment's.)
#[must_use]
pub fn is_room(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK) && goes_on(bytes)
}

/// Whether bytes, which begin where a line of the room does, are room as far as they go: for those who read it in pieces.
/// The first piece must begin with [`is_room`]'s mark, so it must not be empty.
pub(super) fn goes_on(bytes: &[u8]) -> bool {
    bytes.chunks(LINES.len()).all(|chunk| *chunk == LINES[..chunk.len()])
}

/// The room at the end of a file, for those who look for it at many places: comparing all that follows at each line
/// that looks like room would take the square of the file's size.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Where the room begins; the size of the file where there is none.
    begins: usize,
}

impl End {
    /// Looks for it in `bytes`, which reach to the end of a file.
    pub(super) fn find(bytes: &[u8]) -> Self {
        // The mark stands once in a line, so its last place tells where all lines begin. Behind the last line with a
        // mark may follow less than a mark.
        let tail = bytes.len().saturating_sub(LINE_BYTES + MARK.len() - 1);
        let last = memmem::rfind(&bytes[tail..], MARK).map(|found| tail + found);
        let Some(mut begins) = last.filter(|last| is_room(&bytes[*last..])) else {
            return Self { begins: bytes.len() };
        };
        while bytes[..begins].ends_with(LINE) {
            begins -= LINE_BYTES;
        }
        Self { begins }
    }

    /// What [`is_room`] says of the bytes from `at` on.
    pub(super) fn is_at(self, bytes: &[u8], at: usize) -> bool {
        at >= self.begins && begins_like_room(&bytes[at..])
    }
}

/// Whether a line of the room may begin here.
pub(super) fn begins_like_room(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK)
}

/// Writes `size` bytes of room, a multiple of [`LINE_BYTES`], from `position` on.
///
/// # Errors
/// Any part of it may be in the file.
pub(super) fn make(file: &dyn StorageFile, position: u64, size: u64) -> io::Result<()> {
    let mut at = position;
    let end = position + size;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX).min(LINES.len());
        file.write_at(at, &LINES[..left])?;
        at += u64::try_from(left).expect("at most the lines at hand");
    }
    Ok(())
}

/// Lengthens the annotation at the end of `out` by a field without meaning, so that `position + out.len()` becomes a
/// multiple of [`LINE_BYTES`].
pub(super) fn pad(out: &mut Vec<u8>, position: u64) {
    const LINE: u64 = LINE_BYTES as u64;
    let over = (position + u64::try_from(out.len()).expect("a usize is at most 64 bits")) % LINE;
    let mut missing = usize::try_from((LINE - over) % LINE).expect("less than a line");
    if missing == 0 {
        return;
    }
    if missing < PAD.len() {
        missing += LINE_BYTES;
    }
    assert!(out.ends_with(b"\r\n"), "an annotation ends the bytes");
    out.truncate(out.len() - 2);
    out.extend_from_slice(PAD);
    out.resize(out.len() + missing - PAD.len(), b'.');
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::LogCrc;
    use crate::log::LogOffset;
    use crate::log::annotation::{self, ANNOTATION_BYTES_MAX, Annotation, Batch, Line, Parsed};

    #[test]
    fn room_is_whole_lines_and_maybe_a_part_of_one() {
        for size in [0, 1, 7, 8, 9, 63, 64, 65, 128, 64 * 1024, 64 * 1024 + 1, 200_000] {
            let room: Vec<u8> = LINE.iter().copied().cycle().take(size).collect();
            assert_eq!(is_room(&room), size >= MARK.len(), "{size}");
            for at in [0, size / 2, size.saturating_sub(1)] {
                let mut other = room.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= 1;
                    assert!(!is_room(&other), "{at} of {size}");
                }
            }
        }
        assert!(!is_room(&[LINE, &b"*1\r\n"[..]].concat()));
        assert!(!is_room(&LINE[1..]));
    }

    #[test]
    fn the_end_is_found_where_all_that_follows_is_room() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..300 {
            let mut bytes = Vec::new();
            for _ in 0..random.usize(0..8) {
                match random.u8(0..4) {
                    0 => bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
                    1 => bytes.extend_from_slice(&LINE[..random.usize(0..LINE_BYTES)]),
                    _ => bytes.extend_from_slice(LINE),
                }
            }
            if round % 3 == 0 && !bytes.is_empty() {
                let at = random.usize(0..bytes.len());
                bytes[at] ^= 1;
            }
            let end = End::find(&bytes);
            for at in 0..bytes.len() {
                let text = bytes.escape_ascii();
                assert_eq!(end.is_at(&bytes, at), is_room(&bytes[at..]), "{at} of {text}");
            }
        }
    }

    #[test]
    fn padded_annotations_end_where_a_line_begins_and_say_the_same() {
        let largest = Batch { end: LogOffset(u64::MAX), len: u64::MAX, sync: LogOffset(u64::MAX) };
        for batch in [Batch { end: LogOffset(7), len: 7, sync: LogOffset(0) }, largest] {
            let annotation = Annotation::Batch(batch);
            for position in 0..200_u64 {
                let mut out = Vec::new();
                annotation::write(&mut out, &annotation, &LogCrc::new());
                pad(&mut out, position);
                assert_eq!((position + out.len() as u64) % 64, 0);
                assert!(out.len() <= ANNOTATION_BYTES_MAX);
                let Parsed::Line(line) = Line::parse(&out) else { panic!("{position}") };
                assert_eq!((line.annotation, line.size), (annotation, out.len()));
                assert!(line.is_good(&LogCrc::new()));
            }
        }
    }
}
