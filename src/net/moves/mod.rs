//! MIGRATE: talks to other nodes, on a thread of its own beside those of the clients.
//!
//! Keys go in rounds: some are fetched from the node, encoded here and sent, and the replies to all of them are read
//! before the next round. So neither the node's lock nor memory bears more than a round, or one long value, at a time,
//! and the node hears of what has arrived as the replies come.

mod cache;
mod link;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use super::driver::with_node;
use super::shared::Shared;
use crate::clock;
use crate::commands::dump::{encoder_options, payload};
use crate::keyspace::Entry;
use crate::resp::CommandError;
use crate::state::moves::Target;
use cache::Cache;
use link::{Failure, Link};

/// Encoded bytes after which a round ends.
const ROUND_BYTES: usize = 1 << 20;

/// Between two looks at connections that nobody has used for long.
const SWEEP: Duration = Duration::from_secs(1);

/// What is shared between moves.
#[derive(Debug, Default)]
pub(super) struct Mover {
    /// The thread's runtime; it is started with the first move.
    runtime: OnceLock<Handle>,
    cache: Cache,
}

/// Carries out a MIGRATE.
pub(super) fn start(shared: &Arc<Shared>, number: u64) {
    let task = run(Arc::clone(shared), number);
    drop(shared.moves.runtime.get_or_init(|| start_thread(shared)).spawn(task));
}

/// # Panics
/// If the system has nothing left to make a runtime of.
fn start_thread(shared: &Arc<Shared>) -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has room for a runtime");
    let handle = runtime.handle().clone();
    let shared = Arc::clone(shared);
    super::spawn_thread("migrate", move || runtime.block_on(sweep(&shared)));
    handle
}

/// Closes connections that nobody uses. Never ends.
async fn sweep(shared: &Arc<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        shared.moves.cache.sweep(clock::mono_us());
        note_cached(shared);
    }
}

fn note_cached(shared: &Shared) {
    let count = shared.moves.cache.len();
    shared.node.lock().state.moves.cached_sockets = count;
}

async fn run(shared: Arc<Shared>, number: u64) {
    let Some(target) = shared.node.lock().move_target(number) else { return };
    let mut round = Round { shared: &shared, number, target, queue: VecDeque::new(), link: None };
    let result = round.all().await;
    if let Some(link) = round.link.take() {
        shared.moves.cache.put(link, clock::mono_us());
    }
    note_cached(&shared);
    with_node(&shared, |node| node.move_ended(number, result, clock::now()));
    // Somebody may wait for the log, or nobody: the client may have left.
    shared.committer.kick_if_pending(&shared);
}

/// One MIGRATE.
struct Round<'a> {
    shared: &'a Arc<Shared>,
    number: u64,
    target: Target,
    /// Fetched, and not sent or not answered yet.
    queue: VecDeque<(usize, Entry)>,
    link: Option<Link>,
}

impl Round<'_> {
    /// Sends all keys.
    ///
    /// # Errors
    /// What the client is told: the first error that the target has answered, or what became of the connection.
    async fn all(&mut self) -> Result<(), CommandError> {
        let mut refused = None;
        let mut may_retry = true;
        loop {
            if self.queue.is_empty() {
                let parcel =
                    with_node(self.shared, |node| node.next_parcel(self.number, clock::now()));
                self.queue.extend(parcel.unwrap_or_default());
            }
            if self.queue.is_empty() {
                return refused.map_or(Ok(()), Err);
            }
            let failure = match self.one(&mut refused).await {
                Ok(()) => {
                    may_retry = false;
                    continue;
                }
                Err(failure) => failure,
            };
            if let Some(link) = self.link.take() {
                link.abandon();
            }
            // A connection that was kept may have been closed by the other side long ago.
            let begins_anew = may_retry && !failure.is_timeout && !failure.has_answered;
            if !std::mem::replace(&mut may_retry, false) || !begins_anew {
                return Err(refused.unwrap_or(failure.error));
            }
            self.link = Some(self.connect().await?);
        }
    }

    /// One round: as many keys of the queue as make a round are sent, and all replies are read.
    async fn one(&mut self, refused: &mut Option<CommandError>) -> Result<(), Failure> {
        if self.link.is_none() {
            let kept = self.shared.moves.cache.take(&self.target);
            self.link = Some(match kept {
                Some(link) => link,
                None => self.connect().await.map_err(Failure::before)?,
            });
        }
        let link = self.link.as_mut().expect("it has just been set");
        link.prepare(&self.target).await?;
        let options = encoder_options(&self.shared.node.lock().state.config);
        let now_ms = clock::now().unix_ms();
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for (index, entry) in &self.queue {
            let payload = match payload(&options, entry.value()) {
                Ok(payload) => payload,
                Err(error) => {
                    refused.get_or_insert(CommandError::owned(format!("ERR {error}")));
                    sent.push((*index, false));
                    continue;
                }
            };
            let ttl_ms = entry.expiry_ms().map_or(0, |when| when.saturating_sub(now_ms).max(1));
            bytes += payload.len();
            link.restore(&self.target, (entry.key(), ttl_ms), payload).await?;
            sent.push((*index, true));
            if bytes >= ROUND_BYTES {
                break;
            }
        }
        link.flush(&self.target).await?;
        self.replies(&sent, refused).await?;
        self.queue.drain(..sent.len());
        Ok(())
    }

    /// Reads the replies to what was sent, and tells the node of keys that have arrived as soon as nothing more is there
    /// to be read.
    async fn replies(
        &mut self,
        sent: &[(usize, bool)],
        refused: &mut Option<CommandError>,
    ) -> Result<(), Failure> {
        let link = self.link.as_mut().expect("the keys went over it");
        let mut arrived = Vec::new();
        let mut has_answered = false;
        let (shared, number) = (self.shared, self.number);
        let tell = |arrived: &mut Vec<usize>| {
            if !arrived.is_empty() {
                with_node(shared, |node| node.keys_arrived(number, arrived, clock::now()));
                shared.committer.kick_if_pending(shared);
                arrived.clear();
            }
        };
        for (index, _) in sent.iter().filter(|(_, was_sent)| *was_sent) {
            if !link.has_line() {
                tell(&mut arrived);
            }
            match link.reply(&self.target).await {
                Ok(Ok(())) => arrived.push(*index),
                Ok(Err(error)) => drop(refused.get_or_insert(error)),
                Err(failure) => {
                    tell(&mut arrived);
                    let has_answered = has_answered || failure.has_answered;
                    return Err(Failure { has_answered, ..failure });
                }
            }
            has_answered = true;
        }
        tell(&mut arrived);
        Ok(())
    }

    async fn connect(&self) -> Result<Link, CommandError> {
        let source = self.shared.node.lock().state.config.bind_source_addr.clone();
        Link::open(&self.target, &source).await
    }
}
