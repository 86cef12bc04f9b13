//! The nodes that are known, this one among them.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use crate::cluster::packet::{Ports, flags};
use crate::cluster::{Epoch, Host, NodeId};

use super::LinkId;

/// The place of a node in [`Peers`]; valid as long as the node is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIx(u16);

impl PeerIx {
    /// The node itself.
    pub const ME: PeerIx = PeerIx(0);

    /// As a number, for tables.
    #[inline]
    pub(super) fn number(self) -> u16 {
        self.0
    }

    /// From the number.
    #[inline]
    pub(super) fn from_number(number: u16) -> Self {
        Self(number)
    }
}

/// The connection that the node opened to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutLink {
    /// Its number.
    pub id: LinkId,
    /// When it was begun, monotonic milliseconds.
    pub since_ms: u64,
    /// Whether it is open.
    pub is_up: bool,
}

/// A node, as this one sees it. Moments are monotonic milliseconds.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name; random while it is not known.
    pub id: NodeId,
    /// What it is ([`flags`]).
    pub flags: u16,
    /// It understands extensions.
    pub takes_extensions: bool,
    /// Of a primary: the epoch of its claim to slots.
    pub config_epoch: Epoch,
    /// Whose replica it is.
    pub primary: Option<PeerIx>,
    /// Its shard.
    pub shard: NodeId,
    /// Where it is.
    pub host: Host,
    /// Its ports.
    pub ports: Ports,
    /// The name of its host, where it says so.
    pub hostname: String,
    /// Its name for people, where it says so.
    pub nodename: String,
    /// Log offset that it told.
    pub offset: u64,
    /// When it came to be known.
    pub created_ms: u64,
    /// When it was pinged, if no answer has come since.
    pub ping_sent_ms: Option<u64>,
    /// When it last answered.
    pub pong_received_ms: Option<u64>,
    /// When anything came from it.
    pub heard_ms: Option<u64>,
    /// Nobody listened where its bus port should be, when that was last tried.
    pub refuses: bool,
    /// It has told its offset since this node started.
    pub tells_offset: bool,
    /// When it was agreed to have failed.
    pub failed_ms: u64,
    /// When it was last found at another address.
    pub moved_ms: Option<u64>,
    /// Since when it says that it lacks what its replicas have.
    pub gave_up_ms: Option<u64>,
    /// When this node voted for one of its replicas.
    pub voted_ms: Option<u64>,
    /// Since when it has had no working replica.
    pub orphaned_ms: Option<u64>,
    /// Who says that it has failed, and when they said so.
    pub reports: Vec<(PeerIx, u64)>,
    /// How many slots it owns.
    pub slot_count: usize,
    /// The connection to it.
    pub out_link: Option<OutLink>,
    /// The connection from it.
    pub in_link: Option<LinkId>,
}

impl Peer {
    /// A node of which nothing is known but its name.
    pub(super) fn new(id: NodeId, flags: u16, now_ms: u64) -> Self {
        Self {
            id,
            flags,
            takes_extensions: false,
            config_epoch: Epoch(0),
            primary: None,
            shard: id,
            host: Host::UNKNOWN,
            ports: Ports::default(),
            hostname: String::new(),
            nodename: String::new(),
            offset: 0,
            created_ms: now_ms,
            ping_sent_ms: None,
            pong_received_ms: None,
            heard_ms: None,
            refuses: false,
            tells_offset: false,
            failed_ms: 0,
            moved_ms: None,
            gave_up_ms: None,
            voted_ms: None,
            orphaned_ms: None,
            reports: Vec::new(),
            slot_count: 0,
            out_link: None,
            in_link: None,
        }
    }

    /// Whether it has one of these flags.
    #[inline]
    #[must_use]
    pub fn is(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// The role that somebody's flags tell of: one of the two, whatever they are.
    pub(super) fn role_of(told: u16) -> u16 {
        match told & (flags::PRIMARY | flags::REPLICA) {
            flags::REPLICA => flags::REPLICA,
            _ => flags::PRIMARY,
        }
    }

    /// Whether it is a primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.is(flags::PRIMARY)
    }

    /// Whether it is a replica.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.is(flags::REPLICA)
    }

    /// Whether it is a primary with slots: those make up the majority.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.is_primary() && self.slot_count > 0
    }

    /// Whether it is agreed to have failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.is(flags::FAIL)
    }

    /// The connection to it, if it is open.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        self.out_link.filter(|link| link.is_up).map(|link| link.id)
    }

    /// Its name in log lines.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.nodename.as_str() {
            "" => format!("{} ({}:{})", self.id, self.host, self.ports.client),
            name => format!("{} ({name})", self.id),
        }
    }

    pub(super) fn set(&mut self, flags: u16) {
        self.flags |= flags;
    }

    pub(super) fn clear(&mut self, flags: u16) {
        self.flags &= !flags;
    }
}

/// All known nodes.
#[derive(Debug)]
pub struct Peers {
    places: Vec<Option<Peer>>,
    by_id: BTreeMap<NodeId, PeerIx>,
}

/// The most nodes that are known at a time: places are numbered by 16 bits, and one number means nobody.
pub(super) const PEERS_MAX: usize = 65_534;

impl Peers {
    pub(super) fn new(id: NodeId, shard: NodeId, now_ms: u64) -> Self {
        let mut peers = Self { places: Vec::new(), by_id: BTreeMap::new() };
        let me = Peer { shard, ..Peer::new(id, flags::MYSELF | flags::PRIMARY, now_ms) };
        let place = peers.add(me).expect("there is room for the first");
        assert_eq!(place, PeerIx::ME, "the node itself is the first");
        peers
    }

    /// Adds a node; none where there are too many. Its name must not be taken.
    pub(super) fn add(&mut self, peer: Peer) -> Option<PeerIx> {
        if self.by_id.len() >= PEERS_MAX {
            return None;
        }
        assert!(!self.by_id.contains_key(&peer.id), "{} is known", peer.id);
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        let place = PeerIx(u16::try_from(free).expect("fewer than 65,535 nodes"));
        self.by_id.insert(peer.id, place);
        if free == self.places.len() {
            self.places.push(Some(peer));
        } else {
            self.places[free] = Some(peer);
        }
        Some(place)
    }

    /// Forgets a node. Nothing may refer to it any more.
    pub(super) fn remove(&mut self, place: PeerIx) -> Peer {
        assert_ne!(place, PeerIx::ME, "a node does not forget itself");
        let peer = self.places[usize::from(place.0)].take().expect("a known node");
        self.by_id.remove(&peer.id);
        for other in self.places.iter_mut().flatten() {
            other.reports.retain(|(reporter, _)| *reporter != place);
            if other.primary == Some(place) {
                other.primary = None;
            }
        }
        peer
    }

    /// Gives a node another name.
    pub(super) fn rename(&mut self, place: PeerIx, id: NodeId) {
        assert!(!self.by_id.contains_key(&id), "{id} is known");
        let former = std::mem::replace(&mut self[place].id, id);
        self.by_id.remove(&former);
        self.by_id.insert(id, place);
    }

    /// Whether there is a node named `id`.
    #[must_use]
    pub fn knows(&self, id: &NodeId) -> bool {
        self.find(id).is_some()
    }

    /// The place of the node named `id`.
    #[must_use]
    pub fn find(&self, id: &NodeId) -> Option<PeerIx> {
        self.by_id.get(id).copied()
    }

    /// The node named `id`.
    #[must_use]
    pub fn get(&self, id: &NodeId) -> Option<&Peer> {
        self.find(id).map(|place| &self[place])
    }

    /// The node at `place`, if there is one.
    pub(super) fn at(&self, place: PeerIx) -> Option<&Peer> {
        self.places.get(usize::from(place.0))?.as_ref()
    }

    /// The node itself.
    #[inline]
    #[must_use]
    pub fn me(&self) -> &Peer {
        &self[PeerIx::ME]
    }

    pub(super) fn me_mut(&mut self) -> &mut Peer {
        &mut self[PeerIx::ME]
    }

    /// All nodes with their places.
    pub fn iter(&self) -> impl Iterator<Item = (PeerIx, &Peer)> {
        let numbered = (0..).map(PeerIx).zip(&self.places);
        numbered.filter_map(|(place, peer)| Some((place, peer.as_ref()?)))
    }

    /// The places of all nodes but this one.
    pub(super) fn others(&self) -> Vec<PeerIx> {
        self.iter().map(|(place, _)| place).filter(|place| *place != PeerIx::ME).collect()
    }

    /// How many are known, this one included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Never: the node knows itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The replicas of a primary.
    pub fn replicas(&self, primary: PeerIx) -> impl Iterator<Item = (PeerIx, &Peer)> {
        self.iter().filter(move |(_, peer)| peer.primary == Some(primary) && peer.is_replica())
    }

    /// How many primaries have slots.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.iter().filter(|(_, peer)| peer.votes()).count()
    }
}

impl Index<PeerIx> for Peers {
    type Output = Peer;

    #[inline]
    fn index(&self, place: PeerIx) -> &Peer {
        self.places[usize::from(place.0)].as_ref().expect("a known node")
    }
}

impl IndexMut<PeerIx> for Peers {
    fn index_mut(&mut self, place: PeerIx) -> &mut Peer {
        self.places[usize::from(place.0)].as_mut().expect("a known node")
    }
}
