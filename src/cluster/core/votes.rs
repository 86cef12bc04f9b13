//! Votes that this node gives: one an epoch, and one per failed primary in a while.
//! Spec: cluster, "Masters reply to replica vote request".

use super::{Cluster, PeerIx};
use crate::cluster::packet::flags;
use crate::cluster::{Body, Header};

/// Between two votes for replicas of one primary, in timeouts.
const VOTE_TIMEOUTS: u64 = 2;

/// For how long after the failure of a primary the replica with most of the log is preferred: a timeout, at least this.
const PREFERRED_MS: u64 = 2000;

impl Cluster {
    /// A replica asks for this node's vote.
    pub(super) fn vote_request(&mut self, sender: PeerIx, header: &Header) {
        let me = self.peers.me();
        if !me.votes() {
            return;
        }
        let shown = self.peers[sender].shown();
        if let Err(why) = self.may_vote(sender, header) {
            return self.warn(format!("Failover auth denied to {shown}: {why}"));
        }
        let primary = self.peers[sender].primary.expect("looked at");
        let link = self.peers[sender].link().expect("looked at");
        let now_ms = self.now_ms();
        self.peers[primary].voted_ms = Some(now_ms);
        self.last_vote_epoch = self.current_epoch;
        // The promise must reach the disk before it reaches the network: a node that forgets its vote in a crash could
        // vote twice in one epoch.
        self.persist();
        self.send(link, Body::Vote);
        let epoch = self.current_epoch;
        self.note(format!("Failover auth granted to {shown} for epoch {epoch}"));
    }

    fn may_vote(&self, sender: PeerIx, header: &Header) -> Result<(), String> {
        if self.save_failed {
            return Err("the cluster configuration file cannot be written".to_owned());
        }
        if header.current_epoch < self.current_epoch {
            return Err(format!(
                "reqEpoch ({}) < curEpoch({})",
                header.current_epoch, self.current_epoch
            ));
        }
        if self.last_vote_epoch >= self.current_epoch {
            return Err(format!("already voted for epoch {}", self.current_epoch));
        }
        let peer = &self.peers[sender];
        let Some(primary) = peer.primary.filter(|_| peer.is_replica()) else {
            return Err("it is a master node, or its master is not known".to_owned());
        };
        if !self.peers[primary].has_failed() && !header.forces_ack {
            return Err("its master is up".to_owned());
        }
        if let Some(voted_ms) = self.peers[primary].voted_ms {
            let wait_ms = VOTE_TIMEOUTS * self.settings.timeout_ms;
            let since_ms = self.now_ms().saturating_sub(voted_ms);
            if since_ms < wait_ms {
                return Err(format!(
                    "can't vote about this master before {} milliseconds",
                    wait_ms - since_ms
                ));
            }
        }
        for slot in header.slots.iter() {
            let owner = self.slots.owner(slot).filter(|_| !self.slots.is_unclaimed(slot));
            let Some(owner) = owner else { continue };
            let epoch = self.peers[owner].config_epoch;
            if epoch > header.config_epoch {
                return Err(format!(
                    "slot {} epoch ({epoch}) > reqConfigEpoch ({})",
                    slot.number(),
                    header.config_epoch
                ));
            }
        }
        if self.somebody_has_more(sender, primary, header.offset) {
            return Err("another replica stands that has more of the log".to_owned());
        }
        if peer.link().is_none() {
            return Err("there is no link to it".to_owned());
        }
        Ok(())
    }

    /// Whether a sibling that has been heard since their primary failed, so that it stands too, has more. The rank sees to
    /// the order as a rule; here it is made sure of, because what WAIT has confirmed may be on that one alone.
    fn somebody_has_more(&self, sender: PeerIx, primary: PeerIx, offset: u64) -> bool {
        let peer = &self.peers[primary];
        // Since when its replicas stand; where only an operator wants it, they do not.
        let since_ms = if primary == PeerIx::ME {
            self.behind_since_ms()
        } else if peer.has_failed() {
            Some(peer.failed_ms)
        } else {
            peer.gave_up_ms
        };
        let Some(since_ms) = since_ms else { return false };
        // This node steps back for what it has heard before.
        let heard_after_ms = if primary == PeerIx::ME { 0 } else { since_ms };
        // One that does not get elected must not keep the others from it for ever.
        if self.now_ms().saturating_sub(since_ms) > self.settings.timeout_ms.max(PREFERRED_MS) {
            return false;
        }
        self.peers.replicas(primary).any(|(place, peer)| {
            place != sender
                && peer.offset > offset
                && peer.heard_ms.is_some_and(|heard_ms| heard_ms > heard_after_ms)
                && !peer.is(flags::FAIL | flags::PFAIL | flags::NOFAILOVER)
        })
    }
}
