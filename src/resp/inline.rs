//! Inline commands: a line of words, as people type them into a bare connection.

use std::ops::Range;

use super::limits::LINE_BYTES_MAX;
use super::number::push_usize;
use super::request::ProtocolError;

/// A line at the start of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The line without its end.
    pub text: &'a [u8],
    /// Its bytes, line end included.
    pub bytes: usize,
}

/// The line at the start of `buffer`; nothing when its end has not come.
///
/// # Errors
/// It is longer than [`LINE_BYTES_MAX`].
pub fn line(buffer: &[u8]) -> Result<Option<Line<'_>>, ProtocolError> {
    match memchr::memchr(b'\n', buffer) {
        Some(end) => {
            let text = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
            Ok(Some(Line { text, bytes: end + 1 }))
        }
        None if buffer.len() > LINE_BYTES_MAX => {
            Err(ProtocolError("too big inline request".to_owned()))
        }
        None => Ok(None),
    }
}

/// Where the words of a line lie in it; nothing when some byte of it has a meaning ([`split_words`]).
pub fn plain_words(line: &[u8]) -> Option<impl Iterator<Item = Range<usize>>> {
    if line.iter().any(|byte| matches!(byte, b'"' | b'\'' | 0 | 0x0b | 0x0c)) {
        return None;
    }
    let mut at = 0;
    Some(std::iter::from_fn(move || {
        let start = at + line[at..].iter().position(|byte| !is_blank(*byte))?;
        at = line[start..]
            .iter()
            .position(|byte| is_blank(*byte))
            .map_or(line.len(), |len| start + len);
        Some(start..at)
    }))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The words of a line as a RESP array; nothing where there are none.
///
/// # Errors
/// Its quotes are not balanced.
pub fn encoded(line: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
    let words = split_words(line)
        .ok_or_else(|| ProtocolError("unbalanced quotes in request".to_owned()))?;
    Ok((!words.is_empty()).then(|| encode(&words)))
}

/// Encodes words as a RESP array of bulk strings.
pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut out = Vec::with_capacity(words.iter().map(|word| word.as_ref().len() + 16).sum());
    encode_into(&mut out, words);
    out
}

/// Appends words to `out` as a RESP array of bulk strings. Nothing is allocated but room in `out`.
pub fn encode_into<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    out.push(b'*');
    push_usize(out, words.len());
    out.extend_from_slice(b"\r\n");
    for word in words.iter().map(AsRef::as_ref) {
        out.push(b'$');
        push_usize(out, word.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Splits a line into words: blanks separate; `"..."` knows `\n \r \t \b \a \xHH \\ \"`, `'...'` knows `\'`; a closing
/// quote must be followed by a blank. Nothing when the quotes are not balanced.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() || rest[0] == 0 {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?;
        words.push(word);
    }
}

/// Reads one word at the start of `rest`; returns what is behind it.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some(rest),
            [quote @ (b'"' | b'\''), inner @ ..] => {
                rest = read_quoted(inner, *quote, word)?;
                return match rest {
                    [] | [b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c, ..] => Some(rest),
                    _ => None,
                };
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

/// Reads up to the closing `quote`; returns what is behind it.
fn read_quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [byte, behind @ ..] if *byte == quote => return Some(behind),
            [b'\\', b'\'', behind @ ..] if quote == b'\'' => {
                word.push(b'\'');
                behind
            }
            [b'\\', b'x', high, low, behind @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                behind
            }
            [b'\\', escaped, behind @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        let check = |line: &str, expected: Option<&[&str]>| {
            let found = split_words(line.as_bytes());
            let found = found.map(|words| {
                words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>()
            });
            let expected =
                expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(found, expected, "{line:?}");
        };
        check("  a  b\tc ", Some(&["a", "b", "c"]));
        check(r#""a b" 'c d'"#, Some(&["a b", "c d"]));
        check(r#""\x41\n\"" '\'x\n'"#, Some(&["A\n\"", "'x\\n"]));
        check(r#"foo"bar baz" x"#, Some(&["foobar baz", "x"]));
        check(r#""""#, Some(&[""]));
        check("\"open", None);
        check("\"a\"b", None);
        check("", Some(&[]));
    }

    #[test]
    fn plain_words_are_those_of_the_full_reading() {
        for line in [
            "",
            "  ",
            "PING",
            "  set  key\tvalue ",
            "a\rb",
            "x\\n y",
            "\u{e4} \u{7f}",
            " trailing\r",
        ] {
            let found: Vec<&[u8]> = plain_words(line.as_bytes())
                .expect("no quotes")
                .map(|word| &line.as_bytes()[word])
                .collect();
            assert_eq!(found, split_words(line.as_bytes()).unwrap(), "{line:?}");
        }
        for line in ["'a'", "a\"b", "a\0b", "a\u{b}b"] {
            assert!(plain_words(line.as_bytes()).is_none(), "{line:?}");
        }
    }
}
