//! Strings in double quotes, which the prompt reads back as they were.

/// `bytes` in double quotes: what is not printable ASCII is escaped.
pub(in crate::cli::client) fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    out.push(b'"');
    for byte in bytes {
        escape(&mut out, *byte);
    }
    out.push(b'"');
    out
}

/// [`quoted`], which is ASCII, as text.
pub(in crate::cli::client) fn quoted_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&quoted(bytes)).into_owned()
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        7 => out.extend_from_slice(b"\\a"),
        8 => out.extend_from_slice(b"\\b"),
        b' '..=b'~' => out.push(byte),
        _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::inline::split_words;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(split_words(&quoted(&all)), Some(vec![all]));
        assert_eq!(quoted(b"a\"\\\n\x07\xc3"), br#""a\"\\\n\a\xc3""#);
    }
}
