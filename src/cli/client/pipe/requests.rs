//! Requests of an input, arrays of the protocol or lines of words, one after the other.

use std::io::{self, BufRead, Read};

use crate::resp::inline::split_words;

/// Arguments of a request, and bytes of one of them: what servers take at most.
const ARGUMENTS_MAX: usize = 1024 * 1024;
const ARGUMENT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A line of words, or the head of an array.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Reads the next request. `None`: there are no more.
///
/// # Errors
/// The input cannot be read, or it holds something else.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    loop {
        let Some(line) = read_line(input)? else { return Ok(None) };
        let words = match line.strip_prefix(b"*") {
            Some(count) => read_array(input, count)?,
            None => split_words(&line).ok_or_else(|| wrong("the quotes of a line do not match"))?,
        };
        if !words.is_empty() {
            return Ok(Some(words));
        }
    }
}

fn read_array(input: &mut impl BufRead, count: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let count = number(count).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count <= ARGUMENTS_MAX);
    let count = count.ok_or_else(|| wrong("the number of arguments is none"))?;
    (0..count).map(|_| read_argument(input)).collect()
}

fn read_argument(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let line = read_line(input)?.ok_or_else(cut)?;
    let length = line.strip_prefix(b"$").and_then(number);
    let length = length.filter(|length| *length <= ARGUMENT_BYTES_MAX);
    let length = length.ok_or_else(|| wrong("an argument has no length"))?;
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    let mut end = [0; 2];
    input.read_exact(&mut end).map_err(|_| cut())?;
    if end == *b"\r\n" { Ok(bytes) } else { Err(wrong("an argument has another length")) }
}

/// A line without its end. `None`: there is none.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() && line.len() as u64 == LINE_BYTES_MAX {
        return Err(wrong("a line is too long"));
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(Some(line))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the input ends inside a request")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        while let Some(words) = read(&mut input)? {
            found.push(String::from_utf8_lossy(&words.join(&b' ')).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn arrays_and_lines_may_be_mixed() {
        let input = b"set a 1\r\n\n*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\nget \"b c\"";
        assert_eq!(all(input).unwrap(), ["set a 1", "GET a\r\n", "get b c"]);
        assert!(all(b"").unwrap().is_empty());
        assert!(all(b"*0\r\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for input in [
            &b"*x\r\n"[..],
            b"*1\r\nGET\r\n",
            b"*1\r\n$2\r\nGET\r\n",
            b"*2\r\n$3\r\nGET\r\n",
            b"*9999999999\r\n",
            b"*1\r\n$99999999999\r\nx\r\n",
            b"get \"a\r\n",
        ] {
            assert!(all(input).is_err(), "{}", String::from_utf8_lossy(input));
        }
    }
}
