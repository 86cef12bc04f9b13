//! The source's part of a job: sends keys and writes until the target has nearly all of them, hands the slots over
//! (`drive.rs`), and begins again where something gets in the way.

use std::time::Duration;

use super::ask::{ask, ask_for, connect};
use super::session::{Session, Trouble};
use super::world::{Answer, World};
use crate::cluster::core::PeerIx;
use crate::cluster::{Epoch, NodeId};
use crate::migration::{Job, Outcome, Role, Stage, shown_ranges};
use crate::node::Node;
use crate::state::State;

/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// While a target removes what came before.
const TRIM_POLL: Duration = Duration::from_millis(10);

/// How long a target may take for a claim: its disk, and its replicas.
pub(super) const CLAIM: Duration = Duration::from_secs(5);

/// For how long a target is told that a job is over, where it does not answer. Then it finds out by itself.
const FINISH: Duration = Duration::from_secs(60);

const FORGOTTEN: &str = "the target is no part of the cluster any more";

/// Does the source's part of a job, until that is over, or not this node's any more. One at a time does it for each job.
pub async fn move_slots<W: World>(world: &W, job: NodeId) {
    let mut mover = Mover { world, name: job, session: None, from: String::new(), asked: None };
    mover.run().await;
    mover.end_session();
}

pub(super) struct Mover<'w, W: World> {
    pub(super) world: &'w W,
    pub(super) name: NodeId,
    pub(super) session: Option<Session<W::Stream>>,
    /// Its name, or that of the next one.
    from: String,
    /// Whom this task has asked to take the slots, if it has.
    pub(super) asked: Option<NodeId>,
}

/// Why a try has come to its end.
pub(super) enum Stop {
    /// Something is in the way that may pass.
    Again(String),
    /// The job cannot be done.
    Fail(String),
    /// It is to be looked at anew: cancelled, granted, or not this node's any more.
    Look,
}

/// Where the target is.
pub(super) struct Target {
    pub(super) id: NodeId,
    host: String,
    port: u16,
}

/// How driving a session ended.
pub(super) enum Went {
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

impl<W: World> Mover<'_, W> {
    async fn run(&mut self) {
        while let Some(job) = self.job() {
            let stop = match job.stage {
                Stage::Moving if job.is_cancelled => return self.cancel().await,
                Stage::Moving => self.attempt(&job).await,
                Stage::Granted if job.is_cancelled => self.keep(true).await,
                Stage::Granted => self.resolve(&job).await,
                Stage::Handed if !self.has_none_of(&job) => self.hand_over_again(&job).await,
                _ => return self.finish(&job).await,
            };
            match stop {
                Err(Stop::Again(why)) => self.note(&why).await,
                Err(Stop::Fail(_)) if job.stage == Stage::Granted => {
                    // Whoever might have taken the slots is of this shard now, and follows this node.
                    if let Err(Stop::Again(why)) = self.keep(true).await {
                        self.note(&why).await;
                    }
                }
                Err(Stop::Fail(why)) => {
                    self.abort(&job).await;
                    return self.end(Outcome::Failed, &why).await;
                }
                Ok(()) | Err(Stop::Look) => {}
            }
        }
    }

    /// The job, while it is this node's to do.
    pub(super) fn job(&self) -> Option<Job> {
        let is_stopping = self.world.is_stopping();
        self.world.look(|node| {
            let is_mine = !node.state.is_replica() && !is_stopping;
            let job = node.state.migrations.get(&self.name).filter(|job| job.role == Role::Source);
            job.filter(|_| is_mine).cloned()
        })
    }

    /// Waits a little, and tells people why.
    async fn note(&self, why: &str) {
        let noted = self.world.run(|node, _| {
            let job = node.state.migrations.get_mut(&self.name)?;
            job.progress.retries += 1;
            job.phase = "connecting";
            job.holds_writes = false;
            let is_new = job.message != why;
            why.clone_into(&mut job.message);
            node.state.resume_paused();
            Some(is_new)
        });
        match noted.await {
            Some(true) => tracing::info!("Export {}: {why}", self.name),
            Some(false) => {}
            None => return,
        }
        self.world.sleep(RETRY).await;
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.end(self.world);
        }
    }

    fn target(&self, job: &Job) -> Result<Target, Stop> {
        self.world.look(|node| {
            let core = &node.state.cluster.as_ref().ok_or(Stop::Look)?.core;
            if !core.peers().knows(&job.plan.target) {
                return Err(match job.stage {
                    Stage::Moving => Stop::Fail(FORGOTTEN.to_owned()),
                    // It may have the slots, and writes of its own in them.
                    _ => Stop::Again(FORGOTTEN.to_owned()),
                });
            }
            let place = core
                .primary_of_shard(&job.plan.target)
                .ok_or_else(|| Stop::Again("the target has failed".to_owned()))?;
            if place == PeerIx::ME {
                return Err(Stop::Fail("the target is a replica of this node now".to_owned()));
            }
            let peer = &core.peers()[place];
            Ok(Target { id: peer.id, host: peer.host.to_string(), port: peer.ports.client })
        })
    }

    async fn connect(&self, job: &Job) -> Result<(Target, W::Link), Stop> {
        let target = self.target(job)?;
        let link = connect(self.world, (&target.host, target.port)).await.map_err(Stop::Again)?;
        Ok((target, link))
    }

    /// From the connection to the handoff.
    async fn attempt(&mut self, job: &Job) -> Result<(), Stop> {
        // The node has followed another one since: nothing of what was sent need be so any more.
        if self.world.look(|node| self.is_void(&node.state)) {
            self.end_session();
        }
        self.look(true)?;
        let (target, mut link) = self.connect(job).await?;
        if self.session.is_none() {
            self.from = self.world.look(|node| node.state.name_session());
        }
        let batch = self.begin(&mut link, job).await?;
        if self.session.as_ref().is_some_and(|session| !session.continues(batch)) {
            // It has less than was acknowledged: another one has taken its place.
            self.end_session();
            return Err(Stop::Look);
        }
        if self.session.is_none() {
            let session = Session::begin(self.world, job).await;
            let busy = || Stop::Again("too many walks are running".to_owned());
            self.session = Some(session.ok_or_else(busy)?);
        }
        let session = self.session.as_mut().expect("it has just been begun");
        let went = match session.resume(&mut link, batch).await {
            Ok(()) => self.drive(&mut link, &target).await,
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
    pub(super) async fn begin(&self, link: &mut W::Link, job: &Job) -> Result<u64, Stop> {
        let slots = shown_ranges(&job.plan.slots, ",", false);
        let (source, target) = (job.plan.source, job.plan.target);
        // A successor of either has another name: what counts is the shard.
        let target = self.target(job).map_or(target, |found| found.id);
        let source = self.own_id().unwrap_or(source);
        loop {
            let epoch = self.own_epoch().to_string();
            let words: [&[u8]; 9] = [
                b"CLUSTER",
                b"HANDOVER",
                b"BEGIN",
                self.name.as_bytes(),
                source.as_bytes(),
                target.as_bytes(),
                slots.as_bytes(),
                self.from.as_bytes(),
                epoch.as_bytes(),
            ];
            match ask(link, &words).await.map_err(|error| Stop::Again(error.to_string()))? {
                Answer::Number(batch) => return Ok(batch),
                Answer::Error(text) if text.starts_with("TRYAGAIN") => {
                    self.world.sleep(TRIM_POLL).await;
                    self.look(false)?;
                }
                Answer::Error(text) if text.starts_with("ERR unknown ") => {
                    return Err(Stop::Fail(format!("the target cannot take slots so: {text}")));
                }
                Answer::Error(text) => return Err(Stop::Again(text)),
                Answer::Ok => return Err(Stop::Again("an answer to something else".to_owned())),
            }
        }
    }

    async fn say_abort(&self, link: &mut W::Link, job: &Job) -> Result<Answer, Stop> {
        let slots = shown_ranges(&job.plan.slots, ",", false);
        let name = self.name.as_bytes();
        let words: [&[u8]; 5] = [b"CLUSTER", b"HANDOVER", b"ABORT", name, slots.as_bytes()];
        ask(link, &words).await.map_err(|error| Stop::Again(error.to_string()))
    }

    fn own_id(&self) -> Option<NodeId> {
        let id = |node: &mut Node| node.state.cluster.as_ref().map(|one| one.core.peers().me().id);
        self.world.look(id)
    }

    /// Whether what was sent belongs to a history that is not the log's any more.
    fn is_void(&self, state: &State) -> bool {
        self.session.as_ref().is_some_and(|session| session.history != state.stream.id)
    }

    /// Looks whether the job is to go on. Returns whether it is held, and the end of the log.
    pub(super) fn look(&self, thoroughly: bool) -> Result<(bool, u64), Stop> {
        let is_stopping = self.world.is_stopping();
        self.world.look(|node| {
            let state = &node.state;
            if state.is_replica() || is_stopping {
                return Err(Stop::Look);
            }
            let job = state.migrations.get(&self.name).ok_or(Stop::Look)?;
            if job.is_cancelled || job.stage != Stage::Moving || self.is_void(state) {
                return Err(Stop::Look);
            }
            let core = &state.cluster.as_ref().ok_or(Stop::Look)?.core;
            let mine = |slot| core.slots().owner(slot) == Some(PeerIx::ME);
            if thoroughly && !job.plan.slots.iter().all(mine) {
                return Err(Stop::Fail("the slots are not this node's any more".to_owned()));
            }
            if thoroughly && !core.peers().knows(&job.plan.target) {
                return Err(Stop::Fail(FORGOTTEN.to_owned()));
            }
            Ok((job.is_paused, state.stream.end))
        })
    }

    /// The target has claimed the slots in that epoch; writes to them waited since then.
    pub(super) async fn taken(&self, to: &NodeId, epoch: u64, began_us: u64) -> Result<(), Stop> {
        let paused_us = self.world.now_us().saturating_sub(began_us);
        let hand_over = |node: &mut Node, time| {
            if let Some(job) = node.state.migrations.get_mut(&self.name) {
                job.progress.pause_us = paused_us;
                job.progress.eta_ms = Some(0);
                job.message.clear();
            }
            node.handed_over(&self.name, to, Epoch(epoch), time)
        };
        match self.world.run(hand_over).await {
            true => Ok(()),
            false => {
                Err(Stop::Again("writes are paused, or the new owner is not known".to_owned()))
            }
        }
    }

    /// The slots were granted, and it is not known whether the target has taken them.
    async fn resolve(&mut self, job: &Job) -> Result<(), Stop> {
        self.end_session();
        let now_us = self.world.now_us();
        if let Some((to, epoch)) = self.claimed(job) {
            return self.taken(&to, epoch, now_us).await;
        }
        let (target, mut link) = self.connect(job).await?;
        let slots = shown_ranges(&job.plan.slots, ",", false);
        let (source, epoch) = (self.own_id().unwrap_or(job.plan.source), self.own_epoch());
        let epoch = epoch.to_string();
        let words: [&[u8]; 7] = [
            b"CLUSTER",
            b"HANDOVER",
            b"RESOLVE",
            self.name.as_bytes(),
            source.as_bytes(),
            epoch.as_bytes(),
            slots.as_bytes(),
        ];
        let answer = ask_for(&mut link, &words, CLAIM).await;
        match answer.map_err(|error| Stop::Again(error.to_string()))? {
            Answer::Number(epoch) => self.taken(&target.id, epoch, now_us).await,
            // Where it is not the one that was asked to take them, that one may have claimed them before it was replaced.
            Answer::Ok => self.keep(self.asked != Some(target.id)).await,
            Answer::Error(text) => Err(Stop::Again(text)),
        }
    }

    /// The slots are served here again.
    pub(super) async fn keep(&self, is_contested: bool) -> Result<(), Stop> {
        let keep = |node: &mut Node, time| {
            let state = &node.state;
            let may_claim = state.cluster.as_ref().is_some_and(|one| one.core.may_claim());
            let may_keep = (!is_contested || may_claim) && !state.stands_still();
            if may_keep {
                node.keep_granted(&self.name, is_contested, time);
            }
            may_keep
        };
        match self.world.run(keep).await {
            true => Ok(()),
            false => Err(Stop::Again("this node may be about to be replaced".to_owned())),
        }
    }

    fn has_none_of(&self, job: &Job) -> bool {
        self.world.look(|node| {
            let core = node.state.cluster.as_ref().map(|one| &one.core);
            core.is_none_or(|core| core.has_none_of(&job.plan.slots))
        })
    }

    /// The log says that the target has the slots, and the node's configuration does not: it was not saved in time.
    async fn hand_over_again(&self, job: &Job) -> Result<(), Stop> {
        let target = self.target(job)?;
        self.taken(&target.id, 0, self.world.now_us()).await
    }

    /// Who has claimed the slots already, as far as this node has heard, and in which epoch.
    fn claimed(&self, job: &Job) -> Option<(NodeId, u64)> {
        self.world.look(|node| {
            let core = &node.state.cluster.as_ref()?.core;
            if !core.has_none_of(&job.plan.slots) {
                return None;
            }
            let first = job.plan.slots.iter().next()?;
            let peer = &core.peers()[core.slots().owner(first)?];
            Some((peer.id, peer.config_epoch.0))
        })
    }

    /// The target may forget the job. It does so by itself, later, where this is not heard.
    async fn finish(&self, job: &Job) {
        // Before the target forgets the job this node must never again wonder whether it took the slots.
        while let Err(why) = self.world.sync().await {
            self.note(&why).await;
            if self.job().is_none() {
                return;
            }
        }
        let words: [&[u8]; 4] = [b"CLUSTER", b"HANDOVER", b"FINISH", self.name.as_bytes()];
        let began_us = self.world.now_us();
        while super::passed(self.world, began_us) < FINISH && !self.world.is_stopping() {
            if let Ok((_, mut link)) = self.connect(job).await
                && matches!(ask(&mut link, &words).await, Ok(Answer::Ok))
            {
                return self.settled();
            }
            self.world.sleep(RETRY).await;
        }
        tracing::info!("Export {}: the target was not told that it is over", self.name);
        self.settled();
    }

    /// The target knows, or finds out by itself.
    fn settled(&self) {
        self.world.look(|node| {
            if let Some(job) = node.state.migrations.get_mut(&self.name) {
                job.is_settled = true;
            }
        });
    }

    async fn abort(&self, job: &Job) {
        let told = match self.connect(job).await {
            Ok((_, mut link)) => self.say_abort(&mut link, job).await,
            Err(stop) => Err(stop),
        };
        if !matches!(told, Ok(Answer::Ok)) {
            tracing::info!("Export {}: the target was not told that it has ended", self.name);
        }
    }

    async fn cancel(&mut self) {
        if let Some(job) = self.job() {
            self.abort(&job).await;
        }
        self.end(Outcome::Cancelled, "").await;
    }

    /// The job is over, as soon as the log may say so.
    async fn end(&self, outcome: Outcome, why: &str) {
        while self.job().is_some() {
            let end = |node: &mut Node, time| {
                node.release_writes(&self.name);
                let may_end = !node.state.stands_still();
                if may_end {
                    node.end_job(&self.name, outcome, why, time);
                }
                may_end
            };
            if self.world.run(end).await {
                return;
            }
            self.world.sleep(RETRY).await;
        }
    }
}
