//! Zipmaps: how servers before Redis 2.6 kept small hashes. Read, never written.
//!
//! ```text
//! u8 pairs, 254 and more = unknown | (length field | length free value | free bytes) ... | 0xFF
//! length: 1 byte below 254, or FE and u32 LE
//! ```

use super::{Corrupt, Item, fixed, size_u32};

const END: u8 = 0xff;
const LONG: u8 = 0xfe;

/// Walks over a zipmap: field, value, field, value.
#[derive(Debug, Clone)]
pub(crate) struct Zipmap {
    at: usize,
    seen: u64,
    pairs: Option<u64>,
}

impl Zipmap {
    pub(crate) fn open(blob: &[u8]) -> Result<Self, Corrupt> {
        let [pairs] = fixed(blob, 0, "a zipmap is empty")?;
        let pairs = (pairs < LONG).then_some(u64::from(pairs));
        Ok(Self { at: 1, seen: 0, pairs })
    }

    /// Items, two for each pair.
    pub(crate) fn count(&self) -> Option<u64> {
        self.pairs.map(|pairs| pairs * 2)
    }

    pub(crate) fn next(&mut self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        let start = self.at;
        let is_value = self.seen % 2 == 1;
        let [first] = fixed(blob, start, "a zipmap has no end mark")?;
        let (len, mut at) = match first {
            END if is_value => return Err(Corrupt::new(start, "a zipmap's field has no value")),
            END => return self.end(blob),
            LONG => (size_u32(blob, start + 1, "a zipmap's entry is cut")?, start + 5),
            short => (usize::from(short), start + 1),
        };
        let mut free = 0;
        if is_value {
            let [unused] = fixed(blob, at, "a zipmap's entry is cut")?;
            free = usize::from(unused);
            at += 1;
        }
        let item = Item::Bytes { start: at, len };
        let end = at.checked_add(len).and_then(|end| end.checked_add(free));
        let end = end.filter(|end| *end < blob.len());
        self.at = end.ok_or(Corrupt::new(start, "a zipmap's entry reaches past its end"))?;
        self.seen += 1;
        Ok(Some(item))
    }

    fn end(&self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        if self.at + 1 != blob.len() {
            return Err(Corrupt::new(self.at, "a zipmap ends before its last byte"));
        }
        if self.count().is_some_and(|count| count != self.seen) {
            return Err(Corrupt::new(0, "a zipmap's count is not the one it states"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packed, testing};

    #[test]
    fn pairs_with_free_bytes_and_long_lengths_are_read() {
        let mut blob = b"\x02\x03foo\x03\x02barXX\x00\xfe".to_vec();
        blob.extend_from_slice(&300_u32.to_le_bytes());
        blob.push(0);
        blob.extend_from_slice(&[b'v'; 300]);
        blob.push(0xff);
        let expected: Vec<Vec<u8>> =
            vec![b"foo".into(), b"bar".into(), b"".into(), vec![b'v'; 300]];
        assert_eq!(testing::items(&blob, Packed::zipmap).unwrap(), expected);
        testing::damage(&blob, Packed::zipmap);
    }

    #[test]
    fn a_field_without_a_value_is_refused() {
        assert!(testing::items(b"\x01\x01f\xff", Packed::zipmap).is_err());
    }
}
