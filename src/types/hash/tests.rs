use std::collections::BTreeMap;

use super::*;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn word(random: &mut fastrand::Rng, kinds: u32) -> Vec<u8> {
    let number = random.u32(..kinds);
    match number % 5 {
        0 => format!("{}", i64::from(number) * 1_000_003 - 500_000_000).into_bytes(),
        1 => vec![b'v'; number as usize % 40],
        _ => format!("field:{number}").into_bytes(),
    }
}

fn check_same(hash: &Hash, model: &Model) {
    let found: Model = hash
        .iter()
        .map(|(name, value)| (name.into_owned(), (value.bytes.into_owned(), value.expires_ms)))
        .collect();
    assert_eq!(&found, model);
    assert_eq!(hash.len(), model.len());
}

/// Small limits, so that both forms and the border between them are met.
fn small() -> Limits {
    Limits { hash_entries_max: 6, hash_value_bytes_max: 30, ..Limits::default() }
}

#[test]
fn random_changes_agree_with_a_map() {
    let limits = small();
    for seed in 0..60u8 {
        let mut random = fastrand::Rng::with_seed(u64::from(seed));
        let kinds = [8, 30, 300][usize::from(seed % 3)];
        let expiring = seed % 2 == 0;
        let (mut hash, mut model) = (Hash::new(), Model::new());
        for now in 0..400u64 {
            let (name, value) = (word(&mut random, kinds), word(&mut random, 60));
            match random.u32(..12) {
                0..=4 => {
                    let new = model.insert(name.clone(), (value.clone(), None)).is_none();
                    assert_eq!(hash.set(&name, &value, &limits), new);
                }
                5 => {
                    let when = model.get(&name).and_then(|(_, when)| *when);
                    let new = model.insert(name.clone(), (value.clone(), when)).is_none();
                    assert_eq!(hash.set_value(&name, &value, &limits), new);
                }
                6 if expiring => {
                    let when = random.bool().then(|| now + random.u64(..50));
                    let known = model.get_mut(&name).map(|(_, expires)| *expires = when);
                    assert_eq!(hash.set_expiry(&name, when, &limits), known.is_some());
                }
                7 => {
                    hash.remove_due(now, 2, |name| {
                        let (_, when) = model.remove(name).unwrap();
                        assert!(when.unwrap() < now);
                    });
                }
                _ => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
            }
            let found = hash.get(&name).map(|field| (field.value.to_bytes(), field.expires_ms));
            let expected = model.get(&name).map(|(value, when)| (Cow::Borrowed(&value[..]), *when));
            assert_eq!(found, expected);
            let live = model.values().filter(|(_, when)| when.is_none_or(|w| w >= now)).count();
            assert_eq!(hash.live_len(now), live);
            hash.check_invariants(&limits);
            check_same(&hash, &model);
            if let Some(field) = hash.random(&mut random) {
                assert!(model.contains_key(&*field.name.to_bytes()));
            } else {
                assert!(model.is_empty());
            }
        }
    }
}

#[test]
fn encodings_change_at_stocks_thresholds() {
    let limits = Limits::default();
    let with = |count: u32, bytes: usize| {
        let mut hash = Hash::new();
        (0..count).for_each(|number| {
            hash.set(number.to_string().as_bytes(), &vec![b'v'; bytes], &limits);
        });
        hash
    };
    assert_eq!(with(512, 64).encoding(&limits), "listpack");
    assert_eq!(with(513, 1).encoding(&limits), "hashtable");
    assert_eq!(with(1, 65).encoding(&limits), "hashtable");
    let mut hash = with(513, 1);
    for number in 0..512 {
        assert!(hash.remove(number.to_string().as_bytes()));
    }
    assert_eq!(hash.encoding(&limits), "hashtable", "it never goes back");
    let mut hash = with(1, 1);
    hash.expect(513, &limits);
    assert_eq!(hash.encoding(&limits), "hashtable");
}

#[test]
fn a_hash_of_which_nothing_expires_pays_nothing() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for number in 0..1000 {
        hash.set(format!("f{number}").as_bytes(), b"value", &limits);
    }
    let before = hash.memory_usage();
    assert!(hash.set_expiry(b"f1", Some(5), &limits));
    assert!(hash.memory_usage() > before);
    assert_eq!(hash.due_from(), Some(5));
    assert!(hash.set(b"f1", b"other", &limits) || hash.due_from().is_none());
    assert_eq!(hash.memory_usage(), before);
}
