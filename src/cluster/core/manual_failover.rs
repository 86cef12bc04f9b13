//! CLUSTER FAILOVER: a replica takes over while its primary is up, and nothing is lost.
//! Spec: cluster, "Manual failover".
//!
//! ```text
//!   replica                                        primary
//!   MFSTART ------------------------------------->  writes wait
//!           <-- PING with PAUSED, its offset -----
//!   has everything up to there: asks for votes,
//!   wins, tells all ------------------------------>  follows; writes go on (and are redirected)
//! ```

use super::{Cluster, Output, PeerIx};
use crate::cluster::packet::Heartbeat;
use crate::cluster::{Body, Header};

/// A manual failover that has not come to its end by then is given up.
pub const MF_TIMEOUT_MS: u64 = 5000;

/// A manual failover.
#[derive(Debug)]
pub(super) struct Manual {
    until_ms: u64,
    /// Of a primary: who takes over.
    pub(super) replica: Option<PeerIx>,
    /// Of a replica: what the primary had when its clients stopped.
    offset: Option<u64>,
    /// Of a replica: votes may be asked for.
    pub(super) can_start: bool,
}

impl Cluster {
    /// This replica begins to take over. `force`: without asking the primary.
    pub(super) fn begin_manual_failover(&mut self, primary: PeerIx, force: bool) {
        self.end_manual_failover();
        let until_ms = self.now_ms() + MF_TIMEOUT_MS;
        self.manual = Some(Manual { until_ms, replica: None, offset: None, can_start: force });
        self.election = super::Election::default();
        if force {
            self.note("Forced failover user request accepted.".to_owned());
            return self.election_step();
        }
        self.note("Manual failover user request accepted.".to_owned());
        if let Some(link) = self.peers[primary].link() {
            self.send(link, Body::ManualFailover);
        }
    }

    /// A replica of this primary wants to take over.
    pub(super) fn manual_failover_asked(&mut self, sender: PeerIx) {
        if self.peers[sender].primary != Some(PeerIx::ME) || !self.peers.me().is_primary() {
            return;
        }
        self.end_manual_failover();
        let until_ms = self.now_ms() + MF_TIMEOUT_MS;
        self.manual =
            Some(Manual { until_ms, replica: Some(sender), offset: None, can_start: false });
        let shown = self.peers[sender].shown();
        self.warn(format!("Manual failover requested by replica {shown}."));
        self.out.push(Output::Pause);
        self.ping_successor();
    }

    /// The replica that takes over hears of the offset with every tick, until it has everything.
    pub(super) fn ping_successor(&mut self) {
        let replica = self.manual.as_ref().and_then(|manual| manual.replica);
        let Some(replica) = replica.filter(|place| self.peers.at(*place).is_some()) else { return };
        if let Some(link) = self.peers[replica].link() {
            self.send_heartbeat(link, Heartbeat::Ping);
        }
    }

    /// The primary has paused its clients: this is all there will be.
    pub(super) fn hear_pause(&mut self, sender: PeerIx, header: &Header) {
        let is_primary = self.peers.me().primary == Some(sender);
        let Some(manual) = self.manual.as_mut().filter(|_| is_primary && header.is_paused) else {
            return;
        };
        if manual.offset.is_none() && !manual.can_start {
            manual.offset = Some(header.offset);
            let offset = header.offset;
            self.note(format!(
                "Received replication offset for paused master manual failover: {offset}"
            ));
        }
        self.manual_failover_step();
    }

    /// Whether the replica has everything by now.
    pub(super) fn manual_failover_step(&mut self) {
        let Some(manual) = &mut self.manual else { return };
        if self.now.mono_ms() > manual.until_ms {
            // Writes wait a little longer: the replica may have won just now, and be about to say so.
            let is_primary = manual.replica.is_some();
            self.warn("Manual failover timed out.".to_owned());
            if is_primary {
                self.manual = None;
                return;
            }
            return self.end_manual_failover();
        }
        if !manual.can_start && manual.offset.is_some_and(|offset| self.facts.offset >= offset) {
            manual.can_start = true;
            self.note(
                "All master replication stream processed, manual failover can start.".to_owned(),
            );
        }
        if self.manual.as_ref().is_some_and(|manual| manual.can_start) {
            self.election_step();
        }
    }

    /// Over, one way or the other.
    pub(super) fn end_manual_failover(&mut self) {
        let Some(manual) = self.manual.take() else { return };
        if manual.replica.is_some() {
            self.out.push(Output::Unpause);
        }
        // An election that only the operator wanted is none any more.
        self.election = super::Election::default();
    }
}
