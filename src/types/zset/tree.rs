//! The order tree: a B+tree whose inner nodes know how many members lie below each child.
//!
//! Inner nodes are shared by clones and copied when written to, path by path. A child's *separator* is a place in the order
//! that no member in front of the child reaches and no member in it is below; members themselves stand in leaves only.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::index::{Hash, Index};
use super::leaf::Leaf;
use super::leaves::Leaves;
use super::order::Key;
use super::room::{block_bytes, sampled};
use crate::alloc::{arc_bytes, size_class};

/// The most children of an inner node.
pub(super) const FANOUT: usize = 64;

/// A subtree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// The number of a leaf.
    Leaf(u32),
    Inner(Arc<Vec<Child>>),
}

/// A subtree in its parent.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// The separator; for the first child of a node it may be anything lower.
    pub(super) score: f64,
    pub(super) member: Box<[u8]>,
    /// Members below.
    pub(super) count: usize,
    pub(super) node: Node,
}

impl Child {
    #[inline]
    fn separator(&self) -> Key<'_> {
        Key { score: self.score, member: &self.member }
    }
}

/// A large sorted set: leaves, the tree over them, and an index from members to leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: Option<Node>,
    len: usize,
    store: Store,
}

/// What a change to the tree may touch beside its nodes.
#[derive(Clone, Debug, Default)]
struct Store {
    leaves: Leaves,
    index: Index,
}

/// A member in its leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    leaf: u32,
    lane: usize,
}

/// Reading.
impl Tree {
    /// The tree of what was made apart: nodes with `len` members, their leaves, and the index of these.
    pub(super) fn of_parts(root: Option<Node>, len: usize, leaves: Leaves, index: Index) -> Self {
        Tree { root, len, store: Store { leaves, index } }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where `member` is.
    #[inline]
    pub(super) fn find(&self, member: &[u8]) -> Option<Place> {
        let hash = Hash::of(member);
        self.store.index.leaves(hash).find_map(|leaf| {
            let lane = self.store.leaves.get(leaf).find(hash.mark, member)?;
            Some(Place { leaf, lane })
        })
    }

    #[inline]
    pub(super) fn score(&self, place: Place) -> f64 {
        self.store.leaves.get(place.leaf).score(place.lane)
    }

    /// How many members `is_before` holds for: the first ones. It must hold for every place in front of one for which it
    /// holds.
    pub(super) fn count(&self, is_before: impl Fn(&Key<'_>) -> bool) -> usize {
        let Some(mut node) = self.root.as_ref() else { return 0 };
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + self.store.leaves.get(*leaf).count(is_before),
                Node::Inner(children) => {
                    let at = children[1..].partition_point(|child| is_before(&child.separator()));
                    rank += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The members of some ranks, in order or backwards.
    pub(super) fn walk(&self, ranks: Range<usize>, reverse: bool) -> Walk<'_> {
        let left = ranks.len();
        let mut walk = Walk {
            leaves: &self.store.leaves,
            path: SmallVec::new(),
            leaf: None,
            lane: 0,
            left,
            reverse,
        };
        if let (Some(root), true) = (&self.root, left > 0) {
            walk.descend(root, if reverse { ranks.end - 1 } else { ranks.start });
        }
        walk
    }

    /// Visits members in the order of an index from a cursor on, about `count` of them; answers the next cursor.
    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&Key<'_>)) -> u64 {
        let Store { leaves, index } = &self.store;
        index.scan(cursor, count, |low, number| {
            let leaf = leaves.get(number);
            // Two members of one leaf with the same bits are visited twice: that is allowed.
            for lane in leaf.marked(Hash::of_low(low).mark) {
                if Hash::of(leaf.member(lane)).low == low {
                    visit(&leaf.key(lane));
                }
            }
        })
    }

    /// Bytes of memory held, taken from a sample where there is much.
    pub(super) fn memory_usage(&self) -> usize {
        let inner = self.root.as_ref().map_or(0, Node::memory_usage);
        self.store.leaves.memory_usage() + self.store.index.memory_usage() + inner
    }
}

/// Changing.
impl Tree {
    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, key: &Key<'_>) {
        let hash = Hash::of(key.member);
        self.len += 1;
        let Some(root) = &mut self.root else {
            self.root = Some(Node::Leaf(self.store.new_leaf(key, hash)));
            return;
        };
        let Some(added) = self.store.insert(root, key, hash, Edges { first: true, last: true })
        else {
            return;
        };
        let node = self.root.take().expect("just seen");
        let count = self.len - added.count;
        let first = Child { score: f64::NEG_INFINITY, member: Box::default(), count, node };
        self.root = Some(Node::Inner(Arc::new(vec![first, added])));
    }

    /// Gives a member another score.
    pub(super) fn set_score(&mut self, place: Place, member: &[u8], score: f64) {
        let leaf = self.store.leaves.get(place.leaf);
        let (lane, key) = (place.lane, Key { score, member });
        // Between the same two neighbours as before it may stay where it is.
        let stays = lane > 0
            && lane + 1 < leaf.len()
            && leaf.key(lane - 1).order(&key).is_lt()
            && key.order(&leaf.key(lane + 1)).is_lt();
        if stays {
            self.store.leaves.get_mut(place.leaf).set_score(lane, score);
        } else {
            self.remove(place, member);
            self.insert(&key);
        }
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, place: Place, member: &[u8]) {
        let key = Key { score: self.score(place), member };
        self.store.index.remove(Hash::of(member), place.leaf);
        self.len -= 1;
        let root = self.root.as_mut().expect("it has a member");
        self.store.remove(root, &key, place);
        self.settle_root();
    }

    /// Removes the members of some ranks.
    pub(super) fn remove_range(&mut self, ranks: Range<usize>) {
        if ranks.is_empty() {
            return;
        }
        let root = self.root.as_mut().expect("it has members");
        self.len -= ranks.len();
        self.store.remove_range(root, ranks);
        self.settle_root();
    }

    /// Makes the tree as low as it can be.
    fn settle_root(&mut self) {
        if self.len == 0 {
            *self = Self::default();
            return;
        }
        while let Some(Node::Inner(children)) = &self.root
            && let [only] = children.as_slice()
        {
            self.root = Some(only.node.clone());
        }
    }
}

/// Whether a subtree is the first or last of the tree.
#[derive(Clone, Copy, Debug)]
struct Edges {
    first: bool,
    last: bool,
}

/// The child to which a place belongs.
#[inline]
fn child_of(children: &[Child], key: &Key<'_>) -> usize {
    children[1..].partition_point(|child| child.separator().order(key).is_le())
}

impl Store {
    fn new_leaf(&mut self, key: &Key<'_>, hash: Hash) -> u32 {
        let mut leaf = Leaf::default();
        leaf.insert(0, key, hash.mark);
        let number = self.leaves.add(leaf);
        self.index.insert(hash, number);
        number
    }

    /// Adds a member below `node`. If that had to be divided, what now stands behind it is returned.
    fn insert(
        &mut self,
        node: &mut Node,
        key: &Key<'_>,
        hash: Hash,
        edges: Edges,
    ) -> Option<Child> {
        let children = match node {
            Node::Leaf(leaf) => return self.insert_into_leaf(leaf, key, hash, edges),
            Node::Inner(children) => Arc::make_mut(children),
        };
        let at = child_of(children, key);
        let edges =
            Edges { first: edges.first && at == 0, last: edges.last && at + 1 == children.len() };
        children[at].count += 1;
        let added = self.insert(&mut children[at].node, key, hash, edges)?;
        children[at].count -= added.count;
        if children.len() == children.capacity() {
            children.reserve_exact((children.len() / 4 + 2).min(FANOUT));
        }
        children.insert(at + 1, added);
        if children.len() < FANOUT {
            return None;
        }
        let rest = children.split_off(children.len() / 2);
        children.shrink_to(FANOUT / 4 * 3);
        let count = rest.iter().map(|child| child.count).sum();
        let (score, member) = (rest[0].score, rest[0].member.clone());
        Some(Child { score, member, count, node: Node::Inner(Arc::new(rest)) })
    }

    fn insert_into_leaf(
        &mut self,
        number: &mut u32,
        key: &Key<'_>,
        hash: Hash,
        edges: Edges,
    ) -> Option<Child> {
        let leaf = self.leaves.get(*number);
        let lane = leaf.count(|other| other.order(key).is_lt());
        if !leaf.is_full_for(key.member.len()) {
            self.leaves.get_mut(*number).insert(lane, key, hash.mark);
            self.index.insert(hash, *number);
            return None;
        }
        let (left, right) = if lane == leaf.len() && edges.last {
            // What comes in order leaves full leaves behind.
            (*number, self.new_leaf(key, hash))
        } else if lane == 0 && edges.first {
            (self.new_leaf(key, hash), *number)
        } else {
            let right = self.split(*number);
            let left_len = self.leaves.get(*number).len();
            let (into, lane) =
                if lane > left_len { (right, lane - left_len) } else { (*number, lane) };
            self.leaves.get_mut(into).insert(lane, key, hash.mark);
            self.index.insert(hash, into);
            (*number, right)
        };
        *number = left;
        let (left, right_leaf) = (self.leaves.get(left), self.leaves.get(right));
        let (score, member) = separator(&left.key(left.len() - 1), &right_leaf.key(0));
        Some(Child { score, member, count: right_leaf.len(), node: Node::Leaf(right) })
    }

    /// Moves half of a leaf into another one.
    fn split(&mut self, number: u32) -> u32 {
        let leaf = self.leaves.get_mut(number);
        let rest = leaf.split_off(leaf.len() / 2);
        let right = self.leaves.add(rest);
        self.relocate(number, right);
        right
    }

    /// Notes that what is in leaf `to` comes from leaf `from`.
    fn relocate(&mut self, from: u32, to: u32) {
        let leaf = self.leaves.get(to);
        for lane in 0..leaf.len() {
            self.index.relocate(Hash::of(leaf.member(lane)), from, to);
        }
    }

    /// Removes a member below `node`; the index does not have it any more.
    fn remove(&mut self, node: &mut Node, key: &Key<'_>, place: Place) {
        match node {
            Node::Leaf(leaf) => {
                assert_eq!(*leaf, place.leaf, "the index and the order agree");
                self.leaves.get_mut(*leaf).remove(place.lane, place.lane + 1);
            }
            Node::Inner(children) => {
                let children = Arc::make_mut(children);
                let at = child_of(children, key);
                children[at].count -= 1;
                self.remove(&mut children[at].node, key, place);
                self.settle(children, at);
            }
        }
    }

    /// Removes the members of some ranks below `node`, from the index too.
    fn remove_range(&mut self, node: &mut Node, ranks: Range<usize>) {
        match node {
            Node::Leaf(number) => {
                let leaf = self.leaves.get(*number);
                for lane in ranks.clone() {
                    self.index.remove(Hash::of(leaf.member(lane)), *number);
                }
                self.leaves.get_mut(*number).remove(ranks.start, ranks.end);
            }
            Node::Inner(children) => {
                let children = Arc::make_mut(children);
                let mut before = 0;
                for child in children.iter_mut() {
                    let count = child.count;
                    let start = ranks.start.max(before) - before;
                    let end = ranks.end.min(before + count).saturating_sub(before);
                    before += count;
                    if start >= end {
                        continue;
                    }
                    child.count -= end - start;
                    if child.count == 0 {
                        self.drop_subtree(&child.node);
                    } else {
                        self.remove_range(&mut child.node, start..end);
                    }
                }
                self.sweep(children, ranks.start);
            }
        }
    }

    /// Forgets children that nothing is left of, and settles those around rank `start`, where some went.
    fn sweep(&mut self, children: &mut Vec<Child>, start: usize) {
        children.retain(|child| child.count > 0);
        let mut before = 0;
        let reached = |child: &Child| {
            before += child.count;
            before >= start
        };
        let at = children.iter().position(reached).unwrap_or(children.len());
        // The child in which the rank is, and the one behind it: from the back, for they may merge.
        for at in (at..(at + 2).min(children.len())).rev() {
            self.settle(children, at);
        }
    }

    /// Removes a whole subtree.
    fn drop_subtree(&mut self, node: &Node) {
        match node {
            Node::Leaf(number) => {
                let leaf = self.leaves.take(*number);
                for lane in 0..leaf.len() {
                    self.index.remove(Hash::of(leaf.member(lane)), *number);
                }
            }
            Node::Inner(children) => {
                children.iter().for_each(|child| self.drop_subtree(&child.node));
            }
        }
    }

    /// Removes child `at` if it is empty, or merges it with a neighbour if it is small.
    fn settle(&mut self, children: &mut Vec<Child>, at: usize) {
        if children[at].count == 0 {
            if let Node::Leaf(number) = children.remove(at).node {
                self.leaves.take(number);
            }
        } else if self.is_small(&children[at].node) {
            let merged = (at > 0 && self.merge(children, at - 1))
                || (at + 1 < children.len() && self.merge(children, at));
            if !merged {
                return;
            }
        } else {
            return;
        }
        if children.capacity() > 2 * children.len() + 4 {
            children.shrink_to(children.len() + children.len() / 4 + 1);
        }
    }

    fn is_small(&self, node: &Node) -> bool {
        match node {
            Node::Leaf(number) => self.leaves.get(*number).is_small(),
            Node::Inner(children) => children.len() < FANOUT / 4,
        }
    }

    /// Moves what is in child `at + 1` into child `at`, if there is room for it.
    fn merge(&mut self, children: &mut Vec<Child>, at: usize) -> bool {
        let (left, right) = children.split_at_mut(at + 1);
        let (left, right) = (&mut left[at], &mut right[0]);
        match (&mut left.node, &mut right.node) {
            (Node::Leaf(into), Node::Leaf(from)) => {
                let fits = self.leaves.get(*into).fits_with(self.leaves.get(*from));
                if !fits {
                    return false;
                }
                let leaf = self.leaves.take(*from);
                for lane in 0..leaf.len() {
                    self.index.relocate(Hash::of(leaf.member(lane)), *from, *into);
                }
                self.leaves.get_mut(*into).append(&leaf);
            }
            (Node::Inner(into), Node::Inner(from)) => {
                if into.len() + from.len() > FANOUT / 4 * 3 {
                    return false;
                }
                let mut moved = std::mem::take(Arc::make_mut(from));
                // The first separator was not kept up: that of the whole node is what counts.
                moved[0].score = right.score;
                moved[0].member = std::mem::take(&mut right.member);
                Arc::make_mut(into).append(&mut moved);
            }
            _ => unreachable!("all leaves have the same depth"),
        }
        left.count += right.count;
        children.remove(at + 1);
        true
    }
}

/// A place behind `left` that is not behind `right`, with a member as short as possible.
pub(super) fn separator(left: &Key<'_>, right: &Key<'_>) -> (f64, Box<[u8]>) {
    if left.score < right.score {
        return (right.score, Box::default());
    }
    let same = left.member.iter().zip(right.member).take_while(|(a, b)| a == b).count();
    (right.score, right.member[..(same + 1).min(right.member.len())].into())
}

impl Node {
    fn memory_usage(&self) -> usize {
        let Node::Inner(children) = self else { return 0 };
        let own = arc_bytes::<Vec<Child>>() + block_bytes(children);
        let separators = children.iter().map(|child| child.member.len());
        let separators: usize = separators.filter(|&len| len > 0).map(size_class).sum();
        own + separators + sampled(children.len(), |at| children[at].node.memory_usage())
    }
}

/// Members on the way through a tree.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    leaves: &'a Leaves,
    /// The inner nodes above the leaf, and which child of each leads to it.
    path: SmallVec<[(&'a [Child], usize); 6]>,
    leaf: Option<&'a Leaf>,
    /// The next member's lane; going backwards, the one behind it.
    lane: usize,
    left: usize,
    reverse: bool,
}

impl<'a> Walk<'a> {
    /// Goes to the member of rank `rank` below `node`.
    fn descend(&mut self, mut node: &'a Node, mut rank: usize) {
        loop {
            match node {
                Node::Leaf(number) => {
                    self.leaf = Some(self.leaves.get(*number));
                    self.lane = rank + usize::from(self.reverse);
                    return;
                }
                Node::Inner(children) => {
                    let mut at = 0;
                    while rank >= children[at].count {
                        rank -= children[at].count;
                        at += 1;
                    }
                    self.path.push((children, at));
                    node = &children[at].node;
                }
            }
        }
    }

    /// Goes to the next leaf.
    fn advance(&mut self) {
        while let Some((children, at)) = self.path.pop() {
            let next = if self.reverse { at.checked_sub(1) } else { Some(at + 1) };
            if let Some(next) = next.filter(|&next| next < children.len()) {
                self.path.push((children, next));
                let child = &children[next];
                return self.descend(&child.node, if self.reverse { child.count - 1 } else { 0 });
            }
        }
        unreachable!("no more members are promised than there are")
    }

    /// How many are still to come.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Key<'a>;

    #[inline]
    fn next(&mut self) -> Option<Key<'a>> {
        self.left = self.left.checked_sub(1)?;
        let leaf = self.leaf?;
        let at_end = if self.reverse { self.lane == 0 } else { self.lane == leaf.len() };
        if at_end {
            self.advance();
        }
        let lane = if self.reverse { self.lane - 1 } else { self.lane };
        self.lane = if self.reverse { lane } else { lane + 1 };
        Some(self.leaf?.key(lane))
    }
}

#[cfg(test)]
impl Tree {
    /// Asserts what always holds.
    pub(super) fn check_invariants(&self) {
        let mut seen = Vec::new();
        let mut depths = Vec::new();
        if let Some(root) = &self.root {
            let count = self.check_node(root, 0, &mut seen, &mut depths);
            assert_eq!(count, self.len);
        }
        depths.dedup();
        assert!(depths.len() <= 1, "all leaves have the same depth");
        let leaves = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), self.store.leaves.count()), (leaves, leaves));
        self.store.index.check_invariants(self.len);
        let mut last: Option<Key<'_>> = None;
        let mut walked = 0;
        for key in self.walk(0..self.len, false) {
            assert!(last.is_none_or(|last| last.order(&key).is_lt()));
            assert!(self.find(key.member).is_some());
            last = Some(key);
            walked += 1;
        }
        assert_eq!(walked, self.len);
    }

    fn check_node(
        &self,
        node: &Node,
        depth: usize,
        seen: &mut Vec<u32>,
        depths: &mut Vec<usize>,
    ) -> usize {
        match node {
            Node::Leaf(number) => {
                seen.push(*number);
                depths.push(depth);
                let leaf = self.store.leaves.get(*number);
                leaf.check_invariants(|member| Hash::of(member).mark);
                leaf.len()
            }
            Node::Inner(children) => {
                assert!(!children.is_empty() && children.len() < FANOUT);
                assert!(depth > 0 || children.len() > 1);
                let mut before = 0;
                for (at, child) in children.iter().enumerate() {
                    assert_eq!(self.check_node(&child.node, depth + 1, seen, depths), child.count);
                    if at > 0 {
                        assert!(child.separator().order(&self.first(&child.node)).is_le());
                        let last = self.last(&children[at - 1].node);
                        assert!(last.order(&child.separator()).is_lt());
                    }
                    before += child.count;
                }
                before
            }
        }
    }

    fn first<'a>(&'a self, node: &'a Node) -> Key<'a> {
        match node {
            Node::Leaf(number) => self.store.leaves.get(*number).key(0),
            Node::Inner(children) => self.first(&children[0].node),
        }
    }

    fn last<'a>(&'a self, node: &'a Node) -> Key<'a> {
        match node {
            Node::Leaf(number) => {
                let leaf = self.store.leaves.get(*number);
                leaf.key(leaf.len() - 1)
            }
            Node::Inner(children) => self.last(&children[children.len() - 1].node),
        }
    }
}
