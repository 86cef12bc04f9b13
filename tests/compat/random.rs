//! Random requests to both sides, from a seed that is printed when something differs.

use std::collections::VecDeque;

use crate::ours::{Ours, split};
use crate::peer::{Request, Stock, shown, shown_bytes, words};

/// Requests sent to the stock server at once.
const BATCH: usize = 200;

/// Requests shown when a reply differs.
const HISTORY: usize = 12;

/// Both sides.
pub(crate) struct Pair {
    pub(crate) stock: Stock,
    pub(crate) ours: Ours,
}

impl Pair {
    /// A stock server and a node with default settings; `None`, with a notice, where there is no stock server.
    pub(crate) fn start() -> Pair {
        let stock = Stock::start(&[]);
        let ours = Ours::start(|config| {
            config.values_mut().enable_debug_command =
                highwater::config::choices::ProtectedAction::Yes;
        });
        Pair { stock, ours }
    }

    /// As [`Pair::start`], and the stock server keeps a log too.
    pub(crate) fn start_with_log() -> Pair {
        let stock = Stock::start(&["--appendonly", "yes"]);
        let ours = Ours::start(|_| {});
        Pair { stock, ours }
    }

    /// Puts a list of one element at `key` on both sides, whatever it held.
    pub(crate) fn put_list(&mut self, key: &str) {
        let requests = [words(&format!("DEL {key}")), words(&format!("RPUSH {key} x"))];
        self.stock.run(&requests);
        self.ours.run(&requests);
    }

    /// The log of the stock server.
    pub(crate) fn stock_log(&self) -> Vec<Request> {
        let path = self.stock.folder.path().join("appendonlydir/appendonly.aof.1.incr.aof");
        split(&std::fs::read(path).expect("it was started with a log"))
    }

    /// Switches both clients to RESP3, or back.
    pub(crate) fn set_resp3(&mut self, resp3: bool) {
        self.stock.run(&[words(if resp3 { "HELLO 3" } else { "HELLO 2" })]);
        self.ours.set_resp3(resp3);
    }

    /// Sends each line to both and compares the replies.
    pub(crate) fn check(&mut self, lines: &str) {
        self.check_as(lines, &|_, _, reply| reply);
    }

    /// As [`Pair::check`], where the stock server's replies are changed as by [`Pair::play`].
    pub(crate) fn check_as(&mut self, lines: &str, normalise: &Normalise<'_>) {
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let requests: Vec<Request> = lines.map(words).collect();
        self.compare(&requests, &mut VecDeque::new(), normalise);
    }

    /// The integers that both sides answer to `line`.
    pub(crate) fn numbers(&mut self, line: &str) -> (i64, i64) {
        let number = |replies: Vec<Vec<u8>>| {
            let text = std::str::from_utf8(&replies[0]).expect("a number").trim_end();
            text.strip_prefix(':').and_then(|text| text.parse().ok()).expect("a number")
        };
        let request = [words(line)];
        (number(self.stock.run(&request)), number(self.ours.run(&request)))
    }

    /// Sends `count` random requests to both and compares the replies. `normalise` may change a reply of the stock server
    /// into that of 7.2; it says which difference it knows.
    pub(crate) fn play(
        &mut self,
        seed: u64,
        count: usize,
        mut request: impl FnMut(&mut fastrand::Rng) -> Request,
        normalise: &Normalise<'_>,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut history = VecDeque::new();
        for _ in 0..count.div_ceil(BATCH) {
            let requests: Vec<Request> =
                std::iter::repeat_with(|| request(&mut random)).take(BATCH).collect();
            self.compare(&requests, &mut history, normalise);
        }
    }

    fn compare(
        &mut self,
        requests: &[Request],
        history: &mut VecDeque<String>,
        normalise: &Normalise<'_>,
    ) {
        let expected = self.stock.run(requests);
        let found = self.ours.run(requests);
        for ((request, expected), found) in requests.iter().zip(expected).zip(found) {
            let expected = normalise(&mut self.stock, request, expected);
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(format!("{} -> {}", shown(request), shown_bytes(&expected)));
            assert!(
                expected == found,
                "{}\nstock: {}\nours:  {}\nafter:\n{}",
                shown(request),
                shown_bytes(&expected),
                shown_bytes(&found),
                history.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
            );
        }
    }
}

/// Changes a reply of the stock server, which it may ask again, into that of our reference.
pub(crate) type Normalise<'a> = dyn Fn(&mut Stock, &Request, Vec<u8>) -> Vec<u8> + 'a;

/// Runs `scenario` with the seed in `SEED`, or else with `fixed`, and says how to run it again when it fails.
pub(crate) fn with_seed(name: &str, fixed: u64, scenario: impl FnOnce(u64)) {
    let seed = std::env::var("SEED").map_or(fixed, |seed| seed.parse().expect("a number in SEED"));
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(seed)));
    if let Err(panic) = played {
        eprintln!("again: SEED={seed} cargo test --test compat {name}");
        std::panic::resume_unwind(panic);
    }
}

/// One of `choices`.
pub(crate) fn pick<'a, T: ?Sized>(random: &mut fastrand::Rng, choices: &[&'a T]) -> &'a T {
    choices[random.usize(..choices.len())]
}
