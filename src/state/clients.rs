//! All connected clients, by number.

use std::collections::BTreeMap;

use super::client::{Blocked, Client, ClientId, Peer, ReplyMode, Timeout};
use super::{Output, State};
use crate::clock::Time;

/// The clients. While a command runs, its client is out of here ([`Clients::take`]) and in the command's hands.
#[derive(Debug, Default)]
pub struct Clients {
    /// Ordered by number, which is the order of connecting: CLIENT LIST shows it so.
    by_id: BTreeMap<ClientId, Option<Box<Client>>>,
    last: u64,
}

impl Clients {
    /// Adds a client and gives it a number.
    pub fn connect(&mut self, peer: Peer, authenticated: bool, time: Time) -> ClientId {
        self.last += 1;
        let id = ClientId(self.last);
        self.by_id.insert(id, Some(Box::new(Client::new(id, peer, authenticated, time))));
        id
    }

    /// Removes a client for good.
    pub fn disconnect(&mut self, id: ClientId) -> Option<Box<Client>> {
        self.by_id.remove(&id).flatten()
    }

    /// Takes a client out while it executes; [`Clients::put`] brings it back.
    pub fn take(&mut self, id: ClientId) -> Option<Box<Client>> {
        self.by_id.get_mut(&id)?.take()
    }

    /// Brings a client back.
    pub fn put(&mut self, client: Box<Client>) {
        if let Some(place) = self.by_id.get_mut(&client.id) {
            *place = Some(client);
        }
    }

    /// A client that is not executing now.
    pub fn get(&self, id: ClientId) -> Option<&Client> {
        self.by_id.get(&id)?.as_deref()
    }

    /// A client that is not executing now.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.by_id.get_mut(&id)?.as_deref_mut()
    }

    /// All clients that are not executing now, in order of connecting.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values().filter_map(Option::as_deref)
    }

    /// All clients that are not executing now, in order of connecting.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.by_id.values_mut().filter_map(Option::as_deref_mut)
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
        if client.reply_mode != ReplyMode::Off {
            self.outputs.push(Output::Push { client: id, bytes: reply.to_vec() });
        }
        self.outputs.push(Output::Resume { client: id });
        true
    }
}
