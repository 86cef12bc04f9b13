//! A node of a long list: some items in one block, or one that is too large for company.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::compress::Compressed;
use super::walk::walk_pack;
use super::{End, Limits};
use crate::alloc::{arc_bytes, size_class};
use crate::types::listpack::{Items, Listpack, PackedItem, Place, listpack_item_bytes};

/// More than an item takes in a listpack beside its bytes, by the estimate that stock servers make before they add one.
const ITEM_OVERHEAD_BYTES: usize = 8;

/// See the module. What is inside is shared with copies of the list until either changes.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Items in a listpack.
    Packed {
        /// How many: what skips nodes does not have to look into them.
        count: u32,
        /// The items.
        pack: Arc<Listpack>,
    },
    /// One item as it is.
    Plain(Arc<Box<[u8]>>),
    /// A compressed listpack.
    Compressed {
        /// How many items.
        count: u32,
        /// The listpack.
        pack: Arc<Compressed>,
    },
    /// One item, compressed.
    CompressedPlain(Arc<Compressed>),
}

/// Whether an item of `bytes` bytes is too large for a listpack.
pub(super) fn is_large(bytes: usize, limits: &Limits) -> bool {
    bytes > limits.list_node_bytes_max()
}

fn count_of(pack: &Listpack) -> u32 {
    u32::try_from(pack.len()).expect("nodes are bounded by bytes")
}

impl Node {
    /// A node of one item.
    pub(super) fn of_item(item: &[u8], limits: &Limits) -> Self {
        if is_large(item.len(), limits) {
            return Self::Plain(Arc::new(item.into()));
        }
        let mut pack = Listpack::new();
        pack.push(item);
        Self::of_pack(pack)
    }

    /// A node of the items of a listpack.
    pub(super) fn of_pack(pack: Listpack) -> Self {
        Self::Packed { count: count_of(&pack), pack: Arc::new(pack) }
    }

    /// How many items it has.
    #[inline]
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Packed { count, .. } | Self::Compressed { count, .. } => *count as usize,
            Self::Plain(_) | Self::CompressedPlain(_) => 1,
        }
    }

    /// Its listpack (true) or its one item, uncompressed.
    pub(super) fn block(&self) -> (bool, Cow<'_, [u8]>) {
        match self {
            Self::Packed { pack, .. } => (true, Cow::Borrowed(pack.bytes())),
            Self::Plain(item) => (false, Cow::Borrowed(item)),
            Self::Compressed { pack, .. } => (true, Cow::Owned(pack.raw())),
            Self::CompressedPlain(item) => (false, Cow::Owned(item.raw())),
        }
    }

    /// Bytes of its listpack or item, uncompressed.
    pub(super) fn raw_bytes(&self) -> usize {
        match self {
            Self::Packed { pack, .. } => pack.bytes().len(),
            Self::Plain(item) => item.len(),
            Self::Compressed { pack, .. } | Self::CompressedPlain(pack) => pack.raw_bytes(),
        }
    }

    /// Bytes of memory it holds, as the allocator rounds them.
    pub(super) fn memory_usage(&self) -> usize {
        match self {
            Self::Packed { pack, .. } => arc_bytes::<Listpack>() + size_class(pack.capacity()),
            Self::Plain(item) => arc_bytes::<Box<[u8]>>() + size_class(item.len()),
            Self::Compressed { pack, .. } | Self::CompressedPlain(pack) => {
                arc_bytes::<Compressed>() + size_class(pack.bytes())
            }
        }
    }

    /// Whether it is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed { .. } | Self::CompressedPlain(_))
    }

    /// Compresses it, where that saves something.
    pub(super) fn compress(&mut self) {
        let compressed = match self {
            Self::Packed { count, pack } => Compressed::of(pack.bytes())
                .map(|pack_bytes| Self::Compressed { count: *count, pack: Arc::new(pack_bytes) }),
            Self::Plain(item) => {
                Compressed::of(item).map(|item| Self::CompressedPlain(Arc::new(item)))
            }
            Self::Compressed { .. } | Self::CompressedPlain(_) => None,
        };
        if let Some(compressed) = compressed {
            *self = compressed;
        }
    }

    /// Ends its being compressed.
    pub(super) fn decompress(&mut self) {
        if self.is_compressed() {
            *self = self.decompressed();
        }
    }

    /// A copy that is not compressed; the copy of one that is not costs no more than a reference.
    fn decompressed(&self) -> Self {
        match self {
            Self::Compressed { count, pack } => {
                let pack = Listpack::from_bytes(pack.raw()).expect("it was a listpack before");
                Self::Packed { count: *count, pack: Arc::new(pack) }
            }
            Self::CompressedPlain(item) => Self::Plain(Arc::new(item.raw().into_boxed_slice())),
            other => other.clone(),
        }
    }

    /// The item at one of its ends, if the node is not compressed.
    #[inline]
    pub(super) fn peek(&self, end: End) -> Option<PackedItem<'_>> {
        match self {
            Self::Packed { pack, .. } => {
                let place = if end == End::Head { pack.first() } else { pack.last() };
                place.map(|place| pack.get(place))
            }
            Self::Plain(item) => Some(PackedItem::Bytes(item)),
            Self::Compressed { .. } | Self::CompressedPlain(_) => None,
        }
    }

    /// Hands its items to `visit`, from `from` on, without the first `skip` of them.
    pub(super) fn walk(
        &self,
        from: End,
        skip: usize,
        visit: &mut impl FnMut(PackedItem<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Packed { pack, .. } => walk_pack(pack, from, skip, visit),
            Self::Plain(item) => visit(PackedItem::Bytes(item)),
            _ => self.decompressed().walk(from, skip, visit),
        }
    }

    /// Its items from head to tail.
    pub(super) fn items(&self) -> NodeItems<'_> {
        match self {
            Self::Packed { pack, .. } => NodeItems::Packed(pack.iter()),
            Self::Plain(item) => NodeItems::One(Some(item)),
            _ => {
                let mut items = Vec::new();
                let _whole = self.walk(End::Head, 0, &mut |item| {
                    items.push(item.to_bytes().into_owned());
                    ControlFlow::Continue(())
                });
                NodeItems::Unpacked(items.into_iter())
            }
        }
    }

    /// The listpack, to be changed by `change`, if the node has one; it is decompressed for that and stays so.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Listpack) -> T) -> Option<T> {
        self.decompress();
        let Self::Packed { count, pack } = self else { return None };
        let pack = Arc::make_mut(pack);
        let result = change(pack);
        *count = count_of(pack);
        Some(result)
    }

    /// Whether one more item of `bytes` bytes may go into it.
    pub(super) fn has_room(&self, bytes: usize, limits: &Limits) -> bool {
        self.is_packed()
            && !is_large(bytes, limits)
            && limits.list_node_fits(
                self.count() as u64 + 1,
                self.raw_bytes() + bytes + ITEM_OVERHEAD_BYTES,
            )
    }

    /// As [`Node::has_room`], by what `item` really takes.
    pub(super) fn has_exact_room(&self, item: &[u8], limits: &Limits) -> bool {
        let bytes = self.raw_bytes() + listpack_item_bytes(item);
        self.is_packed() && limits.list_node_fits(self.count() as u64 + 1, bytes)
    }

    /// Whether it holds a listpack, compressed or not.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self, Self::Packed { .. } | Self::Compressed { .. })
    }

    /// Whether the items of both nodes fit one.
    pub(super) fn fits_with(&self, other: &Self, limits: &Limits) -> bool {
        let (count, bytes) =
            (self.count() + other.count(), self.raw_bytes() + other.raw_bytes() - EMPTY_BYTES);
        self.is_packed() && other.is_packed() && limits.list_node_fits(count as u64, bytes)
    }

    /// Adds an item at an end.
    pub(super) fn push(&mut self, end: End, item: &[u8]) {
        self.change(|pack| push_to(pack, end, item)).expect("it has room");
    }

    /// Removes `count` items from the one at `offset` on. Those of a node of one item are not removed this way.
    pub(super) fn remove(&mut self, offset: usize, count: usize) {
        self.change(|pack| {
            let place = place_at(pack, offset);
            pack.remove(place, count);
        })
        .expect("a part of it goes, so it has more than one item");
    }
}

/// A listpack without items.
const EMPTY_BYTES: usize = 7;

/// Adds an item at an end of a listpack.
pub(super) fn push_to(pack: &mut Listpack, end: End, item: &[u8]) {
    match (end, pack.first()) {
        (End::Head, Some(first)) => {
            pack.insert(first, item);
        }
        _ => pack.push(item),
    }
}

/// Where item `offset` of a listpack stands, or where one behind the last would.
pub(super) fn place_at(pack: &Listpack, offset: usize) -> Place {
    pack.at(offset).unwrap_or_else(|| pack.tail())
}

/// Items of a node.
#[derive(Debug)]
pub(super) enum NodeItems<'a> {
    Packed(Items<'a>),
    One(Option<&'a [u8]>),
    Unpacked(std::vec::IntoIter<Vec<u8>>),
}

impl<'a> Iterator for NodeItems<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Packed(items) => items.next().map(PackedItem::to_bytes),
            Self::One(item) => item.take().map(Cow::Borrowed),
            Self::Unpacked(items) => items.next().map(Cow::Owned),
        }
    }
}
