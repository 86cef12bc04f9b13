//! Numbers as text: which strings are integers in disguise, and how scores are spelled.

/// The integer that `text` spells, if it is the one spelling that printing the integer would give back: no
/// sign but a minus, no leading zeros, no `-0`.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Summed below zero, where there is room for i64::MIN.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Appends `value` in decimal.
pub(crate) fn push_integer(value: i64, output: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        output.push(b'-');
    }
    output.extend_from_slice(&digits[at..]);
}

/// The score that `text` spells; NaN is none.
pub(crate) fn parse_score(text: &[u8]) -> Option<f64> {
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!score.is_nan()).then_some(score)
}

/// Appends the shortest text that reads back as `score`.
pub(crate) fn push_score(score: f64, output: &mut Vec<u8>) {
    assert!(!score.is_nan(), "scores are never NaN");
    // `{:?}` falls back to an exponent for very large and small numbers, where `{}` prints hundreds of digits.
    output.extend_from_slice(format!("{score:?}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_an_integer() {
        for value in [0, 1, -1, 9, 10, 127, -4096, i64::MAX, i64::MIN] {
            assert_eq!(parse_integer(value.to_string().as_bytes()), Some(value));
            let mut text = Vec::new();
            push_integer(value, &mut text);
            assert_eq!(text, value.to_string().as_bytes());
        }
        let others: [&[u8]; 13] = [
            b"",
            b"-",
            b"-0",
            b"00",
            b"01",
            b"+1",
            b" 1",
            b"1 ",
            b"1.0",
            b"1e3",
            b"-01",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in others {
            assert_eq!(parse_integer(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn scores_read_back_exactly() {
        for score in [0.1, -3.3, 1e300, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, 1e17] {
            let mut text = Vec::new();
            push_score(score, &mut text);
            assert_eq!(parse_score(&text), Some(score), "{}", text.escape_ascii());
            assert!(text.len() < 26);
        }
        for text in [&b"nan"[..], b"", b"1x", b"\xff"] {
            assert_eq!(parse_score(text), None);
        }
    }
}
