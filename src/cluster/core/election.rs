//! How a replica takes the place of its failed primary: it asks the primaries for votes.
//! Spec: cluster, "Replica election and promotion" and "Replica rank".

use std::collections::BTreeSet;

use super::{Cluster, Output, PeerIx};
use crate::cluster::packet::flags;
use crate::cluster::{Body, Epoch, Header, NodeId};

/// Votes are waited for during so many timeouts, but not less than [`WAIT_MIN_MS`].
const WAIT_TIMEOUTS: u64 = 2;
const WAIT_MIN_MS: u64 = 2000;

/// The next try begins after so many times the wait for votes, as with stock. Voters hold back for one wait behind a vote:
/// candidates that try again sooner may find some of them holding back again and again, each for another candidate.
const RETRY_WAITS: u64 = 2;

/// Stock's delay before an election: this, as much again at random, and [`RANK_MS`] for each replica that has more.
const DELAY_MS: u64 = 500;
const RANK_MS: u64 = 1000;

/// How long votes may take before the log mentions that they are missing.
const VOTES_MS: u64 = 1000;

/// Of the timeout, the part that the delay is where it follows from the timeout.
const DELAY_SHARE: u64 = 30;

/// An election of this node.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// When votes are asked for.
    at_ms: Option<u64>,
    /// The epoch they are asked for in, once they are.
    epoch: Option<Epoch>,
    voters: BTreeSet<NodeId>,
    rank: u64,
    /// Why there is none, as it was last said, and when.
    complaint: Option<(&'static str, u64)>,
}

impl Cluster {
    /// Whether votes are to be given although the primary is up.
    pub(super) fn election_is_forced(&self) -> bool {
        self.peers.me().is_replica() && (self.manual.is_some() || self.primary_steps_back())
    }

    /// How long a delay of stock's is here.
    fn scaled_ms(&self, stock_ms: u64) -> u64 {
        let scale_ms = (self.settings.timeout_ms / DELAY_SHARE).clamp(1, DELAY_MS);
        if self.settings.fast_election { stock_ms * scale_ms / DELAY_MS } else { stock_ms }
    }

    /// What is due of an election. To be called whenever something it depends on may have changed.
    pub(super) fn election_step(&mut self) {
        let Some(primary) = self.peers.me().primary else { return };
        if !self.may_stand(primary) {
            return;
        }
        let now_ms = self.now_ms();
        let wait_ms = (WAIT_TIMEOUTS * self.settings.timeout_ms).max(WAIT_MIN_MS);
        let began = self.election.at_ms;
        if began.is_none_or(|at_ms| now_ms > at_ms + RETRY_WAITS * wait_ms) {
            self.schedule(primary);
        }
        let Some(at_ms) = self.election.at_ms else { return };
        if self.election.epoch.is_none() && !self.is_asked_for() {
            self.fall_back(primary);
        }
        let at_ms = self.election.at_ms.unwrap_or(at_ms);
        if now_ms < at_ms {
            return self.complain("Waiting the delay before I can start a new failover.");
        }
        if now_ms - at_ms > wait_ms {
            return self.complain("Failover attempt expired.");
        }
        match self.election.epoch {
            None => self.ask_for_votes(),
            Some(_) => self.count_votes(primary),
        }
    }

    /// The operator wants this failover, and the replica has all that it is to have.
    fn is_asked_for(&self) -> bool {
        self.manual.as_ref().is_some_and(|manual| manual.can_start)
    }

    /// The same, or the primary itself wants it.
    fn is_by_hand(&self) -> bool {
        self.is_asked_for() || self.primary_steps_back()
    }

    fn may_stand(&mut self, primary: PeerIx) -> bool {
        let by_hand = self.is_by_hand();
        let peer = &self.peers[primary];
        if peer.slot_count == 0 || !(peer.has_failed() || by_hand) {
            // An election for a primary that is back is none.
            if !peer.has_failed() && self.election.at_ms.is_some() && self.manual.is_none() {
                self.election = Election::default();
            }
            return false;
        }
        if self.save_failed {
            self.complain("The cluster configuration file cannot be written.");
            return false;
        }
        if self.facts.is_loading {
            // What it has is not known yet, and neither is the history that it would go on with.
            self.complain("The data are still being loaded.");
            return false;
        }
        if self.is_asked_for() {
            return true;
        }
        if self.settings.no_failover {
            if self.primary_steps_back() {
                self.complain("cluster-replica-no-failover is on. CLUSTER FAILOVER FORCE here has this replica take over from a master that has less.");
            }
            return false;
        }
        // Where all have told their offsets the greatest is known: what all were without meanwhile says nothing.
        if self.primary_steps_back()
            && self.facts.data_age_ms < u64::MAX
            && self.siblings_are_known(primary)
        {
            return true;
        }
        let timeout_ms = self.settings.timeout_ms;
        let mut age_ms = self.facts.data_age_ms;
        if age_ms > timeout_ms {
            age_ms -= timeout_ms;
        }
        let factor = self.settings.validity_factor;
        let limit_ms = self.settings.primary_ping_ms + timeout_ms.saturating_mul(factor);
        if factor != 0 && age_ms > limit_ms {
            self.complain("Disconnected from master for longer than allowed. Please check the 'cluster-replica-validity-factor' configuration option.");
            return false;
        }
        true
    }

    /// Whether all other replicas of `primary` have told their offsets, or are down.
    fn siblings_are_known(&self, primary: PeerIx) -> bool {
        let gone = flags::PFAIL | flags::FAIL | flags::NOADDR;
        self.peers.replicas(primary).all(|(place, peer)| {
            place == PeerIx::ME || peer.tells_offset || peer.refuses || peer.is(gone)
        })
    }

    fn schedule(&mut self, primary: PeerIx) {
        let now_ms = self.now_ms();
        let rank = self.rank(primary);
        let (delay_ms, rank) = if self.is_asked_for() {
            (0, 0)
        } else {
            let base_ms = self.scaled_ms(DELAY_MS);
            (base_ms + self.rng.u64(0..base_ms.max(1)) + rank * self.scaled_ms(RANK_MS), rank)
        };
        self.election = Election {
            at_ms: Some(now_ms + delay_ms),
            rank,
            complaint: self.election.complaint,
            ..Election::default()
        };
        self.note(format!(
            "Start of election delayed for {delay_ms} milliseconds (rank #{rank}, offset {}).",
            self.facts.offset
        ));
        // Siblings learn of this offset, so that they know their ranks; those who vote, so that they prefer who has most.
        self.tell(|_, peer| peer.votes() || peer.primary == Some(primary));
    }

    /// How many replicas of `primary` have more of its log.
    fn rank(&self, primary: PeerIx) -> u64 {
        let ahead = self.peers.replicas(primary).filter(|(place, peer)| {
            *place != PeerIx::ME
                && !peer.is(flags::NOFAILOVER | flags::FAIL)
                && peer.offset > self.facts.offset
        });
        ahead.count() as u64
    }

    /// A replica has turned out to have more: it goes first.
    fn fall_back(&mut self, primary: PeerIx) {
        let rank = self.rank(primary);
        if rank <= self.election.rank {
            return;
        }
        let added_ms = (rank - self.election.rank) * self.scaled_ms(RANK_MS);
        self.election.rank = rank;
        if let Some(at_ms) = &mut self.election.at_ms {
            *at_ms += added_ms;
        }
        self.note(format!(
            "Replica rank updated to #{rank}, added {added_ms} milliseconds of delay."
        ));
    }

    fn ask_for_votes(&mut self) {
        self.current_epoch = self.current_epoch.next();
        let epoch = self.current_epoch;
        self.election.epoch = Some(epoch);
        self.note(format!("Starting a failover election for epoch {epoch}."));
        // A node that forgets the epoch it stood in could stand in it twice.
        self.persist();
        self.broadcast(Body::VoteRequest, |_, _| true);
    }

    /// A primary has voted.
    pub(super) fn hear_vote(&mut self, sender: PeerIx, header: &Header) {
        let Some(epoch) = self.election.epoch else { return };
        if self.peers[sender].votes() && header.current_epoch >= epoch {
            self.election.voters.insert(self.peers[sender].id);
            self.election_step();
        }
    }

    fn count_votes(&mut self, primary: PeerIx) {
        if self.election.voters.len() < self.quorum() {
            // They take a moment as a rule.
            let asked_ms = self.election.at_ms.unwrap_or_default();
            if self.now_ms().saturating_sub(asked_ms) > VOTES_MS {
                self.complain("Waiting for votes, but majority still not reached.");
            }
            return;
        }
        self.note("Failover election won: I'm the new master.".to_owned());
        if let Some(epoch) = self.election.epoch {
            let me = self.peers.me_mut();
            me.config_epoch = me.config_epoch.max(epoch);
            let epoch = me.config_epoch;
            self.note(format!("configEpoch set to {epoch} after successful failover"));
        }
        self.replace_primary(primary);
    }

    /// Takes all slots of `primary`. The node's epoch is already the newest.
    pub(super) fn replace_primary(&mut self, primary: PeerIx) {
        let slots = self.slots.set_of(primary);
        self.become_primary();
        slots.iter().for_each(|slot| self.assign(slot, Some(PeerIx::ME)));
        self.elected_in = Some(self.peers.me().config_epoch);
        self.peers.me_mut().set(flags::MIGRATE_TO);
        self.election = Election::default();
        self.status.is_elected = true;
        // The claim is on disk before anybody hears of it, and before a write is taken.
        self.persist_claim();
        self.update_status();
        self.end_manual_failover();
        self.tell(|_, _| true);
    }

    /// Says why there is no failover, once for each reason and every few seconds.
    fn complain(&mut self, why: &'static str) {
        const AGAIN_MS: u64 = 10_000;
        let now_ms = self.now_ms();
        let said = self.election.complaint;
        if said.is_some_and(|(what, at_ms)| what == why && now_ms < at_ms + AGAIN_MS) {
            return;
        }
        self.election.complaint = Some((why, now_ms));
        self.out.push(Output::Note {
            is_warning: false,
            text: format!("Currently unable to failover: {why}"),
        });
    }
}
