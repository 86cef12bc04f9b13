//! Decoders on bytes that nobody meant, without anything installed: each target of `fuzz/` plays its seeds, the fixtures
//! that it reads, and mutations of both.
//!
//! `SEED=... ROUNDS=...` asks for other mutations and for more of them.

#![expect(clippy::unwrap_used, reason = "a test: what cannot fail may panic")]

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "by itself it is a library, which cargo fuzz uses")]
mod bodies;
mod mutate;
mod seeds;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bodies::{TARGETS, play};
use mutate::Mutator;

/// Mutations played to each target: all of them together take a few seconds.
const ROUNDS: u64 = 10_000;
/// Targets that do much with an input: they play a tenth.
const SLOW: [&str; 2] = ["config", "snapshot"];
/// Targets that run nodes: they play a hundredth.
const SLOWEST: [&str; 2] = ["calls", "commands"];
/// Where the first number of mutations comes from unless `SEED` says another.
const SEED: u64 = 20_261_125;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

/// The files of a target by name.
fn files(target: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder(target)).into_iter().flatten().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The number in an environment variable, or `usual`.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// Plays an input; shows it where something does not hold.
fn played(target: &str, what: &str, input: &[u8]) {
    let result = std::panic::catch_unwind(|| play(target, input));
    if let Err(panic) = result {
        eprintln!("{target}, {what}: b\"{}\"", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn check(target: &str) {
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for (name, bytes) in files(target) {
        played(target, &name, &bytes);
        inputs.push(bytes);
    }
    assert!(!inputs.is_empty(), "{target} has no seeds");
    for bytes in seeds::fixtures(target) {
        played(target, "a fixture", &bytes);
        inputs.push(bytes);
    }
    let seed = number("SEED", SEED);
    let mut mutator = Mutator::new(seed);
    let share = match target {
        _ if SLOWEST.contains(&target) => 100,
        _ if SLOW.contains(&target) => 10,
        _ => 1,
    };
    let usual = ROUNDS / share;
    for round in 0..number("ROUNDS", usual) {
        let input = mutator.mutate(&inputs);
        played(target, &format!("SEED={seed}, round {round}"), &input);
    }
}

/// One test per target, so that they share the time of the machine.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! { calls commands config dump inline log lzf manifest nodes_conf packed requests snapshot wire }

#[test]
fn every_target_is_played_and_can_be_run_by_cargo_fuzz() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.0).collect();
    assert_eq!(names, NAMES);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in NAMES {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no program");
        let text = std::fs::read_to_string(folder.join(format!("targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("play(\"{name}\", ")), "{name} plays another target");
    }
}

/// Files that begin with `found` were found by fuzzing; all others are made here. `UPDATE=1` makes them.
#[test]
fn seeds_are_what_their_generators_make() {
    for target in NAMES {
        let made: BTreeMap<String, Vec<u8>> = seeds::made(target).into_iter().collect();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(folder(target)).unwrap();
            for (name, bytes) in &made {
                std::fs::write(folder(target).join(name), bytes).unwrap();
            }
        }
        let mut kept = files(target);
        kept.retain(|name, _| !name.starts_with("found"));
        assert_eq!(made.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "{target}");
        for (name, bytes) in &made {
            assert!(bytes == &kept[name], "{target}/{name} is not what its generator makes");
        }
    }
}
