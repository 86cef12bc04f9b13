//! Finds complete requests in a byte buffer and notes where their arguments lie. Nothing is copied.
//!
//! A request is a RESP array of bulk strings, or an inline command (see [`super::inline`]), whose words lie in the buffer
//! as they are if none has quotes. A request that has not
//! arrived whole is remembered as far as it has been read, so that a large one arriving in many pieces is scanned once.

use std::ops::Range;

use super::inline;
use super::limits::{
    ARGUMENTS_MAX, ARGUMENTS_MAX_UNAUTHENTICATED, BULK_BYTES_MAX_UNAUTHENTICATED, LINE_BYTES_MAX,
    RequestLimits,
};
use super::number::parse_i64;

/// A request that cannot be understood. The connection answers `-ERR Protocol error: <text>` and closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError(pub String);

impl ProtocolError {
    fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Where one request lies in the buffer and in the list of arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
    first: u32,
    count: u32,
    canonical: bool,
}

/// Complete requests found in one buffer; reused from batch to batch.
#[derive(Debug, Default)]
pub struct Requests {
    spans: Vec<Span>,
    ranges: Vec<(u32, u32)>,
}

impl Requests {
    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The arguments of request `index`, the command's name first, as they lie in `buffer`.
    ///
    /// # Panics
    /// If `index` is not below [`Requests::len`] or `buffer` is not the one that was parsed.
    #[inline]
    pub fn get<'a>(&'a self, index: usize, buffer: &'a [u8]) -> Args<'a> {
        let span = &self.spans[index];
        Args {
            buffer,
            ranges: &self.ranges[span.first as usize..(span.first + span.count) as usize],
            raw: if span.canonical { (span.start, span.end) } else { (0, 0) },
        }
    }

    /// Adds a line of `bytes` bytes at `start` with words at these places of it; a line without words is none.
    fn push_words(
        &mut self,
        start: usize,
        bytes: usize,
        words: impl Iterator<Item = Range<usize>>,
    ) {
        let first = self.ranges.len();
        self.ranges
            .extend(words.map(|word| (narrow(start + word.start), narrow(start + word.end))));
        let count = narrow(self.ranges.len() - first);
        if count > 0 {
            let (start, end) = (narrow(start), narrow(start + bytes));
            self.spans.push(Span { start, end, first: narrow(first), count, canonical: false });
        }
    }

    /// Offset in the buffer of the first byte of request `index`.
    pub fn start_of(&self, index: usize) -> usize {
        self.spans[index].start as usize
    }

    /// Offset in the buffer behind request `index`.
    pub fn end_of(&self, index: usize) -> usize {
        self.spans[index].end as usize
    }

    /// Forgets all requests; keeps the memory, unless one large request made it grow.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.ranges.clear();
        self.ranges.shrink_to(4096);
    }
}

/// The arguments of one request: slices of the buffer they arrived in.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    buffer: &'a [u8],
    ranges: &'a [(u32, u32)],
    raw: (u32, u32),
}

impl<'a> Args<'a> {
    /// Arguments that lie at `ranges` of `buffer`; `raw` is the whole request where its bytes are in canonical form.
    pub fn new(buffer: &'a [u8], ranges: &'a [(u32, u32)], raw: Option<(u32, u32)>) -> Self {
        Self { buffer, ranges, raw: raw.unwrap_or((0, 0)) }
    }

    /// How many arguments there are, the name included. At least one.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Always false: a request has a name.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `index`, where there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|&(start, end)| &self.buffer[start as usize..end as usize])
    }

    /// The arguments from `from` on.
    #[inline]
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let buffer = self.buffer;
        let ranges = self.ranges.get(from..).unwrap_or(&[]);
        ranges.iter().map(move |&(start, end)| &buffer[start as usize..end as usize])
    }

    /// All arguments, the name first.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.iter_from(0)
    }

    /// The request as it came, if those bytes are what encoding the arguments again would give.
    #[inline]
    pub fn raw(&self) -> Option<&'a [u8]> {
        let (start, end) = self.raw;
        (end > start).then(|| &self.buffer[start as usize..end as usize])
    }

    /// A copy that stands alone: bytes, where the arguments lie in them, and whether the bytes are in canonical form.
    pub fn to_owned_parts(&self) -> (Vec<u8>, Vec<(u32, u32)>, bool) {
        let words: Vec<&[u8]> = self.iter().collect();
        let bytes = super::inline::encode(&words);
        let mut ranges = Vec::with_capacity(words.len());
        let mut requests = Requests::default();
        let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
        let parsed = RequestParser::default().parse(&bytes, limits, &mut requests);
        debug_assert!(parsed.is_ok() && requests.len() == 1, "what was encoded can be read");
        ranges.append(&mut requests.ranges);
        (bytes, ranges, true)
    }

    /// The same request without its first argument: how a subcommand sees itself.
    pub fn skip_first(&self) -> Args<'a> {
        Args { buffer: self.buffer, ranges: &self.ranges[1..], raw: (0, 0) }
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        let (start, end) = self.ranges[index];
        &self.buffer[start as usize..end as usize]
    }
}

/// What a call to [`RequestParser::parse`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// `consumed` bytes of the buffer are dealt with: the requests that were found, and empty lines. Bytes behind them
    /// belong to a request that has not arrived whole.
    Requests {
        /// Bytes from the start of the buffer.
        consumed: usize,
    },
    /// An inline request of `consumed` bytes with quotes, encoded as a RESP array so that it can be parsed like any other.
    Inline {
        /// Bytes from the start of the buffer.
        consumed: usize,
        /// The same request as a RESP array.
        encoded: Vec<u8>,
    },
}

/// How far the request at the start of the buffer has been read in earlier calls.
#[derive(Debug, Default)]
struct Partial {
    /// Offset behind what has been understood.
    at: usize,
    /// Arguments still to come; 0: the request has not been begun.
    missing: i64,
    /// Length of the argument whose length line has been read.
    bulk: Option<usize>,
    ranges: Vec<(u32, u32)>,
    /// Whether all bytes so far are those that [`inline::encode`] would write: only such may be logged as they came.
    canonical: bool,
}

/// Reads requests from a connection's bytes. One per connection.
#[derive(Debug, Default)]
pub struct RequestParser {
    partial: Partial,
}

impl RequestParser {
    /// Finds the complete requests at the start of `buffer` and adds them to `requests`.
    ///
    /// The caller drops the consumed bytes; the next call's `buffer` must begin with the first byte not consumed.
    ///
    /// # Errors
    /// The bytes are no request, or pass a limit. Requests found before stay in `requests` and are to be executed; the
    /// parser is of no more use.
    pub fn parse(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        requests: &mut Requests,
    ) -> Result<Parsed, ProtocolError> {
        let mut start = 0;
        while start < buffer.len() {
            if self.partial.missing == 0 && buffer[start] != b'*' {
                let Some(line) = inline::line(&buffer[start..])? else { break };
                if let Some(words) = inline::plain_words(line.text) {
                    requests.push_words(start, line.bytes, words);
                } else if !requests.is_empty() {
                    break;
                } else if let Some(encoded) = inline::encoded(line.text)? {
                    return Ok(Parsed::Inline { consumed: start + line.bytes, encoded });
                }
                start += line.bytes;
                continue;
            }
            match self.array(buffer, start, limits, requests)? {
                Some(end) => start = end,
                None => break,
            }
        }
        Ok(Parsed::Requests { consumed: start })
    }

    /// How many bytes the argument that is arriving still wants, as far as is known: room worth reserving.
    pub fn wants(&self, have: usize) -> usize {
        self.partial.bulk.map_or(0, |bulk| (self.partial.at + bulk + 2).saturating_sub(have))
    }

    /// Reads an array request at `start`. Returns the offset behind it, or nothing when it is incomplete.
    fn array(
        &mut self,
        buffer: &[u8],
        start: usize,
        limits: RequestLimits,
        requests: &mut Requests,
    ) -> Result<Option<usize>, ProtocolError> {
        let first = requests.ranges.len();
        let mut reading = if self.partial.missing > 0 {
            // A request that was incomplete is the first of the next buffer, so its ranges still hold.
            debug_assert_eq!(start, 0, "the caller dropped what was consumed");
            let mut partial = std::mem::take(&mut self.partial);
            // Arguments already found are handed over, not copied: a request of a million comes in many pieces.
            if requests.ranges.is_empty() {
                std::mem::swap(&mut requests.ranges, &mut partial.ranges);
            } else {
                requests.ranges.append(&mut partial.ranges);
            }
            partial
        } else {
            let Some((count, next)) = read_count(buffer, start, limits)? else { return Ok(None) };
            if count <= 0 {
                return Ok(Some(next));
            }
            let canonical = ends_well(buffer, next);
            Partial { at: next, missing: count, canonical, ..Partial::default() }
        };
        if !reading.arguments(buffer, limits, &mut requests.ranges)? {
            // Kept ranges count from the request's own start: there the next buffer begins.
            reading.at -= start;
            if first == 0 {
                std::mem::swap(&mut requests.ranges, &mut reading.ranges);
            } else {
                reading.ranges = requests.ranges.split_off(first);
            }
            if start > 0 {
                for range in &mut reading.ranges {
                    *range = (range.0 - narrow(start), range.1 - narrow(start));
                }
            }
            self.partial = reading;
            return Ok(None);
        }
        requests.spans.push(Span {
            start: narrow(start),
            end: narrow(reading.at),
            first: narrow(first),
            count: narrow(requests.ranges.len() - first),
            canonical: reading.canonical,
        });
        Ok(Some(reading.at))
    }
}

impl Partial {
    /// Reads arguments until all are there (true) or the buffer ends (false).
    #[inline]
    fn arguments(
        &mut self,
        buffer: &[u8],
        limits: RequestLimits,
        ranges: &mut Vec<(u32, u32)>,
    ) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => match read_bulk_len(buffer, self.at, limits)? {
                    Some((len, next)) => {
                        self.at = next;
                        self.bulk = Some(len);
                        self.canonical &= ends_well(buffer, next);
                        len
                    }
                    None => return Ok(false),
                },
            };
            let end = self.at + len;
            if buffer.len() < end + 2 {
                return Ok(false);
            }
            ranges.push((narrow(self.at), narrow(end)));
            // Stock servers skip the two bytes unseen; such a request works, but is not copied as it is.
            self.canonical &= buffer[end] == b'\r' && buffer[end + 1] == b'\n';
            self.at = end + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        Ok(true)
    }
}

/// Offsets in a buffer; the query buffer limit keeps them far below 4 GiB.
#[inline]
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).expect("buffers are bounded below 4 GiB")
}

/// Reads a line `<mark><integer>\r\n` at `at`. Returns the text of the integer and the offset behind the line.
#[inline]
fn read_line<'a>(
    buffer: &'a [u8],
    at: usize,
    too_long: &str,
) -> Result<Option<(&'a [u8], usize)>, ProtocolError> {
    let rest = &buffer[at..];
    // Length lines are short: look at the first bytes by hand before searching far.
    let end = match rest.iter().take(24).position(|&byte| byte == b'\r') {
        Some(end) => Some(end),
        None => memchr::memchr(b'\r', &rest[..rest.len().min(LINE_BYTES_MAX + 1)]),
    };
    match end {
        Some(end) if end + 1 < rest.len() => {
            Ok(Some((rest.get(1..end).unwrap_or(&[]), at + end + 2)))
        }
        Some(_) => Ok(None),
        None if rest.len() > LINE_BYTES_MAX => Err(ProtocolError::new(too_long)),
        None => Ok(None),
    }
}

/// Whether the line before `next` ends as it should. [`read_line`] passes over the byte behind `\r` unseen, as stock does.
#[inline]
fn ends_well(buffer: &[u8], next: usize) -> bool {
    buffer[next - 1] == b'\n'
}

/// Reads a canonical integer; short runs of digits, which is nearly all of them, by a plain loop.
#[inline]
fn read_int(text: &[u8]) -> Option<i64> {
    match text {
        [digit @ b'0'..=b'9'] => Some(i64::from(digit - b'0')),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => parse_i64(text),
    }
}

/// Reads `*<count>\r\n`.
#[inline]
fn read_count(
    buffer: &[u8],
    at: usize,
    limits: RequestLimits,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let Some((text, next)) = read_line(buffer, at, "too big mbulk count string")? else {
        return Ok(None);
    };
    match read_int(text) {
        Some(count) if count > ARGUMENTS_MAX => Err(ProtocolError::new("invalid multibulk length")),
        Some(count) if count > ARGUMENTS_MAX_UNAUTHENTICATED && !limits.authenticated => {
            Err(ProtocolError::new("unauthenticated multibulk length"))
        }
        Some(count) => Ok(Some((count, next))),
        None => Err(ProtocolError::new("invalid multibulk length")),
    }
}

/// Reads `$<len>\r\n`.
#[inline]
fn read_bulk_len(
    buffer: &[u8],
    at: usize,
    limits: RequestLimits,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some(&mark) = buffer.get(at) else { return Ok(None) };
    let Some((text, next)) = read_line(buffer, at, "too big bulk count string")? else {
        return Ok(None);
    };
    if mark != b'$' {
        let shown = char::from(mark);
        return Err(ProtocolError(format!("expected '$', got '{shown}'")));
    }
    let len = read_int(text).and_then(|len| u64::try_from(len).ok());
    match len {
        Some(len) if len > limits.bulk_bytes_max => Err(ProtocolError::new("invalid bulk length")),
        Some(len) if len > BULK_BYTES_MAX_UNAUTHENTICATED && !limits.authenticated => {
            Err(ProtocolError::new("unauthenticated bulk length"))
        }
        Some(len) => match usize::try_from(len) {
            Ok(len) => Ok(Some((len, next))),
            Err(_) => Err(ProtocolError::new("invalid bulk length")),
        },
        None => Err(ProtocolError::new("invalid bulk length")),
    }
}

#[cfg(test)]
mod tests;
