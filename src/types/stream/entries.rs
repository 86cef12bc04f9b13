//! The entries of a stream: packed nodes by the id that began them, and the numbers that are kept of all of them.

use std::sync::Arc;

use highwater_persistence::snapshot::{StreamId, StreamMeta};

use super::node::{Entry, Node};
use super::tree::{self, Tree};
use crate::alloc::arc_bytes;
use crate::types::Limits;
use crate::types::listpack::{Listpack, Place};

/// A node ends here, whatever the settings say: stock servers hold no larger blocks.
const NODE_BYTES_MAX: usize = 1 << 30;

/// Why an entry cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its id is not above the last.
    IdNotAbove,
    /// Its fields take too much memory.
    TooLarge,
}

/// An entry that can be added to the stream that was asked.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    id: StreamId,
    /// Of all its fields.
    bytes: usize,
}

/// Up to which entry a stream is to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last so many entries stay.
    Last(u64),
    /// Entries with this id and those above stay.
    From(StreamId),
}

/// How a stream is to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What stays.
    pub keep: Keep,
    /// Only whole nodes go: what that leaves over stays, too.
    pub whole_nodes: bool,
    /// At most so many entries go, in whole nodes; 0: any number.
    pub entries_max: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    nodes: Tree<StreamId, Arc<Node>>,
    /// Bytes that the nodes' blocks take.
    block_bytes: usize,
    len: u64,
    first_id: StreamId,
    /// The highest id ever added.
    pub last_id: StreamId,
    /// The highest id ever deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub added: u64,
}

/// Reading.
impl Entries {
    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers of the stream, as snapshots have them.
    pub fn meta(&self) -> StreamMeta {
        StreamMeta {
            length: self.len,
            last_id: self.last_id,
            first_id: self.first_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.added,
        }
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(self, start, end, false)
    }

    /// The entries from `end` down to `start`, both included.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> Range<'_> {
        Range::new(self, start, end, true)
    }

    /// All entries.
    pub fn iter(&self) -> Range<'_> {
        self.range(StreamId::ZERO, MAX_ID)
    }

    /// The entry with this id.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The first entry.
    pub fn first(&self) -> Option<Entry<'_>> {
        self.iter().next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_back(StreamId::ZERO, MAX_ID).next()
    }

    /// The id of the first entry that takes memory, though it may be deleted.
    pub fn first_held_id(&self) -> Option<StreamId> {
        self.nodes.first().map(|(base, _)| *base)
    }

    /// Whether an entry at `from` or above it may have been deleted, with others below it still there.
    pub fn has_holes_from(&self, from: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id != StreamId::ZERO
            && self.max_deleted_id >= self.first_id
            && from <= self.max_deleted_id
    }

    /// The blocks of its nodes, each with the id from which it counts.
    pub fn blocks(&self) -> impl Iterator<Item = (StreamId, &[u8])> {
        self.nodes.iter().map(|(base, node)| (*base, node.block()))
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The ids that began the nodes, in order.
    pub fn bases(&self) -> impl Iterator<Item = StreamId> {
        self.nodes.iter().map(|(base, _)| *base)
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        let node_bytes = arc_bytes::<Node>();
        self.nodes.bytes() + self.nodes.len() * node_bytes + self.block_bytes
    }

    /// The nodes from the one that would hold `id` on.
    fn nodes_from(&self, id: StreamId) -> tree::Iter<'_, StreamId, Arc<Node>> {
        match self.node_of(id) {
            Some((base, _)) => self.nodes.iter_from(&base),
            None => self.nodes.iter(),
        }
    }

    /// The node that holds `id`, if any does.
    fn node_of(&self, id: StreamId) -> Option<(StreamId, &Arc<Node>)> {
        self.nodes.at_or_below(&id).map(|(base, node)| (*base, node))
    }
}

/// The highest id there can be.
pub const MAX_ID: StreamId = StreamId::new(u64::MAX, u64::MAX);

/// Changing.
impl Entries {
    /// Adds an entry at the end; `fields` are name, value, name, value ...
    ///
    /// # Errors
    /// See [`Refused`]; nothing has changed then.
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
        limits: &Limits,
    ) -> Result<(), Refused> {
        let accepted = self.accept(id, fields.clone())?;
        self.push_accepted(accepted, fields, limits);
        Ok(())
    }

    /// Adds an entry that was accepted, with the same fields; nothing has been added since.
    pub fn push_accepted<'f>(
        &mut self,
        Accepted { id, bytes }: Accepted,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
        limits: &Limits,
    ) {
        debug_assert!(id > self.last_id, "it was accepted");
        if !self.nodes.last().is_some_and(|(_, node)| has_room(node, bytes, limits)) {
            let node = Node::new(fields.clone());
            self.block_bytes += node.heap_bytes();
            self.nodes.insert(id, Arc::new(node));
        }
        let (&base, node) = self.nodes.last_mut().expect("there is one now");
        change(node, &mut self.block_bytes, |node| node.push(base, id, fields));
        if self.len == 0 {
            self.first_id = id;
        }
        self.len += 1;
        self.added = self.added.wrapping_add(1);
        self.last_id = id;
    }

    /// Adds the node of a snapshot at the end: as it is, or anew where one written here would be another. Whoever calls has checked
    /// that its entries are whole.
    ///
    /// # Errors
    /// Its entries do not ascend from the last one on; nothing has changed then.
    pub fn push_node(&mut self, base: StreamId, pack: Listpack) -> Result<(), Refused> {
        let node = Node::of_listpack(pack);
        let (base, node) = if node.is_sound(base) {
            (base, node)
        } else {
            match node.rebuilt(base)? {
                Some(rebuilt) => rebuilt,
                // All are deleted.
                None => return Ok(()),
            }
        };
        if self.nodes.last().is_some() && base <= self.last_id {
            return Err(Refused::IdNotAbove);
        }
        let last = node.back().map_or(base, |at| node.entry(base, at).id);
        self.block_bytes += node.heap_bytes();
        let (len, live) = (self.len, node.live() as u64);
        self.nodes.insert(base, Arc::new(node));
        (self.len, self.last_id) = (len + live, last);
        if len == 0 {
            self.find_first();
        }
        Ok(())
    }

    /// Looks whether an entry could be added. Nothing changes.
    ///
    /// # Errors
    /// Those of [`Entries::push`].
    pub fn accept<'f>(
        &self,
        id: StreamId,
        fields: impl Iterator<Item = &'f [u8]>,
    ) -> Result<Accepted, Refused> {
        if id <= self.last_id {
            return Err(Refused::IdNotAbove);
        }
        let bytes: usize = fields.map(<[u8]>::len).sum();
        if bytes > NODE_BYTES_MAX { Err(Refused::TooLarge) } else { Ok(Accepted { id, bytes }) }
    }

    /// Deletes the entry with this id. Says whether it was there.
    pub fn remove(&mut self, id: StreamId) -> bool {
        let Some((base, node)) = self.node_of(id) else { return false };
        let Some(at) = node.seek(base, id) else { return false };
        let entry = node.entry(base, at);
        if entry.id != id || entry.deleted {
            return false;
        }
        if node.live() == 1 {
            self.remove_node(base);
        } else {
            self.change_node(base, |node| node.delete(at));
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id || self.len == 0 {
            self.find_first();
        }
        true
    }

    /// Removes entries from the front; returns how many. They do not count as deleted.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let mut removed = 0;
        while let Some((base, node)) = self.nodes.first() {
            let (base, live) = (*base, node.live() as u64);
            let goes = match trim.keep {
                Keep::Last(count) if self.len <= count => break,
                Keep::Last(count) => self.len - live >= count,
                Keep::From(id) => node.back().is_none_or(|at| node.entry(base, at).id < id),
            };
            if trim.entries_max > 0 && removed + live > trim.entries_max {
                break;
            }
            if goes {
                self.remove_node(base);
                self.len -= live;
                removed += live;
                continue;
            }
            if !trim.whole_nodes {
                removed += self.trim_within(base, trim.keep);
            }
            break;
        }
        if removed > 0 {
            self.find_first();
        }
        removed
    }

    /// Deletes the entries of the first node that do not stay.
    fn trim_within(&mut self, base: StreamId, keep: Keep) -> u64 {
        let excess = match keep {
            Keep::Last(count) => self.len.saturating_sub(count),
            Keep::From(_) => u64::MAX,
        };
        let Some(node) = self.nodes.get(&base) else { return 0 };
        // What goes is looked for first, so that nothing is copied where nothing does.
        let (mut left, mut last, mut cursor) = (excess, None, node.front());
        while let Some(at) = cursor {
            let entry = node.entry(base, at);
            let stays = match keep {
                Keep::Last(_) => left == 0,
                Keep::From(id) => entry.id >= id,
            };
            if stays {
                break;
            }
            if !entry.deleted {
                left -= 1;
                last = Some(entry.id);
            }
            cursor = entry.behind();
        }
        let Some(last) = last else { return 0 };
        let deleted = self.change_node(base, |node| node.delete_while(base, |id| id <= last));
        self.len -= deleted as u64;
        deleted as u64
    }

    /// Whether [`Entries::trim`] would change anything.
    pub fn trims(&self, trim: &Trim) -> bool {
        let Some((base, node)) = self.nodes.first() else { return false };
        if trim.entries_max > 0 && node.live() as u64 > trim.entries_max {
            return false;
        }
        match trim.keep {
            Keep::Last(count) if self.len <= count => false,
            Keep::Last(count) => !trim.whole_nodes || self.len - node.live() as u64 >= count,
            Keep::From(id) => {
                let goes = node.back().is_none_or(|at| node.entry(*base, at).id < id);
                goes || (!trim.whole_nodes && self.len > 0 && self.first_id < id)
            }
        }
    }

    fn remove_node(&mut self, base: StreamId) {
        if let Some(node) = self.nodes.remove(&base) {
            self.block_bytes -= node.heap_bytes();
        }
    }

    fn find_first(&mut self) {
        self.first_id = self.first().map_or(StreamId::ZERO, |entry| entry.id);
    }

    fn change_node<T>(&mut self, base: StreamId, change: impl FnOnce(&mut Node) -> T) -> T {
        let node = self.nodes.get_mut(&base).expect("the caller has found it");
        self::change(node, &mut self.block_bytes, change)
    }
}

/// Changes a node; `block_bytes` is told of its block.
fn change<T>(
    node: &mut Arc<Node>,
    block_bytes: &mut usize,
    change: impl FnOnce(&mut Node) -> T,
) -> T {
    let before = node.heap_bytes();
    let node = Arc::make_mut(node);
    let changed = change(node);
    *block_bytes = *block_bytes + node.heap_bytes() - before;
    changed
}

/// Whether an entry of `bytes` bytes may still go into `node`.
fn has_room(node: &Node, bytes: usize, limits: &Limits) -> bool {
    let bytes_max = match limits.stream_node_bytes_max {
        0 => NODE_BYTES_MAX,
        bytes => bytes.min(NODE_BYTES_MAX),
    };
    let entries_max = limits.stream_node_entries_max;
    node.bytes() + bytes < bytes_max
        && (entries_max == 0 || ((node.live() + node.deleted()) as u64) < entries_max)
}

/// Entries of a range, in one direction.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    nodes: tree::Iter<'a, StreamId, Arc<Node>>,
    /// The next entry to be looked at, in its node.
    cursor: Option<(StreamId, &'a Node, Place)>,
    start: StreamId,
    end: StreamId,
    backwards: bool,
}

impl<'a> Range<'a> {
    fn new(entries: &'a Entries, start: StreamId, end: StreamId, backwards: bool) -> Self {
        let nodes =
            if backwards { entries.nodes.iter_back_from(&end) } else { entries.nodes_from(start) };
        let mut range = Self { nodes, cursor: None, start, end, backwards };
        if start <= end.min(entries.last_id) {
            range.next_node();
        }
        range
    }

    /// Goes to the next node; at the end there is no cursor.
    fn next_node(&mut self) {
        self.cursor = None;
        for (base, node) in self.nodes.by_ref() {
            let at = if self.backwards {
                node.back()
            } else if *base < self.start {
                node.seek(*base, self.start)
            } else {
                node.front()
            };
            if let Some(at) = at {
                self.cursor = Some((*base, node, at));
                return;
            }
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let (base, node, at) = self.cursor?;
            let entry = node.entry(base, at);
            let is_over = if self.backwards { entry.id < self.start } else { entry.id > self.end };
            if is_over {
                self.cursor = None;
                return None;
            }
            let next = if self.backwards { node.before(at) } else { entry.behind() };
            match next {
                Some(at) => self.cursor = Some((base, node, at)),
                None => self.next_node(),
            }
            if !entry.deleted && entry.id >= self.start && entry.id <= self.end {
                return Some(entry);
            }
        }
    }
}

#[cfg(test)]
impl Entries {
    /// Asserts what always holds.
    pub(super) fn check_invariants(&self) {
        self.nodes.check_invariants();
        let (mut len, mut bytes) = (0, 0);
        for (base, node) in self.nodes.iter() {
            node.check_invariants(*base);
            len += node.live() as u64;
            bytes += node.heap_bytes();
        }
        assert_eq!((len, bytes), (self.len, self.block_bytes));
        let first = self.first().map_or(StreamId::ZERO, |entry| entry.id);
        assert_eq!(first, self.first_id);
        assert!(self.last().is_none_or(|entry| entry.id <= self.last_id));
    }
}
