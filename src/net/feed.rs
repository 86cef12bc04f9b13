//! Feeding a replica: what it asked for, then the stream, for as long as it stays.
//!
//! One task per replica, on the thread of its connection. It sends what the committer has appended, from memory while that
//! reaches back far enough, else from the files of the log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use highwater_persistence::log::LogReadBack;

use super::connection::Connection;
use super::driver::with_node;
use super::full_sync;
use super::shared::Shared;
use crate::clock;
use crate::replication::replicas::{Stage, lag_s_of};
use crate::replication::resync::{self, Asked, Decision, History, Reach, Source, Why};
use crate::state::output::{Feed, Note};
use crate::state::{ClientId, Output};

/// Bytes sent at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a replica is no longer fed.
pub(super) type Ended = String;

/// Begins to feed the client that asks for it.
pub(super) fn start(shared: &Arc<Shared>, feed: Feed) {
    let found = shared.connections.lock().get(&feed.client).cloned();
    let Some(connection) = found else { return };
    let shared = Arc::clone(shared);
    let home = connection.home.clone();
    connection.is_fed();
    home.spawn(async move {
        let client = feed.client;
        let Err(why) = serve(&shared, &connection, &feed).await;
        shared.relay.let_go(client);
        if feed.announced.snapshot_only {
            connection.close();
        } else if !connection.is_closing() {
            tracing::warn!("Connection with replica client id #{} is closed: {why}", client.0);
            connection.close();
        }
    });
}

/// A replica being fed.
pub(super) struct Feeding<'a> {
    /// The node's history when the feeding began.
    history: u64,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) feed: &'a Feed,
}

/// Never ends well: a replica is fed until its connection is gone.
async fn serve(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    feed: &Feed,
) -> Result<std::convert::Infallible, Ended> {
    shared.committer.start_relay(shared);
    // A change of ids that is pending ends those who were fed before it.
    shared.committer.settle(shared);
    let feeding = Feeding { history: shared.relay.history(), shared, connection, feed };
    connection.all_sent().await;
    connection.joins_packets(shared.node.lock().state.config.repl_disable_tcp_nodelay);
    // Looks at files, and may wait for a rewrite: not on a thread that serves.
    let asker = Arc::clone(shared);
    let disk = tokio::task::spawn_blocking(move || full_sync::disk_reach(&asker)).await;
    match feeding.decide(disk.unwrap_or(None)) {
        (id, Decision::Continue { from, .. }) => {
            let reply = match feed.announced.takes_ids {
                true => format!("+CONTINUE {id}\r\n"),
                false => "+CONTINUE\r\n".to_owned(),
            };
            feeding.send(reply.as_bytes()).await?;
            feeding.stream(from, None).await
        }
        (_, Decision::Full(why)) => {
            feeding.note(format!("Full resync of replica {}: {why}", feeding.name()));
            let (from, log) = full_sync::send(&feeding).await?;
            feeding.stream(from, log).await
        }
    }
}

impl Feeding<'_> {
    fn client(&self) -> ClientId {
        self.feed.client
    }

    /// Address of the replica, as INFO shows it.
    pub(super) fn name(&self) -> String {
        let mut node = self.shared.node.lock();
        let replica = node.state.replication.replicas.get_mut(self.client().0);
        replica.map_or_else(String::new, |replica| format!("{}:{}", replica.ip, replica.port))
    }

    pub(super) fn note(&self, text: String) {
        with_node(self.shared, |node| {
            node.state.outputs.push(Output::Note(Note { warning: false, text }));
        });
    }

    /// What the replica gets, and the id of the node's history. What it needs from memory is kept from here on.
    fn decide(&self, disk: Option<u64>) -> (String, Decision) {
        let mut node = self.shared.node.lock();
        let stream = &node.state.stream;
        let former = stream.former.as_ref().map(|(id, offset)| (id.as_str(), *offset));
        let history = History { id: &stream.id, former, end: stream.end };
        let reach = Reach { memory: self.shared.relay.first(), disk };
        let decision = match &self.feed.asked {
            Some(asked) => resync::decide(asked, &history, &reach),
            None => Decision::Full(Why::Asked),
        };
        let id = stream.id.clone();
        node.state.stream.is_told = true;
        let counts = &mut node.state.replication.counts;
        match &decision {
            Decision::Continue { from, source } => {
                counts.partial += 1;
                self.shared.relay.hold(self.client(), *from);
                let behind = node.state.stream.end - from;
                let place = if *source == Source::Memory { "memory" } else { "the log's files" };
                let text = format!(
                    "Partial resynchronization request from replica client id #{} accepted. Sending {behind} bytes of the stream from {place}, from offset {} on.",
                    self.client().0,
                    from + 1
                );
                node.state.outputs.push(Output::Note(Note { warning: false, text }));
            }
            Decision::Full(why) => {
                counts.full += 1;
                let goes_on = matches!(&self.feed.asked, Some(Asked { id, .. }) if id != "?");
                counts.partial_refused += u64::from(goes_on && *why != Why::Asked);
            }
        }
        drop(node);
        with_node(self.shared, |_| ());
        (id, decision)
    }

    /// The replica's place among the others has changed.
    pub(super) fn stage(&self, stage: Stage) {
        let mut node = self.shared.node.lock();
        if let Some(replica) = node.state.replication.replicas.get_mut(self.client().0) {
            replica.stage = stage;
            replica.sync = None;
            replica.acked_ms = clock::now().mono_us / 1000;
        }
    }

    /// Whether the replica has acknowledged anything.
    pub(super) fn has_acked(&self) -> bool {
        let mut node = self.shared.node.lock();
        let replica = node.state.replication.replicas.get_mut(self.client().0);
        replica.is_some_and(|replica| replica.has_acked)
    }

    /// Whether anything has come from the replica within the last seconds.
    fn is_heard(&self, seconds: u64) -> bool {
        let now_ms = clock::mono_us() / 1000;
        let mut node = self.shared.node.lock();
        let replica = node.state.replication.replicas.get_mut(self.client().0);
        replica.is_some_and(|replica| {
            replica.stage == Stage::Online && lag_s_of(replica, now_ms) < seconds
        })
    }

    /// Equal offsets of another history name other bytes, so nothing more is sent.
    pub(super) fn check_history(&self) -> Result<(), Ended> {
        if self.shared.relay.history() == self.history {
            Ok(())
        } else {
            Err("the node gets another history".to_owned())
        }
    }

    /// Sends all of `bytes`, however long the replica takes, as long as it takes some.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<(), Ended> {
        let timeout_s = u64::from(self.shared.node.lock().state.config.repl_timeout);
        let mut sent = 0;
        while sent < bytes.len() {
            if self.connection.is_closing() {
                return Err("the connection is gone".to_owned());
            }
            self.check_history()?;
            match self.connection.send_some(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let room = self.connection.room();
                    match tokio::time::timeout(Duration::from_secs(timeout_s), room).await {
                        Ok(room) => room.map_err(|error| error.to_string())?,
                        // A replica that loads a snapshot takes nothing for long, but says that it is there.
                        Err(_) if self.is_heard(timeout_s) => {}
                        Err(_) => return Err(format!("it has taken nothing for {timeout_s} s")),
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Sends the stream behind `from`, which `log` reads if memory no longer holds it.
    async fn stream(
        &self,
        mut from: u64,
        mut log: Option<Box<LogReadBack>>,
    ) -> Result<std::convert::Infallible, Ended> {
        self.stage(Stage::Online);
        self.note(format!("Synchronization with replica {} succeeded", self.name()));
        let mut end = self.shared.relay.watch();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = match self.shared.relay.read(from, &mut piece) {
                Some(count) => count,
                None => {
                    from = full_sync::stream_from_disk(self, from, log.take()).await?;
                    continue;
                }
            };
            // Memory has what comes next, so files that a rewrite has removed need not stay on disk for this one.
            log = None;
            if count == 0 {
                tokio::select! {
                    changed = end.changed() => changed.map_err(|_| "the node stops".to_owned())?,
                    () = self.connection.gone() => return Err("the connection is gone".to_owned()),
                }
                continue;
            }
            from += count as u64;
            tokio::select! {
                sent = self.send(&piece[..count]) => sent?,
                why = self.is_left_behind(from) => return Err(why),
            }
            self.shared.relay.hold(self.client(), from);
            self.count(count as u64, Source::Memory);
        }
    }

    /// Waits until the byte behind `next` is nowhere to be had any more: the replica is too slow.
    async fn is_left_behind(&self, next: u64) -> Ended {
        let mut end = self.shared.relay.watch();
        loop {
            let is_kept = |first: Option<u64>| first.is_some_and(|first| first <= next);
            if !is_kept(self.shared.relay.first()) && !is_kept(full_sync::disk_reach(self.shared)) {
                return full_sync::too_far_behind(next);
            }
            if end.changed().await.is_err() {
                return "the node stops".to_owned();
            }
        }
    }

    /// Counts bytes of the stream that have been sent.
    pub(super) fn count(&self, bytes: u64, source: Source) {
        let counter = match source {
            Source::Memory => &self.shared.relayed[0],
            Source::Disk => &self.shared.relayed[1],
        };
        counter.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    }
}
