//! Who belongs to the cluster: MEET and the handshake, addresses, forgetting, starting anew.
//! Spec: cluster, "Cluster bus and nodes handshake".

use super::links::Link;
use super::{Cluster, Election, LinkId, Output, Peer, PeerIx};
use crate::cluster::packet::{Heartbeat, Ports, flags};
use crate::cluster::{Epoch, Header, Host, NodeId};

/// A handshake is given up after the timeout, but not before this.
const HANDSHAKE_MIN_MS: u64 = 1000;

/// How long a node that an operator had forgotten is not learned of through gossip.
pub(super) const FORGET_MS: u64 = 60_000;

/// Between two lines about another node with this one's name.
const TWIN_MS: u64 = 30_000;

/// The most lines about handshakes that timed out in as many milliseconds: strangers can cause any number.
const TIMED_OUT_LINES_MAX: usize = 10;
const TIMED_OUT_MS: u64 = 10_000;

/// The most nodes that are kept away at a time; each stands in every heartbeat.
const FORGOTTEN_MAX: usize = 1000;

/// The most handshakes under way, so that strangers cannot fill the memory.
const HANDSHAKES_MAX: usize = 4096;

impl Cluster {
    /// Begins a handshake with whoever listens there. Nothing happens if one is under way.
    pub(super) fn begin_handshake(&mut self, host: Host, ports: Ports, meet: bool) {
        let handshakes = || self.peers.iter().filter(|(_, peer)| peer.is(flags::HANDSHAKE));
        let same = |peer: &Peer| peer.host == host && peer.ports.bus == ports.bus;
        if handshakes().any(|(_, peer)| same(peer)) || handshakes().count() >= HANDSHAKES_MAX {
            return;
        }
        let mut id = NodeId::random(&mut self.rng);
        while self.peers.knows(&id) {
            id = NodeId::random(&mut self.rng);
        }
        let meet = if meet { flags::MEET } else { 0 };
        let mut peer = Peer::new(id, flags::HANDSHAKE | flags::PRIMARY | meet, self.now_ms());
        (peer.host, peer.ports) = (host, ports);
        if let Some(place) = self.peers.add(peer) {
            self.connect(place);
        }
    }

    /// Handshakes that took too long end.
    pub(super) fn end_old_handshakes(&mut self) {
        let limit_ms = self.settings.timeout_ms.max(HANDSHAKE_MIN_MS);
        let now_ms = self.now_ms();
        for place in self.peers.others() {
            let peer = &self.peers[place];
            if peer.is(flags::HANDSHAKE) && now_ms.saturating_sub(peer.created_ms) > limit_ms {
                let (host, bus) = (peer.host, peer.ports.bus);
                self.tell_timed_out(host, bus);
                self.remove(place);
            }
        }
    }

    fn tell_timed_out(&mut self, host: Host, bus: u16) {
        let now_ms = self.now_ms();
        let mut left_out = 0;
        let (since_ms, count) = &mut self.timed_out;
        if now_ms.saturating_sub(*since_ms) >= TIMED_OUT_MS {
            left_out = count.saturating_sub(TIMED_OUT_LINES_MAX);
            (*since_ms, *count) = (now_ms, 0);
        }
        *count += 1;
        if *count > TIMED_OUT_LINES_MAX {
            return;
        }
        if left_out > 0 {
            self.warn(format!("{left_out} more handshakes have timed out"));
        }
        self.warn(format!(
            "Handshake with node at {host}@{bus} timed out: is its cluster bus port {bus} reachable from here?"
        ));
    }

    /// A stranger has sent MEET.
    pub(super) fn add_stranger(&mut self, link: &Link, header: &Header) {
        let host = if header.ip.is_unknown() { link.remote } else { header.ip };
        // Names would have to be looked up for anybody who asks.
        let is_address = host.as_str().parse::<std::net::IpAddr>().is_ok();
        if is_address && header.ports.bus != 0 {
            self.begin_handshake(host, header.ports, false);
        }
    }

    /// The other side of a handshake has said its name. Returns its place from then on.
    pub(super) fn end_handshake(
        &mut self,
        id: LinkId,
        place: PeerIx,
        header: &Header,
    ) -> Option<PeerIx> {
        if let Some(known) = self.peers.find(&header.sender) {
            // It is known already, maybe at another address.
            let handshake = self.peers[place].clone();
            self.remove(place);
            if known == place {
                return None;
            }
            let host = if header.ip.is_unknown() { handshake.host } else { header.ip };
            self.set_address(known, host, header.ports);
            return None;
        }
        self.peers.rename(place, header.sender);
        let peer = &mut self.peers[place];
        peer.clear(flags::HANDSHAKE | flags::MEET | flags::PRIMARY | flags::REPLICA);
        peer.set(Peer::role_of(header.flags));
        peer.ports = header.ports;
        if !header.ip.is_unknown() {
            peer.host = header.ip;
        }
        peer.shard = header.sender;
        peer.takes_extensions |= header.has_extensions;
        let text = format!("Handshake with node {} completed.", header.sender);
        self.note(text);
        debug_assert!(self.links.get(id).is_some_and(|link| link.peer == Some(place)));
        self.hear_header_of_new(place, header);
        self.save_soon();
        Some(place)
    }

    fn hear_header_of_new(&mut self, place: PeerIx, header: &Header) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[place];
        peer.heard_ms = Some(now_ms);
        peer.offset = header.offset;
        self.current_epoch = self.current_epoch.max(header.current_epoch);
        if header.primary.is_none() {
            self.peers[place].config_epoch = header.config_epoch;
        }
    }

    /// The node hears itself: it was told to meet its own address, or another node bears its name.
    pub(super) fn met_myself(&mut self, id: LinkId, link: &Link, header: &Header, kind: Heartbeat) {
        if kind != Heartbeat::Pong {
            self.send_heartbeat(id, Heartbeat::Pong);
        }
        let mine = self.settings.ports.bus;
        let now_ms = self.now_ms();
        if header.ports.bus != mine && now_ms >= self.twin_due_ms {
            self.twin_due_ms = now_ms + TWIN_MS;
            let other = if header.ip.is_unknown() { link.remote } else { header.ip };
            self.warn(format!(
                "The node at {other}@{} has the same node ID as this one ({}): was its folder copied from here? Remove the cluster configuration file from one of the two while it is stopped.",
                header.ports.bus, header.sender
            ));
        }
        // Where the question came from this node itself, the answer ends its handshake.
        if header.ports.bus == mine && kind != Heartbeat::Pong {
            return;
        }
        match link.peer.filter(|peer| *peer != PeerIx::ME) {
            Some(handshake) if self.peers[handshake].is(flags::HANDSHAKE) => self.remove(handshake),
            // Where another node was thought to be there is this one.
            Some(expected) if !link.is_inbound => self.lose_address(expected),
            _ => self.close(id),
        }
    }

    /// The address under which others reach this node is that of the connections they open.
    pub(super) fn learn_own_host(&mut self, link: &Link, kind: Heartbeat) {
        let me = self.peers.me();
        let wanted = kind == Heartbeat::Meet || me.host.is_unknown();
        let is_known = !self.settings.announced_host.is_unknown();
        if !wanted || is_known || link.local.is_unknown() || me.host == link.local {
            return;
        }
        self.peers.me_mut().host = link.local;
        self.note(format!("IP address for this node updated to {}", link.local));
        self.save_soon();
    }

    /// A known node pings from where it is now.
    pub(super) fn update_address(&mut self, sender: PeerIx, link: &Link, header: &Header) {
        let host = if header.ip.is_unknown() { link.remote } else { header.ip };
        if !host.is_unknown() {
            self.set_address(sender, host, header.ports);
        }
    }

    fn set_address(&mut self, place: PeerIx, host: Host, ports: Ports) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[place];
        if place == PeerIx::ME || (peer.host == host && peer.ports == ports) {
            return;
        }
        let (shown, moved_ms) = (peer.shown(), peer.moved_ms.replace(now_ms));
        (peer.host, peer.ports) = (host, ports);
        peer.clear(flags::NOADDR);
        let moves_on = moved_ms.is_some_and(|moved_ms| now_ms - moved_ms < TWIN_MS);
        if !moves_on {
            self.note(format!("Address updated for node {shown}, now {host}:{}", ports.client));
        } else if now_ms >= self.twin_due_ms {
            self.twin_due_ms = now_ms + TWIN_MS;
            self.warn(format!(
                "Node {shown} is heard from {host}:{} too: do two nodes have one ID, was a folder copied? Stop one of them and remove its cluster configuration file.",
                ports.client
            ));
        }
        self.close_out_link(place);
        self.save_soon();
    }

    /// Nobody knows where the node is.
    pub(super) fn lose_address(&mut self, place: PeerIx) {
        self.close_out_link(place);
        let peer = &mut self.peers[place];
        peer.set(flags::NOADDR);
        (peer.host, peer.ports) = (Host::UNKNOWN, Ports::default());
        self.save_soon();
    }

    /// Forgets a node and all that refers to it.
    pub(super) fn remove(&mut self, place: PeerIx) {
        self.close_out_link(place);
        if let Some(link) = self.peers[place].in_link {
            self.close(link);
        }
        let owned: Vec<_> = self.slots.set_of(place).iter().collect();
        owned.into_iter().for_each(|slot| self.assign(slot, None));
        self.slots.close_with(place);
        if self.manual.as_ref().is_some_and(|manual| manual.replica == Some(place)) {
            self.end_manual_failover();
        }
        self.peers.remove(place);
    }

    /// Whether a node is kept away.
    pub(super) fn is_forgotten(&self, id: &NodeId) -> bool {
        self.forgotten.get(id).is_some_and(|until_ms| *until_ms > self.now_ms())
    }

    pub(super) fn keep_away(&mut self, id: NodeId, ms: u64) {
        let now_ms = self.now_ms();
        self.forgotten.retain(|_, until_ms| *until_ms > now_ms);
        if self.forgotten.len() < FORGOTTEN_MAX {
            self.forgotten.insert(id, now_ms.saturating_add(ms));
        }
    }

    /// Another node was told by an operator to forget a third one.
    pub(super) fn told_to_forget(&mut self, id: NodeId, ttl_s: u64) {
        let Some(place) = self.peers.find(&id) else { return };
        if place == PeerIx::ME || self.peers.me().primary == Some(place) {
            return;
        }
        self.keep_away(id, ttl_s.min(FORGET_MS / 1000).saturating_mul(1000));
        self.remove(place);
        self.save_soon();
    }

    /// Starts anew: no slots, no other nodes, no primary; with `new` a new name and no epochs either. The caller has made
    /// sure that no data of a primary are lost.
    pub(super) fn reset(&mut self, new: Option<(NodeId, NodeId)>) {
        if self.peers.me().is_replica() {
            self.become_primary();
            self.out.push(Output::Flush);
        }
        self.slots.close_all();
        self.give_up_own();
        for slot in crate::keyspace::Slot::all() {
            self.assign(slot, None);
        }
        for place in self.peers.others() {
            self.remove(place);
        }
        self.forgotten.clear();
        self.end_manual_failover();
        self.election = Election::default();
        self.guard = super::Guard::Clear;
        if let Some((id, shard)) = new {
            (self.current_epoch, self.last_vote_epoch) = (Epoch(0), Epoch(0));
            self.peers.rename(PeerIx::ME, id);
            let me = self.peers.me_mut();
            (me.config_epoch, me.shard) = (Epoch(0), shard);
            self.note(format!("Node hard reset, now I'm {id}"));
        }
        self.persist();
    }
}
