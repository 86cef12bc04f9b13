//! Ids of stream entries as text.

use highwater_persistence::snapshot::StreamId;

use crate::resp::number::parse_i64;
use crate::resp::{CommandError, Reply};
use crate::types::MAX_ID;

const INVALID: CommandError =
    CommandError::new("ERR Invalid stream ID specified as stream command argument");

/// The longest text that can be an id.
const TEXT_BYTES_MAX: usize = 127;

/// An id as XADD takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenId {
    /// All of it.
    Whole(StreamId),
    /// `ms-*`: the node chooses what comes behind.
    Millis(u64),
}

/// `ms-seq` or `ms`, where `seq` is missing; also `-` for the lowest id and `+` for the highest.
///
/// # Errors
/// It is no id.
pub(super) fn parse_id(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::ZERO),
        b"+" => Ok(MAX_ID),
        _ => parse_strict_id(text, seq),
    }
}

/// As [`parse_id`], without `-` and `+`.
///
/// # Errors
/// It is no id.
pub(super) fn parse_strict_id(text: &[u8], seq: u64) -> Result<StreamId, CommandError> {
    match split(text) {
        Some((ms, None)) => Ok(StreamId::new(ms, seq)),
        Some((ms, Some(rest))) => parse_u64(rest).map(|seq| StreamId::new(ms, seq)).ok_or(INVALID),
        None => Err(INVALID),
    }
}

/// An id that may end with `*`.
///
/// # Errors
/// It is no id.
pub(super) fn parse_given_id(text: &[u8]) -> Result<GivenId, CommandError> {
    match split(text) {
        Some((ms, Some(b"*"))) => Ok(GivenId::Millis(ms)),
        _ => parse_strict_id(text, 0).map(GivenId::Whole),
    }
}

/// The first id of an interval; `(` in front of it excludes it.
///
/// # Errors
/// It is no id, or there is none behind it.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => next_id(parse_strict_id(text, 0)?)
            .ok_or(CommandError::new("ERR invalid start ID for the interval")),
        _ => parse_id(text, 0),
    }
}

/// The last id of an interval; `(` in front of it excludes it.
///
/// # Errors
/// It is no id, or there is none in front of it.
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', text @ ..] if !text.is_empty() => previous_id(parse_strict_id(text, u64::MAX)?)
            .ok_or(CommandError::new("ERR invalid end ID for the interval")),
        _ => parse_id(text, u64::MAX),
    }
}

/// The id behind `id`.
pub(super) fn next_id(id: StreamId) -> Option<StreamId> {
    match id.seq.checked_add(1) {
        Some(seq) => Some(StreamId::new(id.ms, seq)),
        None => id.ms.checked_add(1).map(|ms| StreamId::new(ms, 0)),
    }
}

/// The id in front of `id`.
fn previous_id(id: StreamId) -> Option<StreamId> {
    match id.seq.checked_sub(1) {
        Some(seq) => Some(StreamId::new(id.ms, seq)),
        None => id.ms.checked_sub(1).map(|ms| StreamId::new(ms, u64::MAX)),
    }
}

/// Milliseconds, and what stands behind the first dash. A zero byte ends the text, as in stock servers.
fn split(text: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next()?;
    match text.iter().position(|byte| *byte == b'-') {
        Some(dash) => Some((parse_u64(&text[..dash])?, Some(&text[dash + 1..]))),
        None => Some((parse_u64(text)?, None)),
    }
}

/// A number as C's `strtoull` takes it, but for negative ones in canonical form: blanks and a sign may stand in front.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if negative { number.wrapping_neg() } else { number })
}

/// An id as text, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdText {
    bytes: [u8; 41],
    len: usize,
}

impl IdText {
    pub(super) fn new(id: StreamId) -> Self {
        let mut text = Self { bytes: [0; 41], len: 0 };
        let mut buffer = itoa::Buffer::new();
        text.push(buffer.format(id.ms).as_bytes());
        text.push(b"-");
        text.push(buffer.format(id.seq).as_bytes());
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Answers an id.
pub(super) fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(IdText::new(id).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_stock_reads_them() {
        let check = |text: &[u8], expected: Option<(u64, u64)>| {
            let found = parse_id(text, 7).ok().map(|id| (id.ms, id.seq));
            assert_eq!(found, expected, "{}", text.escape_ascii());
        };
        check(b"5-3", Some((5, 3)));
        check(b"5", Some((5, 7)));
        check(b"-", Some((0, 0)));
        check(b"+", Some((u64::MAX, u64::MAX)));
        check(b"007-+1", Some((7, 1)));
        check(b" 1- 2", Some((1, 2)));
        check(b"1--2", None);
        check(b"1- -2", Some((1, u64::MAX - 1)));
        check(b"18446744073709551615-1", Some((u64::MAX, 1)));
        check(b"18446744073709551616-1", None);
        check(b"1-\0x", None);
        check(b"1\0x", Some((1, 7)));
        for wrong in ["", "x", "1-", "1-x", "-1", "1-1-1", "1-*", "*", "(", "++"] {
            check(wrong.as_bytes(), None);
        }
        check(&[b'1'; 128], None);
    }

    #[test]
    fn intervals_may_exclude_their_ends() {
        assert_eq!(parse_start(b"(1-5"), Ok(StreamId::new(1, 6)));
        assert_eq!(parse_end(b"(1-0"), Ok(StreamId::new(0, u64::MAX)));
        assert_eq!(parse_end(b"1"), Ok(StreamId::new(1, u64::MAX)));
        assert!(parse_end(b"(0-0").is_err_and(|error| error.text().contains("end ID")));
        assert!(parse_start(b"(-").is_err() && parse_start(b"(").is_err());
    }
}
