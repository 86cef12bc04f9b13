//! All connected clients, by number.

use std::collections::BTreeMap;

use super::client::{Blocked, Client, ClientId, Peer, Timeout};
use super::messages::Mailbox;
use super::{Output, State};
use crate::clock::Time;

/// The clients. While a command runs, its client is out of here ([`Clients::take`]) and in the command's hands; its mailbox
/// stays.
#[derive(Debug, Default)]
pub struct Clients {
    /// Ordered by number, which is the order of connecting: CLIENT LIST shows it so.
    by_id: BTreeMap<ClientId, Seat>,
    last: u64,
    /// How many mailboxes are not empty.
    pub(super) mailboxes_filled: usize,
}

/// The place of one client.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Nothing while the client executes.
    pub(super) client: Option<Box<Client>>,
    pub(super) mailbox: Mailbox,
}

impl Clients {
    /// Adds a client and gives it a number.
    pub fn connect(&mut self, peer: Peer, authenticated: bool, time: Time) -> ClientId {
        self.last += 1;
        let id = ClientId(self.last);
        let client = Some(Box::new(Client::new(id, peer, authenticated, time)));
        self.by_id.insert(id, Seat { client, mailbox: Mailbox::default() });
        id
    }

    /// Removes a client for good.
    pub fn disconnect(&mut self, id: ClientId) -> Option<Box<Client>> {
        let seat = self.by_id.remove(&id)?;
        self.mailboxes_filled -= usize::from(!seat.mailbox.is_empty());
        seat.client
    }

    /// Takes a client out while it executes; [`Clients::put`] brings it back.
    pub fn take(&mut self, id: ClientId) -> Option<Box<Client>> {
        self.by_id.get_mut(&id)?.client.take()
    }

    /// Brings a client back.
    pub fn put(&mut self, client: Box<Client>) {
        if let Some(seat) = self.by_id.get_mut(&client.id) {
            seat.client = Some(client);
        }
    }

    /// Clients that are not executing now and have `limit` or more bytes of messages waiting.
    pub(super) fn mailboxes(&self, limit: usize) -> impl Iterator<Item = (ClientId, usize)> {
        let full = move |(id, seat): (&ClientId, &Seat)| {
            let bytes = seat.mailbox.bytes();
            (bytes >= limit && seat.client.is_some()).then_some((*id, bytes))
        };
        self.by_id.iter().filter_map(full)
    }

    pub(super) fn seat_mut(&mut self, id: ClientId) -> Option<&mut Seat> {
        self.by_id.get_mut(&id)
    }

    /// A client that is not executing now.
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        self.by_id.get(&id)?.client.as_deref()
    }

    /// A client that is not executing now.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.by_id.get_mut(&id)?.client.as_deref_mut()
    }

    /// All clients that are not executing now, in order of connecting.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values().filter_map(|seat| seat.client.as_deref())
    }

    /// All clients that are not executing now, in order of connecting.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.by_id.values_mut().filter_map(|seat| seat.client.as_deref_mut())
    }

    /// How many are connected, the one executing included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl State {
    /// Ends CLIENT PAUSE: the clients that wait go on.
    pub fn end_pause(&mut self) {
        self.pause = None;
        self.resume_paused();
    }

    /// Lets paused clients try again.
    pub fn resume_paused(&mut self) {
        let State { clients, outputs, .. } = self;
        for client in clients.iter_mut().filter(|client| client.blocked == Some(Blocked::Paused)) {
            client.blocked = None;
            outputs.push(Output::Resume { client: client.id });
        }
    }

    /// What a client is told whose wait is over.
    pub fn wait_reply(&self, wait: Timeout) -> Vec<u8> {
        let replicas = &self.replication.replicas;
        match wait {
            Timeout::Ok => b"+OK\r\n".to_vec(),
            Timeout::Acked { offset, .. } => {
                format!(":{}\r\n", replicas.acked(offset)).into_bytes()
            }
            Timeout::Synced { offset, .. } => {
                let local = u8::from(self.is_durable(offset));
                format!("*2\r\n:{local}\r\n:{}\r\n", replicas.synced(offset)).into_bytes()
            }
        }
    }

    /// Whether a wait has come to its end before its time.
    pub fn wait_is_over(&self, wait: Timeout) -> bool {
        let own_replicas = &self.replication.replicas;
        match wait {
            Timeout::Ok => false,
            Timeout::Acked { offset, replicas } => own_replicas.acked(offset) >= replicas,
            Timeout::Synced { offset, local, replicas } => {
                (!local || self.is_durable(offset)) && own_replicas.synced(offset) >= replicas
            }
        }
    }

    fn is_durable(&self, offset: u64) -> bool {
        self.persistence.aof_enabled && offset <= self.persistence.durable
    }

    /// Answers the clients that wait and need not any longer.
    pub fn end_met_waits(&mut self) {
        self.end_waits(|state, _, wait| state.wait_is_over(wait));
    }

    /// Answers the clients whose waits are over: because they are met, or their time has come.
    pub fn end_due_waits(&mut self) {
        self.end_due_key_waits();
        let now_ms = self.time.unix_ms();
        self.end_waits(|state, until_ms, wait| {
            until_ms != 0 && until_ms <= now_ms || state.wait_is_over(wait)
        });
    }

    fn end_waits(&mut self, is_over: impl Fn(&State, u64, Timeout) -> bool) {
        let waiting = std::mem::take(&mut self.waiting);
        for id in waiting {
            let blocked = self.clients.get(id).and_then(|client| client.blocked);
            let Some(Blocked::Waiting { until_ms, reply }) = blocked else { continue };
            if is_over(self, until_ms, reply) {
                let reply = self.wait_reply(reply);
                self.end_wait(id, &reply);
            } else {
                self.waiting.push(id);
            }
        }
    }

    /// Ends the wait of a client's command with `reply`. Whether it was waiting.
    pub fn end_wait(&mut self, id: ClientId, reply: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        if !matches!(client.blocked, Some(Blocked::Waiting { .. })) {
            return false;
        }
        client.blocked = None;
        self.answer_waiting(id, reply.to_vec());
        true
    }

    /// Answers a client whose command has waited, if it wants that, and lets it go on, or go.
    pub fn answer_waiting(&mut self, id: ClientId, reply: Vec<u8>) {
        if let Some(error) = reply.strip_prefix(b"-") {
            let code = error.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            self.stats.count_error(&String::from_utf8_lossy(code));
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        let goes = client.close_after_reply;
        if client.wants_reply() {
            self.outputs.push(Output::Push { client: id, bytes: reply });
        }
        let next = if goes { Output::Finish { client: id } } else { Output::Resume { client: id } };
        self.outputs.push(next);
    }

    /// Has a client's connection closed at once, unsent output and all. What it waits for comes to others.
    pub fn kill(&mut self, id: ClientId) {
        self.end_key_wait(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.killed = true;
        self.outputs.push(Output::Close { client: id });
    }
}
