//! Writers: each writes something that nobody else writes, to whoever it believes to own the slot, and remembers what it
//! was told.

use highwater::clock::ManualClock;
use highwater::keyspace::{Access, Slot};
use highwater::resp::inline::encode;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;

use crate::events::Event;
use crate::moves::Unpacking;
use crate::served::Served;
use crate::stream::Fed;
use crate::world::World;

/// A writer that hears nothing for so long gives up.
const PATIENCE_US: u64 = 4_000_000;

/// WAIT's own limit in milliseconds.
const WAIT_MS: u64 = 1500;

/// Redirections that are followed for one write.
const REDIRECTIONS_MAX: u8 = 4;

/// Slots that operators move about: no writer writes there.
pub(crate) const MOVED_SLOTS: u16 = 64;

/// Keys that are appended to by all.
const SHARED_KEYS: u64 = 6;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nobody knows.
    Unknown,
    /// It was not done.
    Refused,
    /// It was done, and so many replicas have it.
    Acked(u64),
}

/// A write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) appends: bool,
    pub(crate) waits: bool,
    pub(crate) outcome: Outcome,
    pub(crate) acked_us: u64,
    /// Who acknowledged it.
    pub(crate) by: usize,
}

/// A write on its way to a machine.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    writer: usize,
    number: u64,
    redirections: u8,
    /// The slot is on its way to where the request goes.
    asks: bool,
}

/// Who writes, and all that was written.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    /// What each is at: the number of its write.
    busy: Vec<Option<u64>>,
    pub(crate) writes: Vec<Write>,
    pub(crate) rest: bool,
    /// How often one was sent to where a key was on its way.
    pub(crate) asked: u64,
}

/// A request that a process deals with.
#[derive(Debug)]
pub(crate) struct Asking {
    request: Request,
    bytes: Vec<u8>,
    done: usize,
    out: Vec<u8>,
    hold: u64,
}

/// A client of a process.
#[derive(Debug)]
pub(crate) enum Connection {
    Replica(Fed),
    Writer(Asking),
    /// It brings keys of a MIGRATE.
    Carrier(Unpacking),
    Job(Served),
}

impl World {
    pub(crate) fn add_writers(&mut self, count: usize) {
        for _ in 0..count {
            self.writers.busy.push(None);
            let writer = self.writers.busy.len() - 1;
            self.pause_writer(writer);
        }
    }

    fn pause_writer(&mut self, writer: usize) {
        let pause_us = self.between((1000, 60_000));
        self.later(pause_us, Event::Write(writer));
    }

    /// A writer begins its next write.
    pub(crate) fn write(&mut self, writer: usize) {
        if self.writers.rest {
            return self.later(200_000, Event::Write(writer));
        }
        let number = self.writers.writes.len() as u64;
        // Where a slot moves all write to the same few keys, again and again.
        let appends = self.plan.tag.is_some() || self.rng.u8(..3) == 0;
        let mut key = match appends {
            true => format!("a{}", self.rng.u64(..SHARED_KEYS)),
            false => format!("w{number}"),
        };
        match self.plan.tag {
            Some(tag) => key = format!("{{{tag}}}{key}"),
            None => {
                while Slot::of(key.as_bytes()).number() < MOVED_SLOTS {
                    key.push('x');
                }
            }
        }
        self.writers.writes.push(Write {
            key,
            value: format!("<{number}>"),
            appends,
            // Where a slot moves there are no replicas to wait for.
            waits: self.plan.tag.is_none() && self.rng.bool(),
            outcome: Outcome::Unknown,
            acked_us: 0,
            by: 0,
        });
        self.writers.busy[writer] = Some(number);
        let machine = self.rng.usize(..self.machines.len());
        let machine = self.owner_by(machine, number).unwrap_or(machine);
        self.ask(machine, Request { writer, number, redirections: 0, asks: false });
        self.later(PATIENCE_US, Event::Answered { writer, number, outcome: Outcome::Unknown });
    }

    fn ask(&mut self, machine: usize, request: Request) {
        let delay_us = self.between(self.plan.delay_us);
        self.later(delay_us, Event::Asked { machine, request });
    }

    fn slot_of(&self, number: u64) -> Slot {
        Slot::of(self.writers.writes[usize::try_from(number).expect("small")].key.as_bytes())
    }

    /// Who owns the slot of a write, as a machine's process sees it.
    fn owner_by(&self, at: usize, number: u64) -> Option<usize> {
        let core = self.core(at)?;
        let owner = core.slots().owner(self.slot_of(number))?;
        self.machine_of(core.peers()[owner].host, core.peers()[owner].ports.bus)
    }

    pub(crate) fn machine_of(&self, host: highwater::cluster::Host, bus: u16) -> Option<usize> {
        self.machines.iter().position(|machine| machine.host == host && machine.ports.bus == bus)
    }

    /// A write has reached a machine.
    pub(crate) fn asked(&mut self, at: usize, request: Request) {
        if self.machines[at].is_off {
            return;
        }
        if self.machines[at].is_stopped {
            self.machines[at].frozen.push(Event::Asked { machine: at, request });
            return;
        }
        if self.machines[at].node.is_none() {
            return self.tell(&request, Outcome::Refused);
        }
        let write = &self.writers.writes[usize::try_from(request.number).expect("small")];
        let verb = if write.appends { "APPEND" } else { "SET" };
        let mut bytes = if request.asks { encode(&["ASKING"]) } else { Vec::new() };
        bytes.extend(encode(&[verb, write.key.as_str(), write.value.as_str()]));
        if write.waits {
            bytes.extend(encode(&["WAIT", "1", &WAIT_MS.to_string()]));
        }
        let asking = Asking { request, bytes, done: 0, out: Vec::new(), hold: 0 };
        let peer = Peer { address: "10.1.1.1:1".to_owned(), ..Peer::default() };
        let client = self.with(at, |node, time| node.connect(peer, time)).expect("there is room");
        self.machines[at].connections.insert(client, Connection::Writer(asking));
        self.run_request(at, client);
    }

    /// Runs what has not run of a writer's request.
    pub(crate) fn run_request(&mut self, at: usize, client: ClientId) {
        let Some(Connection::Writer(asking)) = self.machines[at].connections.get(&client) else {
            return;
        };
        let (done, bytes) = (asking.done, asking.bytes.clone());
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("requests");
        if done >= requests.len() {
            return;
        }
        let mut clock = ManualClock(self.time(at));
        let mut out = Vec::new();
        let node = self.machines[at].node.as_mut().expect("it runs");
        let ran = node.execute(client, (&requests, &bytes), done, &mut out, &mut clock);
        if let Some(Connection::Writer(asking)) = self.machines[at].connections.get_mut(&client) {
            asking.done += ran.executed;
            asking.out.extend_from_slice(&out);
            asking.hold = asking.hold.max(ran.hold);
        }
        self.after(at);
        self.answer(at, client);
    }

    fn redirected(&mut self, request: Request, (elsewhere, asks): (Option<usize>, bool)) {
        self.writers.asked += u64::from(asks);
        match elsewhere {
            Some(machine) if request.redirections < REDIRECTIONS_MAX => {
                let redirections = request.redirections + 1;
                self.ask(machine, Request { redirections, asks, ..request });
            }
            _ => self.tell(&request, Outcome::Refused),
        }
    }

    pub(crate) fn push(&mut self, at: usize, client: ClientId, bytes: &[u8]) {
        if let Some(Connection::Writer(asking)) = self.machines[at].connections.get_mut(&client) {
            asking.out.extend_from_slice(bytes);
            self.answer(at, client);
        }
    }

    /// Sends a writer its replies, if they are all there and the log has released them.
    pub(crate) fn answer(&mut self, at: usize, client: ClientId) {
        let machine = &self.machines[at];
        let Some(Connection::Writer(asking)) = machine.connections.get(&client) else { return };
        let waits =
            self.writers.writes[usize::try_from(asking.request.number).expect("small")].waits;
        let text = String::from_utf8_lossy(&asking.out).into_owned();
        let mut replies: Vec<&str> = text.split_terminator("\r\n").collect();
        if asking.request.asks && !replies.is_empty() {
            replies.remove(0);
        }
        if replies.len() < 1 + usize::from(waits) || asking.hold > machine.released {
            return;
        }
        let request = asking.request.clone();
        let elsewhere = self.named_by(replies[0]);
        let asks = replies[0].starts_with("-ASK ");
        let outcome = match (replies[0].starts_with('-'), replies.get(1)) {
            (true, _) => Outcome::Refused,
            (false, None) => Outcome::Acked(0),
            (false, Some(count)) => {
                Outcome::Acked(count.strip_prefix(':').and_then(|n| n.parse().ok()).unwrap_or(0))
            }
        };
        let write = &mut self.writers.writes[usize::try_from(request.number).expect("small")];
        write.by = at;
        self.machines[at].connections.remove(&client);
        self.with(at, |node, _| node.disconnect(client));
        match elsewhere {
            Some(_) => self.redirected(request, (elsewhere, asks)),
            None => self.tell(&request, outcome),
        }
    }

    /// Where a redirection leads.
    fn named_by(&self, reply: &str) -> Option<usize> {
        let place = reply.strip_prefix("-MOVED ").or_else(|| reply.strip_prefix("-ASK "))?;
        let address = place.split(' ').nth(1)?;
        let (host, port) = address.rsplit_once(':')?;
        self.machines.iter().position(|machine| {
            machine.host.as_str() == host && machine.ports.client.to_string() == port
        })
    }

    fn tell(&mut self, request: &Request, outcome: Outcome) {
        let delay_us = self.between(self.plan.delay_us);
        let (writer, number) = (request.writer, request.number);
        self.later(delay_us, Event::Answered { writer, number, outcome });
    }

    /// A writer hears what became of its write.
    pub(crate) fn answered(&mut self, writer: usize, number: u64, outcome: Outcome) {
        if self.writers.busy[writer] != Some(number) {
            return;
        }
        self.writers.busy[writer] = None;
        let write = &mut self.writers.writes[usize::try_from(number).expect("small")];
        (write.outcome, write.acked_us) = (outcome, self.now_us);
        self.pause_writer(writer);
    }

    pub(crate) fn connection_lost(&mut self, connection: Connection) {
        if let Connection::Writer(asking) = connection {
            self.tell(&asking.request, Outcome::Unknown);
        }
    }

    /// Writers that wait for a log which is no more.
    pub(crate) fn drop_writers(&mut self, at: usize) {
        let connections = self.machines[at].connections.iter();
        let writers: Vec<ClientId> = connections
            .filter(|(_, connection)| matches!(connection, Connection::Writer(_)))
            .map(|(client, _)| *client)
            .collect();
        writers.into_iter().for_each(|client| self.drop_connection(at, client));
    }

    /// What a node holds under a key.
    fn value(&mut self, at: usize, key: &str) -> Option<String> {
        let keyspace = &mut self.machines[at].node.as_mut()?.state.keyspace;
        let key_ref = keyspace.key(key.as_bytes());
        let entry = keyspace.lookup(0, &key_ref, Access::PEEK)?;
        let bytes = entry.value().to_string_bytes()?.to_vec();
        Some(String::from_utf8(bytes).expect("text"))
    }

    /// Looks for all writes that `must` have survived, on who owns their slots now; and that none was done twice.
    pub(crate) fn check_writes(&mut self, must: impl Fn(&Write) -> bool) {
        let writes = std::mem::take(&mut self.writers.writes);
        for write in &writes {
            let slot = Slot::of(write.key.as_bytes());
            let core = self.core(0).expect("all is well again");
            let owner = core.slots().owner(slot).expect("every slot has an owner");
            let peer = &core.peers()[owner];
            let at = self.machine_of(peer.host, peer.ports.bus).expect("a machine");
            let found = self.value(at, &write.key).unwrap_or_default();
            let count = found.matches(&write.value).count();
            assert!(count <= 1, "{write:?} was done {count} times");
            if count == 0 && must(write) {
                panic!("lost: {write:?}, now owned by #{at}");
            }
            if write.outcome == Outcome::Refused {
                assert_eq!(count, 0, "{write:?} was refused");
            }
        }
        self.writers.writes = writes;
    }
}
