//! Which items have been seen, for as long as one operation on small collections takes.
//!
//! A listpack is searched item by item, so to look each of its items up in another one takes as many steps as the product of
//! their lengths. Up to [`FEW`] items are found by a hash in a table that lives on the stack; it need not be safe against
//! chosen items, which make it as slow as that search at worst. What is more goes to a table whose hash nobody can predict.

use std::collections::HashSet;

use super::listpack::PackedItem;

/// So many are few.
pub(super) const FEW: usize = 128;
const SLOTS: usize = 2 * FEW;
const _: () = assert!(SLOTS == 256, "a byte of a hash is a slot");

/// An odd number without a pattern: of a product with it, folded, each bit depends on all bits of the other factor.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A set of borrowed items. What spells an integer must be one, as in listpacks.
pub(super) struct Seen<'a> {
    items: Vec<PackedItem<'a>>,
    /// One above the index of an item; 0 where there is none. A taken slot is passed by.
    slots: [u8; SLOTS],
    /// All items, once they are more than a few.
    many: HashSet<PackedItem<'a>>,
}

impl<'a> Seen<'a> {
    /// Nothing yet; room for `count`.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { items: Vec::with_capacity(count.min(FEW)), slots: [0; SLOTS], many: HashSet::new() }
    }

    /// Adds an item. False: it was there.
    #[inline]
    pub(super) fn insert(&mut self, item: PackedItem<'a>) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(item);
        }
        let Err(slot) = self.find(item) else { return false };
        if self.items.len() == FEW {
            self.many.extend(self.items.drain(..));
            return self.many.insert(item);
        }
        self.items.push(item);
        self.slots[slot] = u8::try_from(self.items.len()).expect("few");
        true
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.items.len() + self.many.len()
    }

    /// Whether an item is there.
    #[inline]
    pub(super) fn contains(&self, item: PackedItem<'_>) -> bool {
        if self.many.is_empty() { self.find(item).is_ok() } else { self.many.contains(&item) }
    }

    /// Finds an item among a few, or the slot that would tell of it.
    #[inline]
    fn find(&self, item: PackedItem<'_>) -> Result<(), usize> {
        let mut slot = hash(item);
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                number if self.items[usize::from(number) - 1] == item => return Ok(()),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }
}

/// The slot that an item is looked for in first.
#[inline]
fn hash(item: PackedItem<'_>) -> usize {
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MIX);
        let [low, high] = [product & u128::from(u64::MAX), product >> 64];
        u64::try_from(low ^ high).expect("both have 64 bits")
    };
    let hash = match item {
        PackedItem::Int(number) => mix(0, number.cast_unsigned()),
        PackedItem::Bytes(bytes) => {
            let (words, rest) = bytes.as_chunks::<8>();
            let hash = words.iter().fold(1, |hash, word| mix(hash, u64::from_le_bytes(*word)));
            let last = match bytes.last_chunk::<8>() {
                Some(last) => u64::from_le_bytes(*last),
                None => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
            };
            mix(hash, last)
        }
    };
    usize::from(hash.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..300 {
            let span = [10, 200, 2000][round % 3];
            let words: Vec<String> = (0..span).map(|number| "x".repeat(number % 30)).collect();
            let words: Vec<String> =
                words.iter().enumerate().map(|(number, word)| format!("{word}w{number}")).collect();
            let mut item = || {
                let number = random.usize(..span);
                if random.bool() {
                    PackedItem::Int(number as i64 - 5)
                } else {
                    PackedItem::Bytes(words[number].as_bytes())
                }
            };
            let (mut seen, mut model) = (Seen::with_capacity(8), HashSet::new());
            for _ in 0..400 {
                let new = item();
                assert_eq!(seen.insert(new), model.insert(new), "{new:?}");
                let other = item();
                assert_eq!(seen.contains(other), model.contains(&other), "{other:?}");
            }
        }
    }

    #[test]
    fn keeps_equal_hashes_apart() {
        let texts: Vec<String> = (0..20_000).map(|number| format!("item{number}")).collect();
        let items = texts.iter().map(|text| PackedItem::Bytes(text.as_bytes()));
        let alike: Vec<_> = items.filter(|item| hash(*item) == SLOTS - 2).collect();
        assert!(alike.len() > 20);
        let mut seen = Seen::with_capacity(1);
        for item in &alike {
            assert!(!seen.contains(*item));
            assert!(seen.insert(*item));
        }
        assert!(alike.iter().all(|item| seen.contains(*item) && !seen.insert(*item)));
    }

    #[test]
    fn spreads_items_that_are_alike() {
        let texts: Vec<String> =
            (0..128).map(|number| format!("user:{number:05}:settings")).collect();
        let slots: HashSet<usize> =
            texts.iter().map(|text| hash(PackedItem::Bytes(text.as_bytes()))).collect();
        // Of 128 that fall at random 101 slots are hit on the average.
        assert!(slots.len() > 80, "{}", slots.len());
        let numbers: HashSet<usize> =
            (0..128).map(|number| hash(PackedItem::Int(number))).collect();
        assert!(numbers.len() > 80, "{}", numbers.len());
    }
}
