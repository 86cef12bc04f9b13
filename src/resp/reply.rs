//! Writes replies into a byte buffer, in RESP2 or RESP3 as the client asked.

use super::errors::CommandError;
use super::number::{push_f64, push_i64, push_usize};
use super::quoted;

/// Writes one or more replies to the end of a buffer.
///
/// Aggregates are written by their header with the number of elements, then the elements. Types that RESP2 lacks are
/// written as RESP2 shows them: maps as flat arrays, sets as arrays, doubles as bulk strings, booleans as integers.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    resp3: bool,
}

impl<'a> Reply<'a> {
    /// A writer at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, resp3: bool) -> Self {
        Self { out, resp3 }
    }

    /// Whether the client speaks RESP3.
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// Changes the protocol for what follows (HELLO answers in the new one).
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// Bytes in the buffer so far: a position for [`Reply::truncate`].
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written behind `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Appends bytes that are replies already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line; `text` has no line ends.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error line; line ends in its text become spaces.
    pub fn error(&mut self, error: &CommandError) {
        self.out.push(b'-');
        let text = quoted::bytes(error.text()).map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        });
        self.out.extend(text);
        self.end();
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.out.push(b':');
        push_i64(self.out, value);
        self.end();
    }

    /// A count as an integer.
    #[inline]
    pub fn len(&mut self, value: usize) {
        self.header(b':', value);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end();
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Nothing: a null bulk string in RESP2.
    #[inline]
    pub fn nil(&mut self) {
        self.out.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array: a null array in RESP2.
    pub fn nil_array(&mut self) {
        self.out.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// A bulk string or nothing.
    pub fn bulk_or_nil(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.nil(),
        }
    }

    /// The head of an array of `count` elements.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// The head of a map of `pairs` pairs.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 { self.header(b'%', pairs) } else { self.header(b'*', pairs * 2) }
    }

    /// Puts the head of an array of `count` elements in front of what was written behind `position`: for arrays whose length
    /// is known when they end.
    pub fn array_before(&mut self, position: usize, count: usize) {
        let before = self.position();
        self.array(count);
        self.swap_behind(position, before);
    }

    /// As [`Reply::array_before`], for a map of `pairs` pairs.
    pub fn map_before(&mut self, position: usize, pairs: usize) {
        let before = self.position();
        self.map(pairs);
        self.swap_behind(position, before);
    }

    /// Moves what stands behind `end` in front of what stands behind `position`.
    pub fn swap_behind(&mut self, position: usize, end: usize) {
        let bytes = self.position() - end;
        self.out[position..].rotate_right(bytes);
    }

    /// The head of a set of `count` elements.
    pub fn set(&mut self, count: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, count);
    }

    /// The head of a push of `count` elements; in RESP2 an array.
    pub fn push(&mut self, count: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, count);
    }

    /// The head of attributes that precede a reply; RESP3 only.
    pub fn attribute(&mut self, pairs: usize) {
        debug_assert!(self.resp3, "RESP2 has no attributes");
        self.header(b'|', pairs);
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        let start = self.out.len();
        if self.resp3 {
            self.out.push(b',');
        }
        let text = self.out.len();
        push_f64(self.out, value);
        if !self.resp3 {
            // A double takes less than 100 characters.
            let (tens, ones) = ((self.out.len() - text) / 10, (self.out.len() - text) % 10);
            let digit = |number: usize| b'0' + u8::try_from(number).unwrap_or(0);
            let head = [b'$', digit(tens), digit(ones), b'\r', b'\n'];
            if tens > 0 {
                self.out.splice(start..start, head);
            } else {
                self.out.splice(start..start, [head[0], head[2], head[3], head[4]]);
            }
        }
        self.end();
    }

    /// A boolean; 1 or 0 in RESP2.
    pub fn bool(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.resp3, value) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        });
    }

    /// An integer of any size, as text.
    pub fn big_number(&mut self, digits: &str) {
        if self.resp3 { self.line(b'(', digits.as_bytes()) } else { self.bulk(digits.as_bytes()) }
    }

    /// Text for people, marked as such (`txt`, `mkd`) in RESP3.
    pub fn verbatim(&mut self, format: &str, text: &str) {
        assert_eq!(format.len(), 3, "a format is three letters");
        if !self.resp3 {
            return self.bulk(text.as_bytes());
        }
        self.header(b'=', text.len() + 4);
        self.out.extend_from_slice(format.as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(text.as_bytes());
        self.end();
    }

    /// A help text: an array of status lines, as the HELP subcommands answer.
    pub fn help(&mut self, lines: &[&str]) {
        self.array(lines.len());
        for line in lines {
            self.simple(line);
        }
    }

    #[inline]
    fn header(&mut self, mark: u8, count: usize) {
        self.out.push(mark);
        match u8::try_from(count) {
            Ok(digit @ 0..=9) => self.out.push(b'0' + digit),
            _ => push_usize(self.out, count),
        }
        self.end();
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(text);
        self.end();
    }

    #[inline]
    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        for (version, expected) in [(false, resp2), (true, resp3)] {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, version));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn scalars() {
        check(|reply| reply.int(-12), ":-12\r\n", ":-12\r\n");
        check(|reply| reply.bulk(b"0123456789"), "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n");
        check(|reply| reply.nil(), "$-1\r\n", "_\r\n");
        check(|reply| reply.nil_array(), "*-1\r\n", "_\r\n");
        check(|reply| reply.double(3.3), "$3\r\n3.3\r\n", ",3.3\r\n");
        check(|reply| reply.bool(true), ":1\r\n", "#t\r\n");
        check(|reply| reply.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
        check(|reply| reply.verbatim("txt", "hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn aggregates() {
        check(|reply| reply.map(2), "*4\r\n", "%2\r\n");
        check(|reply| reply.set(12), "*12\r\n", "~12\r\n");
        check(|reply| reply.push(1), "*1\r\n", ">1\r\n");
    }

    #[test]
    fn a_head_may_be_written_last() {
        let late = |reply: &mut Reply<'_>| {
            reply.int(1);
            let position = reply.position();
            reply.bulk(b"x");
            reply.array_before(position, 1);
            reply.map_before(position, 0);
        };
        check(late, ":1\r\n*0\r\n*1\r\n$1\r\nx\r\n", ":1\r\n%0\r\n*1\r\n$1\r\nx\r\n");
    }

    #[test]
    fn an_error_is_one_line() {
        check(
            |reply| reply.error(&CommandError::new("ERR a\r\nb")),
            "-ERR a  b\r\n",
            "-ERR a  b\r\n",
        );
    }
}
