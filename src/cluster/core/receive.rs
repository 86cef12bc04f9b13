//! A packet has come. What is done with it, in the order that stock nodes do it.

use super::links::Link;
use super::{Cluster, LinkId, Output, PeerIx};
use crate::cluster::packet::{Heartbeat, flags};
use crate::cluster::{Body, Epoch, Header, Packet};

/// Epochs above this are not believed: arithmetic on them must not overflow, and nobody gets there by elections.
const EPOCH_HEARD_MAX: Epoch = Epoch(1 << 62);

/// What an operator may set, so that there is room for elections above it.
pub const EPOCH_MAX: Epoch = Epoch((1 << 62) - (1 << 32));

impl Cluster {
    pub(super) fn packet(&mut self, id: LinkId, packet: &Packet) {
        if let Some(count) = self.counts[1].get_mut(usize::from(packet.body.kind())) {
            *count += 1;
        }
        let Some(link) = self.links.get(id).cloned() else { return };
        let Some(header) = packet.header.as_deref() else {
            return self.light_packet(id, &link, &packet.body);
        };
        if header.current_epoch > EPOCH_HEARD_MAX || header.config_epoch > EPOCH_HEARD_MAX {
            return self.warn(format!("Node {} tells an epoch out of range", header.sender));
        }
        let sender = self.sender_of(id, &link, header);
        if sender == Some(PeerIx::ME) && !matches!(packet.body, Body::Heartbeat { .. }) {
            return;
        }
        if let Some(sender) = sender {
            let now_ms = self.now_ms();
            self.peers[sender].heard_ms = Some(now_ms);
            self.peers[sender].takes_extensions |= header.has_extensions;
            if sender != PeerIx::ME && !self.peers[sender].is(flags::HANDSHAKE) {
                self.hear_header(sender, header);
            }
        }
        self.body(id, &link, sender, header, &packet.body);
    }

    /// Who sends: whose connection it is, or whose name it bears.
    fn sender_of(&mut self, id: LinkId, link: &Link, header: &Header) -> Option<PeerIx> {
        let known = link.peer.filter(|peer| !self.peers[*peer].is(flags::HANDSHAKE));
        if known.is_some_and(|peer| self.peers[peer].id == header.sender) {
            return known;
        }
        // The name of a handshake is made up: nobody bears it.
        let is_name = |place: &PeerIx| !self.peers[*place].is(flags::HANDSHAKE);
        let sender = self.peers.find(&header.sender).filter(is_name)?;
        if link.is_inbound && link.peer.is_none() && sender != PeerIx::ME {
            self.bind_link(id, sender);
        }
        Some(sender)
    }

    /// Epochs and offset of a known node.
    fn hear_header(&mut self, sender: PeerIx, header: &Header) {
        self.current_epoch = self.current_epoch.max(header.current_epoch);
        let peer = &mut self.peers[sender];
        if !header.hides_offset {
            peer.offset = header.offset;
            peer.tells_offset = true;
        }
        let claims = header.primary.is_none();
        if header.config_epoch > peer.config_epoch && claims {
            peer.config_epoch = header.config_epoch;
            // Not every packet is looked at for claims: without this it would have in the newer epoch what it had before.
            self.hear_no_claim(sender, &header.slots);
            self.persist();
        }
        self.hear_offset(sender, header);
        self.hear_pause(sender, header);
    }

    fn light_packet(&mut self, id: LinkId, link: &Link, body: &Body) {
        let Some(sender) = link.peer.filter(|peer| !self.peers[*peer].is(flags::HANDSHAKE)) else {
            // The first packet of a connection has to say whose it is.
            return self.close(id);
        };
        let now_ms = self.now_ms();
        self.peers[sender].heard_ms = Some(now_ms);
        self.deliver(body);
    }

    fn deliver(&mut self, body: &Body) {
        if let Body::Publish { sharded, channel, message } = body {
            let (channel, message) = (channel.clone(), message.clone());
            self.out.push(Output::Deliver { sharded: *sharded, channel, message });
        }
    }

    fn body(
        &mut self,
        id: LinkId,
        link: &Link,
        sender: Option<PeerIx>,
        header: &Header,
        body: &Body,
    ) {
        match (body, sender) {
            (Body::Heartbeat { kind, gossip, extensions }, _) => {
                self.heartbeat(id, link, sender, header, *kind);
                // Who the sender is may just have become known, or have changed.
                let sender = self.peers.find(&header.sender).filter(|sender| *sender != PeerIx::ME);
                if let Some(sender) =
                    sender.filter(|place| !self.peers[*place].is(flags::HANDSHAKE))
                {
                    self.hear_gossip(sender, gossip);
                    // Who could have sent some and has not, does not know yet that this node understands them.
                    if !extensions.is_empty() || !header.has_extensions {
                        self.hear_extensions(sender, extensions);
                    }
                }
            }
            (Body::Fail(about), Some(sender)) => self.hear_failure(sender, about),
            (Body::Publish { .. }, Some(_)) => self.deliver(body),
            (Body::VoteRequest, Some(sender)) => self.vote_request(sender, header),
            (Body::Vote, Some(sender)) => self.hear_vote(sender, header),
            (Body::Update { config_epoch, .. }, _) if *config_epoch > EPOCH_HEARD_MAX => {
                self.warn(format!("Node {} tells an epoch out of range", header.sender));
            }
            (Body::Update { config_epoch, owner, slots }, Some(_)) => {
                self.hear_update(*config_epoch, owner, slots);
            }
            (Body::ManualFailover, Some(sender)) => self.manual_failover_asked(sender),
            (Body::Unknown(kind), _) => {
                self.warn(format!("Received unknown packet type: {kind}"));
            }
            // Strangers are not believed; modules have no place here.
            (_, None) | (Body::Module, _) => {}
        }
    }

    fn heartbeat(
        &mut self,
        id: LinkId,
        link: &Link,
        sender: Option<PeerIx>,
        header: &Header,
        kind: Heartbeat,
    ) {
        if sender == Some(PeerIx::ME) {
            return self.met_myself(id, link, header, kind);
        }
        if kind != Heartbeat::Pong {
            self.learn_own_host(link, kind);
            if kind == Heartbeat::Meet && sender.is_none() {
                self.add_stranger(link, header);
            }
            self.send_heartbeat(id, Heartbeat::Pong);
        }
        let Some(sender) = self.recognize(id, link, sender, header) else { return };
        let peer = &mut self.peers[sender];
        peer.flags = peer.flags & !flags::NOFAILOVER | header.flags & flags::NOFAILOVER;
        if kind == Heartbeat::Ping && link.is_inbound {
            self.update_address(sender, link, header);
        }
        if kind == Heartbeat::Pong && !link.is_inbound {
            let now_ms = self.now_ms();
            let peer = &mut self.peers[sender];
            (peer.pong_received_ms, peer.ping_sent_ms) = (Some(now_ms), None);
            if peer.is(flags::PFAIL) {
                peer.clear(flags::PFAIL);
                self.save_soon();
            }
            self.may_have_recovered(sender);
        }
        self.hear_role(sender, header);
        self.hear_claims(sender, header);
        self.follow_grandparent();
        self.resolve_collision(sender, header);
    }

    /// Over a connection that this node opened: is the other side who it was thought to be?
    fn recognize(
        &mut self,
        id: LinkId,
        link: &Link,
        sender: Option<PeerIx>,
        header: &Header,
    ) -> Option<PeerIx> {
        let Some(expected) = link.peer.filter(|_| !link.is_inbound) else { return sender };
        if self.peers[expected].is(flags::HANDSHAKE) {
            return self.end_handshake(id, expected, header);
        }
        if self.peers[expected].id == header.sender {
            return Some(expected);
        }
        // Somebody else has its address.
        let shown = self.peers[expected].shown();
        self.note(format!(
            "PONG contains mismatching sender ID. About node {shown} in shard {} added {} ms ago",
            self.peers[expected].shard,
            self.now_ms().saturating_sub(self.peers[expected].created_ms)
        ));
        self.lose_address(expected);
        None
    }

    /// Publishes a message to other nodes: to all, or to those of the node's own shard.
    pub fn publish(&mut self, sharded: bool, channel: &[u8], message: &[u8]) {
        if !crate::cluster::wire::fits(channel, message) {
            return self
                .warn("A message is too long for the bus: it stays on this node".to_owned());
        }
        let body = Body::Publish { sharded, channel: channel.into(), message: message.into() };
        let (shard, claimant) = (self.peers.me().shard, self.claimant());
        self.broadcast(body, |place, peer| {
            let is_kin = peer.shard == shard || place == claimant || peer.primary == Some(claimant);
            !sharded || is_kin
        });
    }
}
