//! What a node knows of its part in replication: whose replica it is, and which replicas it has.

use sha1::{Digest, Sha1};

use super::client::{Blocked, Client};
use super::output::Note;
use super::{Output, State};
use crate::config::PrimaryAddress;
use crate::replication::failover::{Failover, Step};
use crate::replication::{Link, Replicas};

/// The primary of a replica.
#[derive(Debug)]
pub struct Primary {
    /// Where it listens.
    pub address: PrimaryAddress,
    /// The link to it.
    pub link: Link,
    /// Runs the commands of its stream.
    pub client: Box<Client>,
    /// Why its stream cannot be followed any more. Only a new REPLICAOF or a start begins again.
    pub stopped: Option<String>,
}

/// What memory holds of the stream, told by the driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BacklogFacts {
    /// Whether any is kept.
    pub active: bool,
    /// Offset before the first byte held.
    pub first: u64,
    /// Offset behind the last one.
    pub end: u64,
}

/// How often replicas asked for the stream, and what they got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// Everything.
    pub full: u64,
    /// What they lacked.
    pub partial: u64,
    /// Everything, although they asked to go on.
    pub partial_refused: u64,
    /// Bytes of the stream sent from memory.
    pub memory_bytes: u64,
    /// Bytes of the stream sent from the files of the log.
    pub disk_bytes: u64,
}

/// A node's part in replication.
#[derive(Debug, Default)]
pub struct Replication {
    /// Whose replica this node is.
    pub primary: Option<Box<Primary>>,
    /// Grows with every change of `primary`: what belongs to a former one is told by that.
    pub generation: u64,
    /// Of a replica: when it was last looked how old its data were against its primary's (monotonic milliseconds), and how
    /// old they were then, in milliseconds. None: what it holds may be of another history.
    pub data_age: Option<(u64, u64)>,
    /// Attached replicas.
    pub replicas: Replicas,
    /// What memory holds of the stream.
    pub backlog: BacklogFacts,
    /// Syncs since the start.
    pub counts: SyncCounts,
    /// A client waits for replicas: they are to be asked what they have got.
    pub asks_for_acks: bool,
    /// When replicas get the next PING, monotonic milliseconds.
    pub ping_due_ms: u64,
    /// A replica is about to take over.
    pub failover: Option<Failover>,
    /// Since when there have been no replicas, monotonic milliseconds.
    pub alone_since_ms: u64,
}

/// What clients are told that wait for something which only a primary has.
const CHANGED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

impl State {
    /// Whether the node is a replica.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.replication.primary.is_some()
    }

    /// Makes the node a replica of `address`, or of nobody. What derives from the role follows: the driver opens or
    /// closes the link, clients whose commands wait are told that the node has another primary, and their connections closed.
    pub fn set_primary(&mut self, address: Option<PrimaryAddress>) {
        let now_ms = self.time.mono_us / 1000;
        let replication = &mut self.replication;
        replication.generation += 1;
        let was_replica = replication.primary.is_some();
        replication.primary = address.map(|address| {
            let link = Link::new(now_ms);
            let client =
                Client::new(super::ClientId(0), super::client::Peer::default(), true, self.time);
            Box::new(Primary { address, link, client: Box::new(client), stopped: None })
        });
        let is_replica = replication.primary.is_some();
        self.replication.alone_since_ms = now_ms;
        if is_replica {
            self.end_all_waits();
        }
        if is_replica && !was_replica {
            self.stop_trimming();
            self.replication.data_age = None;
            self.break_off_moves(CHANGED);
        }
        if was_replica && !is_replica {
            self.replication.data_age = None;
            // Two nodes must never go on with one id: the history of this one is another from here on.
            let end = self.stream.end;
            let id = self.fresh_id();
            self.stream.change_id(id, end);
            // Nobody knows which database the followers of the stream believe to be selected.
            self.stream.db = None;
            self.detach_replicas();
        }
        self.settle_role();
        self.outputs.push(Output::LinkChanged);
    }

    /// An id for a history that nobody has seen: derived from the random one that the process began with, so that the
    /// node itself needs no randomness.
    pub fn fresh_id(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(self.run.first_replication_id.as_bytes());
        hash.update(self.run.run_id.as_bytes());
        hash.update(self.replication.generation.to_be_bytes());
        hash.update(self.stream.id.as_bytes());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the keyspace does with expired keys follows from the role: a replica leaves them to its primary, a primary that
    /// is being replaced to its successor.
    pub fn settle_role(&mut self) {
        use crate::keyspace::ExpireMode;
        let hides = self.is_replica() || self.is_being_replaced();
        self.keyspace.expire_mode = if hides { ExpireMode::Hide } else { ExpireMode::Delete };
    }

    /// A replica has taken over, and is this node's primary now.
    pub fn failover_succeeded(&mut self) {
        if self.replication.failover.take().is_some() {
            self.note_failover("Failover succeeded: the former replica is the primary now");
        }
    }

    /// What clients wait for that were let in before may never come from this primary. They begin anew, maybe elsewhere.
    fn end_all_waits(&mut self) {
        let reply = format!("-{CHANGED}\r\n");
        for client in self.clients.iter_mut() {
            let waits = matches!(client.blocked, Some(Blocked::OnKeys | Blocked::Waiting { .. }));
            client.close_after_reply |= waits;
        }
        for id in std::mem::take(&mut self.waiting) {
            self.end_wait(id, reply.as_bytes());
        }
        self.break_key_waits(reply.as_bytes());
    }

    /// No replica takes over. A node that was about to follow one is a primary again.
    pub fn abort_failover(&mut self, why: &str) {
        let Some(failover) = self.replication.failover.take() else { return };
        if failover.step == Step::InProgress {
            self.config.values_mut().replicaof = None;
            self.set_primary(None);
        }
        self.note_failover(&format!("Failover aborted: {why}"));
    }

    fn note_failover(&mut self, text: &str) {
        self.outputs.push(Output::Note(Note { warning: false, text: text.to_owned() }));
        // Writes have waited for the end of it.
        self.resume_paused();
    }

    /// Closes the connections of all replicas: they come back and are told of what has changed.
    pub fn detach_replicas(&mut self) {
        let clients: Vec<u64> =
            self.replication.replicas.iter().map(|replica| replica.client).collect();
        for client in clients {
            self.outputs.push(Output::Close { client: super::ClientId(client) });
        }
    }
}
