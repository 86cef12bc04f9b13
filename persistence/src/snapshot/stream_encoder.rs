//! Encodes a stream. Counts stand before what they count, so a stream is held whole until its end.

use super::encoder::LISTPACK_BYTES_MAX;
use super::encoding::ListpackWriter;
use super::format::{kind, stream_flag};
use super::primitive::{StringWriter, push_length};
use super::{Event, SnapshotError, StreamId, StreamMeta, Thresholds};

/// Things of one kind, encoded one after the other, and how many.
#[derive(Default)]
struct Counted {
    count: u64,
    bytes: Vec<u8>,
}

impl Counted {
    /// Appends count and bytes to `output`; empty afterwards.
    fn flush(&mut self, output: &mut Vec<u8>) {
        push_length(self.count, output);
        output.append(&mut self.bytes);
        self.count = 0;
    }
}

/// An entry whose fields are coming in.
struct Entry {
    id: StreamId,
    fields: u64,
    /// Name, value, name, value.
    items: Vec<Vec<u8>>,
}

/// A node that entries are added to.
struct Node {
    id: StreamId,
    names: Vec<Vec<u8>>,
    entries: u64,
    /// The entries behind the master's; the master comes first when the number of entries is known.
    body: ListpackWriter,
}

/// Encodes one stream.
pub(crate) struct StreamEncoder {
    version: u32,
    thresholds: Thresholds,
    entry: Option<Entry>,
    node: Option<Node>,
    last_id: Option<StreamId>,
    entries: u64,
    /// Finished nodes: id and listpack.
    nodes: Vec<(StreamId, Vec<u8>)>,
    meta: Option<StreamMeta>,
    /// Type and nodes have been written.
    nodes_are_out: bool,
    groups: Counted,
    pending: Counted,
    consumers: Counted,
    consumer_pending: Counted,
    in_group: bool,
    in_consumer: bool,
}

fn unwritable(problem: &str) -> SnapshotError {
    SnapshotError::Unwritable { problem: problem.to_owned() }
}

impl StreamEncoder {
    pub(crate) fn new(version: u32, thresholds: &Thresholds) -> Self {
        Self {
            version,
            thresholds: *thresholds,
            entry: None,
            node: None,
            last_id: None,
            entries: 0,
            nodes: Vec::new(),
            meta: None,
            nodes_are_out: false,
            groups: Counted::default(),
            pending: Counted::default(),
            consumers: Counted::default(),
            consumer_pending: Counted::default(),
            in_group: false,
            in_consumer: false,
        }
    }

    /// For a stream of which type and nodes have been written.
    pub(crate) fn behind_nodes(version: u32, meta: StreamMeta) -> Self {
        let new = Self::new(version, &Thresholds::default());
        Self { meta: Some(meta), nodes_are_out: true, ..new }
    }

    fn with_active_time(&self) -> bool {
        kind_in(self.version) == kind::STREAM_3
    }

    pub(crate) fn put(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        match (event, self.meta.is_some()) {
            (Event::StreamEntry { id, fields }, false) => {
                self.close_entry()?;
                if self.last_id.is_some_and(|last| last >= id) {
                    return Err(unwritable("stream entries out of order"));
                }
                self.last_id = Some(id);
                self.entry = Some(Entry { id, fields, items: Vec::new() });
                Ok(())
            }
            (Event::StreamField { field, value }, false) => {
                let entry =
                    self.entry.as_mut().ok_or_else(|| unwritable("a field without entry"))?;
                entry.items.push(field.to_vec());
                entry.items.push(value.to_vec());
                Ok(())
            }
            (Event::StreamMeta(meta), false) => {
                self.close_entry()?;
                self.close_node();
                if meta.length != self.entries {
                    return Err(unwritable("a stream's length is not its number of entries"));
                }
                self.meta = Some(meta);
                Ok(())
            }
            (event, true) => self.put_group_event(event),
            _ => Err(unwritable("an event that does not continue the stream")),
        }
    }

    fn put_group_event(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        match event {
            Event::StreamGroup { name, last_id, entries_read } => {
                self.close_group();
                self.in_group = true;
                self.groups.count += 1;
                let output = &mut self.groups.bytes;
                push_plain_string(name, output);
                push_id(last_id, output);
                push_length(entries_read.unwrap_or(u64::MAX), output);
            }
            Event::StreamPending { id, delivered_ms, deliveries } if self.in_group => {
                self.pending.count += 1;
                let output = &mut self.pending.bytes;
                output.extend_from_slice(&id.to_bytes());
                output.extend_from_slice(&delivered_ms.to_le_bytes());
                push_length(deliveries, output);
            }
            Event::StreamConsumer { name, seen_ms, active_ms } if self.in_group => {
                self.close_consumer();
                self.in_consumer = true;
                self.consumers.count += 1;
                let with_active_time = self.with_active_time();
                let output = &mut self.consumers.bytes;
                push_plain_string(name, output);
                output.extend_from_slice(&seen_ms.to_le_bytes());
                if with_active_time {
                    output.extend_from_slice(&active_ms.unwrap_or(-1).to_le_bytes());
                }
            }
            Event::StreamConsumerPending { id } if self.in_consumer => {
                self.consumer_pending.count += 1;
                self.consumer_pending.bytes.extend_from_slice(&id.to_bytes());
            }
            _ => return Err(unwritable("an event that does not continue the stream")),
        }
        Ok(())
    }

    fn close_consumer(&mut self) {
        if std::mem::take(&mut self.in_consumer) {
            self.consumer_pending.flush(&mut self.consumers.bytes);
        }
    }

    fn close_group(&mut self) {
        self.close_consumer();
        if std::mem::take(&mut self.in_group) {
            self.pending.flush(&mut self.groups.bytes);
            self.consumers.flush(&mut self.groups.bytes);
        }
    }

    /// Adds the entry that came in to a node.
    fn close_entry(&mut self) -> Result<(), SnapshotError> {
        let Some(entry) = self.entry.take() else { return Ok(()) };
        if entry.items.len() as u64 != entry.fields.saturating_mul(2) {
            return Err(unwritable("an entry with another number of fields than said"));
        }
        let entry_bytes: usize = entry.items.iter().map(|item| item.len() + 14).sum();
        // Servers refuse to add larger ones, too. The entry that begins a node gives its names twice, so a node stays
        // below 4 GiB, where lengths inside it end.
        if entry_bytes > LISTPACK_BYTES_MAX {
            return Err(unwritable("a stream entry of more than 1 GiB"));
        }
        if self.node.as_ref().is_some_and(|node| self.is_full(node)) {
            self.close_node();
        }
        let node = self.node.get_or_insert_with(|| Node {
            id: entry.id,
            names: entry.items.iter().step_by(2).cloned().collect(),
            entries: 0,
            body: ListpackWriter::new(),
        });
        node.add(&entry);
        self.entries += 1;
        Ok(())
    }

    /// Whether the next entry begins another node. Names are not repeated before the entries take as much as they do.
    fn is_full(&self, node: &Node) -> bool {
        let limits = &self.thresholds;
        let names_bytes: usize = node.names.iter().map(Vec::len).sum();
        if node.body.bytes() < names_bytes {
            return false;
        }
        (limits.stream_node_entries_max > 0 && node.entries >= limits.stream_node_entries_max)
            || (limits.stream_node_bytes_max > 0
                && node.body.bytes() >= limits.stream_node_bytes_max)
            || node.body.bytes() >= NODE_BYTES_MAX
    }

    fn close_node(&mut self) {
        if let Some(node) = self.node.take() {
            self.nodes.push((node.id, node.finish()));
        }
    }

    /// Writes type byte and payload of the stream.
    pub(crate) fn finish(
        mut self: Box<Self>,
        strings: &mut StringWriter,
        output: &mut Vec<u8>,
    ) -> Result<(), SnapshotError> {
        let meta = self.meta.ok_or_else(|| unwritable("a stream without its numbers"))?;
        self.close_group();
        if !self.nodes_are_out {
            output.push(kind_in(self.version));
            push_length(self.nodes.len() as u64, output);
        }
        for (id, node) in &self.nodes {
            push_plain_string(&id.to_bytes(), output);
            strings.push(node, output);
        }
        push_length(meta.length, output);
        push_id(meta.last_id, output);
        push_id(meta.first_id, output);
        push_id(meta.max_deleted_id, output);
        push_length(meta.entries_added, output);
        self.groups.flush(output);
        Ok(())
    }
}

/// The type byte of streams in a version.
pub(crate) fn kind_in(version: u32) -> u8 {
    if version >= 11 { kind::STREAM_3 } else { kind::STREAM_2 }
}

/// A node without other limits ends here: servers refuse listpacks of 1 GiB.
const NODE_BYTES_MAX: usize = 512 * 1024 * 1024;

impl Node {
    fn add(&mut self, entry: &Entry) {
        let same = entry.items.iter().step_by(2).eq(self.names.iter());
        let body = &mut self.body;
        body.push_integer(if same { stream_flag::SAME_FIELDS } else { 0 });
        body.push_integer(entry.id.ms.wrapping_sub(self.id.ms).cast_signed());
        body.push_integer(entry.id.seq.wrapping_sub(self.id.seq).cast_signed());
        let fields = i64::try_from(entry.fields).expect("they are in memory");
        if same {
            for value in entry.items.iter().skip(1).step_by(2) {
                body.push(value);
            }
            body.push_integer(fields + 3);
        } else {
            body.push_integer(fields);
            for item in &entry.items {
                body.push(item);
            }
            body.push_integer(2 * fields + 4);
        }
        self.entries += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let mut node = ListpackWriter::new();
        node.push_integer(i64::try_from(self.entries).expect("they are in memory"));
        node.push_integer(0);
        node.push_integer(i64::try_from(self.names.len()).expect("they are in memory"));
        for name in &self.names {
            node.push(name);
        }
        node.push_integer(0);
        node.append(&mut self.body);
        node.finish().to_vec()
    }
}

fn push_id(id: StreamId, output: &mut Vec<u8>) {
    push_length(id.ms, output);
    push_length(id.seq, output);
}

/// A short string is written as it is.
pub(crate) fn push_plain_string(bytes: &[u8], output: &mut Vec<u8>) {
    push_length(bytes.len() as u64, output);
    output.extend_from_slice(bytes);
}
