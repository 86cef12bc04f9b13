//! Numbers as text: strict parsing of integers, and doubles in their shortest exact form.

/// Reads a canonical decimal integer: an optional minus, no plus, no leading zeros, no spaces, nothing behind.
///
/// Only the text that printing the number would give is accepted, so an integer can stand for the bytes it came from.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] => return if negative { None } else { Some(0) },
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // 19 digits cannot overflow 64 unsigned bits.
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Appends `value` in decimal.
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` in decimal.
pub fn push_usize(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a double as Redis 7.2 prints it: integers without a point, otherwise the shortest digits that read back as
/// the same number, with an exponent outside 10^-7 .. 10^21; `inf`, `-inf`, `nan`.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else {
        push_finite(out, value);
    }
}

/// Lays out the shortest digits of a finite, non-zero double.
fn push_finite(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let (digits, exponent) = digits_and_exponent(buffer.format_finite(value.abs()));
    if value < 0.0 {
        out.push(b'-');
    }
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    // The value is 0.DIGITS * 10^point.
    let point = count + exponent;
    if exponent >= 0 && point <= 21 {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', usize::try_from(exponent).unwrap_or(0)));
    } else if exponent < 0 && point > 0 {
        let split = usize::try_from(point).unwrap_or(0);
        out.extend_from_slice(&digits[..split]);
        out.push(b'.');
        out.extend_from_slice(&digits[split..]);
    } else if exponent < 0 && point > -6 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).unwrap_or(0)));
        out.extend_from_slice(&digits);
    } else {
        push_scientific(out, &digits, point - 1);
    }
}

fn push_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.push(b'e');
    out.push(if exponent < 0 { b'-' } else { b'+' });
    out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
}

/// Appends a double as C's `%.17g` prints it: scientific below 10^-4 and from 10^17 on, no zeros at the end of a fraction.
pub fn push_f64_of_17_digits(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() || value == 0.0 {
        return push_f64(out, value);
    }
    let scientific = format!("{value:.16e}");
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..17).contains(&power) {
        let decimals = usize::try_from(16 - power).unwrap_or(0);
        let fixed = format!("{value:.decimals$}");
        out.extend_from_slice(without_trailing_zeros(&fixed).as_bytes());
        return;
    }
    out.extend_from_slice(without_trailing_zeros(mantissa).as_bytes());
    out.extend_from_slice(if power < 0 { b"e-" } else { b"e+" });
    if power.abs() < 10 {
        out.push(b'0');
    }
    push_i64(out, i64::from(power.abs()));
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Splits a printed positive double into significant digits (no zeros at either end) and the power of ten of the last.
fn digits_and_exponent(text: &str) -> (Vec<u8>, i32) {
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let mut exponent = power - i32::try_from(fraction.len()).unwrap_or(0);
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
        exponent += 1;
    }
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count().min(digits.len() - 1);
    digits.drain(..zeros);
    (digits, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_read() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        };
        check("0", Some(0));
        check("-1", Some(-1));
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
        check("9223372036854775808", None);
        check("-9223372036854775809", None);
        check("99999999999999999999", None);
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1a", "0x10", "1.0", "--1"] {
            check(text, None);
        }
    }

    #[test]
    fn doubles_print_as_redis_7_2_does() {
        let check = |value: f64, expected: &str| {
            let mut out = Vec::new();
            push_f64(&mut out, value);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check(3.3, "3.3");
        check(0.1 + 0.2, "0.30000000000000004");
        check(1e17, "100000000000000000");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(0.00001, "0.00001");
        check(0.000_001, "0.000001");
        check(1e-7, "1e-7");
        check(-1.5e-9, "-1.5e-9");
        check(1.5e300, "1.5e+300");
        check(-0.0, "-0");
        check(f64::NEG_INFINITY, "-inf");
        check(123_456.75, "123456.75");
        check(f64::MIN_POSITIVE, "2.2250738585072014e-308");
    }

    #[test]
    fn printed_doubles_read_back_exactly() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let value = f64::from_bits(random.u64(..));
            if !value.is_finite() {
                continue;
            }
            let mut out = Vec::new();
            push_f64(&mut out, value);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }

    #[test]
    fn scores_with_seventeen_digits_look_as_c_prints_them() {
        let check = |score: f64, expected: &str| {
            let mut text = Vec::new();
            push_f64_of_17_digits(&mut text, score);
            assert_eq!(String::from_utf8_lossy(&text), expected);
        };
        check(1.0, "1");
        check(3.3, "3.2999999999999998");
        check(0.1, "0.10000000000000001");
        check(-2.5, "-2.5");
        check(1e300, "1.0000000000000001e+300");
        check(1e17, "1e+17");
        check(1e16, "10000000000000000");
        check(0.00001, "1.0000000000000001e-05");
        check(f64::NEG_INFINITY, "-inf");
    }
}
