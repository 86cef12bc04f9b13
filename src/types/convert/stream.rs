//! Streams from and to events.

use std::collections::BTreeMap;

use highwater_persistence::snapshot::{Event, StreamId};

use super::UNEXPECTED;
use crate::types::listpack::PackedItem;
use crate::types::{COUNT_MAX, ConsumerNumber, Group, Limits, Pending, Stream};

/// Hands the events of a stream to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    stream: &Stream,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::StreamBegin)?;
    for entry in stream.entries.iter() {
        put(Event::StreamEntry { id: entry.id, fields: entry.len() as u64 })?;
        for (field, value) in entry.fields() {
            let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (field, value) = (text(field, &mut first), text(value, &mut second));
            put(Event::StreamField { field, value })?;
        }
    }
    put(Event::StreamMeta(stream.meta()))?;
    for (name, group) in stream.groups() {
        put(Event::StreamGroup { name, last_id: group.last_id, entries_read: group.entries_read })?;
        for (id, pending) in group.all_pending() {
            let (delivered_ms, deliveries) = (pending.delivered_ms, pending.deliveries);
            put(Event::StreamPending { id, delivered_ms, deliveries })?;
        }
        for consumer in group.consumers() {
            let (seen_ms, active_ms) = (consumer.seen_ms(), consumer.active_ms);
            put(Event::StreamConsumer { name: consumer.name(), seen_ms, active_ms })?;
            for id in consumer.all_pending() {
                put(Event::StreamConsumerPending { id })?;
            }
        }
    }
    Ok(())
}

/// The bytes of an item.
fn text<'a>(item: PackedItem<'a>, buffer: &'a mut itoa::Buffer) -> &'a [u8] {
    match item {
        PackedItem::Int(number) => buffer.format(number).as_bytes(),
        PackedItem::Bytes(bytes) => bytes,
    }
}

/// Words, one behind the other. The memory is used again for the next entry.
#[derive(Debug, Default)]
struct Words {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
}

impl Words {
    fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }
}

/// An entry whose fields are coming in.
#[derive(Debug)]
struct Open {
    id: StreamId,
    /// It has the names of the entry before it, which are there.
    repeats_names: bool,
}

/// Puts a stream together. Pending entries come first; whose they are follows with the consumers.
#[derive(Debug, Default)]
pub(super) struct StreamBuilder {
    stream: Stream,
    entry: Option<Open>,
    /// Those of the open entry, or of the last one that has any.
    names: Words,
    values: Words,
    group: Option<Vec<u8>>,
    consumer: Option<ConsumerNumber>,
    /// Pending entries of the group that no consumer has claimed yet: when and how often they were delivered.
    unclaimed: BTreeMap<StreamId, (i64, u64)>,
    /// A group had some of these at its end.
    some_unowned: bool,
    /// The stream comes from a server in which pending entries may belong to nobody.
    newer: bool,
}

impl StreamBuilder {
    /// The open entry has the names of the one before it.
    pub(super) fn names_repeat(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.repeats_names = true;
        }
    }

    pub(super) fn put(&mut self, event: Event<'_>, limits: &Limits) -> Result<(), &'static str> {
        match event {
            Event::StreamEntry { id, .. } => {
                self.close_entry(limits)?;
                self.entry = Some(Open { id, repeats_names: false });
                self.values.clear();
            }
            Event::StreamField { field, value } => {
                let entry = self.entry.as_ref().ok_or(UNEXPECTED)?;
                if !entry.repeats_names {
                    if self.values.ends.is_empty() {
                        self.names.clear();
                    }
                    self.names.push(field);
                }
                self.values.push(value);
            }
            Event::StreamMeta(meta) => {
                self.close_entry(limits)?;
                let entries = &mut self.stream.entries;
                entries.last_id = meta.last_id;
                entries.max_deleted_id = meta.max_deleted_id;
                entries.added = meta.entries_added;
            }
            Event::StreamGroup { name, last_id, entries_read } => {
                self.close_group();
                self.group = Some(name.to_vec());
                let read = entries_read.map(|read| read.min(COUNT_MAX));
                if !self.stream.create_group(name, Group::new(last_id, read)) {
                    return Err("a group is there twice");
                }
            }
            // What newer servers keep beside has no counterpart here.
            Event::Skipped { .. } => self.newer = true,
            _ => return self.put_in_group(event),
        }
        Ok(())
    }

    fn put_in_group(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        let name = self.group.as_ref().ok_or(UNEXPECTED)?;
        let (_, group) = self.stream.group_mut(name).ok_or(UNEXPECTED)?;
        match event {
            Event::StreamPending { id, delivered_ms, deliveries } => {
                let deliveries = deliveries.min(COUNT_MAX);
                if self.unclaimed.insert(id, (delivered_ms, deliveries)).is_some() {
                    return Err("a pending entry is there twice");
                }
            }
            Event::StreamConsumer { name, seen_ms, active_ms } => {
                let number = group.create_consumer(name, seen_ms);
                let number = number.ok_or("a consumer is there twice")?;
                group.consumer_mut(number).active_ms = active_ms;
                self.consumer = Some(number);
            }
            Event::StreamConsumerPending { id } => {
                let consumer = self.consumer.ok_or(UNEXPECTED)?;
                let Some((delivered_ms, deliveries)) = self.unclaimed.remove(&id) else {
                    return Err(match group.pending_entry(id) {
                        Some(_) => "a pending entry belongs to two consumers",
                        None => "a consumer's pending entry is not the group's",
                    });
                };
                group.deliver(id, Pending { delivered_ms, deliveries, consumer });
            }
            _ => return Err(UNEXPECTED),
        }
        Ok(())
    }

    fn close_entry(&mut self, limits: &Limits) -> Result<(), &'static str> {
        let Some(Open { id, repeats_names }) = self.entry.take() else { return Ok(()) };
        let (names, values) = (&self.names, &self.values);
        let items = (0..2 * values.ends.len())
            .map(|at| if at % 2 == 0 { names.get(at / 2) } else { values.get(at / 2) });
        let entries = &mut self.stream.entries;
        let pushed = if repeats_names {
            entries.push_alike(id, items, limits)
        } else {
            entries.push(id, items, limits)
        };
        pushed.map_err(|_| "an entry is not above the one before it, or too large")
    }

    fn close_group(&mut self) {
        self.some_unowned |= !self.unclaimed.is_empty();
        self.unclaimed.clear();
        self.consumer = None;
    }

    /// The complete stream. Pending entries of nobody, which newer servers have, have no counterpart here and go.
    pub(super) fn finish(&mut self) -> Result<Stream, &'static str> {
        self.close_group();
        if self.some_unowned && !self.newer {
            return Err("a pending entry belongs to no consumer");
        }
        Ok(std::mem::take(&mut self.stream))
    }
}
