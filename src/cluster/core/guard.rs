//! A primary that comes back with less than its replicas have must not make them throw away the rest.
//!
//! After a start a primary with slots serves nobody for [`ASK_MS`], as stock's does not, and listens; longer, while a node
//! that may be its replica, and may be alive, has not told its offset yet: until that one is suspected, or its port refuses. If a
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
    }

    /// Compares what the node has with what its replicas have told, once all of them have, or there is nobody left to wait for.
    /// What came while the node was loading counts when it has loaded.
    fn compare(&mut self, until_ms: u64) {
        let have_all_told = self.peers.replicas(PeerIx::ME).all(|(_, peer)| peer.tells_offset);
        if !have_all_told && self.now_ms() < until_ms {
            return;
        }
        if let Some(replica) = self.replica_ahead() {
            let (shown, offset) = (self.peers[replica].shown(), self.peers[replica].offset);
            self.warn(format!(
                "Replica {shown} has the log up to offset {offset}, this restarted master up to {}: it steps back so that nothing is lost",
                self.facts.offset
            ));
            self.guard = Guard::Behind { since_ms: self.now_ms() };
            self.tell_replicas();
        } else if self.now_ms() >= until_ms {
            self.guard = Guard::Clear;
        }
    }

    /// Whoever looks after the node reads in its log from time to time what it waits for, and what helps.
    fn say_from_time_to_time(&mut self, since_ms: u64, text: impl FnOnce() -> String) {
        let passed_s = self.now_ms().saturating_sub(since_ms) / 1000;
        if passed_s > 0 && self.is_a_second() && passed_s.is_multiple_of(SAID_EACH_S) {
            self.warn(text());
        }
    }

    fn say_who_is_waited_for(&mut self, replica: PeerIx, until_ms: u64) {
        let shown = self.peers[replica].shown();
        self.say_from_time_to_time(until_ms, || {
            format!("Node {shown}, which may have more than this master, has not told its offset yet. CONFIG SET cluster-primary-guard no here goes on without asking it")
        });
    }

    fn say_what_helps(&mut self, replica: PeerIx, since_ms: u64) {
        let peer = &self.peers[replica];
        let is_down = peer.refuses || peer.is(flags::PFAIL | flags::FAIL);
        let (shown, state) =
            (peer.shown(), if is_down { "is down" } else { "has not taken over yet" });
        self.say_from_time_to_time(since_ms, || {
            format!("Replica {shown} has more than this master and {state}. CLUSTER FAILOVER FORCE there has it take over; CLUSTER FORGET of it, or CONFIG SET cluster-primary-guard no, here goes on without what this master lacks")
        });
    }

    /// The node's replicas hear what it has to say now: the next question may come after it has fallen silent.
    fn tell_replicas(&mut self) {
        self.tell(|_, peer| peer.primary == Some(PeerIx::ME));
    }

    /// The replica that has told most, if that is more than this node has. That it has failed since does not help: what it has
    /// is still to be had.
    fn replica_ahead(&self) -> Option<PeerIx> {
        let replicas = self.peers.replicas(PeerIx::ME);
        // One without an address has become somebody else.
        let ahead =
            replicas.filter(|(_, peer)| peer.offset > self.facts.offset && !peer.is(flags::NOADDR));
        ahead.max_by_key(|(_, peer)| peer.offset).map(|(place, _)| place)
    }

    /// Since when this node knows that it lacks something.
    pub(super) fn behind_since_ms(&self) -> Option<u64> {
        if let Guard::Behind { since_ms } = self.guard { Some(since_ms) } else { None }
    }

    /// A node that may be a replica of this one, has not told its offset since the start, and may be alive: a slow disk
    /// or host, or much to load, can keep it from that for longer than [`ASK_MS`]. One of which the configuration file says that it
    /// has neither slots nor a primary may have begun to follow this node just before the end.
    fn replica_that_may_speak(&self) -> Option<PeerIx> {
        let gone = flags::PFAIL | flags::FAIL | flags::NOADDR | flags::HANDSHAKE;
        let may_speak = |peer: &Peer| {
            !peer.tells_offset && !peer.refuses && !peer.is(gone) && !peer.host.is_unknown()
        };
        let may_follow = |place: PeerIx, peer: &Peer| match peer.primary {
            Some(primary) => primary == PeerIx::ME,
            None => place != PeerIx::ME && peer.slot_count == 0,
        };
        let mut peers = self.peers.iter();
        let found = peers.find(|(place, peer)| may_follow(*place, peer) && may_speak(peer));
        found.map(|(place, _)| place)
    }

    pub(super) fn guard_step(&mut self) {
        if !self.settings.guards_replicas {
            self.guard = Guard::Clear;
        }
        match self.guard {
            Guard::Clear => {}
            // What the node itself has is not known before it has loaded it.
            Guard::Asking { .. } if self.facts.is_loading => {}
            Guard::Asking { until_ms } => match self.replica_that_may_speak() {
                Some(replica) => self.say_who_is_waited_for(replica, until_ms),
                None => self.compare(until_ms),
            },
            Guard::Behind { since_ms } => match self.replica_ahead() {
                None => {
                    self.warn("No replica that has more is left: this master serves again.".into());
                    self.guard = Guard::Clear;
                }
                Some(replica) => {
                    self.say_what_helps(replica, since_ms);
                    if self.is_a_second() && !self.is_silent() {
                        self.tell_replicas();
                    }
                }
            },
        }
    }

    /// Whether the node plays dead, so that it is replaced by those who do not understand that it steps back.
    pub(super) fn is_silent(&self) -> bool {
        let Some(since_ms) = self.behind_since_ms() else { return false };
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
