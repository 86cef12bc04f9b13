//! Large clusters: how long they take to form, to notice a failure and to replace what failed, and what their nodes send
//! when all is well. State machines alone, without keys, logs and clients.
//!
//! `NODES=1000 cargo test --profile sim --test sim large -- --nocapture` prints the figures of `docs/performance.md`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fastrand::Rng;
use highwater::clock::Time;
use highwater::cluster::core::LinkId;
use highwater::cluster::packet::Ports;
use highwater::cluster::settings::Settings;
use highwater::cluster::{Body, Cluster, Facts, Host, Input, NodeId, Output, Packet, wire};
use highwater::config::Config;
use highwater::keyspace::Slot;

use crate::seeds::number;

/// A message's way.
const DELAY_US: (u64, u64) = (100, 1000);

/// Between two ticks of a node.
const TICK_US: u64 = 100_000;

/// Something that happens to a node.
enum Event {
    Tick(usize),
    /// A connection that the node opened as this link gets to another.
    Reach(usize, LinkId, usize),
    /// It is open, or is not.
    Opened(usize, LinkId, bool),
    Closed(usize, LinkId),
    Packet(usize, LinkId, Arc<Packet>),
}

/// A node and what its driver knows.
struct Member {
    core: Cluster,
    follows: Option<(Host, u16)>,
    is_up: bool,
    sent_bytes: u64,
}

/// A large cluster.
struct Many {
    now_us: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    rng: Rng,
    members: Vec<Member>,
    /// The other ends of connections.
    ends: HashMap<(usize, LinkId), (usize, LinkId)>,
    places: HashMap<String, usize>,
    /// When the last message over a connection arrives.
    due_us: HashMap<(usize, LinkId), u64>,
}

fn host_of(index: usize) -> Host {
    Host::new(&format!("10.0.{}.{}", index / 250, index % 250 + 1)).expect("an address")
}

fn time(now_us: u64) -> Time {
    Time { unix_us: 1_700_000_000_000_000 + now_us, mono_us: now_us }
}

/// The length of a packet as bytes.
fn length(packet: &Packet) -> u64 {
    let rest = match &packet.body {
        Body::Heartbeat { gossip, extensions, .. } => 104 * gossip.len() + 48 * extensions.len(),
        Body::Fail(_) => NodeId::BYTES,
        Body::Update { .. } => 8 + NodeId::BYTES + 2048,
        _ => 0,
    };
    (wire::HEADER_BYTES + rest) as u64
}

impl Many {
    fn new(count: usize, timeout_ms: u64, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let members = (0..count).map(|_| {
            let mut config = Config::default();
            config.values_mut().port = 7000;
            config.values_mut().cluster_node_timeout = timeout_ms;
            let (id, shard) = (NodeId::random(&mut rng), NodeId::random(&mut rng));
            let core = Cluster::new(id, shard, Settings::of(&config), rng.u64(..), time(0));
            Member { core, follows: None, is_up: true, sent_bytes: 0 }
        });
        let members: Vec<Member> = members.collect();
        let places = (0..count).map(|index| (host_of(index).to_string(), index)).collect();
        let (ends, due_us) = (HashMap::new(), HashMap::new());
        let queue = BTreeMap::new();
        let mut many = Self { now_us: 0, sequence: 0, queue, rng, members, ends, places, due_us };
        for index in 0..count {
            let first_us = many.rng.u64(..TICK_US);
            many.later(first_us, Event::Tick(index));
        }
        many
    }

    fn later(&mut self, after_us: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now_us + after_us, self.sequence), event);
    }

    fn delay_us(&mut self) -> u64 {
        self.rng.u64(DELAY_US.0..=DELAY_US.1)
    }

    fn facts(&self, at: usize) -> Facts {
        let follows = self.members[at].follows;
        Facts { is_linked: follows.is_some(), follows, ..Facts::default() }
    }

    fn step(&mut self, at: usize, input: Input<'_>) {
        if !self.members[at].is_up {
            return;
        }
        let facts = self.facts(at);
        self.members[at].core.step(time(self.now_us), facts, input);
        self.carry_out(at);
    }

    fn operate<T>(&mut self, at: usize, run: impl FnOnce(&mut Cluster) -> T) -> T {
        let facts = self.facts(at);
        let core = &mut self.members[at].core;
        core.begin(time(self.now_us), facts);
        let result = run(core);
        core.finish();
        self.carry_out(at);
        result
    }

    /// Does what a node wants; what it saves is saved at once.
    fn carry_out(&mut self, at: usize) {
        let outputs = self.members[at].core.take_outputs();
        let mut saves = false;
        for output in outputs {
            match output {
                Output::Persist => saves = true,
                Output::Connect { link, host, .. } => {
                    let to = self.places[host.as_str()];
                    let delay_us = self.delay_us();
                    self.later(delay_us, Event::Reach(at, link, to));
                }
                Output::Close { link } => self.close(at, link),
                Output::Send { link, packet } => self.send(at, link, packet),
                Output::Follow { host, port, .. } => {
                    self.members[at].follows = Some((host, port));
                }
                Output::Promote => self.members[at].follows = None,
                _ => {}
            }
        }
        if saves {
            let number = self.members[at].core.saves_wanted();
            self.step(at, Input::Saved { is_saved: true, number });
        }
    }

    fn send(&mut self, at: usize, link: LinkId, packet: Arc<Packet>) {
        self.members[at].sent_bytes += length(&packet);
        let Some(&(to, other)) = self.ends.get(&(at, link)) else { return };
        let at_us = self.now_us + self.delay_us();
        let due_us = self.due_us.entry((to, other)).or_default();
        *due_us = at_us.max(*due_us + 1);
        let after_us = *due_us - self.now_us;
        self.later(after_us, Event::Packet(to, other, packet));
    }

    fn close(&mut self, at: usize, link: LinkId) {
        if let Some((to, other)) = self.ends.remove(&(at, link)) {
            self.ends.remove(&(to, other));
            let delay_us = self.delay_us();
            self.later(delay_us, Event::Closed(to, other));
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick(at) => {
                self.step(at, Input::Tick);
                self.later(TICK_US, Event::Tick(at));
            }
            Event::Reach(at, link, to) => {
                let is_up = self.members[to].is_up;
                if is_up {
                    let (remote, local) = (host_of(at), host_of(to));
                    let other = self.operate(to, |core| core.accepted(remote, local));
                    self.ends.insert((at, link), (to, other));
                    self.ends.insert((to, other), (at, link));
                }
                let wait_us = if is_up { self.delay_us() } else { 1_000_000 };
                self.later(wait_us, Event::Opened(at, link, is_up));
            }
            Event::Opened(at, link, true) => self.step(at, Input::Connected { link }),
            Event::Opened(at, link, false) => {
                self.step(at, Input::Failed { link, is_refused: false });
            }
            Event::Closed(at, link) => self.step(at, Input::Closed { link }),
            Event::Packet(at, link, packet) if self.ends.contains_key(&(at, link)) => {
                self.step(at, Input::Packet { link, packet: &packet });
            }
            Event::Packet(..) => {}
        }
    }

    fn run_for(&mut self, ms: u64) {
        let end_us = self.now_us + ms * 1000;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end_us {
                break;
            }
            let ((at_us, _), event) = entry.remove_entry();
            self.now_us = at_us;
            self.happens(event);
        }
        self.now_us = end_us;
    }

    /// How long it takes until that is so of all nodes that are up, in milliseconds.
    fn until(&mut self, what: &str, limit_ms: u64, holds: impl Fn(&Cluster) -> bool) -> u64 {
        let began_us = self.now_us;
        loop {
            let lacks = self.members.iter().filter(|one| one.is_up && !holds(&one.core)).count();
            let passed_ms = (self.now_us - began_us) / 1000;
            if lacks == 0 {
                return passed_ms;
            }
            assert!(passed_ms <= limit_ms, "{what}: {lacks} nodes have not, after {passed_ms} ms");
            self.run_for(100);
        }
    }
}

/// Half of the nodes are primaries, each with a replica.
fn play(count: usize, timeout_ms: u64) -> String {
    let mut many = Many::new(count, timeout_ms, 1);
    let primaries = count / 2;
    for at in 0..primaries {
        let own = |slot: &Slot| slot.index() * primaries / 16384 == at;
        let own: Vec<Slot> = Slot::all().filter(own).collect();
        many.operate(at, |core| core.add_slots(&own)).expect("they are free");
    }
    for at in 1..count {
        let ports = Ports { client: 7000, other: 0, bus: 17000 };
        many.operate(at - 1, |core| core.meet(host_of(at), ports.client, ports.bus));
    }
    let limit_ms = 120_000 + 10 * timeout_ms;
    let know_ms = many.until("know all", limit_ms, |core| core.peers().len() == count);
    let ok_ms = know_ms + many.until("are ok", limit_ms, Cluster::is_ok);
    for at in primaries..count {
        let id = many.members[at - primaries].core.peers().me().id;
        many.operate(at, |core| core.replicate(&id)).expect("it is empty");
    }
    many.run_for(3 * timeout_ms);
    let before: u64 = many.members.iter().map(|member| member.sent_bytes).sum();
    many.run_for(10_000);
    let after: u64 = many.members.iter().map(|member| member.sent_bytes).sum();
    let bytes = (after - before) / 10 / count as u64;
    let gone = many.members[0].core.peers().me().id;
    let heir = many.members[primaries].core.peers().me().id;
    many.members[0].is_up = false;
    let fails = |core: &Cluster| core.peers().get(&gone).is_some_and(|peer| peer.has_failed());
    let fail_ms = many.until("see it fail", limit_ms, fails);
    let first = Slot::new(0).expect("a slot");
    let heirs = |core: &Cluster| {
        core.slots().owner(first).is_some_and(|owner| core.peers()[owner].id == heir)
    };
    let replaced_ms = fail_ms + many.until("see its successor", limit_ms, heirs);
    format!(
        "{count} nodes, cluster-node-timeout {timeout_ms} ms: after a chain of MEETs all know all in {know_ms} ms, and are \
         ok in {ok_ms} ms; each sends {bytes} bytes a second; a primary without power is agreed to have failed \
         after {fail_ms} ms, and replaced everywhere after {replaced_ms} ms"
    )
}

#[test]
fn a_large_cluster_forms_and_replaces_a_primary() {
    let count = usize::try_from(number("NODES").unwrap_or(40)).expect("a number of nodes");
    let timeout_ms = number("TIMEOUT_MS").unwrap_or(5000);
    eprintln!("{}", play(count, timeout_ms));
}
