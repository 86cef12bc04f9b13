//! What nodes send each other, as values. `wire` turns them into bytes and back.

use std::sync::Arc;

use super::{Epoch, Host, NodeId, SlotSet};

/// Bits that say what a node is. Sent as they are; only some of a sender's own are believed.
pub mod flags {
    /// A primary.
    pub const PRIMARY: u16 = 1;
    /// A replica.
    pub const REPLICA: u16 = 2;
    /// Suspected to have failed.
    pub const PFAIL: u16 = 4;
    /// Agreed to have failed.
    pub const FAIL: u16 = 8;
    /// The sender itself.
    pub const MYSELF: u16 = 16;
    /// Not known by its own name yet.
    pub const HANDSHAKE: u16 = 32;
    /// Its address is not known.
    pub const NOADDR: u16 = 64;
    /// It is to be sent MEET.
    pub const MEET: u16 = 128;
    /// Replicas may move to it.
    pub const MIGRATE_TO: u16 = 256;
    /// It does not fail over.
    pub const NOFAILOVER: u16 = 512;
    /// It understands headers of 16 bytes.
    pub const LIGHT_HEADERS: u16 = 2048;
}

/// Where a node can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Clients: TCP, or TLS where the cluster speaks that.
    pub client: u16,
    /// Clients: the other kind; 0: none.
    pub other: u16,
    /// The bus.
    pub bus: u16,
}

/// What every packet begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The sender's view of the newest epoch.
    pub current_epoch: Epoch,
    /// A primary's own, a replica's primary's.
    pub config_epoch: Epoch,
    /// Log offset; of a replica: up to where it has its primary's stream.
    pub offset: u64,
    /// Who sends.
    pub sender: NodeId,
    /// The sender's slots; of a replica: its primary's.
    pub slots: Arc<SlotSet>,
    /// Whose replica the sender is. All zero on the wire: nobody's.
    pub primary: Option<NodeId>,
    /// The address the sender wants to be known by; empty: that of its connection.
    pub ip: Host,
    /// Its ports.
    pub ports: Ports,
    /// What it says of itself ([`flags`]).
    pub flags: u16,
    /// It sees the cluster as down.
    pub is_down: bool,
    /// It has paused clients for a manual failover.
    pub is_paused: bool,
    /// Vote for it though its primary is up.
    pub forces_ack: bool,
    /// A primary that lacks what its replicas have: one of them is to take over. Stock nodes send zero here, and ignore it.
    pub steps_back: bool,
    /// It loads its data, and does not know its offset yet. Stock nodes send zero here, and ignore it.
    pub hides_offset: bool,
    /// It understands extensions (and may have sent some).
    pub has_extensions: bool,
}

/// What a packet is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// PING, PONG or MEET.
    Heartbeat {
        /// Which of them.
        kind: Heartbeat,
        /// What the sender knows of others.
        gossip: Vec<Gossip>,
        /// What it says of itself beyond the header.
        extensions: Vec<Extension>,
    },
    /// A node has failed.
    Fail(NodeId),
    /// A message for the subscribers of a channel.
    Publish {
        /// The channel belongs to a shard.
        sharded: bool,
        /// Its name.
        channel: Arc<[u8]>,
        /// The message.
        message: Arc<[u8]>,
    },
    /// A replica asks for votes.
    VoteRequest,
    /// A vote.
    Vote,
    /// Slots have another owner than the receiver claims.
    Update {
        /// The owner's epoch.
        config_epoch: Epoch,
        /// The owner.
        owner: NodeId,
        /// All of its slots.
        slots: Arc<SlotSet>,
    },
    /// A replica wants to take over by hand: clients are to be paused.
    ManualFailover,
    /// For modules; nobody here listens.
    Module,
    /// A type that is not known.
    Unknown(u16),
}

/// The kinds of packets that carry gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heartbeat {
    /// Wants a PONG.
    Ping,
    /// Answers, or tells news unasked.
    Pong,
    /// A PING to a node that does not know the sender.
    Meet,
}

/// What the sender knows of a third node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gossip {
    /// Which.
    pub id: NodeId,
    /// When it was pinged, seconds since 1970; 0: no answer is due.
    pub ping_sent_s: u32,
    /// When it last answered, seconds since 1970.
    pub pong_received_s: u32,
    /// Its address, where known.
    pub ip: Host,
    /// Its ports.
    pub ports: Ports,
    /// What it is ([`flags`]).
    pub flags: u16,
}

/// What a sender says of itself beyond the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extension {
    /// `cluster-announce-hostname`.
    Hostname(String),
    /// `cluster-announce-human-nodename`.
    Nodename(String),
    /// A node that the sender was told to forget, for so many seconds.
    Forgotten {
        /// Which.
        id: NodeId,
        /// How long the memory of it is kept away.
        ttl_s: u64,
    },
    /// Its shard.
    Shard(NodeId),
    /// One that is not known: its type.
    Unknown(u16),
}

/// A whole packet. A light one (16 bytes of header) has no header: the link says who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who sends, and what it knows.
    pub header: Option<Box<Header>>,
    /// What it is about.
    pub body: Body,
}

impl Packet {}

/// Types of packets as statistics name them.
pub const KINDS: [&str; 11] = [
    "ping",
    "pong",
    "meet",
    "fail",
    "publish",
    "auth-req",
    "auth-ack",
    "update",
    "mfstart",
    "module",
    "publishshard",
];

impl Body {
    /// Index of the type in [`KINDS`], its number on the wire.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Body::Heartbeat { kind: Heartbeat::Ping, .. } => 0,
            Body::Heartbeat { kind: Heartbeat::Pong, .. } => 1,
            Body::Heartbeat { kind: Heartbeat::Meet, .. } => 2,
            Body::Fail(_) => 3,
            Body::Publish { sharded: false, .. } => 4,
            Body::VoteRequest => 5,
            Body::Vote => 6,
            Body::Update { .. } => 7,
            Body::ManualFailover => 8,
            Body::Module => 9,
            Body::Publish { sharded: true, .. } => 10,
            Body::Unknown(kind) => *kind,
        }
    }
}
