//! Arguments as numbers, options and times, with the errors that clients know.

use super::context::Context;
use crate::keyspace::ExpireMode;
use crate::resp::number::parse_i64;
use crate::resp::{CommandError, errors};

/// `bytes` as a 64-bit integer in canonical form.
///
/// # Errors
/// `value is not an integer or out of range`.
#[inline]
pub fn integer(bytes: &[u8]) -> Result<i64, CommandError> {
    parse_i64(bytes).ok_or(errors::NOT_INTEGER)
}

/// `bytes` as an integer from `min` to `max`.
///
/// # Errors
/// `value is not an integer or out of range` for what is no integer, `error` for one outside the range.
pub fn integer_in(
    bytes: &[u8],
    range: std::ops::RangeInclusive<i64>,
    error: CommandError,
) -> Result<i64, CommandError> {
    let number = integer(bytes)?;
    if range.contains(&number) { Ok(number) } else { Err(error) }
}

/// Whether `argument` is the option `name`, which is given in upper case, in any case of letters.
#[inline]
pub fn is(argument: &[u8], name: &str) -> bool {
    argument.eq_ignore_ascii_case(name.as_bytes())
}

/// How a time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Millis,
    /// `EXAT`: seconds since 1970.
    UnixSeconds,
    /// `PXAT`: milliseconds since 1970.
    UnixMillis,
}

impl TimeUnit {
    /// The unit that an option names.
    pub fn of_option(argument: &[u8]) -> Option<TimeUnit> {
        const UNITS: [(&str, TimeUnit); 4] = [
            ("EX", TimeUnit::Seconds),
            ("PX", TimeUnit::Millis),
            ("EXAT", TimeUnit::UnixSeconds),
            ("PXAT", TimeUnit::UnixMillis),
        ];
        UNITS.into_iter().find(|(name, _)| is(argument, name)).map(|(_, unit)| unit)
    }

    /// `number` in this unit as milliseconds since 1970; `None` where that leaves 64 bits. May be negative.
    pub fn to_unix_ms(self, number: i64, now_ms: u64) -> Option<i64> {
        let ms = match self {
            TimeUnit::Seconds | TimeUnit::UnixSeconds => number.checked_mul(1000)?,
            TimeUnit::Millis | TimeUnit::UnixMillis => number,
        };
        match self {
            TimeUnit::Seconds | TimeUnit::Millis => ms.checked_add_unsigned(now_ms),
            TimeUnit::UnixSeconds | TimeUnit::UnixMillis => Some(ms),
        }
    }
}

/// The time an option of SET, SETEX or GETEX gives, in milliseconds since 1970. It may have passed already.
///
/// # Errors
/// It is no integer; or it is not above zero or leaves 64 bits: `invalid expire time`, with the command's name.
pub fn expire_at(ctx: &Context<'_>, unit: TimeUnit, bytes: &[u8]) -> Result<u64, CommandError> {
    let number = integer(bytes)?;
    let at = if number > 0 { unit.to_unix_ms(number, ctx.now_ms()) } else { None };
    at.and_then(|at| u64::try_from(at).ok())
        .ok_or_else(|| errors::invalid_expire(&ctx.entry.full_name))
}

/// Whether a key that is told to expire at `at_ms` is to be deleted right away. Not while loading, nor on a replica:
/// there the deletion comes from the log.
pub fn has_passed(ctx: &Context<'_>, at_ms: i64) -> bool {
    ctx.state.keyspace.expire_mode == ExpireMode::Delete
        && u64::try_from(at_ms).unwrap_or(0) <= ctx.now_ms()
}

/// Whether the command comes from a log or a primary, whose limits count, not ours.
#[inline]
pub fn must_obey(ctx: &Context<'_>) -> bool {
    ctx.state.keyspace.expire_mode == ExpireMode::Ignore
}

/// The longest string a command may make, in bytes: `proto-max-bulk-len`.
#[inline]
pub fn string_bytes_max(ctx: &Context<'_>) -> u64 {
    if must_obey(ctx) { i64::MAX.cast_unsigned() } else { ctx.state.config.proto_max_bulk_len }
}

/// The part of `length` elements that `start ..= end` selects, where negative numbers count from the end and those that
/// count past the start mean the start. `None` if it is empty.
pub fn range_of(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let from_end = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => length.saturating_sub(index.unsigned_abs()),
    };
    let (first, last) = (from_end(start), from_end(end).min(length.checked_sub(1)?));
    (first <= last).then_some((first, last))
}

/// As [`range_of`], for GETRANGE: two numbers from the end in the wrong order select nothing, though past the start they
/// would both mean the start.
pub fn forward_range_of(start: i64, end: i64, length: u64) -> Option<(u64, u64)> {
    let backward = start < 0 && end < 0 && start > end;
    if backward { None } else { range_of(start, end, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_either_end() {
        assert_eq!(range_of(0, -1, 5), Some((0, 4)));
        assert_eq!(range_of(-3, -2, 5), Some((2, 3)));
        assert_eq!(range_of(-100, 100, 5), Some((0, 4)));
        assert_eq!(range_of(-100, -90, 5), Some((0, 0)), "both ends stop at the first element");
        assert_eq!(range_of(5, 9, 5), None);
        assert_eq!(range_of(3, 2, 5), None);
        assert_eq!(range_of(-1, -2, 5), None);
        assert_eq!(range_of(-6, -8, 5), Some((0, 0)));
        assert_eq!(forward_range_of(-6, -8, 5), None);
        assert_eq!(range_of(0, -1, 0), None);
        assert_eq!(range_of(i64::MIN, i64::MAX, 5), Some((0, 4)));
    }

    #[test]
    fn times_that_leave_64_bits_are_refused() {
        assert_eq!(TimeUnit::Seconds.to_unix_ms(2, 500), Some(2500));
        assert_eq!(TimeUnit::UnixSeconds.to_unix_ms(2, 500), Some(2000));
        assert_eq!(TimeUnit::Seconds.to_unix_ms(i64::MAX / 1000 + 1, 0), None);
        assert_eq!(TimeUnit::Millis.to_unix_ms(i64::MAX, 1), None);
        assert_eq!(TimeUnit::UnixMillis.to_unix_ms(i64::MAX, 1), Some(i64::MAX));
        assert_eq!(TimeUnit::of_option(b"pxat"), Some(TimeUnit::UnixMillis));
        assert_eq!(TimeUnit::of_option(b"p"), None);
    }
}
