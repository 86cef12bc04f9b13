use std::collections::BTreeSet;

use super::*;

type Model = BTreeSet<Vec<u8>>;

fn limits() -> Limits {
    Limits { set_intset_entries_max: 24, set_entries_max: 16, ..Limits::default() }
}

/// A set of any encoding, also one that has shrunk.
fn random_set(random: &mut fastrand::Rng, limits: &Limits) -> Set {
    let mut set = Set::new();
    let words = random.bool();
    let span = [5, 30, 100, 400][random.usize(..4)];
    for _ in 0..random.usize(..span as usize * 3 / 2) {
        let number = random.u32(..span);
        let word = if words && number.is_multiple_of(3) { "w" } else { "" };
        set.insert(format!("{word}{number}").as_bytes(), limits);
    }
    for _ in 0..random.usize(..60) {
        set.remove(random.u32(..span).to_string().as_bytes());
    }
    set
}

fn all(set: &Set) -> Model {
    set.iter().map(|member| member.to_bytes().into_owned()).collect()
}

/// What `walk` hands out, each once.
fn collected(walk: impl FnOnce(&mut dyn FnMut(Member<'_>))) -> Model {
    let mut model = Model::new();
    walk(&mut |member| assert!(model.insert(member.to_bytes().into_owned()), "{member:?} twice"));
    model
}

fn check(result: &Set, expected: &Model, limits: &Limits) {
    result.check_invariants(limits);
    assert_eq!(all(result), *expected);
}

#[test]
fn results_are_those_of_trees() {
    let mut random = fastrand::Rng::with_seed(12);
    let listpacks = |members| Limits { set_entries_max: members, ..limits() };
    // Small ones are searched, others read into tables, of which the largest do not lie on the stack.
    let all_limits = [listpacks(16), listpacks(100), listpacks(300)];
    for round in 0..1500 {
        let limits = &all_limits[round % all_limits.len()];
        let pool: Vec<Set> = (0..3).map(|_| random_set(&mut random, limits)).collect();
        // Sets may be named twice.
        let mut sets: Vec<&Set> =
            (0..random.usize(1..6)).map(|_| &pool[random.usize(..pool.len())]).collect();
        let models: Vec<Model> = sets.iter().map(|set| all(set)).collect();
        let (first, rest) = models.split_first().unwrap();

        let expected: Model = models.iter().flatten().cloned().collect();
        assert_eq!(collected(|found| union(&sets, found)), expected);
        check(&union_set(&sets, limits), &expected, limits);

        let left = |member: &&Vec<u8>| !rest.iter().any(|model| model.contains(*member));
        let expected: Model = first.iter().filter(left).cloned().collect();
        let mut others = sets[1..].to_vec();
        assert_eq!(collected(|found| difference(sets[0], &mut others, found)), expected);
        check(&difference_set(sets[0], &mut others, limits), &expected, limits);

        let common = |member: &&Vec<u8>| rest.iter().all(|model| model.contains(*member));
        let expected: Model = first.iter().filter(common).cloned().collect();
        let found = collected(|found| {
            intersection(&mut sets, |member| {
                found(member);
                true
            });
        });
        assert_eq!(found, expected);
        check(&intersection_set(&mut sets, limits), &expected, limits);
    }
}

#[test]
fn an_intersection_ends_where_it_is_told_to() {
    let mut set = Set::new();
    (0..10).for_each(|number| assert!(set.insert(number.to_string().as_bytes(), &limits())));
    let mut seen = 0;
    intersection(&mut [&set, &set], |_| {
        seen += 1;
        seen < 3
    });
    assert_eq!(seen, 3);
}

#[test]
fn results_get_the_encoding_they_have_in_stock() {
    let limits = Limits::default();
    let made = |range: std::ops::Range<u32>, word: &str| {
        let mut set = Set::new();
        for number in range {
            set.insert(number.to_string().as_bytes(), &limits);
        }
        if !word.is_empty() {
            set.insert(word.as_bytes(), &limits);
        }
        set
    };
    let check = |set: &Set, expected| assert_eq!(set.encoding(&limits), expected);
    let (large, integers, mixed) = (made(0..600, ""), made(0..300, ""), made(0..100, "word"));
    check(&intersection_set(&mut [&large, &integers], &limits), "intset");
    check(&intersection_set(&mut [&large, &mixed], &limits), "intset");
    check(&intersection_set(&mut [&mixed, &mixed], &limits), "listpack");
    check(&intersection_set(&mut [&large, &large], &limits), "hashtable");
    check(&union_set(&[&integers, &made(200..512, "")], &limits), "intset");
    check(&union_set(&[&mixed], &limits), "listpack");
    check(&union_set(&[&integers, &mixed], &limits), "hashtable");
    check(&difference_set(&large, &mut [&integers], &limits), "intset");
    // Here members are taken out of a copy, which stays what it was.
    let few = made(0..100, "");
    check(&difference_set(&large, &mut [&few, &few, &few], &limits), "hashtable");
}
