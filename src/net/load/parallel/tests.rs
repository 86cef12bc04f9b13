use super::*;
use crate::clock::Time;
use crate::config::Config;
use crate::keyspace::{Entry, HashKey, Keyspace, ValueRef};
use crate::node::Node;
use crate::resp::inline::encode;
use crate::state::run::Run;

const DATABASES: u32 = 3;

fn new_replay() -> Replay {
    let time = Time { unix_us: 1_700_000_000_000_000, mono_us: 5 };
    let keyspace = Keyspace::new(DATABASES, HashKey::from_seed(1), 2);
    Replay::new(Node::new(Config::default(), keyspace, Run::default(), time), time)
}

/// Key, value and expiry.
type Stored = (Vec<u8>, Vec<u8>, Option<u64>);

/// What is compared: everything of the keyspace, and what was counted.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: Result<(), String>,
    /// Of each database, sorted.
    entries: Vec<Vec<Stored>>,
    dirty: u64,
    failed: (u64, Option<String>),
    commands: u64,
    positions: Vec<u64>,
}

fn play(log: &[u8], workers: usize, alone_min: u64) -> Outcome {
    let mut replay = new_replay();
    let mut positions = Vec::new();
    let plan = Plan { workers, alone_min };
    let result = plan.play(&mut replay, log, 0, |position| positions.push(position));
    let (count, error) = &replay.failed;
    let failed = (*count, error.as_ref().map(|error| error.text().to_string()));
    let commands = replay.commands;
    let keyspace = &replay.node().state.keyspace;
    keyspace.check_invariants();
    let one = |entry: &Entry| {
        let value = match entry.value() {
            ValueRef::Object(object) => format!("{object:?}").into_bytes(),
            string => string.to_string_bytes().unwrap_or_default().to_vec(),
        };
        (entry.key().to_vec(), value, entry.expiry_ms())
    };
    let mut entries: Vec<Vec<_>> =
        (0..DATABASES).map(|db| keyspace.entries(db).map(one).collect()).collect();
    entries.iter_mut().for_each(|entries| entries.sort());
    Outcome { result, entries, dirty: keyspace.dirty, failed, commands, positions }
}

/// A log of random commands, with barriers every now and then.
fn random_log(rng: &mut fastrand::Rng, commands: usize) -> Vec<u8> {
    let mut log = Vec::new();
    let mut in_unit = false;
    for _ in 0..commands {
        let (a, b) = (rng.u8(..60), rng.u8(..60));
        let number = rng.u32(..);
        let past_last = u32::from(rng.u8(..20) == 0);
        let db = rng.u32(..DATABASES + past_last);
        let words = match rng.u8(..110) {
            0..30 => format!("SET key:{a} {number}"),
            30..35 => format!("set key:{a} x{number} PXAT 17{:011}", rng.u64(..99_999_999_999)),
            35..40 => format!("SET key:{a} x{number} KEEPTTL"),
            40..50 => format!("APPEND key:{a} {}", rng.u8(..)),
            50..56 => format!("INCR key:{a}"),
            56..64 => format!("DEL key:{a}"),
            64..68 => format!("DEL {{tag}}{a} {{tag}}{b}"),
            68..72 => format!("MSET {{tag}}{a} 1 {{tag}}{b} {number}"),
            72..74 => format!("MSET key:{a} 1 key:{b} {number}"),
            74..76 => format!("RENAME key:{a} key:{b}"),
            76..78 => format!("COPY key:{a} key:{b} DB {db} REPLACE"),
            78..82 => format!("COPY key:{a} {{key:{a}}}{b} REPLACE"),
            82..86 => format!("MOVE key:{a} {db}"),
            86..92 => format!("PEXPIREAT key:{a} 17{:011}", rng.u64(..99_999_999_999)),
            92..94 => format!("PERSIST key:{a}"),
            94..100 => format!("SELECT {db}"),
            100 if rng.u8(..8) == 0 => "FLUSHALL".to_owned(),
            101 if rng.u8(..8) == 0 => "FLUSHDB".to_owned(),
            102 if rng.u8(..4) == 0 => format!("SWAPDB 0 {db}"),
            103..106 if !in_unit => {
                in_unit = true;
                "MULTI".to_owned()
            }
            106.. if in_unit => {
                in_unit = false;
                "EXEC".to_owned()
            }
            _ => format!("SETBIT key:{a} {b} 1"),
        };
        log.extend(encode(&words.split(' ').collect::<Vec<_>>()));
    }
    if in_unit {
        log.extend(encode(&["EXEC"]));
    }
    log
}

#[test]
fn workers_load_what_one_thread_loads() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let commands = [50, 700, 2000][rng.usize(..3)];
        let log = random_log(&mut rng, commands);
        let expected = play(&log, 1, 0);
        assert_eq!(expected.result, Ok(()));
        assert!(expected.failed.0 > 0 || commands < 700, "some commands fail");
        for workers in 2..=5 {
            let alone_min = [1, 7, 40, 300][rng.usize(..4)];
            assert_eq!(play(&log, workers, alone_min), expected, "seed {seed}, {workers} workers");
        }
    }
}

#[test]
fn the_first_error_of_the_file_is_told() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (broken, expected) in [
        (&b"*1\r\n$5\r\nBLURB\r\n"[..], "Unknown command 'BLURB' reading the append only file"),
        (b"*1\r\n$3\r\nSET\r\n", "wrong number of arguments"),
        (b"*x\r\n", "malformed"),
    ] {
        let mut log = random_log(&mut rng, 3000);
        let position = log.len();
        log.extend(broken);
        log.extend(random_log(&mut rng, 1000));
        log.extend(b"*1\r\n$7\r\nANOTHER\r\n");
        for workers in [1, 2, 4] {
            let error = play(&log, workers, 5).result.unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains(&format!("at byte {position}")), "{error}");
        }
    }
}

#[test]
fn commands_go_to_the_part_of_their_keys() {
    let check = |words: &str, expected: &dyn Fn(usize) -> Route| {
        let log = encode(&words.split(' ').collect::<Vec<_>>());
        let mut reader = Reader::new(&log, 0);
        let replay = new_replay();
        let command = reader.next(&replay).unwrap().unwrap();
        for parts in 2..8 {
            assert_eq!(part_for(&command, parts), expected(parts), "{words}");
        }
    };
    let part =
        |key: &'static str| move |parts| Route::Part(part_of(Slot::of(key.as_bytes()), parts));
    check("set foo 1", &part("foo"));
    check("DEL {foo}1 {foo}2", &part("foo"));
    check("COPY foo {foo}1 DB 2", &part("foo"));
    // Slots 12182 and 5061: apart in any number of parts.
    check("MSET foo 1 bar 2", &|_| Route::Barrier);
    check("FLUSHALL", &|_| Route::Barrier);
    check("SWAPDB 0 1", &|_| Route::Barrier);
    check("PING", &|_| Route::Barrier);
    check("Select 1", &|_| Route::Reader);
    check("MULTI", &|_| Route::Reader);
}
