//! Streams from and to events.

use std::collections::BTreeMap;

use highwater_persistence::snapshot::{Event, StreamId};

use super::{By, UNEXPECTED};
use crate::types::listpack::Listpack;
use crate::types::{COUNT_MAX, ConsumerNumber, Group, Limits, Pending, Stream, member_bytes};

/// Hands the events of a stream to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
    stream: &Stream,
    by: By,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    match by {
        By::Block => write_nodes(stream, put)?,
        By::Element => write_entries(stream, put)?,
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

fn write_nodes<E>(
    stream: &Stream,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::StreamNodes { nodes: stream.entries.node_count() as u64 })?;
    stream.entries.blocks().try_for_each(|(base, bytes)| put(Event::StreamNode { base, bytes }))
}

fn write_entries<E>(
    stream: &Stream,
    put: &mut impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    put(Event::StreamBegin)?;
    for entry in stream.entries.iter() {
        put(Event::StreamEntry { id: entry.id, fields: entry.len() as u64 })?;
        for (field, value) in entry.fields() {
            let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
            let field = member_bytes(field, &mut first);
            put(Event::StreamField { field, value: member_bytes(value, &mut second) })?;
        }
    }
    Ok(())
}

/// An entry whose fields are coming in.
#[derive(Debug)]
struct Open {
    id: StreamId,
    bytes: Vec<u8>,
    /// Where each name and each value ends in `bytes`.
    ends: Vec<usize>,
}

const NOT_ABOVE: &str = "an entry is not above the one before it, or too large";

/// Puts a stream together. Pending entries come first; whose they are follows with the consumers.
#[derive(Debug, Default)]
pub(super) struct StreamBuilder {
    stream: Stream,
    entry: Option<Open>,
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
    pub(super) fn put(&mut self, event: Event<'_>, limits: &Limits) -> Result<(), &'static str> {
        match event {
            Event::StreamEntry { id, .. } => {
                self.close_entry(limits)?;
                self.entry = Some(Open { id, bytes: Vec::new(), ends: Vec::new() });
            }
            Event::StreamField { field, value } => {
                let Open { bytes, ends, .. } = self.entry.as_mut().ok_or(UNEXPECTED)?;
                for item in [field, value] {
                    bytes.extend_from_slice(item);
                    ends.push(bytes.len());
                }
            }
            Event::StreamNode { base, bytes } => {
                let pack = Listpack::from_bytes(bytes.to_vec()).map_err(|(_, what)| what)?;
                self.stream.entries.push_node(base, pack).map_err(|_| NOT_ABOVE)?;
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
        let Some(Open { id, bytes, ends }) = self.entry.take() else { return Ok(()) };
        let items = (0..ends.len()).map(|at| {
            let start = if at == 0 { 0 } else { ends[at - 1] };
            &bytes[start..ends[at]]
        });
        let pushed = self.stream.entries.push(id, items, limits);
        pushed.map_err(|_| NOT_ABOVE)
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
