//! Clients that write all along, follow redirections, and know afterwards what has to be there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use highwater::keyspace::Slot;

use crate::peer::{Client, words};

/// A client of a cluster.
pub(crate) struct ClusterClient {
    ports: Vec<u16>,
    by_slot: BTreeMap<u16, u16>,
    links: BTreeMap<u16, Client>,
}

impl ClusterClient {
    pub(crate) fn new(ports: &[u16]) -> ClusterClient {
        ClusterClient { ports: ports.to_vec(), by_slot: BTreeMap::new(), links: BTreeMap::new() }
    }

    /// Asks whoever serves `key`, and whoever that one names. `None`: nobody answers, or not well.
    pub(crate) fn ask(&mut self, key: &str, line: &str) -> Option<String> {
        let slot = Slot::of(key.as_bytes()).number();
        let any = self.ports[usize::from(slot) % self.ports.len()];
        let mut port = *self.by_slot.get(&slot).unwrap_or(&any);
        for _ in 0..5 {
            let reply = match self.send(port, line) {
                Some(reply) => reply,
                None => {
                    self.by_slot.remove(&slot);
                    port = self.ports[fastrand::usize(..self.ports.len())];
                    continue;
                }
            };
            if let Some(moved) = reply.strip_prefix("-MOVED ") {
                let target = moved.trim_end().rsplit(':').next().and_then(|port| port.parse().ok());
                port = target.expect("a port");
                self.by_slot.insert(slot, port);
                continue;
            }
            if reply.starts_with("-CLUSTERDOWN") || reply.starts_with("-LOADING") {
                return None;
            }
            return Some(reply);
        }
        None
    }

    /// The same on the connection that the last request for `key` went over.
    pub(crate) fn ask_again(&mut self, key: &str, line: &str) -> Option<String> {
        let slot = Slot::of(key.as_bytes()).number();
        let port = *self.by_slot.get(&slot)?;
        self.send(port, line)
    }

    fn send(&mut self, port: u16, line: &str) -> Option<String> {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.links.entry(port) {
            vacant.insert(Client::connect(port).ok()?);
        }
        let link = self.links.get_mut(&port)?;
        let request = highwater::resp::inline::encode(&words(line));
        let reply = link.send(&request).and_then(|()| link.reply());
        if reply.is_err() {
            self.links.remove(&port);
        }
        reply.ok().map(|reply| String::from_utf8_lossy(&reply).into_owned())
    }
}

/// What a writer knows: of each key the last value that was acknowledged, and that WAIT has confirmed.
#[derive(Debug, Default)]
pub(crate) struct Written {
    acknowledged: BTreeMap<String, u64>,
    confirmed: BTreeMap<String, u64>,
}

/// Clients that write.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Written>>,
}

/// Keys of each writer: few, so that each is written often.
const KEYS: u64 = 50;

impl Writers {
    /// Starts `count` of them.
    pub(crate) fn start(ports: &[u16], count: usize) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|number| {
                let (stop, ports) = (Arc::clone(&stop), ports.to_vec());
                std::thread::spawn(move || write(&stop, &ports, number))
            })
            .collect();
        Writers { stop, threads }
    }

    /// Stops them; what has to be there.
    pub(crate) fn stop(self) -> Vec<Written> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().map(|thread| thread.join().expect("a writer ends well")).collect()
    }
}

fn write(stop: &AtomicBool, ports: &[u16], number: usize) -> Written {
    let mut client = ClusterClient::new(ports);
    let mut written = Written::default();
    for value in 1.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("writer:{number}:{}", value % KEYS);
        // Values of a key only grow: whatever was acknowledged shows as this value, or a later one.
        let Some(reply) = client.ask(&key, &format!("SET {key} {value}")) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        if reply != "+OK\r\n" {
            continue;
        }
        written.acknowledged.insert(key.clone(), value);
        if let Some(count) = client.ask_again(&key, "WAIT 1 300")
            && count.strip_prefix(':').is_some_and(|count| count.trim_end() != "0")
        {
            written.confirmed.insert(key, value);
        }
    }
    written
}

/// Looks at everything that was written: what WAIT has confirmed has to be there. Returns how many writes were confirmed,
/// and how many that were acknowledged are missing.
pub(crate) fn check(ports: &[u16], written: &[Written]) -> (usize, usize) {
    let mut client = ClusterClient::new(ports);
    let mut read = |key: &String| {
        let reply = client.ask(key, &format!("GET {key}")).expect("the cluster serves");
        reply.lines().nth(1).map_or(0, |text| text.parse::<u64>().expect("a number"))
    };
    let (mut confirmed, mut missing) = (0, 0);
    for written in written {
        for (key, value) in &written.confirmed {
            let found = read(key);
            assert!(found >= *value, "{key} is {found}, WAIT has confirmed {value}");
            confirmed += 1;
        }
        for (key, value) in &written.acknowledged {
            missing += usize::from(read(key) < *value);
        }
    }
    (confirmed, missing)
}
