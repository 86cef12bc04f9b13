//! Clients that change a primary until told to stop, wherever it has gone meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::peer::{Client, Request, encode, words};

/// Clients.
const CLIENTS: u64 = 2;

/// Databases that they change, and one that is never emptied, where each counts its batches.
const DATABASES: u32 = 4;
const COUNTERS: u32 = 15;

/// Keys of a database: few, so that most exist.
const KEYS: u32 = 60;

/// A running load.
pub(crate) struct Load {
    port: Arc<AtomicU16>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<u64>>,
}

/// What came of a load: the last count that each client was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged(pub(crate) Vec<u64>);

impl Load {
    pub(crate) fn start(port: u16, random: &mut fastrand::Rng) -> Load {
        let (port, stop) = (Arc::new(AtomicU16::new(port)), Arc::new(AtomicBool::new(false)));
        let workers = (0..CLIENTS)
            .map(|number| {
                let (port, stop, random) = (Arc::clone(&port), Arc::clone(&stop), random.fork());
                std::thread::spawn(move || work(number, &port, &stop, random))
            })
            .collect();
        Load { port, stop, workers }
    }

    /// The primary listens elsewhere now.
    pub(crate) fn retarget(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
    }

    pub(crate) fn stop(self) -> Acknowledged {
        self.stop.store(true, Ordering::SeqCst);
        let count = |worker: JoinHandle<u64>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Acknowledged(self.workers.into_iter().map(count).collect())
    }
}

/// What a primary says of the counts.
pub(crate) fn counted(client: &mut Client) -> Acknowledged {
    let mut requests = vec![words(&format!("SELECT {COUNTERS}"))];
    requests.extend((0..CLIENTS).map(|number| words(&format!("INCRBY counter:{number} 0"))));
    let replies = client.run(&requests);
    Acknowledged(replies[1..].iter().map(|reply| number(reply).expect("a count")).collect())
}

fn number(reply: &[u8]) -> Option<u64> {
    std::str::from_utf8(reply.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
}

/// Sends batch after batch. Returns the last count that it was told.
fn work(number: u64, port: &AtomicU16, stop: &AtomicBool, mut random: fastrand::Rng) -> u64 {
    let mut last = 0;
    // On a busy machine a round may be over before the first batch is: one is wanted in any case.
    while last == 0 || !stop.load(Ordering::SeqCst) {
        let Ok(mut client) = Client::connect(port.load(Ordering::SeqCst)) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        while last == 0 || !stop.load(Ordering::SeqCst) {
            match batch(&mut client, number, &mut random) {
                Some(count) => last = count,
                None => break,
            }
        }
    }
    last
}

/// A few changes of one database, counted. Nothing: the server is gone, or has just begun to load.
fn batch(client: &mut Client, number: u64, random: &mut fastrand::Rng) -> Option<u64> {
    let mut requests = vec![words(&format!("SELECT {}", random.u32(..DATABASES)))];
    for _ in 0..random.usize(1..20) {
        if random.u32(..8) == 0 {
            requests.push(words("MULTI"));
            requests.extend((0..random.usize(..4)).map(|_| change(random)));
            requests.push(words("EXEC"));
        } else {
            requests.push(change(random));
        }
    }
    requests.push(words(&format!("SELECT {COUNTERS}")));
    requests.push(words(&format!("INCR counter:{number}")));
    let bytes: Vec<u8> = requests.iter().flat_map(encode).collect();
    client.send(&bytes).ok()?;
    let mut last = Vec::new();
    for request in &requests {
        last = client.reply().ok()?;
        if last.starts_with(b"-LOADING") {
            return None;
        }
        let refused = last[0] == b'-' && last != b"-ERR no such key\r\n";
        assert!(!refused, "{}: {}", crate::peer::shown(request), last.escape_ascii());
    }
    self::number(&last)
}

/// A random change.
fn change(random: &mut fastrand::Rng) -> Request {
    let key = |random: &mut fastrand::Rng| format!("key:{}", random.u32(..KEYS));
    let name = key(random);
    let text = match random.u32(..1000) {
        0 => "FLUSHDB".to_owned(),
        1..50 => format!("DEL {name} {}", key(random)),
        50..100 => format!("UNLINK {name}"),
        100..150 => format!("RENAME {name} {}", key(random)),
        150..200 => {
            // Under a name of its own: a copy of a key to itself is refused.
            format!("COPY {name} copy:{name} DB {} REPLACE", random.u32(..DATABASES))
        }
        200..300 => format!("INCRBY number:{} {}", random.u32(..KEYS), random.i32(..)),
        300..400 => format!("SETBIT {name} {} {}", random.u32(..100_000), random.u32(..2)),
        400..450 => format!("SETRANGE {name} {} piece", random.u32(..20_000)),
        450..500 => format!("PEXPIRE {name} {}", random.u32(1..400)),
        500..550 => format!("SETEX {name} {} lives", random.u32(1..1000)),
        550..600 => format!("MSET {name} a {} b number:{} 7", key(random), random.u32(..KEYS)),
        600..700 => return vec![b"APPEND".to_vec(), name.into_bytes(), value(random, 200)],
        _ => return vec![b"SET".to_vec(), name.into_bytes(), value(random, 100_000)],
    };
    words(&text)
}

/// Mostly short ones.
fn value(random: &mut fastrand::Rng, bytes_max: usize) -> Vec<u8> {
    let length = match random.u32(..100) {
        0 => random.usize(..bytes_max),
        1..20 => random.usize(..bytes_max.min(2_000)),
        _ => random.usize(..60),
    };
    (0..length).map(|_| random.u8(..)).collect()
}
