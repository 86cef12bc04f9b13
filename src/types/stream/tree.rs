//! An ordered map that is copied where it is written.
//!
//! A B-tree whose nodes are shared: a clone is one reference, and a change copies the nodes on its way down that somebody
//! else still holds. Nodes are searched, not balanced strictly: a node that gets small is joined with a neighbour where
//! both fit with room to spare, and keys that come in order leave full nodes behind.
//!
//! ```text
//!   branch   (lower bound, child) ...     all keys of a child are at or above its bound and below the next one's;
//!                                         the first child's bound is not looked at
//!   leaf     (key, value) ...
//! ```

mod iter;

use std::borrow::Borrow;
use std::sync::Arc;

use crate::alloc::{arc_bytes, size_class};

pub(super) use iter::Iter;

/// Most children or entries of a node. Entries of pending lists fill size classes of the allocator with it.
const WIDTH: usize = 64;

/// A node below this is joined with a neighbour, if both together are no more than [`JOINED_MAX`].
const SMALL: usize = WIDTH / 4;

const JOINED_MAX: usize = WIDTH * 3 / 4;

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<Child<K, V>>),
}

/// A bound and the node whose keys are at or above it.
type Child<K, V> = (K, Arc<Node<K, V>>);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Tree<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
    /// Bytes of all nodes as the allocator rounds them, shared or not.
    bytes: usize,
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0, bytes: 0 }
    }
}

/// Reading.
impl<K: Ord, V> Tree<K, V> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory of the nodes; what keys and values hold beside is not in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value of `key`.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Branch(children) => node = &children[child_of(children, key)].1,
                Node::Leaf(entries) => return place_of(entries, key).ok().map(|at| &entries[at].1),
            }
        }
    }

    /// Whether `key` is there.
    pub(super) fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(self.root.as_deref(), None::<&K>, false)
    }

    /// The entries from `key` on.
    pub(super) fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        Iter::new(self.root.as_deref(), Some(key), false)
    }

    /// The entries up to `key`, that included, the last one first.
    pub(super) fn iter_back_from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        Iter::new(self.root.as_deref(), Some(key), true)
    }

    /// The first entry.
    pub(super) fn first(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Branch(children) => node = &children.first()?.1,
                Node::Leaf(entries) => return entries.first().map(|(key, value)| (key, value)),
            }
        }
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Branch(children) => node = &children.last()?.1,
                Node::Leaf(entries) => return entries.last().map(|(key, value)| (key, value)),
            }
        }
    }

    /// The last entry whose key is not above `key`.
    pub(super) fn at_or_below<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Branch(children) => node = &children[child_of(children, key)].1,
                Node::Leaf(entries) => {
                    let at = entries.partition_point(|(other, _)| other.borrow() <= key);
                    return match at.checked_sub(1) {
                        Some(at) => entries.get(at).map(|(key, value)| (key, value)),
                        // The leaf lost its lowest keys: it is in an earlier one.
                        None => self.iter_back_from(key).next(),
                    };
                }
            }
        }
    }
}

/// Changing.
impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    /// The value of `key`, to be changed. Nothing is copied if it is not there.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.contains(key) {
            return None;
        }
        let mut node = own(self.root.as_mut()?, &mut self.bytes);
        loop {
            match node {
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    node = own(&mut children[at].1, &mut self.bytes);
                }
                Node::Leaf(entries) => {
                    let at = place_of(entries, key).ok()?;
                    return Some(&mut entries[at].1);
                }
            }
        }
    }

    /// The last entry, to be changed.
    pub(super) fn last_mut(&mut self) -> Option<(&K, &mut V)> {
        let mut node = own(self.root.as_mut()?, &mut self.bytes);
        loop {
            match node {
                Node::Branch(children) => {
                    node = own(&mut children.last_mut()?.1, &mut self.bytes);
                }
                Node::Leaf(entries) => {
                    return entries.last_mut().map(|(key, value)| (&*key, value));
                }
            }
        }
    }

    /// Sets the value of `key`, and returns its former one.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = &mut self.root else {
            let root = Node::Leaf(vec![(key, value)]);
            self.bytes = root.bytes();
            self.root = Some(Arc::new(root));
            self.len = 1;
            return None;
        };
        let bound = root.lower_bound().clone();
        let inserted = own(root, &mut self.bytes).insert(key, value, &mut self.bytes);
        if let Inserted::Replaced(old) = inserted {
            return Some(old);
        }
        self.len += 1;
        if let Inserted::Split(right_bound, right) = inserted {
            let children = vec![(bound, Arc::clone(root)), (right_bound, right)];
            let branch = Node::Branch(children);
            self.bytes += branch.bytes();
            *root = Arc::new(branch);
        }
        None
    }

    /// Removes `key`, and returns its value. Nothing is copied if it is not there.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains(key) {
            return None;
        }
        let root = self.root.as_mut()?;
        let removed = own(root, &mut self.bytes).remove(key, &mut self.bytes)?;
        self.len -= 1;
        while let Some(root) = &mut self.root {
            match &**root {
                Node::Branch(children) if children.len() == 1 => {
                    let child = Arc::clone(&children[0].1);
                    self.bytes -= root.bytes();
                    *root = child;
                }
                node if node.len() == 0 => {
                    self.root = None;
                    self.bytes = 0;
                }
                _ => break,
            }
        }
        Some(removed)
    }
}

/// What came of an insertion into a node.
enum Inserted<K, V> {
    Replaced(V),
    Added,
    /// The node was full: its upper part is another node now.
    Split(K, Arc<Node<K, V>>),
}

/// The child that holds `key`, if any does.
#[inline]
fn child_of<K: Borrow<Q>, T, Q: Ord + ?Sized>(children: &[(K, T)], key: &Q) -> usize {
    children.partition_point(|(bound, _)| bound.borrow() <= key).saturating_sub(1)
}

#[inline]
fn place_of<K: Borrow<Q>, T, Q: Ord + ?Sized>(entries: &[(K, T)], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.borrow().cmp(key))
}

/// The node to be changed: a copy, if somebody else holds it.
fn own<'n, K: Clone, V: Clone>(
    node: &'n mut Arc<Node<K, V>>,
    bytes: &mut usize,
) -> &'n mut Node<K, V> {
    if Arc::get_mut(node).is_none() {
        let copy = (**node).clone();
        *bytes = *bytes + copy.bytes() - node.bytes();
        *node = Arc::new(copy);
    }
    Arc::get_mut(node).expect("nobody else holds what was just made")
}

fn vec_bytes<T>(vec: &Vec<T>) -> usize {
    size_class(vec.capacity() * size_of::<T>())
}

impl<K, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Branch(children) => children.len(),
        }
    }

    fn bytes(&self) -> usize {
        let items = match self {
            Node::Leaf(entries) => vec_bytes(entries),
            Node::Branch(children) => vec_bytes(children),
        };
        arc_bytes::<Self>() + items
    }

    fn lower_bound(&self) -> &K {
        match self {
            Node::Leaf(entries) => &entries[0].0,
            Node::Branch(children) => &children[0].0,
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    fn insert(&mut self, key: K, value: V, bytes: &mut usize) -> Inserted<K, V> {
        let before = self.bytes();
        let inserted = match self {
            Node::Leaf(entries) => match place_of(entries, &key) {
                Ok(at) => {
                    return Inserted::Replaced(std::mem::replace(&mut entries[at].1, value));
                }
                Err(at) => insert_at(entries, at, (key, value)).map(Node::Leaf),
            },
            Node::Branch(children) => {
                let at = child_of(children, &key);
                let child = own(&mut children[at].1, bytes);
                match child.insert(key, value, bytes) {
                    Inserted::Split(bound, right) => {
                        insert_at(children, at + 1, (bound, right)).map(Node::Branch)
                    }
                    done => return done,
                }
            }
        };
        *bytes = *bytes + self.bytes() - before;
        match inserted {
            None => Inserted::Added,
            Some(right) => {
                *bytes += right.bytes();
                Inserted::Split(right.lower_bound().clone(), Arc::new(right))
            }
        }
    }

    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, bytes: &mut usize) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Node::Leaf(entries) => {
                let before = vec_bytes(entries);
                let at = place_of(entries, key).ok()?;
                let (_, value) = entries.remove(at);
                if entries.len() * 4 <= entries.capacity() {
                    entries.shrink_to(entries.len() * 2);
                }
                *bytes = *bytes + vec_bytes(entries) - before;
                Some(value)
            }
            Node::Branch(children) => {
                let at = child_of(children, key);
                let value = own(&mut children[at].1, bytes).remove(key, bytes)?;
                if children[at].1.len() < SMALL {
                    tidy(children, at, bytes);
                }
                Some(value)
            }
        }
    }

    /// Adds all of `right`, whose keys are above those here.
    fn join(&mut self, right: Arc<Self>) {
        match (self, Arc::unwrap_or_clone(right)) {
            (Node::Leaf(entries), Node::Leaf(mut more)) => entries.append(&mut more),
            (Node::Branch(children), Node::Branch(mut more)) => children.append(&mut more),
            _ => unreachable!("all leaves are equally deep"),
        }
    }
}

/// Inserts into a node's items; where that is full, the upper part is returned. What comes in order leaves it full.
fn insert_at<T>(items: &mut Vec<T>, at: usize, item: T) -> Option<Vec<T>> {
    if items.len() < WIDTH {
        if items.len() == items.capacity() {
            items.reserve_exact(items.len().clamp(1, WIDTH - items.len()));
        }
        items.insert(at, item);
        return None;
    }
    if at == items.len() {
        return Some(vec![item]);
    }
    let mut right = items.split_off(WIDTH / 2);
    items.shrink_to_fit();
    if at <= items.len() {
        items.reserve_exact(1);
        items.insert(at, item);
    } else {
        right.insert(at - items.len(), item);
    }
    Some(right)
}

/// Removes child `at` if it is empty, or joins it with a neighbour if both fit well.
fn tidy<K: Ord + Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize, bytes: &mut usize) {
    let before = vec_bytes(children);
    let len = children[at].1.len();
    let fits = |other: Option<&Child<K, V>>| {
        other.is_some_and(|(_, other)| other.len() + len <= JOINED_MAX)
    };
    if len == 0 {
        let (_, gone) = children.remove(at);
        *bytes -= gone.bytes();
    } else {
        let left = if fits(children.get(at + 1)) {
            at
        } else if at > 0 && fits(children.get(at - 1)) {
            at - 1
        } else {
            return;
        };
        let (_, right) = children.remove(left + 1);
        *bytes -= right.bytes();
        let left = own(&mut children[left].1, bytes);
        let left_before = left.bytes();
        left.join(right);
        *bytes = *bytes + left.bytes() - left_before;
    }
    if children.len() * 4 <= children.capacity() {
        children.shrink_to(children.len() * 2);
    }
    *bytes = *bytes + vec_bytes(children) - before;
}

#[cfg(test)]
mod tests;
