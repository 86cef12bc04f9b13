//! A map from byte strings that remembers the order in which keys came.
//!
//! Stock servers keep small sets and hashes in packed form, where order is visible to clients; so it is kept here.

use std::collections::HashMap;
use std::sync::Arc;

/// Removed entries leave holes; they are closed up when there are more holes than entries, and at least this many.
const HOLES_MIN: usize = 16;

/// See the module.
#[derive(Clone, Debug)]
pub struct OrderedMap<V> {
    /// Where in `slots` a key is.
    index: HashMap<Arc<[u8]>, usize>,
    slots: Vec<Option<(Arc<[u8]>, V)>>,
}

impl<V> Default for OrderedMap<V> {
    fn default() -> Self {
        Self { index: HashMap::new(), slots: Vec::new() }
    }
}

impl<V> OrderedMap<V> {
    /// A map without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let slot = self.slots[*self.index.get(key)?].as_ref();
        slot.map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let slot = self.slots[*self.index.get(key)?].as_mut();
        slot.map(|(_, value)| value)
    }

    /// Whether `key` is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.index.contains_key(key)
    }

    /// Sets the value of `key`. A new key comes last, an old one stays where it is and its value is returned.
    pub fn insert(&mut self, key: &[u8], value: V) -> Option<V> {
        if let Some(old) = self.get_mut(key) {
            return Some(std::mem::replace(old, value));
        }
        let key: Arc<[u8]> = Arc::from(key);
        self.index.insert(Arc::clone(&key), self.slots.len());
        self.slots.push(Some((key, value)));
        None
    }

    /// Removes `key`, and returns its value.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let at = self.index.remove(key)?;
        let removed = self.slots[at].take();
        let holes = self.slots.len() - self.index.len();
        if holes > HOLES_MIN.max(self.index.len()) {
            self.close_up();
        }
        removed.map(|(_, value)| value)
    }

    fn close_up(&mut self) {
        self.slots.retain(Option::is_some);
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some(place) = slot.as_ref().and_then(|(key, _)| self.index.get_mut(key)) {
                *place = at;
            }
        }
    }

    /// All entries, in the order in which their keys came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.slots.iter().flatten().map(|(key, value)| (&**key, value))
    }

    /// Asserts what always holds: each key is found where it lies.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.slots.iter().flatten().count(), self.index.len());
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some((key, _)) = slot {
                assert_eq!(self.index[key], at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_changes_agree_with_a_list_of_pairs() {
        let mut random = fastrand::Rng::with_seed(2);
        let (mut map, mut model) = (OrderedMap::new(), Vec::<(Vec<u8>, u32)>::new());
        for round in 0..5000 {
            let key = random.u8(..60).to_string().into_bytes();
            let place = model.iter().position(|(other, _)| *other == key);
            if random.bool() {
                let old = map.insert(&key, round);
                match place {
                    Some(at) => assert_eq!(old, Some(std::mem::replace(&mut model[at].1, round))),
                    None => model.push((key.clone(), round)),
                }
            } else {
                assert_eq!(map.remove(&key), place.map(|at| model.remove(at).1));
            }
            assert_eq!(map.get(&key), model.iter().find(|pair| pair.0 == key).map(|pair| &pair.1));
            assert_eq!(map.len(), model.len());
            map.check_invariants();
        }
        let found: Vec<_> = map.iter().map(|(key, value)| (key.to_vec(), *value)).collect();
        assert_eq!(found, model);
    }
}
