//! A listpack that lives in memory and is changed in place.
//!
//! The format is that of [`super::listpack`]: what a node keeps of a small collection is what a snapshot holds of it.

use std::borrow::Cow;

use super::listpack::{self as format, COUNT_UNKNOWN, END, HEADER_BYTES};
use super::{Corrupt, parse_integer};
use crate::snapshot::encoding::Item as RawItem;

/// An item of a listpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackedItem<'a> {
    /// An integer; as a string it is its canonical spelling.
    Int(i64),
    /// Any other string.
    Bytes(&'a [u8]),
}

impl<'a> PackedItem<'a> {
    /// Whether it is the string `bytes`, which spells `number` if it spells an integer ([`Needle`]).
    #[inline]
    #[must_use]
    pub fn is(self, needle: &Needle<'_>) -> bool {
        match self {
            Self::Int(number) => needle.number == Some(number),
            Self::Bytes(bytes) => needle.number.is_none() && bytes == needle.bytes,
        }
    }

    /// How many bytes it has as a string.
    #[must_use]
    pub fn bytes_len(self) -> usize {
        match self {
            Self::Int(number) => {
                let digits = number.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
                usize::from(number < 0) + digits as usize
            }
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Its bytes as a string.
    #[must_use]
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Int(number) => {
                let mut text = Vec::new();
                super::push_integer(number, &mut text);
                Cow::Owned(text)
            }
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }
}

/// A string that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    number: Option<i64>,
}

impl<'a> Needle<'a> {
    /// To look for `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, number: parse_integer(bytes) }
    }

    /// To look for an item of another listpack, which is an integer if it spells one.
    #[inline]
    #[must_use]
    pub fn of(item: PackedItem<'a>) -> Self {
        match item {
            PackedItem::Int(number) => Self { bytes: &[], number: Some(number) },
            PackedItem::Bytes(bytes) => Self { bytes, number: None },
        }
    }

    /// The first byte of it as a short string, if it is one.
    #[inline]
    fn short(&self) -> Option<u8> {
        let len = u8::try_from(self.bytes.len()).ok().filter(|len| *len <= format::SHORT_MAX)?;
        self.number.is_none().then_some(format::SHORT | len)
    }
}

/// Whether two strings of one length are the same: up to sixteen bytes without a call.
#[inline]
fn are_same(one: &[u8], other: &[u8]) -> bool {
    let ends = |bytes: &[u8]| Some((*bytes.first_chunk::<8>()?, *bytes.last_chunk::<8>()?));
    match (ends(one), ends(other)) {
        (Some(one_ends), Some(other_ends)) => {
            one_ends == other_ends && (one.len() <= 16 || one == other)
        }
        _ => one == other,
    }
}

/// Where an item of a listpack stands, as a distance in bytes. Good until the listpack changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

/// A listpack in memory.
#[derive(Clone)]
pub struct EditableListpack {
    /// The whole of it, header and end mark included, and room behind. How much is used stands in the header.
    bytes: Box<[u8]>,
}

impl PartialEq for EditableListpack {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for EditableListpack {}

impl Default for EditableListpack {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for EditableListpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// How many bytes `item` takes in a listpack, its backward length included.
#[must_use]
pub fn listpack_item_bytes(item: &[u8]) -> usize {
    format::encoded_bytes(item)
}

/// Reading.
impl EditableListpack {
    /// A listpack without items.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = [0; 16];
        bytes[..HEADER_BYTES + 1].copy_from_slice(&[7, 0, 0, 0, 0, 0, END]);
        Self { bytes: Box::new(bytes) }
    }

    /// A listpack that comes from outside; all of it is looked at.
    ///
    /// # Errors
    /// What is wrong with it, and at which of its bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, (usize, &'static str)> {
        let told = |Corrupt { at, what }| (at, what);
        let mut cursor = format::Listpack::open(&bytes).map_err(told)?;
        while cursor.next(&bytes).map_err(told)?.is_some() {}
        Ok(Self { bytes: bytes.into_boxed_slice() })
    }

    /// Whether each item stands in it as it would be written here: what is equal has the same bytes then. Others may have written
    /// integers as text, or longer than need be.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        let mut at = HEADER_BYTES;
        while self.bytes[at] != END {
            let head = match self.get(Place(at)) {
                PackedItem::Int(number) => format::Head::of_integer(number),
                PackedItem::Bytes(bytes) => format::head(bytes),
            };
            if !self.bytes[at..].starts_with(&head.bytes[..head.len]) {
                return false;
            }
            at = self.behind(at);
        }
        true
    }

    /// The whole of it, header and end mark included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used()]
    }

    /// Bytes of memory it has reserved.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// How many items there are. From 65,535 on they are counted by walking.
    #[must_use]
    pub fn len(&self) -> usize {
        match u16::from_le_bytes([self.bytes[4], self.bytes[5]]) {
            COUNT_UNKNOWN => {
                std::iter::successors(self.first(), |place| self.after(*place)).count()
            }
            count => usize::from(count),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes[HEADER_BYTES] == END
    }

    /// The first item.
    #[must_use]
    pub fn first(&self) -> Option<Place> {
        self.there(HEADER_BYTES)
    }

    /// The last item.
    #[must_use]
    pub fn last(&self) -> Option<Place> {
        self.before(Place(self.end()))
    }

    /// The item behind one.
    #[inline]
    #[must_use]
    pub fn after(&self, place: Place) -> Option<Place> {
        self.there(self.behind(place.0))
    }

    /// The item in front of one, or of the place behind the last one.
    #[must_use]
    pub fn before(&self, place: Place) -> Option<Place> {
        if place.0 == HEADER_BYTES {
            return None;
        }
        let (mut bytes, mut at) = (0, place.0 - 1);
        let mut shift = 0;
        loop {
            bytes |= usize::from(self.bytes[at] & 0x7f) << shift;
            if self.bytes[at] & 0x80 == 0 {
                return Some(Place(at - bytes));
            }
            at -= 1;
            shift += 7;
        }
    }

    /// Item number `index`, from 0; sought from the nearer end.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Place> {
        let len = self.len();
        if index >= len {
            return None;
        }
        if index < len / 2 {
            std::iter::successors(self.first(), |place| self.after(*place)).nth(index)
        } else {
            std::iter::successors(self.last(), |place| self.before(*place)).nth(len - 1 - index)
        }
    }

    /// The place behind the last item.
    #[must_use]
    pub fn tail(&self) -> Place {
        Place(self.end())
    }

    /// The item at a place.
    #[inline]
    #[must_use]
    pub fn get(&self, place: Place) -> PackedItem<'_> {
        let at = place.0;
        match format::entry(&self.bytes, at, self.bytes[at]) {
            Ok((RawItem::Int(number), _)) => PackedItem::Int(number),
            Ok((RawItem::Bytes { start, len }, _)) => {
                PackedItem::Bytes(&self.bytes[start..start + len])
            }
            Err(_) => unreachable!("a listpack in memory was checked or written here"),
        }
    }

    /// All items.
    pub fn iter(&self) -> Items<'_> {
        Items { pack: self, front: HEADER_BYTES, back: self.end() }
    }

    /// All items from a place on.
    pub fn iter_from(&self, place: Place) -> Items<'_> {
        Items { pack: self, front: place.0, back: self.end() }
    }

    /// All items in front of a place.
    pub fn iter_until(&self, place: Place) -> Items<'_> {
        Items { pack: self, front: HEADER_BYTES, back: place.0 }
    }

    /// The first item that is `needle` among the items from `from` on, of which only every `1 + skip`-th is looked at.
    #[must_use]
    pub fn find(&self, needle: &Needle<'_>, from: Option<Place>, skip: usize) -> Option<Place> {
        let mut at = from?.0;
        let short = needle.short();
        while self.bytes[at] != END {
            if self.is_at(at, needle, short) {
                return Some(Place(at));
            }
            at = self.behind(at);
            for _ in 0..skip {
                if self.bytes[at] == END {
                    return None;
                }
                at = self.behind(at);
            }
        }
        None
    }

    /// Whether the item at `at` is `needle`, whose first byte as a short string is `short`: most items are short strings, and of
    /// those only the ones as long need be looked at.
    #[inline]
    fn is_at(&self, at: usize, needle: &Needle<'_>, short: Option<u8>) -> bool {
        let first = self.bytes[at];
        if first & !format::SHORT_MAX == format::SHORT {
            return Some(first) == short
                && are_same(&self.bytes[at + 1..][..needle.bytes.len()], needle.bytes);
        }
        self.get(Place(at)).is(needle)
    }

    fn end(&self) -> usize {
        self.used() - 1
    }

    /// Bytes in use.
    #[inline]
    fn used(&self) -> usize {
        let [a, b, c, d, ..] = *self.bytes else { return 0 };
        u32::from_le_bytes([a, b, c, d]) as usize
    }

    #[inline]
    fn there(&self, at: usize) -> Option<Place> {
        (self.bytes[at] != END).then_some(Place(at))
    }

    /// Where the item at `at` ends.
    #[inline]
    fn behind(&self, at: usize) -> usize {
        let first = self.bytes[at];
        let bytes = match first {
            0x00..=0x7f => 1,
            0x80..=0xbf => 1 + usize::from(first & 0x3f),
            0xc0..=0xdf => 2,
            0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(self.bytes[at + 1])),
            0xf0 => {
                let len = self.bytes[at + 1..at + 5]
                    .first_chunk()
                    .map_or(0, |raw| u32::from_le_bytes(*raw));
                5 + len as usize
            }
            0xf1 => 3,
            0xf2 => 4,
            0xf3 => 5,
            _ => 9,
        };
        at + bytes + format::backlen(bytes).1
    }
}

/// Changing.
impl EditableListpack {
    /// Adds an item behind the last.
    #[inline]
    pub fn push(&mut self, item: &[u8]) {
        self.push_item(PackedItem::Bytes(item));
    }

    /// Adds an integer behind the last item.
    #[inline]
    pub fn push_integer(&mut self, number: i64) {
        self.push_item(PackedItem::Int(number));
    }

    /// Adds an item of a listpack behind the last.
    #[inline]
    pub fn push_item(&mut self, item: PackedItem<'_>) {
        self.push_all([item]);
    }

    /// Adds items behind the last.
    pub fn push_all<'i>(&mut self, items: impl IntoIterator<Item = PackedItem<'i>>) {
        let (mut end, mut count) = (self.end(), 0);
        for item in items {
            let written = Written::new(item);
            let behind = end + written.len();
            self.make_room(behind + 1);
            written.write(&mut self.bytes[end..behind]);
            end = behind;
            count += 1;
        }
        self.bytes[end] = END;
        self.change_count(0, count);
        self.note_used(end + 1);
    }

    /// Adds an item in front of the one at `place`, or behind the last one ([`EditableListpack::tail`]). Returns where the new one
    /// stands.
    pub fn insert(&mut self, place: Place, item: &[u8]) -> Place {
        self.splice(place.0, 0, PackedItem::Bytes(item));
        place
    }

    /// Puts an integer in the place of an item.
    pub fn replace_integer(&mut self, place: Place, number: i64) {
        self.splice(place.0, 1, PackedItem::Int(number));
    }

    /// Puts an item in the place of another.
    pub fn replace(&mut self, place: Place, item: &[u8]) {
        self.splice(place.0, 1, PackedItem::Bytes(item));
    }

    /// Removes up to `count` items from `place` on; returns what stands there then.
    pub fn remove(&mut self, place: Place, count: usize) -> Option<Place> {
        let (mut end, mut removed) = (place.0, 0);
        while removed < count && self.bytes[end] != END {
            end = self.behind(end);
            removed += 1;
        }
        self.change_count(removed, 0);
        let used = self.used();
        self.bytes.copy_within(end..used, place.0);
        self.note_used(used - (end - place.0));
        self.give_back();
        self.there(place.0)
    }

    /// Takes the items from `place` on out into a listpack of their own.
    #[must_use]
    pub fn split_off(&mut self, place: Place) -> Self {
        let mut rest = Self::new();
        rest.append_bytes(&self.bytes[place.0..self.end()], self.iter_from(place).count());
        self.remove(place, usize::MAX);
        rest
    }

    /// Adds all items of another listpack behind the last.
    pub fn append(&mut self, other: &Self) {
        self.append_bytes(&other.bytes[HEADER_BYTES..other.end()], other.len());
    }

    fn append_bytes(&mut self, items: &[u8], count: usize) {
        self.change_count(0, count);
        self.make_room(self.used() + items.len());
        let (end, new_end) = (self.end(), self.end() + items.len());
        self.bytes[end..new_end].copy_from_slice(items);
        self.bytes[new_end] = END;
        self.note_used(new_end + 1);
    }

    /// Puts `item` where `old` items (0 or 1) stand.
    fn splice(&mut self, at: usize, old: usize, item: PackedItem<'_>) {
        let written = Written::new(item);
        let new_bytes = written.len();
        let old_end = if old == 0 { at } else { self.behind(at) };
        self.change_count(old, 1);
        let (used, old_bytes) = (self.used(), old_end - at);
        if new_bytes > old_bytes {
            self.make_room(used + new_bytes - old_bytes);
        }
        if new_bytes != old_bytes {
            self.bytes.copy_within(old_end..used, at + new_bytes);
            self.note_used(used + new_bytes - old_bytes);
        }
        written.write(&mut self.bytes[at..at + new_bytes]);
        if new_bytes < old_bytes {
            self.give_back();
        }
    }

    /// Notes in the header that `less` items go and `more` come; called before they do.
    fn change_count(&mut self, less: usize, more: usize) {
        let before = u16::from_le_bytes([self.bytes[4], self.bytes[5]]);
        // Once it is unknown it is found out again only where it may have become known: what changes numbers in a long one, as each
        // entry of a stream does, must not walk over all of it.
        let before = if before == COUNT_UNKNOWN && less <= more {
            usize::from(COUNT_UNKNOWN)
        } else if before == COUNT_UNKNOWN {
            self.len()
        } else {
            usize::from(before)
        };
        let count = u16::try_from(before + more - less).unwrap_or(COUNT_UNKNOWN);
        self.bytes[4..6].copy_from_slice(&count.to_le_bytes());
    }

    fn note_used(&mut self, bytes: usize) {
        let total = u32::try_from(bytes).expect("callers keep listpacks below 4 GiB");
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
    }

    /// Has room for `needed` bytes in all.
    #[inline]
    fn make_room(&mut self, needed: usize) {
        if needed > self.bytes.len() {
            self.reallocate(size_class(needed));
        }
    }

    /// Gives memory back when half of it or more is unused.
    fn give_back(&mut self) {
        let fitting = size_class(self.used());
        if fitting * 2 <= self.bytes.len() {
            self.reallocate(fitting);
        }
    }

    /// Goes on with `bytes` bytes of memory, which hold what is used.
    fn reallocate(&mut self, bytes: usize) {
        let mut memory = Vec::from(std::mem::take(&mut self.bytes));
        memory.reserve_exact(bytes.saturating_sub(memory.len()));
        memory.resize(bytes, 0);
        self.bytes = memory.into_boxed_slice();
    }
}

/// An item as it is written: the encoding, what of it is not in that, and the backward length.
struct Written<'a> {
    head: format::Head,
    body: &'a [u8],
    tail: ([u8; 5], usize),
}

impl<'a> Written<'a> {
    #[inline]
    fn new(item: PackedItem<'a>) -> Self {
        let (head, body) = match item {
            PackedItem::Int(number) => (format::Head::of_integer(number), &[][..]),
            PackedItem::Bytes(bytes) => {
                let head = format::head(bytes);
                let body = if head.holds_all { &[][..] } else { bytes };
                (head, body)
            }
        };
        let tail = format::backlen(head.len + body.len());
        Self { head, body, tail }
    }

    fn len(&self) -> usize {
        self.head.len + self.body.len() + self.tail.1
    }

    /// Writes it to `place`, which is as long.
    #[inline]
    fn write(&self, place: &mut [u8]) {
        let (head, rest) = place.split_at_mut(self.head.len);
        let (body, tail) = rest.split_at_mut(self.body.len());
        head.copy_from_slice(&self.head.bytes[..self.head.len]);
        body.copy_from_slice(self.body);
        tail.copy_from_slice(&self.tail.0[..self.tail.1]);
    }
}

/// What an allocator gives for `bytes` all the same: jemalloc's size classes.
fn size_class(bytes: usize) -> usize {
    let step = match bytes.saturating_sub(1).max(1).ilog2() {
        ..7 => 16,
        doubling => 1 << (doubling - 2),
    };
    bytes.next_multiple_of(step)
}

/// Items of a listpack, from both ends.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    pack: &'a EditableListpack,
    front: usize,
    back: usize,
}

impl Items<'_> {
    /// Where the next item stands.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        (self.front < self.back).then_some(Place(self.front))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = PackedItem<'a>;

    #[inline]
    fn next(&mut self) -> Option<PackedItem<'a>> {
        let place = self.place()?;
        self.front = self.pack.behind(self.front);
        Some(self.pack.get(place))
    }
}

impl<'a> DoubleEndedIterator for Items<'a> {
    fn next_back(&mut self) -> Option<PackedItem<'a>> {
        self.place()?;
        let place = self.pack.before(Place(self.back)).expect("there is one in between");
        self.back = place.0;
        Some(self.pack.get(place))
    }
}

impl<'a> IntoIterator for &'a EditableListpack {
    type Item = PackedItem<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
