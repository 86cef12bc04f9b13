//! A primary that comes back with less than its replicas have must not make them throw away the rest.
//!
//! After a start a primary with slots serves nobody for [`ASK_MS`], as stock's does not, and listens; longer, while a node
//! that may be its replica, and may be alive, has not spoken yet: until that one is suspected, or its port refuses. If a
//! replica of its has more of the log it *steps back*: it tells its replicas so, says it in its headers, and gives nobody a
//! full sync. A replica of ours that has everything it could have then asks for votes at once, as in a manual failover; the
//! vote is that of the specification, so stock nodes give it too. Where no such replica comes forward the primary falls
//! silent, and is replaced as one that has failed.
//!
//! Differs from stock, where the replicas load the primary's older (or empty) data.

use super::{Cluster, Peer, PeerIx};
use crate::cluster::Header;
use crate::cluster::packet::flags;

/// How long a primary that has just started waits for word of its replicas.
const ASK_MS: u64 = 2000;

/// How long one that steps back says so before it falls silent.
const SILENT_AFTER_MS: u64 = 3000;

/// It says so in its log each so many seconds.
const SAID_EACH_S: u64 = 30;

/// For how many timeouts it is silent, and then talks, by turns.
const SILENT_TIMEOUTS: u64 = 3;

/// What a primary that has just started knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// It has what its replicas have, as far as they could be asked.
    Clear,
    /// It waits to hear.
    Asking {
        /// Until then at least.
        until_ms: u64,
    },
    /// A replica has more.
    Behind {
        /// Since when that is known.
        since_ms: u64,
    },
}

impl Cluster {
    /// What the node knows of its replicas since its start.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// The node has started with what the configuration file says.
    pub(super) fn begin_guard(&mut self) {
        // Whether it has replicas may have been learned too late to be in the file.
        if self.settings.guards_replicas && self.peers.me().votes() {
            self.guard = Guard::Asking { until_ms: self.now_ms() + ASK_MS };
        }
    }

    /// What the node itself has is known from now on.
    pub(super) fn ask_replicas(&mut self) {
        if matches!(self.guard, Guard::Asking { .. }) {
            self.guard = Guard::Asking { until_ms: self.now_ms() + ASK_MS };
        }
    }

    /// A node has told its offset.
    pub(super) fn hear_offset(&mut self, sender: PeerIx, header: &Header) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[sender];
        peer.gave_up_ms = header.steps_back.then(|| peer.gave_up_ms.unwrap_or(now_ms));
        if self.peers.me().primary == Some(sender) {
            let was = std::mem::replace(&mut self.primary_gives_up, header.steps_back);
            if header.steps_back && !was && self.primary_steps_back() {
                let shown = self.peers[sender].shown();
                self.warn(format!("Master {shown} has come back with less than this replica has"));
            }
            if header.steps_back {
                self.election_step();
            }
        }
        if self.guard != Guard::Clear && header.primary == Some(self.peers.me().id) {
            self.compare(Some(sender));
        }
    }

    /// Compares what the node has with what `told` has just told, if anybody has, and what others did before. What came
    /// while the node was loading counts when it has loaded.
    fn compare(&mut self, told: Option<PeerIx>) {
        if !matches!(self.guard, Guard::Asking { .. }) || self.facts.is_loading {
            return;
        }
        let ahead = told.filter(|place| self.peers[*place].offset > self.facts.offset);
        if let Some(replica) = ahead.or_else(|| self.replica_ahead()) {
            let (shown, offset) = (self.peers[replica].shown(), self.peers[replica].offset);
            self.warn(format!(
                "Replica {shown} has the log up to offset {offset}, this restarted master up to {}: it steps back so that nothing is lost",
                self.facts.offset
            ));
            self.guard = Guard::Behind { since_ms: self.now_ms() };
            self.tell_replicas();
        }
    }

    /// Whoever looks after the node reads in its log from time to time what to do if no replica takes over by itself.
    fn say_what_helps(&mut self, replica: PeerIx) {
        let Guard::Behind { since_ms } = self.guard else { return };
        let behind_s = self.now_ms().saturating_sub(since_ms) / 1000;
        if behind_s > 0 && self.is_a_second() && behind_s.is_multiple_of(SAID_EACH_S) {
            let shown = self.peers[replica].shown();
            self.warn(format!(
                "Replica {shown} has more than this master and has not taken over yet. CLUSTER FAILOVER FORCE there has it take over; CONFIG SET cluster-primary-guard no here goes on without what this master lacks"
            ));
        }
    }

    /// The node's replicas hear what it has to say now: the next question may come after it has fallen silent.
    fn tell_replicas(&mut self) {
        self.tell(|_, peer| peer.primary == Some(PeerIx::ME));
    }

    /// A replica that has told of more than this node has, and that has not failed since it was last heard. What the
    /// configuration file says of failures may be older than the start.
    fn replica_ahead(&self) -> Option<PeerIx> {
        let mut replicas = self.peers.replicas(PeerIx::ME);
        let is_gone = |peer: &Peer| {
            let is_heard = peer.heard_ms.is_some_and(|heard_ms| heard_ms > peer.failed_ms);
            peer.is(flags::NOADDR) || peer.is(flags::FAIL) && !is_heard
        };
        let ahead = |peer: &Peer| peer.offset > self.facts.offset && !is_gone(peer);
        replicas.find(|(_, peer)| ahead(peer)).map(|(place, _)| place)
    }

    /// Whether a node that may be a replica of this one has not told its offset since the start and may be alive: a slow disk
    /// or host, or much to load, can keep it from that for longer than [`ASK_MS`]. One of which the configuration file says that it
    /// has neither slots nor a primary may have begun to follow this node just before the end.
    fn a_replica_may_speak(&self) -> bool {
        let gone = flags::PFAIL | flags::FAIL | flags::NOADDR | flags::HANDSHAKE;
        let may_speak = |peer: &Peer| {
            !peer.tells_offset && !peer.refuses && !peer.is(gone) && !peer.host.is_unknown()
        };
        let may_follow = |place: PeerIx, peer: &Peer| match peer.primary {
            Some(primary) => primary == PeerIx::ME,
            None => place != PeerIx::ME && peer.slot_count == 0,
        };
        self.peers.iter().any(|(place, peer)| may_follow(place, peer) && may_speak(peer))
    }

    pub(super) fn guard_step(&mut self) {
        let now_ms = self.now_ms();
        if !self.settings.guards_replicas {
            self.guard = Guard::Clear;
        }
        self.compare(None);
        match self.guard {
            Guard::Clear => {}
            // What the node itself has is not known before it has loaded it.
            Guard::Asking { .. } if self.facts.is_loading => {}
            Guard::Asking { until_ms } if now_ms >= until_ms && !self.a_replica_may_speak() => {
                self.guard = Guard::Clear;
            }
            Guard::Asking { .. } => {}
            Guard::Behind { .. } => match self.replica_ahead() {
                None => {
                    self.warn("No replica that has more is left: this master serves again.".into());
                    self.guard = Guard::Clear;
                }
                Some(replica) => {
                    self.say_what_helps(replica);
                    if self.is_a_second() && !self.is_silent() {
                        self.tell_replicas();
                    }
                }
            },
        }
    }

    /// Whether the node plays dead, so that it is replaced by those who do not understand that it steps back.
    pub(super) fn is_silent(&self) -> bool {
        let Guard::Behind { since_ms } = self.guard else { return false };
        let behind_ms = self.now_ms().saturating_sub(since_ms);
        let Some(over_ms) = behind_ms.checked_sub(SILENT_AFTER_MS) else { return false };
        // By turns: its replicas may need it to talk as much as others need it to be silent.
        let turn_ms = SILENT_TIMEOUTS * self.settings.timeout_ms.max(1000);
        (over_ms / turn_ms).is_multiple_of(2)
    }

    /// Whether the node's primary wants to be replaced.
    pub(super) fn primary_steps_back(&self) -> bool {
        let Some(primary) = self.peers.me().primary.filter(|_| self.primary_gives_up) else {
            return false;
        };
        self.facts.offset > self.peers[primary].offset
    }
}
