//! What has to hold with every step.
//!
//! * A vote: one per voter and epoch, over all of its processes.
//! * A claim: in one config epoch at most one node claims a slot. The specification gives epochs without a vote in three
//!   cases: a collision that is resolved, an operator's TAKEOVER or BUMPEPOCH, an import that ends. Such an epoch may also be
//!   the one of an election, so it is left out (`unproven`). Epoch 0, which every fresh node has, is, too.
//! * A promise (a vote, a request for votes, a claim) is in the sender's `nodes.conf`, synced, before it leaves.
//! * What `nodes.conf` holds is what a process knows that is started from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater::cluster::settings::Settings;
use highwater::cluster::{Body, Cluster, NodeId, Packet, SlotSet};
use highwater_persistence::nodes_conf::{NodeFlag, NodesConf};

use crate::bus::settled;
use crate::world::World;

/// What a `nodes.conf` promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Promises {
    current_epoch: u64,
    last_vote_epoch: u64,
    /// The newest that the node had as a primary.
    config_epoch: u64,
}

impl Promises {
    pub(crate) fn of(conf: &NodesConf) -> Self {
        let mine = conf.myself().expect("it has one");
        let config_epoch = if mine.is(NodeFlag::Primary) { mine.config_epoch } else { 0 };
        let current_epoch = conf.newest_epoch();
        Self { current_epoch, last_vote_epoch: conf.last_vote_epoch, config_epoch }
    }
}

/// What a machine was when it was last looked at.
#[derive(Debug, Clone, Default)]
struct Seen {
    promises: Promises,
    /// Of a running primary: its epoch.
    primary_in: Option<u64>,
    /// What it claimed last.
    claim: Option<(u64, Arc<SlotSet>)>,
}

/// What has been seen of all.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    seen: BTreeMap<usize, Seen>,
    votes: BTreeMap<(NodeId, u64), usize>,
    claims: BTreeMap<u64, Vec<(NodeId, SlotSet)>>,
    pub(crate) unproven: BTreeSet<u64>,
    pub(crate) full_syncs: u64,
    pub(crate) failovers: u64,
}

impl Checks {
    fn at(&mut self, at: usize) -> &mut Seen {
        self.seen.entry(at).or_default()
    }

    /// A process begins with what its `nodes.conf` holds.
    pub(crate) fn begins(&mut self, at: usize, cluster: &Cluster) {
        self.is_saved(at, Promises::of(&cluster.to_conf()));
        let seen = self.at(at);
        (seen.primary_in, seen.claim) = (None, None);
        if cluster.peers().me().is_primary() {
            seen.primary_in = Some(cluster.config_epoch().0);
        }
    }

    pub(crate) fn dies(&mut self, at: usize) {
        self.at(at).primary_in = None;
    }

    /// `nodes.conf` is on disk.
    pub(crate) fn is_saved(&mut self, at: usize, promises: Promises) {
        let kept = &mut self.at(at).promises;
        // A claim that was on disk once may still be on its way.
        let config_epoch = kept.config_epoch.max(promises.config_epoch);
        *kept = Promises { config_epoch, ..promises };
    }

    /// The machine `at` sends a packet to another.
    pub(crate) fn sends(&mut self, at: usize, to: usize, packet: &Packet) {
        let Some(header) = packet.header.as_deref() else { return };
        let kept = self.at(at).promises;
        let (sender, epoch) = (header.sender, header.current_epoch.0);
        match packet.body {
            Body::Vote => {
                assert!(kept.last_vote_epoch >= epoch, "#{at} votes in {epoch}, kept is {kept:?}");
                let former = self.votes.insert((sender, epoch), to);
                assert_eq!(former, None, "#{at} votes twice in epoch {epoch}: now for #{to}");
            }
            Body::VoteRequest => {
                assert!(kept.current_epoch >= epoch, "#{at} stands in {epoch}, kept is {kept:?}");
            }
            _ => {}
        }
        if header.primary.is_none() && !header.slots.is_empty() {
            self.claims(at, sender, header.config_epoch.0, &header.slots);
        }
    }

    fn claims(&mut self, at: usize, sender: NodeId, epoch: u64, slots: &Arc<SlotSet>) {
        let seen = self.at(at);
        let is_same =
            |(known, set): &(u64, Arc<SlotSet>)| *known == epoch && Arc::ptr_eq(set, slots);
        if seen.claim.as_ref().is_some_and(is_same) {
            return;
        }
        let kept = seen.promises;
        assert!(kept.config_epoch >= epoch, "#{at} claims slots in {epoch}, kept is {kept:?}");
        seen.claim = Some((epoch, Arc::clone(slots)));
        if epoch == 0 || self.unproven.contains(&epoch) {
            return;
        }
        let claims = self.claims.entry(epoch).or_default();
        for (other, set) in claims.iter() {
            if *other != sender && set != slots.as_ref() {
                let both = slots.iter().find(|slot| set.has(*slot));
                assert_eq!(both, None, "claimed in epoch {epoch} by {other:?} and by {sender:?}");
            }
            assert!(*other == sender || set != slots.as_ref(), "both claim all in epoch {epoch}");
        }
        match claims.iter_mut().find(|(other, _)| *other == sender) {
            Some((_, set)) => slots.iter().for_each(|slot| set.insert(slot)),
            None => claims.push((sender, slots.as_ref().clone())),
        }
    }

    /// A primary that was one before has another epoch: nobody voted for that.
    fn is_primary_in(&mut self, at: usize, epoch: Option<u64>) {
        let seen = self.at(at);
        let before = std::mem::replace(&mut seen.primary_in, epoch);
        match (before, epoch) {
            (Some(before), Some(epoch)) if before != epoch => {
                self.unproven.insert(epoch);
            }
            (None, Some(_)) => self.failovers += 1,
            _ => {}
        }
    }
}

impl World {
    /// Takes note of what a node has become.
    pub(crate) fn watch(&mut self, at: usize) {
        let Some(core) = self.core(at) else { return };
        let epoch = core.peers().me().is_primary().then(|| core.config_epoch().0);
        self.check.is_primary_in(at, epoch);
    }

    /// What has been written gives the same state again.
    pub(crate) fn check_reload(&self, at: usize, conf: &NodesConf, text: &str) {
        let parsed = NodesConf::parse(text.as_bytes()).expect("what was written can be read");
        let settings = Settings::of(&self.machines[at].config(&self.plan));
        let again =
            Cluster::from_conf(&parsed, settings, 1, self.time(at)).expect("it makes sense");
        let again = again.to_conf();
        assert_eq!(settled(&again), settled(conf), "#{at} forgets something:\n{text}");
    }
}
