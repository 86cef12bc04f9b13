//! Replies as values with commas between. Nesting is lost.

use crate::cli::wire::Reply;

use super::quote::quoted;

/// Writes `reply`, without a line end.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Error(text) => {
            out.extend_from_slice(b"ERROR,");
            out.extend_from_slice(&quoted(text.as_bytes()));
        }
        Reply::Status(text) => out.extend_from_slice(&quoted(text.as_bytes())),
        Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => out.extend_from_slice(&quoted(bytes)),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Double(text) | Reply::BigNumber(text) => out.extend_from_slice(text.as_bytes()),
        Reply::Nil => out.extend_from_slice(b"NULL"),
        Reply::Boolean(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            write_joined(out, elements.iter());
        }
        Reply::Map(pairs) => write_joined(out, pairs.iter().flat_map(|(key, value)| [key, value])),
    }
}

fn write_joined<'a>(out: &mut Vec<u8>, replies: impl Iterator<Item = &'a Reply>) {
    for (index, reply) in replies.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, reply);
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    #[test]
    fn values_are_joined() {
        let check = |bytes: &str, expected: &str| {
            let mut out = Vec::new();
            write(&mut out, &reply(bytes));
            assert_eq!(String::from_utf8_lossy(&out), expected, "{bytes:?}");
        };
        check("*4\r\n:1\r\n$-1\r\n*2\r\n+a\r\n#t\r\n*0\r\n", "1,NULL,\"a\",true,");
        check("%1\r\n+k\r\n,1.5\r\n", "\"k\",1.5");
        check("-ERR no\r\n", "ERROR,\"ERR no\"");
    }
}
