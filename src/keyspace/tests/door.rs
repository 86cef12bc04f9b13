//! Lookups, changes, expiry, watchers, stamps, scans.

use std::collections::HashSet;

use super::super::*;
use super::{object_len, object_of};

const NOW_MS: u64 = 1_700_000_000_000;

fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(16, HashKey::from_seed(1), 2);
    keyspace.begin(NOW_MS, 100);
    keyspace
}

fn set(keyspace: &mut Keyspace, db: u32, key: &str, value: &str, ttl: Ttl) -> bool {
    let key = keyspace.key(key.as_bytes());
    keyspace.insert(db, &key, Value::string(value.as_bytes()), ttl)
}

fn get(keyspace: &mut Keyspace, db: u32, key: &str) -> Option<String> {
    let key = keyspace.key(key.as_bytes());
    let entry = keyspace.lookup(db, &key, Access::READ)?;
    let bytes = entry.value().to_string_bytes().expect("a string").into_owned();
    Some(String::from_utf8(bytes).expect("text"))
}

fn remove(keyspace: &mut Keyspace, db: u32, key: &str) -> bool {
    let key = keyspace.key(key.as_bytes());
    keyspace.remove(db, &key)
}

#[test]
fn values_come_back_until_they_are_removed() {
    let mut keyspace = keyspace();
    assert!(!set(&mut keyspace, 0, "a", "1", Ttl::Clear));
    assert!(set(&mut keyspace, 0, "a", "two", Ttl::Clear));
    assert!(!set(&mut keyspace, 3, "a", "other", Ttl::Clear));
    assert_eq!(get(&mut keyspace, 0, "a").as_deref(), Some("two"));
    assert_eq!(get(&mut keyspace, 3, "a").as_deref(), Some("other"));
    assert_eq!(get(&mut keyspace, 1, "a"), None);
    assert_eq!((keyspace.len(0), keyspace.len(1), keyspace.len(3)), (1, 0, 1));
    assert!(remove(&mut keyspace, 0, "a"));
    assert!(!remove(&mut keyspace, 0, "a"));
    assert_eq!((keyspace.stats.hits, keyspace.stats.misses), (2, 1));
    assert_eq!(keyspace.dirty, 4);
    keyspace.check_invariants();
}

#[test]
fn an_expired_key_is_deleted_with_an_effect_on_a_primary() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 2, "k", "v", Ttl::At(NOW_MS + 5));
    keyspace.begin(NOW_MS + 5, 200);
    assert!(get(&mut keyspace, 2, "k").is_some(), "its last millisecond");
    keyspace.begin(NOW_MS + 6, 300);
    assert_eq!(get(&mut keyspace, 2, "k"), None);
    let effects: Vec<_> = keyspace.effects.iter().collect();
    assert_eq!(effects, [(2, &b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n"[..])]);
    assert_eq!((keyspace.len(2), keyspace.stats.expired, keyspace.dirty), (0, 1, 1));
    keyspace.check_invariants();
}

#[test]
fn an_expired_key_is_hidden_on_a_replica_and_plain_to_its_primary() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 0, "k", "v", Ttl::At(NOW_MS - 1));
    keyspace.expire_mode = ExpireMode::Hide;
    assert_eq!(get(&mut keyspace, 0, "k"), None);
    assert_eq!(keyspace.len(0), 1);
    assert!(keyspace.effects.is_empty());
    keyspace.expire_mode = ExpireMode::Ignore;
    assert!(get(&mut keyspace, 0, "k").is_some());
}

#[test]
fn ttl_is_kept_cleared_or_set() {
    let mut keyspace = keyspace();
    let expiry = |keyspace: &Keyspace| {
        let key = keyspace.key(b"k");
        keyspace.peek(0, &key).expect("it is there").expiry_ms()
    };
    set(&mut keyspace, 0, "k", "v", Ttl::At(NOW_MS + 50));
    set(&mut keyspace, 0, "k", "w", Ttl::Keep);
    assert_eq!(expiry(&keyspace), Some(NOW_MS + 50));
    assert_eq!((keyspace.volatile(0), keyspace.avg_ttl_ms(0)), (1, 50));
    set(&mut keyspace, 0, "k", "w", Ttl::Clear);
    assert_eq!((expiry(&keyspace), keyspace.volatile(0)), (None, 0));
    let key = keyspace.key(b"k");
    assert!(keyspace.set_expiry(0, &key, Some(7)));
    keyspace.check_invariants();
    // Past its time: as if it were not there, so there is no TTL to keep.
    assert!(!set(&mut keyspace, 0, "k", "new", Ttl::Keep));
    assert_eq!(expiry(&keyspace), None);
    assert!(!keyspace.set_expiry(0, &KeyRef::new(&keyspace.hash_key(), b"none"), None));
    keyspace.check_invariants();
}

#[test]
fn entries_change_in_place_once_opened() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 0, "k", "12", Ttl::Clear);
    let key = keyspace.key(b"k");
    keyspace.watch(0, &key, 9);
    let entry = keyspace.lookup_mut(0, &key, Access::WRITE).expect("it is there");
    assert!(matches!(entry.value(), ValueRef::Int(12)));
    drop(entry);
    assert!(!keyspace.has_touched(), "looking is not touching");
    let mut entry = keyspace.lookup_mut(0, &key, Access::WRITE).expect("it is there");
    entry.string_mut().expect("a string").extend_from_slice(&[b'x'; 1000]);
    entry.set_expiry(Some(NOW_MS + 1));
    entry.string_mut().expect("a string").extend_from_slice(&[b'x'; 1000]);
    assert!(entry.object_mut().is_none());
    drop(entry);
    assert_eq!(keyspace.take_touched(), [9]);
    assert_eq!(keyspace.dirty, 2);
    keyspace.check_invariants();
    keyspace.lookup_mut(0, &key, Access::WRITE).expect("it is there").remove();
    assert_eq!(keyspace.len(0), 0);
    keyspace.check_invariants();
}

#[test]
fn collections_are_made_on_first_use() {
    let mut keyspace = keyspace();
    let key = keyspace.key(b"list");
    for length in 1..4 {
        let make = || Ok::<_, std::convert::Infallible>(Value::Object(object_of(0)));
        let mut entry = keyspace.lookup_or_insert(0, &key, make).unwrap();
        let object = entry.object_mut().expect("a collection");
        *object = object_of(object_len(object) + 1);
        let ValueRef::Object(object) = entry.value() else { panic!("a collection") };
        assert_eq!(object_len(object), length);
    }
    assert_eq!(keyspace.len(0), 1);
    keyspace.check_invariants();
}

#[test]
fn moving_and_copying_take_value_and_expiry() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 0, "a", "value", Ttl::At(NOW_MS + 9));
    set(&mut keyspace, 1, "b", "old", Ttl::Clear);
    let (a, b) = (keyspace.key(b"a"), keyspace.key(b"b"));
    assert!(keyspace.copy_key((0, &a), (0, &b)));
    assert!(keyspace.move_key((0, &a), (1, &b)));
    assert!(!keyspace.move_key((0, &a), (1, &b)));
    assert!(keyspace.move_key((1, &b), (1, &b)));
    assert_eq!(get(&mut keyspace, 0, "b").as_deref(), Some("value"));
    assert_eq!(get(&mut keyspace, 1, "b").as_deref(), Some("value"));
    assert_eq!(keyspace.peek(1, &b).and_then(Entry::expiry_ms), Some(NOW_MS + 9));
    assert_eq!((keyspace.len(0), keyspace.volatile(0), keyspace.volatile(1)), (1, 1, 1));
    keyspace.check_invariants();
}

#[test]
fn readers_observe_the_last_write_of_what_they_see() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 0, "a", "1", Ttl::Clear);
    keyspace.begin(NOW_MS, 200);
    set(&mut keyspace, 0, "b", "1", Ttl::Clear);
    let observed = |keyspace: &mut Keyspace, read: &dyn Fn(&mut Keyspace)| {
        keyspace.begin(NOW_MS, 900);
        read(keyspace);
        keyspace.observed
    };
    assert_eq!(observed(&mut keyspace, &|_| ()), 0);
    assert_eq!(observed(&mut keyspace, &|k| drop(get(k, 0, "a"))), 100);
    assert_eq!(observed(&mut keyspace, &|k| drop(get(k, 0, "b"))), 200);
    assert_eq!(observed(&mut keyspace, &|k| _ = k.len(0)), 200);
    keyspace.begin(NOW_MS, 300);
    remove(&mut keyspace, 0, "a");
    assert_eq!(observed(&mut keyspace, &|k| drop(get(k, 0, "a"))), 300);
    keyspace.begin(NOW_MS, 400);
    keyspace.flush(0);
    assert_eq!(observed(&mut keyspace, &|k| drop(get(k, 0, "b"))), 400);
}

#[test]
fn watchers_hear_of_changes_expiry_flushes_and_swaps() {
    let mut keyspace = keyspace();
    let touched = |keyspace: &mut Keyspace| {
        let mut sessions = keyspace.take_touched();
        sessions.dedup();
        sessions
    };
    set(&mut keyspace, 0, "k", "v", Ttl::At(NOW_MS + 10));
    let (k, other) = (keyspace.key(b"k"), keyspace.key(b"other"));
    keyspace.watch(0, &k, 1);
    keyspace.watch(0, &other, 2);
    set(&mut keyspace, 0, "k", "w", Ttl::Keep);
    assert_eq!(touched(&mut keyspace), [1]);
    keyspace.begin(NOW_MS + 11, 100);
    keyspace.watch(0, &k, 3);
    assert!(keyspace.watched_has_expired(1));
    assert!(!keyspace.watched_has_expired(3), "it had expired before");
    assert_eq!(get(&mut keyspace, 0, "k"), None);
    assert_eq!(touched(&mut keyspace), [1]);
    keyspace.unwatch(1);
    keyspace.unwatch(3);
    set(&mut keyspace, 5, "other", "v", Ttl::Clear);
    keyspace.swap_dbs(0, 5);
    assert_eq!(touched(&mut keyspace), [2]);
    keyspace.flush_all();
    assert_eq!(touched(&mut keyspace), [2]);
    keyspace.flush_all();
    assert_eq!(touched(&mut keyspace), [0u64; 0]);
    keyspace.unwatch(2);
    set(&mut keyspace, 0, "other", "v", Ttl::Clear);
    assert!(!keyspace.has_touched());
}

#[test]
fn scan_visits_every_key_and_ends() {
    let mut keyspace = keyspace();
    let mut expected = HashSet::new();
    for i in 0..500 {
        // Half of them in one slot, so that both slots and buckets are walked.
        let key = if i % 2 == 0 { format!("{{tag}}{i}") } else { format!("key:{i}") };
        set(&mut keyspace, 0, &key, "v", Ttl::Clear);
        expected.insert(key.into_bytes());
    }
    set(&mut keyspace, 0, "expired", "v", Ttl::At(1));
    let mut seen = HashSet::new();
    let (mut cursor, mut calls) = (0, 0);
    loop {
        cursor = keyspace.scan(0, cursor, 10, |entry| {
            seen.insert(entry.key().to_vec());
        });
        assert!(cursor < 1 << 53);
        calls += 1;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, expected);
    assert!((30..=52).contains(&calls), "{calls} calls");
    assert_eq!(keyspace.scan(0, u64::MAX, 10, |_| ()), 0);
    assert_eq!(keyspace.scan(7, 0, 10, |_| panic!("no key")), 0);
}

#[test]
fn prefetching_changes_nothing() {
    let mut keyspace = keyspace();
    set(&mut keyspace, 0, "a", "1", Ttl::Clear);
    let (a, b) = (keyspace.key(b"a"), keyspace.key(b"b"));
    keyspace.prefetch(0, &[a, b]);
    keyspace.prefetch_new(0, &[a, b]);
    keyspace.prefetch(1, &[a, b]);
    assert_eq!(keyspace.stats, KeyspaceStats::default());
}

#[test]
fn random_keys_are_fair_over_slots_and_never_expired() {
    let mut keyspace = keyspace();
    for i in 0..90 {
        set(&mut keyspace, 0, &format!("{{tag}}{i}"), "v", Ttl::Clear);
    }
    for i in 0..10 {
        set(&mut keyspace, 0, &format!("key:{i}"), "v", Ttl::Clear);
        set(&mut keyspace, 0, &format!("gone:{i}"), "v", Ttl::At(1));
    }
    let mut lonely = 0;
    for _ in 0..10_000 {
        let key = keyspace.random_key(0).expect("there are keys").key();
        assert!(!key.starts_with(b"gone"));
        lonely += u32::from(key.starts_with(b"key"));
    }
    assert!((850..1150).contains(&lonely), "{lonely} of 1000");
    assert!(keyspace.random_key(1).is_none());
}

#[test]
fn large_values_are_freed_elsewhere() {
    let mut keyspace = keyspace();
    let key = keyspace.key(b"k");
    keyspace.insert(0, &key, Value::Object(object_of(3)), Ttl::Clear);
    keyspace.insert(0, &key, Value::Object(object_of(3000)), Ttl::Clear);
    assert!(!keyspace.has_garbage(), "a block is freed at once");
    keyspace.insert(0, &key, Value::Str(&vec![0; 1 << 20]), Ttl::Clear);
    keyspace.remove(0, &key);
    keyspace.insert(0, &key, Value::Int(1), Ttl::Clear);
    keyspace.flush(0);
    let garbage = keyspace.take_garbage();
    assert!(matches!(garbage[..], [Garbage::Object(_), Garbage::String(_), Garbage::Db(_)]));
    assert!(!keyspace.has_garbage());
}
