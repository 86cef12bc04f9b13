//! Lines of words as in redis.conf: bare, in double quotes with escapes, or in single quotes.

/// Splits a line into words. Quotes may also open inside a word; behind a closing one there is space or the end.
/// `None` for unbalanced quotes.
pub(crate) fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let bare = rest.iter().position(|byte| byte.is_ascii_whitespace() || b"\"'".contains(byte));
        let bare = bare.unwrap_or(rest.len());
        let mut word = rest[..bare].to_vec();
        let length = match rest.get(bare) {
            Some(b'"') => double_quoted(&rest[bare + 1..], &mut word)?,
            Some(b'\'') => single_quoted(&rest[bare + 1..], &mut word)?,
            _ => 0,
        };
        rest = &rest[bare + length..];
        if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return None;
        }
        rest = rest.trim_ascii_start();
        words.push(word);
    }
    Some(words)
}

/// Appends what stands behind an opening `"`; the length in the line, both quotes included.
fn double_quoted(rest: &[u8], word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        match *rest.get(at)? {
            b'"' => return Some(at + 2),
            b'\\' => {
                let escaped = *rest.get(at + 1)?;
                let digits = rest.get(at + 2..at + 4).unwrap_or_default();
                match (escaped, hex_byte(digits)) {
                    (b'x', Some(byte)) => {
                        word.push(byte);
                        at += 4;
                        continue;
                    }
                    (b'n', _) => word.push(b'\n'),
                    (b'r', _) => word.push(b'\r'),
                    (b't', _) => word.push(b'\t'),
                    (b'b', _) => word.push(8),
                    (b'a', _) => word.push(7),
                    (other, _) => word.push(other),
                }
                at += 2;
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that two hexadecimal digits stand for.
fn hex_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 2)?;
    // The parser would take a sign.
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(text, 16).ok())?
}

/// As [`double_quoted`], behind an opening `'`, where only `\'` is an escape.
fn single_quoted(rest: &[u8], word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        match *rest.get(at)? {
            b'\'' => return Some(at + 2),
            b'\\' if rest.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// `word`, in quotes with escapes where the grammar needs them.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for byte in word.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b'\n' => text += "\\n",
            b'\r' => text += "\\r",
            b'\t' => text += "\\t",
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_in_redis_conf() {
        let check = |line: &str, expected: Option<&[&str]>| {
            let words = split_words(line.as_bytes()).map(|words| {
                words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(
                words.as_deref(),
                expected.map(|e| e.iter().map(|w| w.to_string()).collect::<Vec<_>>()).as_deref()
            );
        };
        check("  a  b\tc \n", Some(&["a", "b", "c"]));
        check("\"a \\x41\\n\\\"\" '' 'it\\'s'", Some(&["a A\n\"", "", "it's"]));
        check("a\"b c\" d'e f'", Some(&["ab c", "de f"]));
        check("\"\\x+f\"", Some(&["x+f"]));
        check("a\"b", None);
        check("\"a\"b", None);
        check("'a", None);
        check(&quoted("a \"\\\t\u{1}"), Some(&["a \"\\\t\u{1}"]));
        check("", Some(&[]));
    }
}
