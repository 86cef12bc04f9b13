//! DUMP payloads: one value without its key, with a footer of its own.
//!
//! ```text
//! type byte and payload, as in a snapshot | u16 LE version | u64 LE CRC-64/Jones of everything before it
//! ```

use std::fmt;

use super::encoder::{EncoderOptions, ValueEncoder};
use super::format::{DUMP_FOOTER_BYTES, opcode, vendor_of_version};
use super::reader::{STRING_BYTES_MAX, skip_key_metadata};
use super::source::Source;
use super::value_reader::{Token, ValueReader};
use super::{Event, SnapshotError, Vendor};
use crate::checksum::snapshot_crc;

/// Why a payload cannot be restored. The two have different texts that clients match on.
#[derive(Debug)]
pub enum DumpError {
    /// Too short for a footer, from too new a version, or damaged.
    VersionOrChecksum,
    /// The footer is right, the value is not.
    BadData(SnapshotError),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionOrChecksum => f.write_str("DUMP payload version or checksum are wrong"),
            Self::BadData(_) => f.write_str("Bad data format"),
        }
    }
}

impl std::error::Error for DumpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::VersionOrChecksum => None,
            Self::BadData(error) => Some(error),
        }
    }
}

/// A payload whose footer has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dump<'a> {
    /// What the footer protects: type byte and value, or function records.
    pub content: &'a [u8],
    /// Format version.
    pub version: u32,
    /// Who counts the version.
    pub vendor: Vendor,
}

/// Checks a payload's footer.
///
/// # Errors
/// `VersionOrChecksum`.
pub fn verify_dump(payload: &[u8]) -> Result<Dump<'_>, DumpError> {
    let content_bytes =
        payload.len().checked_sub(DUMP_FOOTER_BYTES).ok_or(DumpError::VersionOrChecksum)?;
    let (content, footer) = payload.split_at(content_bytes);
    let (version, crc) = footer.split_first_chunk::<2>().expect("the footer has its fixed length");
    let version = u32::from(u16::from_le_bytes(*version));
    let vendor = vendor_of_version(version).ok_or(DumpError::VersionOrChecksum)?;
    let computed = snapshot_crc(&payload[..content_bytes + 2]);
    if *crc != computed.to_le_bytes() {
        return Err(DumpError::VersionOrChecksum);
    }
    Ok(Dump { content, version, vendor })
}

/// Appends the footer to `record`, which makes it a payload.
///
/// `record` is what a [`ValueEncoder`] made, or the records of function libraries.
#[must_use]
pub fn seal_dump(mut record: Vec<u8>, version: u32) -> Vec<u8> {
    let version = u16::try_from(version).expect("versions are small numbers");
    record.extend_from_slice(&version.to_le_bytes());
    let crc = snapshot_crc(&record);
    record.extend_from_slice(&crc.to_le_bytes());
    record
}

/// The payload of the value that `events` make up, `ValueEnd` included.
///
/// # Errors
/// `Unwritable`, as [`ValueEncoder::put`] says.
pub fn encode_dump<'a>(
    options: &EncoderOptions,
    events: impl IntoIterator<Item = Event<'a>>,
) -> Result<Vec<u8>, SnapshotError> {
    let mut encoder = ValueEncoder::new(options);
    for event in events {
        encoder.put(event)?;
    }
    if !encoder.is_complete() {
        return Err(SnapshotError::Unwritable { problem: "the value is not complete".to_owned() });
    }
    Ok(seal_dump(encoder.take_record(), options.version))
}

/// Reads the value of a payload as events.
pub struct DumpReader<'a> {
    src: Source<&'a [u8]>,
    values: ValueReader,
    done: bool,
}

impl<'a> DumpReader<'a> {
    /// Checks the footer of `payload` and begins to read.
    ///
    /// # Errors
    /// Both kinds of [`DumpError`].
    pub fn new(payload: &'a [u8]) -> Result<Self, DumpError> {
        Self::bounded(payload, STRING_BYTES_MAX)
    }

    /// As [`DumpReader::new`]. Strings and packed values longer than `string_bytes_max` are refused: compressed ones may claim to be
    /// eighty times as long as the payload.
    ///
    /// # Errors
    /// Both kinds of [`DumpError`].
    pub fn bounded(payload: &'a [u8], string_bytes_max: u64) -> Result<Self, DumpError> {
        let dump = verify_dump(payload)?;
        let string_bytes_max = string_bytes_max.min(STRING_BYTES_MAX);
        Self::open(&dump, string_bytes_max).map_err(DumpError::BadData)
    }

    fn open(dump: &Dump<'a>, string_bytes_max: u64) -> Result<Self, SnapshotError> {
        let total = dump.content.len() as u64;
        let mut src = Source::new(dump.content, Some(total), string_bytes_max, false);
        src.reading("type");
        let mut code = src.byte()?;
        if code == opcode::SLOT_IMPORT_OR_KEY_META && dump.vendor == Vendor::Redis {
            skip_key_metadata(&mut src)?;
            src.reading("type");
            code = src.byte()?;
        }
        let mut values = ValueReader::new();
        values.begin(dump.vendor, code, src.offset() - 1);
        Ok(Self { src, values, done: false })
    }

    /// The next event; the last is `ValueEnd`, and none follows it.
    ///
    /// # Errors
    /// `BadData`.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's items could not borrow from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, DumpError> {
        if self.done {
            return Ok(None);
        }
        let token = self.step().map_err(DumpError::BadData)?;
        let Self { src, values, .. } = self;
        Ok(Some(token.map(|span| src.bytes(span, &values.blob))))
    }

    /// Whether the stream entry that came last has the field names of the one before it, by the payload's own word: both refer to
    /// one list of names. They need not be looked at, which for a few long ones and many entries makes all the difference.
    pub fn repeats_names(&self) -> bool {
        self.values.repeats_names()
    }

    fn step(&mut self) -> Result<Token, SnapshotError> {
        self.src.begin_event();
        let token = self.values.next(&mut self.src)?;
        if matches!(token, Token::ValueEnd) {
            self.done = true;
            if !self.src.is_at_end() {
                self.src.reading("end of the value");
                return Err(self.src.malformed("bytes are left over"));
            }
        }
        Ok(token)
    }
}

/// Hands the events of a payload's value to `each`.
///
/// # Errors
/// Both kinds of [`DumpError`], or what `each` returns as `BadData`.
pub fn decode_dump(
    payload: &[u8],
    mut each: impl FnMut(Event<'_>) -> Result<(), SnapshotError>,
) -> Result<(), DumpError> {
    let mut reader = DumpReader::new(payload)?;
    while let Some(event) = reader.next()? {
        each(event).map_err(DumpError::BadData)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Vec<u8> {
        let events = [
            Event::HashBegin { len: Some(1) },
            Event::HashField { field: b"f", value: b"v", expires_ms: None },
            Event::ValueEnd,
        ];
        encode_dump(&EncoderOptions::default(), events).unwrap()
    }

    fn decode(payload: &[u8]) -> Result<Vec<super::super::OwnedEvent>, DumpError> {
        let mut events = Vec::new();
        decode_dump(payload, |event| {
            events.push(event.to_owned());
            Ok(())
        })?;
        Ok(events)
    }

    #[test]
    fn a_payload_of_stock_7_0_is_made_and_read_byte_for_byte() {
        // redis-server 7.0.15: RPUSH l a b 1, DUMP l.
        let stock = b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x01\x01\xff\n\x00\xe0\x1b\xabJG\xceY\"";
        let events = [
            Event::ListBegin { len: None },
            Event::ListItem(b"a"),
            Event::ListItem(b"b"),
            Event::ListItem(b"1"),
            Event::ValueEnd,
        ];
        assert_eq!(encode_dump(&EncoderOptions::default(), events).unwrap(), stock);
        assert_eq!(decode(stock).unwrap(), events.map(Event::to_owned));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused_by_the_footer() {
        let payload = payload();
        assert_eq!(decode(&payload).unwrap().len(), 3);
        for at in 0..payload.len() {
            assert!(matches!(decode(&payload[..at]), Err(DumpError::VersionOrChecksum)));
            for bit in 0..8 {
                let mut flipped = payload.clone();
                flipped[at] ^= 1 << bit;
                assert!(matches!(decode(&flipped), Err(DumpError::VersionOrChecksum)));
            }
        }
    }

    #[test]
    fn damage_under_a_right_footer_is_bad_data_or_another_value() {
        let payload = payload();
        let content = &payload[..payload.len() - DUMP_FOOTER_BYTES];
        for at in 0..content.len() {
            let cut = seal_dump(content[..at].to_vec(), 10);
            assert!(matches!(decode(&cut), Err(DumpError::BadData(_))), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = content.to_vec();
                flipped[at] ^= 1 << bit;
                let _no_panic = decode(&seal_dump(flipped, 10));
            }
        }
        let longer = seal_dump([content, b"x"].concat(), 10);
        assert!(matches!(decode(&longer), Err(DumpError::BadData(_))));
    }

    #[test]
    fn what_a_payload_grows_to_has_a_bound() {
        let value = vec![b'a'; 5000];
        let events = [Event::String(&value), Event::ValueEnd];
        let options = EncoderOptions { compress: true, ..EncoderOptions::default() };
        let payload = encode_dump(&options, events).unwrap();
        assert!(payload.len() < 100);
        let length = |bytes_max| {
            let mut reader = DumpReader::bounded(&payload, bytes_max)?;
            match reader.next()? {
                Some(Event::String(bytes)) => Ok::<_, DumpError>(bytes.len()),
                other => panic!("{other:?}"),
            }
        };
        assert!(matches!(length(5000), Ok(5000)));
        assert!(matches!(length(4999), Err(DumpError::BadData(_))));
    }

    #[test]
    fn a_future_version_is_refused() {
        let content = payload()[..5].to_vec();
        assert!(matches!(decode(&seal_dump(content, 15)), Err(DumpError::VersionOrChecksum)));
    }
}
