//! Ziplists: how servers before Redis 7.0 kept small collections. Read, never written.
//!
//! ```text
//! u32 LE total bytes | u32 LE offset of the last entry | u16 LE items, 65535 = unknown | entry ... | 0xFF
//! entry: length of the entry before (1 byte, or FE and u32 LE) | encoding | data
//! ```
//!
//! | encoding | meaning |
//! |---|---|
//! | `00xxxxxx` | string of up to 63 bytes |
//! | `01xxxxxx` + 1 | string of up to 16383 bytes, length big endian |
//! | `80` + 4 | string, length big endian |
//! | `C0` +2, `D0` +4, `E0` +8, `F0` +3, `FE` +1 | signed integer, little endian |
//! | `F1` to `FD` | the integers 0 to 12 |

use super::{Corrupt, Item, fixed, size_u32};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
const LONG_PREVIOUS: u8 = 0xfe;
const COUNT_UNKNOWN: u16 = u16::MAX;

/// Walks over a ziplist from its first item to its last.
#[derive(Debug, Clone)]
pub(crate) struct Ziplist {
    at: usize,
    previous_bytes: usize,
    seen: u64,
    count: Option<u64>,
}

impl Ziplist {
    pub(crate) fn open(blob: &[u8]) -> Result<Self, Corrupt> {
        const SHORT: &str = "a ziplist is shorter than its header";
        let total = size_u32(blob, 0, SHORT)?;
        let count = u16::from_le_bytes(fixed(blob, 8, SHORT)?);
        if total != blob.len() {
            return Err(Corrupt::new(0, "a ziplist's length is not the one it states"));
        }
        if blob.len() <= HEADER_BYTES || blob.last() != Some(&END) {
            return Err(Corrupt::new(blob.len(), "a ziplist has no end mark"));
        }
        let count = (count != COUNT_UNKNOWN).then_some(u64::from(count));
        Ok(Self { at: HEADER_BYTES, previous_bytes: 0, seen: 0, count })
    }

    pub(crate) fn count(&self) -> Option<u64> {
        self.count
    }

    pub(crate) fn next(&mut self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        let start = self.at;
        let [first] = fixed(blob, start, "a ziplist's entry reaches past its end")?;
        if first == END {
            return self.end(blob);
        }
        let (previous_bytes, at) = if first == LONG_PREVIOUS {
            (size_u32(blob, start + 1, "a ziplist's entry is cut")?, start + 5)
        } else {
            (usize::from(first), start + 1)
        };
        if previous_bytes != self.previous_bytes {
            return Err(Corrupt::new(start, "a ziplist's backward length does not fit"));
        }
        let (item, bytes) = entry(blob, at)?;
        // The end mark must still follow.
        let end = at.checked_add(bytes).filter(|end| *end < blob.len());
        self.at = end.ok_or(Corrupt::new(start, "a ziplist's entry reaches past its end"))?;
        self.previous_bytes = self.at - start;
        self.seen += 1;
        Ok(Some(item))
    }

    fn end(&self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        if self.at + 1 != blob.len() {
            return Err(Corrupt::new(self.at, "a ziplist ends before its last byte"));
        }
        if self.count.is_some_and(|count| count != self.seen) {
            return Err(Corrupt::new(self.at, "a ziplist's item count is not the one it states"));
        }
        let tail = size_u32(blob, 4, "a ziplist is shorter than its header")?;
        if tail != self.at - self.previous_bytes {
            return Err(Corrupt::new(4, "a ziplist's tail is not where it says"));
        }
        Ok(None)
    }
}

/// The encoding and data at `at`, and their length. Ranges may reach past the blob: the caller checks.
fn entry(blob: &[u8], at: usize) -> Result<(Item, usize), Corrupt> {
    const CUT: &str = "a ziplist's entry is cut";
    let [first] = fixed(blob, at, CUT)?;
    let string = |header: usize, len: usize| {
        (Item::Bytes { start: at + header, len }, header.saturating_add(len))
    };
    Ok(match first {
        0x00..=0x3f => string(1, usize::from(first)),
        0x40..=0x7f => {
            let [low] = fixed(blob, at + 1, CUT)?;
            string(2, usize::from(first & 0x3f) << 8 | usize::from(low))
        }
        0x80 => {
            let len = u32::from_be_bytes(fixed(blob, at + 1, CUT)?);
            string(5, usize::try_from(len).map_err(|_| Corrupt::new(at, CUT))?)
        }
        0xc0 => (Item::Int(i64::from(i16::from_le_bytes(fixed(blob, at + 1, CUT)?))), 3),
        0xd0 => (Item::Int(i64::from(i32::from_le_bytes(fixed(blob, at + 1, CUT)?))), 5),
        0xe0 => (Item::Int(i64::from_le_bytes(fixed(blob, at + 1, CUT)?)), 9),
        0xf0 => {
            let [a, b, c] = fixed(blob, at + 1, CUT)?;
            (Item::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        0xf1..=0xfd => (Item::Int(i64::from(first & 0x0f) - 1), 1),
        0xfe => {
            let [byte] = fixed(blob, at + 1, CUT)?;
            (Item::Int(i64::from(byte.cast_signed())), 2)
        }
        _ => return Err(Corrupt::new(at, "a ziplist's entry has an unknown encoding")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Packed, testing};

    /// A ziplist of raw entries (encoding and data).
    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut previous, mut tail) = (Vec::new(), 0_usize, 10);
        for entry in entries {
            tail = 10 + body.len();
            let before = body.len();
            if previous < 254 {
                body.push(u8::try_from(previous).unwrap());
            } else {
                body.push(0xfe);
                body.extend_from_slice(&u32::try_from(previous).unwrap().to_le_bytes());
            }
            body.extend_from_slice(entry);
            previous = body.len() - before;
        }
        let total = u32::try_from(11 + body.len()).unwrap();
        let mut blob = total.to_le_bytes().to_vec();
        blob.extend_from_slice(&u32::try_from(tail).unwrap().to_le_bytes());
        blob.extend_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
        blob.extend_from_slice(&body);
        blob.push(0xff);
        blob
    }

    #[test]
    fn every_encoding_is_read() {
        let long = [&[0x41, 0x2c][..], &[b'z'; 300]].concat();
        let huge = [&[0x80, 0, 0, 0x40, 0][..], &[b'h'; 16384]].concat();
        let blob = ziplist(&[
            b"\x03abc",
            b"\x00",
            &long,
            &huge,
            b"\xc0\xff\x7f",
            b"\xd0\xff\xff\xff\xff",
            b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80",
            b"\xf0\xff\xff\x7f",
            b"\xf0\x00\x00\x80",
            b"\xfe\x80",
            b"\xf1",
            b"\xfd",
        ]);
        let expected: Vec<Vec<u8>> = vec![
            b"abc".into(),
            b"".into(),
            vec![b'z'; 300],
            vec![b'h'; 16384],
            b"32767".into(),
            b"-1".into(),
            b"-9223372036854775808".into(),
            b"8388607".into(),
            b"-8388608".into(),
            b"-128".into(),
            b"0".into(),
            b"12".into(),
        ];
        assert_eq!(testing::items(&blob, Packed::ziplist).unwrap(), expected);
    }

    #[test]
    fn empty_ziplist_has_its_tail_behind_the_header() {
        assert!(testing::items(&ziplist(&[]), Packed::ziplist).unwrap().is_empty());
    }

    #[test]
    fn damage_is_noticed_or_harmless() {
        let long = [&[0x41, 0x2c][..], &[b'z'; 300]].concat();
        let blob = ziplist(&[b"\x03abc", &long, b"\xc0\x01\x02", b"\xf5", b"\xfe\x01"]);
        testing::damage(&blob, Packed::ziplist);
    }
}
