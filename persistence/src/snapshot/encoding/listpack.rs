//! Listpacks: how servers since Redis 7.0 keep small collections, and stream nodes.
//!
//! ```text
//! u32 LE total bytes | u16 LE items, 65535 = more than can be said | entry ... | 0xFF
//! entry: encoding and data | backlen = length of encoding and data
//! ```
//!
//! | first byte | meaning |
//! |---|---|
//! | `0xxxxxxx` | 7-bit unsigned integer |
//! | `10xxxxxx` | string of up to 63 bytes |
//! | `110xxxxx` + 1 | 13-bit signed integer, big endian |
//! | `1110xxxx` + 1 | string of up to 4095 bytes, length big endian |
//! | `F0` + 4 | string, length little endian |
//! | `F1` +2, `F2` +3, `F3` +4, `F4` +8 | signed integer, little endian |
//! | `FF` | end |
//!
//! The backlen lets a reader walk backwards: seven bits per byte, the last byte holds the lowest, and every byte but the
//! first has its top bit set. Walking forwards relies on computing its size, so the limits are part of the format.

use super::{Corrupt, Item, fixed, parse_integer, size_u32};

pub(super) const HEADER_BYTES: usize = 6;
pub(super) const END: u8 = 0xff;
pub(super) const COUNT_UNKNOWN: u16 = u16::MAX;

/// Bytes of a listpack without items.
const LISTPACK_OVERHEAD: usize = HEADER_BYTES + 1;

/// Walks over a listpack from its first item to its last.
#[derive(Debug, Clone)]
pub(crate) struct Listpack {
    at: usize,
    seen: u64,
    count: Option<u64>,
}

impl Listpack {
    pub(crate) fn open(blob: &[u8]) -> Result<Self, Corrupt> {
        const SHORT: &str = "a listpack is shorter than its header";
        let total = size_u32(blob, 0, SHORT)?;
        let count = u16::from_le_bytes(fixed(blob, 4, SHORT)?);
        if total != blob.len() {
            return Err(Corrupt::new(0, "a listpack's length is not the one it states"));
        }
        if blob.len() < LISTPACK_OVERHEAD || blob.last() != Some(&END) {
            return Err(Corrupt::new(blob.len(), "a listpack has no end mark"));
        }
        let count = (count != COUNT_UNKNOWN).then_some(u64::from(count));
        Ok(Self { at: HEADER_BYTES, seen: 0, count })
    }

    pub(crate) fn count(&self) -> Option<u64> {
        self.count
    }

    /// Where in the blob the next item stands.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn next(&mut self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        let at = self.at;
        let Some(&first) = blob.get(at) else {
            return Err(Corrupt::new(at, "a listpack's entry reaches past its end"));
        };
        if first == END {
            if at + 1 != blob.len() {
                return Err(Corrupt::new(at, "a listpack ends before its last byte"));
            }
            if self.count.is_some_and(|count| count != self.seen) {
                return Err(Corrupt::new(at, "a listpack's item count is not the one it states"));
            }
            return Ok(None);
        }
        let (item, bytes) = entry(blob, at, first)?;
        let backlen_at = at.checked_add(bytes).filter(|end| *end < blob.len());
        let backlen_at =
            backlen_at.ok_or(Corrupt::new(at, "a listpack's entry reaches past its end"))?;
        let (expected, size) = backlen(bytes);
        if blob.get(backlen_at..backlen_at + size) != Some(&expected[..size]) {
            return Err(Corrupt::new(at, "a listpack's backward length does not fit its entry"));
        }
        self.at = backlen_at + size;
        self.seen += 1;
        Ok(Some(item))
    }
}

/// The first byte of a short string, with its length added.
pub(super) const SHORT: u8 = 0x80;

/// The longest short string.
pub(super) const SHORT_MAX: u8 = 0x3f;

/// The entry at `at`, and the length of its encoding and data. Ranges may reach past the blob: the caller checks.
pub(super) fn entry(blob: &[u8], at: usize, first: u8) -> Result<(Item, usize), Corrupt> {
    const CUT: &str = "a listpack's entry is cut";
    let second = || fixed::<1>(blob, at + 1, CUT).map(|[byte]| byte);
    let string = |header: usize, len: usize| {
        (Item::Bytes { start: at + header, len }, header.saturating_add(len))
    };
    Ok(match first {
        0x00..=0x7f => (Item::Int(i64::from(first)), 1),
        0x80..=0xbf => string(1, usize::from(first & 0x3f)),
        0xc0..=0xdf => {
            let raw = i64::from(first & 0x1f) << 8 | i64::from(second()?);
            (Item::Int(if raw >= 1 << 12 { raw - (1 << 13) } else { raw }), 2)
        }
        0xe0..=0xef => string(2, usize::from(first & 0x0f) << 8 | usize::from(second()?)),
        0xf0 => string(5, size_u32(blob, at + 1, CUT)?),
        0xf1 => (Item::Int(i64::from(i16::from_le_bytes(fixed(blob, at + 1, CUT)?))), 3),
        0xf2 => {
            let [a, b, c] = fixed(blob, at + 1, CUT)?;
            (Item::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        0xf3 => (Item::Int(i64::from(i32::from_le_bytes(fixed(blob, at + 1, CUT)?))), 5),
        0xf4 => (Item::Int(i64::from_le_bytes(fixed(blob, at + 1, CUT)?)), 9),
        0xf5..=0xff => return Err(Corrupt::new(at, "a listpack's entry has an unknown encoding")),
    })
}

/// The backward length of an entry of `bytes` bytes, and how many bytes it takes itself.
///
/// The limits are one or two short of what the bits could hold: that is how the format is.
#[expect(clippy::cast_possible_truncation, reason = "each byte takes seven bits")]
pub(super) fn backlen(bytes: usize) -> ([u8; 5], usize) {
    let size = match bytes {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let mut encoded = [0; 5];
    for (at, byte) in encoded[..size].iter_mut().enumerate() {
        let seven_bits = (bytes >> (7 * (size - 1 - at))) as u8 & 0x7f;
        *byte = if at == 0 { seven_bits } else { seven_bits | 0x80 };
    }
    (encoded, size)
}

/// How many bytes `item` takes in a listpack, its backward length included.
pub(crate) fn encoded_bytes(item: &[u8]) -> usize {
    let bytes = match parse_integer(item) {
        Some(value) => integer_bytes(value),
        None => match item.len() {
            0..=63 => 1 + item.len(),
            64..=4095 => 2 + item.len(),
            _ => 5 + item.len(),
        },
    };
    bytes + backlen(bytes).1
}

fn integer_bytes(value: i64) -> usize {
    match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    }
}

/// What an entry begins with: all of an integer, or what stands in front of a string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) bytes: [u8; 9],
    pub(super) len: usize,
    /// The item is an integer: nothing follows.
    pub(super) holds_all: bool,
}

/// The head of an item; the spelling of an integer becomes the integer.
#[inline]
pub(super) fn head(item: &[u8]) -> Head {
    parse_integer(item).map_or_else(|| Head::of_string(item), Head::of_integer)
}

impl Head {
    fn new(tag: &[u8], data: &[u8], holds_all: bool) -> Self {
        let (mut bytes, len) = ([0; 9], tag.len() + data.len());
        bytes[..tag.len()].copy_from_slice(tag);
        bytes[tag.len()..len].copy_from_slice(data);
        Self { bytes, len, holds_all }
    }

    pub(super) fn of_integer(value: i64) -> Self {
        let bytes = value.to_le_bytes();
        match integer_bytes(value) {
            1 => Self::new(&bytes[..1], &[], true),
            2 => {
                let [high, low] = [bytes[1], bytes[0]];
                Self::new(&[0xc0 | high & 0x1f, low], &[], true)
            }
            3 => Self::new(&[0xf1], &bytes[..2], true),
            4 => Self::new(&[0xf2], &bytes[..3], true),
            5 => Self::new(&[0xf3], &bytes[..4], true),
            _ => Self::new(&[0xf4], &bytes, true),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "each arm's range fits what is kept of it")]
    fn of_string(item: &[u8]) -> Self {
        match item.len() {
            len @ 0..=63 => Self::new(&[0x80 | len as u8], &[], false),
            len @ 64..=4095 => Self::new(&(0xe000 | len as u16).to_be_bytes(), &[], false),
            len => {
                assert!(u32::try_from(len).is_ok(), "items of 4 GiB do not go into a listpack");
                Self::new(&[0xf0], &(len as u32).to_le_bytes(), false)
            }
        }
    }
}

/// Builds a listpack.
#[derive(Debug)]
pub(crate) struct ListpackWriter {
    /// The header comes first, filled in at the end.
    blob: Vec<u8>,
    count: u64,
}

impl ListpackWriter {
    pub(crate) fn new() -> Self {
        Self { blob: vec![0; HEADER_BYTES], count: 0 }
    }

    /// Forgets all items; the memory stays.
    pub(crate) fn clear(&mut self) {
        self.blob.clear();
        self.blob.resize(HEADER_BYTES, 0);
        self.count = 0;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Length of the finished listpack.
    pub(crate) fn bytes(&self) -> usize {
        self.blob.len() + 1
    }

    /// Appends an item; the spelling of an integer becomes the integer.
    pub(crate) fn push(&mut self, item: &[u8]) {
        match parse_integer(item) {
            Some(value) => self.push_integer(value),
            None => self.push_string(item),
        }
    }

    pub(crate) fn push_integer(&mut self, value: i64) {
        let start = self.blob.len();
        let head = Head::of_integer(value);
        self.blob.extend_from_slice(&head.bytes[..head.len]);
        self.close(start);
    }

    fn push_string(&mut self, item: &[u8]) {
        let start = self.blob.len();
        let head = Head::of_string(item);
        self.blob.extend_from_slice(&head.bytes[..head.len]);
        self.blob.extend_from_slice(item);
        self.close(start);
    }

    /// Moves the items of another writer behind those of this one.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.blob.extend_from_slice(&other.blob[HEADER_BYTES..]);
        self.count += other.count;
        other.clear();
    }

    fn close(&mut self, start: usize) {
        let (encoded, size) = backlen(self.blob.len() - start);
        self.blob.extend_from_slice(&encoded[..size]);
        self.count += 1;
    }

    /// Ends the listpack and lends it; [`ListpackWriter::clear`] begins the next.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.blob.push(END);
        let total = u32::try_from(self.blob.len()).expect("callers keep listpacks below 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.blob[..4].copy_from_slice(&total.to_le_bytes());
        self.blob[4..6].copy_from_slice(&count.to_le_bytes());
        &self.blob
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packed, testing};
    use super::*;

    fn check(values: &[&[u8]]) -> Vec<u8> {
        let mut writer = ListpackWriter::new();
        for value in values {
            let before = writer.bytes();
            writer.push(value);
            assert_eq!(writer.bytes() - before, encoded_bytes(value));
        }
        let bytes = writer.bytes();
        let blob = writer.finish().to_vec();
        assert_eq!(blob.len(), bytes);
        assert_eq!(testing::items(&blob, Packed::listpack).unwrap(), values);
        blob
    }

    #[test]
    fn an_empty_listpack_is_seven_bytes() {
        assert_eq!(check(&[]), [7, 0, 0, 0, 0, 0, 0xff]);
    }

    #[test]
    fn integers_take_their_smallest_form() {
        assert_eq!(check(&[b"5"]), [9, 0, 0, 0, 1, 0, 5, 1, 0xff]);
        assert_eq!(check(&[b"-1"])[6..9], [0xdf, 0xff, 2]);
        assert_eq!(check(&[b"4096"])[6..10], [0xf1, 0, 0x10, 3]);
        for edge in [127, 128, 4095, 4096, 32767, 32768, 8_388_607, 8_388_608, i64::MAX] {
            for value in [edge, -edge, -edge - 1] {
                check(&[value.to_string().as_bytes()]);
            }
        }
    }

    #[test]
    fn strings_of_all_size_classes_come_back() {
        for len in [0, 1, 62, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 70_000] {
            check(&[&vec![b'x'; len], b"tail"]);
        }
        check(&[&vec![b'x'; 2_097_145], b"t", &vec![b'x'; 2_097_146], b"t"]);
    }

    #[test]
    fn backward_lengths_grow_at_the_limits_of_the_format() {
        let sizes = [127, 128, 16_382, 16_383, 2_097_150, 2_097_151, 268_435_454, 268_435_455];
        assert_eq!(sizes.map(|bytes| backlen(bytes).1), [1, 2, 2, 3, 3, 4, 4, 5]);
        assert_eq!(backlen(128).0[..2], [1, 0x80]);
    }

    #[test]
    fn damage_is_noticed_or_harmless() {
        let long = vec![b'y'; 200];
        let blob = check(&[b"one", b"22", b"-4000", b"123456789012", &long, b"", b"999999"]);
        testing::damage(&blob, Packed::listpack);
    }

    #[test]
    fn more_items_than_the_header_can_count_are_counted_by_walking() {
        let mut writer = ListpackWriter::new();
        for _ in 0..70_000 {
            writer.push_integer(1);
        }
        let blob = writer.finish();
        assert_eq!(blob[4..6], [0xff, 0xff]);
        assert_eq!(testing::items(blob, Packed::listpack).unwrap().len(), 70_000);
    }
}
