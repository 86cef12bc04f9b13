//! A node in its cluster: what it tells the state machine, and what it does of what comes out.

use crate::clock::Time;
use crate::cluster::core::{Guard, LinkId, MF_TIMEOUT_MS};
use crate::cluster::{self, Cluster, Host, Input, Output};
use crate::config::PrimaryAddress;
use crate::keyspace::Slot;
use crate::state::cluster::Membership;
use crate::state::trimming::Why;
use crate::state::{self, ClientId};

use super::{Node, propagate};

/// Writes wait longer than the failover may take: what comes behind it is redirected.
const PAUSE_MS: u64 = 2 * MF_TIMEOUT_MS;

impl Node {
    /// The node is a part of a cluster from now on. What its own log holds is a part of its primary's history, if it has a
    /// primary.
    pub fn join_cluster(&mut self, time: Time, core: Cluster) {
        self.state.time = time;
        let until_ms = core.data_until_ms();
        let age_ms = until_ms.map(|until_ms| time.unix_ms().saturating_sub(until_ms));
        let data_age = age_ms.map(|age_ms| (time.mono_ms(), age_ms));
        self.state.cluster = Some(Box::new(Membership::new(core)));
        self.state.replication.data_age = data_age;
        self.state.change_cluster(|_| ());
        self.settle_cluster();
        self.state.replication.data_age = data_age;
        let asks = |one: &Membership| one.core.guard() != Guard::Clear;
        if self.state.cluster.as_deref().is_some_and(asks) {
            let text = "A master with slots: its replicas are listened to before anybody is served (2 seconds, or until each has spoken or cannot be reached), in case one has more of the log";
            self.state.log(false, text.to_owned());
        }
    }

    /// The data are loaded: slots with keys that are nobody's, or somebody else's, are dealt with.
    pub fn claim_loaded_slots(&mut self) {
        let occupied: Vec<Slot> = Slot::all()
            .filter(|slot| self.state.keyspace.count_in_slot(0, *slot) > 0)
            // What a job brought, or left behind, is no claim.
            .filter(|slot| self.state.migrations.of_slot(*slot).is_none())
            .collect();
        self.state.change_cluster(|core| core.claim_loaded(occupied.into_iter()));
        self.settle_cluster();
    }

    /// Takes note of what has happened on the bus, or of the time.
    pub fn step_cluster(&mut self, time: Time, input: Input<'_>) {
        self.state.time = time;
        let saved = match input {
            Input::Saved { is_saved, number } => Some((is_saved, number)),
            _ => None,
        };
        self.state.note_data_age();
        let facts = self.state.cluster_facts();
        let Some(membership) = &mut self.state.cluster else { return };
        membership.core.step(time, facts, input);
        self.settle_cluster();
        if let Some((is_saved, number)) = saved {
            self.config_is_saved(is_saved, number);
        }
        self.end_cluster_pause(time);
        self.settle_moves();
    }

    /// A connection has come on the bus.
    pub fn accept_link(&mut self, time: Time, remote: Host, local: Host) -> Option<LinkId> {
        self.state.time = time;
        self.state.change_cluster(|core| core.accepted(remote, local))
    }

    /// Does what the state machine wants of the node, and leaves the rest to the driver of the bus, in order.
    pub fn settle_cluster(&mut self) {
        let Some(membership) = &mut self.state.cluster else { return };
        for output in membership.core.take_outputs() {
            self.settle(output);
        }
        let wants_bus = self.state.cluster.as_ref().is_some_and(|one| !one.bus.is_empty());
        if wants_bus && self.state.outputs.last() != Some(&state::Output::Bus) {
            self.state.outputs.push(state::Output::Bus);
        }
    }

    fn settle(&mut self, output: Output) {
        let state = &mut self.state;
        match output {
            Output::Follow { host, port, keeps_history } => {
                if !keeps_history {
                    state.replication.data_age = None;
                }
                if let Some(membership) = &mut state.cluster {
                    membership.follows = Some((host, port));
                }
                let host = host.as_str().to_owned();
                state.set_primary(Some(PrimaryAddress { host, port }));
            }
            Output::Promote => {
                if let Some(membership) = &mut state.cluster {
                    membership.follows = None;
                }
                state.set_primary(None);
                state.resume_paused();
                self.resume_jobs();
            }
            Output::DropKeys(slots) => state.trim_slots(&slots, Why::Lost),
            // What listens for them here would listen in vain.
            Output::GaveUp(slots) => {
                slots.into_iter().for_each(|slot| state.drop_shard_channels(slot))
            }
            Output::Flush => self.flush_everything(),
            Output::Pause => {
                let until_ms = state.time.mono_us / 1000 + PAUSE_MS;
                if let Some(membership) = &mut state.cluster {
                    membership.paused_until_ms = Some(until_ms);
                }
                state.settle_role();
            }
            Output::Unpause => self.unpause(),
            Output::Deliver { sharded, channel, message } => {
                self.deliver(sharded, &channel, &message);
            }
            Output::Note { is_warning, text } => state.log(is_warning, text),
            output @ (cluster::Output::Persist
            | cluster::Output::SaveSoon
            | cluster::Output::Connect { .. }
            | cluster::Output::Close { .. }
            | cluster::Output::Send { .. }) => {
                if let Some(membership) = &mut state.cluster {
                    membership.bus.push(output);
                }
            }
        }
    }

    /// The configuration is on disk up to save `number`, or cannot be written: clients whose commands wait for that are
    /// told. Those whose change came while the file was being written wait for the next one.
    fn config_is_saved(&mut self, is_saved: bool, number: u64) {
        const FAILED: &[u8] = b"-ERR error saving the cluster node config: see the log\r\n";
        let Some(membership) = &mut self.state.cluster else { return };
        let is_over = |waiter: &mut (u64, ClientId, Vec<u8>)| !is_saved || waiter.0 <= number;
        let over: Vec<_> = membership.waiters.extract_if(.., is_over).collect();
        for (_, client, bytes) in over {
            let bytes = if is_saved { bytes } else { FAILED.to_vec() };
            self.answer_job(client, bytes);
        }
        if is_saved {
            self.state.resume_paused();
        }
    }

    fn unpause(&mut self) {
        if let Some(membership) = &mut self.state.cluster {
            membership.paused_until_ms = None;
        }
        self.state.settle_role();
        self.state.resume_paused();
    }

    fn end_cluster_pause(&mut self, time: Time) {
        let until_ms = self.state.cluster.as_ref().and_then(|one| one.paused_until_ms);
        if until_ms.is_some_and(|until_ms| until_ms <= time.mono_ms()) {
            self.unpause();
        }
    }

    fn flush_everything(&mut self) {
        let state = &mut self.state;
        state.keyspace.begin(state.time.unix_ms(), state.stream.end + 1);
        if state.keyspace.flush_all() > 0 {
            state.keyspace.effects.push(0, &[b"FLUSHALL"]);
        }
        propagate::flush_each(state);
        self.tell_watchers();
    }
}
