//! What others say of third nodes, and of themselves beyond the header.

use super::{Cluster, Peer, PeerIx};
use crate::cluster::packet::{Gossip, flags};
use crate::cluster::{Extension, NodeId};

/// How far ahead of this node's clock another's may be for its word on when a node last answered to count, in
/// milliseconds.
const CLOCK_SKEW_MS: u64 = 500;

impl Cluster {
    /// Gossip from a known node.
    pub(super) fn hear_gossip(&mut self, sender: PeerIx, gossip: &[Gossip]) {
        for entry in gossip {
            match self.peers.find(&entry.id) {
                Some(PeerIx::ME) => {}
                Some(about) => self.hear_of(sender, about, entry),
                None => self.learn_of(entry),
            }
        }
    }

    fn hear_of(&mut self, sender: PeerIx, about: PeerIx, entry: &Gossip) {
        let seems_failed = entry.flags & (flags::FAIL | flags::PFAIL) != 0;
        if self.peers[sender].is_primary() && about != sender {
            if seems_failed {
                self.report_failure(sender, about);
            } else {
                self.withdraw_report(sender, about);
            }
        }
        let now_ms = self.now_ms();
        let unix_ms = self.now.unix_ms();
        let peer = &mut self.peers[about];
        if !seems_failed && peer.ping_sent_ms.is_none() && peer.reports.is_empty() {
            let told_ms = u64::from(entry.pong_received_s) * 1000;
            if told_ms <= unix_ms + CLOCK_SKEW_MS {
                let age_ms = unix_ms.saturating_sub(told_ms);
                let answered_ms = now_ms.saturating_sub(age_ms);
                // Moments before this process began have no number here.
                if age_ms <= now_ms && peer.pong_received_ms.is_none_or(|own| own < answered_ms) {
                    peer.pong_received_ms = Some(answered_ms);
                }
            }
        }
        let has_address = entry.flags & flags::NOADDR == 0 && !entry.ip.is_unknown();
        let differs = peer.host != entry.ip || peer.ports != entry.ports;
        if peer.is(flags::FAIL | flags::PFAIL) && !seems_failed && has_address && differs {
            (peer.host, peer.ports) = (entry.ip, entry.ports);
            peer.clear(flags::NOADDR);
            self.close_out_link(about);
            self.save_soon();
        }
    }

    /// A node that the sender knows and this one does not: trusted, since the sender is.
    fn learn_of(&mut self, entry: &Gossip) {
        let is_usable = entry.flags & (flags::NOADDR | flags::HANDSHAKE) == 0
            && !entry.ip.is_unknown()
            && entry.ports.bus != 0;
        if !is_usable || self.is_forgotten(&entry.id) {
            return;
        }
        let told = flags::PFAIL | flags::FAIL | flags::MIGRATE_TO | flags::NOFAILOVER;
        let told = entry.flags & told | Peer::role_of(entry.flags);
        let mut peer = Peer::new(entry.id, told, self.now_ms());
        (peer.host, peer.ports) = (entry.ip, entry.ports);
        peer.failed_ms = self.now_ms();
        if self.peers.add(peer).is_some() {
            self.save_soon();
        }
    }

    /// What a known node says of itself: what it does not say any more is forgotten.
    pub(super) fn hear_extensions(&mut self, sender: PeerIx, extensions: &[Extension]) {
        let (mut hostname, mut nodename, mut shard) = ("", "", None);
        for extension in extensions {
            match extension {
                Extension::Hostname(name) => hostname = name,
                Extension::Nodename(name) => nodename = name,
                Extension::Shard(id) => shard = Some(*id),
                Extension::Forgotten { id, ttl_s } => self.told_to_forget(*id, *ttl_s),
                Extension::Unknown(_) => {}
            }
        }
        // The sender may just have been told to be forgotten by itself.
        let Some(peer) = self.peers.at(sender) else { return };
        // A replica is in its primary's shard, also while one of the two has not heard of the other's yet: a file in which
        // they differ is refused by stock.
        let inherited = peer.primary.map(|primary| self.peers[primary].shard);
        let shard = inherited.or(shard).unwrap_or(peer.shard);
        let same = peer.hostname == hostname && peer.nodename == nodename && peer.shard == shard;
        if same {
            return;
        }
        let peer = &mut self.peers[sender];
        hostname.clone_into(&mut peer.hostname);
        nodename.clone_into(&mut peer.nodename);
        let mine = self.peers.me().shard;
        self.move_to_shard(sender, shard);
        if self.peers.me().shard != mine {
            self.persist();
        }
        self.save_soon();
    }

    /// A node is in a shard, and so are its replicas, this node maybe among them, and theirs.
    pub(super) fn move_to_shard(&mut self, place: PeerIx, shard: NodeId) {
        self.peers[place].shard = shard;
        let strayed: Vec<PeerIx> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.primary == Some(place) && peer.shard != shard)
            .map(|(replica, _)| replica)
            .collect();
        strayed.into_iter().for_each(|replica| self.move_to_shard(replica, shard));
    }
}
