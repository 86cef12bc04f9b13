//! The table against a `HashMap`, with scans that run while it grows and shrinks.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::keyspace::{Value, ValueRef};

fn number_of(entry: &Entry) -> i64 {
    match entry.value() {
        ValueRef::Int(number) => number,
        other => panic!("an integer was stored, not {other:?}"),
    }
}

/// Memory of all buckets, chains included.
fn overhead_bytes(table: &Table) -> usize {
    let chained: usize = table.all_buckets().map(|bucket| bucket.chain().count() - 1).sum();
    table.bucket_bytes() + chained * size_of::<Bucket>()
}

struct Pair {
    hash_key: HashKey,
    table: Table,
    model: HashMap<Vec<u8>, i64>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let hash_key = HashKey::from_seed(seed);
        Pair { hash_key, table: Table::default(), model: HashMap::new() }
    }

    fn set(&mut self, key: &[u8], number: i64) {
        let hash = self.hash_key.hash(key);
        match self.table.find(hash, key) {
            Some(place) => self.table.at_mut(place).set_value(Value::Int(number)),
            None => {
                let entry = Entry::new(key, Value::Int(number), None);
                self.table.insert(&self.hash_key, hash, entry);
            }
        }
        self.model.insert(key.to_vec(), number);
    }

    fn remove(&mut self, key: &[u8]) {
        let found = self.table.find(self.hash_key.hash(key), key);
        let removed = found.map(|place| number_of(&self.table.remove(place)));
        assert_eq!(removed, self.model.remove(key));
    }

    fn check(&self) {
        self.table.check_invariants(&self.hash_key);
        assert_eq!(self.table.len(), self.model.len());
        for (key, &number) in &self.model {
            let place = self.table.find(self.hash_key.hash(key), key).expect("it was set");
            assert_eq!(number_of(self.table.at(place)), number);
        }
    }

    fn scan_step(&self, from: u64, seen: &mut HashSet<Vec<u8>>) -> Option<u64> {
        self.table.visit(from, |entry| {
            seen.insert(entry.key().to_vec());
        })
    }
}

/// Random sets and removals in waves of growing and shrinking, with one scan running all along: what was there
/// from its first step to its last must have been seen.
fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pair = Pair::new(seed);
    let keys = if cfg!(miri) { 60 } else { 6000 };
    let steps = if cfg!(miri) { 400 } else { 40_000 };
    let mut growing = true;
    let mut scan_at = Some(0);
    let (mut seen, mut stayed): (HashSet<_>, HashSet<_>) = Default::default();
    for step in 0..steps {
        let key = format!("key:{}", rng.usize(..keys)).into_bytes();
        if rng.u8(..100) < if growing { 80 } else { 20 } {
            pair.set(&key, rng.i64(..));
        } else {
            stayed.remove(&key);
            pair.remove(&key);
        }
        if rng.usize(..steps / 8) == 0 {
            growing = !growing;
        }
        if rng.u8(..4) == 0 {
            scan_at = match scan_at {
                Some(from) => pair.scan_step(from, &mut seen),
                None => {
                    let missed: Vec<_> = stayed.difference(&seen).collect();
                    assert!(missed.is_empty(), "step {step}: missed {missed:?}");
                    seen.clear();
                    stayed = pair.model.keys().cloned().collect();
                    Some(0)
                }
            };
        }
        if step % (steps / 20) == 0 {
            pair.check();
        }
    }
    pair.check();
    for key in pair.model.keys().cloned().collect::<Vec<_>>() {
        pair.remove(&key);
    }
    assert_eq!(overhead_bytes(&pair.table), 0, "an empty table holds no memory");
}

#[test]
fn a_table_with_room_does_not_grow_on_the_way_there() {
    for entries in [0, 1, 2, 3, 6, 7, 61, 4000, 4098, 9000] {
        let mut pair = Pair::new(entries as u64);
        pair.table.make_room(entries);
        pair.table.check_invariants(&pair.hash_key);
        let bytes = pair.table.bucket_bytes();
        for number in 0..entries as i64 {
            pair.set(format!("key:{number}").as_bytes(), number);
        }
        pair.table.check_invariants(&pair.hash_key);
        assert_eq!(pair.table.len(), entries);
        let grew = pair.table.bucket_bytes() > bytes;
        assert_eq!(grew, entries > PIECE * LOAD_MAX + (LANES - LOAD_MAX), "{entries} entries");
    }
}

#[test]
fn behaves_as_a_hash_map_and_scans_keep_their_promise() {
    for seed in 0..if cfg!(miri) { 1 } else { 6 } {
        println!("seed {seed}");
        scenario(seed);
    }
}

#[test]
fn scan_visits_in_order_of_position_without_gaps() {
    let mut pair = Pair::new(7);
    let counts: &[usize] = if cfg!(miri) { &[1, 50] } else { &[1, 5, 7, 50, 777, 5000] };
    for &count in counts {
        for i in pair.model.len()..count {
            pair.set(format!("{i}").as_bytes(), 1);
        }
        let mut at = Some(0);
        let mut visited = 0;
        while let Some(from) = at {
            assert!(pair.table.starts_bucket(from));
            let mut positions = Vec::new();
            at = pair
                .table
                .visit(from, |entry| positions.push(position(pair.hash_key.hash(entry.key()))));
            visited += positions.len();
            let inside = |&p: &u64| p >= from && at.is_none_or(|end| p < end);
            assert!(positions.iter().all(inside), "bucket at {from:x}");
        }
        assert_eq!(visited, count);
    }
}

#[test]
fn grows_past_its_first_piece_and_back() {
    let mut pair = Pair::new(9);
    let count = if cfg!(miri) { 100 } else { PIECE * LOAD_MAX * 3 };
    for i in 0..count {
        pair.set(format!("{i}").as_bytes(), 1);
    }
    pair.check();
    assert!(cfg!(miri) || pair.table.further.as_ref().is_some_and(|pieces| pieces.len() == 2));
    for i in 0..count - 3 {
        pair.remove(format!("{i}").as_bytes());
    }
    pair.check();
    assert!(pair.table.further.is_none() && pair.table.buckets <= 2);
}

#[test]
fn random_entries_are_fair() {
    let mut pair = Pair::new(11);
    for i in 0..200 {
        pair.set(format!("{i}").as_bytes(), i);
    }
    let mut rng = fastrand::Rng::with_seed(5);
    let mut drawn = [0u32; 200];
    let draws = if cfg!(miri) { 100 } else { 200_000 };
    for _ in 0..draws {
        let entry = pair.table.random(&mut rng).expect("not empty");
        drawn[usize::try_from(number_of(entry)).unwrap()] += 1;
    }
    // A thousand expected of each; five standard deviations are 160.
    assert!(cfg!(miri) || drawn.iter().all(|n| (840..1160).contains(n)), "{drawn:?}");
    assert!(Table::default().random(&mut rng).is_none());
}

#[test]
fn overhead_per_entry_stays_small_at_every_size() {
    if cfg!(miri) {
        return;
    }
    let mut pair = Pair::new(13);
    for i in 0..20_000 {
        pair.set(format!("{i}").as_bytes(), 1);
        if i % 1000 == 999 {
            let per_entry = overhead_bytes(&pair.table) as f64 / pair.table.len() as f64;
            assert!(per_entry < 21.0, "{per_entry} bytes at {i}");
        }
    }
}
