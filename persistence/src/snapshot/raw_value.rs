//! Values that were passed over and are read later: so one thread can look for the keys of a file and others read the values.

use std::io::Read;

use super::format::{kind, length};
use super::reader::ReaderOptions;
use super::source::Source;
use super::value_reader::{Token, ValueReader};
use super::{Event, SnapshotError, Vendor};

/// Where a value lies in its file, and of what type it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawValue {
    vendor: Vendor,
    code: u8,
    /// Offset of the type byte, which stands in front of the key.
    type_at: u64,
    start: u64,
    end: u64,
}

impl RawValue {
    /// Offset of its first byte.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }
}

/// Reads values at known places of a file that is in memory.
///
/// ```
/// use highwater_persistence::snapshot::{Event, RawValueReader, ReaderOptions, SnapshotReader};
///
/// let file = b"REDIS0003\xfe\x00\x00\x01k\x05hello\xff";
/// let mut reader = SnapshotReader::new(&file[..]);
/// let mut places = Vec::new();
/// while let Some(event) = reader.next()? {
///     if let Event::Key { .. } = event {
///         let (place, passed) = reader.pass_value();
///         passed?;
///         places.push(place);
///     }
/// }
/// let mut values = RawValueReader::new(file, &ReaderOptions::default());
/// values.begin(&places[0]);
/// assert_eq!(values.next()?, Event::String(b"hello"));
/// # Ok::<(), highwater_persistence::snapshot::SnapshotError>(())
/// ```
pub struct RawValueReader<'f> {
    file: &'f [u8],
    src: Source<&'f [u8]>,
    values: ValueReader,
    /// A string that stands in the file as it is, and is due next.
    string: Option<&'f [u8]>,
}

impl<'f> RawValueReader<'f> {
    /// Reads values of `file`, with the limits that hold for the file. The checksum is not computed again.
    #[must_use]
    pub fn new(file: &'f [u8], options: &ReaderOptions) -> Self {
        let total = Some(file.len() as u64);
        let src = Source::new(&file[..0], total, options.string_bytes_max, false);
        Self { file, src, values: ValueReader::new(options.blocks), string: None }
    }

    /// Begins to read `value`, whether or not the one before has been read to its end.
    pub fn begin(&mut self, value: &RawValue) {
        let &RawValue { vendor, code, type_at, start, end } = value;
        let within =
            |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.file.len());
        let end = within(end);
        // Nothing behind the value gets into the buffer, so a short one costs the copy of its own bytes.
        let raw = &self.file[within(start).min(end)..end];
        self.string = if code == kind::STRING { plain_string(raw) } else { None };
        if self.string.is_some() {
            self.values.pass();
        } else {
            self.src.restart(raw, start);
            self.values.begin(vendor, code, type_at);
        }
    }

    /// The next event of the value; the last is `ValueEnd`.
    ///
    /// # Errors
    /// Those that a [`SnapshotReader`](super::SnapshotReader) finds in the value, offsets included.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's items could not borrow from the reader"
    )]
    pub fn next(&mut self) -> Result<Event<'_>, SnapshotError> {
        if let Some(string) = self.string.take() {
            return Ok(Event::String(string));
        }
        self.src.begin_event();
        let token: Token = self.values.next(&mut self.src)?;
        let Self { src, values, .. } = self;
        Ok(token.map(|span| src.bytes(span, &values.blob)))
    }
}

/// The string that `raw` is the whole of, where the file has it as it is: most values of most files. Anything else is
/// for [`ValueReader`], above all what is wrong.
fn plain_string(raw: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = raw.split_first()?;
    let (len, string) = match first >> 6 {
        length::BITS_6 => (usize::from(first), rest),
        length::BITS_14 => {
            let (&second, rest) = rest.split_first()?;
            (usize::from(first & 0x3f) << 8 | usize::from(second), rest)
        }
        _ => return None,
    };
    (string.len() == len).then_some(string)
}

/// Passes over the value that `values` has begun. Where its end cannot be found, the place reaches to the end of the input.
pub(super) fn pass<R: Read>(
    values: &mut ValueReader,
    src: &mut Source<R>,
) -> (RawValue, Result<(), SnapshotError>) {
    let (vendor, code, type_at) = values.just_begun().expect("nothing of the value has been read");
    let mut value = RawValue { vendor, code, type_at, start: src.offset(), end: u64::MAX };
    src.reading("value");
    let passed = match code {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => src.pass_string(),
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => pass_elements(src, Source::pass_string),
        kind::HASH => pass_elements(src, |src| {
            src.pass_string()?;
            src.pass_string()
        }),
        kind::ZSET_2 => pass_elements(src, |src| {
            src.pass_string()?;
            src.pass(size_of::<f64>())
        }),
        kind::LIST_QUICKLIST_2 => pass_elements(src, |src| {
            let _container = src.length()?;
            src.pass_string()
        }),
        // Streams have too many parts, and the rest is too rare, for an account of their lengths of its own.
        _ => read_through(values, src),
    };
    if passed.is_ok() {
        value.end = src.offset();
    }
    (value, passed)
}

/// Passes over as many elements as the length in front of them says.
fn pass_elements<R: Read>(
    src: &mut Source<R>,
    mut pass: impl FnMut(&mut Source<R>) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    // No memory is taken by that length, and each element takes bytes of the input: a lie ends where those do.
    (0..src.length()?).try_for_each(|_| pass(src))
}

fn read_through<R: Read>(
    values: &mut ValueReader,
    src: &mut Source<R>,
) -> Result<(), SnapshotError> {
    while !matches!(values.next(src)?, Token::ValueEnd) {
        src.begin_event();
    }
    Ok(())
}
