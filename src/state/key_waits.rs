//! Clients whose commands wait for keys: BLPOP and its kin, XREAD.
//!
//! The request is kept. When a key of it changes it is run again, for each client in order of arrival; so what it does, and what
//! the log gets of it, is what it would have done had it come at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use highwater_persistence::snapshot::StreamId;

use super::client::{Blocked, ClientId, Queued};
use super::{Output, State};
use crate::keyspace::{Awaited, Slot, ValueRef, Waiter};
use crate::types::{Object, Stream};

/// What a command waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A list at one of its keys (it has items).
    List,
    /// A sorted set at one of its keys.
    SortedSet,
    /// Entries above these ids: one for each of its keys.
    Entries(Box<[StreamId]>),
    /// Entries that a group has not read, or that the group goes, or its key.
    Group {
        /// Which argument of the request is its name.
        name_at: usize,
    },
}

impl Wanted {
    fn awaited(&self) -> Awaited {
        match self {
            Wanted::List => Awaited::List,
            Wanted::SortedSet => Awaited::SortedSet,
            Wanted::Entries(_) => Awaited::Stream,
            Wanted::Group { .. } => Awaited::Group,
        }
    }
}

/// What is at a key that commands wait for.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// A list.
    List,
    /// A sorted set.
    SortedSet,
    /// A stream, and the id of its newest entry if it has any.
    Stream(&'a Stream, Option<StreamId>),
    /// Nothing, or something that no command waits for.
    Nothing,
}

impl<'a> Found<'a> {
    /// What the value at a key is to those who wait.
    pub fn of(value: Option<ValueRef<'a>>) -> Self {
        match value {
            Some(ValueRef::Object(Object::List(_))) => Found::List,
            Some(ValueRef::Object(Object::Zset(_))) => Found::SortedSet,
            Some(ValueRef::Object(Object::Stream(stream))) => {
                Found::Stream(stream, stream.entries.last().map(|entry| entry.id))
            }
            _ => Found::Nothing,
        }
    }
}

/// A command that waits.
#[derive(Debug)]
pub struct KeyWait {
    /// Its place among all that wait, which [`State::begin_key_wait`] gives.
    pub ticket: u64,
    /// The database of its keys.
    pub db: u32,
    /// What is run again.
    pub request: Arc<Queued>,
    /// Which arguments of the request are its keys.
    pub keys: Range<usize>,
    /// What ends it.
    pub wanted: Wanted,
    /// When it gives up, in milliseconds since 1970; 0: never.
    pub until_ms: u64,
    /// Whose statistics it counts for.
    pub command: usize,
    /// In cluster mode: the slot of its keys.
    pub slot: Option<Slot>,
    /// Whether it may write.
    pub writes: bool,
}

impl KeyWait {
    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.request.args().iter_from(self.keys.start).take(self.keys.len())
    }

    /// Bytes of memory that it takes, its places in the queues of its keys aside.
    fn memory_usage(&self) -> usize {
        let ids = match &self.wanted {
            Wanted::Entries(ids) => size_of_val::<[StreamId]>(ids),
            _ => 0,
        };
        size_of::<Self>() + self.request.memory_usage() + ids
    }
}

/// All commands that wait for keys.
#[derive(Debug, Default)]
pub struct KeyWaits {
    by_client: BTreeMap<ClientId, KeyWait>,
    due: BTreeSet<(u64, ClientId)>,
    last_ticket: u64,
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

    /// Whether what is at a key now ends the wait of one who waits for it. Looks at no more than it must: many may wait for
    /// one stream, and each of its changes asks for all of them.
    pub fn ends(&self, waiter: &Waiter, found: Found<'_>) -> bool {
        match (found, waiter.awaited) {
            (Found::List, Awaited::List) | (Found::SortedSet, Awaited::SortedSet) => true,
            (Found::Stream(stream, newest), Awaited::Stream | Awaited::Group) => {
                let wait = self.get(ClientId(waiter.session));
                wait.is_some_and(|wait| wait.is_ended_by(stream, newest, waiter.index))
            }
            (_, awaited) => awaited == Awaited::Group,
        }
    }

    /// The next moment at which somebody gives up, in milliseconds since 1970.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    fn first_due(&self, now_ms: u64) -> Option<ClientId> {
        self.due.first().filter(|(due, _)| *due <= now_ms).map(|(_, id)| *id)
    }
}

impl KeyWait {
    /// Whether a stream at the key with that index has something for it, or lacks its group.
    fn is_ended_by(&self, stream: &Stream, newest: Option<StreamId>, index: u32) -> bool {
        match &self.wanted {
            Wanted::Entries(ids) => {
                let above = ids.get(index as usize).copied();
                newest.is_some() && newest > above
            }
            Wanted::Group { name_at } => {
                let group = stream.group(&self.request.args()[*name_at]);
                group.is_none_or(|group| newest.is_some_and(|newest| newest > group.last_id))
            }
            Wanted::List | Wanted::SortedSet => false,
        }
    }
}

impl State {
    /// A client's command waits from now on, behind all that do. Returns the bytes of memory that this takes.
    pub fn begin_key_wait(&mut self, id: ClientId, mut wait: KeyWait) -> usize {
        self.key_waits.last_ticket += 1;
        wait.ticket = self.key_waits.last_ticket;
        let (session, ticket, awaited) = (id.0, wait.ticket, wait.wanted.awaited());
        let mut bytes = wait.memory_usage();
        let request = Arc::clone(&wait.request);
        let keys = request.args().iter_from(wait.keys.start).take(wait.keys.len());
        for (index, key) in (0..).zip(keys) {
            let waiter = Waiter { ticket, session, index, awaited };
            let joined = self.keyspace.wait_for(wait.db, key, waiter);
            bytes += joined.bytes;
            if joined.index != index
                && let Wanted::Entries(ids) = &mut wait.wanted
            {
                let first = joined.index as usize;
                ids[first] = ids[first].min(ids[index as usize]);
            }
        }
        if wait.until_ms != 0 {
            self.key_waits.due.insert((wait.until_ms, id));
        }
        self.note_deadline(wait.until_ms);
        self.key_waits.by_client.insert(id, wait);
        bytes
    }

    /// A client's command does not wait any more.
    pub fn end_key_wait(&mut self, id: ClientId) -> Option<KeyWait> {
        let wait = self.key_waits.by_client.remove(&id)?;
        for key in wait.keys() {
            self.keyspace.leave_wait(wait.db, key, wait.ticket);
        }
        self.key_waits.due.remove(&(wait.until_ms, id));
        if let Some(client) = self.clients.get_mut(id) {
            client.waiting_bytes = 0;
            client.blocked = None;
        }
        Some(wait)
    }

    /// Ends the wait of a client's command with `reply`, or with that to a wait in vain. Whether it was waiting.
    pub fn break_key_wait(&mut self, id: ClientId, reply: Option<&[u8]>) -> bool {
        /// An array that is nothing, in RESP2 and RESP3: whatever the command answers where it may not wait.
        const EMPTY: [&[u8]; 2] = [b"*-1\r\n", b"_\r\n"];
        let Some(wait) = self.end_key_wait(id) else { return false };
        self.stats.commands += 1;
        let stats = self.stats.command(wait.command);
        stats.calls += 1;
        stats.failed += u64::from(reply.is_some());
        let Some(client) = self.clients.get(id) else { return true };
        let bytes = reply.unwrap_or(EMPTY[usize::from(client.resp3)]).to_vec();
        self.answer_waiting(id, bytes);
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
