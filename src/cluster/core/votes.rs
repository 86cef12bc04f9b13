//! Votes that this node gives: one an epoch, and one per failed primary in a while.
//! Spec: cluster, "Masters reply to replica vote request".

use super::{Cluster, PeerIx};
use crate::cluster::{Body, Header};

/// Between two votes for replicas of one primary, in timeouts.
const VOTE_TIMEOUTS: u64 = 2;

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
        if peer.link().is_none() {
            return Err("there is no link to it".to_owned());
        }
        Ok(())
    }
}
