//! What happens by itself, ten times a second.

use super::{Cluster, PeerIx};
use crate::cluster::packet::{Heartbeat, flags};

/// Ticks in a second.
const TICKS_A_SECOND: u64 = 10;

/// Nodes of which the one that has been silent longest is pinged each second.
const SAMPLE: usize = 5;

/// A node that is heard of and does not answer a question for so many timeouts is asked again over another connection.
/// Differs: stock waits for ever, and goes on suspecting a node that it suspected.
const UNANSWERED_TIMEOUTS: u64 = 2;

impl Cluster {
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        self.end_old_handshakes();
        self.open_missing_links();
        if self.is_a_second() {
            self.ping_one_of_some();
        }
        // Who hears nothing may have nothing to answer.
        if !self.is_silent() {
            for place in self.peers.others() {
                self.tend(place);
            }
        }
        if self.save_failed && self.now_ms() >= self.save_again_ms {
            self.persist();
        }
        self.guard_step();
        self.ping_successor();
        self.manual_failover_step();
        if self.peers.me().is_replica() {
            self.election_step();
            let shares = self.count_shares();
            self.move_to_orphan(&shares);
        }
    }

    /// Whether what is done once a second is due in this tick.
    pub(super) fn is_a_second(&self) -> bool {
        self.ticks.is_multiple_of(TICKS_A_SECOND)
    }

    fn open_missing_links(&mut self) {
        for place in self.peers.others() {
            let peer = &self.peers[place];
            if peer.out_link.is_none() && !peer.is(flags::NOADDR) && !peer.host.is_unknown() {
                self.connect(place);
            }
        }
    }

    fn ping_one_of_some(&mut self) {
        let others = self.peers.others();
        let mut oldest: Option<(Option<u64>, PeerIx)> = None;
        for _ in 0..SAMPLE.min(others.len()) {
            let place = others[self.rng.usize(..others.len())];
            let peer = &self.peers[place];
            let idle =
                peer.link().is_some() && peer.ping_sent_ms.is_none() && !peer.is(flags::HANDSHAKE);
            let candidate = (peer.pong_received_ms, place);
            if idle && oldest.is_none_or(|oldest| candidate.0 < oldest.0) {
                oldest = Some(candidate);
            }
        }
        if let Some((_, place)) = oldest {
            self.ping(place);
        }
    }

    fn ping(&mut self, place: PeerIx) {
        if let Some(link) = self.peers[place].link() {
            self.send_heartbeat(link, Heartbeat::Ping);
        }
    }

    /// Pings a node when that is due; suspects one that does not answer.
    fn tend(&mut self, place: PeerIx) {
        let Some(peer) = self.peers.at(place) else { return };
        if peer.is(flags::NOADDR | flags::HANDSHAKE) {
            return;
        }
        let now_ms = self.now_ms();
        let timeout_ms = self.settings.timeout_ms;
        let since = |moment: Option<u64>| moment.map_or(now_ms, |ms| now_ms.saturating_sub(ms));
        let waits_ms = peer.ping_sent_ms.map(|sent_ms| now_ms.saturating_sub(sent_ms));
        let silent_ms = since(peer.heard_ms);
        if let (Some(link), Some(waits_ms)) = (peer.out_link, waits_ms) {
            let is_old = now_ms.saturating_sub(link.since_ms) > timeout_ms;
            let is_silent = waits_ms > timeout_ms / 2 && silent_ms > timeout_ms / 2;
            // It is there, but the answer never comes: it was swallowed, and is not asked for again over this connection.
            let is_owed = waits_ms > UNANSWERED_TIMEOUTS * timeout_ms;
            if is_old && (is_silent || is_owed) {
                // Maybe it is the connection: the next one tells.
                self.close_out_link(place);
            }
        }
        let peer = &self.peers[place];
        let answered_ms = since(peer.pong_received_ms);
        let never = peer.pong_received_ms.is_none();
        if peer.link().is_some()
            && peer.ping_sent_ms.is_none()
            && (never || answered_ms > timeout_ms / 2)
        {
            return self.ping(place);
        }
        let Some(waits_ms) = waits_ms else { return };
        let heard = peer.heard_ms.map_or(u64::MAX, |_| silent_ms);
        if waits_ms.min(heard) > timeout_ms && !peer.is(flags::PFAIL | flags::FAIL) {
            let shown = peer.shown();
            self.note(format!("*** NODE {shown} possibly failing"));
            self.suspect(place);
        }
    }
}
