//! What a node in cluster mode keeps for it, beyond the state machine itself.

use sha1::{Digest, Sha1};

use super::{ClientId, Output, State};
use crate::cluster::{self, Cluster, Facts, Host, NodeId};
use crate::keyspace::{SLOT_COUNT, Slot};
use crate::state::client::{Blocked, Client};
use crate::state::output::Note;

/// A node's part in its cluster.
#[derive(Debug)]
pub struct Membership {
    /// What it knows of the others, and what follows.
    pub core: Cluster,
    /// What the driver of the bus is to do, in order.
    pub bus: Vec<cluster::Output>,
    /// Where the node's replication goes.
    pub follows: Option<(Host, u16)>,
    /// Clients whose commands are answered once the configuration is on disk: up to which save
    /// ([`Cluster::saves_wanted`]), who, and what they are told then.
    pub waiters: Vec<(u64, ClientId, Vec<u8>)>,
    /// A replica takes over: writes wait until then (monotonic milliseconds).
    pub paused_until_ms: Option<u64>,
    /// Bytes that wait for each connection of the bus, told by the driver.
    pub link_bytes: Vec<(cluster::core::LinkId, usize)>,
    /// What each slot has cost, where `cluster-slot-stats-enabled` asks for that.
    pub slot_costs: Vec<SlotCost>,
}

/// What the requests of a slot have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotCost {
    /// Time in microseconds.
    pub cpu_us: u64,
    /// Bytes of the requests.
    pub bytes_in: u64,
    /// Bytes of the replies.
    pub bytes_out: u64,
}

impl Membership {
    /// Around a state machine.
    #[must_use]
    pub fn new(core: Cluster) -> Self {
        Self {
            core,
            bus: Vec::new(),
            follows: None,
            waiters: Vec::new(),
            paused_until_ms: None,
            link_bytes: Vec::new(),
            slot_costs: Vec::new(),
        }
    }

    /// What the requests of a slot have cost so far.
    #[must_use]
    pub fn slot_cost(&self, slot: Slot) -> SlotCost {
        self.slot_costs.get(slot.index()).copied().unwrap_or_default()
    }
}

impl State {
    /// What the node tells its part of the cluster.
    #[must_use]
    pub fn cluster_facts(&self) -> Facts {
        let primary = self.replication.primary.as_ref();
        let is_replica =
            self.cluster.as_ref().is_some_and(|one| one.core.peers().me().is_replica());
        let now_ms = self.time.mono_us / 1000;
        let age_ms =
            self.replication.data_age.map(|(at_ms, age_ms)| age_ms + now_ms.saturating_sub(at_ms));
        let counts = !is_replica || age_ms.is_some();
        Facts {
            offset: if counts { self.stream.end } else { 0 },
            follows: self.cluster.as_ref().and_then(|one| one.follows),
            is_linked: primary.is_some_and(|primary| primary.link.is_online()),
            data_age_ms: age_ms.unwrap_or(u64::MAX),
            data_until_ms: age_ms.map(|age_ms| self.time.unix_ms().saturating_sub(age_ms)),
            has_keys: !self.keyspace.is_empty(),
            is_loading: self.persistence.loading.is_some_and(|loading| !loading.serves),
        }
    }

    /// Notes how old a replica's data are, while it follows its primary.
    pub fn note_data_age(&mut self) {
        let now_ms = self.time.mono_us / 1000;
        let link = self.replication.primary.as_ref().map(|primary| &primary.link);
        if let Some(silent_s) = link.and_then(|link| link.silent_s(now_ms)) {
            self.replication.data_age = Some((now_ms, silent_s * 1000));
        }
    }

    /// What a replica has loaded is as old as this, in milliseconds; None: it has found nothing. What it had in memory before it
    /// started may have been newer.
    pub fn note_loaded_age(&mut self, now_ms: u64, loaded_ms: Option<u64>) {
        if let Some((at_ms, age_ms)) = self.replication.data_age {
            let age_ms = age_ms + now_ms.saturating_sub(at_ms);
            self.replication.data_age = loaded_ms.map(|loaded_ms| (now_ms, age_ms.max(loaded_ms)));
        }
    }

    /// Lets `run` change what the node knows of its cluster. What follows is left in there until the node takes it.
    /// Nothing happens outside of cluster mode.
    pub fn change_cluster<T>(&mut self, run: impl FnOnce(&mut Cluster) -> T) -> Option<T> {
        let facts = self.cluster_facts();
        let core = &mut self.cluster.as_mut()?.core;
        core.begin(self.time, facts);
        let result = run(core);
        core.finish();
        Some(result)
    }

    /// A name nobody has for the node, and one for its shard, without asking the system for randomness: they follow from
    /// the ids that the process began with, and from the names the node had.
    #[must_use]
    pub fn fresh_node_ids(&self) -> Option<(NodeId, NodeId)> {
        let me = self.cluster.as_ref()?.core.peers().me();
        let fresh = |what: &[u8]| {
            let mut hash = Sha1::new();
            for part in [what, self.fresh_id().as_bytes(), me.id.as_bytes(), me.shard.as_bytes()] {
                hash.update(part);
            }
            let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            NodeId::new(digits.as_bytes())
        };
        Some((fresh(b"node")?, fresh(b"shard")?))
    }

    /// Adds what a request has cost to the account of its slot.
    #[cold]
    pub fn add_slot_cost(&mut self, slot: Slot, cost: SlotCost) {
        let Some(membership) = &mut self.cluster else { return };
        membership.slot_costs.resize(SLOT_COUNT, SlotCost::default());
        let sum = &mut membership.slot_costs[slot.index()];
        sum.cpu_us += cost.cpu_us;
        sum.bytes_in += cost.bytes_in;
        sum.bytes_out += cost.bytes_out;
    }

    /// Holds the reply `bytes` of a client's command back until the configuration is on disk. Whether that is not so yet.
    pub fn wait_for_config(&mut self, client: &mut Client, bytes: Vec<u8>) -> bool {
        let Some(membership) = self.cluster.as_mut().filter(|one| one.core.is_saving()) else {
            return false;
        };
        membership.waiters.push((membership.core.saves_wanted(), client.id, bytes));
        client.blocked = Some(Blocked::Job);
        true
    }

    /// About how many connections the bus has: one to each other node and one from it. They count as clients do.
    #[must_use]
    pub fn bus_connections(&self) -> usize {
        self.cluster.as_ref().map_or(0, |membership| 2 * (membership.core.peers().len() - 1))
    }

    /// Whether writes wait: a replica takes over, or a claim to slots is on its way to the disk.
    #[inline]
    #[must_use]
    pub fn cluster_holds_writes(&self) -> bool {
        let holds = |one: &Membership| one.paused_until_ms.is_some() || one.core.is_claiming();
        self.cluster.as_deref().is_some_and(holds)
    }

    /// Whether a replica takes over: nothing may be added to the log.
    #[must_use]
    pub fn is_being_replaced(&self) -> bool {
        self.cluster.as_deref().is_some_and(|one| one.paused_until_ms.is_some())
    }

    /// Whether a replica may have more of the log than this node, which has just started: what is added to the log now would
    /// hide that.
    #[must_use]
    pub fn may_be_behind(&self) -> bool {
        self.cluster
            .as_deref()
            .is_some_and(|one| one.core.guard() != crate::cluster::core::Guard::Clear)
    }

    /// Hides the keys of `slots` from whoever looks at the whole keyspace.
    pub fn hide_slots(&mut self, slots: impl IntoIterator<Item = Slot>) {
        slots.into_iter().for_each(|slot| self.keyspace.hide(slot));
    }

    /// Shows the keys of `slots` again.
    pub fn show_slots(&mut self, slots: impl IntoIterator<Item = Slot>) {
        slots.into_iter().for_each(|slot| self.keyspace.show(slot));
    }

    /// A line for the log of events.
    pub(crate) fn log(&mut self, is_warning: bool, text: String) {
        self.outputs.push(Output::Note(Note { warning: is_warning, text }));
    }
}
