//! Doubles as clients write them: scores, bounds of scores, coordinates.

use rustc_apfloat::ieee::Double;
use rustc_apfloat::{Float, Round};

use crate::resp::{CommandError, errors};

/// `bytes` as a number; infinities are numbers.
///
/// # Errors
/// `value is not a valid float`: also for NaN, and for what is too large or (other than 0) too small for a double.
#[inline]
pub(super) fn number(bytes: &[u8]) -> Result<f64, CommandError> {
    number_or(bytes, errors::NOT_FLOAT)
}

/// As [`number`], with another error.
///
/// # Errors
/// `error`.
pub(super) fn number_or(bytes: &[u8], error: CommandError) -> Result<f64, CommandError> {
    match parse(bytes) {
        Some(Parsed { value, fits: true }) => Ok(value),
        _ => Err(error),
    }
}

/// `bytes` as C's `strtod` reads them where only what is left over counts as an error, as stock does for bounds: spaces in
/// front, nothing at all (which is 0), and numbers too large for a double are taken. `None` for NaN too.
pub(super) fn lenient(bytes: &[u8]) -> Option<f64> {
    parse_c_string(c_string(bytes)).map(|parsed| parsed.value)
}

/// As [`lenient`], and what a double cannot hold is refused, as stock does for the weights of SORT: what is too large, and
/// decimal fractions so small that digits are lost.
pub(super) fn strict(bytes: &[u8]) -> Option<f64> {
    let text = c_string(bytes);
    let Parsed { value, fits } = parse_c_string(text)?;
    let is_hexadecimal = text.iter().any(|byte| matches!(byte, b'x' | b'X'));
    (fits && (is_hexadecimal || !value.is_subnormal())).then_some(value)
}

/// What C takes for the string: all in front of the first zero byte.
fn c_string(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// The number in a string of C's: spaces in front are passed over, nothing at all is 0.
fn parse_c_string(text: &[u8]) -> Option<Parsed> {
    if text.is_empty() {
        return Some(Parsed { value: 0.0, fits: true });
    }
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let spaces = text.iter().take_while(|byte| space(byte)).count();
    parse(&text[spaces..])
}

/// A number, not NaN.
struct Parsed {
    value: f64,
    /// Neither too large nor too small for a double.
    fits: bool,
}

fn parse(bytes: &[u8]) -> Option<Parsed> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with("0x") || digits.starts_with("0X") {
        return hexadecimal(digits, text.starts_with('-'));
    }
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    let named = digits.starts_with(['i', 'I']);
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let fits = named || (value.is_finite() && (value != 0.0 || is_zero));
    Some(Parsed { value, fits })
}

/// `0x`, digits with at most one point, and perhaps `p` and a power of two.
fn hexadecimal(text: &str, negative: bool) -> Option<Parsed> {
    let rest = &text[2..];
    let (mantissa, power) = match rest.split_once(['p', 'P']) {
        Some((mantissa, power)) => (mantissa, power),
        None => (rest, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if whole.len() + fraction.len() == 0 || !is_hex(whole) || !is_hex(fraction) {
        return None;
    }
    let power_digits = power.strip_prefix(['-', '+']).unwrap_or(power);
    if power_digits.is_empty() || !power_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sign = if negative { -1.0 } else { 1.0 };
    if mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        return Some(Parsed { value: 0.0f64 * sign, fits: true });
    }
    // Powers beyond these are beyond all doubles, whatever digits an argument has room for.
    let power = power.parse::<i64>().ok().filter(|power| power.abs() < 1 << 40)?;
    let text = format!("0x{mantissa}p{power}");
    let parsed = Double::from_str_r(&text, Round::NearestTiesToEven).ok()?.value;
    let value = f64::from_bits(u64::try_from(parsed.to_bits()).ok()?);
    Some(Parsed { value: value * sign, fits: value.is_finite() && value != 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        let check = |text: &str, expected: Option<f64>| {
            let found = number(text.as_bytes()).ok();
            assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits), "{text:?}");
        };
        check("1", Some(1.0));
        check("-0", Some(-0.0));
        check("+.5e1", Some(5.0));
        check("5.", Some(5.0));
        check("inf", Some(f64::INFINITY));
        check("-Infinity", Some(f64::NEG_INFINITY));
        check("1e-310", Some(1e-310));
        check("0e-999", Some(0.0));
        check("0x10", Some(16.0));
        check("-0x.8p1", Some(-1.0));
        check("0x0", Some(0.0));
        for text in
            ["", " 1", "1 ", "nan", "1e400", "1e-400", "0x", "0x1p-2000", "e5", ".", "1e", "0xg"]
        {
            check(text, None);
        }
    }

    #[test]
    fn bounds_are_read_with_less_care() {
        assert_eq!(lenient(b""), Some(0.0));
        assert_eq!(lenient(b" 1"), Some(1.0));
        assert_eq!(lenient(b"1e400"), Some(f64::INFINITY));
        assert_eq!(lenient(b"1\0x"), Some(1.0));
        for text in [&b"nan"[..], b" ", b"1 ", b"x"] {
            assert_eq!(lenient(text), None);
        }
    }
}
