//! Long lists: nodes of some items each, as many as `list-max-listpack-size` allows.
//!
//! What is inside a node is shared with copies of the list until it changes, so a copy costs a reference per node. Inner nodes,
//! those further from both ends than `list-compress-depth`, are compressed. The first and the last node never are.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::node::{Node, NodeItems, is_large, place_at};
use super::walk::remove_matches;
use super::{End, Limits};
use crate::alloc::size_class;
use crate::types::listpack::{Listpack, Needle, PackedItem, listpack_item_bytes};

/// Memory is summed up over at most so many nodes; longer lists are estimated from so many.
const SAMPLES: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Quicklist {
    nodes: VecDeque<Node>,
    /// Items of all nodes.
    len: usize,
}

/// Reading.
impl Quicklist {
    /// A list of the items of a listpack.
    pub(super) fn of_pack(pack: Listpack) -> Self {
        let len = pack.len();
        let nodes = if len == 0 { VecDeque::new() } else { VecDeque::from([Node::of_pack(pack)]) };
        Self { nodes, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The item at an end.
    pub(super) fn peek(&self, end: End) -> Option<PackedItem<'_>> {
        self.end_node(end)?.peek(end)
    }

    fn end_node(&self, end: End) -> Option<&Node> {
        if end == End::Head { self.nodes.front() } else { self.nodes.back() }
    }

    /// All items from head to tail.
    pub(super) fn items(&self) -> impl Iterator<Item = NodeItems<'_>> {
        self.nodes.iter().map(Node::items)
    }

    /// Hands items to `visit`, from `from` on, without the first `skip` of them, which are not looked at.
    pub(super) fn walk(
        &self,
        from: End,
        skip: usize,
        visit: &mut impl FnMut(PackedItem<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if skip >= self.len {
            return ControlFlow::Continue(());
        }
        if from == End::Head {
            let (at, offset) = self.seek(skip);
            let mut nodes = self.nodes.range(at..);
            nodes
                .next()
                .map_or(ControlFlow::Continue(()), |node| node.walk(from, offset, visit))?;
            nodes.try_for_each(|node| node.walk(from, 0, visit))
        } else {
            let (at, offset) = self.seek(self.len - 1 - skip);
            let mut nodes = self.nodes.range(..=at).rev();
            nodes.next().map_or(ControlFlow::Continue(()), |node| {
                node.walk(from, node.count() - 1 - offset, visit)
            })?;
            nodes.try_for_each(|node| node.walk(from, 0, visit))
        }
    }

    /// The node that has the item at `index`, and the item's number in it. Nodes are skipped from the nearer end.
    fn seek(&self, index: usize) -> (usize, usize) {
        assert!(index < self.len, "{index} of {} items", self.len);
        if index < self.len / 2 {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                match left.checked_sub(node.count()) {
                    Some(less) => left = less,
                    None => return (at, left),
                }
            }
        } else {
            let mut behind = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                behind -= node.count();
                if behind <= index {
                    return (at, index - behind);
                }
            }
        }
        unreachable!("the nodes' counts add up to the length")
    }

    /// Bytes of memory held beside the `Quicklist` itself.
    pub(super) fn memory_usage(&self) -> usize {
        let step = self.nodes.len().div_ceil(SAMPLES).max(1);
        let sum: usize = self.nodes.iter().step_by(step).map(Node::memory_usage).sum();
        let estimate = sum.checked_div(self.nodes.len().div_ceil(step)).unwrap_or(0);
        let exact = if step == 1 { sum } else { estimate * self.nodes.len() };
        size_class(self.nodes.capacity() * size_of::<Node>()) + exact
    }

    /// The listpack of a list that fits one again, by the rule for lists that have become shorter. It is taken out.
    pub(super) fn take_small(&mut self, limits: &Limits) -> Option<Listpack> {
        if self.nodes.len() != 1 {
            return None;
        }
        let Some(Node::Packed { count, pack }) = self.nodes.front() else { return None };
        if !limits.list_node_is_small(u64::from(*count), pack.bytes().len()) {
            return None;
        }
        self.len = 0;
        match self.nodes.pop_front() {
            Some(Node::Packed { pack, .. }) => Some(Arc::unwrap_or_clone(pack)),
            _ => unreachable!("it was there"),
        }
    }
}

/// Changing.
impl Quicklist {
    /// Adds an item at an end.
    pub(super) fn push(&mut self, end: End, item: &[u8], limits: &Limits) {
        self.len += 1;
        let node = if end == End::Head { self.nodes.front_mut() } else { self.nodes.back_mut() };
        if let Some(node) = node
            && node.has_room(item.len(), limits)
        {
            return node.push(end, item);
        }
        self.push_node(end, Node::of_item(item, limits), limits);
    }

    /// Adds an item of a snapshot at the tail: nodes are as full as can be.
    pub(super) fn push_loaded(&mut self, item: &[u8], limits: &Limits) {
        self.len += 1;
        match self.nodes.back_mut() {
            Some(node) if node.has_exact_room(item, limits) => node.push(End::Tail, item),
            _ => self.push_node(End::Tail, Node::of_item(item, limits), limits),
        }
    }

    /// Adds a node of items that are within the limits at the tail.
    pub(super) fn push_pack(&mut self, pack: Listpack, limits: &Limits) {
        self.len += pack.len();
        self.push_node(End::Tail, Node::of_pack(pack), limits);
    }

    /// The blocks of its nodes, from head to tail.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = (bool, Cow<'_, [u8]>)> {
        self.nodes.iter().map(Node::block)
    }

    fn push_node(&mut self, end: End, node: Node, limits: &Limits) {
        if end == End::Head {
            self.nodes.push_front(node);
        } else {
            self.nodes.push_back(node);
        }
        self.rearranged(limits);
    }

    /// Removes the item at an end.
    pub(super) fn remove_end(&mut self, end: End, limits: &Limits) {
        let index = if end == End::Head { 0 } else { self.len - 1 };
        self.remove_range(index, 1, limits);
    }

    /// Removes `count` items from the one at `index` on.
    pub(super) fn remove_range(&mut self, index: usize, count: usize, limits: &Limits) {
        assert!(count <= self.len && index <= self.len - count, "all of them are there");
        if count == 0 {
            return;
        }
        let ((mut at, offset), mut left) = (self.seek(index), count);
        let node = &mut self.nodes[at];
        let goes = left.min(node.count() - offset);
        if goes < node.count() {
            node.remove(offset, goes);
            self.recompress(at, limits);
            left -= goes;
            at += 1;
        }
        let whole_from = at;
        while left > 0 && self.nodes[at].count() <= left {
            left -= self.nodes[at].count();
            at += 1;
        }
        if left > 0 {
            self.nodes[at].remove(0, left);
            self.recompress(at, limits);
        }
        self.len -= count;
        if whole_from < at {
            self.nodes.drain(whole_from..at);
            self.give_back();
            self.rearranged(limits);
        }
    }

    /// Removes up to `max` of the items that are `needle`, those nearest to `from` first. Returns how many went.
    pub(super) fn remove_matches(
        &mut self,
        needle: &[u8],
        from: End,
        max: usize,
        limits: &Limits,
    ) -> usize {
        let (looked_for, mut left, mut emptied) = (Needle::new(needle), max, false);
        let (nodes, inner) = (self.nodes.len(), self.inner(limits));
        for step in 0..nodes {
            if left == 0 {
                break;
            }
            let at = if from == End::Head { step } else { nodes - 1 - step };
            let node = &mut self.nodes[at];
            let mut found = false;
            let _ended = node.walk(End::Head, 0, &mut |item| {
                found = item.is(&looked_for);
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if !found {
                continue;
            }
            let removed = node.change(|pack| remove_matches(pack, &looked_for, from, left));
            if removed.is_none() {
                // A node of one item: an empty listpack marks what goes.
                *node = Node::of_pack(Listpack::new());
            }
            left -= removed.unwrap_or(1);
            emptied |= node.count() == 0;
            if inner.contains(&at) {
                node.compress();
            }
        }
        self.len -= max - left;
        if emptied {
            self.nodes.retain(|node| node.count() > 0);
            self.give_back();
            self.rearranged(limits);
        }
        max - left
    }

    /// Puts `item` in the place of the one at `index`.
    pub(super) fn set(&mut self, index: usize, item: &[u8], limits: &Limits) {
        let (at, offset) = self.seek(index);
        let node = &mut self.nodes[at];
        if node.count() == 1 {
            *node = Node::of_item(item, limits);
            return self.recompress(at, limits);
        }
        let large = is_large(item.len(), limits);
        let replaced = node.change(|pack| {
            let place = place_at(pack, offset);
            let old_bytes = listpack_item_bytes(&pack.get(place).to_bytes());
            let new_bytes = listpack_item_bytes(item);
            let bytes = pack.bytes().len() - old_bytes + new_bytes;
            let fits = new_bytes <= old_bytes || bytes <= limits.list_node_bytes_max();
            if fits && !large {
                pack.replace(place, item);
            }
            fits && !large
        });
        self.recompress(at, limits);
        if replaced != Some(true) {
            self.remove_range(index, 1, limits);
            self.insert(index, item, limits);
        }
    }

    /// Adds an item in front of the one at `index`, or at the tail.
    pub(super) fn insert(&mut self, index: usize, item: &[u8], limits: &Limits) {
        if index == 0 {
            return self.push(End::Head, item, limits);
        }
        if index == self.len {
            return self.push(End::Tail, item, limits);
        }
        let (at, offset) = self.seek(index);
        self.len += 1;
        if self.nodes[at].has_room(item.len(), limits) {
            self.nodes[at].change(|pack| pack.insert(place_at(pack, offset), item));
            return self.recompress(at, limits);
        }
        if offset > 0 {
            return self.insert_into_full(at, offset, item, limits);
        }
        if self.nodes[at - 1].has_room(item.len(), limits) {
            self.nodes[at - 1].push(End::Tail, item);
            return self.recompress(at - 1, limits);
        }
        self.nodes.insert(at, Node::of_item(item, limits));
        self.recompress(at, limits);
        self.rearranged(limits);
    }

    /// Adds an item in the middle of a node that has no room: it is split there.
    fn insert_into_full(&mut self, at: usize, offset: usize, item: &[u8], limits: &Limits) {
        let node = &mut self.nodes[at];
        let rest = node.change(|pack| pack.split_off(place_at(pack, offset)));
        let mut rest = Node::of_pack(rest.expect("it has more than one item"));
        // Neighbours take in what became of the node where they can, so that nodes do not become ever smaller.
        if node.has_room(item.len(), limits) {
            node.push(End::Tail, item);
            self.nodes.insert(at + 1, rest);
        } else if rest.has_room(item.len(), limits) {
            rest.push(End::Head, item);
            self.nodes.insert(at + 1, rest);
        } else {
            self.nodes.insert(at + 1, Node::of_item(item, limits));
            self.nodes.insert(at + 2, rest);
            self.merge_behind(at + 2, limits);
        }
        self.merge_behind(at + 1, limits);
        let from = if at > 0 && self.merge_behind(at - 1, limits) { at - 1 } else { at };
        (from..at + 3).for_each(|at| self.recompress(at, limits));
        self.rearranged(limits);
    }

    /// Joins a node with the one behind it where both fit one. Says whether they did.
    fn merge_behind(&mut self, at: usize, limits: &Limits) -> bool {
        let (Some(node), Some(next)) = (self.nodes.get(at), self.nodes.get(at + 1)) else {
            return false;
        };
        if !node.fits_with(next, limits) {
            return false;
        }
        let mut next = self.nodes.remove(at + 1).expect("it was there");
        next.decompress();
        let Node::Packed { pack: next, .. } = next else { unreachable!("it fits another") };
        self.nodes[at].change(|pack| pack.append(&next));
        true
    }

    /// The nodes that are to be compressed.
    fn inner(&self, limits: &Limits) -> Range<usize> {
        match limits.list_compress_depth as usize {
            0 => 0..0,
            depth => depth..self.nodes.len().saturating_sub(depth),
        }
    }

    /// Compresses a node that was changed, if it is to be.
    fn recompress(&mut self, at: usize, limits: &Limits) {
        if self.inner(limits).contains(&at) {
            self.nodes[at].compress();
        }
    }

    /// To be called when nodes came or went: they have become outer or inner ones.
    fn rearranged(&mut self, limits: &Limits) {
        let (nodes, depth) = (self.nodes.len(), limits.list_compress_depth as usize);
        for at in 0..depth.max(1).min(nodes) {
            self.nodes[at].decompress();
            self.nodes[nodes - 1 - at].decompress();
        }
        // A change adds two nodes at most.
        let inner = self.inner(limits);
        for at in inner.clone().take(2).chain(inner.rev().take(2)) {
            self.nodes[at].compress();
        }
    }

    /// Gives memory back when most of it is unused.
    fn give_back(&mut self) {
        if self.nodes.capacity() > 16 && self.nodes.len() * 4 < self.nodes.capacity() {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }
}

#[cfg(test)]
impl Quicklist {
    /// Asserts what always holds.
    pub(super) fn check_invariants(&self, limits: &Limits) {
        assert_eq!(self.len, self.nodes.iter().map(Node::count).sum::<usize>());
        for (at, node) in self.nodes.iter().enumerate() {
            assert!(node.count() > 0, "no node is empty");
            let mut count = 0;
            let _whole = node.walk(End::Head, 0, &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            });
            assert_eq!(count, node.count());
            if node.count() > 1 {
                let bytes_max = 2 * limits.list_node_bytes_max() + 16;
                assert!(node.raw_bytes() <= bytes_max, "{node:?}");
                assert!(limits.list_node_fits(count as u64, 0), "{node:?}");
            }
            let from_end = at.min(self.nodes.len() - 1 - at);
            let depth = limits.list_compress_depth as usize;
            assert!(!node.is_compressed() || from_end >= depth.max(1), "ends are as they are");
            if depth > 0 && from_end >= depth && !node.is_compressed() {
                let mut again = node.clone();
                again.compress();
                assert!(!again.is_compressed(), "inner nodes are compressed where that saves");
            }
        }
    }

    /// How many nodes there are, and how many of them are compressed.
    pub(super) fn nodes(&self) -> (usize, usize) {
        (self.nodes.len(), self.nodes.iter().filter(|node| node.is_compressed()).count())
    }
}
