//! A session on its way, and the handoff at its end.

use std::time::Duration;

use super::ask::ask_for;
use super::mover::{CLAIM, Mover, Stop, Target, Went};
use super::session::{ANSWER, Session, Trouble};
use super::world::{Answer, OwnStream, World};
use super::{passed, settle_log};
use crate::node::Node;

/// Between two looks at what changes rarely.
const LOOK: Duration = Duration::from_millis(50);

/// A target is told that a job that is held goes on.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// How long a target may take to bring its log to disk.
const SYNC: Duration = Duration::from_secs(30);

/// A target that has not come that close after so long is given more.
const PATIENCE: Duration = Duration::from_secs(3);

/// While the target does not catch up, writes to the slots wait for every other such span.
const BRAKE: Duration = Duration::from_millis(4);

impl<W: World> Mover<'_, W> {
    /// Sends what there is until the slots are the target's.
    pub(super) async fn drive(&mut self, link: &mut W::Link, target: &Target) -> Result<(), Went> {
        let world = self.world;
        let mut looked_us = world.now_us();
        let mut heard_us = looked_us;
        let mut streaming_us: Option<u64> = None;
        let (mut is_synced, mut brakes) = (false, false);
        self.look(true)?;
        loop {
            let thoroughly = passed(world, looked_us) > LOOK;
            let (is_held, end) = self.look(thoroughly)?;
            if thoroughly {
                looked_us = world.now_us();
            }
            let session = self.session();
            let wait = if is_held { LOOK } else { session.wait(world).min(LOOK) };
            if wait > Duration::ZERO {
                // Nobody waits for what is not being sent.
                if std::mem::take(&mut brakes) {
                    self.release_writes().await;
                }
                if passed(world, heard_us) > KEEPALIVE {
                    heard_us = world.now_us();
                    let session = self.session();
                    session.collect_all(link).await?;
                    let job = self.job().ok_or(Stop::Look)?;
                    self.begin(link, &job).await?;
                }
                world.sleep(wait).await;
                let session = self.session();
                session.collect(link).await?;
                let is_streaming = streaming_us.is_some();
                self.tell(if is_streaming { "replicating" } else { "snapshotting" }, true);
                continue;
            }
            if !session.is_through() {
                session.send_keys(world, link).await?;
                self.tell("snapshotting", thoroughly);
                continue;
            }
            let since_us = *streaming_us.get_or_insert_with(|| world.now_us());
            let is_more = session.send_stream(world, link).await?;
            let lag = session.lag(end);
            self.tell("replicating", thoroughly || lag == 0);
            let streamed = passed(world, since_us);
            let near = if streamed < PATIENCE { world.sizes().near } else { self.max_lag() };
            if lag <= near && !is_synced {
                // Both logs go to disk while nobody waits for that.
                is_synced = self.sync_both(link).await?;
                if !is_synced {
                    world.sleep(LOOK).await;
                }
            } else if lag <= near {
                if self.hand_off(link, target).await? {
                    return Ok(());
                }
                (streaming_us, is_synced) = (None, false);
            } else if streamed > PATIENCE && is_more {
                brakes = true;
                self.brake(streamed).await;
            } else if !is_more {
                // What is pending has to be appended before it can be read.
                world.append().await;
            }
        }
    }

    /// Whether both logs are on disk, and with all replicas that follow: if not, a handoff would only make clients wait.
    async fn sync_both(&mut self, link: &mut W::Link) -> Result<bool, Went> {
        let session = self.session();
        session.collect_all(link).await?;
        let words: [&[u8]; 4] = [b"CLUSTER", b"HANDOVER", b"READY", self.name.as_bytes()];
        match ask_for(link, &words, SYNC).await.map_err(Trouble::from)? {
            Answer::Ok => {}
            Answer::Error(text) if text.starts_with("TRYAGAIN") => return Ok(false),
            other => return Err(Stop::Again(format!("the target answers {other:?}")).into()),
        }
        Ok(settle_log(self.world).await.map_err(Stop::Again)?)
    }

    fn max_lag(&self) -> u64 {
        self.world.look(|node| node.state.config.cluster_slot_migration_handoff_max_lag_bytes)
    }

    /// Tells people how far the job is.
    fn tell(&mut self, phase: &'static str, figures: bool) {
        let Some(session) = self.session.as_mut().filter(|_| figures) else { return };
        self.world.look(|node| {
            let state = &mut node.state;
            session.limit = state.config.cluster_slot_migration_max_bandwidth;
            let now = state.time;
            if let Some(job) = state.migrations.get_mut(&self.name) {
                let pause_us = job.progress.pause_us;
                let retries = job.progress.retries;
                (job.phase, job.heard, job.progress) = (phase, now, session.progress);
                (job.progress.pause_us, job.progress.retries) = (pause_us, retries);
            }
        });
    }

    /// Lets writes to the slots through by turns.
    async fn brake(&self, since: Duration) {
        let holds = (since.as_millis() / BRAKE.as_millis()).is_multiple_of(2);
        let brake = |node: &mut Node, _| match holds {
            true => node.hold_writes(&self.name),
            false => node.release_writes(&self.name),
        };
        self.world.run(brake).await;
    }

    async fn release_writes(&self) {
        self.world.run(|node, _| node.release_writes(&self.name)).await;
    }

    /// Writes to the slots wait while the target gets the rest and takes them. Whether it has.
    async fn hand_off(&mut self, link: &mut W::Link, target: &Target) -> Result<bool, Went> {
        let began_us = self.world.now_us();
        let hold = |node: &mut Node, _| {
            node.hold_writes(&self.name);
            let timeout_ms = node.state.config.cluster_slot_migration_write_pause_timeout;
            (node.state.stream.end, Duration::from_millis(timeout_ms))
        };
        let (end, timeout) = self.world.run(hold).await;
        self.tell("failover-paused", true);
        self.be_patient(timeout.min(ANSWER));
        let brought = self.bring(link, end, began_us, timeout).await;
        self.be_patient(ANSWER);
        if !matches!(brought, Ok(true)) {
            self.release_writes().await;
            return brought;
        }
        if let Err(stop) = self.look(true) {
            self.release_writes().await;
            return Err(stop.into());
        }
        let history = self.session().history.clone();
        if !self.world.run(|node, time| node.grant(&self.name, &history, time)).await {
            self.release_writes().await;
            self.world.sleep(LOOK).await;
            return Ok(false);
        }
        // From here on the slots are the target's to take: whatever happens, it is asked first.
        let why = match settle_log(self.world).await {
            Ok(true) => None,
            Ok(false) => {
                Some("replicas of this node are too far behind to hand slots over".to_owned())
            }
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            // Nobody has been asked to take them.
            self.keep(false).await?;
            return Err(Stop::Again(why).into());
        }
        self.asked = Some(target.id);
        let last = self.session().last().to_string();
        let epoch = self.own_epoch().to_string();
        let words: [&[u8]; 6] = [
            b"CLUSTER",
            b"HANDOVER",
            b"TAKE",
            self.name.as_bytes(),
            last.as_bytes(),
            epoch.as_bytes(),
        ];
        match ask_for(link, &words, CLAIM).await {
            Ok(Answer::Number(epoch)) => {
                self.taken(&target.id, epoch, began_us).await?;
                Ok(true)
            }
            Ok(Answer::Error(text)) if text.starts_with("TRYAGAIN") => {
                // It has not taken them, or has taken that back.
                self.keep(false).await?;
                Err(Stop::Again(text).into())
            }
            Ok(Answer::Error(text)) => Err(Stop::Again(text).into()),
            Ok(Answer::Ok) => Err(Stop::Again("an answer to something else".to_owned()).into()),
            Err(error) => Err(Stop::Again(error.to_string()).into()),
        }
    }

    pub(super) fn own_epoch(&self) -> u64 {
        self.world
            .look(|node| node.state.cluster.as_ref().map_or(0, |one| one.core.config_epoch().0))
    }

    /// The session that is being driven: nothing here runs without one.
    fn session(&mut self) -> &mut Session<W::Stream> {
        self.session.as_mut().expect("it is being driven")
    }

    fn be_patient(&mut self, patience: Duration) {
        if let Some(session) = &mut self.session {
            session.patience = patience;
        }
    }

    /// The target gets the stream up to `end`, and answers. Whether it does in time.
    async fn bring(
        &mut self,
        link: &mut W::Link,
        end: u64,
        began_us: u64,
        timeout: Duration,
    ) -> Result<bool, Went> {
        let world = self.world;
        let session = self.session();
        while session.stream.at() < end {
            if !session.send_stream(world, link).await? {
                world.append().await;
            }
            if passed(world, began_us) > timeout {
                return Ok(false);
            }
        }
        session.flush(world, link).await?;
        session.collect_all(link).await?;
        Ok(passed(world, began_us) <= timeout)
    }
}
