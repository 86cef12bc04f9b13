//! The other side of a task's connection: a node that serves another node's requests, as it serves any client's.

use std::collections::VecDeque;

use highwater::clock::ManualClock;
use highwater::cluster::Host;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;

use crate::clients::Connection;
use crate::network::Message;
use crate::world::World;

/// A node that is a client here.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) pipe: u64,
    /// Requests that have not run.
    unread: Vec<u8>,
    /// Replies, and up to where the log has to be released before each leaves.
    replies: VecDeque<(u64, Vec<u8>)>,
}

impl World {
    /// A node has connected to ask for something.
    pub(crate) fn accept_job(&mut self, at: usize, pipe: u64, remote: Host) -> u64 {
        let loopback = remote.is_loopback();
        let peer = Peer { address: format!("{remote}:2"), loopback, ..Peer::default() };
        let client = self.with(at, |node, time| node.connect(peer, time)).expect("there is room");
        let served = Served { pipe, unread: Vec::new(), replies: VecDeque::new() };
        self.machines[at].connections.insert(client, Connection::Job(served));
        client.0
    }

    /// Something has come from it.
    pub(crate) fn job_says(&mut self, at: usize, pipe: u64, message: Message) {
        let Some(known) = self.net.pipes.get(&pipe) else { return };
        let client = ClientId(known.ends[1].id);
        let Message::Bytes(bytes) = message else { return self.drop_connection(at, client) };
        if let Some(served) = self.served(at, client) {
            served.unread.extend_from_slice(&bytes);
            self.run_job(at, client);
        }
    }

    fn served(&mut self, at: usize, client: ClientId) -> Option<&mut Served> {
        match self.machines[at].connections.get_mut(&client) {
            Some(Connection::Job(served)) => Some(served),
            _ => None,
        }
    }

    /// Runs what has not run, as far as that goes.
    pub(crate) fn run_job(&mut self, at: usize, client: ClientId) {
        let Some(served) = self.served(at, client) else { return };
        let bytes = std::mem::take(&mut served.unread);
        let mut requests = Requests::default();
        let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("requests");
        let mut clock = ManualClock(self.time(at));
        let mut out = Vec::new();
        let node = self.machines[at].node.as_mut().expect("it runs");
        let ran = node.execute(client, (&requests, &bytes), 0, &mut out, &mut clock);
        let done = match ran.executed {
            0 => 0,
            executed => requests.end_of(executed - 1),
        };
        if let Some(served) = self.served(at, client) {
            served.unread.splice(..0, bytes[done..].iter().copied());
            if !out.is_empty() {
                served.replies.push_back((ran.hold, out));
            }
        }
        self.after(at);
        self.answer_job(at, client);
    }

    /// A reply that was waited for is there.
    pub(crate) fn push_to_job(&mut self, at: usize, client: ClientId, bytes: &[u8]) {
        if let Some(served) = self.served(at, client) {
            served.replies.push_back((0, bytes.to_vec()));
            self.answer_job(at, client);
        }
    }

    /// Sends the replies that the log has released.
    pub(crate) fn answer_job(&mut self, at: usize, client: ClientId) {
        let released = self.machines[at].released;
        let Some(served) = self.served(at, client) else { return };
        let pipe = served.pipe;
        let mut out = Vec::new();
        while served.replies.front().is_some_and(|(hold, _)| *hold <= released) {
            out.extend(served.replies.pop_front().expect("it was looked at").1);
        }
        if !out.is_empty() {
            self.send_to(pipe, 0, Message::Bytes(out));
        }
    }
}
