//! Replies as JSON, of which only strings have more than one spelling.

use crate::cli::wire::Reply;

use super::quote::quoted;

/// Writes `reply`, without a line end. `ascii`: strings are quoted as on a terminal, then once more as JSON.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply, ascii: bool) {
    match reply {
        // No JSON: nobody may take it for a value.
        Reply::Error(text) => {
            out.extend_from_slice(b"error:");
            write_string(out, text.as_bytes(), ascii);
        }
        Reply::Status(text) => write_string(out, text.as_bytes(), ascii),
        Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => write_string(out, bytes, ascii),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Double(text) | Reply::BigNumber(text) => out.extend_from_slice(text.as_bytes()),
        Reply::Nil => out.extend_from_slice(b"null"),
        Reply::Boolean(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, element, ascii);
            }
            out.push(b']');
        }
        Reply::Map(pairs) => write_map(out, pairs, ascii),
    }
}

fn write_map(out: &mut Vec<u8>, pairs: &[(Reply, Reply)], ascii: bool) {
    out.push(b'{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if key.bytes().is_some() {
            write(out, key, ascii);
        } else {
            // A key of JSON is a string, whatever it was.
            let mut text = Vec::new();
            write(&mut text, key, ascii);
            write_string(out, &text, false);
        }
        out.push(b':');
        write(out, value, ascii);
    }
    out.push(b'}');
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8], ascii: bool) {
    out.push(b'"');
    if ascii {
        let quoted = quoted(bytes);
        escape(out, &quoted[1..quoted.len() - 1]);
    } else {
        escape(out, bytes);
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..=31 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    fn check(bytes: &str, ascii: bool, expected: &str) {
        let mut out = Vec::new();
        write(&mut out, &reply(bytes), ascii);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{bytes:?}");
    }

    #[test]
    fn values_nest() {
        check("*3\r\n:1\r\n$-1\r\n*2\r\n+a\r\n#t\r\n", false, "[1,null,[\"a\",true]]");
        check("%2\r\n:0\r\n#f\r\n$1\r\nk\r\n,1.5\r\n", false, "{\"0\":false,\"k\":1.5}");
        check("-ERR no\r\n", false, "error:\"ERR no\"");
    }

    #[test]
    fn strings_are_escaped_once_or_twice() {
        check("$4\r\n\"\\\n\x01\r\n", false, r#""\"\\\n\u0001""#);
        check("$4\r\n\"\\\n\x01\r\n", true, r#""\\\"\\\\\\n\\x01""#);
    }
}
