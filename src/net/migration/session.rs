//! What one target has been sent of a job: the keys as of a cut, then the stream behind the cut, filtered by slot.
//!
//! Both travel in numbered batches. Those that the target has not answered are kept, so that a connection that breaks, or a
//! target that is started again or replaced, costs no more than sending them once more.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use highwater_persistence::snapshot::{EncoderOptions, SnapshotError};

use super::encode;
use super::pace::Pace;
use super::world::{Answer, Link, OwnStream, Sizes, World};
use crate::cluster::NodeId;
use crate::commands::dump::encoder_options;
use crate::keyspace::{WalkBatch, WalkBudget, WalkId};
use crate::migration::{Job, Progress};
use crate::node::{Filtered, SlotFilter};
use crate::resp::inline::encode_into;

/// Walks that jobs leave to others.
const WALKS_KEPT: usize = 3;

/// How long a target may be silent while answers are due.
pub(super) const ANSWER: Duration = Duration::from_secs(20);

/// Why a session cannot go on.
pub(super) enum Trouble {
    /// The connection, or the target: the session goes on over another connection.
    Link(String),
    /// What has been sent is of no use.
    Void(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Link(error.to_string())
    }
}

impl From<SnapshotError> for Trouble {
    fn from(error: SnapshotError) -> Self {
        Trouble::Void(error.to_string())
    }
}

pub(super) struct Session<S> {
    name: NodeId,
    /// While it lasts.
    walk: Option<WalkId>,
    entries: WalkBatch,
    pub(super) stream: S,
    filter: SlotFilter,
    options: EncoderOptions,
    sizes: Sizes,
    /// Of which history the stream is: in another one offsets name other bytes.
    pub(super) history: String,
    /// Commands of the next batch.
    out: Vec<u8>,
    /// Its number.
    next: u64,
    /// Requests that have not been answered, with the numbers of their batches.
    unanswered: VecDeque<(u64, Vec<u8>)>,
    unanswered_bytes: usize,
    pace: Pace,
    pub(super) limit: u64,
    /// How long it is waited for an answer.
    pub(super) patience: Duration,
    pub(super) progress: Progress,
}

impl<S: OwnStream> Session<S> {
    /// Begins with the keys as they are now. Nothing: too many walks are running.
    pub(super) async fn begin<W: World<Stream = S>>(world: &W, job: &Job) -> Option<Self> {
        world.keep_stream();
        let (walk, mut stream, history, names, options, limit) = world.look(|node| {
            let state = &mut node.state;
            let ranges: Vec<_> = job
                .plan
                .slots
                .ranges()
                .into_iter()
                .map(|(first, last)| first.number()..=last.number())
                .collect();
            // Snapshots, rewrites and full syncs find room, however many jobs there are.
            if state.keyspace.walks_free() <= WALKS_KEPT {
                return None;
            }
            let cut = state.stream.end;
            let walk = state.keyspace.start_walk(&ranges, cut)?;
            let stream = world.stream_from(cut);
            let limit = state.config.cluster_slot_migration_max_bandwidth;
            let (names, options) = (state.command_names.clone(), encoder_options(&state.config));
            Some((walk, stream, state.stream.id.clone(), names, options, limit))
        })?;
        // What is behind the cut comes to the relay and to the files from here on.
        world.append().await;
        stream.open();
        let retries = job.progress.retries;
        Some(Self {
            name: job.name,
            walk: Some(walk),
            entries: WalkBatch::default(),
            stream,
            filter: SlotFilter::new(job.plan.slots.clone(), names),
            options,
            sizes: world.sizes(),
            history,
            out: Vec::new(),
            next: 1,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            pace: Pace::new(world.now_us()),
            limit,
            patience: ANSWER,
            progress: Progress { retries, ..Progress::default() },
        })
    }

    /// Whether a target that has applied batches up to `batch` can go on with this session.
    pub(super) fn continues(&self, batch: u64) -> bool {
        let oldest = self.unanswered.front().map_or(self.next, |(number, _)| *number);
        (oldest..=self.next).contains(&(batch + 1))
    }

    /// Sends again what the target has not applied.
    pub(super) async fn resume(&mut self, link: &mut impl Link, batch: u64) -> Result<(), Trouble> {
        self.forget(batch);
        for (_, request) in &self.unanswered {
            link.send(request).await?;
        }
        Ok(())
    }

    fn forget(&mut self, batch: u64) {
        while self.unanswered.front().is_some_and(|(number, _)| *number <= batch) {
            let (_, request) = self.unanswered.pop_front().expect("it was looked at");
            self.unanswered_bytes -= request.len();
        }
    }

    /// How long to wait before more is sent.
    pub(super) fn wait<W: World>(&mut self, world: &W) -> Duration {
        self.pace.wait(self.limit, world.now_us())
    }

    /// Whether the keys as of the cut have all been sent.
    pub(super) fn is_through(&self) -> bool {
        self.walk.is_none()
    }

    /// The number of the last batch that was made.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Sends some keys.
    pub(super) async fn send_keys<W: World>(
        &mut self,
        world: &W,
        link: &mut W::Link,
    ) -> Result<(), Trouble> {
        let Some(walk) = self.walk else { return Ok(()) };
        let Sizes { step_entries: entries, step_bytes: bytes, .. } = self.sizes;
        let budget = WalkBudget { entries, bytes };
        let mut entries = std::mem::take(&mut self.entries);
        let stepped = world.look(|node| node.state.keyspace.walk_step(walk, budget, &mut entries));
        let Some(progress) = stepped else {
            self.walk = None;
            return Err(Trouble::Void("the walk was broken off".to_owned()));
        };
        let (mut out, options) = (std::mem::take(&mut self.out), self.options.clone());
        // What the step has brought is brought once: where the connection breaks, the rest waits for the next one.
        let mut broken = None;
        for entry in entries.iter() {
            let send = async |piece: &mut Vec<u8>| {
                self.send_or_keep(world, link, piece, &mut broken).await;
                Ok::<_, SnapshotError>(())
            };
            encode::entry(&mut out, &entry, &options, send).await?;
            if out.len() >= self.sizes.batch {
                self.send_or_keep(world, link, &mut out, &mut broken).await;
            }
        }
        entries.clear();
        (self.entries, self.out) = (entries, out);
        self.progress.keys_total = progress.total.max(progress.visited);
        self.progress.keys_done = progress.visited;
        if progress.done {
            self.walk = None;
        }
        match broken {
            Some(trouble) => return Err(trouble),
            None if progress.done => self.flush(world, link).await?,
            None => {}
        }
        self.collect(link).await
    }

    /// Sends some of the stream. Whether there was any.
    pub(super) async fn send_stream<W: World>(
        &mut self,
        world: &W,
        link: &mut W::Link,
    ) -> Result<bool, Trouble> {
        let piece = self.stream.next().await.map_err(Trouble::Void)?;
        let is_empty = piece.is_empty();
        match self.filter.pass(piece, &mut self.out).map_err(Trouble::Void)? {
            Filtered::Through => {}
            Filtered::Emptied => return Err(Trouble::Void("all keys were removed".to_owned())),
        }
        if self.out.len() >= self.sizes.batch || is_empty {
            self.flush(world, link).await?;
        }
        self.collect(link).await?;
        Ok(!is_empty)
    }

    /// Sends what there is of a batch.
    pub(super) async fn flush<W: World>(
        &mut self,
        world: &W,
        link: &mut W::Link,
    ) -> Result<(), Trouble> {
        let mut out = std::mem::take(&mut self.out);
        let sent = self.send(world, link, &mut out).await;
        self.out = out;
        sent
    }

    /// Sends `commands` as a batch, and waits where too many have not been answered.
    async fn send<W: World>(
        &mut self,
        world: &W,
        link: &mut W::Link,
        commands: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        if commands.is_empty() {
            return Ok(());
        }
        let bytes = self.keep(commands);
        let (_, request) = self.unanswered.back().expect("it has just been put there");
        link.send(request).await?;
        self.pace.sent(bytes as u64);
        self.pace.figures(&mut self.progress, world.now_us());
        while self.unanswered_bytes > self.sizes.window {
            self.take_answer(link).await?;
        }
        Ok(())
    }

    /// The same; once the connection is `broken`, batches wait for the next one.
    async fn send_or_keep<W: World>(
        &mut self,
        world: &W,
        link: &mut W::Link,
        commands: &mut Vec<u8>,
        broken: &mut Option<Trouble>,
    ) {
        if broken.is_none() {
            *broken = self.send(world, link, commands).await.err();
        } else if !commands.is_empty() {
            self.keep(commands);
        }
    }

    /// Makes `commands` a batch that has not been answered. Kept before it is sent: half of it may get there. How long the
    /// request is.
    fn keep(&mut self, commands: &mut Vec<u8>) -> usize {
        let mut request = Vec::with_capacity(commands.len() + 160);
        let number = self.next.to_string();
        let words: [&[u8]; 6] =
            [b"CLUSTER", b"HANDOVER", b"APPLY", self.name.as_bytes(), number.as_bytes(), commands];
        encode_into(&mut request, &words);
        commands.clear();
        let bytes = request.len();
        self.unanswered.push_back((self.next, request));
        self.unanswered_bytes += bytes;
        self.next += 1;
        bytes
    }

    /// Takes the answers that are there.
    pub(super) async fn collect(&mut self, link: &mut impl Link) -> Result<(), Trouble> {
        while !self.unanswered.is_empty() && link.has_answer()? {
            self.take_answer(link).await?;
        }
        Ok(())
    }

    /// Waits for all answers.
    pub(super) async fn collect_all(&mut self, link: &mut impl Link) -> Result<(), Trouble> {
        while !self.unanswered.is_empty() {
            self.take_answer(link).await?;
        }
        Ok(())
    }

    async fn take_answer(&mut self, link: &mut impl Link) -> Result<(), Trouble> {
        match link.answer(self.patience).await? {
            Answer::Number(batch) => {
                self.forget(batch);
                Ok(())
            }
            Answer::Ok => Err(Trouble::Link("an answer to something else".to_owned())),
            Answer::Error(text) => Err(Trouble::Link(text)),
        }
    }

    /// How many bytes of the stream have not been looked at, where it ends at `end`.
    pub(super) fn lag(&mut self, end: u64) -> u64 {
        self.progress.lag_bytes = end.saturating_sub(self.stream.at());
        self.progress.lag_bytes
    }

    /// Lets go of what the session holds.
    pub(super) fn end<W: World>(self, world: &W) {
        if let Some(walk) = self.walk {
            world.look(|node| node.state.keyspace.cancel_walk(walk));
        }
    }
}
