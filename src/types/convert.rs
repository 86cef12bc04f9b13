//! Values from and to the events of snapshots and DUMP payloads.

use std::collections::VecDeque;
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
        for (name, Consumer { seen_ms, active_ms }) in consumers {
            put(Event::StreamConsumer { name, seen_ms: *seen_ms, active_ms: *active_ms })?;
            let own = pending.iter().filter(|(_, pending)| pending.consumer == *name);
            for (id, _) in own {
                put(Event::StreamConsumerPending { id: *id })?;
            }
        }
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
            (Partial::Stream(stream), Event::ValueEnd) => {
                let stream = std::mem::take(&mut stream.stream);
                self.value = Partial::Nothing;
                return Ok(Some(Built::Object(Object::Stream(Box::new(stream)))));
            }
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

/// Puts a stream together. Pending entries come first, whose they are follows with the consumers.
#[derive(Debug, Default)]
struct StreamBuilder {
    stream: Stream,
    entry: StreamId,
    group: Option<Vec<u8>>,
    consumer: Option<Arc<[u8]>>,
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
                // The name is filled in by the consumer that claims it; it has none until then.
                let pending = Pending { consumer: Arc::from(&[][..]), delivered_ms, deliveries };
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
                let pending = self.group()?.pending.get_mut(&id);
                pending.ok_or("a consumer's pending entry is not the group's")?.consumer = consumer;
            }
            // What newer servers keep beside has no counterpart here.
            Event::Skipped { .. } => {}
            _ => return Err(UNEXPECTED),
        }
        Ok(())
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
