//! A primary that comes back with less than its replicas have must not make them throw away the rest.
//!
//! After a start a primary with slots serves nobody for [`ASK_MS`], as stock's does not, and listens. If a replica
//! of its has more of the log it *steps back*: it says so in its headers, and gives nobody a full sync. A replica of ours
//! that has everything it could have then asks for votes at once, as in a manual failover; the vote is that of the
//! specification, so stock nodes give it too. Where no such replica comes forward the primary falls silent, and is replaced
//! as one that has failed.
//!
//! Differs from stock, where the replicas load the primary's older (or empty) data.

use super::{Cluster, PeerIx};
use crate::cluster::Header;
use crate::cluster::packet::flags;

/// How long a primary that has just started waits for word of its replicas.
const ASK_MS: u64 = 2000;

/// How long one that steps back says so before it falls silent.
const SILENT_AFTER_MS: u64 = 3000;

/// What a primary that has just started knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// It has what its replicas have, as far as they could be asked.
    Clear,
    /// It waits to hear.
    Asking {
        /// Until then.
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

    /// A node has told its offset.
    pub(super) fn hear_offset(&mut self, sender: PeerIx, header: &Header) {
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
            self.compare_with(header.offset, sender);
        }
    }

    fn compare_with(&mut self, offset: u64, sender: PeerIx) {
        if !matches!(self.guard, Guard::Asking { .. }) || self.facts.is_loading {
            return;
        }
        if offset > self.facts.offset {
            let shown = self.peers[sender].shown();
            self.warn(format!(
                "Replica {shown} has the log up to offset {offset}, this restarted master up to {}: it steps back so that nothing is lost",
                self.facts.offset
            ));
            self.guard = Guard::Behind { since_ms: self.now_ms() };
        }
    }

    pub(super) fn guard_step(&mut self) {
        let now_ms = self.now_ms();
        match self.guard {
            Guard::Clear => {}
            // What the node itself has is not known before it has loaded it.
            Guard::Asking { .. } if self.facts.is_loading => {
                self.guard = Guard::Asking { until_ms: now_ms + ASK_MS };
            }
            Guard::Asking { until_ms } if now_ms >= until_ms => self.guard = Guard::Clear,
            Guard::Asking { .. } => {}
            Guard::Behind { .. } => {
                let ahead = self.peers.replicas(PeerIx::ME).any(|(_, peer)| {
                    peer.offset > self.facts.offset && !peer.is(flags::FAIL | flags::NOADDR)
                });
                if !ahead {
                    self.warn("No replica that has more is left: this master serves again.".into());
                    self.guard = Guard::Clear;
                }
            }
        }
    }

    /// Whether the node plays dead, so that it is replaced by those who do not understand that it steps back.
    pub(super) fn is_silent(&self) -> bool {
        let Guard::Behind { since_ms } = self.guard else { return false };
        self.now_ms().saturating_sub(since_ms) > SILENT_AFTER_MS
    }

    /// Whether the node's primary wants to be replaced.
    pub(super) fn primary_steps_back(&self) -> bool {
        let Some(primary) = self.peers.me().primary.filter(|_| self.primary_gives_up) else {
            return false;
        };
        self.facts.offset > self.peers[primary].offset
    }
}
