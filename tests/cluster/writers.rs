//! Clients that write all along, follow redirections, and know afterwards what has to be there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use highwater::keyspace::Slot;

use crate::peer::{Client, words};

/// A client of a cluster.
pub(crate) struct ClusterClient {
    places: Vec<SocketAddr>,
    by_slot: BTreeMap<u16, SocketAddr>,
    links: BTreeMap<SocketAddr, Client>,
    patience_ms: u64,
}

impl ClusterClient {
    /// On loopback: nobody is cut off there, so whoever is paused is waited for.
    pub(crate) fn new(ports: &[u16]) -> ClusterClient {
        let places: Vec<_> = ports.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect();
        ClusterClient { patience_ms: 60_000, ..ClusterClient::at(&places) }
    }

    /// At addresses that may be out of reach.
    pub(crate) fn at(places: &[SocketAddr]) -> ClusterClient {
        let (by_slot, links) = (BTreeMap::new(), BTreeMap::new());
        ClusterClient { places: places.to_vec(), by_slot, links, patience_ms: 500 }
    }

    /// Asks whoever serves `key`, and whoever that one names. `None`: nobody answers, or not well.
    pub(crate) fn ask(&mut self, key: &str, line: &str) -> Option<String> {
        let slot = Slot::of(key.as_bytes()).number();
        let any = self.places[usize::from(slot) % self.places.len()];
        let mut place = *self.by_slot.get(&slot).unwrap_or(&any);
        for _ in 0..5 {
            let reply = match self.send(place, line) {
                Some(reply) => reply,
                None => {
                    self.by_slot.remove(&slot);
                    place = self.places[fastrand::usize(..self.places.len())];
                    continue;
                }
            };
            if let Some(moved) = reply.strip_prefix("-MOVED ") {
                let target =
                    moved.trim_end().split(' ').nth(1).and_then(|place| place.parse().ok());
                place = target.expect("an address");
                self.by_slot.insert(slot, place);
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
        let place = *self.by_slot.get(&slot)?;
        self.send(place, line)
    }

    fn send(&mut self, place: SocketAddr, line: &str) -> Option<String> {
        if let Entry::Vacant(vacant) = self.links.entry(place) {
            let patience = Duration::from_millis(self.patience_ms);
            let stream = TcpStream::connect_timeout(&place, patience).ok()?;
            // A request that was given up must not arrive later: closing the connection forgets what it had not delivered.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok()?;
            let link = Client::over(stream).ok()?;
            link.set_patience(self.patience_ms);
            vacant.insert(link);
        }
        let link = self.links.get_mut(&place)?;
        let request = highwater::resp::inline::encode(&words(line));
        let reply = link.send(&request).and_then(|()| link.reply());
        if reply.is_err() {
            self.links.remove(&place);
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
    /// Starts `count` of them on loopback.
    pub(crate) fn start(ports: &[u16], count: usize) -> Writers {
        Writers::start_with(count, || ClusterClient::new(ports))
    }

    /// Starts `count` of them with the clients that `make` makes.
    pub(crate) fn start_with(count: usize, make: impl Fn() -> ClusterClient) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|number| {
                let (stop, client) = (Arc::clone(&stop), make());
                std::thread::spawn(move || write(&stop, client, number))
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

fn write(stop: &AtomicBool, mut client: ClusterClient, number: usize) -> Written {
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
    check_with(&mut ClusterClient::new(ports), written)
}

/// The same with a client that is there.
pub(crate) fn check_with(client: &mut ClusterClient, written: &[Written]) -> (usize, usize) {
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
