//! How a word is written in redis.conf, so that [`split_words`](crate::resp::inline::split_words) gives it back.

/// A word in double quotes, whatever it holds.
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
    use crate::resp::inline::split_words;
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
