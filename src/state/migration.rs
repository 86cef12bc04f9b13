//! What a node does about its jobs, as far as its data go.

use sha1::{Digest, Sha1};

use crate::cluster::{NodeId, SlotSet};
use crate::keyspace::Slot;
use crate::migration::note::Plan;
use crate::migration::{Job, Note, Outcome, Role, Said, Stage};

use super::persistence::Beside;
use super::trimming::Why;
use super::{Output, State};

/// After so long clients are told that a handoff takes long, rather than made to wait.
const HANGS_US: u64 = 2_000_000;

impl State {
    /// What goes with the data.
    #[must_use]
    pub fn beside(&self) -> Beside {
        Beside { functions: self.functions.clone(), jobs: self.migrations.clone() }
    }

    /// What came with data that have taken the place of others.
    pub fn set_beside(&mut self, beside: Beside) {
        self.functions = beside.functions;
        let mut former = std::mem::replace(&mut self.migrations, beside.jobs);
        // The data of a primary that this node's slots have gone to.
        let max = self.ended_jobs_max();
        former.handed_are_over(&self.migrations, self.time.unix_s(), max);
        self.migrations.keep_history_of(former);
        self.settle_jobs();
    }

    /// Says something of a job in the log: an effect of the unit that runs.
    pub fn say_of_job(&mut self, name: NodeId, said: Said) {
        let note = Note { name, said };
        self.hear_of_job(&note);
        self.keyspace.effects.push(0, &[b"PING", note.to_text().as_bytes()]);
    }

    /// A name for a session in which slots are sent, given to no other one, in this process or any.
    pub fn name_session(&mut self) -> String {
        self.sessions_named += 1;
        format!("{}:{}", self.run.run_id, self.sessions_named)
    }

    /// The log says something of a job.
    pub fn hear_of_job(&mut self, note: &Note) {
        self.migrations.hear(note, self.time);
        if !matches!(note.said, Said::At(_)) {
            self.settle_jobs();
            self.resume_paused();
        }
    }

    /// Begins to move slots away from here.
    pub fn begin_export(&mut self, name: NodeId, plan: Plan) {
        self.say_of_job(name, Said::Export(Box::new(plan)));
        self.outputs.push(Output::MoveSlots { job: name });
    }

    /// Ends a job, in the log too.
    pub fn end_job(&mut self, name: &NodeId, outcome: Outcome, message: &str) {
        if self.is_replica() {
            return;
        }
        let Some(mut job) = self.migrations.get(name).cloned() else { return };
        self.say_of_job(*name, Said::End);
        job.phase = outcome.name();
        message.clone_into(&mut job.message);
        let what = match job.role {
            Role::Source => "Export",
            Role::Target => "Import",
        };
        let slots = crate::migration::shown_ranges(&job.plan.slots, " ", false);
        let why = if message.is_empty() { String::new() } else { format!(": {message}") };
        self.log(
            outcome == Outcome::Failed,
            format!("{what} of slots {slots} ({name}) has ended, {}{why}", outcome.name()),
        );
        let max = self.ended_jobs_max();
        self.migrations.keep_ended(job, outcome, self.time.unix_s(), max);
        self.resume_paused();
    }

    fn ended_jobs_max(&self) -> usize {
        usize::try_from(self.config.cluster_slot_migration_log_max_len).unwrap_or(usize::MAX)
    }

    /// What has come of an import is of no use: it is removed, and that ends the job.
    pub fn drop_import(&mut self, name: &NodeId) {
        let Some(slots) = self.migrations.get(name).map(|job| job.plan.slots.clone()) else {
            return;
        };
        self.say_of_job(*name, Said::Drop);
        self.trim_foreign(&slots);
    }

    /// Keys that have been received and are not this node's to show are hidden; slots that another node may have taken are
    /// claimed no more.
    pub fn settle_jobs(&mut self) {
        let receives = |job: &&Job| matches!(job.stage, Stage::Receiving | Stage::Dropping);
        let wanted = self.slots_of_jobs(receives);
        let wanted = self.foreign_of(&wanted);
        self.hide_exactly(&wanted);
        let granted = |job: &&Job| matches!(job.stage, Stage::Granted | Stage::Handed);
        let ceded = self.slots_of_jobs(granted);
        let taken = self.migrations.iter().filter(|job| job.stage == Stage::Taken);
        let taken = taken.map(|job| (job.plan.slots.clone(), job.plan.source)).collect();
        if let Some(membership) = &mut self.cluster {
            membership.core.set_ceded(ceded);
            membership.core.set_taken(taken);
        }
    }

    /// Whether a handoff of `slot`, or of any where there is none, has taken so long that nobody is made to wait for it.
    #[must_use]
    pub fn handoff_hangs(&self, slot: Option<Slot>) -> bool {
        let now_us = self.time.mono_us;
        self.migrations.iter().any(|job| {
            let concerned = slot.is_none_or(|slot| job.plan.slots.has(slot));
            concerned
                && job.stage == Stage::Granted
                && now_us.saturating_sub(job.updated.mono_us) > HANGS_US
        })
    }

    /// Those of `slots` that are not this node's: what a job says of the others is older than that.
    #[must_use]
    pub fn foreign_of(&self, slots: &SlotSet) -> SlotSet {
        let Some(membership) = &self.cluster else { return slots.clone() };
        let own = Some(crate::cluster::core::PeerIx::ME);
        slots.iter().filter(|slot| membership.core.slots().owner(*slot) != own).collect()
    }

    fn slots_of_jobs(&self, which: impl Fn(&&Job) -> bool) -> SlotSet {
        let jobs = self.migrations.iter().filter(which);
        jobs.flat_map(|job| job.plan.slots.iter().collect::<Vec<Slot>>()).collect()
    }

    fn hide_exactly(&mut self, wanted: &SlotSet) {
        let hidden: Vec<Slot> = self.keyspace.hidden().collect();
        let is_free = |slot: &Slot| !wanted.has(*slot) && !self.is_trimming(*slot);
        let shown: Vec<Slot> = hidden.into_iter().filter(is_free).collect();
        self.show_slots(shown);
        self.hide_slots(wanted.iter());
    }

    /// A name for a job that no other has: it follows from ids that nobody else has, and from `parts`.
    #[must_use]
    pub fn fresh_name(&self, parts: &[u64]) -> NodeId {
        let mut hash = Sha1::new();
        hash.update(self.fresh_id().as_bytes());
        parts.iter().for_each(|part| hash.update(part.to_be_bytes()));
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        NodeId::new(digits.as_bytes()).expect("hexadecimal digits")
    }

    /// Whether there are keys in slots that are not this node's.
    #[must_use]
    pub fn has_foreign_keys(&self, slots: &SlotSet) -> bool {
        self.keyspace.has_keys_in(self.foreign_of(slots).iter())
    }

    /// Has the keys of slots removed that are not this node's.
    pub fn trim_foreign(&mut self, slots: &SlotSet) {
        let slots: Vec<Slot> = self.foreign_of(slots).iter().collect();
        self.trim_slots(&slots, Why::Unwanted);
    }

    /// Whether a request for keys of `slot` waits, since the slot is about to be served elsewhere. Without a slot: whether a
    /// request that changes keys anywhere does.
    #[must_use]
    pub fn waits_for_handoff(&self, slot: Option<Slot>, writes: bool) -> bool {
        self.migrations.iter().any(|job| {
            let concerned = slot.is_none_or(|slot| job.plan.slots.has(slot));
            let waits = match job.stage {
                // Handed, and still this node's: it has been started again before its configuration was saved.
                Stage::Granted => writes || slot.is_some(),
                Stage::Handed => slot.is_some(),
                Stage::Moving => writes && job.holds_writes,
                _ => false,
            };
            concerned && waits
        })
    }
}
