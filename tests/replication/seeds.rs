//! Random tests: one number makes a run, and is printed when it fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Plays `test` with a seed and a number of rounds, those of the environment first.
pub(crate) fn play(name: &str, (seed, rounds): (u64, u64), test: impl FnOnce(u64, u64)) {
    let seed = number("SEED").unwrap_or(seed);
    let rounds = number("ROUNDS").unwrap_or(rounds);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed, rounds))) {
        eprintln!(
            "again: SEED={seed} ROUNDS={rounds} cargo test --test {} {name}",
            env!("CARGO_CRATE_NAME")
        );
        resume_unwind(panic);
    }
}
