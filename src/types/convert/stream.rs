//! Streams from and to events.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_persistence::snapshot::{Event, StreamId};

use super::UNEXPECTED;
use crate::types::{Consumer, Group, Pending, Stream};

/// Hands the events of a stream to `put`, all but the last, `ValueEnd`.
///
/// # Errors
/// What `put` returns.
pub(super) fn write<E>(
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

/// Puts a stream together. Pending entries come first; whose they are follows with the consumers.
#[derive(Debug)]
pub(super) struct StreamBuilder {
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
    pub(super) fn put(&mut self, event: Event<'_>) -> Result<(), &'static str> {
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
    pub(super) fn finish(&mut self) -> Result<Stream, &'static str> {
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
