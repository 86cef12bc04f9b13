//! Lists: byte strings from head to tail.
//!
//! A short list is one listpack; a long one is a row of nodes (`quicklist.rs`). It becomes long when items come that would take
//! the listpack over `list-max-listpack-size`, and short again when only one node is left that is at most half full: so it
//! does not go to and fro at the border.

mod compress;
mod node;
mod quicklist;
#[cfg(test)]
mod tests;
mod walk;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Limits;
use super::listpack::{Listpack, Needle, PackedItem};
use crate::alloc::{arc_bytes, size_class};
use node::{NodeItems, place_at, push_to};
use quicklist::Quicklist;
use walk::{bytes_of, remove_matches, walk_pack};

/// What an item of one byte takes in a listpack.
const SHORT_ITEM_BYTES: usize = 3;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where index 0 is.
    Head,
    /// Where index -1 is.
    Tail,
}

/// An item that has left its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// An integer.
    Int(i64),
    /// Any other string.
    Bytes(SmallVec<[u8; 64]>),
}

impl Taken {
    fn of(item: PackedItem<'_>) -> Self {
        match item {
            PackedItem::Int(number) => Self::Int(number),
            PackedItem::Bytes(bytes) => Self::Bytes(SmallVec::from_slice(bytes)),
        }
    }

    /// The item.
    pub fn item(&self) -> PackedItem<'_> {
        match self {
            Self::Int(number) => PackedItem::Int(*number),
            Self::Bytes(bytes) => PackedItem::Bytes(bytes),
        }
    }
}

/// A list.
#[derive(Clone, Debug)]
pub struct List {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Short(Listpack),
    Long(Arc<Quicklist>),
}

impl Default for List {
    fn default() -> Self {
        Self { form: Form::Short(Listpack::new()) }
    }
}

/// Reading.
impl List {
    /// A list without items.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Short(pack) => pack.len(),
            Form::Long(nodes) => nodes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an end.
    pub fn peek(&self, end: End) -> Option<PackedItem<'_>> {
        match &self.form {
            Form::Short(pack) => {
                let place = if end == End::Head { pack.first() } else { pack.last() };
                place.map(|place| pack.get(place))
            }
            Form::Long(nodes) => nodes.peek(end),
        }
    }

    /// Hands items to `visit`, from an end on, until it breaks. The first `skip` of them are left out; they cost little.
    pub fn walk(
        &self,
        from: End,
        skip: usize,
        mut visit: impl FnMut(PackedItem<'_>) -> ControlFlow<()>,
    ) {
        let _broken = match &self.form {
            Form::Short(pack) => walk_pack(pack, from, skip, &mut visit),
            Form::Long(nodes) => nodes.walk(from, skip, &mut visit),
        };
    }

    /// Hands `count` items to `visit`, from an end on, without the first `skip`.
    pub fn walk_some(
        &self,
        from: End,
        skip: usize,
        count: usize,
        mut visit: impl FnMut(PackedItem<'_>),
    ) {
        let mut left = count;
        if left == 0 {
            return;
        }
        self.walk(from, skip, |item| {
            visit(item);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// The index of the first item that is `needle`.
    pub fn position(&self, needle: &[u8]) -> Option<usize> {
        let (needle, mut index, mut found) = (Needle::new(needle), 0, false);
        self.walk(End::Head, 0, |item| {
            found = item.is(&needle);
            if found {
                return ControlFlow::Break(());
            }
            index += 1;
            ControlFlow::Continue(())
        });
        found.then_some(index)
    }

    /// All items from head to tail.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let (short, long) = match &self.form {
            Form::Short(pack) => (Some(NodeItems::Packed(pack.iter())), None),
            Form::Long(nodes) => (None, Some(nodes.items())),
        };
        short.into_iter().chain(long.into_iter().flatten()).flatten()
    }

    /// Hands all items to `put`, from head to tail; unlike [`List::iter`], numbers cost no memory.
    ///
    /// # Errors
    /// The first error of `put`, which ends it.
    pub fn try_for_each<E>(&self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        self.walk(End::Head, 0, |item| {
            result = put(bytes_of(item, &mut itoa::Buffer::new()));
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, _: &Limits) -> &'static str {
        match self.form {
            Form::Short(_) => "listpack",
            Form::Long(_) => "quicklist",
        }
    }

    /// Whether it is one block of memory.
    pub fn is_one_block(&self) -> bool {
        matches!(self.form, Form::Short(_))
    }

    /// Bytes of memory held, as the allocator rounds them; a good guess for lists of many nodes.
    pub fn memory_usage(&self) -> usize {
        match &self.form {
            Form::Short(pack) => size_class(pack.capacity()),
            Form::Long(nodes) => arc_bytes::<Quicklist>() + nodes.memory_usage(),
        }
    }

    /// How many blocks it consists of, and each of them from head to tail: a listpack (true) or one item.
    pub fn blocks(&self) -> (usize, impl Iterator<Item = (bool, Cow<'_, [u8]>)>) {
        let (short, long) = match &self.form {
            Form::Short(pack) if pack.is_empty() => (None, None),
            Form::Short(pack) => (Some((true, Cow::Borrowed(pack.bytes()))), None),
            Form::Long(nodes) => (None, Some(nodes.blocks())),
        };
        let count = short.iter().len() + long.as_ref().map_or(0, ExactSizeIterator::len);
        (count, short.into_iter().chain(long.into_iter().flatten()))
    }
}

/// Changing.
impl List {
    /// Adds an item behind the tail.
    pub fn push_back(&mut self, item: &[u8], limits: &Limits) {
        self.push_all(End::Tail, || std::iter::once(item), limits);
    }

    /// Adds items at an end, one after the other. `items` is asked for them twice.
    pub fn push_all<'a, I: Iterator<Item = &'a [u8]>>(
        &mut self,
        end: End,
        items: impl Fn() -> I,
        limits: &Limits,
    ) {
        if matches!(self.form, Form::Short(_)) {
            let add = |(count, bytes), item: &[u8]| (count + 1, bytes + item.len());
            let (count, bytes) = items().fold((0, 0), add);
            self.make_room(count, bytes, limits);
        }
        items().for_each(|item| self.push(end, item, limits));
    }

    /// Adds an item that comes from another list at an end.
    pub fn push_item(&mut self, end: End, item: PackedItem<'_>, limits: &Limits) {
        // Stock servers count no bytes for integers here.
        let bytes = if let PackedItem::Bytes(bytes) = item { bytes.len() } else { 0 };
        self.make_room(1, bytes, limits);
        self.push(end, bytes_of(item, &mut itoa::Buffer::new()), limits);
    }

    /// Adds an item of a snapshot at the tail. Nodes are filled as well as can be, a list that fits one node stays short.
    pub fn push_loaded(&mut self, item: &[u8], limits: &Limits) {
        if let Form::Short(pack) = &mut self.form {
            let bytes = pack.bytes().len() + super::listpack::listpack_item_bytes(item);
            if limits.list_node_fits(pack.len() as u64 + 1, bytes) {
                return pack.push(item);
            }
            self.become_long();
        }
        if let Form::Long(nodes) = &mut self.form {
            Arc::make_mut(nodes).push_loaded(item, limits);
        }
    }

    /// Adds the node of a snapshot at the tail: a listpack, all of whose items have been checked.
    ///
    /// # Errors
    /// A node would not be kept so. It comes back, and nothing has changed.
    pub fn push_loaded_node(&mut self, pack: Listpack, limits: &Limits) -> Result<(), Listpack> {
        let count = pack.len();
        let fits = count == 1 || limits.list_node_fits(count as u64, pack.bytes().len());
        if count == 0 || !fits || !pack.is_canonical() {
            return Err(pack);
        }
        if matches!(&self.form, Form::Short(first) if first.is_empty()) {
            let is_long = !limits.list_node_fits(count as u64, pack.bytes().len());
            self.form = Form::Short(pack);
            if is_long {
                self.become_long();
            }
            return Ok(());
        }
        self.become_long();
        if let Form::Long(nodes) = &mut self.form {
            Arc::make_mut(nodes).push_pack(pack, limits);
        }
        Ok(())
    }

    /// Takes the item at an end.
    pub fn pop(&mut self, end: End, limits: &Limits) -> Option<Taken> {
        let taken = self.peek(end).map(Taken::of)?;
        self.remove_end(end, limits);
        self.become_short(limits);
        Some(taken)
    }

    /// Moves the item at one end to the other, or to the same.
    pub fn rotate(&mut self, from: End, to: End, limits: &Limits) -> Option<Taken> {
        let taken = self.peek(from).map(Taken::of)?;
        self.remove_end(from, limits);
        self.push_item(to, taken.item(), limits);
        self.become_short(limits);
        Some(taken)
    }

    /// Removes `count` items from the one at `index` on; all of them must be there.
    pub fn remove_range(&mut self, index: usize, count: usize, limits: &Limits) {
        match &mut self.form {
            _ if count == 0 => return,
            Form::Short(pack) => {
                let place = place_at(pack, index);
                pack.remove(place, count);
            }
            Form::Long(nodes) => Arc::make_mut(nodes).remove_range(index, count, limits),
        }
        self.become_short(limits);
    }

    /// Removes `count` items at an end; all of them must be there.
    pub fn remove_at(&mut self, end: End, count: usize, limits: &Limits) {
        let index = if end == End::Head { 0 } else { self.len() - count };
        self.remove_range(index, count, limits);
    }

    /// Removes up to `max` items that are `needle`, those nearest to `from` first. Returns how many went.
    pub fn remove_matches(
        &mut self,
        needle: &[u8],
        from: End,
        max: usize,
        limits: &Limits,
    ) -> usize {
        let removed = match &mut self.form {
            Form::Short(pack) => remove_matches(pack, &Needle::new(needle), from, max),
            Form::Long(nodes) => Arc::make_mut(nodes).remove_matches(needle, from, max, limits),
        };
        if removed > 0 {
            self.become_short(limits);
        }
        removed
    }

    /// Puts `item` in the place of the one at `index`, which must be there.
    pub fn set(&mut self, index: usize, item: &[u8], limits: &Limits) {
        self.make_room(1, item.len(), limits);
        match &mut self.form {
            Form::Short(pack) => pack.replace(place_at(pack, index), item),
            Form::Long(nodes) => Arc::make_mut(nodes).set(index, item, limits),
        }
        // A large item may have made place for a small one.
        self.become_short(limits);
    }

    /// Adds an item in front of the one at `index`, or at the tail.
    pub fn insert(&mut self, index: usize, item: &[u8], limits: &Limits) {
        self.make_room(1, item.len(), limits);
        match &mut self.form {
            Form::Short(pack) => {
                pack.insert(place_at(pack, index), item);
            }
            Form::Long(nodes) => Arc::make_mut(nodes).insert(index, item, limits),
        }
    }

    /// Becomes long if `count` more items of `bytes` bytes together would be too much for a short one.
    fn make_room(&mut self, count: usize, bytes: usize, limits: &Limits) {
        let Form::Short(pack) = &self.form else { return };
        let bytes = pack.bytes().len() + bytes;
        // Stock servers count bytes of items alone, and so have large blocks of very short ones that come at once.
        let bound = bytes + count * SHORT_ITEM_BYTES;
        if !limits.list_node_fits((pack.len() + count) as u64, bytes)
            || bound > 2 * limits.list_node_bytes_max()
        {
            self.become_long();
        }
    }

    fn become_long(&mut self) {
        if let Form::Short(pack) = &mut self.form {
            let pack = std::mem::take(pack);
            self.form = Form::Long(Arc::new(Quicklist::of_pack(pack)));
        }
    }

    fn become_short(&mut self, limits: &Limits) {
        if let Form::Long(nodes) = &mut self.form
            && let Some(pack) = Arc::make_mut(nodes).take_small(limits)
        {
            self.form = Form::Short(pack);
        }
    }

    /// Adds an item for which room was made.
    fn push(&mut self, end: End, item: &[u8], limits: &Limits) {
        match &mut self.form {
            Form::Short(pack) => push_to(pack, end, item),
            Form::Long(nodes) => Arc::make_mut(nodes).push(end, item, limits),
        }
    }

    /// Removes the item at an end; there must be one. The form stays.
    fn remove_end(&mut self, end: End, limits: &Limits) {
        match &mut self.form {
            Form::Short(pack) => {
                let place = if end == End::Head { pack.first() } else { pack.last() };
                pack.remove(place.expect("it was looked at"), 1);
            }
            Form::Long(nodes) => Arc::make_mut(nodes).remove_end(end, limits),
        }
    }
}
