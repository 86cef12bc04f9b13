//! One number makes a world, and is printed when something is wrong with it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Plays `scenario` with `count` seeds from 1 on; with those that the environment asks for instead, if it does: `SEED` is
/// one, `SEEDS` are so many from `FIRST` on.
pub(crate) fn play(name: &str, count: u64, scenario: impl Fn(u64)) {
    let first = number("SEED").or(number("FIRST")).unwrap_or(1);
    let count = match number("SEED") {
        Some(_) => 1,
        None => number("SEEDS").unwrap_or(count),
    };
    for seed in first..first + count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!("again: SEED={seed} cargo test --test sim {name}");
            resume_unwind(panic);
        }
    }
}
