use std::collections::BTreeMap;

use super::*;

impl<K: Ord + std::fmt::Debug, V> Tree<K, V> {
    /// Asserts what always holds: order, bounds, equal depth, no empty nodes, and what is counted.
    pub(crate) fn check_invariants(&self) {
        let Some(root) = &self.root else {
            assert_eq!((self.len, self.bytes), (0, 0));
            return;
        };
        let (mut bytes, mut depths) = (0, Vec::new());
        check_node(root, None, None, 0, &mut bytes, &mut depths);
        assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "leaves are equally deep");
        assert_eq!(bytes, self.bytes);
        assert_eq!(self.iter().count(), self.len);
        assert!(self.iter().zip(self.iter().skip(1)).all(|(one, two)| one.0 < two.0));
    }
}

fn check_node<K: Ord + std::fmt::Debug, V>(
    node: &Node<K, V>,
    low: Option<&K>,
    high: Option<&K>,
    depth: usize,
    bytes: &mut usize,
    depths: &mut Vec<usize>,
) {
    *bytes += node.bytes();
    assert!((1..=WIDTH).contains(&node.len()));
    match node {
        Node::Leaf(entries) => {
            depths.push(depth);
            for (key, _) in entries {
                assert!(low.is_none_or(|low| low <= key), "{key:?} is below {low:?}");
                assert!(high.is_none_or(|high| key < high), "{key:?} is not below {high:?}");
            }
        }
        Node::Branch(children) => {
            for (at, (bound, child)) in children.iter().enumerate() {
                let low = if at == 0 { low } else { Some(bound) };
                let high = children.get(at + 1).map(|(bound, _)| bound).or(high);
                check_node(child, low, high, depth + 1, bytes, depths);
            }
        }
    }
}

fn same(tree: &Tree<u32, u64>, model: &BTreeMap<u32, u64>) {
    assert!(tree.iter().eq(model.iter()));
    assert_eq!(tree.first(), model.first_key_value());
    assert_eq!(tree.last(), model.last_key_value());
}

#[test]
fn random_changes_agree_with_a_map_and_clones_stay_as_they_were() {
    let mut random = fastrand::Rng::with_seed(5);
    for keys in [10, 300, 20_000] {
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        let mut clones = Vec::new();
        for round in 0..20_000_u64 {
            // Growing and shrinking by turns.
            let insert = random.u64(..10) < if round / 5000 % 2 == 0 { 7 } else { 3 };
            let key = random.u32(..keys);
            if insert {
                assert_eq!(tree.insert(key, round), model.insert(key, round));
            } else {
                assert_eq!(tree.remove(&key), model.remove(&key));
            }
            assert_eq!(tree.get(&key), model.get(&key));
            let changed = random.u32(..keys);
            let (ours, model_value) = (tree.get_mut(&changed), model.get_mut(&changed));
            assert_eq!(ours.is_some(), model_value.is_some());
            if let (Some(ours), Some(model_value)) = (ours, model_value) {
                (*ours, *model_value) = (round, round);
            }
            if round % 199 == 0 {
                tree.check_invariants();
                same(&tree, &model);
                let from = random.u32(..keys);
                assert!(tree.iter_from(&from).eq(model.range(from..)));
                assert!(tree.iter_back_from(&from).eq(model.range(..=from).rev()));
                assert_eq!(tree.at_or_below(&from), model.range(..=from).next_back());
            }
            if round % 2999 == 0 {
                clones.push((tree.clone(), model.clone()));
            }
        }
        for (tree, model) in &clones {
            tree.check_invariants();
            same(tree, model);
        }
    }
}

#[test]
fn keys_in_order_fill_nodes_and_go_from_the_front() {
    let mut tree = Tree::default();
    for key in 0..100_000_u32 {
        tree.insert(key, ());
    }
    tree.check_invariants();
    assert!(tree.bytes() < 100_000 * 5 + 10_000, "{} bytes", tree.bytes());
    for key in 0..100_000_u32 {
        assert_eq!(tree.first(), Some((&key, &())));
        assert_eq!(tree.remove(&key), Some(()));
        if key % 977 == 0 {
            tree.check_invariants();
        }
    }
    tree.check_invariants();
}
