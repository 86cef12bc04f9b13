//! Sorted sets beside a naive model.

use std::collections::BTreeMap;

use super::*;

/// Members with their scores.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> =
            self.0.iter().map(|(member, score)| (member.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
        all
    }
}

fn walked(zset: &Zset, ranks: Range<usize>, reverse: bool) -> Vec<(Vec<u8>, f64)> {
    let elements = zset.range(ranks, reverse);
    elements.map(|(member, score)| (member.to_bytes().into_owned(), score)).collect()
}

fn check(zset: &Zset, model: &Model) {
    zset.check_invariants();
    let sorted = model.sorted();
    assert_eq!(zset.len(), sorted.len());
    assert_eq!(walked(zset, 0..sorted.len(), false), sorted);
    let backwards: Vec<_> = sorted.iter().rev().cloned().collect();
    assert_eq!(walked(zset, 0..sorted.len(), true), backwards);
}

fn limits(entries_max: u64) -> Limits {
    Limits { zset_entries_max: entries_max, ..Limits::default() }
}

/// What the members and scores of a round are like.
struct Kind {
    members: u32,
    scores: i32,
    long: bool,
    entries_max: u64,
}

fn member(rng: &mut fastrand::Rng, kind: &Kind) -> Vec<u8> {
    let number = rng.u32(..kind.members);
    match number % 7 {
        0 => number.to_string().into_bytes(),
        1 if kind.long => {
            let width = 100 + number as usize % 400;
            format!("{number:0>width$}").into_bytes()
        }
        2 => format!("a long common beginning of members:{number}").into_bytes(),
        _ => format!("m{number}").into_bytes(),
    }
}

fn score(rng: &mut fastrand::Rng, kind: &Kind) -> f64 {
    match rng.u8(..20) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        _ => f64::from(rng.i32(-kind.scores..=kind.scores)) / 4.0,
    }
}

fn bound(rng: &mut fastrand::Rng, kind: &Kind) -> ScoreBound {
    ScoreBound { score: score(rng, kind), exclusive: rng.bool() }
}

fn play(seed: u64, kind: &Kind, steps: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut zset, mut model, limits) = (Zset::new(), Model::default(), limits(kind.entries_max));
    let mut clones: Vec<(Zset, Model)> = Vec::new();
    // Long times of growth and of shrinking.
    let mut growing = true;
    for step in 0..steps {
        if rng.u16(..400) == 0 {
            growing = !growing;
        }
        match rng.u8(..100) {
            0..=69 if growing => {
                let (member, score) = (member(&mut rng, kind), score(&mut rng, kind));
                let old = model.0.insert(member.clone(), score);
                assert_eq!(zset.insert(&member, score, &limits), old);
            }
            0..=89 => {
                let member = member(&mut rng, kind);
                assert_eq!(zset.remove(&member), model.0.remove(&member));
            }
            90..=92 => {
                let len = zset.len();
                let start = rng.usize(..=len);
                let end = (start + rng.usize(..=len / 4)).min(len);
                for (member, _) in &model.sorted()[start..end] {
                    model.0.remove(member);
                }
                zset.remove_range(start..end);
            }
            93..=95 => {
                let member = member(&mut rng, kind);
                let sorted = model.sorted();
                let rank = sorted.iter().position(|(other, _)| *other == member);
                assert_eq!(zset.rank(&member), rank.map(|rank| (rank, sorted[rank].1)));
            }
            96..=97 => {
                let range = ScoreRange { min: bound(&mut rng, kind), max: bound(&mut rng, kind) };
                let inside = |score: f64| {
                    let min = range.min;
                    let max = range.max;
                    (if min.exclusive { score > min.score } else { score >= min.score })
                        && (if max.exclusive { score < max.score } else { score <= max.score })
                };
                let expected: Vec<_> =
                    model.sorted().into_iter().filter(|(_, score)| inside(*score)).collect();
                let ranks = zset.score_range(&range);
                assert_eq!(walked(&zset, ranks, false), expected);
            }
            98 if clones.len() < 3 => clones.push((zset.clone(), Model(model.0.clone()))),
            98 => {
                let (clone, then) = clones.swap_remove(rng.usize(..clones.len()));
                check(&clone, &then);
            }
            _ => {
                let mut seen = BTreeMap::new();
                let mut cursor = 0;
                loop {
                    cursor = zset.scan(cursor, 1 + rng.usize(..30), |member, score| {
                        seen.insert(member.to_vec(), score);
                    });
                    if cursor == 0 {
                        break;
                    }
                }
                assert_eq!(seen, model.0);
            }
        }
        if step % 16 == 0 || zset.len() < 40 {
            check(&zset, &model);
        }
    }
}

#[test]
fn random_operations_agree_with_a_model() {
    let kinds = [
        Kind { members: 20, scores: 5, long: false, entries_max: 8 },
        Kind { members: 400, scores: 10, long: true, entries_max: 128 },
        Kind { members: 3000, scores: 2000, long: false, entries_max: 0 },
        Kind { members: 3000, scores: 0, long: true, entries_max: 16 },
    ];
    for (seed, kind) in (1..).zip(&kinds) {
        play(seed, kind, 4000);
    }
}

#[test]
fn order_of_arrival_does_not_matter() {
    for order in 0..4 {
        let mut zset = Zset::new();
        let mut model = Model::default();
        let count = 20_000u32;
        for number in 0..count {
            let number = match order {
                0 => number,
                1 => count - number,
                2 => number.wrapping_mul(7919) % count,
                // Up, and from there down.
                _ if number % 2 == 0 => number,
                _ => 2 * count - number,
            };
            let member = format!("member:{number}").into_bytes();
            zset.insert(&member, f64::from(number), &limits(0));
            model.0.insert(member, f64::from(number));
        }
        check(&zset, &model);
        zset.remove_range(100..zset.len() - 100);
        assert_eq!(zset.len(), 200);
        zset.check_invariants();
        zset.remove_range(0..200);
        assert!(zset.is_empty());
    }
}

#[test]
fn members_of_a_scan_survive_growth() {
    let mut zset = Zset::new();
    for number in 0..1000u32 {
        zset.insert(format!("stays:{number}").as_bytes(), 1.0, &limits(0));
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut next) = (0, 0u32);
    loop {
        cursor = zset.scan(cursor, 10, |member, _| {
            seen.insert(member.to_vec());
        });
        for _ in 0..100 {
            next += 1;
            zset.insert(format!("new:{next}").as_bytes(), f64::from(next % 7), &limits(0));
        }
        // What changes its score moves to another place.
        zset.insert(format!("stays:{}", next % 1000).as_bytes(), f64::from(next), &limits(0));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.iter().filter(|member| member.starts_with(b"stays:")).count(), 1000);
}

#[test]
fn encodings_change_at_stocks_thresholds() {
    let check = |count: usize, len: usize, expected: &str| {
        let (mut zset, limits) = (Zset::new(), Limits::default());
        for number in 0..count {
            zset.insert(format!("{number:0>len$}").as_bytes(), 1.5, &limits);
        }
        assert_eq!(zset.encoding(), expected);
    };
    check(128, 5, "listpack");
    check(129, 5, "skiplist");
    check(1, 64, "listpack");
    check(1, 65, "skiplist");
}

#[test]
fn minus_zero_is_kept_by_large_sets_only() {
    let mut zset = Zset::new();
    zset.insert(b"m", -0.0, &limits(8));
    assert!(zset.score(b"m").unwrap().is_sign_positive());
    let mut zset = Zset::new();
    zset.insert(b"m", -0.0, &limits(0));
    assert_eq!(zset.insert(b"m", 0.0, &limits(0)), Some(0.0));
    assert!(zset.score(b"m").unwrap().is_sign_negative(), "the same number is no change");
}
