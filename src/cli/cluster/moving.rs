//! Moves a slot key by key: open it on both sides, MIGRATE what is in it, name the new owner to everybody.
//!
//! An interruption leaves the slot open, in which state `fix` or another run goes on. Spec: cluster, "Live reconfiguration".

use std::time::Duration;

use crate::keyspace::Slot;

use super::super::wire::{Failure, Reply};
use super::nodes::{Cluster, Node};
use super::options::Options;
use super::screen::{Done, Screen, Stop};

/// What a primary that has become a replica meanwhile says to SETSLOT: it needs not be told.
const NO_PRIMARY: &str = "ERR Please use SETSLOT only with masters.";

/// How often, and how many times, a cluster is asked again that says it is down.
const DOWN_LOOK: Duration = Duration::from_millis(200);
const DOWN_LOOKS: usize = 50;

/// How a slot is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A line per slot, a dot per key.
    Line,
    /// Nothing is said while all goes well.
    Quiet,
    /// Only keys are moved, the slot's owner stays: the source holds keys it should not have.
    Cold,
}

/// A slot from one node to another, both by their indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) slot: Slot,
    pub(super) source: usize,
    pub(super) target: usize,
}

/// Moves a slot. Returns how many keys went over.
///
/// # Errors
/// What the text is depends on nothing but the failed step; a bad reply was shown already.
pub(super) fn slot(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    Move { slot, source, target }: Move,
    style: Style,
) -> Done<u64> {
    assert_ne!(source, target, "slot {}", slot.number());
    let (from, to) = (cluster.nodes[source].address(), cluster.nodes[target].address());
    if style != Style::Quiet {
        screen.say(&format!("Moving slot {} from {from} to {to}: ", slot.number()));
    }
    let ids = [source, target].map(|index| cluster.nodes[index].id.clone());
    let [source_id, target_id] = ids;
    let migrated = open_and_migrate(
        screen,
        cluster,
        options,
        Move { slot, source, target },
        style,
        &source_id,
        &target_id,
    );
    if style != Style::Quiet {
        screen.say("\n");
    }
    let keys = migrated?;
    if style != Style::Cold {
        close(screen, cluster, Move { slot, source, target }, &target_id)?;
        cluster.nodes[source].slots.remove(slot);
        cluster.nodes[target].slots.insert(slot);
        cluster.nodes[source].migrating.remove(&slot.number());
        cluster.nodes[target].importing.remove(&slot.number());
    }
    Ok(keys)
}

fn open_and_migrate(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    options: &Options,
    Move { slot, source, target }: Move,
    style: Style,
    source_id: &str,
    target_id: &str,
) -> Done<u64> {
    if style != Style::Cold {
        let number = slot.number();
        let opened = (
            set_slot(&mut cluster.nodes[target], &format!("{number} IMPORTING {source_id}")),
            set_slot(&mut cluster.nodes[source], &format!("{number} MIGRATING {target_id}")),
        );
        match opened {
            // The target has the slot already, where a run was interrupted at its very end.
            (Err(Failure::Refused(text)), _) if text.contains("already the owner") => {}
            (Err(failure), _) => return Err(replied(screen, &cluster.nodes[target], &failure)),
            (_, Err(failure)) => return Err(replied(screen, &cluster.nodes[source], &failure)),
            _ => {}
        }
    }
    let [from, to] = two(&mut cluster.nodes, source, target);
    Keys { screen, options, slot, dots: style != Style::Quiet }.migrate(from, to)
}

/// Names the new owner: first to itself, then to the one that was, then to all others.
fn close(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    Move { slot, source, target }: Move,
    target_id: &str,
) -> Done {
    let others =
        cluster.primaries().into_iter().filter(|&index| index != source && index != target);
    let order: Vec<usize> = [target, source].into_iter().chain(others).collect();
    for index in order {
        let node = &mut cluster.nodes[index];
        match set_slot(node, &format!("{} NODE {target_id}", slot.number())) {
            // A source that gave away its last slot has become a replica, of the target mostly.
            Err(Failure::Refused(text)) if text.starts_with(NO_PRIMARY) && index != target => {}
            Err(failure) => return Err(replied(screen, node, &failure)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Shows a bad reply, and ends with its text for whoever asked.
fn replied(screen: &mut Screen<'_>, node: &Node, failure: &Failure) -> Stop {
    screen.error(&node.peer.replied(&failure.to_string()));
    Stop::with(failure.to_string())
}

/// CLUSTER SETSLOT.
pub(super) fn set_slot(node: &mut Node, rest: &str) -> Result<(), Failure> {
    node.peer.line(&format!("CLUSTER SETSLOT {rest}")).map(drop)
}

/// Two different nodes at once.
pub(super) fn two(nodes: &mut [Node], one: usize, other: usize) -> [&mut Node; 2] {
    nodes.get_disjoint_mut([one, other]).expect("two nodes of the list")
}

/// The keys of a slot on their way.
struct Keys<'s, 'a> {
    screen: &'s mut Screen<'a>,
    options: &'s Options,
    slot: Slot,
    dots: bool,
}

impl Keys<'_, '_> {
    /// Moves all keys, batch by batch.
    fn migrate(&mut self, from: &mut Node, to: &mut Node) -> Done<u64> {
        let mut count = 0;
        let batch = self.options.pipeline.max(1).to_string();
        let number = self.slot.number().to_string();
        loop {
            let reply = from.peer.call(&["CLUSTER", "GETKEYSINSLOT", &number, &batch]);
            let reply = reply.map_err(|failure| replied(self.screen, from, &failure))?;
            let keys: Vec<Vec<u8>> = reply
                .elements()
                .unwrap_or_default()
                .iter()
                .filter_map(|key| key.bytes().map(<[u8]>::to_vec))
                .collect();
            if keys.is_empty() {
                return Ok(count);
            }
            self.batch(from, to, &keys)?;
            count += keys.len() as u64;
            if self.dots {
                self.screen.say(&".".repeat(keys.len()));
            }
        }
    }

    fn batch(&mut self, from: &mut Node, to: &mut Node, keys: &[Vec<u8>]) -> Done {
        let text = match migrate_patiently(from, to, self.options, keys) {
            Ok(_) => return Ok(()),
            Err(Failure::Refused(text)) => text,
            Err(failure) => return Err(replied(self.screen, from, &failure)),
        };
        if text.contains("BUSYKEY") {
            self.screen.warn("\n*** Target key exists\n");
            if !self.options.replace {
                self.screen.warn("*** Checking key values on both nodes...\n");
                self.compare(from, to, keys)?;
            }
            self.screen.warn("*** Replacing target keys...\n");
        } else if text.contains("slot not served") {
            let address = from.address();
            let text = format!("*** Slot was not served, setting owner to node {address}.\n");
            self.screen.warn(&text);
            let own = format!("{} NODE {}", self.slot.number(), from.id);
            set_slot(to, &own).map_err(|failure| replied(self.screen, to, &failure))?;
        } else {
            self.screen.say("\n");
            return Err(replied(self.screen, from, &Failure::Refused(text)));
        }
        let again = migrate(from, to, self.options, keys, text.contains("BUSYKEY"));
        again.map(drop).map_err(|failure| replied(self.screen, from, &failure))
    }

    /// Goes on only if keys that both have hold the same.
    fn compare(&mut self, from: &mut Node, to: &mut Node, keys: &[Vec<u8>]) -> Done {
        let mut ask: Vec<&[u8]> = vec![b"DEBUG", b"DIGEST-VALUE"];
        ask.extend(keys.iter().map(Vec::as_slice));
        let digests = [&mut *from, &mut *to].map(|node| node.peer.call(&ask));
        let [Ok(one), Ok(other)] = digests else {
            self.screen.error("*** Value check failed!\n");
            return Err(Stop::said());
        };
        let (one, other) =
            (one.elements().unwrap_or_default(), other.elements().unwrap_or_default());
        // A key that only one of them has is in nobody's way; some of the batch have gone over before the error.
        let missing =
            |digest: &Reply| digest.text().is_none_or(|text| text.trim_matches('0').is_empty());
        let pairs = one.iter().zip(other).zip(keys);
        let differ: Vec<&Vec<u8>> = pairs
            .filter(|((one, other), _)| one != other && !missing(one) && !missing(other))
            .map(|(_, key)| key)
            .collect();
        if differ.is_empty() {
            return Ok(());
        }
        let text = format!(
            "*** Found {} key(s) in both source node and target node having different values.\n    \
             Source node: {}\n    Target node: {}\n    Keys(s):\n",
            differ.len(),
            from.peer,
            to.peer
        );
        self.screen.error(&text);
        for key in differ {
            self.screen.error(&format!("    - {}\n", String::from_utf8_lossy(key)));
        }
        self.screen.error(
            "Please fix the above key(s) manually and try again or relaunch the command \n\
             with --cluster-replace option to force key overriding.\n",
        );
        Err(Stop::said())
    }
}

/// MIGRATE of some keys. A cluster that has just got its last slot takes a moment until all nodes believe in it.
fn migrate_patiently(
    from: &mut Node,
    to: &Node,
    options: &Options,
    keys: &[Vec<u8>],
) -> Result<Reply, Failure> {
    for _ in 0..DOWN_LOOKS {
        match migrate(from, to, options, keys, false) {
            Err(Failure::Refused(text)) if text.contains("CLUSTERDOWN The cluster is down") => {}
            other => return other,
        }
        std::thread::sleep(DOWN_LOOK);
    }
    migrate(from, to, options, keys, false)
}

/// MIGRATE of some keys.
fn migrate(
    from: &mut Node,
    to: &Node,
    options: &Options,
    keys: &[Vec<u8>],
    replaces: bool,
) -> Result<Reply, Failure> {
    let (port, timeout) = (to.peer.port.to_string(), options.timeout_ms.to_string());
    let mut words: Vec<&[u8]> =
        vec![b"MIGRATE", to.peer.host.as_bytes(), port.as_bytes(), b"", b"0", timeout.as_bytes()];
    if replaces {
        words.push(b"REPLACE");
    }
    let credentials = &to.peer.credentials;
    match (&credentials.user, &credentials.password) {
        (Some(user), Some(password)) => {
            words.extend([&b"AUTH2"[..], user.as_bytes(), password.as_bytes()]);
        }
        (None, Some(password)) => words.extend([&b"AUTH"[..], password.as_bytes()]),
        (_, None) => {}
    }
    words.push(b"KEYS");
    words.extend(keys.iter().map(Vec::as_slice));
    from.peer.call(&words)
}
