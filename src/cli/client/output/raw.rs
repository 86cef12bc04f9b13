//! Replies as the bytes that they hold: for pipes.

use crate::cli::wire::Reply;

/// Writes `reply`, with `delimiter` between elements.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply, delimiter: &[u8]) {
    match reply {
        Reply::Nil => {}
        Reply::Error(text) => {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        Reply::Status(text) | Reply::Double(text) | Reply::BigNumber(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => out.extend_from_slice(bytes),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Boolean(truth) => out.extend_from_slice(format!("({truth})").as_bytes()),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                write(out, element, delimiter);
            }
        }
        Reply::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(delimiter);
                }
                write(out, key, delimiter);
                out.push(b' ');
                write(out, value, delimiter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    #[test]
    fn elements_are_separated() {
        let check = |bytes: &str, expected: &str| {
            let mut out = Vec::new();
            write(&mut out, &reply(bytes), b",");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{bytes:?}");
        };
        check("*3\r\n:1\r\n$-1\r\n*2\r\n+a\r\n#t\r\n", "1,,a,(true)");
        check("%2\r\n+k\r\n:1\r\n+l\r\n:2\r\n", "k 1,l 2");
        check("-ERR no\r\n", "ERR no\n");
    }
}
