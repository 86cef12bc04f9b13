//! What a node knows of its cluster, and what follows from what it hears: a state machine without sockets, files or clocks.
//!
//! [`Cluster::step`] takes one input and the moment; what is to be done comes out in order ([`Cluster::take_outputs`]).
//! A promise (an epoch, a vote, a claim to slots) is preceded by [`Output::Persist`]: it reaches the disk before it reaches
//! the network. Source: Redis documentation, "Redis cluster specification"; `docs/cluster.md` has the tables.

mod election;
mod epochs;
mod failure;
mod gossip;
mod guard;
mod handoff;
mod heartbeat;
mod links;
mod manual_failover;
mod membership;
mod operator;
mod peers;
mod persist;
mod receive;
mod replica_moves;
mod role;
mod slots;
mod status;
mod tick;
mod update;
mod votes;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Time;
use crate::cluster::settings::Settings;
use crate::cluster::{Epoch, Host, NodeId, Packet};
use crate::keyspace::Slot;
use crate::keyspace::SlotSet;

pub use guard::Guard;
pub use heartbeat::Claim;
pub use links::LinkId;
pub use manual_failover::MF_TIMEOUT_MS;
pub use operator::{Answer, OpenSlot, Refusal};
pub use peers::{Peer, PeerIx, Peers};
pub use receive::EPOCH_MAX;
pub use slots::Slots;

use election::Election;
use epochs::Collision;
use handoff::Taken;
use links::Links;
use manual_failover::Manual;
use status::Status;

/// What the node is asked to take note of.
#[derive(Debug)]
pub enum Input<'a> {
    /// A tenth of a second has passed.
    Tick,
    /// A connection that [`Output::Connect`] asked for is open.
    Connected {
        /// Which.
        link: LinkId,
    },
    /// It could not be opened.
    Failed {
        /// Which.
        link: LinkId,
        /// The other side's system said that nobody listens.
        is_refused: bool,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        link: LinkId,
    },
    /// A packet has come.
    Packet {
        /// Over which connection.
        link: LinkId,
        /// The packet.
        packet: &'a Packet,
    },
    /// More bytes wait for a peer than `cluster-link-sendbuf-limit` allows.
    Clogged {
        /// The connection.
        link: LinkId,
    },
    /// The driver has saved what the last [`Output::Persist`] asked for, or could not.
    Saved {
        /// Whether it is on disk.
        is_saved: bool,
        /// Which state of it: [`Cluster::saves_wanted`] at the time it was taken.
        number: u64,
    },
}

/// What the node itself knows, told with every step.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// End of the node's log; 0 as long as that is not known, while data are being loaded.
    pub offset: u64,
    /// Where the replica's link goes, if the node is one.
    pub follows: Option<(Host, u16)>,
    /// The stream of the primary is being followed.
    pub is_linked: bool,
    /// For how long nothing was heard of the primary in milliseconds; nothing ever: no limit.
    pub data_age_ms: u64,
    /// Of a replica: until when it is known to have had its primary's data, ms since 1970. None: what it has may be of
    /// another history.
    pub data_until_ms: Option<u64>,
    /// It has keys.
    pub has_keys: bool,
    /// Data are being loaded.
    pub is_loading: bool,
}

/// One thing to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write the configuration and sync it before anything behind this in the list happens, but for what the node could not
    /// forget ([`Outbox`](crate::cluster::outbox::Outbox)).
    Persist,
    /// Write the configuration soon.
    SaveSoon,
    /// Open a connection.
    Connect {
        /// Its number.
        link: LinkId,
        /// Where to.
        host: Host,
        /// The bus port.
        port: u16,
    },
    /// Close a connection.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Send a packet.
    Send {
        /// Over which connection.
        link: LinkId,
        /// The packet.
        packet: Arc<Packet>,
    },
    /// Follow the node that listens there.
    Follow {
        /// Its address.
        host: Host,
        /// Its client port.
        port: u16,
        /// What the node holds is a part of that one's history, as far as it was one of its primary's.
        keeps_history: bool,
    },
    /// Follow nobody.
    Promote,
    /// Remove all keys of these slots: somebody else's are the truth.
    DropKeys(Vec<Slot>),
    /// These slots are served elsewhere from now on.
    GaveUp(Vec<Slot>),
    /// Remove all keys: the node has been reset.
    Flush,
    /// Hold writes: a replica takes over.
    Pause,
    /// Writes go on.
    Unpause,
    /// Give a message to the node's subscribers.
    Deliver {
        /// The channel belongs to a shard.
        sharded: bool,
        /// The channel.
        channel: Arc<[u8]>,
        /// The message.
        message: Arc<[u8]>,
    },
    /// A line for the log of events.
    Note {
        /// An operator should look.
        is_warning: bool,
        /// The line.
        text: String,
    },
}

/// What a node knows of its cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Settings in force.
    pub settings: Settings,
    facts: Facts,
    now: Time,
    rng: fastrand::Rng,
    peers: Peers,
    slots: Slots,
    links: Links,
    /// Of the node's own slots those that it does not claim: another node may have taken them.
    ceded: SlotSet,
    taken: Vec<Taken>,
    /// The epoch in which the node took its primary's place last.
    elected_in: Option<Epoch>,
    collision: Collision,
    /// Somebody of that shard has claimed such slots in a newer epoch since they were claimed here.
    is_contested: bool,
    current_epoch: Epoch,
    last_vote_epoch: Epoch,
    status: Status,
    election: Election,
    manual: Option<Manual>,
    guard: Guard,
    /// The node's primary has said that it lacks what its replicas have.
    primary_gives_up: bool,
    /// Nodes that are not to be learned of through gossip, and until when (monotonic milliseconds).
    forgotten: BTreeMap<NodeId, u64>,
    /// Packets by type: sent, received.
    counts: [[u64; crate::cluster::packet::KINDS.len()]; 2],
    clogged_links: u64,
    /// Not before then is another node with this one's name mentioned again.
    twin_due_ms: u64,
    /// Since when (monotonic milliseconds) how many handshakes have timed out, for the log.
    timed_out: (u64, usize),
    ticks: u64,
    /// How often something had to be on disk before anything more was said or taken.
    saves_wanted: u64,
    /// Up to which of them that is so.
    saves_done: u64,
    /// The last save failed: nothing may be promised.
    save_failed: bool,
    /// Since when saving has failed, to try again.
    save_again_ms: u64,
    /// Up to which of the saves wanted a claim of the node's own is not on disk.
    claim_number: u64,
    /// The primary that is followed next has another history.
    history_parts: bool,
    /// What of [`Facts::data_until_ms`] the file is to hold.
    data_until_ms: Option<u64>,
    out: Vec<Output>,
}

impl Cluster {
    /// A node named `id` that knows nobody.
    #[must_use]
    pub fn new(id: NodeId, shard: NodeId, settings: Settings, seed: u64, now: Time) -> Self {
        let mut cluster = Self {
            peers: Peers::new(id, shard, now.mono_ms()),
            settings,
            facts: Facts::default(),
            now,
            rng: fastrand::Rng::with_seed(seed),
            slots: Slots::default(),
            links: Links::default(),
            ceded: SlotSet::EMPTY,
            taken: Vec::new(),
            is_contested: false,
            elected_in: None,
            collision: Collision::default(),
            current_epoch: Epoch(0),
            last_vote_epoch: Epoch(0),
            status: Status::default(),
            election: Election::default(),
            manual: None,
            guard: Guard::Clear,
            primary_gives_up: false,
            forgotten: BTreeMap::new(),
            counts: [[0; 11]; 2],
            clogged_links: 0,
            twin_due_ms: 0,
            timed_out: (0, 0),
            ticks: 0,
            saves_wanted: 0,
            saves_done: 0,
            save_failed: false,
            save_again_ms: 0,
            claim_number: 0,
            history_parts: false,
            data_until_ms: None,
            out: Vec::new(),
        };
        cluster.settings_changed();
        cluster
    }

    /// Takes note of `input` at the moment `now`.
    pub fn step(&mut self, now: Time, facts: Facts, input: Input<'_>) {
        self.begin(now, facts);
        match input {
            Input::Tick => self.tick(),
            Input::Connected { link } => self.connected(link),
            Input::Failed { link, is_refused } => self.failed(link, is_refused),
            Input::Closed { link } => self.closed(link),
            Input::Packet { link, packet } => self.packet(link, packet),
            Input::Clogged { link } => self.clogged(link),
            Input::Saved { is_saved, number } => self.saved(is_saved, number),
        }
        self.finish();
    }

    /// The moment and the facts for what follows: for commands of an operator.
    pub fn begin(&mut self, now: Time, facts: Facts) {
        self.now = now;
        let was_loading = std::mem::replace(&mut self.facts, facts).is_loading;
        if was_loading && !self.facts.is_loading {
            self.has_loaded();
        }
        self.note_data_age();
    }

    /// What follows from a change: the state of the cluster, the node's own link.
    pub fn finish(&mut self) {
        self.update_status();
        self.follow_primary();
    }

    /// What is to be done, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// Whether there is anything to be done.
    #[inline]
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        !self.out.is_empty()
    }

    /// All nodes.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Who owns which slot.
    #[inline]
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The newest epoch seen.
    #[must_use]
    pub fn current_epoch(&self) -> Epoch {
        self.current_epoch
    }

    /// The last epoch the node voted in.
    #[must_use]
    pub fn last_vote_epoch(&self) -> Epoch {
        self.last_vote_epoch
    }

    /// The node's own epoch; of a replica: its primary's.
    #[must_use]
    pub fn config_epoch(&self) -> Epoch {
        self.peers[self.claimant()].config_epoch
    }

    /// Packets sent and received, by type ([`crate::cluster::packet::KINDS`]), and links closed since too much waited.
    #[must_use]
    pub fn counts(&self) -> ([u64; 11], [u64; 11], u64) {
        (self.counts[0], self.counts[1], self.clogged_links)
    }

    /// Whether the node's claim to its slots is on its way to the disk: writes wait for that.
    #[inline]
    #[must_use]
    pub fn is_claiming(&self) -> bool {
        self.saves_done < self.claim_number
    }

    /// Whether the configuration could not be saved when it was last tried.
    #[must_use]
    pub fn has_failed_to_save(&self) -> bool {
        self.save_failed
    }

    /// Whether something is on its way to the disk.
    #[inline]
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.saves_done < self.saves_wanted
    }

    /// How many promises there have been; a file written now holds all of them.
    #[must_use]
    pub fn saves_wanted(&self) -> u64 {
        self.saves_wanted
    }

    fn now_ms(&self) -> u64 {
        self.now.mono_ms()
    }

    /// The node whose slots this one speaks for: itself, or its primary.
    fn claimant(&self) -> PeerIx {
        self.peers.me().primary.unwrap_or(PeerIx::ME)
    }

    fn note(&mut self, text: String) {
        self.out.push(Output::Note { is_warning: false, text });
    }

    fn warn(&mut self, text: String) {
        self.out.push(Output::Note { is_warning: true, text });
    }

    /// What has been said must be on disk before anything more is said.
    fn persist(&mut self) {
        self.saves_wanted += 1;
        self.out.push(Output::Persist);
    }

    /// The same for a claim of the node's own: until it is on disk, no write is taken either.
    fn persist_claim(&mut self) {
        self.persist();
        self.claim_number = self.saves_wanted;
    }

    fn save_soon(&mut self) {
        if self.out.last() != Some(&Output::SaveSoon) {
            self.out.push(Output::SaveSoon);
        }
    }

    fn saved(&mut self, is_saved: bool, number: u64) {
        self.save_failed = !is_saved;
        if is_saved {
            self.saves_done = self.saves_done.max(number);
        } else {
            self.save_again_ms = self.now_ms() + SAVE_RETRY_MS;
        }
    }
}

/// Between two tries to save.
const SAVE_RETRY_MS: u64 = 1000;
