//! A reply of a server as a value, read from its bytes. Source: Redis documentation, "RESP protocol spec", versions 2 and 3.

use std::io::{self, BufRead, Read};

/// Deepest nesting of a reply: nothing that servers send is nested deeper than a few.
const DEPTH_MAX: usize = 64;

/// A line: a number, an error, a status. Servers put no data into lines.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A string is read in pieces of this size: what a length claims is not believed before it has come.
const PIECE_BYTES: u64 = 1 << 20;

/// Room that is made ahead for the elements of a reply.
const ELEMENTS_AHEAD: usize = 1024;

/// What a server replied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Reply {
    /// `+OK` and the like.
    Status(String),
    /// An error, its code first.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// Nothing: a null string, a null array, or the null of RESP3.
    Nil,
    /// A floating point number, as the server wrote it.
    Double(String),
    /// True or false.
    Boolean(bool),
    /// An integer of any size, as the server wrote it.
    BigNumber(String),
    /// A text and what it is (`txt`, `mkd`).
    Verbatim(String, Vec<u8>),
    /// Elements in order.
    Array(Vec<Reply>),
    /// Elements without order.
    Set(Vec<Reply>),
    /// Pairs.
    Map(Vec<(Reply, Reply)>),
    /// What was not asked for: a message, an invalidation.
    Push(Vec<Reply>),
}

impl Reply {
    /// Reads one reply. Attributes are skipped.
    ///
    /// # Errors
    /// The connection's; `UnexpectedEof` where it ended; `InvalidData` for what is no reply. The stream is then of no more use.
    pub(in crate::cli) fn read(input: &mut impl BufRead) -> io::Result<Self> {
        read(input, 0)
    }

    /// The error, if it is one.
    pub(in crate::cli) fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string, a status or a verbatim text.
    pub(in crate::cli) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Status(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same as text; bytes that are none are replaced.
    pub(in crate::cli) fn text(&self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The number, if it is one.
    pub(in crate::cli) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, a set or a push.
    pub(in crate::cli) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// The pairs of a map, or of an array that holds keys and values by turns, as RESP2 sends maps.
    pub(in crate::cli) fn pairs(&self) -> Vec<(&Self, &Self)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
            Self::Array(elements) => {
                elements.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The value at `key` of a map (see [`Self::pairs`]).
    pub(in crate::cli) fn get(&self, key: &str) -> Option<&Self> {
        let is_it = |name: &Self| name.bytes() == Some(key.as_bytes());
        self.pairs().into_iter().find(|(name, _)| is_it(name)).map(|(_, value)| value)
    }
}

fn read(input: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
    if depth > DEPTH_MAX {
        return Err(no_reply("it is nested too deeply"));
    }
    let line = read_line(input)?;
    let (kind, rest) = line.split_first().ok_or_else(|| no_reply("an empty line"))?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    let number =
        || text().parse::<i64>().map_err(|_| no_reply(&format!("{:?} is no number", text())));
    // Nothing at all where the length is negative.
    let length = || number().map(|length| u64::try_from(length).ok());
    Ok(match kind {
        b'+' => Reply::Status(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(number()?),
        b'_' => Reply::Nil,
        b',' => Reply::Double(text()),
        b'#' => Reply::Boolean(rest == b"t"),
        b'(' => Reply::BigNumber(text()),
        b'$' => match length()? {
            None => Reply::Nil,
            Some(length) => Reply::Bulk(read_bytes(input, length)?),
        },
        b'!' => {
            let bytes = read_bytes(input, length()?.unwrap_or(0))?;
            Reply::Error(String::from_utf8_lossy(&bytes).into_owned())
        }
        b'=' => {
            let bytes = read_bytes(input, length()?.unwrap_or(0))?;
            let (format, text) = bytes.split_at_checked(4).unwrap_or((b"txt:", &bytes));
            Reply::Verbatim(String::from_utf8_lossy(&format[..3]).into_owned(), text.to_vec())
        }
        b'*' => match length()? {
            None => Reply::Nil,
            Some(length) => Reply::Array(read_elements(input, length, depth)?),
        },
        b'~' => Reply::Set(read_elements(input, length()?.unwrap_or(0), depth)?),
        b'>' => Reply::Push(read_elements(input, length()?.unwrap_or(0), depth)?),
        b'%' => Reply::Map(read_pairs(input, length()?.unwrap_or(0), depth)?),
        b'|' => {
            read_pairs(input, length()?.unwrap_or(0), depth)?;
            return read(input, depth + 1);
        }
        other => return Err(no_reply(&format!("it begins with {:?}", char::from(*other)))),
    })
}

fn read_elements(input: &mut impl BufRead, count: u64, depth: usize) -> io::Result<Vec<Reply>> {
    let ahead = usize::try_from(count).unwrap_or(usize::MAX).min(ELEMENTS_AHEAD);
    let mut elements = Vec::with_capacity(ahead);
    for _ in 0..count {
        elements.push(read(input, depth + 1)?);
    }
    Ok(elements)
}

fn read_pairs(
    input: &mut impl BufRead,
    count: u64,
    depth: usize,
) -> io::Result<Vec<(Reply, Reply)>> {
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((read(input, depth + 1)?, read(input, depth + 1)?));
    }
    Ok(pairs)
}

/// A line without its end.
pub(super) fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\n") {
        Some(text) => Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec()),
        None if u64::try_from(line.len()).unwrap_or(0) >= LINE_BYTES_MAX => {
            Err(no_reply("a line without end"))
        }
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Server closed the connection")),
    }
}

fn read_bytes(input: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        let before = bytes.len();
        input.take(piece).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len() - before).unwrap_or(0) < piece {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "Server closed the connection",
            ));
        }
        left -= piece;
    }
    let mut end = [0; 2];
    input.read_exact(&mut end)?;
    if end == *b"\r\n" { Ok(bytes) } else { Err(no_reply("a string of another length")) }
}

fn no_reply(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no reply of a server: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expected: Reply) {
        let mut input = bytes.as_bytes();
        assert_eq!(Reply::read(&mut input).unwrap(), expected, "{bytes:?}");
        assert!(input.is_empty(), "{bytes:?} is read to its end");
    }

    #[test]
    fn replies_of_both_versions_are_read() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        check("+OK\r\n", Reply::Status("OK".into()));
        check("-ERR no\r\n", Reply::Error("ERR no".into()));
        check("!6\r\nERR no\r\n", Reply::Error("ERR no".into()));
        check(":-7\r\n", Reply::Integer(-7));
        check("$4\r\na\r\nb\r\n", bulk("a\r\nb"));
        check("$0\r\n\r\n", bulk(""));
        for nil in ["$-1\r\n", "*-1\r\n", "_\r\n"] {
            check(nil, Reply::Nil);
        }
        check(",3.25\r\n", Reply::Double("3.25".into()));
        check("#t\r\n", Reply::Boolean(true));
        check("=7\r\ntxt:abc\r\n", Reply::Verbatim("txt".into(), b"abc".to_vec()));
        check("*2\r\n:1\r\n*0\r\n", Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![])]));
        check("~1\r\n:1\r\n", Reply::Set(vec![Reply::Integer(1)]));
        check(
            "%1\r\n+k\r\n:1\r\n",
            Reply::Map(vec![(Reply::Status("k".into()), Reply::Integer(1))]),
        );
        check("|1\r\n+ttl\r\n:1\r\n:5\r\n", Reply::Integer(5));
        check(">1\r\n$1\r\nx\r\n", Reply::Push(vec![bulk("x")]));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let kind = |bytes: &str| Reply::read(&mut bytes.as_bytes()).unwrap_err().kind();
        assert_eq!(kind(""), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind("$10\r\nabc"), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind("$9223372036854775807\r\nabc"), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind("*9223372036854775807\r\n"), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind("hello\r\n"), io::ErrorKind::InvalidData);
        assert_eq!(kind("$1\r\nabc\r\n"), io::ErrorKind::InvalidData);
        assert_eq!(kind(&"*1\r\n".repeat(100)), io::ErrorKind::InvalidData);
    }

    #[test]
    fn maps_are_looked_up_in_either_version() {
        for bytes in ["%1\r\n$1\r\nk\r\n:1\r\n", "*2\r\n$1\r\nk\r\n:1\r\n"] {
            let reply = Reply::read(&mut bytes.as_bytes()).unwrap();
            assert_eq!(reply.get("k").and_then(Reply::integer), Some(1));
            assert_eq!(reply.get("other"), None);
        }
    }
}
