//! One node; its peers are played by the test. Peers answer pings while they are `alive`, and say nothing else of their own
//! accord. What they say has the header that the node expects of them, unless the test changes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use highwater::cluster::core::{LinkId, Peer, PeerIx};
use highwater::cluster::packet::{Gossip, Heartbeat, flags};
use highwater::cluster::settings::Settings;
use highwater::cluster::{
    Body, Cluster, Epoch, Facts, Header, Host, Input, NodeId, Output, Packet, SlotSet,
};

use crate::layout::{self, BEGIN_MS, PORTS, at, host, id};
use crate::shown;

/// What the world does after an output.
enum FollowUp {
    Connected(LinkId),
    Failed(LinkId, bool),
    Saved(bool),
    Answer(char, LinkId),
}

pub(crate) struct Solo {
    pub(crate) cluster: Cluster,
    pub(crate) facts: Facts,
    pub(crate) now_ms: u64,
    /// Peers that answer pings.
    pub(crate) alive: BTreeSet<char>,
    /// Peers that cannot be reached: whether their ports refuse.
    pub(crate) shut: BTreeMap<char, bool>,
    /// Whether the disk takes what is to be persisted.
    pub(crate) disk_works: bool,
    home: Host,
    names: BTreeMap<LinkId, char>,
    inbound: BTreeMap<char, LinkId>,
    outputs: Vec<(String, Output)>,
}

impl Solo {
    /// The node `me` of a layout, its peers connected and heard of, the cluster up for a while.
    pub(crate) fn of(layout: &str, me: char) -> Self {
        Self::with(layout, me, layout::settings())
    }

    pub(crate) fn with(layout: &str, me: char, settings: Settings) -> Self {
        let mut solo = Self::started(layout, me, settings);
        solo.run(3000);
        solo.clear();
        solo
    }

    /// The same at the moment of its start.
    pub(crate) fn started(layout: &str, me: char, settings: Settings) -> Self {
        let conf = layout::conf(layout, me);
        let cluster = Cluster::from_conf(&conf, settings, 1, at(BEGIN_MS)).unwrap();
        let names = layout.split_whitespace().filter_map(|word| word.chars().next());
        let alive = names.filter(|name| *name != me).collect();
        Self::around(cluster, alive)
    }

    /// A node that knows nobody.
    pub(crate) fn alone(me: char) -> Self {
        let cluster = Cluster::new(id(me), id(me), layout::settings(), 1, at(BEGIN_MS));
        Self::around(cluster, BTreeSet::new())
    }

    pub(crate) fn around(cluster: Cluster, alive: BTreeSet<char>) -> Self {
        let home = letter(&cluster.peers().me().id).map_or(Host::UNKNOWN, host);
        Self {
            cluster,
            facts: Facts { data_age_ms: 0, ..Facts::default() },
            now_ms: BEGIN_MS,
            alive,
            shut: BTreeMap::new(),
            disk_works: true,
            home,
            names: BTreeMap::new(),
            inbound: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// Gives the node an input; connections open, saves are done and living peers answer before it returns.
    pub(crate) fn step(&mut self, input: Input<'_>) {
        self.cluster.step(at(self.now_ms), self.facts.clone(), input);
        self.settle();
    }

    /// An operator's command.
    pub(crate) fn ask<T>(&mut self, command: impl FnOnce(&mut Cluster) -> T) -> T {
        self.cluster.begin(at(self.now_ms), self.facts.clone());
        let answer = command(&mut self.cluster);
        self.cluster.finish();
        self.settle();
        answer
    }

    /// Carries out what came out, in order, and what follows from that behind it.
    fn settle(&mut self) {
        let mut follow_ups: VecDeque<FollowUp> = VecDeque::new();
        loop {
            for output in self.cluster.take_outputs() {
                self.record(&output);
                follow_ups.extend(self.carry_out(output));
            }
            let (now, facts) = (at(self.now_ms), self.facts.clone());
            match follow_ups.pop_front() {
                Some(FollowUp::Connected(link)) => {
                    self.cluster.step(now, facts, Input::Connected { link });
                }
                Some(FollowUp::Failed(link, is_refused)) => {
                    self.cluster.step(now, facts, Input::Failed { link, is_refused });
                }
                Some(FollowUp::Saved(is_saved)) => {
                    let number = self.cluster.saves_wanted();
                    self.cluster.step(now, facts, Input::Saved { is_saved, number });
                }
                Some(FollowUp::Answer(name, link)) => {
                    let header = Some(Box::new(self.header(name)));
                    let packet = &Packet { header, body: pong() };
                    self.cluster.step(now, facts, Input::Packet { link, packet });
                }
                None => return,
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<FollowUp> {
        match output {
            Output::Connect { link, host: to, .. } => match self.shut.get(&name_at(to)) {
                Some(is_refused) => return Some(FollowUp::Failed(link, *is_refused)),
                None => return Some(FollowUp::Connected(link)),
            },
            Output::Persist => return Some(FollowUp::Saved(self.disk_works)),
            Output::Send { link, packet } => {
                let (name, link) = self.answer_to(link, &packet)?;
                return Some(FollowUp::Answer(name, link));
            }
            Output::Follow { host, port, .. } => self.facts.follows = Some((host, port)),
            Output::Promote => self.facts.follows = None,
            _ => {}
        }
        None
    }

    fn answer_to(&self, link: LinkId, packet: &Packet) -> Option<(char, LinkId)> {
        let name = *self.names.get(&link)?;
        let asks = matches!(packet.body, Body::Heartbeat { kind: Heartbeat::Ping, .. });
        (asks && self.alive.contains(&name) && self.cluster.peers().get(&id(name)).is_some())
            .then_some((name, link))
    }

    fn record(&mut self, output: &Output) {
        let (mut peer, mut node) = (String::new(), String::new());
        match output {
            Output::Connect { link, host, .. } => {
                node = name_at(*host).to_string();
                self.names.insert(*link, name_at(*host));
            }
            Output::Follow { host, .. } => node = name_at(*host).to_string(),
            Output::Send { link, .. } | Output::Close { link } => {
                let known = self.cluster.link_peer(*link).and_then(|place| self.name_of(place));
                peer = known.or(self.names.get(link).copied()).map_or("?".into(), String::from);
            }
            _ => {}
        }
        self.outputs.push((shown::line(output, &peer, &node), output.clone()));
    }

    fn name_of(&self, place: PeerIx) -> Option<char> {
        let found = self.cluster.peers().iter().find(|(other, _)| *other == place);
        found.and_then(|(_, peer)| letter(&peer.id))
    }

    /// The header that the node expects of a peer.
    pub(crate) fn header(&self, name: char) -> Header {
        let peers = self.cluster.peers();
        let Some(peer) = peers.get(&id(name)) else { return stranger(name) };
        let primary = peer.primary.and_then(|primary| self.name_of(primary));
        let claimant = id(primary.unwrap_or(name));
        let place = peers.find(&claimant).unwrap();
        Header {
            current_epoch: self.cluster.current_epoch(),
            config_epoch: peers.get(&claimant).unwrap().config_epoch,
            offset: peer.offset,
            slots: Arc::new(self.cluster.slots().set_of(place)),
            primary: primary.map(id),
            flags: peer.flags & (flags::PRIMARY | flags::REPLICA | flags::NOFAILOVER)
                | flags::MYSELF,
            ..stranger(name)
        }
    }

    /// The connection from a peer, or from a stranger.
    pub(crate) fn inbound(&mut self, name: char) -> LinkId {
        if let Some(link) = self.inbound.get(&name) {
            return *link;
        }
        self.cluster.begin(at(self.now_ms), self.facts.clone());
        let link = self.cluster.accepted(host(name), self.home);
        self.inbound.insert(name, link);
        self.names.insert(link, name);
        link
    }

    /// The next packet of a peer comes over a new connection.
    pub(crate) fn reconnected(&mut self, name: char) {
        self.inbound.remove(&name);
    }

    /// A peer says something over its own connection.
    pub(crate) fn hears(&mut self, name: char, body: Body) {
        self.hears_with(name, body, |_| {});
    }

    /// The same with another header.
    pub(crate) fn hears_with(&mut self, name: char, body: Body, change: impl FnOnce(&mut Header)) {
        let mut header = self.header(name);
        change(&mut header);
        let link = self.inbound(name);
        self.over(link, header, body);
    }

    /// A peer answers over the connection to it.
    pub(crate) fn answers(&mut self, name: char, change: impl FnOnce(&mut Header)) {
        self.answers_body(name, heartbeat(Heartbeat::Pong, Vec::new()), change);
    }

    pub(crate) fn answers_body(
        &mut self,
        name: char,
        body: Body,
        change: impl FnOnce(&mut Header),
    ) {
        let mut header = self.header(name);
        change(&mut header);
        let link = self.peer(name).link().expect("a connection to it");
        self.over(link, header, body);
    }

    /// The connection to whoever has not said its name yet.
    pub(crate) fn handshake_link(&self) -> LinkId {
        let mut peers = self.cluster.peers().iter();
        let (_, peer) = peers.find(|(_, peer)| peer.is(flags::HANDSHAKE)).expect("a handshake");
        peer.link().expect("an open connection")
    }

    /// A packet over a connection.
    pub(crate) fn over(&mut self, link: LinkId, header: Header, body: Body) {
        let packet = Packet { header: Some(Box::new(header)), body };
        self.step(Input::Packet { link, packet: &packet });
    }

    /// So much time passes, with ticks.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            self.step(Input::Tick);
        }
    }

    /// Ticks without time.
    pub(crate) fn tick(&mut self) {
        self.step(Input::Tick);
    }

    pub(crate) fn clear(&mut self) {
        self.outputs.clear();
    }

    /// What came out since the last look, notes left out.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let outputs = std::mem::take(&mut self.outputs);
        let lines = outputs.into_iter().map(|(line, _)| line);
        lines.filter(|line| !line.starts_with("note ")).collect()
    }

    /// The same without heartbeats.
    pub(crate) fn acts(&mut self) -> Vec<String> {
        let is_heartbeat = |line: &String| line.starts_with("ping ") || line.starts_with("pong ");
        self.lines().into_iter().filter(|line| !is_heartbeat(line)).collect()
    }

    /// The notes among it.
    pub(crate) fn notes(&mut self) -> Vec<String> {
        let outputs = std::mem::take(&mut self.outputs);
        let lines = outputs.into_iter().map(|(line, _)| line);
        lines.filter_map(|line| line.strip_prefix("note ").map(str::to_owned)).collect()
    }

    /// The packets among it, with whom they went to.
    pub(crate) fn sent(&mut self) -> Vec<(String, Arc<Packet>)> {
        let outputs = std::mem::take(&mut self.outputs);
        let sends = outputs.into_iter().filter_map(|(line, output)| match output {
            Output::Send { packet, .. } => Some((line, packet)),
            _ => None,
        });
        sends.collect()
    }

    /// The packet among it that a line tells of.
    pub(crate) fn packet(&mut self, line: &str) -> Arc<Packet> {
        let sent = self.sent();
        let found = sent.iter().find(|(other, _)| other == line);
        let (_, packet) = found.unwrap_or_else(|| panic!("{line} is not in {sent:?}"));
        Arc::clone(packet)
    }

    pub(crate) fn peer(&self, name: char) -> &Peer {
        self.cluster.peers().get(&id(name)).unwrap_or_else(|| panic!("{name} is not known"))
    }

    pub(crate) fn knows(&self, name: char) -> bool {
        self.cluster.peers().get(&id(name)).is_some()
    }

    /// The names of all known nodes; handshakes are `?`.
    pub(crate) fn names(&self) -> String {
        let peers = self.cluster.peers().iter().map(|(_, peer)| peer);
        let mut names: Vec<char> = peers.map(|peer| letter(&peer.id).unwrap_or('?')).collect();
        names.sort_unstable();
        names.into_iter().collect()
    }

    /// The slots of a node.
    pub(crate) fn slots(&self, name: char) -> String {
        let place = self.cluster.peers().find(&id(name)).unwrap();
        shown::runs(&self.cluster.slots().set_of(place))
    }

    /// Whom the node follows.
    pub(crate) fn follows(&self) -> Option<char> {
        self.cluster.peers().me().primary.and_then(|place| self.name_of(place))
    }

    /// Whose replica a peer is.
    pub(crate) fn primary_of(&self, name: char) -> Option<char> {
        self.peer(name).primary.and_then(|place| self.name_of(place))
    }

    /// Whether a peer has one of these flags.
    pub(crate) fn is(&self, name: char, flags: u16) -> bool {
        self.peer(name).is(flags)
    }
}

/// The header of a node that is not known: a primary without slots.
pub(crate) fn stranger(name: char) -> Header {
    Header {
        current_epoch: Epoch(0),
        config_epoch: Epoch(0),
        offset: 0,
        sender: id(name),
        slots: Arc::new(SlotSet::EMPTY),
        primary: None,
        ip: Host::UNKNOWN,
        ports: PORTS,
        flags: flags::PRIMARY | flags::MYSELF,
        is_down: false,
        is_paused: false,
        forces_ack: false,
        steps_back: false,
        hides_offset: false,
        has_extensions: true,
    }
}

/// The name behind an id, if it is one of the tests'.
fn letter(id: &NodeId) -> Option<char> {
    let first = id.as_str().chars().next()?;
    (layout::id(first) == *id).then_some(first)
}

fn name_at(host: Host) -> char {
    ('a'..='z').find(|name| layout::host(*name) == host).unwrap_or('?')
}

pub(crate) fn heartbeat(kind: Heartbeat, gossip: Vec<Gossip>) -> Body {
    Body::Heartbeat { kind, gossip, extensions: Vec::new() }
}

pub(crate) fn ping() -> Body {
    heartbeat(Heartbeat::Ping, Vec::new())
}

pub(crate) fn pong() -> Body {
    heartbeat(Heartbeat::Pong, Vec::new())
}

/// Gossip about a node at its usual place.
pub(crate) fn word_of(name: char, flags: u16) -> Gossip {
    Gossip { id: id(name), ping_sent_s: 0, pong_received_s: 0, ip: host(name), ports: PORTS, flags }
}
