//! Who claims which slots, in the eyes of everybody, all along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::peer::{Client, words};

const LOOK: Duration = Duration::from_millis(20);

/// Ids of those that claim a range in an epoch; more than one is wrong.
type Claims = BTreeMap<(u64, String), String>;

/// Looks at CLUSTER NODES of all nodes until it is stopped.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Claims>,
}

impl Watcher {
    pub(crate) fn start(ports: &[u16]) -> Watcher {
        let stop = Arc::new(AtomicBool::new(false));
        let (stops, ports) = (Arc::clone(&stop), ports.to_vec());
        let thread = std::thread::spawn(move || {
            let mut claims = Claims::new();
            while !stops.load(Ordering::SeqCst) {
                for port in &ports {
                    look(*port, &mut claims);
                    std::thread::sleep(LOOK);
                }
            }
            claims
        });
        Watcher { stop, thread }
    }

    /// Ends it, and fails if a range ever had two primaries in one epoch.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        let claims = self.thread.join().expect("every range has one primary in each epoch");
        assert!(!claims.is_empty(), "nothing was seen");
    }
}

/// Nodes that do not answer are passed over.
fn look(port: u16, claims: &mut Claims) {
    let Ok(mut client) = Client::connect(port) else { return };
    client.set_patience(100);
    let request = highwater::resp::inline::encode(&words("CLUSTER NODES"));
    let Ok(reply) = client.send(&request).and_then(|()| client.reply()) else { return };
    let nodes = String::from_utf8_lossy(&reply).into_owned();
    for line in nodes.lines().filter(|line| line.split(' ').count() > 8) {
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        if words[2].contains("slave") {
            continue;
        }
        let epoch: u64 = words[6].parse().expect("an epoch");
        for range in words[8..].iter().filter(|word| !word.starts_with('[')) {
            let known = claims.entry((epoch, (*range).to_owned())).or_insert(words[0].to_owned());
            assert_eq!(known, words[0], "{range} in epoch {epoch}, as {port} says:\n{nodes}");
        }
    }
}
