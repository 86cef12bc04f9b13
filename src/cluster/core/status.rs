//! Whether the cluster serves: its state from this node's point of view.
//! Spec: cluster, "Availability" and "Hash slots configuration".

use super::{Cluster, Guard};
use crate::cluster::packet::flags;
use crate::keyspace::SLOT_COUNT;

/// A primary takes no writes for so long after its start: the others may have gone on without it.
const START_MS: u64 = 2000;

/// A primary that was cut off takes writes again after the timeout, within these bounds: it may have been replaced.
const REJOIN_MIN_MS: u64 = 500;
const REJOIN_MAX_MS: u64 = 5000;

/// The state of the cluster.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) is_ok: bool,
    /// When it was first looked at, or when the node had loaded its data.
    first_ms: Option<u64>,
    /// The data that the node began with have been loaded.
    has_loaded: bool,
    /// The node has been elected since its start: nobody has gone on without it.
    pub(super) is_elected: bool,
    /// When the node was last without a majority.
    minority_ms: Option<u64>,
}

impl Cluster {
    /// Whether the cluster serves.
    #[inline]
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status.is_ok
    }

    /// Data have been loaded. Those that the node begins with may take long, and until then it hears nothing as a primary: what
    /// is waited for after the start is waited for from here on.
    pub(super) fn has_loaded(&mut self) {
        if !std::mem::replace(&mut self.status.has_loaded, true) {
            self.status.first_ms = Some(self.now_ms());
            self.ask_replicas();
        }
    }

    /// Looks at the state anew.
    pub(super) fn update_status(&mut self) {
        let now_ms = self.now_ms();
        let first_ms = *self.status.first_ms.get_or_insert(now_ms);
        let is_primary = self.peers.me().is_primary();
        let is_young = now_ms - first_ms < START_MS && !self.status.is_elected;
        if is_primary && !self.status.is_ok && is_young {
            return;
        }
        let covered = !self.settings.needs_all_slots || self.is_covered();
        let reachable = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.votes() && !peer.is(flags::FAIL | flags::PFAIL))
            .count();
        let has_majority = reachable >= self.quorum();
        // Before there are primaries with slots nobody can have gone on without this node.
        if !has_majority && self.peers.voters() > 0 {
            self.status.minority_ms = Some(now_ms);
        }
        let is_ok = covered && has_majority && self.guard == Guard::Clear && !self.is_undecided();
        if is_ok == self.status.is_ok {
            return;
        }
        if is_ok && is_primary {
            let wait_ms = self.settings.timeout_ms.clamp(REJOIN_MIN_MS, REJOIN_MAX_MS);
            if self.status.minority_ms.is_some_and(|at_ms| now_ms - at_ms < wait_ms) {
                return;
            }
        }
        self.status.is_ok = is_ok;
        self.note(format!("Cluster state changed: {}", if is_ok { "ok" } else { "fail" }));
    }

    /// Whether the node may take a new epoch without asking anybody: it is a primary, nobody is about to take its place, and it
    /// has not been without a majority, in which it might have been replaced. An epoch that one takes who has been replaced
    /// is as new as its successor's, or newer, and would undo the election.
    #[must_use]
    pub fn may_claim(&self) -> bool {
        let now_ms = self.now_ms();
        let wait_ms = self.settings.timeout_ms.clamp(REJOIN_MIN_MS, REJOIN_MAX_MS);
        let was_cut_off = self.status.minority_ms.is_some_and(|at_ms| now_ms - at_ms < wait_ms);
        let started_ms = self.status.first_ms.unwrap_or(now_ms);
        let is_young = now_ms - started_ms < START_MS && !self.status.is_elected;
        self.peers.me().is_primary()
            && self.manual.is_none()
            && self.guard == Guard::Clear
            && !self.is_undecided()
            && !was_cut_off
            && !is_young
            && !self.save_failed
    }

    /// Whether every slot has an owner that has not failed.
    fn is_covered(&self) -> bool {
        let failed = |peer: &super::Peer| peer.has_failed() && peer.slot_count > 0;
        self.slots.assigned() == SLOT_COUNT && !self.peers.iter().any(|(_, peer)| failed(peer))
    }
}
