//! What is heard of random requests of the collections' families, whose replies are compared elsewhere. Sorted sets have a test of
//! their own.

use crate::notices::Listeners;
use crate::peer::Request;
use crate::random::with_seed;
use crate::{geo, hashes, hyperloglogs, lists, sets, sort};

/// Requests of each family.
const REQUESTS: usize = 20_000;

/// Requests sent before what was heard is compared.
const BATCH: usize = 50;

fn compare(name: &str, fixed: u64, events: &str, request: impl Fn(&mut fastrand::Rng) -> Request) {
    with_seed(name, fixed, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut listeners = Listeners::start(events);
        for _ in 0..REQUESTS / BATCH {
            // What is taken at random is not the same on both sides.
            let requests = std::iter::repeat_with(|| request(&mut random))
                .filter(|request| !request[0].eq_ignore_ascii_case(b"SPOP"));
            listeners.hear(&requests.take(BATCH).collect::<Vec<_>>());
        }
    });
}

#[test]
fn of_lists() {
    compare("of_lists", 41, "KEAmn", lists::request);
}

#[test]
fn of_hashes() {
    compare("of_hashes", 42, "KEAmn", hashes::request);
}

#[test]
fn of_sets() {
    compare("of_sets", 43, "KEAmn", sets::request);
}

#[test]
fn of_hyperloglogs() {
    compare("of_hyperloglogs", 44, "KEAmn", hyperloglogs::request);
}

#[test]
fn of_places() {
    compare("of_places", 45, "KEAmn", geo::request);
}

#[test]
fn of_what_is_sorted() {
    // In which order keys are missed is that in which a set shows its members.
    compare("of_what_is_sorted", 46, "KEAn", sort::request);
}
