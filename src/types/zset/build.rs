//! A large sorted set of members that come in order: leaves are filled one behind the other, and the nodes above them and
//! the index are made when all members are there.

use std::sync::Arc;

use super::index::{Hash, Index};
use super::leaf::Leaf;
use super::leaves::Leaves;
use super::order::Key;
use super::tree::{Child, FANOUT, Node, Tree, separator};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Builder {
    /// What comes next goes here; what it holds is copied when it is full, so that its room serves for all leaves.
    leaf: Leaf,
    leaves: Leaves,
    children: Vec<Child>,
    /// Hash and leaf of each member.
    places: Vec<(Hash, u32)>,
}

impl Builder {
    /// With room for so many members.
    pub(super) fn with_capacity(members: usize) -> Self {
        Builder { places: Vec::with_capacity(members), ..Builder::default() }
    }

    /// Adds a member, which is behind all that came.
    pub(super) fn push(&mut self, key: &Key<'_>) {
        if self.leaf.len() == 0 {
            self.begin(f64::NEG_INFINITY, Box::default());
        } else if self.leaf.is_full_for(key.member.len()) {
            let (score, member) = separator(&self.leaf.key(self.leaf.len() - 1), key);
            self.end_leaf();
            self.begin(score, member);
        }
        let hash = Hash::of(key.member);
        self.leaf.insert(self.leaf.len(), key, hash.mark);
        self.places.push((hash, self.leaves.next()));
    }

    /// The tree of what came.
    pub(super) fn finish(mut self) -> Tree {
        if self.leaf.len() > 0 {
            self.end_leaf();
        }
        let mut children = self.children;
        while children.len() > 1 {
            children = level_above(children);
        }
        let root = children.pop().map(|child| child.node);
        Tree::of_parts(root, self.places.len(), self.leaves, Index::of(&self.places))
    }

    /// The next leaf begins here.
    fn begin(&mut self, score: f64, member: Box<[u8]>) {
        let node = Node::Leaf(self.leaves.next());
        self.children.push(Child { score, member, count: 0, node });
    }

    fn end_leaf(&mut self) {
        let child = self.children.last_mut().expect("a leaf has begun");
        child.count = self.leaf.len();
        self.leaves.add(self.leaf.clone());
        self.leaf.clear();
    }
}

/// The nodes with these children, three quarters full and all alike, in order.
fn level_above(children: Vec<Child>) -> Vec<Child> {
    let nodes = children.len().div_ceil(FANOUT / 4 * 3);
    let each = children.len().div_ceil(nodes);
    let mut above = Vec::with_capacity(nodes);
    let mut children = children.into_iter();
    while children.len() > 0 {
        let mut below: Vec<Child> = Vec::with_capacity(each.min(children.len()));
        below.extend(children.by_ref().take(each));
        let (score, member) = (below[0].score, std::mem::take(&mut below[0].member));
        let count = below.iter().map(|child| child.count).sum();
        above.push(Child { score, member, count, node: Node::Inner(Arc::new(below)) });
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members with some scores twice, in order; every hundredth is a long one.
    fn members(count: usize) -> Vec<(f64, Vec<u8>)> {
        let member = |at: usize| {
            let length = if at.is_multiple_of(100) { 300 } else { at % 7 };
            [format!("{at:09}").as_bytes(), &b"-".repeat(length)].concat()
        };
        (0..count).map(|at| ((at / 2) as f64, member(at))).collect()
    }

    #[test]
    fn a_tree_is_as_if_its_members_had_been_inserted_and_can_be_changed() {
        for count in [0, 1, 127, 128, 129, 6_144, 6_145, 30_000] {
            let members = members(count);
            let (mut builder, mut inserted) = (Builder::with_capacity(count), Tree::default());
            for (score, member) in &members {
                let key = Key { score: *score, member };
                builder.push(&key);
                inserted.insert(&key);
            }
            let mut built = builder.finish();
            built.check_invariants();
            let all = |tree: &Tree| -> Vec<(f64, Vec<u8>)> {
                tree.walk(0..count, false).map(|key| (key.score, key.member.to_vec())).collect()
            };
            assert_eq!(all(&built), all(&inserted), "{count}");
            assert!(built.memory_usage() <= inserted.memory_usage(), "{count}");
            for (score, member) in members.iter().step_by(3) {
                let place = built.find(member).expect("it is there");
                assert_eq!(built.score(place), *score);
                built.remove(place, member);
            }
            for at in 0..count / 3 {
                let member = format!("{at:09}+");
                built.insert(&Key { score: (at / 2) as f64, member: member.as_bytes() });
            }
            built.check_invariants();
            assert_eq!(built.len(), count - count.div_ceil(3) + count / 3);
        }
    }
}
