//! Where a request belongs: to this node or to another one, or nowhere for now.
//! Spec: cluster, "Redirection and resharding".
//!
//! The order of the questions can be seen by clients and is stock's: the owner of the first key's slot, one slot for all
//! keys, the state of the cluster, slots on the move, the replica's reads, and only then whose the slot is.

use super::Cluster;
use super::core::{Peer, PeerIx};
use crate::config::Config;
use crate::config::choices::EndpointType;
use crate::keyspace::Slot;
use crate::resp::{CommandError, errors};

/// What the routing asks of a request and its client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// It may write.
    pub writes: bool,
    /// Its client said READONLY.
    pub reads_replicas: bool,
    /// Its client said ASKING, or the command says so itself.
    pub asks: bool,
    /// Its keys are channels of a shard.
    pub is_message: bool,
    /// It moves keys to another node.
    pub moves_keys: bool,
}

/// What the configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// What a redirection names.
    pub endpoint: EndpointType,
    /// Reads are answered while the cluster is down.
    pub reads_when_down: bool,
    /// Messages of shards go out while the cluster is down.
    pub messages_when_down: bool,
}

impl Rules {
    /// Those of `config`.
    #[inline]
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            endpoint: config.cluster_preferred_endpoint_type,
            reads_when_down: config.cluster_allow_reads_when_down,
            messages_when_down: config.cluster_allow_pubsubshard_when_down,
        }
    }
}

/// Finds out whether this node serves a request with these keys, and which slot they are in; a request without keys is
/// served by anybody. `is_missing` is asked only about keys of a slot on the move; an expired key is missing.
///
/// # Errors
/// The client has to go elsewhere, or to wait.
#[inline]
pub fn route<'k>(
    cluster: &Cluster,
    rules: Rules,
    asked: Asked,
    mut keys: impl Iterator<Item = &'k [u8]>,
    is_missing: impl FnMut(&[u8]) -> bool,
) -> Result<Option<Slot>, CommandError> {
    let Some(first) = keys.next() else { return Ok(None) };
    let slot = Slot::of(first);
    let Some(owner) = cluster.slots().owner(slot) else { return Err(errors::SLOT_NOT_SERVED) };
    let movement = Movement::of(cluster, slot, owner);
    let mut found = Found::default();
    if movement == Movement::None || asked.is_message {
        if keys.any(|key| Slot::of(key) != slot) {
            return Err(errors::CROSSSLOT);
        }
    } else {
        found = look(slot, first, keys, is_missing)?;
    }
    serves(cluster, rules, asked, (slot, owner), movement, found).map(|()| Some(slot))
}

/// As [`route`], for a request that has been let in: whether it would be today. Which of its keys are here is no matter.
///
/// # Errors
/// As with [`route`].
pub fn route_slot(
    cluster: &Cluster,
    rules: Rules,
    asked: Asked,
    slot: Slot,
) -> Result<(), CommandError> {
    let Some(owner) = cluster.slots().owner(slot) else { return Err(errors::SLOT_NOT_SERVED) };
    let movement = Movement::of(cluster, slot, owner);
    serves(cluster, rules, asked, (slot, owner), movement, Found::default())
}

/// Whether this node serves a request for a slot.
#[inline]
fn serves(
    cluster: &Cluster,
    rules: Rules,
    asked: Asked,
    (slot, owner): (Slot, PeerIx),
    movement: Movement,
    found: Found,
) -> Result<(), CommandError> {
    if !cluster.is_ok() {
        may_run_when_down(rules, asked)?;
    }
    let simple = movement == Movement::None && owner == PeerIx::ME;
    if simple || decide(cluster, rules, asked, (slot, owner), movement, found)? {
        return Ok(());
    }
    Err(redirection("MOVED", slot, &cluster.peers()[owner], rules.endpoint))
}

/// Whether a slot is on the move, from where this node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Movement {
    None,
    To(PeerIx),
    FromElsewhere,
}

impl Movement {
    #[inline]
    fn of(cluster: &Cluster, slot: Slot, owner: PeerIx) -> Self {
        let slots = cluster.slots();
        if !slots.has_open() {
            return Movement::None;
        }
        match slots.migrating_to(slot).filter(|_| owner == PeerIx::ME) {
            Some(target) => Movement::To(target),
            None if slots.importing_from(slot).is_some() => Movement::FromElsewhere,
            None => Movement::None,
        }
    }
}

/// What of a request's keys is here.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    some_missing: bool,
    some_present: bool,
    /// There is more than one key.
    many: bool,
}

/// Looks for the keys of a slot on the move.
#[cold]
fn look<'k>(
    slot: Slot,
    first: &[u8],
    others: impl Iterator<Item = &'k [u8]>,
    mut is_missing: impl FnMut(&[u8]) -> bool,
) -> Result<Found, CommandError> {
    let mut found = Found::default();
    let mut note = |found: &mut Found, key: &[u8]| match is_missing(key) {
        true => found.some_missing = true,
        false => found.some_present = true,
    };
    note(&mut found, first);
    for key in others {
        if Slot::of(key) != slot {
            return Err(errors::CROSSSLOT);
        }
        found.many |= key != first;
        note(&mut found, key);
    }
    Ok(found)
}

#[cold]
fn may_run_when_down(rules: Rules, asked: Asked) -> Result<(), CommandError> {
    match asked {
        Asked { is_message: true, .. } if rules.messages_when_down => Ok(()),
        Asked { is_message: true, .. } => Err(errors::CLUSTERDOWN),
        _ if !rules.reads_when_down => Err(errors::CLUSTERDOWN),
        Asked { writes: true, .. } => Err(errors::CLUSTERDOWN_READS),
        _ => Ok(()),
    }
}

/// Whether this node serves a slot that is on the move or not its own.
fn decide(
    cluster: &Cluster,
    rules: Rules,
    asked: Asked,
    (slot, owner): (Slot, PeerIx),
    movement: Movement,
    found: Found,
) -> Result<bool, CommandError> {
    if movement != Movement::None && asked.moves_keys {
        return Ok(true);
    }
    match movement {
        Movement::To(_) if found.some_missing && found.some_present => {
            return Err(errors::TRYAGAIN);
        }
        Movement::To(target) if found.some_missing && target != PeerIx::ME => {
            return Err(redirection("ASK", slot, &cluster.peers()[target], rules.endpoint));
        }
        Movement::FromElsewhere if asked.asks && found.many && found.some_missing => {
            return Err(errors::TRYAGAIN);
        }
        Movement::FromElsewhere if asked.asks => return Ok(true),
        _ => {}
    }
    let me = cluster.peers().me();
    let may_read = (asked.reads_replicas || asked.is_message) && !asked.writes;
    let reads_here = may_read && me.is_replica() && me.primary == Some(owner);
    Ok(reads_here || owner == PeerIx::ME)
}

/// How clients are told to reach a node; nothing: at the host they know.
#[must_use]
pub fn endpoint(peer: &Peer, kind: EndpointType) -> Option<&str> {
    match kind {
        EndpointType::Ip => Some(peer.host.as_str()),
        EndpointType::Hostname if peer.hostname.is_empty() => Some("?"),
        EndpointType::Hostname => Some(&peer.hostname),
        EndpointType::UnknownEndpoint => None,
    }
}

#[cold]
fn redirection(code: &str, slot: Slot, to: &Peer, kind: EndpointType) -> CommandError {
    let host = endpoint(to, kind).unwrap_or_default();
    CommandError::owned(format!("{code} {} {host}:{}", slot.number(), to.ports.client))
}

#[cfg(test)]
mod tests;
