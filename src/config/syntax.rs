//! The words of a line of redis.conf, and how a word is quoted.

/// Splits a line into words at blanks. A word may be in double quotes, with `\n \r \t \b \a \xHH` and `\` before a
/// literal, or in single quotes, with `\'`. `None` if a quote is not closed, or is followed by anything but a blank.
#[must_use]
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        rest = &rest[blanks..];
        // A zero byte ends a line, as it does for stock servers.
        if rest.first().is_none_or(|byte| *byte == 0) {
            return Some(words);
        }
        let (word, length) = next_word(rest)?;
        words.push(word);
        rest = &rest[length..];
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The word at the start of `text`, and how much of the text it takes. Quotes may start inside a word: `a"b c"` is one.
fn next_word(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            0 => break,
            byte if is_blank(byte) => break,
            b'"' | b'\'' => {
                at += 1 + quoted(&text[at + 1..], byte, &mut word)?;
                let closed = text.get(at).is_none_or(|byte| is_blank(*byte) || *byte == 0);
                return closed.then_some((word, at));
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
    Some((word, at))
}

/// Appends what is inside quotes to `word`; returns its length, the closing quote included.
fn quoted(text: &[u8], quote: u8, word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        match (*text.get(at)?, quote) {
            (0, _) => return None,
            (byte, quote) if byte == quote => return Some(at + 1),
            (b'\\', b'\'') if text.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            (b'\\', b'"') if text.len() > at + 1 => {
                let (byte, length) = escape(&text[at + 1..]);
                word.push(byte);
                at += 1 + length;
            }
            (byte, _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that an escape stands for, and its length behind the backslash.
fn escape(text: &[u8]) -> (u8, usize) {
    let hex = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (text[0], hex(1), hex(2)) {
        (b'x', Some(high), Some(low)) => {
            (u8::try_from(high * 16 + low).expect("two digits make a byte"), 3)
        }
        (b'n', ..) => (b'\n', 1),
        (b'r', ..) => (b'\r', 1),
        (b't', ..) => (b'\t', 1),
        (b'b', ..) => (0x08, 1),
        (b'a', ..) => (0x07, 1),
        (byte, ..) => (byte, 1),
    }
}

/// A word in double quotes, so that [`split_words`] gives it back.
#[must_use]
pub fn quote(word: &[u8]) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    text.push('"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => text.extend(['\\', char::from(byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(byte)),
            byte => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// A word as it is, if it can stand without quotes; else quoted.
pub(super) fn quote_if_needed(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\#".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(plain) => text.to_owned(),
        _ => quote(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &[&str]) {
        let expected: Vec<Vec<u8>> = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(split_words(line.as_bytes()), Some(expected), "{line}");
    }

    #[test]
    fn words_are_split_at_blanks() {
        check("", &[]);
        check("  port\t6379 \r\n", &["port", "6379"]);
        check("save 60 1", &["save", "60", "1"]);
    }

    #[test]
    fn quotes_keep_blanks_and_escapes() {
        check(r#"a "b c" d"#, &["a", "b c", "d"]);
        check(r#"a "" ''"#, &["a", "", ""]);
        check(r#""\n\r\t\b\a\x41\q\"\\""#, &["\n\r\t\u{8}\u{7}Aq\"\\"]);
        check(r#""\x4""#, &["x4"]);
        check(r"'a\'b\n'", &[r"a'b\n"]);
        check(r#"x"y z""#, &["xy z"]);
    }

    #[test]
    fn open_quotes_are_refused() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#"a "b\"#, r#""a\""#] {
            assert_eq!(split_words(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn plain_words_stay_bare() {
        assert_eq!(quote_if_needed(b"/var/lib"), "/var/lib");
        assert_eq!(quote_if_needed(b""), "\"\"");
        assert_eq!(quote_if_needed(b"a b"), "\"a b\"");
        assert_eq!(quote_if_needed(b"#x"), "\"#x\"");
        assert_eq!(quote_if_needed(&[0xff]), r#""\xff""#);
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..20), 0..5)
        ) {
            let line: Vec<String> = words.iter().map(|word| quote_if_needed(word)).collect();
            prop_assert_eq!(split_words(line.join(" ").as_bytes()), Some(words));
        }

        #[test]
        fn any_line_is_survived(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _words = split_words(&line);
        }
    }
}
