//! Replication: the link of a replica, and what feeds it on the other side. As `net/link` and `net/feed` do it, but that a
//! full sync hands over the primary's whole log, which takes the place of the replica's.

use highwater::clock::ManualClock;
use highwater::cluster::Host;
use highwater::replication::link::Action;
use highwater::replication::replicas::Stage;
use highwater::replication::resync::{self, Decision, History, Reach, Why};
use highwater::replication::units::Units;
use highwater::resp::inline::encode;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::client::Peer;
use highwater::state::output::Feed;
use highwater::state::{ClientId, Stream};

use crate::bus::shown;
use crate::clients::Connection;
use crate::disk::Log;
use crate::machine::replay;
use crate::network::{Kind, Message};
use crate::world::World;

/// Between two acknowledgements that nobody asked for.
const ACK_US: u64 = 1_000_000;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Lines,
    Copying,
    Streaming,
}

/// The link of a replica.
#[derive(Debug)]
pub(crate) struct Session {
    generation: u64,
    pipe: u64,
    phase: Phase,
    unread: Vec<u8>,
    units: Units,
    full: Option<(String, u64)>,
    /// What the primary wants to have acknowledged.
    asked: Option<u64>,
    acked_us: u64,
}

/// A replica as its primary sees it.
#[derive(Debug)]
pub(crate) struct Fed {
    pipe: u64,
    unread: Vec<u8>,
    /// The history it is fed of, and up to where it has been sent.
    place: Option<(u64, u64)>,
}

impl World {
    /// What is due of a replica's link.
    pub(crate) fn tick_session(&mut self, at: usize) {
        self.end_old_session(at);
        let Some(node) = self.node(at) else { return };
        let replication = &node.state.replication;
        let (Some(primary), generation) = (&replication.primary, replication.generation) else {
            return;
        };
        let address = primary.address.clone();
        let actions = self.with(at, |node, time| node.tick_link(generation, time));
        for action in actions.unwrap_or_default() {
            match action {
                Action::Connect => {
                    let found = self.machines.iter().position(|machine| {
                        shown(machine.host) == address.host && machine.ports.client == address.port
                    });
                    let pipe = self.open(at, Kind::Replication, 0, found);
                    self.machines[at].session = Some(Session {
                        generation,
                        pipe,
                        phase: Phase::Opening,
                        unread: Vec::new(),
                        units: Units::default(),
                        full: None,
                        asked: None,
                        acked_us: self.now_us,
                    });
                }
                Action::Close(why) => self.lose_link(at, &why),
                other => unreachable!("{other:?} is not due to the time"),
            }
        }
        let session = self.machines[at].session.as_ref();
        let is_due = |session: &Session| {
            session.phase == Phase::Streaming && self.now_us >= session.acked_us + ACK_US
        };
        if session.is_some_and(is_due) {
            self.acknowledge(at);
        }
    }

    /// A link to a former primary ends.
    pub(crate) fn end_old_session(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(session) = &machine.session else { return };
        let replication = &machine.node.as_ref().expect("it runs").state.replication;
        if replication.primary.is_none() || replication.generation != session.generation {
            let pipe = session.pipe;
            machine.session = None;
            self.close(pipe, 0);
        }
    }

    fn lose_link(&mut self, at: usize, why: &str) {
        let Some(session) = self.machines[at].session.take() else { return };
        self.trace(at, &format!("The link to the MASTER is lost: {why}"));
        self.close(session.pipe, 0);
        self.with(at, |node, time| node.link_is_lost(session.generation, why, time));
    }

    pub(crate) fn link_opened(&mut self, at: usize, pipe: u64, is_open: bool) {
        let session = self.machines[at].session.as_mut().filter(|session| session.pipe == pipe);
        let Some(session) = session else { return self.close(pipe, 0) };
        if !is_open {
            return self.lose_link(at, "not opened");
        }
        session.phase = Phase::Lines;
        let generation = session.generation;
        let asked = self.with(at, |node, time| {
            node.with_link(generation, time, |link, facts, out| link.connected(facts, out))
        });
        self.act(at, asked.map(|(_, actions)| actions));
    }

    /// Something has come from the primary.
    pub(crate) fn primary_says(&mut self, at: usize, pipe: u64, message: Message) {
        let session = self.machines[at].session.as_mut().filter(|session| session.pipe == pipe);
        let Some(session) = session else { return };
        match message {
            Message::Fin => self.lose_link(at, "the MASTER has closed the connection"),
            Message::Bytes(bytes) if session.phase == Phase::Lines => {
                session.unread.extend_from_slice(&bytes);
                let (generation, unread) = (session.generation, session.unread.clone());
                let read = self.with(at, |node, time| {
                    node.with_link(generation, time, |link, facts, out| {
                        link.receive(&unread, facts, out)
                    })
                });
                let used = read.as_ref().map_or(0, |(used, _)| *used);
                if let Some(session) = &mut self.machines[at].session {
                    session.unread.drain(..used);
                }
                self.act(at, read.map(|(_, actions)| actions));
            }
            Message::Bytes(bytes) => self.apply(at, &bytes),
            Message::Copy(bytes) => self.install(at, bytes),
            Message::Packet(_) => unreachable!("the bus has its own connections"),
        }
    }

    fn act(&mut self, at: usize, actions: Option<Vec<Action>>) {
        let Some(actions) = actions else { return self.end_old_session(at) };
        for action in actions {
            let Some(session) = &mut self.machines[at].session else { return };
            match action {
                Action::Connect => {}
                Action::Send(bytes) => {
                    let pipe = session.pipe;
                    self.send_to(pipe, 1, Message::Bytes(bytes));
                }
                Action::Full { id, offset } => session.full = Some((id, offset)),
                Action::Receive(_) => session.phase = Phase::Copying,
                Action::Continue { id } => {
                    session.phase = Phase::Streaming;
                    let unread = std::mem::take(&mut session.unread);
                    self.with(at, |node, _| node.goes_on(id));
                    self.apply(at, &unread);
                    self.acknowledge(at);
                }
                Action::Close(why) => self.lose_link(at, &why),
            }
        }
    }

    /// A full sync: the primary's log takes the place of the node's own.
    fn install(&mut self, at: usize, bytes: Vec<u8>) {
        let session = self.machines[at].session.as_mut().expect("it was looked at");
        let (id, offset) = session.full.take().expect("it was announced");
        session.phase = Phase::Streaming;
        let generation = session.generation;
        let blank = self.blank(at);
        let (keyspace, beside, db) = replay(&bytes, blank, self.time(at));
        let machine = &mut self.machines[at];
        machine.history += 1;
        machine.released = offset;
        machine.is_syncing = false;
        machine.disk.log = Log::copied(bytes, id.clone());
        assert_eq!(machine.disk.log.end(), offset, "a copy up to its offset");
        self.trace(at, &format!("has a full copy at {offset}"));
        // What waits for the former log waits in vain.
        self.drop_writers(at);
        self.wake_synced(at);
        self.with(at, |node, time| {
            let loaded = |link: &mut highwater::replication::Link, now_ms| {
                link.received(now_ms);
                link.loaded(now_ms);
            };
            let mut stream = Stream::new(id);
            (stream.end, stream.db, stream.recording) = (offset, Some(db), true);
            node.state.stream = stream;
            node.state.clients.iter_mut().for_each(|client| client.wait_offset = 0);
            node.state.detach_replicas();
            drop(node.replace_data(keyspace, beside));
            node.with_link(generation, time, |link, facts, _| loaded(link, facts.now_ms));
        });
        self.acknowledge(at);
    }

    /// Bytes of the stream have come.
    fn apply(&mut self, at: usize, bytes: &[u8]) {
        let Some(session) = &mut self.machines[at].session else { return };
        assert_eq!(session.phase, Phase::Streaming, "nothing else brings more than lines");
        session.units.push(bytes).expect("a stream of commands");
        let (generation, whole) = (session.generation, session.units.whole().to_vec());
        session.units.applied();
        let mut clock = ManualClock(self.time(at));
        let followed = self.with(at, |node, time| {
            if let Some(primary) = &mut node.state.replication.primary {
                primary.link.heard(time.mono_ms());
            }
            match whole.as_slice() {
                [] => Ok((Default::default(), node.state.stream.end)),
                whole => {
                    let followed = node.follow(generation, whole, &mut clock);
                    followed.map(|followed| (followed, node.state.stream.end))
                }
            }
        });
        match followed {
            Err(why) => panic!("#{at} cannot follow its primary: {why}"),
            Ok((followed, end)) if followed.asks => {
                if let Some(session) = &mut self.machines[at].session {
                    session.asked = Some(end);
                }
                self.acknowledge_if_asked(at);
            }
            Ok(_) => {}
        }
    }

    pub(crate) fn acknowledge_if_asked(&mut self, at: usize) {
        let machine = &self.machines[at];
        let asked = machine.session.as_ref().and_then(|session| session.asked);
        if asked.is_some_and(|offset| machine.released >= offset) {
            self.acknowledge(at);
            if let Some(session) = &mut self.machines[at].session {
                session.asked = None;
            }
        }
    }

    /// Tells the primary what the log holds, as far as `appendfsync` promises.
    fn acknowledge(&mut self, at: usize) {
        let (machine, now_us) = (&mut self.machines[at], self.now_us);
        let (Some(session), Some(node)) = (&mut machine.session, &machine.node) else { return };
        session.acked_us = now_us;
        let acked = node.state.stream.end.min(machine.released).to_string();
        let durable = machine.disk.log.durable().to_string();
        let pipe = session.pipe;
        let words = ["REPLCONF", "ACK", acked.as_str(), "FACK", durable.as_str()];
        self.send_to(pipe, 1, Message::Bytes(encode(&words)));
    }

    /// A replica has connected.
    pub(crate) fn accept_replica(&mut self, at: usize, pipe: u64, remote: Host) -> u64 {
        let loopback = remote.is_loopback();
        let peer = Peer { address: format!("{remote}:1"), loopback, ..Peer::default() };
        let client = self.with(at, |node, time| node.connect(peer, time)).expect("there is room");
        let fed = Fed { pipe, unread: Vec::new(), place: None };
        self.machines[at].connections.insert(client, Connection::Replica(fed));
        client.0
    }

    /// Something has come from a replica.
    pub(crate) fn replica_says(&mut self, at: usize, pipe: u64, message: Message) {
        let Some(known) = self.net.pipes.get(&pipe) else { return };
        let client = ClientId(known.ends[1].id);
        let Message::Bytes(bytes) = message else { return self.drop_connection(at, client) };
        let Some(Connection::Replica(fed)) = self.machines[at].connections.get_mut(&client) else {
            return;
        };
        fed.unread.extend_from_slice(&bytes);
        let unread = std::mem::take(&mut fed.unread);
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&unread, limits, &mut requests).expect("requests");
        let mut clock = ManualClock(self.time(at));
        let mut out = Vec::new();
        let node = self.machines[at].node.as_mut().expect("it runs");
        node.execute(client, (&requests, &unread), 0, &mut out, &mut clock);
        if !out.is_empty() {
            self.send_to(pipe, 0, Message::Bytes(out));
        }
        self.after(at);
    }

    /// A replica is to get what it asks for, then the stream.
    pub(crate) fn feed(&mut self, at: usize, feed: Feed) {
        // What is pending of ids is settled first: a change ends those who were fed before it.
        self.commit(at);
        let machine = &mut self.machines[at];
        let Some(Connection::Replica(fed)) = machine.connections.get_mut(&feed.client) else {
            return;
        };
        let node = machine.node.as_mut().expect("it runs");
        let stream = &node.state.stream;
        let former = stream.former.as_ref().map(|(id, offset)| (id.as_str(), *offset));
        let history = History { id: &stream.id, former, end: stream.end };
        let reach = Reach { memory: None, disk: Some(0) };
        let decision = match &feed.asked {
            Some(asked) => resync::decide(asked, &history, &reach),
            None => Decision::Full(Why::Asked),
        };
        let (pipe, id) = (fed.pipe, stream.id.clone());
        node.state.stream.is_told = true;
        let mut messages = Vec::new();
        let from = match decision {
            Decision::Continue { from, .. } => {
                messages.push(Message::Bytes(format!("+CONTINUE {id}\r\n").into_bytes()));
                from
            }
            Decision::Full(why) => {
                let from = machine.disk.log.end();
                let lines = format!("+FULLRESYNC {id} {from}\r\n$1\r\n");
                messages.push(Message::Bytes(lines.into_bytes()));
                messages.push(Message::Copy(machine.disk.log.bytes.clone()));
                self.check.full_syncs += 1;
                if self.traces {
                    eprintln!("#{at} sends everything: {why}");
                }
                from
            }
        };
        fed.place = Some((machine.history, from));
        let time = self.time(at);
        let node = self.machines[at].node.as_mut().expect("it runs");
        if let Some(replica) = node.state.replication.replicas.get_mut(feed.client.0) {
            (replica.stage, replica.acked_ms) = (Stage::Online, time.mono_ms());
        }
        messages.into_iter().for_each(|message| self.send_to(pipe, 0, message));
        self.pump_feeds(at);
    }

    /// Sends replicas what the log holds and they have not been sent.
    pub(crate) fn pump_feeds(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let (history, log) = (machine.history, &machine.disk.log);
        let (mut sent, mut ended) = (Vec::new(), Vec::new());
        for (client, connection) in &mut machine.connections {
            let Connection::Replica(Fed { pipe, place: Some((own, from)), .. }) = connection else {
                continue;
            };
            if *own != history {
                ended.push(*client);
            } else if *from < log.end() {
                let start = usize::try_from(*from).expect("small");
                sent.push((*pipe, log.bytes[start..].to_vec()));
                *from = log.end();
            }
        }
        sent.into_iter().for_each(|(pipe, bytes)| self.send_to(pipe, 0, Message::Bytes(bytes)));
        ended.into_iter().for_each(|client| self.drop_connection(at, client));
    }

    /// A connection is closed from this side, or is gone.
    pub(crate) fn drop_connection(&mut self, at: usize, client: ClientId) {
        let Some(connection) = self.machines[at].connections.remove(&client) else { return };
        match &connection {
            Connection::Replica(fed) => self.close(fed.pipe, 1),
            Connection::Job(served) => self.close(served.pipe, 1),
            Connection::Writer(_) | Connection::Carrier(_) => {}
        }
        self.connection_lost(connection);
        self.with(at, |node, _| node.disconnect(client));
    }
}
