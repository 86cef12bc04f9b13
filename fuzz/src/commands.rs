//! Commands with arguments that nobody meant, through the gates of a node without sockets.
//!
//! Whatever comes: each request has one reply that is well formed (or its client waits), the keyspace keeps its invariants,
//! and who plays the log comes to the same data.

use highwater::clock::ManualClock;
use highwater::commands::table;
use highwater::config::Config;
use highwater::config::choices::ProtectedAction;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::replay::Replay;
use highwater::node::{Node, Status};
use highwater::resp::inline::{encode, split_words};
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;
use highwater::state::run::Run;

/// Requests of one input.
const REQUESTS_MAX: usize = 64;
/// The longest string that a command may make: `proto-max-bulk-len`.
const STRING_BYTES_MAX: u64 = 1 << 16;

/// What is there before: a value of each type and encoding.
const BEFORE: &str = "set s v\nset n 17\nrpush l a b 3\nsadd t a b c\nsadd i 1 2 3\nhset h f v g 5\nzadd z 1 a 2 b\n\
    xadd x 1-1 f v\nxadd x 2-1 f v\nxgroup create x g 0\nsetbit b 77 1\npfadd p a b\ngeoadd e 13.361389 38.115556 a";

/// Commands that end the process or read the machine's files.
const LEFT_OUT: [&str; 4] = ["debug", "shutdown", "config", "quit"];

/// Arguments for all commands, the hostile ones among them.
const WORDS: &[&str] = &[
    "s",
    "n",
    "l",
    "t",
    "i",
    "h",
    "z",
    "x",
    "b",
    "p",
    "e",
    "new",
    "",
    "*",
    "#",
    "a",
    "f",
    "g",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "10",
    "100",
    "-100",
    "0.5",
    "-0",
    "inf",
    "-inf",
    "nan",
    "1e308",
    "1e-320",
    "+",
    "-",
    "(1",
    "[a",
    "(",
    "[",
    "$",
    ">",
    "=",
    "~",
    "1-1",
    "0-0",
    "2-*",
    "18446744073709551615-18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "4294967295",
    "2147483648",
    "65535",
    "99999999999999999999",
    "u8",
    "i64",
    "u64",
    "#1",
    "h*->f",
    "[^",
    "\\",
    "m",
    "km",
    "left",
    "right",
    "before",
    "after",
    "1700000000000",
    "value of more than a few bytes",
];

/// One node and a client of it.
struct Bench {
    node: Node,
    client: ClientId,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        let mut clock = ManualClock::default();
        clock.advance_ms(1_700_000_000_000);
        let mut node = node(clock);
        node.state.stream.recording = true;
        let client = connect(&mut node, clock);
        Self { node, client, clock }
    }

    fn run(&mut self, words: &[Vec<u8>]) {
        let bytes = encode(words);
        let requests = parsed(&bytes);
        let mut out = Vec::new();
        let batch = (&requests, &bytes[..]);
        let outcome = self.node.execute(self.client, batch, 0, &mut out, &mut self.clock);
        if outcome.status != Status::Go {
            // It waits, or is to be closed: another one goes on.
            self.node.disconnect(self.client);
            self.client = connect(&mut self.node, self.clock);
        } else if let Err(why) = well_formed(&out) {
            panic!("{why} in {}", out.escape_ascii());
        }
    }
}

fn node(clock: ManualClock) -> Node {
    let mut config = Config::default();
    config.values_mut().enable_debug_command = ProtectedAction::Yes;
    config.values_mut().proto_max_bulk_len = STRING_BYTES_MAX;
    let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
    Node::new(config, Keyspace::new(4, HashKey::from_seed(1), 1), run, clock.0)
}

fn connect(node: &mut Node, clock: ManualClock) -> ClientId {
    let peer = Peer { loopback: true, ..Peer::default() };
    node.connect(peer, clock.0).expect("there is room")
}

fn parsed(bytes: &[u8]) -> Requests {
    let mut requests = Requests::default();
    let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
    RequestParser::default().parse(bytes, limits, &mut requests).expect("well formed");
    requests
}

/// Whether `out` is a sequence of whole replies.
fn well_formed(out: &[u8]) -> Result<(), &'static str> {
    let mut rest = out;
    let mut expected = 0_usize;
    while expected > 0 || !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or("a line without end")?;
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        let number =
            || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse::<i64>().ok());
        expected = expected.saturating_sub(1);
        rest = behind;
        match line.first() {
            Some(b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') => {}
            Some(b'$' | b'=') => {
                if let Ok(length) = usize::try_from(number().ok_or("a length that is none")?) {
                    let text = rest.get(..length + 2).ok_or("a string without end")?;
                    if !text.ends_with(b"\r\n") {
                        return Err("a string longer than it says");
                    }
                    rest = &rest[length + 2..];
                }
            }
            Some(kind @ (b'*' | b'~' | b'>' | b'%' | b'|')) => {
                let count = usize::try_from(number().ok_or("a count that is none")?).unwrap_or(0);
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                expected += count * each;
            }
            _ => return Err("a reply of no kind"),
        }
    }
    Ok(())
}

fn play(requests: impl Iterator<Item = Vec<Vec<u8>>>) {
    let mut bench = Bench::new();
    let before = BEFORE.lines().filter_map(|line| split_words(line.as_bytes()));
    for words in before.chain(requests.take(REQUESTS_MAX)) {
        let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        if name.is_empty() || LEFT_OUT.iter().any(|left_out| name == left_out.as_bytes()) {
            continue;
        }
        bench.run(&words);
    }
    bench.node.state.keyspace.check_invariants();
    // In a node that follows another one, or that no longer writes a log, the log is not all there is.
    if bench.node.state.replication.primary.is_none() {
        compare_with_log(&mut bench);
    }
}

fn compare_with_log(bench: &mut Bench) {
    let log = std::mem::take(&mut bench.node.state.stream.pending);
    let mut replay = Replay::new(node(bench.clock), bench.clock.0);
    let requests = parsed(&log);
    let mut db = 0;
    for index in 0..requests.len() {
        let args = requests.get(index, &log);
        let entry = replay.resolve(args).unwrap_or_else(|error| panic!("{error:?} in the log"));
        if args[0].eq_ignore_ascii_case(b"select") {
            db = std::str::from_utf8(&args[1])
                .ok()
                .and_then(|db| db.parse().ok())
                .expect("a database");
        }
        replay.play(db, entry, args);
    }
    let mut other = replay.finish();
    other.state.keyspace.check_invariants();
    let (clock, own) = (bench.clock, digest(&mut bench.node, bench.clock));
    assert_eq!(
        own,
        digest(&mut other, clock),
        "the log leads to other data: {}",
        log.escape_ascii()
    );
}

fn digest(node: &mut Node, mut clock: ManualClock) -> String {
    let client = connect(node, clock);
    let bytes = encode(&[b"DEBUG".as_slice(), b"DIGEST"]);
    let mut out = Vec::new();
    node.execute(client, (&parsed(&bytes), &bytes), 0, &mut out, &mut clock);
    String::from_utf8_lossy(&out).into_owned()
}

/// Lines of words, as people type them.
pub fn check_lines(input: &[u8]) {
    play(input.split(|&byte| byte == b'\n').filter_map(split_words));
}

/// Each request is a byte for the command, one for the number of arguments, and one for each of these: a word that all
/// commands may get, or one of the command's own.
pub fn check_calls(input: &[u8]) {
    /// Arguments of one request.
    const ARGUMENTS_MAX: usize = 12;
    let entries = table().entries();
    let mut bytes = input.iter().copied().map(usize::from);
    play(std::iter::from_fn(move || {
        let (entry, count) = (&entries[bytes.next()? % entries.len()], bytes.next()?);
        let name = entry.full_name.split('|').map(|word| word.as_bytes().to_vec());
        let mut words: Vec<Vec<u8>> = name.collect();
        let subcommand = (!entry.subcommands.is_empty())
            .then(|| &entry.subcommands[count % entry.subcommands.len()]);
        let command = subcommand.map_or(entry.command, |subcommand| {
            words.push(subcommand.command.name.as_bytes().to_vec());
            subcommand.command
        });
        let separators =
            |letter: char| !letter.is_ascii_uppercase() && !"0123456789-".contains(letter);
        let own: Vec<&str> =
            command.syntax.split(separators).filter(|word| word.len() > 1).collect();
        for _ in 0..count % ARGUMENTS_MAX {
            let byte = bytes.next()?;
            let word = match byte.checked_sub(160) {
                Some(index) if !own.is_empty() => own[index % own.len()],
                _ => WORDS[byte % WORDS.len()],
            };
            words.push(word.as_bytes().to_vec());
        }
        Some(words)
    }));
}
