//! Names of a history and positions in it.

use std::fmt;
use std::str::FromStr;

/// Position in the log: the state after that many bytes of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogOffset(pub u64);

impl LogOffset {
    /// The position `bytes` later.
    ///
    /// # Panics
    /// Past 2^64 bytes.
    #[must_use]
    pub fn advanced(self, bytes: usize) -> Self {
        let bytes = u64::try_from(bytes).expect("a usize is at most 64 bits");
        Self(self.0.checked_add(bytes).expect("offsets stay below 2^64"))
    }

    /// Bytes from `earlier` to here; `None` when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for LogOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a history of the log: 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicationId([u8; 40]);

/// What is said of a text that is no replication id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a replication id is 40 lower-case hex digits")
    }
}

impl std::error::Error for ParseIdError {}

impl ReplicationId {
    /// The id that means "none": 40 zeros.
    pub const NONE: Self = Self([b'0'; 40]);

    /// The id spelled by `bytes`.
    ///
    /// # Errors
    /// When that is not 40 lower-case hex digits.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseIdError> {
        let id: [u8; 40] = bytes.try_into().map_err(|_| ParseIdError)?;
        let hex = id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex { Ok(Self(id)) } else { Err(ParseIdError) }
    }

    /// The id made of 20 (random) bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 20]) -> Self {
        let mut id = [0; 40];
        for (pair, byte) in id.chunks_exact_mut(2).zip(bytes) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        Self(id)
    }

    /// Its 40 digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 40] {
        &self.0
    }

    /// Its 40 digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }

    /// Whether this is [`Self::NONE`].
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

impl FromStr for ReplicationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The id of the bytes being written, and the former one with the offset up to which it names the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage {
    /// Replication id of the bytes that follow.
    pub id: ReplicationId,
    /// The former id, [`ReplicationId::NONE`] when there is none.
    pub id2: ReplicationId,
    /// Up to here (included) both ids name the same stream; 0 without a former id.
    pub off2: LogOffset,
}

impl Lineage {
    /// A history without a former id.
    #[must_use]
    pub fn new(id: ReplicationId) -> Self {
        Self { id, id2: ReplicationId::NONE, off2: LogOffset(0) }
    }

    /// What this becomes when `id` takes over at `offset`: the rule of a promotion and of a start after an unclean
    /// stop alike.
    #[must_use]
    pub fn succeeded_by(&self, id: ReplicationId, offset: LogOffset) -> Self {
        Self { id, id2: self.id, off2: offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_lower_case_hex_digits_are_an_id() {
        let good = "0123456789abcdef0123456789abcdef01234567";
        let id: ReplicationId = good.parse().unwrap();
        assert_eq!(id.to_string(), good);
        for bad in ["", &good[1..], &good.to_uppercase(), &good.replace('a', "g")] {
            assert_eq!(bad.parse::<ReplicationId>(), Err(ParseIdError), "{bad}");
        }
        assert!(ReplicationId::NONE.is_none());
        assert_eq!(ReplicationId::from_random([0xa5; 20]).to_string(), "a5".repeat(20));
    }

    #[test]
    fn offsets_count_bytes() {
        assert_eq!(LogOffset(5).advanced(3), LogOffset(8));
        assert_eq!(LogOffset(8).since(LogOffset(5)), Some(3));
        assert_eq!(LogOffset(5).since(LogOffset(8)), None);
    }
}
