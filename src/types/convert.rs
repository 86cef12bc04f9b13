//! Values from and to the events of snapshots and DUMP payloads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use highwater_persistence::snapshot::{
    DumpError, DumpReader, EncoderOptions, Event, SnapshotError, StreamId, ValueEncoder, seal_dump,
};

use super::object::FieldValue;
use super::{Consumer, Group, Object, OrderedMap, Pending, Stream, Zset};

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

/// Hands the events of a collection to `put`, `ValueEnd` included.
///
/// # Errors
/// What `put` returns.
pub fn write_object<E>(
    object: &Object,
    mut put: impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let len = Some(object.len() as u64);
    match object {
        Object::List(items) => {
            put(Event::ListBegin { len })?;
            items.iter().try_for_each(|item| put(Event::ListItem(item)))?;
        }
        Object::Set(members) => {
            put(Event::SetBegin { len })?;
            members.iter().try_for_each(|(member, ())| put(Event::SetMember(member)))?;
        }
        Object::Hash(fields) => {
            put(Event::HashBegin { len })?;
            fields.iter().try_for_each(|(field, FieldValue { value, expires_ms })| {
                put(Event::HashField { field, value, expires_ms: *expires_ms })
            })?;
        }
        Object::Zset(members) => {
            put(Event::ZsetBegin { len })?;
            // Highest first: that is the order in which servers load a large one fastest.
            let descending = members.iter().rev();
            for (member, score) in descending {
                put(Event::ZsetMember { member, score })?;
            }
        }
        Object::Stream(stream) => write_stream(stream, &mut put)?,
    }
    put(Event::ValueEnd)
}

fn write_stream<E>(
    stream: &Stream,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::StreamBegin)?;
    for (id, fields) in &stream.entries {
        put(Event::StreamEntry { id: *id, fields: fields.len() as u64 })?;
        for (field, value) in fields {
            put(Event::StreamField { field, value })?;
        }
    }
    put(Event::StreamMeta(stream.meta()))?;
    for (name, group) in &stream.groups {
        let Group { last_id, entries_read, pending, consumers } = group;
        put(Event::StreamGroup { name, last_id: *last_id, entries_read: *entries_read })?;
        for (id, Pending { delivered_ms, deliveries, .. }) in pending {
            let (delivered_ms, deliveries) = (*delivered_ms, *deliveries);
            put(Event::StreamPending { id: *id, delivered_ms, deliveries })?;
        }
        let mut owned: BTreeMap<&[u8], Vec<StreamId>> = BTreeMap::new();
        for (id, Pending { consumer, .. }) in pending {
            owned.entry(consumer).or_default().push(*id);
        }
        for (name, Consumer { seen_ms, active_ms }) in consumers {
            put(Event::StreamConsumer { name, seen_ms: *seen_ms, active_ms: *active_ms })?;
            for id in owned.remove(&**name).unwrap_or_default() {
                put(Event::StreamConsumerPending { id })?;
            }
        }
        assert!(owned.is_empty(), "a pending entry's consumer is one of the group's");
    }
    Ok(())
}

/// Puts a value together from its events.
///
/// Memory is taken as elements come, whatever length the file claims.
#[derive(Debug)]
pub struct ValueBuilder {
    /// Where the value begins in its file, for errors.
    offset: u64,
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
    pub fn new(offset: u64) -> Self {
        Self { offset, value: Partial::Nothing }
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
                    return Ok(Some(Built::Object(Object::Stream(Box::new(stream)))));
                }
                Err(problem) => Err(problem),
            },
            (_, Event::ValueEnd) => match std::mem::replace(&mut self.value, Partial::Nothing) {
                Partial::String(bytes) => return Ok(Some(Built::String(bytes))),
                Partial::Object(object) if object.is_empty() => return Ok(Some(Built::Empty)),
                Partial::Object(object) => return Ok(Some(Built::Object(object))),
                _ => Err("it ends before it begins"),
            },
            (Partial::Nothing, event) => match begin(event) {
                Some(value) => {
                    self.value = value;
                    Ok(())
                }
                None => Err(UNEXPECTED),
            },
            (Partial::Object(object), event) => add(object, event),
            (Partial::Stream(stream), event) => stream.put(event),
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

const UNEXPECTED: &str = "an event that does not continue the value";

fn begin(event: Event<'_>) -> Option<Partial> {
    Some(match event {
        Event::String(bytes) => Partial::String(bytes.to_vec()),
        Event::ListBegin { .. } => Partial::Object(Object::List(VecDeque::new())),
        Event::SetBegin { .. } => Partial::Object(Object::Set(OrderedMap::new())),
        Event::HashBegin { .. } => Partial::Object(Object::Hash(OrderedMap::new())),
        Event::ZsetBegin { .. } => Partial::Object(Object::Zset(Zset::new())),
        Event::StreamBegin => Partial::Stream(Box::default()),
        _ => return None,
    })
}

/// Adds an element to a collection.
fn add(object: &mut Object, event: Event<'_>) -> Result<(), &'static str> {
    let new = match (object, event) {
        (Object::List(items), Event::ListItem(item)) => {
            items.push_back(item.to_vec());
            true
        }
        (Object::Set(members), Event::SetMember(member)) => members.insert(member, ()).is_none(),
        (Object::Hash(fields), Event::HashField { field, value, expires_ms }) => {
            fields.insert(field, FieldValue { value: value.to_vec(), expires_ms }).is_none()
        }
        (Object::Zset(members), Event::ZsetMember { member, score }) => {
            members.insert(member, score).is_none()
        }
        _ => return Err(UNEXPECTED),
    };
    if new { Ok(()) } else { Err("an element is there twice") }
}

/// Puts a stream together. Pending entries come first; whose they are follows with the consumers.
#[derive(Debug)]
struct StreamBuilder {
    stream: Stream,
    entry: StreamId,
    group: Option<Vec<u8>>,
    consumer: Option<Arc<[u8]>>,
    /// Stands for the consumer of an entry that none has claimed yet; told apart by being this very allocation.
    nobody: Arc<[u8]>,
    /// The stream comes from a server in which pending entries may belong to nobody.
    newer: bool,
}

impl Default for StreamBuilder {
    fn default() -> Self {
        Self {
            stream: Stream::default(),
            entry: StreamId::ZERO,
            group: None,
            consumer: None,
            nobody: Arc::from(&b"nobody"[..]),
            newer: false,
        }
    }
}

impl StreamBuilder {
    fn put(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::StreamEntry { id, .. } => {
                self.entry = id;
                let before = self.stream.entries.insert(id, Vec::new());
                return if before.is_none() { Ok(()) } else { Err("an entry is there twice") };
            }
            Event::StreamField { field, value } => {
                let entry = self.stream.entries.get_mut(&self.entry);
                entry.ok_or(UNEXPECTED)?.push((field.to_vec(), value.to_vec()));
            }
            Event::StreamMeta(meta) => {
                self.stream.last_id = meta.last_id;
                self.stream.max_deleted_id = meta.max_deleted_id;
                self.stream.entries_added = meta.entries_added;
            }
            Event::StreamGroup { name, last_id, entries_read } => {
                let group = Group { last_id, entries_read, ..Group::default() };
                self.group = Some(name.to_vec());
                self.consumer = None;
                if self.stream.groups.insert(name.to_vec(), group).is_some() {
                    return Err("a group is there twice");
                }
            }
            Event::StreamPending { id, delivered_ms, deliveries } => {
                let consumer = Arc::clone(&self.nobody);
                let pending = Pending { consumer, delivered_ms, deliveries };
                if self.group()?.pending.insert(id, pending).is_some() {
                    return Err("a pending entry is there twice");
                }
            }
            Event::StreamConsumer { name, seen_ms, active_ms } => {
                let name: Arc<[u8]> = Arc::from(name);
                self.consumer = Some(Arc::clone(&name));
                let consumer = Consumer { seen_ms, active_ms };
                if self.group()?.consumers.insert(name, consumer).is_some() {
                    return Err("a consumer is there twice");
                }
            }
            Event::StreamConsumerPending { id } => {
                let consumer = self.consumer.clone().ok_or(UNEXPECTED)?;
                let nobody = Arc::clone(&self.nobody);
                let pending = self.group()?.pending.get_mut(&id);
                let pending = pending.ok_or("a consumer's pending entry is not the group's")?;
                if !Arc::ptr_eq(&pending.consumer, &nobody) {
                    return Err("a pending entry belongs to two consumers");
                }
                pending.consumer = consumer;
            }
            // What newer servers keep beside has no counterpart here.
            Event::Skipped { .. } => self.newer = true,
            _ => return Err(UNEXPECTED),
        }
        Ok(())
    }

    /// The complete stream. Pending entries of nobody, which newer servers have, have no counterpart here and go.
    fn finish(&mut self) -> Result<Stream, &'static str> {
        let nobody = Arc::clone(&self.nobody);
        for group in self.stream.groups.values_mut() {
            let before = group.pending.len();
            group.pending.retain(|_, pending| !Arc::ptr_eq(&pending.consumer, &nobody));
            if group.pending.len() < before && !self.newer {
                return Err("a pending entry belongs to no consumer");
            }
        }
        Ok(std::mem::take(&mut self.stream))
    }

    fn group(&mut self) -> Result<&mut Group, &'static str> {
        let name = self.group.as_ref().ok_or(UNEXPECTED)?;
        self.stream.groups.get_mut(name).ok_or(UNEXPECTED)
    }
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
/// `Unwritable` if the version has no place for something: fields that expire before version 12.
pub fn dump_object(object: &Object, options: &EncoderOptions) -> Result<Vec<u8>, SnapshotError> {
    let mut encoder = ValueEncoder::new(options);
    write_object(object, |event| encoder.put(event))?;
    Ok(seal_dump(encoder.take_record(), options.version))
}

/// The value of a payload. An empty collection counts as bad data, as stock servers have it.
///
/// # Errors
/// Both kinds of [`DumpError`]; their texts are those that clients match on.
pub fn restore(payload: &[u8]) -> Result<Built, DumpError> {
    let malformed = |problem: &str| {
        let problem = problem.to_owned();
        DumpError::BadData(SnapshotError::Malformed { offset: 0, reading: "value", problem })
    };
    let mut reader = DumpReader::new(payload)?;
    let mut builder = ValueBuilder::new(0);
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
        let mut builder = ValueBuilder::new(7);
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
        assert!(stream.groups[&b"g"[..]].pending.is_empty());
    }
}
