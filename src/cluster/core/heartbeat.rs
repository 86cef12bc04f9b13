//! What goes out in a PING, a PONG, a MEET: the header every packet has, some gossip, the extensions.

use std::sync::Arc;

use super::{Cluster, LinkId, Peer, PeerIx};
use crate::cluster::packet::{Heartbeat, flags};
use crate::cluster::{Body, Epoch, Extension, Gossip, Header, NodeId, SlotSet};

/// At least so many nodes are gossiped about, where that many are known.
const GOSSIP_MIN: usize = 3;

/// One in so many of the known nodes is gossiped about.
const GOSSIP_SHARE: usize = 10;

/// What a node says of itself with every packet and must not forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The epoch of the slots.
    pub config_epoch: Epoch,
    /// Whose replica the node is.
    pub primary: Option<NodeId>,
    /// Its slots; of a replica: its primary's.
    pub slots: Arc<SlotSet>,
}

impl Claim {
    /// Whether a header claims no more than this: a node that forgets the rest would let others down who believe it. Replicas
    /// claim nothing themselves.
    #[must_use]
    pub fn covers(&self, header: &Header) -> bool {
        let has_slots = |slots: &SlotSet| slots.iter().all(|slot| self.slots.has(slot));
        let claims_less = self.primary.is_none()
            && header.config_epoch <= self.config_epoch
            && has_slots(&header.slots);
        header.primary.is_some() || header.slots.is_empty() || claims_less
    }

    /// Whether a header says just this.
    #[must_use]
    pub fn is_in(&self, header: &Header) -> bool {
        (self.config_epoch, self.primary) == (header.config_epoch, header.primary)
            && (Arc::ptr_eq(&self.slots, &header.slots) || self.slots == header.slots)
    }
}

impl Cluster {
    /// What the node says of itself.
    #[must_use]
    pub fn own_claim(&self) -> Claim {
        let claimant = self.claimant();
        Claim {
            config_epoch: self.peers[claimant].config_epoch,
            primary: self.peers.me().primary.map(|primary| self.peers[primary].id),
            slots: self.claimed_slots(claimant),
        }
    }

    /// The header of the next packet.
    pub(in crate::cluster) fn header(&self) -> Header {
        let Claim { config_epoch, primary, slots } = self.own_claim();
        let me = self.peers.me();
        let mine = flags::MYSELF
            | flags::PRIMARY
            | flags::REPLICA
            | flags::PFAIL
            | flags::FAIL
            | flags::MIGRATE_TO
            | flags::NOFAILOVER;
        Header {
            current_epoch: self.current_epoch,
            config_epoch,
            offset: self.facts.offset,
            sender: me.id,
            slots,
            primary,
            ip: self.settings.announced_host,
            ports: self.settings.ports,
            flags: me.flags & mine | flags::LIGHT_HEADERS,
            is_down: !self.status.is_ok,
            is_paused: me.is_primary() && self.manual.is_some(),
            forces_ack: self.election_is_forced(),
            steps_back: self.behind_since_ms().is_some(),
            hides_offset: self.facts.is_loading
                && self.facts.offset == 0
                && self.facts.data_until_ms.is_some(),
            has_extensions: true,
        }
    }

    /// Sends a PING, PONG or MEET over a connection.
    pub(super) fn send_heartbeat(&mut self, link: LinkId, kind: Heartbeat) {
        // What is not sent is not waited for, and nobody is suspected for not answering it.
        if self.is_silent() {
            return;
        }
        let to = self.link_peer(link);
        if kind == Heartbeat::Ping
            && let Some(peer) = to
            && self.peers[peer].link() == Some(link)
        {
            let now_ms = self.now_ms();
            self.peers[peer].ping_sent_ms = Some(now_ms);
        }
        let gossip = self.gossip_for(to);
        let extensions = match to {
            Some(peer) if self.peers[peer].takes_extensions => self.extensions(),
            // Old servers drop packets with extensions; all that know of them say so in what they send.
            _ => Vec::new(),
        };
        self.send(link, Body::Heartbeat { kind, gossip, extensions });
    }

    /// PONG without a question: tells news to all that can be reached and are wanted.
    pub(super) fn tell(&mut self, wants: impl Fn(PeerIx, &Peer) -> bool) {
        for link in self.reachable(wants) {
            self.send_heartbeat(link, Heartbeat::Pong);
        }
    }

    fn extensions(&self) -> Vec<Extension> {
        let mut extensions = Vec::new();
        if !self.settings.hostname.is_empty() {
            extensions.push(Extension::Hostname(self.settings.hostname.clone()));
        }
        if !self.settings.nodename.is_empty() {
            extensions.push(Extension::Nodename(self.settings.nodename.clone()));
        }
        let now_ms = self.now_ms();
        for (id, until_ms) in &self.forgotten {
            if let Some(left_ms) = until_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0) {
                let ttl_s = left_ms.div_ceil(1000);
                extensions.push(Extension::Forgotten { id: *id, ttl_s });
            }
        }
        extensions.push(Extension::Shard(self.peers.me().shard));
        extensions
    }

    /// Some nodes at random, and all that are suspected.
    fn gossip_for(&mut self, to: Option<PeerIx>) -> Vec<Gossip> {
        let known = self.peers.len();
        let wanted = (known / GOSSIP_SHARE).max(GOSSIP_MIN).min(known.saturating_sub(2));
        let candidates: Vec<PeerIx> = self
            .peers
            .iter()
            .filter(|(place, peer)| {
                *place != PeerIx::ME
                    && Some(*place) != to
                    && !peer.is(flags::PFAIL | flags::HANDSHAKE | flags::NOADDR)
                    && (peer.out_link.is_some() || peer.slot_count > 0)
            })
            .map(|(place, _)| place)
            .collect();
        let chosen = self.choose(candidates, wanted);
        let suspected = |(place, peer): &(PeerIx, &Peer)| {
            *place != PeerIx::ME
                && peer.is(flags::PFAIL)
                && !peer.is(flags::HANDSHAKE | flags::NOADDR)
        };
        let all = chosen.into_iter().map(|place| &self.peers[place]);
        let suspects = self.peers.iter().filter(suspected).map(|(_, peer)| peer);
        all.chain(suspects).map(|peer| self.gossip_of(peer)).collect()
    }

    /// `count` of them at random.
    fn choose(&mut self, mut candidates: Vec<PeerIx>, count: usize) -> Vec<PeerIx> {
        let count = count.min(candidates.len());
        for index in 0..count {
            let other = self.rng.usize(index..candidates.len());
            candidates.swap(index, other);
        }
        candidates.truncate(count);
        candidates
    }

    fn gossip_of(&self, peer: &Peer) -> Gossip {
        let seconds = |moment_ms: Option<u64>| {
            moment_ms.map_or(0, |ms| u32::try_from(self.unix_ms(ms) / 1000).unwrap_or(u32::MAX))
        };
        Gossip {
            id: peer.id,
            ping_sent_s: seconds(peer.ping_sent_ms),
            pong_received_s: seconds(peer.pong_received_ms),
            ip: peer.host,
            ports: peer.ports,
            flags: peer.flags,
        }
    }

    /// A moment of the monotonic clock as the other nodes tell time.
    #[must_use]
    pub fn unix_ms(&self, mono_ms: u64) -> u64 {
        (self.now.unix_ms() + mono_ms).saturating_sub(self.now_ms())
    }
}
