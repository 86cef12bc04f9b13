//! Slots on their way, from the node's side: what the target does with what comes, and what either end does by itself.
//!
//! Everything that may be asked twice is: the other end may have died, or the connection. `docs/cluster.md` has the table.

use crate::clock::Time;
use crate::cluster::{Epoch, NodeId, SlotSet};
use crate::commands::{Entry, Flag, keys_of};
use crate::keyspace::{ExpireMode, Slot};
use crate::migration::{Job, Note, Outcome, QUEUED, Role, Said, Stage};
use crate::resp::{Args, CommandError, Reply, RequestParser, Requests, errors};
use crate::state::client::{Client, Peer};
use crate::state::{ClientId, Output, State};

use super::dispatch::{call, resolve_effect};
use super::{Node, propagate};

/// A target that has taken slots forgets the job when the source has said that it knows, or by itself after so long.
const SETTLED_US: u64 = 60_000_000;

impl Node {
    /// The node has loaded its data, or has become a primary: it goes on with its jobs.
    pub fn resume_jobs(&mut self) {
        let state = &mut self.state;
        if state.is_replica() || state.cluster.is_none() {
            return;
        }
        let now = state.time;
        let mut exports = Vec::new();
        for job in state.migrations.iter_mut() {
            (job.heard, job.is_taking, job.holds_writes) = (now, false, false);
            if job.role == Role::Source {
                exports.push(job.name);
            }
        }
        for job in exports {
            state.outputs.push(Output::MoveSlots { job });
        }
        state.settle_jobs();
    }

    /// Applies the batch of `CLUSTER HANDOVER APPLY job number commands`.
    pub(super) fn apply_batch(&mut self, client: &mut Client, args: Args<'_>, out: &mut Vec<u8>) {
        let mut reply = Reply::new(out, client.resp3);
        match self.batch(args, client.id.0) {
            Ok(number) => reply.int(i64::try_from(number).unwrap_or(i64::MAX)),
            Err(error) => {
                self.state.stats.count_error(error.code());
                reply.error(&error);
            }
        }
    }

    fn batch(&mut self, args: Args<'_>, session: u64) -> Result<u64, CommandError> {
        let state = &mut self.state;
        let name = NodeId::new(&args[3]).ok_or(CommandError::new("ERR Invalid job name"))?;
        let number = crate::resp::number::parse_i64(&args[4])
            .and_then(|number| u64::try_from(number).ok())
            .ok_or(errors::NOT_INTEGER)?;
        if state.is_replica() {
            return Err(errors::READONLY);
        }
        let now = state.time;
        if let Some(job) = state.migrations.get_mut(&name) {
            job.heard = now;
        }
        if let Some(error) = super::gates::disk_error(state) {
            return Err(error);
        }
        if state.config.maxmemory > 0 && !super::memory::make_room(state) {
            return Err(errors::OOM);
        }
        let job = state.migrations.get_mut(&name).filter(|job| job.stage == Stage::Receiving);
        let Some(job) = job.filter(|job| !job.is_taking && job.session == Some(session)) else {
            return Err("ERR There is no such import".into());
        };
        if number <= job.batch {
            return Ok(number);
        }
        if number != job.batch + 1 {
            return Err("ERR A batch is missing".into());
        }
        let slots = job.plan.slots.clone();
        let applied = self.apply_commands(&slots, &args[5]);
        let state = &mut self.state;
        match applied {
            Ok(keys) => {
                log_batch(state, &Note { name, said: Said::At(number) }, &args[5]);
                if let Some(job) = state.migrations.get_mut(&name) {
                    job.phase = "receiving-snapshot";
                    job.progress.keys_done += keys;
                    job.progress.bytes += args[5].len() as u64;
                }
                Ok(number)
            }
            Err(why) => {
                // A part of it is there and in no log: everything of the job goes.
                state
                    .log(true, format!("Batch {number} of import {name} cannot be applied: {why}"));
                unlink_all(state, &args[5]);
                state.drop_import(&name);
                Err(CommandError::owned(format!("ERR Batch {number} cannot be applied: {why}")))
            }
        }
    }

    /// Runs commands on keys of `slots`; how many there were.
    fn apply_commands(&mut self, slots: &SlotSet, bytes: &[u8]) -> Result<u64, String> {
        let state = &mut self.state;
        let mut requests = Requests::default();
        RequestParser::default()
            .parse(bytes, super::link::UNLIMITED, &mut requests)
            .map_err(|error| error.0)?;
        if requests.is_empty() || requests.end_of(requests.len() - 1) != bytes.len() {
            return Err("it is not made of whole commands".to_owned());
        }
        let mut entries: Vec<&'static Entry> = Vec::with_capacity(requests.len());
        for index in 0..requests.len() {
            entries.push(command_on(state, slots, requests.get(index, bytes))?);
        }
        let time = state.time;
        state.keyspace.begin(time.unix_ms(), state.stream.end + 1);
        // The source says when a key goes.
        state.keyspace.expire_mode = ExpireMode::Ignore;
        let mut client = Client::new(ClientId(0), Peer::default(), true, time);
        let (mut out, mut result) = (Vec::new(), Ok(requests.len() as u64));
        for (index, entry) in entries.into_iter().enumerate() {
            let args = requests.get(index, bytes);
            out.clear();
            if call(state, &mut client, entry, args, &mut out, time).failed {
                let text = String::from_utf8_lossy(&out).trim_end().to_owned();
                result = Err(format!("'{}' answers {text}", errors::printable(&args[0])));
                break;
            }
        }
        state.keyspace.effects.clear();
        state.settle_role();
        result
    }

    /// The log says that slots are taken, and has reached the disk and the replicas: claims them, and tells the client the
    /// epoch of the claim once that is on disk.
    pub fn claim_taken(&mut self, name: &NodeId, client: ClientId, time: Time) {
        self.state.time = time;
        let job = self.state.migrations.get_mut(name).filter(|job| job.stage == Stage::Taken);
        let Some(job) = job else {
            return self.answer_job(client, b"-ERR The job is gone\r\n".to_vec());
        };
        job.is_taking = false;
        let (slots, former) = (job.plan.slots.clone(), job.former);
        let source = job.is_resolving.then_some(job.plan.source);
        if !self.may_claim() {
            return self.untake(name, client, "This node may be about to be replaced", time);
        }
        if let Some(job) = self.state.migrations.get_mut(name) {
            job.is_resolving = false;
        }
        let core = self.state.cluster.as_ref().map(|one| &one.core);
        let slots = match (&source, core) {
            // Some may be another's by now.
            (Some(source), Some(core)) => core.unclaimed_of(&slots, Some(source)),
            _ => slots,
        };
        let Some(epoch) = self.claim(&slots, former) else {
            return self.answer_job(client, b"-ERR This node is no primary\r\n".to_vec());
        };
        let reply = format!(":{epoch}\r\n").into_bytes();
        match &mut self.state.cluster {
            Some(membership) if membership.core.is_saving() => {
                membership.waiters.push((membership.core.saves_wanted(), client, reply));
            }
            _ => self.answer_job(client, reply),
        }
        self.settle_cluster();
    }

    fn may_claim(&self) -> bool {
        let is_being_replaced = self.state.is_being_replaced();
        let core = self.state.cluster.as_ref().map(|one| &one.core);
        core.is_some_and(|core| core.may_claim() && !is_being_replaced)
    }

    fn claim(&mut self, slots: &SlotSet, former: Epoch) -> Option<Epoch> {
        let take = |core: &mut crate::cluster::Cluster| {
            core.peers().me().is_primary().then(|| core.take_slots(slots, former))
        };
        self.state.change_cluster(take).flatten()
    }

    /// The slots cannot be taken after all: nobody has claimed them, so the job goes back to receiving.
    pub fn untake(&mut self, name: &NodeId, client: ClientId, why: &str, time: Time) {
        self.state.time = time;
        let plan = self.state.migrations.get(name).map(|job| Box::new(job.plan.clone()));
        let mut is_resolving = false;
        if let Some(job) = self.state.migrations.get_mut(name) {
            job.is_taking = false;
            is_resolving = std::mem::take(&mut job.is_resolving);
        }
        // Where nothing may be added to the log, the source says what becomes of the job.
        let stays = is_resolving || self.state.is_replica() || self.state.stands_still();
        if let Some(plan) = plan.filter(|_| !stays) {
            self.begin_unit();
            self.state.say_of_job(*name, Said::Import(plan));
            propagate::flush_each(&mut self.state);
        }
        self.answer_job(client, format!("-TRYAGAIN {why}\r\n").into_bytes());
    }

    /// Says something of a job in the log. Not of a replica's: that is its primary's.
    pub fn say_of_job(&mut self, name: &NodeId, said: Said, time: Time) {
        if self.state.is_replica() {
            return;
        }
        self.state.time = time;
        self.begin_unit();
        self.state.say_of_job(*name, said);
        propagate::flush_each(&mut self.state);
    }

    /// Ends a job, in the log too. Not on a replica: its primary does.
    pub fn end_job(&mut self, name: &NodeId, outcome: Outcome, message: &str, time: Time) {
        if self.state.is_replica() {
            return;
        }
        self.state.time = time;
        self.begin_unit();
        self.state.end_job(name, outcome, message);
        propagate::flush_each(&mut self.state);
    }

    fn begin_unit(&mut self) {
        let state = &mut self.state;
        state.keyspace.begin(state.time.unix_ms(), state.stream.end + 1);
    }

    /// The target, `to`, has claimed the slots of a job in that epoch: it serves them from here on. False while
    /// nothing may be added to the log, or that node is not known (CLUSTER FORGET): this is to be done again, since only what
    /// this node knows to be another's it does not claim.
    pub fn handed_over(&mut self, name: &NodeId, to: &NodeId, epoch: Epoch, time: Time) -> bool {
        self.state.time = time;
        let core = self.state.cluster.as_ref().map(|one| &one.core);
        let is_known = core.is_none_or(|core| core.peers().knows(to));
        if self.state.stands_still() || !is_known {
            return false;
        }
        let granted = |job: &&Job| matches!(job.stage, Stage::Granted | Stage::Handed);
        let job = self.state.migrations.get(name).filter(granted);
        let Some((slots, stage)) = job.map(|job| (job.plan.slots.clone(), job.stage)) else {
            return true;
        };
        self.state.change_cluster(|core| core.hand_over(to, epoch, &slots));
        if stage == Stage::Granted {
            self.say_of_job(name, Said::Handed, time);
        }
        self.settle_cluster();
        self.state.resume_paused();
        true
    }

    /// The target has not taken the slots of a job and never will under this grant: this node serves them again. A predecessor of
    /// the target may have claimed them, where `is_contested`.
    pub fn keep_granted(&mut self, name: &NodeId, is_contested: bool, time: Time) {
        let job = self.state.migrations.get(name).filter(|job| job.stage == Stage::Granted);
        let Some(plan) = job.map(|job| Box::new(job.plan.clone())) else { return };
        self.say_of_job(name, Said::Export(plan), time);
        self.state.change_cluster(|core| core.keep_slots(is_contested));
        self.settle_cluster();
        self.release_writes(name);
    }

    /// The target may take the slots of a job from here on. Not if somebody has ended it or forgotten the target, something else
    /// keeps the log from growing, keys of these slots are on their way elsewhere, or the log has another history than the one
    /// that was sent.
    pub fn grant(&mut self, name: &NodeId, history: &str, time: Time) -> bool {
        self.state.time = time;
        let state = &self.state;
        let moving = |job: &&Job| job.stage == Stage::Moving && !job.is_cancelled;
        let Some(job) = state.migrations.get(name).filter(moving) else { return false };
        let is_free = !job.plan.slots.iter().any(|slot| state.keyspace.is_slot_held(slot));
        // What a successor has by now is all there is to be.
        let core = state.cluster.as_ref().map(|one| &one.core);
        let may_claim = core.is_some_and(|core| core.may_claim());
        let is_known = core.is_some_and(|core| core.peers().knows(&job.plan.target));
        let is_free = is_free && is_known && state.stream.id == history;
        if !is_free || !may_claim || state.is_replica() || state.stands_still() {
            return false;
        }
        self.say_of_job(name, Said::Grant, time);
        true
    }

    /// Writes to the slots of a job wait.
    pub fn hold_writes(&mut self, name: &NodeId) {
        if let Some(job) = self.state.migrations.get_mut(name) {
            job.holds_writes = true;
        }
    }

    /// They go on.
    pub fn release_writes(&mut self, name: &NodeId) {
        if let Some(job) = self.state.migrations.get_mut(name) {
            job.holds_writes = false;
        }
        self.state.resume_paused();
    }

    /// What is due of jobs.
    pub(super) fn tick_jobs(&mut self, time: Time) {
        if self.state.migrations.is_idle() || self.state.is_replica() || self.state.stands_still() {
            return;
        }
        let jobs: Vec<Job> = self.state.migrations.iter().cloned().collect();
        for job in jobs {
            match job.stage {
                Stage::Moving if job.phase == QUEUED => {
                    self.state.outputs.push(Output::MoveSlots { job: job.name });
                }
                Stage::Moving => {}
                Stage::Granted if self.state.handoff_hangs(None) => self.state.resume_paused(),
                Stage::Granted => {}
                Stage::Handed => self.tick_handed(&job, time),
                Stage::Receiving => self.tick_receiving(&job, time),
                Stage::Dropping => self.tick_dropping(&job, time),
                Stage::Taken => self.tick_taken(&job, time),
            }
        }
    }

    /// The keys of slots that are another's are being removed; the job is over when they are, and the target has been told.
    fn tick_handed(&mut self, job: &Job, time: Time) {
        if self.state.has_foreign_keys(&job.plan.slots) {
            self.state.trim_foreign(&job.plan.slots);
        } else if job.is_settled {
            self.end_job(&job.name, Outcome::Success, "", time);
        }
    }

    fn tick_receiving(&mut self, job: &Job, time: Time) {
        if !job.is_taking {
            self.drop_silent(job, time);
        }
    }

    /// A source that has gone silent has given the job up, or begins it again when it comes back.
    fn drop_silent(&mut self, job: &Job, time: Time) {
        let silent_s = time.mono_us.saturating_sub(job.heard.mono_us) / 1_000_000;
        if silent_s <= u64::from(self.state.config.repl_timeout).max(1) {
            return;
        }
        if let Some(job) = self.state.migrations.get_mut(&job.name) {
            job.message = format!("nothing came from the source for {silent_s} s");
        }
        self.begin_unit();
        self.state.drop_import(&job.name);
        propagate::flush_each(&mut self.state);
    }

    fn tick_dropping(&mut self, job: &Job, time: Time) {
        if self.state.has_foreign_keys(&job.plan.slots) {
            self.state.trim_foreign(&job.plan.slots);
            return;
        }
        let outcome = if job.is_cancelled { Outcome::Cancelled } else { Outcome::Failed };
        self.end_job(&job.name, outcome, &job.message, time);
    }

    /// The slots are this node's, once it has claimed them. What its log says may be void: the one that wrote it may have taken it
    /// back and died before its replicas heard of that. So slots that are still the source's are claimed by the source's word
    /// alone (TAKE, RESOLVE, FINISH); where no word comes, what has come of them is removed.
    fn tick_taken(&mut self, job: &Job, time: Time) {
        if job.is_taking {
            return;
        }
        let Some(membership) = &self.state.cluster else { return };
        if !membership.core.peers().me().is_primary() || membership.core.is_claiming() {
            return;
        }
        let core = &membership.core;
        // A source that has no slots left follows its target, and has nothing more to say.
        let is_settled = core.is_own_replica(&job.plan.source);
        let mut missing = core.unclaimed_of(&job.plan.slots, None);
        if !core.peers().knows(&job.plan.source) {
            // Its slots are nobody's since it was forgotten: it may have taken them back, and serve them.
            missing = missing.iter().filter(|slot| core.slots().owner(*slot).is_some()).collect();
        }
        if core.is_contested() {
            core.own_of(&job.plan.slots).iter().for_each(|slot| missing.insert(slot));
        }
        let is_sources = core.are_left_to(&job.plan.slots, &job.plan.source);
        if !missing.is_empty() {
            if self.may_claim() {
                let text = format!("Slots of import {} are claimed once more", job.name);
                self.state.log(true, text);
                self.claim(&missing, job.former);
                self.settle_cluster();
            }
        } else if is_sources {
            self.drop_silent(job, time);
        } else if self.state.has_foreign_keys(&job.plan.slots) {
            // Another one of the shard, which this node was a replica of, has claimed them.
            self.state.trim_foreign(&job.plan.slots);
        } else if is_settled || time.mono_us.saturating_sub(job.updated.mono_us) > SETTLED_US {
            self.end_job(&job.name, Outcome::Success, "", time);
        }
    }
}

/// The command that `args` name, which changes keys of `slots` and nothing else.
fn command_on(state: &State, slots: &SlotSet, args: Args<'_>) -> Result<&'static Entry, String> {
    let entry =
        resolve_effect(&state.command_names, args).map_err(|error| error.text().to_owned())?;
    let mut keys = keys_of(entry.command, args).peekable();
    let has_keys = keys.peek().is_some();
    if !entry.flags.has(Flag::Write) || !has_keys || entry.command.name == "migrate" {
        return Err(format!("'{}' changes no keys", errors::printable(&args[0])));
    }
    if keys.any(|key| !slots.has(Slot::of(key))) {
        return Err(format!("'{}' has keys of other slots", errors::printable(&args[0])));
    }
    Ok(entry)
}

/// The log hears that no key of a batch is there: what became of each before the batch failed is not known to it.
fn unlink_all(state: &mut State, bytes: &[u8]) {
    let mut requests = Requests::default();
    if RequestParser::default().parse(bytes, super::link::UNLIMITED, &mut requests).is_err() {
        return;
    }
    for index in 0..requests.len() {
        let args = requests.get(index, bytes);
        let Ok(entry) = resolve_effect(&state.command_names, args) else { continue };
        keys_of(entry.command, args).for_each(|key| state.keyspace.effects.unlink(0, key));
    }
}

/// A batch and its number are one unit of the log: whoever has the one has the other.
fn log_batch(state: &mut State, note: &Note, bytes: &[u8]) {
    state.hear_of_job(note);
    let ping = crate::resp::inline::encode(&[b"PING", note.to_text().as_bytes()]);
    let stream = &mut state.stream;
    stream.append(propagate::MULTI);
    stream.select(0);
    stream.append(bytes);
    stream.append(&ping);
    stream.append(propagate::EXEC);
}
