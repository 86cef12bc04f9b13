//! What a node asks its driver to do, as data.

use super::client::ClientId;
use crate::cluster::NodeId;
use crate::replication::replicas::Announced;
use crate::replication::resync::Asked;

/// One thing for the driver; it carries out a node's outputs in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Append bytes to a client's output.
    Push {
        /// Whose.
        client: ClientId,
        /// Whole replies.
        bytes: Vec<u8>,
    },
    /// Append the reply to a write to a client's output.
    Answer {
        /// Whose.
        client: ClientId,
        /// Whole replies.
        bytes: Vec<u8>,
        /// Log offset that must be released before they leave.
        hold: u64,
    },
    /// Carry out a MIGRATE: fetch copies of its keys and talk to its target ([`super::moves`]).
    MoveKeys {
        /// Which.
        number: u64,
    },
    /// Messages wait in a client's mailbox: have its connection fetch them.
    Deliver {
        /// Whose.
        client: ClientId,
    },
    /// A client gives up waiting sooner than any before: look at [`State::take_deadline`](super::State::take_deadline).
    Deadline,
    /// A client that was blocked goes on with its requests.
    Resume {
        /// Which.
        client: ClientId,
    },
    /// A client that was blocked has got its last reply: close its connection once that is out.
    Finish {
        /// Which.
        client: ClientId,
    },
    /// Close a client's connection, unsent output and all.
    Close {
        /// Which.
        client: ClientId,
    },
    /// A client has become a replica: send it what it asks for, then the stream.
    Feed(Box<Feed>),
    /// Something is to be done on the cluster bus ([`super::cluster::Membership::bus`]).
    Bus,
    /// The node has another primary, or none: open and close links.
    LinkChanged,
    /// Write a snapshot of everything as it is now to `dbfilename`.
    StartSnapshot,
    /// Rewrite the log from everything as it will be at a cut of the driver's choosing.
    StartRewrite,
    /// Have keys of former slots removed, step by step (`Node::trim_step`), until there are none left.
    StartTrimming,
    /// Settings changed; the driver applies those it holds itself.
    ConfigChanged(Vec<&'static str>),
    /// Settings changed that take effect only where the system plays along; the driver tries and tells the client.
    FollowSettings(Follow),
    /// Write the settings back to the configuration file and tell the client.
    RewriteConfig {
        /// Who waits for the result.
        client: ClientId,
    },
    /// Save, empty the dataset and load it again (DEBUG RELOAD, DEBUG LOADAOF).
    Reload {
        /// Who waits for the result.
        client: ClientId,
        /// Load the log, not a snapshot.
        log: bool,
        /// Save first.
        save: bool,
    },
    /// Move the slots of a job to another node: it is this node's to do until it is over.
    MoveSlots {
        /// Its name.
        job: NodeId,
    },
    /// The log says that slots are taken: once that is on disk and with the replicas, have them claimed
    /// ([`Node::claim_taken`](crate::node::Node::claim_taken)).
    TakeSlots {
        /// The job.
        job: NodeId,
        /// Who waits for it.
        client: ClientId,
    },
    /// Bring the log to disk and tell the client when it is there.
    SyncLog {
        /// Who waits for it.
        client: ClientId,
    },
    /// Ask another node to move slots here.
    RequestSlots {
        /// The job.
        job: NodeId,
    },
    /// Stop the process in an orderly way.
    Shutdown(Shutdown),
    /// A line for the log of events.
    Note(Note),
}

/// A replica that asks for the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its connection.
    pub client: ClientId,
    /// What it asks for; nothing: SYNC, which has no ids and offsets.
    pub asked: Option<Asked>,
    /// What it said of itself.
    pub announced: Announced,
}

/// A call of CONFIG SET that is in force, and to be taken back if the driver cannot follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follow {
    /// Who waits for the result.
    pub client: ClientId,
    /// The settings that have new values.
    pub names: Vec<&'static str>,
    /// The same settings with the values they had.
    pub before: Vec<(String, Vec<u8>)>,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// Write a snapshot first: yes, no, or as the save points say.
    pub save: Option<bool>,
    /// Stop even if the snapshot fails.
    pub force: bool,
    /// Do not wait for replicas that lag.
    pub now: bool,
    /// Who asked, to be told of a failure.
    pub client: Option<ClientId>,
}

/// A line for the log, with its level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// An operator should look.
    pub warning: bool,
    /// The line.
    pub text: String,
}
