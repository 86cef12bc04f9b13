//! Packed collections: a whole small collection in one string.
//!
//! Listpacks and intsets are read and written; ziplists and zipmaps come from old files and are only read.
//! A cursor walks over a blob that it does not own and checks each step, so a corrupt blob is an error with a
//! position and never a panic.

mod editable;
mod intset;
mod listpack;
mod number;
mod ziplist;
mod zipmap;

pub use editable::{EditableListpack, Items, Needle, PackedItem, Place, listpack_item_bytes};
pub(crate) use intset::IntsetWriter;
pub(crate) use listpack::{ListpackWriter, encoded_bytes};
pub(crate) use number::{parse_integer, parse_score, push_integer, push_score};

use intset::Intset;
pub(crate) use listpack::Listpack;
use ziplist::Ziplist;
use zipmap::Zipmap;

/// An element of a packed collection. Bytes are a range of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Int(i64),
    Bytes { start: usize, len: usize },
}

/// What is wrong with a blob, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl Corrupt {
    pub(crate) fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}

/// A cursor over any packed collection.
#[derive(Debug, Clone)]
pub(crate) enum Packed {
    Listpack(Listpack),
    Ziplist(Ziplist),
    Zipmap(Zipmap),
    Intset(Intset),
}

impl Packed {
    pub(crate) fn listpack(blob: &[u8]) -> Result<Self, Corrupt> {
        Listpack::open(blob).map(Self::Listpack)
    }

    pub(crate) fn ziplist(blob: &[u8]) -> Result<Self, Corrupt> {
        Ziplist::open(blob).map(Self::Ziplist)
    }

    pub(crate) fn zipmap(blob: &[u8]) -> Result<Self, Corrupt> {
        Zipmap::open(blob).map(Self::Zipmap)
    }

    pub(crate) fn intset(blob: &[u8]) -> Result<Self, Corrupt> {
        Intset::open(blob).map(Self::Intset)
    }

    /// How many items the blob says it has, where it does.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Listpack(cursor) => cursor.count(),
            Self::Ziplist(cursor) => cursor.count(),
            Self::Zipmap(cursor) => cursor.count(),
            Self::Intset(cursor) => Some(cursor.count()),
        }
    }

    /// The next item; `blob` is the one the cursor was opened on.
    pub(crate) fn next(&mut self, blob: &[u8]) -> Result<Option<Item>, Corrupt> {
        match self {
            Self::Listpack(cursor) => cursor.next(blob),
            Self::Ziplist(cursor) => cursor.next(blob),
            Self::Zipmap(cursor) => cursor.next(blob),
            Self::Intset(cursor) => cursor.next(blob),
        }
    }
}

/// `N` bytes of `blob` at `at`.
fn fixed<const N: usize>(blob: &[u8], at: usize, what: &'static str) -> Result<[u8; N], Corrupt> {
    let bytes = blob.get(at..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or(Corrupt::new(at, what))
}

/// A little-endian u32 of `blob` at `at`, as a size.
fn size_u32(blob: &[u8], at: usize, what: &'static str) -> Result<usize, Corrupt> {
    let size = u32::from_le_bytes(fixed(blob, at, what)?);
    usize::try_from(size).map_err(|_| Corrupt::new(at, what))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// All items of a blob as text, or what is wrong.
    pub(crate) fn items(
        blob: &[u8],
        open: fn(&[u8]) -> Result<Packed, Corrupt>,
    ) -> Result<Vec<Vec<u8>>, Corrupt> {
        let mut cursor = open(blob)?;
        let mut items = Vec::new();
        while let Some(item) = cursor.next(blob)? {
            items.push(match item {
                Item::Int(value) => value.to_string().into_bytes(),
                Item::Bytes { start, len } => blob[start..start + len].to_vec(),
            });
        }
        Ok(items)
    }

    /// Cuts the blob everywhere and flips each of its bits: nothing may panic, and a cut must be noticed.
    pub(crate) fn damage(blob: &[u8], open: fn(&[u8]) -> Result<Packed, Corrupt>) {
        for at in 0..blob.len() {
            assert!(items(&blob[..at], open).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = blob.to_vec();
                flipped[at] ^= 1 << bit;
                let _ends = items(&flipped, open);
            }
        }
    }
}
