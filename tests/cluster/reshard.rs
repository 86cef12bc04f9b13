//! Slots with keys on their way between nodes of either kind: `redis-cli --cluster reshard`, `fix` and `import` as they
//! are, while clients write to what is moved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use highwater::keyspace::Slot;

use crate::member::{Kind, Member};
use crate::migrate::{Alone, holdings, values_of_all_types};
use crate::peer::{Client, Request, words};
use crate::shards::Shards;
use crate::tools::cli;

use Kind::{Ours, Stock};

/// Slots that are moved: the first ones of the first node, which is where `reshard` begins.
const SLOTS: u16 = 40;

/// Nodes that wait for a slow disk are not to be suspected here: each slot that changes hands is saved and synced.
pub(crate) const PATIENT: &[&str] = &["--cluster-node-timeout", "120000"];

/// A hash tag for each of them.
pub(crate) fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut left = tags.len();
    for number in 0.. {
        let tag = format!("t{number}");
        let slot = usize::from(Slot::of(tag.as_bytes()).number());
        if slot < tags.len() && tags[slot].is_empty() {
            tags[slot] = tag;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    tags
}

/// A client that goes where it is sent, also by ASK.
struct Follower {
    links: BTreeMap<SocketAddr, Client>,
    places: BTreeMap<u16, SocketAddr>,
    any: SocketAddr,
    asked: u64,
}

impl Follower {
    fn new(port: u16) -> Follower {
        let any = ([127, 0, 0, 1], port).into();
        Follower { links: BTreeMap::new(), places: BTreeMap::new(), any, asked: 0 }
    }

    fn ask(&mut self, key: &str, line: &str) -> String {
        let slot = Slot::of(key.as_bytes()).number();
        let mut place = *self.places.get(&slot).unwrap_or(&self.any);
        let mut asking = false;
        for _ in 0..1000 {
            let any = place.port();
            let link = self.links.entry(place);
            let link = link.or_insert_with(|| Client::connect(any).expect("it listens"));
            let mut requests: Vec<Request> = Vec::new();
            requests.extend(asking.then(|| words("ASKING")));
            requests.push(words(line));
            let reply = link.run(&requests).pop().expect("one for each");
            let reply = String::from_utf8_lossy(&reply).into_owned();
            let target = || -> SocketAddr {
                let address = reply.trim_end().rsplit(' ').next().expect("an address");
                address.parse().expect("an address")
            };
            if reply.starts_with("-MOVED ") {
                (place, asking) = (target(), false);
                self.places.insert(slot, place);
            } else if reply.starts_with("-ASK ") {
                (place, asking) = (target(), true);
                self.asked += 1;
            } else if reply.starts_with("-TRYAGAIN") || reply.starts_with("-CLUSTERDOWN") {
                std::thread::sleep(std::time::Duration::from_millis(1));
                (place, asking) = (*self.places.get(&slot).unwrap_or(&self.any), false);
            } else {
                return reply;
            }
        }
        panic!("{line} is sent to and fro")
    }
}

/// Clients that count: each has keys of its own, and whatever a counter answers is one more than before.
struct Counters {
    stop: Arc<AtomicBool>,
    counted: Arc<AtomicU64>,
    threads: Vec<JoinHandle<(BTreeMap<String, u64>, u64)>>,
}

impl Counters {
    fn start(port: u16, tags: &[String], count: usize) -> Counters {
        let (stop, counted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count).map(|number| {
            let keys: Vec<String> =
                tags.iter().map(|tag| format!("{{{tag}}}:count:{number}")).collect();
            let (stop, counted) = (Arc::clone(&stop), Arc::clone(&counted));
            std::thread::spawn(move || count_up(&stop, &counted, Follower::new(port), &keys))
        });
        let threads = threads.collect();
        Counters { stop, counted, threads }
    }

    /// What each counter stands at, and how often a client was sent to where a key was on its way.
    fn stop(self) -> (BTreeMap<String, u64>, u64) {
        self.stop.store(true, Ordering::SeqCst);
        let (mut all, mut asked) = (BTreeMap::new(), 0);
        for thread in self.threads {
            let (counters, times) = thread.join().expect("a counter ends well");
            all.extend(counters);
            asked += times;
        }
        (all, asked)
    }
}

fn count_up(
    stop: &AtomicBool,
    counted: &AtomicU64,
    mut client: Follower,
    keys: &[String],
) -> (BTreeMap<String, u64>, u64) {
    let mut counters = BTreeMap::new();
    'all: loop {
        for key in keys {
            if stop.load(Ordering::SeqCst) {
                break 'all;
            }
            let expected = counters.entry(key.clone()).or_insert(0);
            *expected += 1;
            // A key that is served by two nodes, or lost on the way, would count wrong.
            let reply = client.ask(key, &format!("INCR {key}"));
            assert_eq!(reply, format!(":{expected}\r\n"), "INCR {key}");
            let reply = client.ask(key, &format!("GET {key}"));
            assert!(reply.ends_with(&format!("\r\n{expected}\r\n")), "GET {key}: {reply:?}");
            counted.fetch_add(1, Ordering::SeqCst);
        }
    }
    (counters, client.asked)
}

/// Puts keys of all types into each slot that is to be moved. Returns how many.
fn fill(owner: &Member, tags: &[String]) -> usize {
    let values = values_of_all_types();
    let mut client = owner.client();
    let mut count = 0;
    for tag in tags {
        let mut requests = Vec::new();
        for value in &values {
            let mut request = value.clone();
            request[1] = format!("{{{tag}}}:{}", String::from_utf8_lossy(&value[1])).into_bytes();
            requests.push(request);
        }
        for number in 0..60 {
            let expiry = if number % 3 == 0 { "EX 100000" } else { "" };
            requests.push(words(&format!("SET {{{tag}}}:plain:{number} {tag}-{number} {expiry}")));
        }
        count += requests.len();
        for reply in client.run(&requests) {
            assert_eq!(reply, b"+OK\r\n");
        }
    }
    count
}

/// All keys with their digests, counters left out, sorted; each must be there once.
fn all_keys(shards: &Shards) -> Vec<String> {
    let mut all: Vec<String> = shards.running().flat_map(|member| holdings(member)).collect();
    all.retain(|line| !line.contains(":count:"));
    all.sort();
    let names: Vec<&str> = all.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a key is there twice");
    all
}

fn total(shards: &Shards) -> usize {
    let size = |member: &Member| {
        let reply = member.ask("DBSIZE");
        reply.trim_start_matches(':').trim_end().parse::<usize>().expect("a number")
    };
    shards.running().map(size).sum()
}

/// Moves the slots from node to node with `redis-cli`, once around, while clients count.
fn go_around(kinds: [Kind; 3], options: &str) {
    let shards = Shards::make(&kinds, 0, PATIENT);
    let tags = tags();
    let filled = fill(&shards.members[0], &tags);
    let before = all_keys(&shards);
    assert_eq!(before.len(), filled);
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    let counters = Counters::start(shards.members[1].port, &tags, 3);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let counted = counters.counted.load(Ordering::SeqCst);
        let at = shards.members[from].address();
        let what = format!(
            "--cluster-from {} --cluster-to {} --cluster-slots {SLOTS}",
            ids[from], ids[to]
        );
        let said = cli(&format!("--cluster reshard {at} {what} {options}--cluster-yes"));
        assert!(said.is_content, "{}", said.text);
        assert!(!said.text.contains("ERR"), "{}", said.text);
        let slots = format!("COUNTKEYSINSLOT {}", SLOTS - 1);
        assert_ne!(shards.members[to].ask(&format!("CLUSTER {slots}")), ":0\r\n", "{from} to {to}");
        assert!(counters.counted.load(Ordering::SeqCst) > counted + 100, "clients were served");
        shards.heal();
    }
    let (counts, asked) = counters.stop();
    assert!(asked > 0, "nobody met a key on its way");
    assert_eq!(all_keys(&shards), before, "{kinds:?}");
    assert_eq!(total(&shards), filled + counts.len(), "each is there once");
    let mut client = Follower::new(shards.members[0].port);
    for (key, count) in &counts {
        assert!(client.ask(key, &format!("GET {key}")).ends_with(&format!("\r\n{count}\r\n")));
    }
    shards.check().expect("all is well");
}

#[test]
fn slots_go_around_among_ours() {
    go_around([Ours; 3], "");
}

#[test]
fn slots_go_around_between_ours_and_stock() {
    // Ours to stock, stock to ours, and ours to ours.
    go_around([Ours, Stock, Ours], "--cluster-pipeline 40 ");
}

/// A slot half of whose keys have moved, and nobody is at it any more: `fix` moves the others.
fn fix(kinds: [Kind; 2], closes: bool) {
    let shards = Shards::make(&[kinds[0], kinds[1], Ours], 0, PATIENT);
    let tag = &tags()[7];
    let (source, target) = (&shards.members[0], &shards.members[1]);
    let keys: Vec<String> = (0..100).map(|number| format!("{{{tag}}}:{number}")).collect();
    let sets: Vec<Request> = keys.iter().map(|key| words(&format!("SET {key} v"))).collect();
    source.client().run(&sets);
    for (member, how, other) in [(target, "IMPORTING", source), (source, "MIGRATING", target)] {
        let line = format!("CLUSTER SETSLOT 7 {how} {}", other.id());
        assert_eq!(member.ask(&line), "+OK\r\n");
    }
    let half = keys[..50].join(" ");
    let moved = source.ask(&format!("MIGRATE 127.0.0.1 {} \"\" 0 5000 KEYS {half}", target.port));
    assert_eq!(moved, "+OK\r\n");
    if closes {
        // Somebody has closed the slot on one side alone.
        assert_eq!(source.ask("CLUSTER SETSLOT 7 STABLE"), "+OK\r\n");
    }
    let mut client = Follower::new(source.port);
    if !closes {
        for key in &keys {
            assert_eq!(client.ask(key, &format!("GET {key}")), "$1\r\nv\r\n");
        }
    }
    cli(&format!("--cluster fix {}", source.address())).has("[OK] All 16384 slots covered.");
    shards.heal();
    shards.check().expect("all is well");
    let said = cli(&format!("--cluster check {}", source.address()));
    assert!(!said.text.contains("migrating") && !said.text.contains("importing"), "{}", said.text);
    assert_eq!(total(&shards), keys.len());
    let mut client = Follower::new(source.port);
    for key in &keys {
        assert_eq!(client.ask(key, &format!("GET {key}")), "$1\r\nv\r\n", "{kinds:?} {closes}");
    }
}

#[test]
fn a_slot_left_half_moved_is_fixed() {
    for closes in [false, true] {
        for kinds in [[Ours, Stock], [Stock, Ours], [Ours, Ours]] {
            fix(kinds, closes);
        }
    }
}

#[test]
fn a_server_that_is_in_no_cluster_is_imported() {
    for (from, kinds) in [(Ours, [Ours, Stock, Ours]), (Stock, [Ours; 3])] {
        for options in ["", "--cluster-copy --cluster-replace "] {
            let shards = Shards::make(&kinds, 0, PATIENT);
            let source = Alone::start(from, &[]);
            let mut client = source.client();
            for reply in client.run(&values_of_all_types()) {
                assert_eq!(reply, b"+OK\r\n");
            }
            let sets = (0..200).map(|number| words(&format!("SET plain:{number} x EX 10000")));
            client.run(&sets.collect::<Vec<_>>());
            let before = holdings(&source);
            let at = format!("127.0.0.1:{}", source.port);
            let into = shards.members[0].address();
            cli(&format!("--cluster import {into} --cluster-from {at} {options}--cluster-yes"))
                .has("[OK] All 16384 slots covered.");
            assert_eq!(all_keys(&shards), sorted(&before), "{from:?} {options}");
            let left = if options.is_empty() { Vec::new() } else { before };
            assert_eq!(holdings(&source), left);
        }
    }
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

/// Puts some plain keys into the first slots.
fn fill_some(owner: &Member, tags: &[String]) {
    let sets = tags.iter().flat_map(|tag| {
        (0..5).map(move |number| words(&format!("SET {{{tag}}}:{number} {tag}-{number}")))
    });
    owner.client().run(&sets.collect::<Vec<_>>());
}

#[test]
fn nodes_with_a_password_give_each_other_slots() {
    let shards = Shards::make(&[Ours, Stock, Ours], 0, PATIENT);
    fill_some(&shards.members[0], &tags()[..6]);
    let before = all_keys(&shards);
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    for member in &shards.members {
        for setting in ["masterauth secret", "requirepass secret"] {
            assert_eq!(member.ask(&format!("CONFIG SET {setting}")), "+OK\r\n");
        }
    }
    let with = "-a secret --no-auth-warning --cluster reshard";
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let what = format!("--cluster-from {} --cluster-to {}", ids[from], ids[to]);
        let at = shards.members[from].address();
        let said = cli(&format!("{with} {at} {what} --cluster-slots 6 --cluster-yes"));
        assert!(said.is_content, "{}", said.text);
    }
    for member in &shards.members {
        let replies =
            member.client().run(&[words("AUTH secret"), words("CONFIG SET requirepass \"\"")]);
        assert_eq!(replies[1], b"+OK\r\n");
    }
    shards.heal();
    assert_eq!(all_keys(&shards), before);
}

#[test]
fn shards_are_made_even_again() {
    // Without a log of its data a node answers at once.
    let settings = [PATIENT, &["--appendonly", "no"]].concat();
    let shards = Shards::make(&[Ours, Ours, Stock], 0, &settings);
    fill_some(&shards.members[0], &tags());
    let before = all_keys(&shards);
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    let at = shards.members[0].address();
    let what = format!("--cluster-from {} --cluster-to {}", ids[0], ids[1]);
    cli(&format!("--cluster reshard {at} {what} --cluster-slots {SLOTS} --cluster-yes"));
    shards.heal();
    assert_eq!(shards.owner(&tags()[0]), 1);
    cli(&format!("--cluster rebalance {at} --cluster-threshold 0.5")).has("Moving");
    shards.heal();
    assert_ne!(shards.owner(&tags()[0]), 1);
    assert_eq!(all_keys(&shards), before);
}
