//! MIGRATE under way: keys of which copies are on their way to another node.
//!
//! The node holds the keys (`keyspace/hold.rs`), the driver fetches copies of them, talks to the target, and tells which
//! have arrived. Until then the node serves them for reading; who wants to change one waits.

use std::collections::BTreeMap;

use super::client::{Blocked, Client};
use super::{ClientId, Output, State};
use crate::resp::CommandError;

/// Where keys go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host, as the client gave it.
    pub host: String,
    /// Port; 0 where the client gave none that can be one.
    pub port: u16,
    /// Database there.
    pub db: u32,
    /// Words behind AUTH: a password, or a user and a password.
    pub auth: Vec<Vec<u8>>,
    /// Keys that are there already are overwritten.
    pub replaces: bool,
    /// The target is a node of a cluster, whose slot may be open.
    pub asks: bool,
    /// The longest time without progress, in milliseconds.
    pub timeout_ms: u64,
}

/// What a client wants moved.
#[derive(Debug)]
pub struct Order {
    /// Where to.
    pub target: Target,
    /// Database here.
    pub db: u32,
    /// The keys; none twice.
    pub keys: Vec<Box<[u8]>>,
    /// They stay here too.
    pub copies: bool,
}

/// A MIGRATE under way.
#[derive(Debug)]
pub struct Move {
    /// Who waits for its end.
    pub client: ClientId,
    /// What is moved.
    pub order: Order,
    /// The first key that the driver has not fetched yet.
    pub next: usize,
    /// Keys that have arrived, and are to be removed here.
    pub arrived: Vec<usize>,
    /// The end of the log when the last of its keys was removed; 0 if none was.
    pub removed_at: u64,
    /// A key was changed under way: its copy has arrived, and it stays here.
    pub has_changed: bool,
    /// All is said between the driver and the target, well or not.
    pub ended: Option<Result<(), CommandError>>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Moves {
    under_way: BTreeMap<u64, Move>,
    last: u64,
    /// Clients that want to change a held key.
    pub waiting: Vec<ClientId>,
    /// Open connections to targets that are not in use, told by the driver.
    pub cached_sockets: usize,
}

impl Moves {
    /// A move that has not ended.
    pub fn get(&self, number: u64) -> Option<&Move> {
        self.under_way.get(&number)
    }

    /// A move that has not ended.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Move> {
        self.under_way.get_mut(&number)
    }

    /// The numbers of all that have not ended.
    pub fn numbers(&self) -> Vec<u64> {
        self.under_way.keys().copied().collect()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl State {
    /// Begins to move keys for `client`, which waits. Nobody changes them until they have arrived, or it is known that they
    /// have not.
    pub fn begin_move(&mut self, client: &mut Client, order: Order) {
        self.moves.last += 1;
        let number = self.moves.last;
        if !order.copies {
            for key in &order.keys {
                let key = self.keyspace.key(key);
                let is_held = self.keyspace.hold(order.db, &key, number);
                debug_assert!(is_held, "the gates let nobody move a key that is on its way");
            }
        }
        let one = Move {
            client: client.id,
            order,
            next: 0,
            arrived: Vec::new(),
            removed_at: 0,
            has_changed: false,
            ended: None,
        };
        self.moves.under_way.insert(number, one);
        client.blocked = Some(Blocked::Job);
        self.outputs.push(Output::MoveKeys { number });
    }

    /// Ends a move: keys that have not arrived are free again, and its client is told.
    pub fn end_move(&mut self, number: u64, result: Result<(), CommandError>) {
        let Some(one) = self.moves.under_way.remove(&number) else { return };
        for key in &one.order.keys {
            self.keyspace.release(one.order.db, key, number);
        }
        let bytes = match &result {
            Ok(()) => b"+OK\r\n".to_vec(),
            Err(error) => {
                self.stats.count_error(error.code());
                format!("-{}\r\n", error.text().replace(['\r', '\n'], " ")).into_bytes()
            }
        };
        let Some(client) = self.clients.get_mut(one.client) else { return };
        if client.blocked != Some(Blocked::Job) {
            return;
        }
        client.blocked = None;
        client.wait_offset = client.wait_offset.max(one.removed_at);
        if client.wants_reply() {
            let answer = Output::Answer { client: one.client, bytes, hold: one.removed_at };
            self.outputs.push(answer);
        }
        self.outputs.push(Output::Resume { client: one.client });
    }

    /// The data are not this node's own any more: what arrives from now on changes nothing here.
    pub fn break_off_moves(&mut self, why: &'static str) {
        for number in self.moves.numbers() {
            self.end_move(number, Err(CommandError::new(why)));
        }
        self.resume_held();
    }

    /// Lets the clients that wait for keys to arrive try again.
    pub fn resume_held(&mut self) {
        for id in std::mem::take(&mut self.moves.waiting) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if client.blocked == Some(Blocked::Held) {
                client.blocked = None;
                self.outputs.push(Output::Resume { client: id });
            }
        }
    }
}
