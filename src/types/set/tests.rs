use std::collections::BTreeSet;

use super::*;

#[test]
fn encodings_change_at_stocks_thresholds() {
    let check = |members: &mut dyn Iterator<Item = String>, expected: &str| {
        let limits = Limits::default();
        let mut set = Set::new();
        members.for_each(|member| assert!(set.insert(member.as_bytes(), &limits)));
        assert_eq!(set.encoding(&limits), expected);
    };
    let texts = |count: usize, len: usize| (0..count).map(move |n| format!("{n:0>len$}x"));
    let numbers = |count: usize| (0..count).map(|n| n.to_string());
    check(&mut numbers(512), "intset");
    check(&mut numbers(513), "hashtable");
    check(&mut texts(128, 1), "listpack");
    check(&mut texts(129, 1), "hashtable");
    check(&mut texts(1, 63), "listpack");
    check(&mut texts(1, 64), "hashtable");
    check(&mut numbers(127).chain(texts(1, 1)), "listpack");
    check(&mut numbers(128).chain(texts(1, 1)), "hashtable");
    check(&mut numbers(3).chain(texts(1, 64)), "hashtable");
}

#[test]
fn a_new_set_is_chosen_by_its_first_member_and_what_is_to_come() {
    let limits = Limits::default();
    let check = |first: &str, count, expected| {
        let set = Set::for_members(first.as_bytes(), count, &limits);
        assert_eq!(set.encoding(&limits), expected, "{first} and {count} in all");
    };
    check("5", 512, "intset");
    check("5", 513, "hashtable");
    check("05", 128, "listpack");
    check("x", 129, "hashtable");
    let mut set = Set::new();
    set.insert(b"5", &limits);
    set.expect_more(512, &limits);
    assert_eq!(set.encoding(&limits), "intset");
    set.expect_more(513, &limits);
    assert_eq!(set.encoding(&limits), "hashtable");
}

#[test]
fn a_set_that_shrinks_keeps_its_encoding() {
    let limits = Limits::default();
    let mut set = Set::new();
    for number in 0..600 {
        set.insert(number.to_string().as_bytes(), &limits);
    }
    for number in 1..600 {
        assert!(set.remove(number.to_string().as_bytes()));
    }
    assert_eq!((set.len(), set.encoding(&limits)), (1, "hashtable"));
    let mut set = Set::new();
    set.insert(b"5", &limits);
    set.insert(b"word", &limits);
    set.remove(b"word");
    assert_eq!(set.encoding(&limits), "listpack");
}

#[test]
fn random_changes_agree_with_a_tree() {
    let limits = Limits {
        set_intset_entries_max: 20,
        set_entries_max: 12,
        set_value_bytes_max: 9,
        ..Limits::default()
    };
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..90 {
        let (mut set, mut model) = (Set::new(), BTreeSet::new());
        // Some rounds have integers only, some are short of new members.
        let (words, kinds) = (round % 3, [6, 30, 2000][round % 5 % 3]);
        for _ in 0..120 {
            let mut member = random.i32(-kinds..kinds).to_string();
            if words > 0 && random.u8(..10) < 3 {
                member.push_str(["x", "-long-word", "0"][random.usize(..3)]);
            }
            let member = member.as_bytes();
            if random.u8(..10) < 6 {
                assert_eq!(set.insert(member, &limits), model.insert(member.to_vec()));
            } else {
                assert_eq!(set.remove(member), model.remove(member));
            }
            assert_eq!(set.contains(member), model.contains(member));
            assert_eq!(set.len(), model.len());
            set.check_invariants(&limits);
            let all: BTreeSet<_> = set.iter().map(|one| one.to_bytes().into_owned()).collect();
            assert_eq!(all, model);
            assert!(set.iter().all(|one| set.contains_member(one)));
        }
        let mut scanned = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = set.scan(cursor, 3, |member| {
                scanned.insert(member.to_bytes().into_owned());
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(scanned, model);
    }
}
