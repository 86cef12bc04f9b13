//! Intsets: sets of integers, sorted, all of one width.
//!
//! ```text
//! u32 LE width (2, 4 or 8) | u32 LE count | integers, signed, LE, ascending
//! ```

use super::{Corrupt, Item, fixed, size_u32};

const HEADER_BYTES: usize = 8;

/// Walks over an intset in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Intset {
    at: usize,
    width: usize,
    count: u64,
    previous: Option<i64>,
}

impl Intset {
    pub(crate) fn open(blob: &[u8]) -> Result<Self, Corrupt> {
        const SHORT: &str = "an intset is shorter than its header";
        let width = size_u32(blob, 0, SHORT)?;
        let count = size_u32(blob, 4, SHORT)?;
        if ![2, 4, 8].contains(&width) {
            return Err(Corrupt::new(0, "an intset has integers of an unknown width"));
        }
        if count.checked_mul(width) != Some(blob.len() - HEADER_BYTES) {
            return Err(Corrupt::new(4, "an intset's length is not the one it states"));
        }
        let count = u64::try_from(count).map_err(|_| Corrupt::new(4, SHORT))?;
        Ok(Self { at: HEADER_BYTES, width, count, previous: None })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn next(&mut self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        const CUT: &str = "an intset is cut";
        let at = self.at;
        if at == blob.len() {
            return Ok(None);
        }
        let value = match self.width {
            2 => i64::from(i16::from_le_bytes(fixed(blob, at, CUT)?)),
            4 => i64::from(i32::from_le_bytes(fixed(blob, at, CUT)?)),
            _ => i64::from_le_bytes(fixed(blob, at, CUT)?),
        };
        if self.previous.is_some_and(|previous| previous >= value) {
            return Err(Corrupt::new(at, "an intset's integers are not in ascending order"));
        }
        self.previous = Some(value);
        self.at += self.width;
        Ok(Some(Item::Int(value)))
    }
}

/// Collects integers for an intset.
#[derive(Debug, Default)]
pub(crate) struct IntsetWriter {
    values: Vec<i64>,
}

impl IntsetWriter {
    pub(crate) fn push(&mut self, value: i64) {
        self.values.push(value);
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }

    /// What was pushed, in that order.
    pub(crate) fn values(&self) -> &[i64] {
        &self.values
    }

    /// The intset of what was pushed. A value pushed twice is in it once.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.values.sort_unstable();
        self.values.dedup();
        let fits = |low, high| self.values.iter().all(|value| (low..=high).contains(value));
        let width: u8 = if fits(i64::from(i16::MIN), i64::from(i16::MAX)) {
            2
        } else if fits(i64::from(i32::MIN), i64::from(i32::MAX)) {
            4
        } else {
            8
        };
        let count = u32::try_from(self.values.len()).expect("callers keep intsets below 4 Gi");
        let mut blob = u32::from(width).to_le_bytes().to_vec();
        blob.extend_from_slice(&count.to_le_bytes());
        for value in &self.values {
            blob.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
        }
        blob
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packed, testing};
    use super::*;

    #[test]
    fn integers_come_back_sorted_at_every_width() {
        for (top, width) in [(32_767, 2), (32_768, 4), (2_147_483_647, 4), (2_147_483_648, 8)] {
            let mut writer = IntsetWriter::default();
            for value in [top, -1, 7, 7] {
                writer.push(value);
            }
            let blob = writer.finish();
            assert_eq!(blob[0], width);
            let expected: Vec<Vec<u8>> =
                vec![b"-1".into(), b"7".into(), top.to_string().into_bytes()];
            assert_eq!(testing::items(&blob, Packed::intset).unwrap(), expected);
            testing::damage(&blob, Packed::intset);
        }
    }

    #[test]
    fn unsorted_integers_and_odd_widths_are_refused() {
        assert!(testing::items(b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0", Packed::intset).is_err());
        assert!(testing::items(b"\x03\0\0\0\0\0\0\0", Packed::intset).is_err());
    }
}
