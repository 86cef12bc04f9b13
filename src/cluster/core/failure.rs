//! When a node counts as failed: this one suspects it (PFAIL), and so does a majority of the primaries (FAIL).
//! Spec: cluster, "Failure detection".

use super::{Cluster, PeerIx};
use crate::cluster::Body;
use crate::cluster::packet::flags;

/// A report counts for so many timeouts.
const REPORT_TIMEOUTS: u64 = 2;

/// A primary with slots that answers again is trusted again after so many timeouts, if nobody took its slots.
const UNFAIL_TIMEOUTS: u64 = 2;

impl Cluster {
    /// Suspects a node.
    pub(super) fn suspect(&mut self, place: PeerIx) {
        let peer = &mut self.peers[place];
        if peer.is(flags::PFAIL | flags::FAIL) {
            return;
        }
        peer.set(flags::PFAIL);
        // Alone among primaries, or with the last report that was missing.
        self.fail_if_agreed(place);
    }

    /// Nobody listens where a node's bus port was. On this host that means that its process is gone.
    pub(super) fn refused(&mut self, place: PeerIx) {
        let peer = &self.peers[place];
        let here = peer.host.is_loopback() || peer.host == self.peers.me().host;
        let is_known = !peer.is(flags::HANDSHAKE | flags::NOADDR);
        if !self.settings.suspects_refused || !here || !is_known {
            return;
        }
        // What has never been reached may not have been started yet.
        if peer.heard_ms.is_none() || peer.is(flags::PFAIL | flags::FAIL) {
            return;
        }
        // A primary that nobody can replace gains nothing by it: it would have to wait before it is trusted again.
        if peer.slot_count > 0 && !self.has_working_replica(place) {
            return;
        }
        let shown = peer.shown();
        self.note(format!("*** NODE {shown} refuses connections on this host: possibly failing."));
        self.suspect(place);
        if self.peers.me().is_primary() {
            // Others must hear of it before their next ping is due: they count reports.
            self.tell(|_, peer| peer.is_primary());
        }
    }

    fn has_working_replica(&self, primary: PeerIx) -> bool {
        let unfit = flags::PFAIL | flags::FAIL | flags::NOADDR | flags::NOFAILOVER;
        self.peers.replicas(primary).any(|(_, peer)| !peer.is(unfit))
    }

    /// A primary says that a node has failed, or may have.
    pub(super) fn report_failure(&mut self, reporter: PeerIx, about: PeerIx) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[about];
        match peer.reports.iter_mut().find(|(by, _)| *by == reporter) {
            Some((_, at_ms)) => *at_ms = now_ms,
            None => {
                peer.reports.push((reporter, now_ms));
                let (by, what) = (self.peers[reporter].shown(), self.peers[about].shown());
                self.note(format!("Node {by} reported node {what} as not reachable."));
            }
        }
        self.fail_if_agreed(about);
    }

    /// It does not say so any more.
    pub(super) fn withdraw_report(&mut self, reporter: PeerIx, about: PeerIx) {
        let peer = &mut self.peers[about];
        let before = peer.reports.len();
        peer.reports.retain(|(by, _)| *by != reporter);
        if peer.reports.len() < before {
            let (by, what) = (self.peers[reporter].shown(), self.peers[about].shown());
            self.note(format!("Node {by} reported node {what} is back online."));
        }
    }

    /// How many reports on a node count.
    pub(super) fn reports_on(&mut self, about: PeerIx) -> usize {
        let oldest_ms = self.now_ms().saturating_sub(REPORT_TIMEOUTS * self.settings.timeout_ms);
        let reports = &mut self.peers[about].reports;
        reports.retain(|(_, at_ms)| *at_ms >= oldest_ms);
        reports.len()
    }

    /// How many primaries with slots make up a majority.
    pub(super) fn quorum(&self) -> usize {
        self.peers.voters() / 2 + 1
    }

    fn fail_if_agreed(&mut self, about: PeerIx) {
        let peer = &self.peers[about];
        if !peer.is(flags::PFAIL) || peer.has_failed() {
            return;
        }
        let own = usize::from(self.peers.me().is_primary());
        if self.reports_on(about) + own < self.quorum() {
            return;
        }
        let shown = self.peers[about].shown();
        self.note(format!("Marking node {shown} as failing (quorum reached)."));
        self.mark_failed(about);
        let id = self.peers[about].id;
        self.broadcast(Body::Fail(id), |_, _| true);
        self.election_step();
    }

    fn mark_failed(&mut self, about: PeerIx) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[about];
        peer.clear(flags::PFAIL);
        peer.set(flags::FAIL);
        peer.failed_ms = now_ms;
        self.save_soon();
    }

    /// A node says that a third one has failed: a majority agreed to that.
    pub(super) fn hear_failure(&mut self, sender: PeerIx, about: &crate::cluster::NodeId) {
        let Some(place) = self.peers.find(about) else {
            let by = self.peers[sender].shown();
            return self
                .note(format!("Ignoring FAIL message from {by} about unknown node {about}"));
        };
        if place == PeerIx::ME || self.peers[place].has_failed() {
            return;
        }
        let (by, what) = (self.peers[sender].shown(), self.peers[place].shown());
        self.note(format!("FAIL message received from {by} about {what}"));
        self.mark_failed(place);
        self.election_step();
    }

    /// A failed node has got slots by an election, or an operator: it is up.
    pub(super) fn trust_again(&mut self, place: PeerIx) {
        let peer = &mut self.peers[place];
        if peer.has_failed() {
            peer.clear(flags::FAIL);
            let shown = peer.shown();
            self.note(format!(
                "Clear FAIL state for node {shown}: it claims slots in a newer epoch."
            ));
        }
    }

    /// A node that had failed answers. A primary whose slots nobody took has to wait.
    pub(super) fn may_have_recovered(&mut self, place: PeerIx) {
        let waited_ms = self.now_ms().saturating_sub(self.peers[place].failed_ms);
        let peer = &mut self.peers[place];
        if !peer.has_failed() {
            return;
        }
        let what = match (peer.is_replica(), peer.slot_count) {
            (true, _) => "replica is reachable again",
            (false, 0) => "master without slots is reachable again",
            (false, _) if waited_ms > UNFAIL_TIMEOUTS * self.settings.timeout_ms => {
                "is reachable again and nobody is serving its slots after some time"
            }
            (false, _) => return,
        };
        peer.clear(flags::FAIL);
        let shown = peer.shown();
        self.note(format!("Clear FAIL state for node {shown}: {what}."));
        self.save_soon();
    }
}
