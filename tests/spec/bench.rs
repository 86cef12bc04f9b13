//! Several nodes and the wires between them: no sockets, no threads, one clock for all. Packets arrive at once and in order,
//! unless a wire is cut or held. Disks save at once, unless they are broken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use highwater::cluster::core::{LinkId, Peer, PeerIx};
use highwater::cluster::packet::flags;
use highwater::cluster::settings::Settings;
use highwater::cluster::{Cluster, Facts, Input, Output, Packet};
use highwater_persistence::nodes_conf::NodesConf;

use crate::layout::{self, BEGIN_MS, at, host, id};
use crate::shown;

struct Node {
    cluster: Cluster,
    facts: Facts,
    file: NodesConf,
    lines: Vec<String>,
}

/// One end of a connection.
type End = (char, LinkId);

enum Event {
    Packet(End, Arc<Packet>),
    Closed(End),
    Connected(End),
    Failed(End),
    Saved(char),
}

pub(crate) struct Bench {
    nodes: BTreeMap<char, Node>,
    stopped: BTreeMap<char, NodesConf>,
    pub(crate) now_ms: u64,
    ends: BTreeMap<End, End>,
    events: VecDeque<Event>,
    /// Pairs between which nothing passes, both ways; connections stay.
    cut: BTreeSet<(char, char)>,
    /// Packets to these wait.
    held: BTreeMap<char, Vec<Event>>,
    settings: Settings,
}

impl Bench {
    /// The nodes of a layout, connected and up for a while.
    pub(crate) fn of(layout: &str) -> Self {
        Self::with(layout, layout::settings())
    }

    pub(crate) fn with(layout: &str, settings: Settings) -> Self {
        let mut bench = Self {
            nodes: BTreeMap::new(),
            stopped: BTreeMap::new(),
            now_ms: BEGIN_MS,
            ends: BTreeMap::new(),
            events: VecDeque::new(),
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            settings,
        };
        for name in layout.split_whitespace().filter_map(|word| word.chars().next()) {
            bench.stopped.insert(name, layout::conf(layout, name));
        }
        let names: Vec<char> = bench.stopped.keys().copied().collect();
        names.into_iter().for_each(|name| bench.start(name));
        bench.run(3000);
        bench.clear();
        bench
    }

    /// Starts a node with what is on its disk.
    pub(crate) fn start(&mut self, name: char) {
        let file = self.stopped.remove(&name).expect("a node that does not run");
        let seed = u64::from(u32::from(name)) + self.now_ms;
        let cluster = Cluster::from_conf(&file, self.settings.clone(), seed, at(self.now_ms));
        let (cluster, facts) = (cluster.unwrap(), Facts::default());
        self.nodes.insert(name, Node { cluster, facts, file, lines: Vec::new() });
    }

    /// Adds a node that knows nobody.
    pub(crate) fn add(&mut self, name: char) {
        let cluster = Cluster::new(id(name), id(name), self.settings.clone(), 5, at(self.now_ms));
        self.stopped.insert(name, cluster.to_conf());
        self.start(name);
    }

    /// Ends a node as a crash does.
    pub(crate) fn kill(&mut self, name: char) {
        let node = self.nodes.remove(&name).expect("a node that runs");
        self.stopped.insert(name, node.file);
        let ends: Vec<End> = self.ends.keys().filter(|end| end.0 == name).copied().collect();
        for end in ends {
            let other = self.ends.remove(&end).expect("both ends");
            self.ends.remove(&other);
            self.events.push_back(Event::Closed(other));
        }
        self.deliver();
    }

    /// Nothing passes between these groups any more.
    pub(crate) fn cut(&mut self, one: &str, other: &str) {
        for a in one.chars() {
            self.cut.extend(other.chars().flat_map(|b| [(a, b), (b, a)]));
        }
    }

    /// All wires carry again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// What is sent to `name` waits until it is let go.
    pub(crate) fn hold(&mut self, name: char) {
        self.held.entry(name).or_default();
    }

    pub(crate) fn let_go(&mut self, name: char) {
        self.events.extend(self.held.remove(&name).into_iter().flatten());
        self.deliver();
    }

    pub(crate) fn facts(&mut self, name: char) -> &mut Facts {
        &mut self.nodes.get_mut(&name).expect("a node that runs").facts
    }

    pub(crate) fn cluster(&self, name: char) -> &Cluster {
        &self.nodes.get(&name).expect("a node that runs").cluster
    }

    /// So much time passes, with ticks of all nodes.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            let names: Vec<char> = self.nodes.keys().copied().collect();
            for name in names {
                self.step(name, Input::Tick);
                self.deliver();
            }
        }
    }

    /// Runs until something is so, for a minute at most. How long that took.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> u64 {
        let began_ms = self.now_ms;
        while !is_so(self) {
            assert!(self.now_ms < began_ms + 60_000, "not within a minute: {what}");
            self.run(100);
        }
        self.now_ms - began_ms
    }

    /// An operator's command.
    pub(crate) fn ask<T>(&mut self, name: char, command: impl FnOnce(&mut Cluster) -> T) -> T {
        let now = at(self.now_ms);
        let node = self.nodes.get_mut(&name).expect("a node that runs");
        node.cluster.begin(now, node.facts.clone());
        let answer = command(&mut node.cluster);
        node.cluster.finish();
        self.collect(name);
        self.deliver();
        answer
    }

    fn step(&mut self, name: char, input: Input<'_>) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        node.cluster.step(at(self.now_ms), node.facts.clone(), input);
        self.collect(name);
    }

    fn deliver(&mut self) {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Packet((to, link), packet) => {
                    self.step(to, Input::Packet { link, packet: &packet });
                }
                Event::Closed((to, link)) => self.step(to, Input::Closed { link }),
                Event::Connected((to, link)) => self.step(to, Input::Connected { link }),
                Event::Failed((to, link)) => {
                    self.step(to, Input::Failed { link, is_refused: true })
                }
                Event::Saved(name) => {
                    let Some(node) = self.nodes.get(&name) else { continue };
                    let number = node.cluster.saves_wanted();
                    self.step(name, Input::Saved { is_saved: true, number });
                }
            }
        }
    }

    /// Carries out what a node wants, in order.
    fn collect(&mut self, name: char) {
        let node = self.nodes.get_mut(&name).expect("a node that runs");
        for output in node.cluster.take_outputs() {
            self.carry_out(name, output);
        }
    }

    fn carry_out(&mut self, name: char, output: Output) {
        let (mut peer, mut place) = (String::new(), String::new());
        match &output {
            Output::Connect { link, host, .. } => {
                let to = name_at(*host);
                place = to.to_string();
                let event = self.connect((name, *link), to);
                self.events.push_back(event);
            }
            Output::Close { link } => {
                if let Some(other) = self.ends.remove(&(name, *link)) {
                    self.ends.remove(&other);
                    self.events.push_back(Event::Closed(other));
                }
            }
            Output::Send { link, packet } => {
                if let Some((to, link)) = self.ends.get(&(name, *link)).copied() {
                    peer = to.to_string();
                    self.send(name, (to, link), Arc::clone(packet));
                }
            }
            Output::Persist | Output::SaveSoon => {
                let node = self.nodes.get_mut(&name).expect("a node that runs");
                node.file = node.cluster.to_conf();
                self.events.push_back(Event::Saved(name));
            }
            Output::Follow { host, port, .. } => {
                place = name_at(*host).to_string();
                self.facts(name).follows = Some((*host, *port));
            }
            Output::Promote => self.facts(name).follows = None,
            _ => {}
        }
        let line = shown::line(&output, &peer, &place);
        self.nodes.get_mut(&name).expect("a node that runs").lines.push(line);
    }

    fn connect(&mut self, from: End, to: char) -> Event {
        if self.cut.contains(&(from.0, to)) {
            return Event::Failed(from);
        }
        let now = at(self.now_ms);
        let Some(node) = self.nodes.get_mut(&to) else { return Event::Failed(from) };
        node.cluster.begin(now, node.facts.clone());
        let link = node.cluster.accepted(host(from.0), host(to));
        self.ends.insert(from, (to, link));
        self.ends.insert((to, link), from);
        Event::Connected(from)
    }

    fn send(&mut self, from: char, to: End, packet: Arc<Packet>) {
        let event = Event::Packet(to, packet);
        if self.cut.contains(&(from, to.0)) {
            return;
        }
        match self.held.get_mut(&to.0) {
            Some(held) => held.push(event),
            None => self.events.push_back(event),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.nodes.values_mut().for_each(|node| node.lines.clear());
    }

    /// What a node has wanted since the last look, notes and heartbeats left out.
    pub(crate) fn acts(&mut self, name: char) -> Vec<String> {
        let node = self.nodes.get_mut(&name).expect("a node that runs");
        let lines = std::mem::take(&mut node.lines).into_iter();
        let other = ["note ", "ping ", "pong "];
        lines.filter(|line| !other.iter().any(|start| line.starts_with(start))).collect()
    }

    /// What a node thinks of another: its role and slots, and what is wrong with it.
    pub(crate) fn seen(&self, by: char, of: char) -> String {
        let views = self.views(by);
        views.into_iter().find(|(name, _)| *name == of).map_or("unknown".into(), |(_, view)| view)
    }

    /// What a node thinks of each, by name.
    fn views(&self, by: char) -> Vec<(char, String)> {
        let peers = self.cluster(by).peers();
        let mut slots: BTreeMap<PeerIx, Vec<String>> = BTreeMap::new();
        for (first, last, owner) in self.cluster(by).slots().ranges() {
            let run = match (first.number(), last.number()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            slots.entry(owner).or_default().push(run);
        }
        let names: BTreeMap<PeerIx, char> = peers
            .iter()
            .filter_map(|(place, peer)| Some((place, peer.id.as_str().chars().next()?)))
            .collect();
        let view = |(place, peer): (PeerIx, &Peer)| {
            let role = match peer.primary {
                Some(primary) => format!(">{}", names[&primary]),
                None => {
                    format!(":{}", slots.get(&place).map(|runs| runs.join(",")).unwrap_or_default())
                }
            };
            let state = match peer.flags {
                flags if flags & flags::FAIL != 0 => " fail",
                flags if flags & flags::PFAIL != 0 => " fail?",
                _ => "",
            };
            (names[&place], format!("{}{role}{state}", names[&place]))
        };
        let mut views: Vec<_> = peers.iter().map(view).collect();
        views.sort_unstable();
        views
    }

    /// What all running nodes think of all others, if they agree.
    pub(crate) fn agreed(&self) -> Option<String> {
        let view = |by: &char| {
            let views = self.views(*by).into_iter();
            views.map(|(_, view)| view).collect::<Vec<_>>().join(" ")
        };
        let mut nodes = self.nodes.keys();
        let first = view(nodes.next()?);
        nodes.all(|by| view(by) == first).then_some(first)
    }

    /// Runs until all nodes see the cluster this way.
    pub(crate) fn agrees_on(&mut self, view: &str) {
        let what = format!("{view}, but {:?}", self.agreed());
        self.until(&what, |bench| bench.agreed().as_deref() == Some(view));
    }
}

fn name_at(to: highwater::cluster::Host) -> char {
    ('a'..='z').find(|name| host(*name) == to).expect("an address of the tests")
}
