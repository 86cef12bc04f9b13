//! Random writes between random steps of several walks: each must put out exactly the state at its cut.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::super::*;
use super::{object_len, object_of};

const NOW_MS: u64 = 1_700_000_000_000;

/// A state: what a walk should put out, as text. (database, key) to (value, expiry).
type State = BTreeMap<(u32, Vec<u8>), (String, Option<u64>)>;

fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Str(bytes) => format!("{} bytes {:?}", bytes.len(), bytes.first()),
        ValueRef::Int(number) => format!("number {number}"),
        ValueRef::Object(object) => format!("list of {}", object_len(object)),
    }
}

fn state_of(keyspace: &Keyspace, range: &RangeInclusive<u16>) -> State {
    let mut state = State::new();
    for db in 0..keyspace.db_count() {
        let inside = |entry: &&Entry| range.contains(&Slot::of(entry.key()).number());
        state.extend(keyspace.entries(db).filter(inside).map(|entry| {
            let value = (text_of(entry.value()), entry.expiry_ms());
            ((db, entry.key().to_vec()), value)
        }));
    }
    state
}

struct Running {
    id: WalkId,
    expected: State,
    found: State,
}

struct Scenario {
    keyspace: Keyspace,
    rng: fastrand::Rng,
    running: Vec<Running>,
    completed: usize,
    /// Keys become fewer at the moment, so that tables shrink.
    shrinking: bool,
}

impl Scenario {
    fn key(&mut self) -> Vec<u8> {
        // Few slots with many keys, so that tables grow and shrink under the walks.
        let (tag, number) = (self.rng.u8(..2), self.rng.u16(..400));
        format!("{{{tag}}}{number}").into_bytes()
    }

    fn write(&mut self) {
        let (db, other) = (self.rng.u32(..2), self.rng.u32(..2));
        let (bytes, more) = (self.key(), self.key());
        let keyspace = &mut self.keyspace;
        let (key, second) = (keyspace.key(&bytes), keyspace.key(&more));
        let fill = vec![self.rng.u8(..); self.rng.usize(..500)];
        match self.rng.u16(..1000) {
            0..350 if self.shrinking => _ = keyspace.remove(db, &key),
            0..300 => {
                let when = self.rng.bool().then(|| NOW_MS + self.rng.u64(..100));
                let ttl = when.map_or(Ttl::Clear, Ttl::At);
                keyspace.insert(db, &key, Value::string(&fill), ttl);
            }
            300..350 => {
                let value = Value::Object(object_of(self.rng.usize(1..9)));
                keyspace.insert(db, &key, value, Ttl::Keep);
            }
            350..500 => _ = keyspace.remove(db, &key),
            500..750 => {
                if let Some(mut entry) = keyspace.lookup_mut(db, &key, Access::WRITE) {
                    if let Some(string) = entry.string_mut() {
                        string.push(7);
                    } else if let Some(object) = entry.object_mut() {
                        *object = object_of(object_len(object) + 1);
                    }
                }
            }
            750..850 => _ = keyspace.set_expiry(db, &key, Some(NOW_MS + self.rng.u64(..100))),
            850..900 => _ = keyspace.move_key((db, &key), (other, &second)),
            900..950 => _ = keyspace.copy_key((db, &key), (other, &second)),
            950..996 => {
                let now_ms = keyspace.now_ms() + u64::from(self.rng.u8(..4) == 0);
                keyspace.begin(now_ms, 1);
            }
            996 => keyspace.swap_dbs(0, 1),
            997 => _ = keyspace.flush(db),
            998 => _ = keyspace.take_garbage(),
            _ => self.cancel(),
        }
    }

    fn cancel(&mut self) {
        if !self.running.is_empty() {
            let index = self.rng.usize(..self.running.len());
            self.keyspace.cancel_walk(self.running.swap_remove(index).id);
        }
    }

    fn start(&mut self) {
        let first = self.rng.u16(..8000);
        let whole = self.rng.bool();
        let range = if whole { 0..=16383 } else { first..=first + 8000 };
        if let Some(id) = self.keyspace.start_walk(std::slice::from_ref(&range), 5) {
            assert_eq!(self.keyspace.walk_cut(id), Some(5));
            let expected = state_of(&self.keyspace, &range);
            self.running.push(Running { id, expected, found: State::new() });
        }
    }

    fn step(&mut self) {
        let index = self.rng.usize(..self.running.len());
        let walk = &mut self.running[index];
        let budget = WalkBudget {
            entries: if self.rng.bool() { 1 } else { self.rng.usize(1..60) },
            bytes: 5000,
        };
        let mut out = WalkBatch::default();
        let progress = self.keyspace.walk_step(walk.id, budget, &mut out).expect("it runs");
        for entry in out.iter() {
            assert_eq!(Slot::of(entry.key), entry.slot);
            let value = (text_of(entry.value), entry.expiry_ms);
            let twice = walk.found.insert((entry.db, entry.key.to_vec()), value);
            assert_eq!(twice, None, "put out twice");
        }
        assert_eq!(progress.visited, walk.found.len() as u64);
        if progress.done {
            let walk = self.running.swap_remove(index);
            assert_eq!(walk.found, walk.expected);
            assert_eq!(progress.total, walk.expected.len() as u64);
            self.completed += 1;
        }
    }
}

fn scenario(seed: u64) -> usize {
    let mut keyspace = Keyspace::new(2, HashKey::from_seed(seed), seed);
    keyspace.begin(NOW_MS, 1);
    let rng = fastrand::Rng::with_seed(seed);
    let mut scenario =
        Scenario { keyspace, rng, running: Vec::new(), completed: 0, shrinking: false };
    for _ in 0..20_000 {
        if scenario.rng.u16(..2000) == 0 {
            scenario.shrinking = !scenario.shrinking;
        }
        match scenario.rng.u16(..1000) {
            0..880 | 930.. => scenario.write(),
            880..884 => scenario.start(),
            884..894 => _ = scenario.keyspace.sweep_walks(50),
            _ if scenario.running.is_empty() => {}
            _ => scenario.step(),
        }
    }
    scenario.keyspace.check_invariants();
    while !scenario.running.is_empty() {
        scenario.step();
    }
    while scenario.keyspace.sweep_walks(1000) {}
    let entries = (0..2).flat_map(|db| scenario.keyspace.entries(db));
    assert!(entries.into_iter().all(|entry| entry.marks() == 0), "marks left behind");
    assert!(scenario.keyspace.walks.is_empty());
    scenario.completed
}

#[test]
fn walks_put_out_exactly_the_state_at_their_cut() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..24).collect(),
    };
    let mut completed = 0;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| scenario(seed));
        if result.is_err() {
            eprintln!("again: SEED={seed} cargo test --lib keyspace::tests::walks");
        }
        completed += result.expect("the scenario holds");
    }
    assert!(completed > 10, "{completed} walks were completed");
}

#[test]
fn walk_of_an_empty_keyspace_ends_at_once() {
    let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    let id = keyspace.start_walk(&[0..=16383], 0).expect("none is running");
    let budget = WalkBudget { entries: 10, bytes: 1000 };
    let progress = keyspace.walk_step(id, budget, &mut WalkBatch::default());
    assert_eq!(progress, Some(WalkProgress { done: true, visited: 0, total: 0 }));
    assert_eq!(keyspace.walk_step(id, budget, &mut WalkBatch::default()), None);
}

#[test]
fn no_more_than_eight_walks_run() {
    let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    let key = keyspace.key(b"k");
    keyspace.insert(0, &key, Value::Int(1), Ttl::Clear);
    let ids: Vec<_> = (0..8).map(|_| keyspace.start_walk(&[0..=16383], 0).unwrap()).collect();
    assert_eq!(keyspace.start_walk(&[0..=16383], 0), None);
    keyspace.remove(0, &key);
    assert_eq!(keyspace.walk_queued_bytes(ids[3]), 9);
    keyspace.cancel_walk(ids[3]);
    assert!(keyspace.start_walk(&[0..=16383], 0).is_some());
}

#[test]
fn cancelling_one_walk_leaves_the_others() {
    let mut keyspace = Keyspace::new(1, HashKey::from_seed(1), 1);
    // Neither has anything to visit, which is no reason to forget the first.
    let first = keyspace.start_walk(&[0..=16383], 0).expect("none is running");
    let second = keyspace.start_walk(&[0..=16383], 0).expect("one is running");
    keyspace.cancel_walk(second);
    let budget = WalkBudget { entries: 10, bytes: 1000 };
    let progress = keyspace.walk_step(first, budget, &mut WalkBatch::default());
    assert!(progress.is_some_and(|progress| progress.done));
}
