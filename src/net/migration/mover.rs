//! The source's part of a job: sends keys and writes until the target has nearly all of them, hands the slots over, and
//! begins again where something gets in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::peer::{Answer, PeerLink};
use super::session::{Session, Trouble};
use super::{now, settle_log, started};
use crate::cluster::core::PeerIx;
use crate::cluster::{Epoch, NodeId};
use crate::migration::{Job, Outcome, Role, Said, Stage, shown_ranges};
use crate::net::driver::with_node;
use crate::net::shared::Shared;

/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// While a target removes what came before.
const TRIM_POLL: Duration = Duration::from_millis(10);

/// Between two looks at what changes rarely.
const LOOK: Duration = Duration::from_millis(50);

/// A target is told that a job that is held goes on.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// How long a target may take for a claim: its disk, and its replicas.
const CLAIM: Duration = Duration::from_secs(5);

/// How long a target may take to bring its log to disk.
const SYNC: Duration = Duration::from_secs(30);

/// For how long a target is told that a job is over, where it does not answer. Then it finds out by itself.
const FINISH: Duration = Duration::from_secs(60);

/// Writes begin to wait when so many bytes at most are missing. Few, since what is missing is what they wait for.
const CLOSE_BYTES: u64 = 64 * 1024;

/// A target that has not come that close after so long is given more.
const PATIENCE: Duration = Duration::from_secs(3);

/// While the target does not catch up, writes to the slots wait for every other such span.
const BRAKE: Duration = Duration::from_millis(4);

/// Begins with a job, unless a thread is at it.
pub(in crate::net) fn start(shared: &Arc<Shared>, job: NodeId) {
    if !shared.movers.lock().insert(job) {
        return;
    }
    let shared = Arc::clone(shared);
    crate::net::spawn_thread("move-slots", move || {
        let mut mover = Mover { shared: &shared, name: job, session: None };
        mover.run();
        mover.end_session();
        shared.movers.lock().remove(&job);
    });
}

struct Mover<'s> {
    shared: &'s Arc<Shared>,
    name: NodeId,
    session: Option<Session>,
}

/// Why a try has come to its end.
enum Stop {
    /// Something is in the way that may pass.
    Again(String),
    /// The job cannot be done.
    Fail(String),
    /// It is to be looked at anew: cancelled, granted, or not this node's any more.
    Look,
}

/// Where the target is.
struct Target {
    id: NodeId,
    host: String,
    port: u16,
}

impl Mover<'_> {
    fn run(&mut self) {
        while let Some(job) = self.job() {
            let stop = match job.stage {
                Stage::Moving if job.is_cancelled => return self.cancel(),
                Stage::Moving => self.attempt(&job),
                Stage::Granted => self.resolve(&job),
                Stage::Handed if !self.has_none_of(&job) => self.hand_over_again(&job),
                _ => return self.finish(&job),
            };
            match stop {
                Err(Stop::Again(why)) => self.note(&why),
                Err(Stop::Fail(why)) => {
                    self.abort(&job);
                    with_node(self.shared, |node| {
                        node.end_job(&job.name, Outcome::Failed, &why, now());
                    });
                    return;
                }
                Ok(()) | Err(Stop::Look) => {}
            }
        }
    }

    /// The job, while it is this node's to do.
    fn job(&self) -> Option<Job> {
        let node = self.shared.node.lock();
        let is_mine = !node.state.is_replica() && !self.shared.is_stopping();
        let job = node.state.migrations.get(&self.name).filter(|job| job.role == Role::Source);
        job.filter(|_| is_mine).cloned()
    }

    /// Waits a little, and tells people why.
    fn note(&mut self, why: &str) {
        let is_new = {
            let mut node = self.shared.node.lock();
            let Some(job) = node.state.migrations.get_mut(&self.name) else { return };
            job.progress.retries += 1;
            job.phase = "connecting";
            job.holds_writes = false;
            node.state.resume_paused();
            let job = node.state.migrations.get_mut(&self.name).expect("looked at above");
            let is_new = job.message != why;
            why.clone_into(&mut job.message);
            is_new
        };
        with_node(self.shared, |_| ());
        if is_new {
            tracing::info!("Export {}: {why}", self.name);
        }
        std::thread::sleep(RETRY);
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.end(self.shared);
        }
    }

    fn target(&self, job: &Job) -> Result<Target, Stop> {
        let node = self.shared.node.lock();
        let core = &node.state.cluster.as_ref().ok_or(Stop::Look)?.core;
        if core.peers().find(&job.plan.target).is_none() {
            return Err(Stop::Fail("the target is no part of the cluster any more".to_owned()));
        }
        let place = core
            .primary_of_shard(&job.plan.target)
            .filter(|place| *place != PeerIx::ME)
            .ok_or_else(|| Stop::Again("the target has failed".to_owned()))?;
        let peer = &core.peers()[place];
        Ok(Target { id: peer.id, host: peer.host.to_string(), port: peer.ports.client })
    }

    fn connect(&self, job: &Job) -> Result<(Target, PeerLink), Stop> {
        let target = self.target(job)?;
        let config = self.shared.node.lock().state.config.clone();
        let link = PeerLink::open(&target.host, target.port, &config).map_err(Stop::Again)?;
        Ok((target, link))
    }

    /// From the connection to the handoff.
    fn attempt(&mut self, job: &Job) -> Result<(), Stop> {
        let (target, mut link) = self.connect(job)?;
        let batch = self.begin(&mut link, job)?;
        if self.session.as_ref().is_some_and(|session| !session.continues(batch)) {
            self.end_session();
        }
        if self.session.is_none() {
            if batch > 0 {
                // It has something of a session that is gone.
                return match self.say_abort(&mut link, job)? {
                    Answer::Ok => Err(Stop::Look),
                    other => Err(Stop::Again(format!("the target answers {other:?}"))),
                };
            }
            let session = Session::begin(self.shared, job);
            let busy = || Stop::Again("too many walks are running".to_owned());
            self.session = Some(session.ok_or_else(busy)?);
        }
        let session = self.session.as_mut().expect("it has just been begun");
        let went = match session.resume(&mut link, batch) {
            Ok(()) => self.drive(&mut link, &target),
            Err(trouble) => Err(Went::Trouble(trouble)),
        };
        match went {
            Ok(()) => Ok(()),
            Err(Went::Stop(stop)) => Err(stop),
            Err(Went::Trouble(Trouble::Link(why))) => Err(Stop::Again(why)),
            Err(Went::Trouble(Trouble::Void(why))) => {
                self.end_session();
                Err(Stop::Again(why))
            }
        }
    }

    /// Has the target receive the slots. Returns the last batch it has applied.
    fn begin(&self, link: &mut PeerLink, job: &Job) -> Result<u64, Stop> {
        let slots = shown_ranges(&job.plan.slots, ",", false);
        let (source, target) = (job.plan.source, job.plan.target);
        // A successor of either has another name: what counts is the shard.
        let target = self.target(job).map_or(target, |found| found.id);
        let source = self.own_id().unwrap_or(source);
        loop {
            let words: [&[u8]; 7] = [
                b"CLUSTER",
                b"HANDOVER",
                b"BEGIN",
                self.name.as_bytes(),
                source.as_bytes(),
                target.as_bytes(),
                slots.as_bytes(),
            ];
            match link.ask(&words).map_err(|error| Stop::Again(error.to_string()))? {
                Answer::Number(batch) => return Ok(batch),
                Answer::Error(text) if text.starts_with("TRYAGAIN") => {
                    std::thread::sleep(TRIM_POLL);
                    self.look(false)?;
                }
                Answer::Error(text) if text.starts_with("ERR unknown subcommand") => {
                    return Err(Stop::Fail(format!("the target cannot take slots so: {text}")));
                }
                Answer::Error(text) => return Err(Stop::Again(text)),
                Answer::Ok => return Err(Stop::Again("an answer to something else".to_owned())),
            }
        }
    }

    fn say_abort(&self, link: &mut PeerLink, job: &Job) -> Result<Answer, Stop> {
        let slots = shown_ranges(&job.plan.slots, ",", false);
        let name = self.name.as_bytes();
        let words: [&[u8]; 5] = [b"CLUSTER", b"HANDOVER", b"ABORT", name, slots.as_bytes()];
        link.ask(&words).map_err(|error| Stop::Again(error.to_string()))
    }

    fn own_epoch(&self) -> u64 {
        let node = self.shared.node.lock();
        node.state.cluster.as_ref().map_or(0, |one| one.core.config_epoch().0)
    }

    fn own_id(&self) -> Option<NodeId> {
        let node = self.shared.node.lock();
        node.state.cluster.as_ref().map(|one| one.core.peers().me().id)
    }

    /// Looks whether the job is to go on. Returns whether it is held, and the end of the log.
    fn look(&self, thoroughly: bool) -> Result<(bool, u64), Stop> {
        let node = self.shared.node.lock();
        let state = &node.state;
        if state.is_replica() || self.shared.is_stopping() {
            return Err(Stop::Look);
        }
        let job = state.migrations.get(&self.name).ok_or(Stop::Look)?;
        if job.is_cancelled || job.stage != Stage::Moving {
            return Err(Stop::Look);
        }
        let core = &state.cluster.as_ref().ok_or(Stop::Look)?.core;
        let mine = |slot| core.slots().owner(slot) == Some(PeerIx::ME);
        if thoroughly && !job.plan.slots.iter().all(mine) {
            return Err(Stop::Fail("the slots are not this node's any more".to_owned()));
        }
        Ok((job.is_paused, state.stream.end))
    }

    fn drive(&mut self, link: &mut PeerLink, target: &Target) -> Result<(), Went> {
        let mut looked = started();
        let mut heard = started();
        let mut streaming: Option<Instant> = None;
        let mut is_synced = false;
        self.look(true)?;
        loop {
            let thoroughly = looked.elapsed() > LOOK;
            let (is_held, end) = self.look(thoroughly)?;
            if thoroughly {
                looked = started();
            }
            let session = self.session.as_mut().expect("it is being driven");
            if is_held {
                session.collect_all(link)?;
                if heard.elapsed() > KEEPALIVE {
                    heard = started();
                    let job = self.job().ok_or(Stop::Look)?;
                    self.begin(link, &job)?;
                }
                std::thread::sleep(LOOK);
                continue;
            }
            let wait = session.wait();
            if wait > Duration::ZERO {
                std::thread::sleep(wait.min(LOOK));
                session.collect(link)?;
                self.tell(if streaming.is_some() { "replicating" } else { "snapshotting" }, true);
                continue;
            }
            if !session.is_through() {
                session.send_keys(self.shared, link)?;
                self.tell("snapshotting", thoroughly);
                continue;
            }
            let since = *streaming.get_or_insert_with(started);
            let is_more = session.send_stream(self.shared, link)?;
            let lag = session.lag(end);
            self.tell("replicating", thoroughly || lag == 0);
            let near = if since.elapsed() < PATIENCE { CLOSE_BYTES } else { self.max_lag() };
            if lag <= near && !is_synced {
                // Both logs go to disk while nobody waits for that.
                self.sync_both(link)?;
                is_synced = true;
            } else if lag <= near {
                if self.hand_off(link, target)? {
                    return Ok(());
                }
                (streaming, is_synced) = (None, false);
            } else if since.elapsed() > PATIENCE {
                self.brake(since.elapsed());
            } else if !is_more {
                // What is pending has to be appended before it can be read.
                self.shared.committer.settle(self.shared);
            }
        }
    }

    fn sync_both(&mut self, link: &mut PeerLink) -> Result<(), Went> {
        let session = self.session.as_mut().expect("it is being driven");
        session.collect_all(link)?;
        let words: [&[u8]; 4] = [b"CLUSTER", b"HANDOVER", b"READY", self.name.as_bytes()];
        match link.ask_for(&words, SYNC).map_err(Trouble::from)? {
            Answer::Ok => {}
            other => return Err(Stop::Again(format!("the target answers {other:?}")).into()),
        }
        self.shared.committer.drain(self.shared).map_err(Stop::Again)?;
        Ok(())
    }

    fn max_lag(&self) -> u64 {
        self.shared.node.lock().state.config.cluster_slot_migration_handoff_max_lag_bytes
    }

    /// Tells people how far the job is.
    fn tell(&mut self, phase: &'static str, figures: bool) {
        let Some(session) = self.session.as_mut().filter(|_| figures) else { return };
        let mut node = self.shared.node.lock();
        let state = &mut node.state;
        session.limit = state.config.cluster_slot_migration_max_bandwidth;
        let now_s = state.time.unix_s();
        if let Some(job) = state.migrations.get_mut(&self.name) {
            let pause_us = job.progress.pause_us;
            let retries = job.progress.retries;
            (job.phase, job.heard_s, job.progress) = (phase, now_s, session.progress);
            (job.progress.pause_us, job.progress.retries) = (pause_us, retries);
        }
    }

    /// Lets writes to the slots through by turns.
    fn brake(&self, since: Duration) {
        let holds = (since.as_millis() / BRAKE.as_millis()).is_multiple_of(2);
        with_node(self.shared, |node| match holds {
            true => node.hold_writes(&self.name),
            false => node.release_writes(&self.name),
        });
    }

    /// Writes to the slots wait while the target gets the rest and takes them. Whether it has.
    fn hand_off(&mut self, link: &mut PeerLink, target: &Target) -> Result<bool, Went> {
        let began = started();
        let (end, timeout_ms) = with_node(self.shared, |node| {
            node.hold_writes(&self.name);
            let timeout_ms = node.state.config.cluster_slot_migration_write_pause_timeout;
            (node.state.stream.end, timeout_ms)
        });
        self.tell("failover-paused", true);
        let timeout = Duration::from_millis(timeout_ms);
        let brought = self.bring(link, end, began, timeout);
        if !matches!(brought, Ok(true)) {
            with_node(self.shared, |node| node.release_writes(&self.name));
            return brought;
        }
        self.look(true).inspect_err(|_| {
            with_node(self.shared, |node| node.release_writes(&self.name));
        })?;
        with_node(self.shared, |node| node.say_of_job(&self.name, Said::Grant, now()));
        // From here on the slots are the target's to take: whatever happens, it is asked first.
        match settle_log(self.shared) {
            Ok(true) => {}
            Ok(false) => {
                with_node(self.shared, |node| node.keep_granted(&self.name, now()));
                let why = "replicas of this node are too far behind to hand slots over";
                return Err(Stop::Again(why.to_owned()).into());
            }
            Err(why) => {
                with_node(self.shared, |node| node.keep_granted(&self.name, now()));
                return Err(Stop::Again(why).into());
            }
        }
        let last = self.session.as_ref().expect("it is being driven").last().to_string();
        let epoch = self.own_epoch().to_string();
        let words: [&[u8]; 6] = [
            b"CLUSTER",
            b"HANDOVER",
            b"TAKE",
            self.name.as_bytes(),
            last.as_bytes(),
            epoch.as_bytes(),
        ];
        match link.ask_for(&words, CLAIM) {
            Ok(Answer::Number(epoch)) => {
                self.taken(&target.id, epoch, began);
                Ok(true)
            }
            Ok(Answer::Error(text)) => Err(Stop::Again(text).into()),
            Ok(Answer::Ok) => Err(Stop::Again("an answer to something else".to_owned()).into()),
            Err(error) => Err(Stop::Again(error.to_string()).into()),
        }
    }

    /// The target gets the stream up to `end`, and answers. Whether it does in time.
    fn bring(
        &mut self,
        link: &mut PeerLink,
        end: u64,
        began: Instant,
        timeout: Duration,
    ) -> Result<bool, Went> {
        let session = self.session.as_mut().expect("it is being driven");
        while session.stream.at < end {
            if !session.send_stream(self.shared, link)? {
                self.shared.committer.settle(self.shared);
            }
            if began.elapsed() > timeout {
                return Ok(false);
            }
        }
        session.flush(link)?;
        session.collect_all(link)?;
        Ok(began.elapsed() <= timeout)
    }

    fn taken(&self, to: &NodeId, epoch: u64, began: Instant) {
        with_node(self.shared, |node| {
            let paused = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            if let Some(job) = node.state.migrations.get_mut(&self.name) {
                job.progress.pause_us = paused;
                job.progress.eta_ms = Some(0);
                job.message.clear();
            }
            node.handed_over(&self.name, to, Epoch(epoch), now());
        });
    }

    /// The slots were granted, and it is not known whether the target has taken them.
    fn resolve(&mut self, job: &Job) -> Result<(), Stop> {
        self.end_session();
        if let Some((to, epoch)) = self.claimed(job) {
            self.taken(&to, epoch, started());
            return Ok(());
        }
        let (target, mut link) = self.connect(job)?;
        match self.say_abort(&mut link, job)? {
            Answer::Ok => {
                with_node(self.shared, |node| node.keep_granted(&self.name, now()));
                Ok(())
            }
            Answer::Error(text) => match text.strip_prefix("TAKEN ").map(str::parse) {
                Some(Ok(epoch)) => {
                    self.taken(&target.id, epoch, started());
                    Ok(())
                }
                _ => Err(Stop::Again(text)),
            },
            Answer::Number(_) => Err(Stop::Again("an answer to something else".to_owned())),
        }
    }

    fn has_none_of(&self, job: &Job) -> bool {
        let node = self.shared.node.lock();
        let core = node.state.cluster.as_ref().map(|one| &one.core);
        core.is_none_or(|core| core.has_none_of(&job.plan.slots))
    }

    /// The log says that the target has the slots, and the node's configuration does not: it was not saved in time.
    fn hand_over_again(&self, job: &Job) -> Result<(), Stop> {
        let target = self.target(job)?;
        self.taken(&target.id, 0, started());
        Ok(())
    }

    /// Who has claimed the slots already, as far as this node has heard, and in which epoch.
    fn claimed(&self, job: &Job) -> Option<(NodeId, u64)> {
        let node = self.shared.node.lock();
        let core = &node.state.cluster.as_ref()?.core;
        if !core.has_none_of(&job.plan.slots) {
            return None;
        }
        let first = job.plan.slots.iter().next()?;
        let peer = &core.peers()[core.slots().owner(first)?];
        Some((peer.id, peer.config_epoch.0))
    }

    /// The target may forget the job. It does so by itself, later, where this is not heard.
    fn finish(&self, job: &Job) {
        // Before the target forgets the job this node must never again wonder whether it took the slots.
        if let Err(why) = self.shared.committer.drain(self.shared) {
            return tracing::warn!("Export {}: {why}", self.name);
        }
        let words: [&[u8]; 4] = [b"CLUSTER", b"HANDOVER", b"FINISH", self.name.as_bytes()];
        let began = started();
        while began.elapsed() < FINISH && !self.shared.is_stopping() {
            let told = self.connect(job).ok().map(|(_, mut link)| link.ask(&words));
            if matches!(told, Some(Ok(Answer::Ok))) {
                return self.settled();
            }
            std::thread::sleep(RETRY);
        }
        tracing::info!("Export {}: the target was not told that it is over", self.name);
        self.settled();
    }

    /// The target knows, or finds out by itself.
    fn settled(&self) {
        if let Some(job) = self.shared.node.lock().state.migrations.get_mut(&self.name) {
            job.is_settled = true;
        }
    }

    fn abort(&self, job: &Job) {
        let told = self.connect(job).and_then(|(_, mut link)| self.say_abort(&mut link, job));
        if !matches!(told, Ok(Answer::Ok)) {
            tracing::info!("Export {}: the target was not told that it has ended", self.name);
        }
    }

    fn cancel(&mut self) {
        if let Some(job) = self.job() {
            self.abort(&job);
        }
        with_node(self.shared, |node| {
            node.release_writes(&self.name);
            node.end_job(&self.name, Outcome::Cancelled, "", now());
        });
    }
}

/// How driving a session ended.
enum Went {
    Stop(Stop),
    Trouble(Trouble),
}

impl From<Stop> for Went {
    fn from(stop: Stop) -> Self {
        Went::Stop(stop)
    }
}

impl From<Trouble> for Went {
    fn from(trouble: Trouble) -> Self {
        Went::Trouble(trouble)
    }
}
