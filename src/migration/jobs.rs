//! The jobs that a node takes part in, and those that are over.

use std::collections::VecDeque;

use crate::clock::Time;
use crate::cluster::{Epoch, NodeId, SlotSet};
use crate::keyspace::Slot;

use super::note::{Note, Plan, Said};

/// Which end of a job a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It gives the slots.
    Source,
    /// It gets them.
    Target,
}

/// How far a job has come, as the log says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Source: keys and writes are being sent.
    Moving,
    /// Source: the target may have taken the slots. They are served here no more, unless the target says that it has not
    /// and will not.
    Granted,
    /// Source: the target has the slots, and their keys are being removed here.
    Handed,
    /// Target: keys and writes are being received; nobody sees them.
    Receiving,
    /// Target: what has come is being removed; the job ends with that.
    Dropping,
    /// Target: the slots are this node's, or will be: it claims them whenever they are still the source's.
    Taken,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The slots have moved.
    Success,
    /// They have not, and that cannot be helped.
    Failed,
    /// They have not, since somebody said so.
    Cancelled,
}

impl Outcome {
    /// As GETSLOTMIGRATIONS names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// How much has been done, for people. Lost with the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Keys that there were at the beginning.
    pub keys_total: u64,
    /// Of them, those that have gone out or come in.
    pub keys_done: u64,
    /// Bytes that have gone out or come in.
    pub bytes: u64,
    /// Bytes a second, lately.
    pub bytes_per_s: u64,
    /// Milliseconds that it may still take, where that can be told.
    pub eta_ms: Option<u64>,
    /// Bytes of the log that have not been looked at.
    pub lag_bytes: u64,
    /// For how long writes waited at the handoff, in microseconds.
    pub pause_us: u64,
    /// How often it was begun again.
    pub retries: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: NodeId,
    /// Which end this node is.
    pub role: Role,
    /// What is moved.
    pub plan: Plan,
    /// What the log says of it.
    pub stage: Stage,
    /// Target: which session of the source the batches are of: a number says nothing of those of another one.
    pub from: String,
    /// Target: the last batch applied.
    pub batch: u64,
    /// What it is doing, as GETSLOTMIGRATIONS names it.
    pub phase: &'static str,
    /// Why it waits, or was begun again.
    pub message: String,
    /// When it was begun, seconds since 1970.
    pub created_s: u64,
    /// When its state changed last.
    pub updated: Time,
    /// When the other end was heard last.
    pub heard: Time,
    /// How much has been done.
    pub progress: Progress,
    /// Source: nothing is sent for now, since somebody said so.
    pub is_paused: bool,
    /// Somebody said that it is to end. Too late once it is granted or taken.
    pub is_cancelled: bool,
    /// Source: the target knows that this node knows that the slots are the target's.
    pub is_settled: bool,
    /// Source: writes to the slots wait: the end is near, or the target cannot keep up.
    pub holds_writes: bool,
    /// Target: the connection over which the source began last. What comes over an older one is void.
    pub session: Option<u64>,
    /// Target: the epoch in which the source had the slots.
    pub former: Epoch,
    /// Target: the slots are being claimed, and nobody may change that.
    pub is_taking: bool,
    /// Target: the same, by word of a source that has granted them and does not know what came of it. What was written may be
    /// an older process', or a predecessor's, so it is not taken back.
    pub is_resolving: bool,
}

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The job, as it was last.
    pub job: Job,
    /// What became of it.
    pub outcome: Outcome,
    /// When it ended, seconds since 1970.
    pub ended_s: u64,
}

/// All jobs of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jobs {
    active: Vec<Job>,
    ended: VecDeque<Ended>,
}

impl Jobs {
    /// Whether there is no job to be done.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Those to be done, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.active.iter()
    }

    /// The same, to be changed in what is not the log's to say.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.active.iter_mut()
    }

    /// Those that are over, newest first.
    pub fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter()
    }

    /// The job to be done with this name.
    #[must_use]
    pub fn get(&self, name: &NodeId) -> Option<&Job> {
        self.active.iter().find(|job| job.name == *name)
    }

    /// The same, to be changed in what is not the log's to say.
    pub fn get_mut(&mut self, name: &NodeId) -> Option<&mut Job> {
        self.active.iter_mut().find(|job| job.name == *name)
    }

    /// The job that `slot` is a part of.
    #[must_use]
    pub fn of_slot(&self, slot: Slot) -> Option<&Job> {
        self.active.iter().find(|job| job.plan.slots.has(slot))
    }

    /// A job that has slots in common with `slots`.
    #[must_use]
    pub fn meeting(&self, slots: &SlotSet) -> Option<&Job> {
        self.active.iter().find(|job| job.plan.slots.meets(slots))
    }

    /// Takes note of what the log says. Whether the note makes sense here.
    pub fn hear(&mut self, note: &Note, now: Time) -> bool {
        match &note.said {
            Said::Export(plan) => self.begin(note.name, Role::Source, plan, now),
            Said::Import(plan) => self.begin(note.name, Role::Target, plan, now),
            Said::End => return self.take(&note.name).is_some(),
            Said::From(session) => {
                let Some(job) = self.get_mut(&note.name) else { return false };
                session.clone_into(&mut job.from);
            }
            Said::At(number) => {
                let Some(job) = self.get_mut(&note.name) else { return false };
                job.batch = *number;
            }
            Said::Grant => return self.enter(&note.name, Role::Source, Stage::Granted, now),
            Said::Handed => return self.enter(&note.name, Role::Source, Stage::Handed, now),
            Said::Drop => return self.enter(&note.name, Role::Target, Stage::Dropping, now),
            Said::Take => return self.enter(&note.name, Role::Target, Stage::Taken, now),
        }
        true
    }

    fn begin(&mut self, name: NodeId, role: Role, plan: &Plan, now: Time) {
        let (stage, phase) = match role {
            Role::Source => (Stage::Moving, "connecting"),
            Role::Target => (Stage::Receiving, "receiving-snapshot"),
        };
        if let Some(job) = self.get_mut(&name).filter(|job| job.role == role) {
            // It goes back to its beginning, but for the batches applied.
            (job.stage, job.phase, job.updated, job.is_taking) = (stage, phase, now, false);
            return;
        }
        self.active.push(Job {
            name,
            role,
            plan: plan.clone(),
            stage,
            from: String::new(),
            batch: 0,
            phase,
            message: String::new(),
            created_s: now.unix_s(),
            updated: now,
            heard: now,
            progress: Progress::default(),
            is_paused: false,
            is_cancelled: false,
            is_settled: false,
            holds_writes: false,
            session: None,
            former: Epoch(0),
            is_taking: false,
            is_resolving: false,
        });
    }

    fn enter(&mut self, name: &NodeId, role: Role, stage: Stage, now: Time) -> bool {
        let Some(job) = self.get_mut(name).filter(|job| job.role == role) else { return false };
        (job.stage, job.updated) = (stage, now);
        job.phase = match stage {
            Stage::Granted | Stage::Taken => "failover-granted",
            _ => "cleaning-up",
        };
        true
    }

    fn take(&mut self, name: &NodeId) -> Option<Job> {
        let place = self.active.iter().position(|job| job.name == *name)?;
        Some(self.active.remove(place))
    }

    /// Keeps a job that is over for people to see, and no more than `max` of them.
    pub fn keep_ended(&mut self, job: Job, outcome: Outcome, now_s: u64, max: usize) {
        self.ended.push_front(Ended { job, outcome, ended_s: now_s });
        self.ended.truncate(max);
    }

    /// What others know of the past stays, whatever data have come.
    pub fn keep_history_of(&mut self, former: Jobs) {
        if self.ended.is_empty() {
            self.ended = former.ended;
        }
    }

    /// Jobs that this node was about to end, and that are none of those of the data that have come (`others`): for people to see.
    pub fn handed_are_over(&mut self, others: &Jobs, now_s: u64, max: usize) {
        let handed = |job: &mut Job| job.stage == Stage::Handed && others.get(&job.name).is_none();
        let over: Vec<Job> = self.active.extract_if(.., handed).collect();
        over.into_iter().for_each(|job| self.keep_ended(job, Outcome::Success, now_s, max));
    }

    /// The notes that say how things stand, for a snapshot.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        for job in &self.active {
            let plan = Box::new(job.plan.clone());
            let mut say = |said| notes.push(Note { name: job.name, said });
            say(match job.role {
                Role::Source => Said::Export(plan),
                Role::Target => Said::Import(plan),
            });
            if !job.from.is_empty() {
                say(Said::From(job.from.clone()));
            }
            if job.batch > 0 {
                say(Said::At(job.batch));
            }
            match job.stage {
                Stage::Moving | Stage::Receiving => {}
                Stage::Granted => say(Said::Grant),
                Stage::Handed => say(Said::Handed),
                Stage::Dropping => say(Said::Drop),
                Stage::Taken => say(Said::Take),
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_ranges;
    use super::*;

    const NOW: Time = Time { unix_us: 7_000_000, mono_us: 3_000_000 };

    fn id(letter: char) -> NodeId {
        NodeId::new(letter.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn plan(slots: &str) -> Box<Plan> {
        Box::new(Plan { source: id('a'), target: id('b'), slots: parse_ranges(slots).unwrap() })
    }

    fn hear(jobs: &mut Jobs, name: char, said: Said) -> bool {
        jobs.hear(&Note { name: id(name), said }, NOW)
    }

    #[test]
    fn notes_of_a_job_lead_it_through_its_stages() {
        let mut jobs = Jobs::default();
        assert!(!hear(&mut jobs, 'x', Said::Grant), "there is no such job");
        assert!(hear(&mut jobs, 'x', Said::Export(plan("0-9"))));
        assert!(!hear(&mut jobs, 'x', Said::Take), "this is its source");
        assert!(hear(&mut jobs, 'x', Said::Grant));
        assert_eq!(jobs.get(&id('x')).unwrap().stage, Stage::Granted);
        assert!(hear(&mut jobs, 'x', Said::Export(plan("0-9"))), "the target has refused");
        assert_eq!(jobs.get(&id('x')).unwrap().stage, Stage::Moving);
        assert!(hear(&mut jobs, 'y', Said::Import(plan("20"))));
        assert!(hear(&mut jobs, 'y', Said::At(3)) && hear(&mut jobs, 'y', Said::Take));
        let slot = |number| Slot::new(number).unwrap();
        assert_eq!(jobs.of_slot(slot(20)).map(|job| job.name), Some(id('y')));
        assert_eq!(jobs.of_slot(slot(10)), None);
        assert!(hear(&mut jobs, 'x', Said::End) && !hear(&mut jobs, 'x', Said::End));
        assert_eq!(jobs.iter().count(), 1);
    }

    #[test]
    fn a_snapshot_says_how_things_stand() {
        let mut jobs = Jobs::default();
        hear(&mut jobs, 'x', Said::Export(plan("0-9")));
        hear(&mut jobs, 'x', Said::Handed);
        hear(&mut jobs, 'y', Said::Import(plan("20")));
        hear(&mut jobs, 'y', Said::From("s:1".to_owned()));
        hear(&mut jobs, 'y', Said::At(3));
        let mut others = Jobs::default();
        for note in jobs.notes() {
            assert!(others.hear(&note, NOW));
        }
        assert_eq!(others, jobs);
    }
}
