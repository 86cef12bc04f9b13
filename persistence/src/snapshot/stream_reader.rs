//! Reads a stream: nodes of packed entries, then its numbers, then its consumer groups.
//!
//! A node is a listpack whose first entry, the master, gives the field names that most entries share; its id
//! is the node's key, and the ids of the entries are counted from it:
//!
//! ```text
//! master  live deleted fields-count field ... 0
//! entry   flags ms-difference seq-difference [fields-count field value ... | value ...] items
//! ```

use std::io::Read;

use super::encoding::{Corrupt, Item, Listpack};
use super::format::{kind, stream_flag};
use super::source::{Source, Span};
use super::value_reader::{Token, corrupt_error, item_span};
use super::{SnapshotError, StreamId, StreamMeta};

enum Stage {
    /// Nodes that are handed out as they are.
    Blocks,
    Nodes,
    /// Fields of an entry are being handed out. Where their names are the master's, `names` walks over these.
    Fields {
        total: u64,
        left: u64,
        names: Option<Listpack>,
    },
    Numbers,
    Groups {
        left: u64,
    },
    Pending {
        left: u64,
        groups: u64,
    },
    Consumers {
        left: u64,
        groups: u64,
    },
    ConsumerPending {
        left: u64,
        consumers: u64,
        groups: u64,
    },
    Tail,
    End,
}

/// An open node.
struct Node {
    cursor: Listpack,
    /// Stands at the first field name of the master entry. Names are walked over again and again rather than kept: a small
    /// payload may claim millions.
    names: Listpack,
    name_count: u64,
    id: StreamId,
    live: i64,
    deleted: i64,
}

/// Reads one stream.
pub(crate) struct StreamReader {
    code: u8,
    nodes_left: u64,
    node: Option<Node>,
    stage: Stage,
    /// Of the entries handed out so far.
    first: Option<StreamId>,
    last: Option<StreamId>,
    entries: u64,
    meta: StreamMeta,
}

impl StreamReader {
    /// Of a stream with so many nodes, which are handed out as they are, or entry by entry.
    pub(crate) fn new(code: u8, nodes: u64, blocks: bool) -> Self {
        Self {
            code,
            nodes_left: nodes,
            node: None,
            stage: if blocks { Stage::Blocks } else { Stage::Nodes },
            first: None,
            last: None,
            entries: 0,
            meta: StreamMeta::default(),
        }
    }

    /// The next event, or none when the stream is complete.
    pub(crate) fn next<R: Read>(
        &mut self,
        src: &mut Source<R>,
        blob: &mut Vec<u8>,
    ) -> Result<Option<Token>, SnapshotError> {
        loop {
            match &mut self.stage {
                Stage::Blocks if self.nodes_left == 0 => self.stage = Stage::Numbers,
                Stage::Blocks => return self.whole_node(src, blob).map(Some),
                Stage::Nodes => {
                    if let Some(token) = self.entry(src, blob)? {
                        return Ok(Some(token));
                    }
                    self.stage = Stage::Numbers;
                }
                Stage::Fields { left: 0, .. } => self.close_entry(src, blob)?,
                Stage::Fields { .. } => return self.field(src, blob).map(Some),
                Stage::Numbers => return self.numbers(src).map(Some),
                Stage::Groups { left: 0 } => self.stage = Stage::Tail,
                Stage::Groups { .. } => return self.group(src).map(Some),
                Stage::Pending { left: 0, groups } => {
                    src.reading("stream consumers");
                    let left = src.length()?;
                    self.stage = Stage::Consumers { left, groups: *groups };
                }
                Stage::Pending { left, .. } => {
                    *left -= 1;
                    src.reading("stream pending entry");
                    let id = StreamId::from_bytes(src.array()?);
                    let delivered_ms = i64::from_le_bytes(src.array()?);
                    let deliveries = src.length()?;
                    return Ok(Some(Token::StreamPending { id, delivered_ms, deliveries }));
                }
                Stage::Consumers { left: 0, groups } => {
                    let left = *groups;
                    self.unowned(src)?;
                    self.stage = Stage::Groups { left };
                }
                Stage::Consumers { .. } => return self.consumer(src).map(Some),
                Stage::ConsumerPending { left: 0, consumers, groups } => {
                    self.stage = Stage::Consumers { left: *consumers, groups: *groups };
                }
                Stage::ConsumerPending { left, .. } => {
                    *left -= 1;
                    src.reading("stream pending entry");
                    let id = StreamId::from_bytes(src.array()?);
                    return Ok(Some(Token::StreamConsumerPending { id }));
                }
                Stage::Tail => {
                    self.stage = Stage::End;
                    if self.code >= kind::STREAM_4 {
                        skip_idempotence(src)?;
                        return Ok(Some(Token::Skipped { what: "producers of a stream" }));
                    }
                }
                Stage::End => return Ok(None),
            }
        }
    }

    /// The next live entry of this node or a later one.
    fn entry<R: Read>(
        &mut self,
        src: &mut Source<R>,
        blob: &mut Vec<u8>,
    ) -> Result<Option<Token>, SnapshotError> {
        loop {
            if self.node.is_none() {
                if self.nodes_left == 0 {
                    return Ok(None);
                }
                self.nodes_left -= 1;
                self.open_node(src, blob)?;
            }
            if let Some(token) = self.entry_of_node(src, blob)? {
                return Ok(Some(token));
            }
            self.node = None;
        }
    }

    /// The next node, all of whose entries are checked.
    fn whole_node<R: Read>(
        &mut self,
        src: &mut Source<R>,
        blob: &mut Vec<u8>,
    ) -> Result<Token, SnapshotError> {
        self.nodes_left -= 1;
        self.open_node(src, blob)?;
        while self.entry_of_node(src, blob)?.is_some() {
            while matches!(self.stage, Stage::Fields { left: 1.., .. }) {
                self.field(src, blob)?;
                // The text of integers is of no use here.
                src.begin_event();
            }
            self.close_entry(src, blob)?;
        }
        let base = self.node.take().map(|node| node.id).expect("it has just been opened");
        self.stage = Stage::Blocks;
        Ok(Token::StreamNode { base, bytes: Span::Blob { start: 0, len: blob.len() } })
    }

    fn open_node<R: Read>(
        &mut self,
        src: &mut Source<R>,
        blob: &mut Vec<u8>,
    ) -> Result<(), SnapshotError> {
        src.reading("stream node");
        src.string_into(blob)?;
        let key = <[u8; 16]>::try_from(&blob[..])
            .map_err(|_| src.malformed("a node's key is not 16 bytes"))?;
        src.string_into(blob)?;
        let error = |corrupt| corrupt_error(src, corrupt);
        let mut cursor = Listpack::open(blob).map_err(error)?;
        let live = integer(&mut cursor, blob).map_err(error)?;
        let deleted = integer(&mut cursor, blob).map_err(error)?;
        let count = integer(&mut cursor, blob).map_err(error)?;
        let names = cursor.clone();
        for _ in 0..count {
            item(&mut cursor, blob).map_err(error)?;
        }
        if integer(&mut cursor, blob).map_err(error)? != 0 || live < 0 || deleted < 0 || count < 0 {
            return Err(src.malformed("a node's master entry is wrong"));
        }
        let (name_count, id) = (count.unsigned_abs(), StreamId::from_bytes(key));
        self.node = Some(Node { cursor, names, name_count, id, live, deleted });
        Ok(())
    }

    /// The next live entry of the open node; none at its end.
    fn entry_of_node<R: Read>(
        &mut self,
        src: &mut Source<R>,
        blob: &[u8],
    ) -> Result<Option<Token>, SnapshotError> {
        let error = |corrupt| corrupt_error(src, corrupt);
        let node = self.node.as_mut().expect("the caller has opened a node");
        loop {
            let Some(flags) = node.cursor.next(blob).map_err(error)? else {
                if node.live != 0 || node.deleted != 0 {
                    return Err(src.malformed("a node's counts do not fit its entries"));
                }
                return Ok(None);
            };
            let Item::Int(flags) = flags else {
                return Err(src.malformed("an entry's flags are no number"));
            };
            let ms = integer(&mut node.cursor, blob).map_err(error)?;
            let seq = integer(&mut node.cursor, blob).map_err(error)?;
            // Differences wrap: the sequence difference is negative where the milliseconds grew.
            let id = StreamId::new(
                node.id.ms.wrapping_add_signed(ms),
                node.id.seq.wrapping_add_signed(seq),
            );
            let same = flags & stream_flag::SAME_FIELDS != 0;
            let fields = if same {
                node.name_count
            } else {
                let fields = integer(&mut node.cursor, blob).map_err(error)?;
                u64::try_from(fields).map_err(|_| src.malformed("a negative count of fields"))?
            };
            if flags & stream_flag::DELETED != 0 {
                node.deleted -= 1;
                let items = if same { fields } else { fields.saturating_mul(2) };
                // One more: the count of items that ends an entry.
                for _ in 0..items.saturating_add(1) {
                    item(&mut node.cursor, blob).map_err(error)?;
                }
                continue;
            }
            node.live -= 1;
            if self.last.is_some_and(|last| last >= id) {
                return Err(src.malformed(format!("entry {id} is not above the one before it")));
            }
            self.first.get_or_insert(id);
            self.last = Some(id);
            self.entries += 1;
            let names = same.then(|| node.names.clone());
            self.stage = Stage::Fields { total: fields, left: fields, names };
            return Ok(Some(Token::StreamEntry { id, fields }));
        }
    }

    fn field<R: Read>(&mut self, src: &mut Source<R>, blob: &[u8]) -> Result<Token, SnapshotError> {
        let (Stage::Fields { left, names, .. }, Some(node)) = (&mut self.stage, &mut self.node)
        else {
            return Err(src.malformed("a field outside of an entry"));
        };
        let error = |corrupt| corrupt_error(src, corrupt);
        let cursor = &mut node.cursor;
        let name = item(names.as_mut().unwrap_or(cursor), blob).map_err(error)?;
        let value = item(cursor, blob).map_err(error)?;
        *left -= 1;
        Ok(Token::StreamField { field: item_span(name, src), value: item_span(value, src) })
    }

    /// Reads what stands behind the fields of an entry.
    fn close_entry<R: Read>(&mut self, src: &Source<R>, blob: &[u8]) -> Result<(), SnapshotError> {
        let Stage::Fields { total, names, .. } = &self.stage else {
            return Err(src.malformed("an entry's end outside of an entry"));
        };
        let items = if names.is_some() { *total + 3 } else { *total * 2 + 4 };
        self.stage = Stage::Nodes;
        let node = self.node.as_mut().expect("an entry's node stays open until its end");
        let stated =
            integer(&mut node.cursor, blob).map_err(|corrupt| corrupt_error(src, corrupt))?;
        if u64::try_from(stated) == Ok(items) {
            Ok(())
        } else {
            let at = node.cursor.position();
            Err(src.malformed(format!("an entry's item count is wrong (byte {at} of the node)")))
        }
    }

    fn numbers<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        src.reading("stream numbers");
        let length = src.length()?;
        let last_id = id(src)?;
        let mut meta = StreamMeta {
            length,
            last_id,
            first_id: self.first.unwrap_or_default(),
            max_deleted_id: StreamId::ZERO,
            entries_added: length,
        };
        if self.code >= kind::STREAM_2 {
            meta.first_id = id(src)?;
            meta.max_deleted_id = id(src)?;
            meta.entries_added = src.length()?;
        }
        if length != self.entries {
            let entries = self.entries;
            return Err(src.malformed(format!("{length} entries are stated, {entries} are there")));
        }
        if self.last.is_some_and(|last| last > last_id) {
            return Err(src.malformed("an entry's id is above the stream's last"));
        }
        self.meta = meta;
        let left = src.length()?;
        src.check_count(left, 4)?;
        self.stage = Stage::Groups { left };
        Ok(Token::StreamMeta(meta))
    }

    fn group<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        let Stage::Groups { left } = self.stage else {
            return Err(src.malformed("a group out of place"));
        };
        src.reading("stream group");
        let name = src.string()?;
        let last_id = id(src)?;
        let entries_read = if self.code >= kind::STREAM_2 {
            // -1, "unknown", is stored as the highest number.
            Some(src.length()?).filter(|read| *read != u64::MAX)
        } else {
            self.meta.estimate_read(last_id)
        };
        let pending = src.length()?;
        src.check_count(pending, 25)?;
        self.stage = Stage::Pending { left: pending, groups: left - 1 };
        Ok(Token::StreamGroup { name, last_id, entries_read })
    }

    fn consumer<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        let Stage::Consumers { left, groups } = self.stage else {
            return Err(src.malformed("a consumer out of place"));
        };
        src.reading("stream consumer");
        let name = src.string()?;
        let seen_ms = i64::from_le_bytes(src.array()?);
        let active_ms = if self.code >= kind::STREAM_3 {
            Some(i64::from_le_bytes(src.array()?)).filter(|at| *at >= 0)
        } else {
            // The best that can be said of it.
            Some(seen_ms)
        };
        let pending = src.length()?;
        src.check_count(pending, 16)?;
        self.stage = Stage::ConsumerPending { left: pending, consumers: left - 1, groups };
        Ok(Token::StreamConsumer { name, seen_ms, active_ms })
    }

    /// Entries that nobody owns (type 27) stay in the group's pending list; here their list is passed over.
    fn unowned<R: Read>(&self, src: &mut Source<R>) -> Result<(), SnapshotError> {
        if self.code >= kind::STREAM_5 {
            src.reading("unowned stream entries");
            for _ in 0..src.length()? {
                let _id: [u8; 16] = src.array()?;
                src.begin_event();
            }
        }
        Ok(())
    }
}

impl StreamMeta {
    /// How many entries a group has read whose last delivered id is `id`, where the stream's numbers tell.
    ///
    /// Holes that deletions left make it unknown, but for the ends.
    #[must_use]
    pub fn estimate_read(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if (self.length == 0 && id <= self.last_id) || id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id || self.length == 0 {
            return None;
        }
        let no_holes = self.max_deleted_id == StreamId::ZERO || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.checked_sub(self.length)?;
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if no_holes => Some(before_first),
            std::cmp::Ordering::Equal if no_holes => Some(before_first + 1),
            _ => None,
        }
    }
}

fn item(cursor: &mut Listpack, blob: &[u8]) -> Result<Item, Corrupt> {
    cursor.next(blob)?.ok_or(Corrupt::new(blob.len(), "a stream node ends inside an entry"))
}

fn integer(cursor: &mut Listpack, blob: &[u8]) -> Result<i64, Corrupt> {
    match item(cursor, blob)? {
        Item::Int(value) => Ok(value),
        Item::Bytes { start, .. } => {
            Err(Corrupt::new(start, "a stream node has a string where a number must be"))
        }
    }
}

fn id<R: Read>(src: &mut Source<R>) -> Result<StreamId, SnapshotError> {
    Ok(StreamId::new(src.length()?, src.length()?))
}

/// Passes over what Redis 8.6 keeps to recognise repeated additions.
fn skip_idempotence<R: Read>(src: &mut Source<R>) -> Result<(), SnapshotError> {
    src.reading("producers of a stream");
    let _duration_s = src.length()?;
    let _entries_max = src.length()?;
    for _ in 0..src.length()? {
        let _producer = src.string()?;
        for _ in 0..src.length()? {
            let _entry = src.string()?;
            let _id = id(src)?;
            src.begin_event();
        }
        src.begin_event();
    }
    let _added = src.length()?;
    let _duplicates = src.length()?;
    src.begin_event();
    Ok(())
}
