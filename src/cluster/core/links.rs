//! Connections of the bus. A node opens one to every other and sends over it; what the other sends comes over the
//! connection that the other opened. An answer (PONG) goes back the way the question came.

use std::collections::BTreeMap;

use super::peers::OutLink;
use super::{Cluster, Output, PeerIx};
use crate::cluster::packet::flags;
use crate::cluster::{Body, Host, Packet};

/// Number of a connection; grows, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A connection.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Whose it is; of one from outside: as soon as that is known.
    pub(super) peer: Option<PeerIx>,
    /// The other side opened it.
    pub(super) is_inbound: bool,
    /// Address of the other side, for connections from outside.
    pub(super) remote: Host,
    /// Address of this side, for connections from outside.
    pub(super) local: Host,
    /// When it was begun, monotonic milliseconds.
    pub(super) since_ms: u64,
}

/// All connections, open and being opened.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_id: BTreeMap<LinkId, Link>,
    last: u64,
}

impl Links {
    fn add(&mut self, link: Link) -> LinkId {
        self.last += 1;
        let id = LinkId(self.last);
        self.by_id.insert(id, link);
        id
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.by_id.get(&id)
    }
}

/// A connection as CLUSTER LINKS shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownLink {
    /// Its number.
    pub id: LinkId,
    /// The other side opened it.
    pub is_inbound: bool,
    /// Whose it is.
    pub peer: PeerIx,
    /// When it was begun, milliseconds since 1970.
    pub created_ms: u64,
}

/// How long after its opening a connection that was lost is opened again at once.
const REOPEN_AT_ONCE_MS: u64 = 100;

impl Cluster {
    /// A connection has come from `remote` to this node's address `local`.
    pub fn accepted(&mut self, remote: Host, local: Host) -> LinkId {
        let since_ms = self.now_ms();
        self.links.add(Link { peer: None, is_inbound: true, remote, local, since_ms })
    }

    /// Whose connection it is, as far as that is known.
    #[must_use]
    pub fn link_peer(&self, id: LinkId) -> Option<PeerIx> {
        self.links.get(id)?.peer
    }

    /// All connections to and from known nodes: of each node the one to it first.
    #[must_use]
    pub fn shown_links(&self) -> Vec<ShownLink> {
        let mut shown = Vec::new();
        for (peer, known) in self.peers.iter() {
            for id in known.link().into_iter().chain(known.in_link) {
                let Some(link) = self.links.get(id) else { continue };
                let age_ms = self.now_ms().saturating_sub(link.since_ms);
                let created_ms = self.now.unix_ms().saturating_sub(age_ms);
                shown.push(ShownLink { id, is_inbound: link.is_inbound, peer, created_ms });
            }
        }
        shown
    }

    /// Begins a connection to a node.
    pub(super) fn connect(&mut self, to: PeerIx) {
        let now_ms = self.now_ms();
        let peer = &mut self.peers[to];
        debug_assert!(peer.out_link.is_none(), "one connection to each");
        let (host, port) = (peer.host, peer.ports.bus);
        let link = Link {
            peer: Some(to),
            is_inbound: false,
            remote: host,
            local: Host::UNKNOWN,
            since_ms: now_ms,
        };
        let id = self.links.add(link);
        peer.out_link = Some(OutLink { id, since_ms: now_ms, is_up: false });
        self.out.push(Output::Connect { link: id, host, port });
    }

    pub(super) fn connected(&mut self, id: LinkId) {
        let Some(to) = self.link_peer(id) else { return };
        let now_ms = self.now_ms();
        let peer = &mut self.peers[to];
        let Some(link) = peer.out_link.as_mut().filter(|link| link.id == id) else { return };
        (link.is_up, link.since_ms) = (true, now_ms);
        peer.refuses = false;
        // A ping that was not answered counts from when it was first due, over however many connections.
        let former = peer.ping_sent_ms;
        let kind = match peer.is(flags::MEET) {
            true => crate::cluster::packet::Heartbeat::Meet,
            false => crate::cluster::packet::Heartbeat::Ping,
        };
        self.send_heartbeat(id, kind);
        let peer = &mut self.peers[to];
        peer.ping_sent_ms = former.or(peer.ping_sent_ms);
        // MEET goes out again with each new connection until it is answered: the first may get lost with its connection.
    }

    pub(super) fn failed(&mut self, id: LinkId, is_refused: bool) {
        let Some(to) = self.link_peer(id) else { return };
        self.drop_link(id);
        let now_ms = self.now_ms();
        // So that the failure is noticed although nothing could be sent.
        self.peers[to].ping_sent_ms.get_or_insert(now_ms);
        self.peers[to].refuses = is_refused;
        if is_refused {
            self.refused(to);
        }
    }

    pub(super) fn closed(&mut self, id: LinkId) {
        let Some(link) = self.links.get(id).cloned() else { return };
        self.drop_link(id);
        let Some(peer) = link.peer.filter(|_| !link.is_inbound) else { return };
        // The process at the other end may have died: whether its port refuses tells that at once.
        let lived_ms = self.now_ms().saturating_sub(link.since_ms);
        if lived_ms >= REOPEN_AT_ONCE_MS && !self.peers[peer].is(flags::HANDSHAKE | flags::NOADDR) {
            self.connect(peer);
        }
    }

    pub(super) fn clogged(&mut self, id: LinkId) {
        if let Some(peer) = self.link_peer(id) {
            let shown = self.peers[peer].shown();
            self.warn(format!("Freeing a link to cluster node {shown}: more waits for it than cluster-link-sendbuf-limit allows"));
        }
        self.clogged_links += 1;
        self.close(id);
    }

    /// Closes a connection.
    pub(super) fn close(&mut self, id: LinkId) {
        if self.links.get(id).is_some() {
            self.drop_link(id);
            self.out.push(Output::Close { link: id });
        }
    }

    fn drop_link(&mut self, id: LinkId) {
        let Some(link) = self.links.by_id.remove(&id) else { return };
        let Some(peer) = link.peer.filter(|peer| self.peers.at(*peer).is_some()) else { return };
        let peer = &mut self.peers[peer];
        if peer.out_link.is_some_and(|link| link.id == id) {
            peer.out_link = None;
        }
        if peer.in_link == Some(id) {
            peer.in_link = None;
        }
    }

    /// Closes the connection to a node.
    pub(super) fn close_out_link(&mut self, to: PeerIx) {
        if let Some(link) = self.peers[to].out_link {
            self.close(link.id);
        }
    }

    /// A connection from outside is `peer`'s: an older one of it is closed.
    pub(super) fn bind_link(&mut self, id: LinkId, peer: PeerIx) {
        if let Some(older) = self.peers[peer].in_link.filter(|older| *older != id) {
            self.close(older);
        }
        if let Some(link) = self.links.by_id.get_mut(&id) {
            link.peer = Some(peer);
            self.peers[peer].in_link = Some(id);
        }
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, link: LinkId, body: Body) {
        let header = self.header();
        self.send_with(link, header, body);
    }

    pub(super) fn send_with(&mut self, link: LinkId, header: crate::cluster::Header, body: Body) {
        // Its vote it gives all the same: the replica that takes over may need it.
        if self.is_silent() && !matches!(body, Body::Vote) {
            return;
        }
        self.counts[0][usize::from(body.kind())] += 1;
        let packet = Packet { header: Some(Box::new(header)), body };
        self.out.push(Output::Send { link, packet: std::sync::Arc::new(packet) });
    }

    /// Sends one packet to all nodes that `wants` says yes to and that can be reached.
    pub(super) fn broadcast(&mut self, body: Body, wants: impl Fn(PeerIx, &super::Peer) -> bool) {
        let links = self.reachable(wants);
        let is_kept_back = self.is_silent() && !matches!(body, Body::Fail(_));
        if links.is_empty() || is_kept_back {
            return;
        }
        let header = Some(Box::new(self.header()));
        let kind = usize::from(body.kind());
        self.counts[0][kind] += links.len() as u64;
        let packet = std::sync::Arc::new(Packet { header, body });
        for link in links {
            self.out.push(Output::Send { link, packet: std::sync::Arc::clone(&packet) });
        }
    }

    /// Open connections to known nodes that `wants` says yes to.
    pub(super) fn reachable(&self, wants: impl Fn(PeerIx, &super::Peer) -> bool) -> Vec<LinkId> {
        self.peers
            .iter()
            .filter(|(place, peer)| {
                *place != PeerIx::ME && !peer.is(flags::HANDSHAKE) && wants(*place, peer)
            })
            .filter_map(|(_, peer)| peer.link())
            .collect()
    }
}
