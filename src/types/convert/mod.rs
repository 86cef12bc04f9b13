//! Values from and to the events of snapshots and DUMP payloads.

mod commands;
mod hash;
mod list;
mod packed;
mod set;
mod stream;
mod zset;

use std::sync::Arc;

use highwater_persistence::snapshot::{
    DumpError, DumpReader, EncoderOptions, Event, ReaderOptions, SnapshotError, ValueEncoder,
    seal_dump,
};

use super::{Hash, Limits, List, Object, Set, Zset};
pub use commands::{COMMAND_FIELD_EXPIRY_MAX, Unspeakable, write_commands};
use stream::StreamBuilder;

/// A value that has been put together from events.
#[derive(Clone, Debug)]
pub enum Built {
    /// A string.
    String(Vec<u8>),
    /// A collection with elements, or a stream.
    Object(Object),
    /// A collection without elements: the key is left out, as stock servers do, with a notice.
    Empty,
}

/// How a collection is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// In blocks, where it consists of such.
    Block,
    /// Element by element.
    Element,
}

/// Hands the events of a collection to `put`, `ValueEnd` included: its blocks as they are, where snapshots consist of the same.
///
/// # Errors
/// What `put` returns.
pub fn write_object<E>(
    object: &Object,
    put: impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    write(object, By::Block, put)
}

fn write<E>(
    object: &Object,
    by: By,
    mut put: impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match object {
        Object::List(list) => list::write(list, by, &mut put)?,
        Object::Set(set) => set::write(set, by, &mut put)?,
        Object::Hash(hash) => hash::write(hash, by, &mut put)?,
        Object::Zset(zset) => zset::write(zset, by, &mut put)?,
        Object::Stream(stream) => stream::write(stream, by, &mut put)?,
    }
    put(Event::ValueEnd)
}

/// Puts a value together from its events.
///
/// Memory is taken as elements come, whatever length the file claims.
#[derive(Debug)]
pub struct ValueBuilder {
    /// Where the value begins in its file, for errors.
    offset: u64,
    /// Which encodings the collections get.
    limits: Limits,
    value: Partial,
}

#[derive(Debug)]
enum Partial {
    Nothing,
    String(Vec<u8>),
    Object(Object),
    Stream(Box<StreamBuilder>),
}

impl ValueBuilder {
    /// Waits for the first event of a value that begins at `offset` of its file or payload.
    pub fn new(offset: u64, limits: Limits) -> Self {
        Self { offset, limits, value: Partial::Nothing }
    }

    /// Takes the next event. With `ValueEnd` the value is returned, and the builder waits for another one.
    ///
    /// # Errors
    /// `Malformed` if an element comes twice, or the event does not continue the value. The value is then lost.
    pub fn put(&mut self, event: Event<'_>) -> Result<Option<Built>, SnapshotError> {
        let problem = match (&mut self.value, event) {
            (Partial::Stream(stream), Event::ValueEnd) => match stream.finish() {
                Ok(stream) => {
                    self.value = Partial::Nothing;
                    return Ok(Some(Built::Object(Object::Stream(Arc::new(stream)))));
                }
                Err(problem) => Err(problem),
            },
            (_, Event::ValueEnd) => match std::mem::replace(&mut self.value, Partial::Nothing) {
                Partial::String(bytes) => return Ok(Some(Built::String(bytes))),
                Partial::Object(object) if object.is_empty() => return Ok(Some(Built::Empty)),
                Partial::Object(object) => return Ok(Some(Built::Object(object))),
                _ => Err("it ends before it begins"),
            },
            (Partial::Nothing, Event::Packed { shape, bytes }) => {
                packed::object_of(shape, bytes, &self.limits).map(|object| {
                    self.value = Partial::Object(object);
                })
            }
            (Partial::Nothing, event) => match begin(event) {
                Some(value) => {
                    self.value = value;
                    Ok(())
                }
                None => Err(UNEXPECTED),
            },
            (Partial::Object(object), event) => add(object, event, &self.limits),
            (Partial::Stream(stream), event) => stream.put(event, &self.limits),
            (Partial::String(_), _) => Err(UNEXPECTED),
        };
        match problem {
            Ok(()) => Ok(None),
            Err(problem) => {
                self.value = Partial::Nothing;
                Err(SnapshotError::Malformed {
                    offset: self.offset,
                    reading: "value",
                    problem: problem.to_owned(),
                })
            }
        }
    }
}

const TWICE: &str = "an element is there twice";
const UNEXPECTED: &str = "an event that does not continue the value";

fn begin(event: Event<'_>) -> Option<Partial> {
    Some(match event {
        Event::String(bytes) => Partial::String(bytes.to_vec()),
        Event::ListBegin { .. } | Event::ListNodes { .. } => {
            Partial::Object(Object::List(List::new()))
        }
        Event::SetBegin { .. } => Partial::Object(Object::Set(Set::new())),
        Event::HashBegin { .. } => Partial::Object(Object::Hash(Hash::new())),
        Event::ZsetBegin { .. } => Partial::Object(Object::Zset(Zset::new())),
        Event::StreamBegin | Event::StreamNodes { .. } => Partial::Stream(Box::default()),
        _ => return None,
    })
}

/// Adds an element to a collection.
fn add(object: &mut Object, event: Event<'_>, limits: &Limits) -> Result<(), &'static str> {
    let new = match (object, event) {
        (Object::List(list), event) => list::add(list, event, limits)?,
        (Object::Set(set), event) => set::add(set, event, limits)?,
        (Object::Hash(hash), event) => hash::add(hash, event, limits)?,
        (Object::Zset(zset), event) => zset::add(zset, event, limits)?,
        (Object::Stream(_), _) => return Err(UNEXPECTED),
    };
    if new { Ok(()) } else { Err(TWICE) }
}

/// The payload that DUMP answers for a string.
pub fn dump_string(bytes: &[u8], options: &EncoderOptions) -> Vec<u8> {
    let mut encoder = ValueEncoder::new(options);
    encoder.put(Event::String(bytes)).expect("a string can always be written");
    seal_dump(encoder.take_record(), options.version)
}

/// The payload that DUMP answers for a collection.
///
/// # Errors
/// `Unwritable` if the version has no place for something.
pub fn dump_object(object: &Object, options: &EncoderOptions) -> Result<Vec<u8>, SnapshotError> {
    let mut encoder = ValueEncoder::new(options);
    write_object(object, |event| encoder.put(event))?;
    Ok(seal_dump(encoder.take_record(), options.version))
}

/// The value of a payload. An empty collection counts as bad data, as stock servers have it.
///
/// # Errors
/// Both kinds of [`DumpError`]; their texts are those that clients match on.
pub fn restore(payload: &[u8], limits: Limits) -> Result<Built, DumpError> {
    restore_bounded(payload, limits, u64::MAX)
}

/// As [`restore`], where no string and no packed part may be longer than `string_bytes_max`, however short it is compressed.
///
/// # Errors
/// Those of [`restore`].
pub fn restore_bounded(
    payload: &[u8],
    limits: Limits,
    string_bytes_max: u64,
) -> Result<Built, DumpError> {
    let malformed = |problem: &str| {
        let problem = problem.to_owned();
        DumpError::BadData(SnapshotError::Malformed { offset: 0, reading: "value", problem })
    };
    let options = ReaderOptions { string_bytes_max, blocks: true, ..ReaderOptions::default() };
    let mut reader = DumpReader::with_options(payload, &options)?;
    let mut builder = ValueBuilder::new(0, limits);
    let mut built = None;
    while let Some(event) = reader.next()? {
        built = builder.put(event).map_err(DumpError::BadData)?;
    }
    match built {
        Some(Built::Empty) => Err(malformed("a collection without elements")),
        Some(built) => Ok(built),
        None => Err(malformed("no end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(events: &[Event<'_>]) -> Result<Built, SnapshotError> {
        let mut builder = ValueBuilder::new(7, Limits::default());
        for event in events {
            if let Some(built) = builder.put(*event)? {
                return Ok(built);
            }
        }
        panic!("the events do not end");
    }

    fn refused(events: &[Event<'_>], expected: &str) {
        let error = build(events).expect_err(expected);
        assert_eq!(error.offset(), Some(7));
        assert!(error.to_string().contains(expected), "{error}");
    }

    use highwater_persistence::snapshot::StreamId;

    const META: Event<'_> = Event::StreamMeta(highwater_persistence::snapshot::StreamMeta {
        length: 0,
        last_id: StreamId::new(9, 9),
        first_id: StreamId::ZERO,
        max_deleted_id: StreamId::ZERO,
        entries_added: 9,
    });
    const GROUP: Event<'_> =
        Event::StreamGroup { name: b"g", last_id: StreamId::ZERO, entries_read: None };
    const ID: StreamId = StreamId::new(1, 1);
    const PENDING: Event<'_> = Event::StreamPending { id: ID, delivered_ms: 5, deliveries: 1 };
    const CLAIM: Event<'_> = Event::StreamConsumerPending { id: ID };

    fn consumer(name: &[u8]) -> Event<'_> {
        Event::StreamConsumer { name, seen_ms: 1, active_ms: None }
    }

    #[test]
    fn an_element_that_comes_twice_is_refused() {
        let twice = "an element is there twice";
        let begin = Event::SetBegin { len: None };
        refused(&[begin, Event::SetMember(b"m"), Event::SetMember(b"m")], twice);
        let field = Event::HashField { field: b"f", value: b"v", expires_ms: None };
        refused(&[Event::HashBegin { len: None }, field, field], twice);
        let member = |score| Event::ZsetMember { member: b"m", score };
        refused(&[Event::ZsetBegin { len: None }, member(1.0), member(2.0)], twice);
        refused(&[Event::StreamBegin, META, GROUP, GROUP], "a group is there twice");
    }

    #[test]
    fn an_empty_collection_is_told_apart_from_an_empty_stream() {
        let empty = build(&[Event::ListBegin { len: None }, Event::ValueEnd]);
        assert!(matches!(empty, Ok(Built::Empty)));
        let stream = build(&[Event::StreamBegin, META, Event::ValueEnd]);
        assert!(matches!(stream, Ok(Built::Object(Object::Stream(_)))));
    }

    #[test]
    fn a_pending_entry_belongs_to_one_consumer() {
        let start = [Event::StreamBegin, META, GROUP, PENDING, consumer(b"a")];
        let with = |more: &[Event<'static>]| [&start[..], more].concat();
        assert!(build(&with(&[CLAIM, Event::ValueEnd])).is_ok());
        refused(&with(&[Event::ValueEnd]), "belongs to no consumer");
        refused(&with(&[CLAIM, consumer(b"b"), CLAIM]), "belongs to two consumers");
        // Where that may be, the entry goes.
        let skipped = Event::Skipped { what: "producers of a stream" };
        let built = build(&with(&[skipped, Event::ValueEnd]));
        let Ok(Built::Object(Object::Stream(stream))) = built else { panic!("{built:?}") };
        assert_eq!(stream.group(b"g").map(crate::types::Group::pending_len), Some(0));
    }

    /// A payload says names once for many entries. They are not multiplied: a few kilobytes would take gigabytes.
    #[test]
    fn names_that_entries_share_stay_shared_through_payloads() {
        let limits = Limits { stream_node_bytes_max: 4096, ..Limits::default() };
        let endless = Limits { stream_node_bytes_max: 0, stream_node_entries_max: 0, ..limits };
        let mut stream = crate::types::Stream::default();
        let name = [b'n'; 20_000];
        for seq in 1..=500 {
            let fields = [&name[..], b"v"].into_iter();
            stream.entries.push(StreamId::new(1, seq), fields, &endless).unwrap();
        }
        let stream = Object::Stream(Arc::new(stream));
        let options = EncoderOptions { compress: false, ..EncoderOptions::default() };
        let payload = dump_object(&stream, &options).unwrap();
        assert!(payload.len() < 60_000, "{}", payload.len());
        let Ok(Built::Object(restored)) = restore(&payload, limits) else { panic!("it is whole") };
        assert!(restored.memory_usage() < 80_000, "{}", restored.memory_usage());
        assert!(dump_object(&restored, &options).unwrap() == payload);
    }

    /// Entries with the names of their node, and others between them.
    #[test]
    fn entries_keep_their_own_names_through_payloads() {
        let (limits, mut random) = (Limits::default(), fastrand::Rng::with_seed(8));
        for _ in 0..200 {
            let mut stream = crate::types::Stream::default();
            for seq in 1..=20 {
                let fields = [["a", "1"], ["b", "2"], ["ab", "3"]][random.usize(..3)];
                let fields = fields.iter().cycle().take(2 * random.usize(1..3));
                let fields = fields.map(|word| word.as_bytes());
                stream.entries.push(StreamId::new(1, seq), fields, &limits).unwrap();
            }
            let shown = |object: &Object| {
                let Object::Stream(stream) = object else { panic!("{object:?}") };
                let fields = stream.entries.iter().map(|entry| entry.fields().collect::<Vec<_>>());
                format!("{:?}", fields.collect::<Vec<_>>())
            };
            let object = Object::Stream(Arc::new(stream));
            let payload = dump_object(&object, &EncoderOptions::default()).unwrap();
            let Ok(Built::Object(restored)) = restore(&payload, limits) else { panic!("whole") };
            assert_eq!(shown(&restored), shown(&object));
        }
    }
}
