//! Numbers in 80-bit extended precision: INCRBYFLOAT and HINCRBYFLOAT.
//!
//! Stock servers on x86 compute these two commands in the x87 format, in which 0.1 + 0.2 is printed as 0.3. Doubles would
//! give other digits, so the format is emulated: 64 bits of significand, 15 of exponent.
//!
//! Printing gives 17 digits behind the point, rounded half to even, less the zeros at the end: a number below half of
//! 10^-17 prints as 0, a large one with all its digits.

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round, Status};

/// A number in extended precision; finite or infinite, never NaN.
pub type Extended = X87DoubleExtended;

/// 0.
pub const ZERO: Extended = X87DoubleExtended::ZERO;

/// Longest text of a number, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// The number `number`, exactly.
pub fn from_i64(number: i64) -> Extended {
    X87DoubleExtended::from_i128(i128::from(number)).value
}

/// Reads a number as C does: decimal or hexadecimal, with point and exponent, or `inf`. `None` for what is no number, for
/// NaN, and for a number too large or (other than 0) too small for the format.
pub fn parse(text: &[u8]) -> Option<Extended> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let number = if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity")
    {
        X87DoubleExtended::INFINITY
    } else {
        parse_finite(digits)?
    };
    Some(if negative { -number } else { number })
}

fn parse_finite(digits: &[u8]) -> Option<Extended> {
    let text = std::str::from_utf8(digits).ok()?;
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match hexadecimal {
        Some(rest) => {
            let mantissa = check_shape(rest, u8::is_ascii_hexdigit, b'p')?;
            if mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                return Some(ZERO);
            }
            // The library insists on an exponent, C does not.
            let exponent = if mantissa.len() == rest.len() { "p0" } else { "" };
            X87DoubleExtended::from_str_r(&format!("0x{rest}{exponent}"), Round::NearestTiesToEven)
        }
        None => {
            let mantissa = check_shape(text, u8::is_ascii_digit, b'e')?;
            if mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                return Some(ZERO);
            }
            X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven)
        }
    };
    let parsed = parsed.ok()?;
    let lost = parsed.status.contains(Status::OVERFLOW) || parsed.value.is_zero();
    (!lost).then_some(parsed.value)
}

/// Checks that `text` is digits with at most one point, then maybe `mark` and a decimal exponent; gives what stands before
/// the mark.
fn check_shape(text: &str, is_digit: impl Fn(&u8) -> bool, mark: u8) -> Option<&str> {
    let split = text.bytes().position(|byte| byte.eq_ignore_ascii_case(&mark));
    let (mantissa, exponent) = text.split_at(split.unwrap_or(text.len()));
    let points = mantissa.bytes().filter(|&byte| byte == b'.').count();
    let digits = mantissa.bytes().filter(is_digit).count();
    if points > 1 || digits == 0 || points + digits != mantissa.len() {
        return None;
    }
    if let Some(exponent) = exponent.get(1..) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    Some(mantissa)
}

/// The sum; `None` if it is infinite or no number.
pub fn add(a: Extended, b: Extended) -> Option<Extended> {
    let sum = a.add_r(b, Round::NearestTiesToEven).value;
    sum.is_finite().then_some(sum)
}

/// Prints a finite number with at most 17 digits behind the point.
pub fn print(number: Extended) -> Vec<u8> {
    assert!(number.is_finite(), "what is not finite is refused before it is printed");
    let (significand, exponent) = parts(number);
    let mut text = if exponent >= 0 {
        let shift = usize::try_from(exponent).expect("not negative");
        print_shifted(significand, shift)
    } else {
        print_fraction(significand, exponent.unsigned_abs())
    };
    if number.is_negative() && text != b"0" {
        text.insert(0, b'-');
    }
    text
}

/// Significand and exponent: the magnitude of `number` is their first times two to the second.
///
/// ```text
///   bit 79      sign
///   bits 64-78  exponent, biased by 16383; 0 counts as 1
///   bits 0-63   significand, its first bit written out
/// ```
#[expect(clippy::cast_possible_truncation, reason = "the significand is the low 64 bits")]
fn parts(number: Extended) -> (u64, i32) {
    let bits = number.to_bits();
    let biased = i32::try_from((bits >> 64) & 0x7fff).expect("fifteen bits");
    (bits as u64, biased.max(1) - 16383 - 63)
}

/// `significand * 2^-shift`, rounded to 17 digits behind the point.
fn print_fraction(significand: u64, shift: u32) -> Vec<u8> {
    const SCALE: u128 = 100_000_000_000_000_000;
    // Below 2^121, so a larger shift leaves nothing.
    let scaled = u128::from(significand) * SCALE;
    let rounded = if shift >= 127 {
        0
    } else {
        let (whole, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
        let half = 1 << (shift - 1);
        whole + u128::from(rest > half || (rest == half && whole & 1 == 1))
    };
    let mut text = itoa::Buffer::new().format(rounded / SCALE).as_bytes().to_vec();
    let fraction = rounded % SCALE;
    if fraction > 0 {
        text.extend_from_slice(format!(".{fraction:017}").trim_end_matches('0').as_bytes());
    }
    text
}

/// `significand * 2^shift` with all its digits, nearly five thousand at most.
fn print_shifted(significand: u64, shift: usize) -> Vec<u8> {
    const BILLION: u64 = 1_000_000_000;
    // Nine decimal digits in each, the lowest first.
    let mut digits = vec![significand % BILLION, significand / BILLION % BILLION];
    digits.push(significand / BILLION / BILLION);
    let mut left = shift;
    while left > 0 {
        let step = left.min(30);
        let mut carry = 0;
        for digit in &mut digits {
            let value = (*digit << step) + carry;
            (*digit, carry) = (value % BILLION, value / BILLION);
        }
        while carry > 0 {
            digits.push(carry % BILLION);
            carry /= BILLION;
        }
        left -= step;
    }
    while digits.len() > 1 && digits.last() == Some(&0) {
        digits.pop();
    }
    let mut text = String::new();
    for (index, digit) in digits.iter().rev().enumerate() {
        text += &if index == 0 { digit.to_string() } else { format!("{digit:09}") };
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expected: &str) {
        let sum =
            add(parse(a.as_bytes()).expect(a), parse(b.as_bytes()).expect(b)).expect("finite");
        assert_eq!(String::from_utf8(print(sum)).unwrap(), expected, "{a} + {b}");
    }

    #[test]
    fn sums_are_those_of_extended_precision() {
        check("0.1", "0.2", "0.3");
        check("100000000000000000", "0.1", "100000000000000000.1015625");
        check("10.50", "0.1", "10.6");
        check("5.0e3", "2.0e2", "5200");
        check("0x10", "0x1p-1", "16.5");
        check("-0", "-0", "0");
        check("-1e-18", "0", "0");
        check("-3", "1.5", "-1.5");
        check("1e30", "0", "1000000000000000000024696061952");
        check(".5", "5.", "5.5");
        check("9223372036854775807", "1", "9223372036854775808");
    }

    #[test]
    fn only_numbers_of_the_format_are_read() {
        for text in ["", "-", ".", "e5", "1e", "1e+", " 1", "1 ", "1..2", "nan", "0x", "0xg", "1p5"]
        {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
        for text in ["1e5000", "1e-5000", "-1e99999999999", "0x1p20000", "infinit", "+-1", "1\0"] {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(parse(b"0e99999").unwrap().is_zero());
        assert!(parse(b"-Inf").unwrap().is_infinite());
        assert!(add(parse(b"inf").unwrap(), parse(b"-inf").unwrap()).is_none());
        assert!(parse(&[b'1'; TEXT_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn the_largest_number_prints_all_its_digits() {
        let text = print(X87DoubleExtended::largest());
        assert_eq!(text.len(), 4933);
        assert!(text.starts_with(b"118973149535723176502126385303097020516906332229462"));
    }
}
