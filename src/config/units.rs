//! Numbers with units, as redis.conf writes them.

/// Bytes in `text`: digits and one of `b k kb m mb g gb`, in any case. `k` is a thousand and `kb` is 1024, and so on.
///
/// `None` if `text` is anything else. An empty text is 0, as stock servers have it. What does not fit becomes
/// `u64::MAX`. (Differs: stock wraps around where the unit overflows.)
#[must_use]
pub fn memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() {
        return text.is_empty().then_some(0);
    }
    // Only digits are left: the one way to fail is to be too large.
    Some(number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor))
}

/// A whole number in its shortest form: no plus sign, no leading zero, no blanks.
#[must_use]
pub(super) fn integer(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    // Only the canonical form prints as it was read: this refuses `+1`, `01` and `-0`.
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_takes_the_units_of_redis_conf() {
        let check = |text: &str, expected| assert_eq!(memory(text), expected, "{text:?}");
        check("0", Some(0));
        check("", Some(0));
        check("1b", Some(1));
        check("5k", Some(5000));
        check("5KB", Some(5120));
        check("2m", Some(2_000_000));
        check("2mB", Some(2 << 20));
        check("1g", Some(1_000_000_000));
        check("1gb", Some(1 << 30));
        check("18446744073709551616", Some(u64::MAX));
        check("17179869184gb", Some(u64::MAX));
        for wrong in ["-1", "+5", " 5", "5 ", "1 kb", "1.5gb", "0x10", "1t", "1kbb", "kb", "b"] {
            check(wrong, None);
        }
    }

    #[test]
    fn integer_is_canonical() {
        let check = |text: &str, expected| assert_eq!(integer(text), expected, "{text:?}");
        check("0", Some(0));
        check("-1", Some(-1));
        check("9223372036854775807", Some(i64::MAX));
        for wrong in ["", "+5", "05", "-0", " 5", "5 ", "0x5", "9223372036854775808", "1e3"] {
            check(wrong, None);
        }
    }
}
