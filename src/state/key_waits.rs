//! Clients whose commands wait for keys: BLPOP and its kin, XREAD.
//!
//! The request is kept. When a key of it changes it is run again, for each client in order of arrival; so what it does, and what
//! the log gets of it, is what it would have done had it come at that moment.

use std::collections::{BTreeMap, BTreeSet};

use super::client::{Blocked, ClientId, Queued, ReplyMode};
use super::{Output, State};

/// What a client is told that has waited in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// Nothing.
    Nil,
    /// An array that is nothing.
    NilArray,
}

impl Empty {
    /// The reply.
    pub fn reply(self, resp3: bool) -> &'static [u8] {
        match (self, resp3) {
            (_, true) => b"_\r\n",
            (Empty::Nil, false) => b"$-1\r\n",
            (Empty::NilArray, false) => b"*-1\r\n",
        }
    }
}

/// What ends a wait beside its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Data at a key, of the command's own type.
    ByData,
    /// That, and also that a key goes, or becomes one of another type (XREADGROUP).
    AlsoByLoss,
}

/// A command that waits.
#[derive(Debug)]
pub struct KeyWait {
    /// The database of its keys.
    pub db: u32,
    /// Its keys.
    pub keys: Vec<Box<[u8]>>,
    /// What is run again.
    pub request: Queued,
    /// What ends it.
    pub woken: Woken,
    /// When it gives up, in milliseconds since 1970; 0: never.
    pub until_ms: u64,
    /// What it is told then.
    pub empty: Empty,
    /// Whose statistics it counts for.
    pub command: usize,
}

/// All commands that wait for keys.
#[derive(Debug, Default)]
pub struct KeyWaits {
    by_client: BTreeMap<ClientId, KeyWait>,
    due: BTreeSet<(u64, ClientId)>,
}

impl KeyWaits {
    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// What a client waits for.
    pub fn get(&self, id: ClientId) -> Option<&KeyWait> {
        self.by_client.get(&id)
    }

    /// All clients that wait.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, &KeyWait)> {
        self.by_client.iter().map(|(id, wait)| (*id, wait))
    }

    /// The next moment at which somebody gives up, in milliseconds since 1970.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    fn first_due(&self, now_ms: u64) -> Option<ClientId> {
        self.due.first().filter(|(due, _)| *due <= now_ms).map(|(_, id)| *id)
    }
}

impl State {
    /// A client's command waits from now on.
    pub fn begin_key_wait(&mut self, id: ClientId, wait: KeyWait) {
        for key in &wait.keys {
            self.keyspace.wait_for(wait.db, key, id.0);
        }
        if wait.until_ms != 0 {
            self.key_waits.due.insert((wait.until_ms, id));
        }
        self.note_deadline(wait.until_ms);
        self.key_waits.by_client.insert(id, wait);
    }

    /// A client's command does not wait any more.
    pub fn end_key_wait(&mut self, id: ClientId) -> Option<KeyWait> {
        let wait = self.key_waits.by_client.remove(&id)?;
        for key in &wait.keys {
            self.keyspace.leave_wait(wait.db, key, id.0);
        }
        self.key_waits.due.remove(&(wait.until_ms, id));
        Some(wait)
    }

    /// Ends the wait of a client's command with `reply`, or with that to a wait in vain. Whether it was waiting.
    pub fn break_key_wait(&mut self, id: ClientId, reply: Option<&[u8]>) -> bool {
        let Some(wait) = self.end_key_wait(id) else { return false };
        self.stats.command(wait.command).calls += 1;
        let Some(client) = self.clients.get_mut(id) else { return true };
        client.blocked = None;
        let bytes = reply.unwrap_or_else(|| wait.empty.reply(client.resp3));
        match client.reply_mode {
            ReplyMode::Off => {}
            _ => self.outputs.push(Output::Push { client: id, bytes: bytes.to_vec() }),
        }
        self.outputs.push(Output::Resume { client: id });
        true
    }

    /// Ends all waits for keys with `reply`.
    pub fn break_key_waits(&mut self, reply: &[u8]) {
        let ids: Vec<ClientId> = self.key_waits.by_client.keys().copied().collect();
        for id in ids {
            self.break_key_wait(id, Some(reply));
        }
    }

    /// Ends the waits whose time has come.
    pub(super) fn end_due_key_waits(&mut self) {
        while let Some(id) = self.key_waits.first_due(self.time.unix_ms()) {
            self.break_key_wait(id, None);
        }
    }

    /// A client waits until `until_ms` (0: for ever): the driver is told if that is sooner than what it knows of.
    pub fn note_deadline(&mut self, until_ms: u64) {
        if until_ms != 0 && until_ms < self.next_deadline_ms {
            self.next_deadline_ms = until_ms;
            self.outputs.push(Output::Deadline);
        }
    }

    /// The next moment at which a client gives up waiting; the driver is told of earlier ones from now on.
    pub fn take_deadline(&mut self) -> Option<u64> {
        let waits = self.waiting.iter().filter_map(|id| match self.clients.get(*id)?.blocked {
            Some(Blocked::Waiting { until_ms, .. }) if until_ms != 0 => Some(until_ms),
            _ => None,
        });
        let next = waits.chain(self.key_waits.next_due_ms()).min();
        self.next_deadline_ms = next.unwrap_or(u64::MAX);
        next
    }
}
