//! Whole snapshots.

use std::io::{self, Read};

use highwater_persistence::snapshot::{
    EncoderOptions, OwnedEvent, ReaderOptions, SnapshotReader, SnapshotWriter, WriterOptions,
};

use super::content::{content, expires_in_bounds};

/// The highest version that is written: it has a place for everything that is read.
const VERSION: u32 = 12;

/// The events of a file up to its end or the first error.
fn events<R: Read>(input: R, total: Option<u64>) -> (Vec<OwnedEvent>, Option<String>) {
    let options = ReaderOptions { total, verify_checksum: false, ..ReaderOptions::default() };
    let mut reader = SnapshotReader::with_options(input, &options);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => events.push(event.to_owned()),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error.to_string())),
        }
    }
}

/// Gives its bytes away one by one.
struct Dropwise<'a>(&'a [u8]);

impl Read for Dropwise<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

/// Events do not depend on how the bytes arrive, and a file that is read is written so that it reads the same. Checksums
/// are not looked at: mutations would never get past them.
pub fn check(input: &[u8]) {
    let (found, error) = events(input, None);
    let (dropwise, same_error) = events(Dropwise(input), None);
    assert_eq!((&found, &error), (&dropwise, &same_error), "events do not depend on pieces");
    let (known, known_error) = events(input, Some(input.len() as u64));
    assert_eq!(error.is_some(), known_error.is_some(), "{error:?} {known_error:?}");
    assert!(found.starts_with(&known), "a known size only refuses earlier");
    if error.is_some() || !expires_in_bounds(&found) {
        return;
    }
    assert_eq!(found, known);
    for compress in [false, true] {
        let encoder = EncoderOptions { version: VERSION, compress, ..EncoderOptions::default() };
        let mut writer =
            SnapshotWriter::new(Vec::new(), &WriterOptions { encoder, checksum: compress });
        for event in &found {
            writer.put(event.borrow()).unwrap_or_else(|error| panic!("{error}: {event:?}"));
        }
        let written = writer.finish().expect("the events were complete");
        let (again, error) = events(&written[..], None);
        assert_eq!(error, None, "what is written is read");
        assert_eq!(content(&again), content(&found), "it is the same");
    }
}
