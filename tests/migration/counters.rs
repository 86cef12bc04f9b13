//! Clients that count, so that a write that is lost, or comes twice, shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use highwater::keyspace::Slot;

use crate::peer::Client;

/// Counters of each client.
const COUNTERS: u64 = 8;

/// What a client knows of one of its counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// Increments that were answered.
    pub(crate) acknowledged: u64,
    /// Increments that nothing was heard of.
    pub(crate) unknown: u64,
}

/// Clients at work.
pub(crate) struct Counters {
    stop: Arc<AtomicBool>,
    pub(crate) done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<BTreeMap<String, Count>>>,
}

impl Counters {
    /// Starts `count` of them: what was answered counts.
    pub(crate) fn start(ports: &[u16], count: usize) -> Counters {
        Counters::start_with(ports, count, false)
    }

    /// The same where nodes are replaced by their replicas: what WAIT has confirmed counts, what was only answered may be gone.
    pub(crate) fn confirmed(ports: &[u16], count: usize) -> Counters {
        Counters::start_with(ports, count, true)
    }

    fn start_with(ports: &[u16], count: usize, confirms: bool) -> Counters {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count)
            .map(|number| {
                let (stop, done, ports) = (Arc::clone(&stop), Arc::clone(&done), ports.to_vec());
                std::thread::spawn(move || {
                    let counting = Counting { confirms, ..Counting::new(ports, number) };
                    counting.run(&stop, &done)
                })
            })
            .collect();
        Counters { stop, done, threads }
    }

    /// Stops them; what each counter has to be.
    pub(crate) fn stop(self) -> BTreeMap<String, Count> {
        self.stop.store(true, Ordering::SeqCst);
        let ended =
            self.threads.into_iter().map(|thread| thread.join().expect("a client ends well"));
        ended.flatten().collect()
    }
}

/// One client.
struct Counting {
    ports: Vec<u16>,
    number: usize,
    links: BTreeMap<u16, Client>,
    places: BTreeMap<u16, u16>,
    /// Only what WAIT has confirmed is sure to be there.
    confirms: bool,
}

/// What came of a request.
enum Came {
    Reply(String),
    /// It was not sent, or was refused without having been run.
    NotRun,
    /// It was sent, and nothing came back.
    Unknown,
}

impl Counting {
    fn new(ports: Vec<u16>, number: usize) -> Counting {
        let (links, places) = (BTreeMap::new(), BTreeMap::new());
        Counting { ports, number, links, places, confirms: false }
    }

    fn run(mut self, stop: &AtomicBool, done: &AtomicU64) -> BTreeMap<String, Count> {
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for turn in 0.. {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let key = format!("counter:{}:{}", self.number, turn % COUNTERS);
            let count = counts.entry(key.clone()).or_default();
            let (line, is_write) = match turn % 3 {
                0 => (format!("GET {key}"), false),
                _ => (format!("INCR {key}"), true),
            };
            let (low, high) = (count.acknowledged, count.acknowledged + count.unknown);
            match self.ask(&key, &line) {
                Came::Reply(reply) if is_write => {
                    let value: u64 = number(&reply);
                    assert!(
                        (low + 1..=high + 1).contains(&value),
                        "{key}: {value}, not {low} to {high} and 1"
                    );
                    let is_sure = !self.confirms || self.is_confirmed(&key);
                    *count = match is_sure {
                        true => Count { acknowledged: value, unknown: 0 },
                        false => Count { acknowledged: low, unknown: high.max(value) - low },
                    };
                    done.fetch_add(u64::from(is_sure), Ordering::Relaxed);
                }
                Came::Reply(reply) => {
                    let value = number(&reply);
                    assert!((low..=high).contains(&value), "{key}: {value}, not {low} to {high}");
                    if !self.confirms {
                        *count = Count { acknowledged: value, unknown: high - value };
                    }
                }
                Came::NotRun => std::thread::sleep(Duration::from_millis(2)),
                Came::Unknown => {
                    count.unknown += u64::from(is_write);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        counts
    }

    /// Whether a replica has what was written last over the connection for `key`.
    fn is_confirmed(&mut self, key: &str) -> bool {
        let slot = Slot::of(key.as_bytes()).number();
        let first = self.ports[usize::from(slot) % self.ports.len()];
        let port = *self.places.get(&slot).unwrap_or(&first);
        let Some(link) = self.links.get_mut(&port) else { return false };
        let request = highwater::resp::inline::encode(&crate::peer::words("WAIT 1 500"));
        let Ok(reply) = link.send(&request).and_then(|()| link.reply()) else {
            self.links.remove(&port);
            return false;
        };
        reply.starts_with(b":") && !reply.starts_with(b":0")
    }

    fn ask(&mut self, key: &str, line: &str) -> Came {
        let slot = Slot::of(key.as_bytes()).number();
        let first = self.ports[usize::from(slot) % self.ports.len()];
        let mut port = *self.places.get(&slot).unwrap_or(&first);
        for _ in 0..6 {
            let Some(link) = self.link(port) else {
                self.places.remove(&slot);
                port = self.ports[fastrand::usize(..self.ports.len())];
                continue;
            };
            let request = highwater::resp::inline::encode(&crate::peer::words(line));
            let sent = link.send(&request);
            let Ok(reply) = sent.and_then(|()| link.reply()) else {
                self.links.remove(&port);
                return Came::Unknown;
            };
            let reply = String::from_utf8_lossy(&reply).into_owned();
            if let Some(moved) = reply.strip_prefix("-MOVED ") {
                port = moved
                    .trim_end()
                    .rsplit(':')
                    .next()
                    .and_then(|text| text.parse().ok())
                    .expect("a port");
                self.places.insert(slot, port);
                continue;
            }
            let refused =
                ["-CLUSTERDOWN", "-LOADING", "-TRYAGAIN", "-READONLY", "-MISCONF", "-MASTERDOWN"];
            if refused.iter().any(|code| reply.starts_with(code)) {
                return Came::NotRun;
            }
            assert!(!reply.starts_with('-'), "{line}: {reply}");
            return Came::Reply(reply);
        }
        Came::NotRun
    }

    fn link(&mut self, port: u16) -> Option<&mut Client> {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.links.entry(port) {
            let stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
            let link = Client::over(stream).ok()?;
            link.set_patience(20_000);
            vacant.insert(link);
        }
        self.links.get_mut(&port)
    }
}

/// The number in a reply to INCR or GET.
fn number(reply: &str) -> u64 {
    let text = match reply.strip_prefix(':') {
        Some(text) => text.trim_end(),
        None if reply.starts_with("$-1") => "0",
        None => reply.lines().nth(1).expect("a string"),
    };
    text.parse().unwrap_or_else(|_| panic!("{reply}"))
}

/// Looks at all counters.
pub(crate) fn check(ports: &[u16], counts: &BTreeMap<String, Count>) {
    let mut client = Counting::new(ports.to_vec(), 0);
    for (key, count) in counts {
        let value = loop {
            match client.ask(key, &format!("GET {key}")) {
                Came::Reply(reply) => break number(&reply),
                Came::NotRun | Came::Unknown => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let (low, high) = (count.acknowledged, count.acknowledged + count.unknown);
        assert!((low..=high).contains(&value), "{key} is {value}, and has to be {low} to {high}");
    }
}
