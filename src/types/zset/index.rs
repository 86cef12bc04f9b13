//! Which leaf a member is in: linear hashing, eight bytes a member.
//!
//! A bucket lists 32 bits of hash and the leaf for each of its members; the member itself is looked at in the leaf only.
//! Buckets come and go one at a time: with `n` of them, `2^k <= n < 2^(k+1)`, a hash belongs to the bucket that its low
//! `k+1` bits name, or to the one named by the low `k` bits where that does not exist yet. They lie in groups that clones
//! share.

use std::sync::Arc;

use super::room::{block_bytes, grow, sampled, shrink};
use crate::alloc::arc_bytes;
use crate::types::pages;

/// Members per bucket, on average, beyond which there will be another one.
const LOAD_MAX: usize = 24;
/// Members per bucket below which there will be one less.
const LOAD_MIN: usize = 10;
/// Buckets in a group: the first write to a group behind a clone copies them.
const GROUP: usize = 64;

/// The hash of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    /// What buckets keep.
    pub(super) low: u32,
    /// What leaves keep.
    pub(super) mark: u8,
}

impl Hash {
    #[inline]
    pub(super) fn of(member: &[u8]) -> Self {
        let [.., a, b, c, d] = pages::hash(member).to_be_bytes();
        Hash::of_low(u32::from_be_bytes([a, b, c, d]))
    }

    /// The hash of which buckets keep this. The mark consists of its upper bits, which decide about a bucket in the largest
    /// indexes only.
    #[inline]
    pub(super) fn of_low(low: u32) -> Self {
        Hash { low, mark: low.to_be_bytes()[0] }
    }
}

/// A member in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    hash: u32,
    leaf: u32,
}

type Bucket = Vec<Item>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    groups: Vec<Arc<Vec<Bucket>>>,
    buckets: usize,
    len: usize,
}

impl Index {
    /// The index of members that are there already, each once, with the leaves they are in.
    pub(super) fn of(places: &[(Hash, u32)]) -> Self {
        let mut index = Index { buckets: places.len().div_ceil(LOAD_MAX), ..Index::default() };
        let mut sizes = vec![0; index.buckets];
        for (hash, _) in places {
            sizes[index.place(hash.low)] += 1;
        }
        let made = |&size: &usize| {
            let mut bucket = Bucket::new();
            grow(&mut bucket, size);
            bucket
        };
        index.groups = sizes
            .chunks(GROUP)
            .map(|sizes| sizes.iter().map(made).collect())
            .map(Arc::new)
            .collect();
        for (hash, leaf) in places {
            let at = index.place(hash.low);
            index.bucket_mut(at).push(Item { hash: hash.low, leaf: *leaf });
        }
        index.len = places.len();
        index
    }

    /// The leaves in which a member with this hash may be.
    #[inline]
    pub(super) fn leaves(&self, hash: Hash) -> impl Iterator<Item = u32> {
        let bucket = if self.buckets == 0 { &[][..] } else { self.bucket(self.place(hash.low)) };
        bucket.iter().filter(move |item| item.hash == hash.low).map(|item| item.leaf)
    }

    /// Adds a member of a leaf.
    pub(super) fn insert(&mut self, hash: Hash, leaf: u32) {
        if self.buckets == 0 || self.len >= self.buckets * LOAD_MAX {
            self.grow();
        }
        self.len += 1;
        self.push(Item { hash: hash.low, leaf });
    }

    /// Removes a member of a leaf.
    pub(super) fn remove(&mut self, hash: Hash, leaf: u32) {
        let bucket = self.bucket_mut(self.place(hash.low));
        let at = position(bucket, hash, leaf);
        bucket.swap_remove(at);
        shrink(bucket);
        self.len -= 1;
        if self.buckets > 1 && self.len < self.buckets * LOAD_MIN {
            self.shrink();
        }
    }

    /// Notes that a member has come from leaf `from` to leaf `to`.
    pub(super) fn relocate(&mut self, hash: Hash, from: u32, to: u32) {
        let bucket = self.bucket_mut(self.place(hash.low));
        let at = position(bucket, hash, from);
        bucket[at].leaf = to;
    }

    /// Visits hash and leaf of all members of some buckets from a cursor on, until there were `count`; answers the next
    /// cursor. It starts and ends with 0. Buckets are visited in the order of their bit-reversed numbers, which is that of
    /// bit-reversed hashes however many buckets there are.
    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(u32, u32)) -> u64 {
        if self.buckets == 0 {
            return 0;
        }
        let (mut position, mut seen) = (cursor.reverse_bits(), 0);
        loop {
            let [.., a, b, c, d] = position.reverse_bits().to_be_bytes();
            let at = self.place(u32::from_be_bytes([a, b, c, d]));
            let bucket = self.bucket(at);
            seen += bucket.len().max(1);
            bucket.iter().for_each(|item| visit(item.hash, item.leaf));
            match self.end_of(at, position) {
                None => return 0,
                Some(end) if seen >= count => return end.reverse_bits(),
                Some(end) => position = end,
            }
        }
    }

    /// Bytes of memory held, taken from a sample where there is much.
    pub(super) fn memory_usage(&self) -> usize {
        let group = arc_bytes::<Vec<Bucket>>();
        let groups = self.groups.iter().map(|buckets| group + block_bytes(buckets));
        let buckets = sampled(self.buckets, |at| block_bytes(&self.groups[at / GROUP][at % GROUP]));
        block_bytes(&self.groups) + groups.sum::<usize>() + buckets
    }

    /// The first position (a bit-reversed hash) behind bucket `at`, in which `from` lies; `None` behind the last.
    fn end_of(&self, at: usize, from: u64) -> Option<u64> {
        let base = base(self.buckets);
        let is_split = at >= base || at + base < self.buckets;
        match base.ilog2() + u32::from(is_split) {
            0 => None,
            bits => {
                let width = 1u64 << (64 - bits);
                (from & !(width - 1)).checked_add(width)
            }
        }
    }

    #[inline]
    fn place(&self, hash: u32) -> usize {
        let base = base(self.buckets);
        let wide = hash as usize & (2 * base - 1);
        if wide < self.buckets { wide } else { wide & (base - 1) }
    }

    #[inline]
    fn bucket(&self, at: usize) -> &[Item] {
        &self.groups[at / GROUP][at % GROUP]
    }

    #[inline]
    fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        &mut Arc::make_mut(&mut self.groups[at / GROUP])[at % GROUP]
    }

    fn push(&mut self, item: Item) {
        let bucket = self.bucket_mut(self.place(item.hash));
        grow(bucket, 1);
        bucket.push(item);
    }

    /// Appends a bucket and moves into it what now belongs there.
    fn grow(&mut self) {
        if self.buckets.is_multiple_of(GROUP) {
            grow(&mut self.groups, 1);
            self.groups.push(Arc::default());
        }
        let group = Arc::make_mut(self.groups.last_mut().expect("just made sure"));
        if group.len() == group.capacity() {
            // By a quarter at a time: small tables waste little, and full groups nothing.
            group.reserve_exact((group.len() / 4 + 1).min(GROUP - group.len()));
        }
        group.push(Bucket::new());
        self.buckets += 1;
        if self.buckets > 1 {
            let parent = self.buckets - 1 - base(self.buckets - 1);
            self.deal_out(parent);
        }
    }

    /// Takes the last bucket away and puts its members where they were before it came.
    fn shrink(&mut self) {
        let group = Arc::make_mut(self.groups.last_mut().expect("there are buckets"));
        let bucket = group.pop().expect("no group is empty");
        if group.is_empty() {
            self.groups.pop();
        } else {
            shrink(group);
        }
        self.buckets -= 1;
        bucket.into_iter().for_each(|item| self.push(item));
    }

    /// Puts the members of a bucket where they belong, which may be in it.
    fn deal_out(&mut self, at: usize) {
        let bucket = std::mem::take(self.bucket_mut(at));
        let moved = bucket.iter().filter(|item| self.place(item.hash) != at).count();
        let mut stays = Vec::new();
        grow(&mut stays, bucket.len() - moved);
        for item in bucket {
            if self.place(item.hash) == at {
                stays.push(item);
            } else {
                self.push(item);
            }
        }
        *self.bucket_mut(at) = stays;
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, len: usize) {
        assert_eq!(self.len, len);
        let buckets = self.groups.iter().flat_map(|group| group.iter());
        let mut items = 0;
        for (at, bucket) in buckets.enumerate() {
            assert!(bucket.iter().all(|item| self.place(item.hash) == at));
            items += bucket.len();
        }
        assert_eq!(items, len);
    }
}

/// The largest power of two that is not above the number of buckets (which is not 0).
#[inline]
fn base(buckets: usize) -> usize {
    1 << buckets.ilog2()
}

fn position(bucket: &[Item], hash: Hash, leaf: u32) -> usize {
    let wanted = Item { hash: hash.low, leaf };
    bucket.iter().position(|item| *item == wanted).expect("each member is in the index")
}
