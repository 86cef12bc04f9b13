//! Entries packed into a block: the listpack that stock servers hold in memory and in snapshots.
//!
//! The first items, the master entry, count the entries and give the field names that most of them share. Ids are counted from
//! the id of the entry that began the node, its *base*, which is the node's key:
//!
//! ```text
//! master  live deleted fields field ... 0
//! entry   flags ms-difference seq-difference [fields field value ... | value ...] items
//! ```
//!
//! The last item of an entry is how many items stand in front of it, for walking backwards. A deleted entry stays where it is,
//! marked; a node of which all are deleted goes as a whole.

use highwater_persistence::snapshot::StreamId;

use super::entries::Refused;
use crate::alloc::size_class;
use crate::types::listpack::{Items, Listpack, PackedItem, Place};

/// Flags of an entry.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Items of an entry in front of its fields and behind them: flags, two differences, and the count at the end.
const FRAME_ITEMS: usize = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pack: Listpack,
}

impl Node {
    /// A node without entries whose master has the names of `fields` (name, value, name, value ...).
    pub(super) fn new<'f>(fields: impl Iterator<Item = &'f [u8]> + Clone) -> Self {
        let names = fields.step_by(2).map(PackedItem::Bytes);
        Self::with_names(names.clone().count(), names)
    }

    /// A node without entries whose master has so many names, these.
    fn with_names<'f>(names_len: usize, names: impl Iterator<Item = PackedItem<'f>>) -> Self {
        let mut pack = Listpack::new();
        pack.push_integer(0);
        pack.push_integer(0);
        pack.push_integer(count(names_len));
        names.for_each(|name| pack.push_item(name));
        pack.push_integer(0);
        Self { pack }
    }

    /// The node with this block, whose entries are whole.
    pub(super) fn of_listpack(pack: Listpack) -> Self {
        Self { pack }
    }

    /// Whether it is as nodes are that were written here, with an entry that is not deleted.
    pub(super) fn is_sound(&self, base: StreamId) -> bool {
        let (mut cursor, mut last, mut live, mut deleted) = (self.front(), None, 0, 0);
        while let Some(at) = cursor {
            let entry = self.entry(base, at);
            let is_next = last.map_or(entry.id == base, |last| last < entry.id);
            if !is_next
                || entry.stated_items() != Some(items_in_front(entry.same, entry.field_items()))
            {
                return false;
            }
            last = Some(entry.id);
            if entry.deleted {
                deleted += 1;
            } else {
                live += 1;
            }
            cursor = entry.behind();
        }
        live > 0 && (live, deleted) == (self.live(), self.deleted()) && self.pack.is_canonical()
    }

    /// The same entries, without deleted ones, in a node as it would be written here, with the id from which it counts: nothing
    /// where all are deleted.
    ///
    /// # Errors
    /// Its entries do not ascend.
    pub(super) fn rebuilt(&self, base: StreamId) -> Result<Option<(StreamId, Self)>, Refused> {
        let mut rebuilt: Option<(StreamId, Self)> = None;
        let (mut cursor, mut last) = (self.front(), None);
        while let Some(at) = cursor {
            let entry = self.entry(base, at);
            cursor = entry.behind();
            if entry.deleted {
                continue;
            }
            if last.is_some_and(|last| last >= entry.id) {
                return Err(Refused::IdNotAbove);
            }
            last = Some(entry.id);
            let (names, names_len) = self.names();
            let (first, node) = rebuilt.get_or_insert_with(|| {
                (entry.id, Self::with_names(names_len, names.take(names_len)))
            });
            // Names are taken over unseen: many entries may share a few that are large.
            node.push_entry(*first, entry.id, entry.same, entry.own_items());
        }
        Ok(rebuilt)
    }

    /// The whole block.
    pub(super) fn block(&self) -> &[u8] {
        self.pack.bytes()
    }

    /// Bytes of the block.
    pub(super) fn bytes(&self) -> usize {
        self.pack.bytes().len()
    }

    /// Bytes of memory that the block takes.
    pub(super) fn heap_bytes(&self) -> usize {
        size_class(self.pack.capacity())
    }

    /// How many entries are not deleted.
    pub(super) fn live(&self) -> usize {
        self.counter(0)
    }

    /// How many are deleted.
    pub(super) fn deleted(&self) -> usize {
        self.counter(1)
    }

    fn counter(&self, index: usize) -> usize {
        let item = self.pack.iter().nth(index).map(number);
        item.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
    }

    fn set_counter(&mut self, index: usize, value: usize) {
        let first = self.pack.first().expect("a node has a master entry");
        let place = if index == 0 { Some(first) } else { self.pack.after(first) };
        self.pack.replace_integer(place.expect("the master has two counts"), count(value));
    }

    /// Field names of the master, and what stands behind them.
    fn names(&self) -> (Items<'_>, usize) {
        let mut items = self.pack.iter();
        let fields = items.nth(2).map_or(0, number);
        (items, usize::try_from(fields).unwrap_or(0))
    }

    /// Adds an entry behind the last. Whoever calls has seen to it that `id` is above all others.
    pub(super) fn push<'f>(
        &mut self,
        base: StreamId,
        id: StreamId,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        let len = fields.clone().count() / 2;
        let (names, names_len) = self.names();
        let same = len == names_len
            && fields.clone().step_by(2).zip(names).all(|(name, item)| is(item, name));
        let items = fields.map(PackedItem::Bytes);
        if same {
            self.push_entry(base, id, true, items.skip(1).step_by(2));
        } else {
            self.push_entry(base, id, false, items);
        }
    }

    /// As [`Node::push`], of an entry of which it is known whether it has the master's names; `items` are its values then, and
    /// otherwise its fields.
    fn push_entry<'f>(
        &mut self,
        base: StreamId,
        id: StreamId,
        same: bool,
        items: impl Iterator<Item = PackedItem<'f>> + Clone,
    ) {
        let field_items = items.clone().count();
        let start = [
            if same { SAME_FIELDS } else { 0 },
            id.ms.wrapping_sub(base.ms).cast_signed(),
            id.seq.wrapping_sub(base.seq).cast_signed(),
        ];
        let fields = (!same).then(|| count(field_items / 2));
        let front = start.into_iter().chain(fields).map(PackedItem::Int);
        let end = PackedItem::Int(count(items_in_front(same, field_items)));
        self.pack.push_all(front.chain(items).chain([end]));
        self.set_counter(0, self.live() + 1);
    }

    /// Marks the entry at `place` as deleted.
    pub(super) fn delete(&mut self, place: Place) {
        let flags = number(self.pack.get(place));
        debug_assert!(flags & DELETED == 0, "an entry is deleted once");
        // Flags take one byte, whichever they are: what stands behind does not move.
        self.pack.replace_integer(place, flags | DELETED);
        let (live, deleted) = (self.live() - 1, self.deleted() + 1);
        self.set_counter(0, live);
        self.set_counter(1, deleted);
    }

    /// Marks all entries as deleted, from the first on, for which `goes` says so, up to the first for which it does not. Returns how
    /// many.
    pub(super) fn delete_while(
        &mut self,
        base: StreamId,
        mut goes: impl FnMut(StreamId) -> bool,
    ) -> usize {
        let (mut deleted, mut cursor) = (0, self.front());
        while let Some(at) = cursor {
            let entry = self.entry(base, at);
            if !goes(entry.id) {
                break;
            }
            cursor = entry.behind();
            if !entry.deleted {
                let flags = number(self.pack.get(at));
                self.pack.replace_integer(at, flags | DELETED);
                deleted += 1;
            }
        }
        let (live, before) = (self.live() - deleted, self.deleted());
        self.set_counter(0, live);
        self.set_counter(1, before + deleted);
        deleted
    }

    /// Where the first entry stands.
    pub(super) fn front(&self) -> Option<Place> {
        let (mut items, names) = self.names();
        // The names, and the zero that ends the master.
        items.nth(names)?;
        items.place()
    }

    /// Where the last entry stands.
    pub(super) fn back(&self) -> Option<Place> {
        self.before(self.pack.tail())
    }

    /// Where the entry in front of the one at `place` stands.
    pub(super) fn before(&self, place: Place) -> Option<Place> {
        let mut at = self.pack.before(place)?;
        // The master ends with 0 where an entry has how many items it has.
        let items = number(self.pack.get(at));
        for _ in 0..items {
            at = self.pack.before(at)?;
        }
        (items > 0).then_some(at)
    }

    /// The entry at `place`.
    pub(super) fn entry(&self, base: StreamId, place: Place) -> Entry<'_> {
        let mut items = self.pack.iter_from(place);
        let mut next = || items.next().map_or(0, number);
        let (flags, ms, seq) = (next(), next(), next());
        let same = flags & SAME_FIELDS != 0;
        let len = if same { self.names().1 } else { usize::try_from(next()).unwrap_or(0) };
        Entry {
            id: StreamId::new(base.ms.wrapping_add_signed(ms), base.seq.wrapping_add_signed(seq)),
            deleted: flags & DELETED != 0,
            node: self,
            items,
            same,
            len,
        }
    }

    /// The first entry at `id` or above it, deleted or not.
    pub(super) fn seek(&self, base: StreamId, id: StreamId) -> Option<Place> {
        let mut cursor = self.front();
        while let Some(at) = cursor {
            let entry = self.entry(base, at);
            if entry.id >= id {
                break;
            }
            cursor = entry.behind();
        }
        cursor
    }
}

/// An entry where it stands.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    pub(super) deleted: bool,
    node: &'a Node,
    /// From its fields on.
    items: Items<'a>,
    /// Whether its names are the master's.
    same: bool,
    len: usize,
}

impl<'a> Entry<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none. Clients cannot add such entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fields with their values, in order.
    pub fn fields(&self) -> impl Iterator<Item = (PackedItem<'a>, PackedItem<'a>)> + use<'a> {
        let mut names = self.same.then(|| self.node.names().0);
        let mut items = self.items.clone();
        (0..self.len).map_while(move |_| {
            let name = names.as_mut().map_or_else(|| items.next(), Iterator::next)?;
            Some((name, items.next()?))
        })
    }

    /// Its values where its names are the master's, and otherwise names and values in turn.
    fn own_items(&self) -> impl Iterator<Item = PackedItem<'a>> + Clone + use<'a> {
        self.items.clone().take(self.field_items())
    }

    /// How many items its fields take.
    fn field_items(&self) -> usize {
        if self.same { self.len } else { 2 * self.len }
    }

    /// How many items stand in front of its last one, as that says.
    fn stated_items(&self) -> Option<usize> {
        let mut items = self.items.clone();
        match items.nth(self.field_items())? {
            PackedItem::Int(count) => usize::try_from(count).ok(),
            PackedItem::Bytes(_) => None,
        }
    }

    /// Where the entry behind it stands.
    pub(super) fn behind(&self) -> Option<Place> {
        let mut items = self.items.clone();
        // The fields, and the count that ends an entry.
        items.nth(self.field_items())?;
        items.place()
    }
}

/// How many items stand in front of the last one of an entry whose fields take so many.
fn items_in_front(same: bool, field_items: usize) -> usize {
    FRAME_ITEMS + usize::from(!same) + field_items
}

fn number(item: PackedItem<'_>) -> i64 {
    match item {
        PackedItem::Int(number) => number,
        PackedItem::Bytes(_) => 0,
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).expect("what is in memory can be counted")
}

/// Whether an item is `bytes`.
fn is(item: PackedItem<'_>, bytes: &[u8]) -> bool {
    item.is(&crate::types::listpack::Needle::new(bytes))
}

#[cfg(test)]
impl Node {
    /// Asserts what always holds: counts fit, ids ascend, and backwards is forwards reversed.
    pub(super) fn check_invariants(&self, base: StreamId) {
        let mut places = Vec::new();
        let (mut cursor, mut last, mut live) = (self.front(), None, 0);
        while let Some(at) = cursor {
            let entry = self.entry(base, at);
            assert!(last.is_none_or(|last| last < entry.id), "ids ascend");
            last = Some(entry.id);
            live += usize::from(!entry.deleted);
            assert_eq!(entry.fields().count(), entry.len());
            places.push(at);
            cursor = entry.behind();
        }
        assert!(!places.is_empty());
        assert_eq!(self.entry(base, places[0]).id, base, "the first entry gives the base");
        assert_eq!((live, places.len() - live), (self.live(), self.deleted()));
        let mut back = Vec::new();
        let mut cursor = self.back();
        while let Some(at) = cursor {
            back.push(at);
            cursor = self.before(at);
        }
        back.reverse();
        assert_eq!(places, back);
    }
}
