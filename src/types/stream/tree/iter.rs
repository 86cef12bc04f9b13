//! Walks over a tree.

use std::borrow::Borrow;
use std::slice;

use super::{Child, Node, child_of};

/// Entries of a tree from some place on, in one direction.
#[derive(Debug)]
pub(in super::super) struct Iter<'t, K, V> {
    /// What is left of each branch above the leaf.
    path: Vec<slice::Iter<'t, Child<K, V>>>,
    leaf: slice::Iter<'t, (K, V)>,
    backwards: bool,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        let Self { path, leaf, backwards } = self;
        Self { path: path.clone(), leaf: leaf.clone(), backwards: *backwards }
    }
}

impl<'t, K, V> Iter<'t, K, V> {
    pub(super) fn new<Q: Ord + ?Sized>(
        root: Option<&'t Node<K, V>>,
        from: Option<&Q>,
        backwards: bool,
    ) -> Self
    where
        K: Borrow<Q>,
    {
        let mut iter = Self { path: Vec::new(), leaf: [].iter(), backwards };
        let Some(mut node) = root else { return iter };
        loop {
            match node {
                Node::Branch(children) => {
                    let at = match from {
                        Some(key) => child_of(children, key),
                        None if backwards => children.len() - 1,
                        None => 0,
                    };
                    let rest = if backwards { &children[..at] } else { &children[at + 1..] };
                    iter.path.push(rest.iter());
                    node = &children[at].1;
                }
                Node::Leaf(entries) => {
                    iter.leaf = match (from, backwards) {
                        (None, _) => entries,
                        (Some(key), false) => {
                            &entries[entries.partition_point(|(other, _)| other.borrow() < key)..]
                        }
                        (Some(key), true) => {
                            &entries[..entries.partition_point(|(other, _)| other.borrow() <= key)]
                        }
                    }
                    .iter();
                    return iter;
                }
            }
        }
    }

    fn step<T>(items: &mut slice::Iter<'t, T>, backwards: bool) -> Option<&'t T> {
        if backwards { items.next_back() } else { items.next() }
    }

    /// Goes to the next leaf; false at the end.
    fn next_leaf(&mut self) -> bool {
        loop {
            let Some(children) = self.path.last_mut() else { return false };
            let Some((_, child)) = Self::step(children, self.backwards) else {
                self.path.pop();
                continue;
            };
            let mut node = &**child;
            loop {
                match node {
                    Node::Branch(children) => {
                        let mut rest = children.iter();
                        let child = Self::step(&mut rest, self.backwards);
                        node = &child.expect("a branch has children").1;
                        self.path.push(rest);
                    }
                    Node::Leaf(entries) => {
                        self.leaf = entries.iter();
                        return true;
                    }
                }
            }
        }
    }
}

impl<'t, K, V> Iterator for Iter<'t, K, V> {
    type Item = (&'t K, &'t V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = Self::step(&mut self.leaf, self.backwards) {
                return Some((key, value));
            }
            if !self.next_leaf() {
                return None;
            }
        }
    }
}
