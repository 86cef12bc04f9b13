//! Values: DUMP payloads, and the packed encodings inside them.

use highwater::types::Limits;
use highwater::types::convert::{self, Built};
use highwater_persistence::snapshot::{
    DumpError, EncoderOptions, OwnedEvent, StreamId, decode_dump, encode_dump, seal_dump,
    verify_dump,
};

use super::content::{content, expires_in_bounds};

/// The highest version that is written: it has a place for everything that is read.
const VERSION: u32 = 12;

/// Versions that differ in what type numbers mean, or in what may stand before the type.
const VERSIONS: [u32; 4] = [10, 12, 14, 80];

/// The first byte says which version the footer names, the rest is what it protects. As it is, the input is a payload,
/// too, if one whose footer is hardly ever right.
pub fn check_dump(input: &[u8]) {
    if let Ok(dump) = verify_dump(input) {
        assert_eq!(seal_dump(dump.content.to_vec(), dump.version), input, "a footer has one form");
    }
    let Some((&first, content)) = input.split_first() else { return };
    let version = VERSIONS[usize::from(first) % VERSIONS.len()];
    value(content, version);
}

/// Types whose value is one packed string, and what stands around it.
#[derive(Clone, Copy)]
enum Wrapping {
    /// Nothing.
    Alone,
    /// A list node: the number of nodes before it.
    Node,
    /// A list node that says it is packed.
    PackedNode,
    /// A smallest expiry before it.
    Expiring,
    /// A stream node: its first id before it, the numbers of the stream and no groups behind it.
    Stream,
}

/// In order: zipmap, ziplists, intset, listpacks.
const PACKED: [(u8, Wrapping); 12] = [
    (9, Wrapping::Alone),
    (10, Wrapping::Alone),
    (12, Wrapping::Alone),
    (13, Wrapping::Alone),
    (14, Wrapping::Node),
    (11, Wrapping::Alone),
    (16, Wrapping::Alone),
    (17, Wrapping::Alone),
    (18, Wrapping::PackedNode),
    (20, Wrapping::Alone),
    (25, Wrapping::Expiring),
    (15, Wrapping::Stream),
];

/// The first byte says which type, the rest is the packed string.
pub fn check_packed(input: &[u8]) {
    let Some((&first, blob)) = input.split_first() else { return };
    let Ok(length) = u32::try_from(blob.len()) else { return };
    let (code, wrapping) = PACKED[usize::from(first) % PACKED.len()];
    let mut content = vec![code];
    match wrapping {
        Wrapping::Alone => {}
        Wrapping::Node => content.push(1),
        Wrapping::PackedNode => content.extend([1, 2]),
        Wrapping::Expiring => content.extend(1_000_000_u64.to_le_bytes()),
        Wrapping::Stream => {
            content.extend([1, 16]);
            content.extend([[0, 0, 0, 0, 0, 0, 0, 9]; 2].concat());
        }
    }
    content.push(0x80);
    content.extend(length.to_be_bytes());
    content.extend_from_slice(blob);
    if matches!(wrapping, Wrapping::Stream) {
        // As many entries as the node may say, so that the number agrees now and then.
        let entries = blob.get(6).map_or(1, |first| first & 63);
        content.extend([entries, 50, 50, 0]);
    }
    value(&content, 14);
}

/// A value that is read is written so that it reads the same: by the codec, and by the server's own types.
fn value(content: &[u8], version: u32) {
    let payload = seal_dump(content.to_vec(), version);
    let restored = convert::restore(&payload, Limits::default());
    let events = match events(&payload) {
        Ok(events) => events,
        Err(DumpError::VersionOrChecksum) => panic!("the footer is right"),
        Err(DumpError::BadData(_)) => {
            assert!(restored.is_err(), "the server takes what cannot be read");
            return;
        }
    };
    if !expires_in_bounds(&events) {
        return;
    }
    // What has no counterpart here is passed over by the reader, and is nothing for a writer of one value.
    let kept = || events.iter().filter(|event| !matches!(event, OwnedEvent::Skipped { .. }));
    for compress in [false, true] {
        let options = EncoderOptions { version: VERSION, compress, ..EncoderOptions::default() };
        let written = encode_dump(&options, kept().map(OwnedEvent::borrow))
            .unwrap_or_else(|error| panic!("{error}: {events:?}"));
        same(&written, &events, false);
    }
    let options = EncoderOptions { version: VERSION, ..EncoderOptions::default() };
    let written = match restored {
        Err(_) | Ok(Built::Empty) => return,
        Ok(Built::String(bytes)) => convert::dump_string(&bytes, &options),
        Ok(Built::Object(object)) => convert::dump_object(&object, &options).expect("version 12"),
    };
    same(&written, &events, true);
}

/// Whether `written` holds what is expected. The server's own streams know their first entry, whatever a payload says.
fn same(written: &[u8], expected: &[OwnedEvent], first_id_follows: bool) {
    let again = events(written).unwrap_or_else(|error| panic!("{error:?}: {expected:?}"));
    let shown = |events: &[OwnedEvent]| {
        let mut events = events.to_vec();
        for event in &mut events {
            if let (OwnedEvent::StreamMeta(meta), true) = (event, first_id_follows) {
                meta.first_id = StreamId::ZERO;
            }
        }
        content(&events)
    };
    assert_eq!(shown(&again), shown(expected), "what is written is read the same");
}

fn events(payload: &[u8]) -> Result<Vec<OwnedEvent>, DumpError> {
    let mut events = Vec::new();
    decode_dump(payload, |event| {
        events.push(event.to_owned());
        Ok(())
    })?;
    Ok(events)
}
