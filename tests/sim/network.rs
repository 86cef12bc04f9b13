//! Connections between machines: in order within one, at their own pace each; cut, stalled or refused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use highwater::cluster::Packet;

/// What travels over a connection.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// Of the bus.
    Packet(Arc<Packet>),
    /// Of replication, as bytes.
    Bytes(Vec<u8>),
    /// A full sync: the primary's whole log.
    Copy(Vec<u8>),
    /// The other side has closed.
    Fin,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bus,
    Replication,
    /// Of a task that moves slots, to a node as its client.
    Job,
}

/// One side of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) machine: usize,
    /// Which of the machine's processes has it.
    pub(crate) life: u64,
    /// Its number there: of a link of the bus, or of a client.
    pub(crate) id: u64,
    pub(crate) is_open: bool,
}

/// A connection. Side 0 has opened it.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) kind: Kind,
    pub(crate) ends: [End; 2],
    /// When the last message for a side arrives.
    pub(crate) due_us: [u64; 2],
    /// Messages for a side that cannot get there now.
    pub(crate) stalled: [VecDeque<Message>; 2],
    /// Only its end still gets through.
    pub(crate) is_cut: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) pipes: BTreeMap<u64, Pipe>,
    last: u64,
    /// Which machine cannot reach which.
    blocked: Vec<Vec<bool>>,
}

impl Network {
    pub(crate) fn new(machines: usize) -> Self {
        Self { blocked: vec![vec![false; machines]; machines], ..Self::default() }
    }

    pub(crate) fn add(&mut self, kind: Kind, from: End, to: usize) -> u64 {
        self.last += 1;
        let target = End { machine: to, life: 0, id: 0, is_open: false };
        let stalled = [VecDeque::new(), VecDeque::new()];
        let pipe = Pipe { kind, ends: [from, target], due_us: [0; 2], stalled, is_cut: false };
        self.pipes.insert(self.last, pipe);
        self.last
    }

    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from][to]
    }

    pub(crate) fn block(&mut self, from: usize, to: usize, is_blocked: bool) {
        self.blocked[from][to] = is_blocked;
    }

    pub(crate) fn unblock_all(&mut self) {
        self.blocked.iter_mut().flatten().for_each(|blocked| *blocked = false);
    }

    /// Whether a message for `side` has to wait.
    pub(crate) fn stalls(&self, pipe: &Pipe, side: usize) -> bool {
        let (from, to) = (pipe.ends[1 - side].machine, pipe.ends[side].machine);
        self.is_blocked(from, to) || !pipe.stalled[side].is_empty()
    }
}
