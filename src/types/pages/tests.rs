use std::collections::BTreeMap;

use super::*;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// Bytes of many lengths: most are short, some lie in allocations of their own.
fn bytes(random: &mut fastrand::Rng, kinds: u32) -> Vec<u8> {
    let number = random.u32(..kinds);
    let mut bytes = number.to_string().into_bytes();
    let length = match number % 16 {
        0 => 250 + number as usize % 10,
        1 => 300,
        2 => 0,
        _ => number as usize % 40,
    };
    bytes.resize(bytes.len().max(length), b'x');
    bytes
}

fn check_same<const VALUES: bool>(pages: &Pages<VALUES>, model: &Model) {
    let mut found: Vec<_> = pages.iter().collect();
    found.sort_by_key(|record| record.key);
    let expected: Vec<_> = model
        .iter()
        .map(|(key, (value, expires_ms))| Record { key, value, expires_ms: *expires_ms })
        .collect();
    assert_eq!(found, expected);
}

/// Plays random changes on a table, a model and, now and then, a clone, which must stay as it was.
fn play<const VALUES: bool>(seed: u64, kinds: u32, rounds: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut pages, mut model) = (Pages::<VALUES>::new(), Model::new());
    let mut clone = (pages.clone(), model.clone());
    for round in 0..rounds {
        let key = bytes(&mut random, kinds);
        // Phases of growing and of shrinking.
        match random.u32(..if round / 3000 % 2 == 0 { 10 } else { 20 }) {
            0..=5 => {
                let value = if VALUES { bytes(&mut random, 200) } else { Vec::new() };
                let known = model.get(&key).and_then(|(_, expires_ms)| *expires_ms);
                let new = model.insert(key.clone(), (value.clone(), known)).is_none();
                assert_eq!(pages.set(&key, &value), new);
            }
            6 => {
                let when = random.bool().then(|| u64::from(random.u32(..100)) + u64::from(round));
                let known = model.get_mut(&key).map(|(_, expires_ms)| *expires_ms = when);
                assert_eq!(pages.set_expiry(&key, when), known.is_some());
            }
            7 => {
                let now = u64::from(round);
                let mut removed = Vec::new();
                let count = pages.remove_due(now, 3, |key| removed.push(key.to_vec()));
                assert_eq!(removed.len(), count);
                for key in &removed {
                    assert!(model.remove(key).is_some_and(|(_, when)| when < Some(now)));
                }
                let is_due = |(_, when): &(Vec<u8>, Option<u64>)| when.is_some_and(|w| w < now);
                assert!(count == 3 || !model.values().any(is_due));
            }
            _ => assert_eq!(pages.remove(&key), model.remove(&key).is_some()),
        }
        let expected = model.get(&key).map(|(value, expires_ms)| Record {
            key: &key,
            value,
            expires_ms: *expires_ms,
        });
        assert_eq!(pages.get(&key), expected);
        assert_eq!(pages.len(), model.len());
        let earliest = model.values().filter_map(|(_, when)| *when).min();
        assert!(pages.due_from() <= earliest || earliest.is_none());
        if round % 7 == 0 {
            pages.check_invariants();
        }
        if round % 1000 == 0 {
            check_same(&pages, &model);
            check_same(&clone.0, &clone.1);
            clone.0.check_invariants();
            clone = (pages.clone(), model.clone());
        }
    }
    for key in model.keys() {
        assert!(pages.remove(key));
    }
    pages.check_invariants();
    assert_eq!(pages.memory_usage(), 0);
}

#[test]
fn random_changes_agree_with_a_map() {
    play::<true>(1, 2000, 15_000);
    play::<false>(2, 2000, 15_000);
    play::<true>(3, 40, 6000);
}

fn filled(count: u32) -> Pages<false> {
    let mut pages = Pages::new();
    (0..count).for_each(|number| assert!(pages.set(number.to_string().as_bytes(), &[])));
    pages
}

#[test]
fn a_scan_misses_nothing_while_the_table_grows_and_shrinks() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..40 {
        let mut pages = filled(1000);
        let (mut cursor, mut seen) = (0, std::collections::BTreeSet::new());
        let mut guests = 1000..;
        loop {
            cursor = pages.scan(cursor, random.usize(1..60), |record| {
                seen.insert(record.key.to_vec());
            });
            if cursor == 0 {
                break;
            }
            if random.bool() {
                for guest in guests.by_ref().take(random.usize(..500)) {
                    pages.set(guest.to_string().as_bytes(), &[]);
                }
            } else {
                (1000..guests.start).for_each(|guest| {
                    pages.remove(guest.to_string().as_bytes());
                });
            }
        }
        assert!((0..1000).all(|number: u32| seen.contains(number.to_string().as_bytes())));
    }
    // Any cursor is taken.
    let pages = filled(1000);
    for _ in 0..1000 {
        pages.scan(random.u64(..), 10, |_| {});
    }
    let mut seen = 0;
    assert_eq!(pages.scan(0, usize::MAX, |_| seen += 1), 0);
    assert_eq!(seen, 1000);
}

#[test]
fn each_record_is_drawn_as_often_as_any_other() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut pages = filled(1000);
    (200..1000u32).for_each(|number| assert!(pages.remove(number.to_string().as_bytes())));
    let mut drawn = [0u32; 200];
    for _ in 0..40_000 {
        let key = pages.random(&mut random).unwrap().key;
        drawn[std::str::from_utf8(key).unwrap().parse::<usize>().unwrap()] += 1;
    }
    // 200 each on average; the standard deviation is 14.
    assert!(drawn.iter().all(|count| (130..280).contains(count)), "{drawn:?}");
    assert_eq!(Pages::<false>::new().random(&mut random), None);
}

#[test]
fn memory_per_record_is_that_of_its_bytes_and_a_little() {
    let mut set = Pages::<false>::new();
    let mut hash = Pages::<true>::new();
    for number in 0..100_000u32 {
        set.set(format!("member:{number:09}").as_bytes(), &[]);
        hash.set(format!("field:{number:010}").as_bytes(), &[b'v'; 32]);
    }
    let per_record = |bytes: usize| bytes / 100_000;
    let (member, field) = (per_record(set.memory_usage()), per_record(hash.memory_usage()));
    assert!(member <= 16 + 6, "{member}");
    assert!(field <= 16 + 32 + 12, "{field}");
}

#[test]
fn fetching_ahead_is_for_any_key() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pages = Pages::<true>::new();
    pages.prefetch([&b"nothing is there yet"[..]].into_iter());
    let keys: Vec<_> = (0..30_000).map(|_| bytes(&mut random, 40_000)).collect();
    for key in &keys {
        pages.set(key, key);
    }
    // Those that are fetched really are: large tables only.
    assert!(pages.memory_usage() > 1 << 20);
    let before = pages.memory_usage();
    pages.prefetch(keys.iter().map(Vec::as_slice));
    pages.prefetch((0..20_000).map(|_| &b"no such key"[..]));
    let unknown: Vec<_> = (0..20_000u32).map(u32::to_be_bytes).collect();
    pages.prefetch(unknown.iter().map(|key| &key[..]));
    assert_eq!(pages.memory_usage(), before);
    pages.check_invariants();
}
