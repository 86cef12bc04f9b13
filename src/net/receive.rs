//! A full sync from the replica's side: the snapshot goes to a file, is checked, loaded, and becomes the base of the log.
//!
//! Whatever breaks off on the way leaves the node as it was, or (once the old data had to make room) empty and without a
//! history, so that the next attempt starts clean.

use std::cell::Cell;
use std::sync::Arc;

use highwater_persistence::checksum::snapshot_crc;
use highwater_persistence::log::{BaseKind, LogFiles, LogOffset, ReplicationId, Salts};
use highwater_persistence::storage::{Storage, StorageFile};
use tokio::sync::{mpsc, oneshot};

use super::driver::with_node;
use super::load::{self, SnapshotFacts};
use super::shared::Shared;
use super::walks;
use crate::clock::{self, SystemClock};
use crate::config::Config;
use crate::config::choices::DisklessLoad;
use crate::keyspace::Keyspace;
use crate::replication::link::Size;
use crate::state::persistence::{Beside, Loading};
use crate::state::replication::Primary;
use crate::state::stream::{Stream, select_command};

/// Pieces on their way to the file.
const PIECES_AHEAD: usize = 16;

/// Bytes after which the file is synced on the way.
const SYNC_BYTES: u64 = 8 << 20;

/// The file of a snapshot that has no place yet. Removed when this is dropped, unless it has got one.
struct Temp {
    storage: Arc<dyn Storage>,
    name: String,
}

impl Drop for Temp {
    fn drop(&mut self) {
        walks::remove_temp(&self.storage, &self.name);
    }
}

/// A snapshot on its way to a file.
pub(super) struct Receiving {
    shared: Arc<Shared>,
    generation: u64,
    size: Size,
    history: (String, u64),
    received: u64,
    whole: bool,
    /// The last bytes, in which the mark is looked for.
    tail: Vec<u8>,
    pieces: mpsc::Sender<Vec<u8>>,
    written: oneshot::Receiver<Result<(), String>>,
    temp: Temp,
}

impl Receiving {
    /// Opens a file for a snapshot at an offset of a history.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        generation: u64,
        size: Size,
        history: (String, u64),
    ) -> Result<Self, String> {
        let config = shared.node.lock().state.config.clone();
        let storage = walks::storage(&config);
        let name = walks::temp_name();
        let file = storage.create(&name).map_err(|error| format!("{name}: {error}"))?;
        let temp = Temp { storage, name };
        let (pieces, mut queue) = mpsc::channel::<Vec<u8>>(PIECES_AHEAD);
        let (done, written) = oneshot::channel();
        super::spawn_thread("receive", move || {
            let result = write_all(&*file, &mut queue);
            // The link may be gone.
            drop(done.send(result.map_err(|error| error.to_string())));
        });
        let text = match &size {
            Size::Bytes(bytes) => format!("receiving {bytes} bytes from master to disk"),
            Size::Mark(_) => "receiving streamed RDB from master with EOF to disk".to_owned(),
        };
        tracing::info!("MASTER <-> REPLICA sync: {text}");
        let (shared, tail) = (Arc::clone(shared), Vec::new());
        let (received, whole) = (0, matches!(size, Size::Bytes(0)));
        Ok(Self { shared, generation, size, history, received, whole, tail, pieces, written, temp })
    }

    /// Whether all of it has come.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Takes bytes as they came; what is behind the snapshot is given back.
    pub(super) async fn take(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut rest = Vec::new();
        let own = match &self.size {
            Size::Bytes(size) => {
                let missing = usize::try_from(size - self.received).unwrap_or(usize::MAX);
                if bytes.len() >= missing {
                    rest = bytes.split_off(missing);
                    self.whole = true;
                }
                bytes
            }
            Size::Mark(mark) => {
                // The last bytes may be the mark, so they are held back.
                self.tail.append(&mut bytes);
                let keep = self.tail.len().saturating_sub(mark.len());
                if self.tail[keep..] == mark[..] {
                    self.whole = true;
                    self.tail.truncate(keep);
                    std::mem::take(&mut self.tail)
                } else {
                    self.tail.drain(..keep).collect()
                }
            }
        };
        self.received += own.len() as u64;
        self.tell();
        if !own.is_empty() {
            self.pieces.send(own).await.map_err(|_| "the file cannot be written".to_owned())?;
        }
        Ok(rest)
    }

    /// Tells the node how far it has come.
    fn tell(&self) {
        let mut node = self.shared.node.lock();
        if let Some(primary) = &mut node.state.replication.primary {
            primary.link.transfer.1 = self.received;
            primary.link.heard(clock::mono_us() / 1000);
        }
    }

    /// Loads what has come, on a thread of its own.
    pub(super) fn load(self) -> oneshot::Receiver<Result<(), String>> {
        let (done, loaded) = oneshot::channel();
        super::spawn_thread("load", move || {
            let Self { shared, generation, history, pieces, written, temp, .. } = self;
            drop(pieces);
            let received = written.blocking_recv().unwrap_or(Err("the file is lost".to_owned()));
            let result = received.and_then(|()| {
                let work = Work {
                    shared: &shared,
                    generation,
                    history: &history,
                    temp: &temp,
                    flushed: Cell::new(false),
                };
                work.load()
            });
            drop(temp);
            // The link may be gone.
            drop(done.send(result));
        });
        loaded
    }
}

fn write_all(file: &dyn StorageFile, queue: &mut mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    let mut unsynced = 0;
    while let Some(piece) = queue.blocking_recv() {
        file.append(&piece)?;
        unsynced += piece.len() as u64;
        if unsynced >= SYNC_BYTES {
            unsynced = 0;
            file.sync_data()?;
        }
    }
    file.sync_data()
}

/// A received snapshot that is to take the place of everything.
struct Work<'a> {
    shared: &'a Arc<Shared>,
    generation: u64,
    history: &'a (String, u64),
    temp: &'a Temp,
    /// The old data have made room.
    flushed: Cell<bool>,
}

impl Work<'_> {
    fn load(&self) -> Result<(), String> {
        let config = self.begin()?;
        let result = self.exchange(&config);
        if result.is_err() && self.flushed.get() {
            self.restore(&config);
        }
        with_node(self.shared, |node| {
            node.state.persistence.loading = None;
            node.serve_ready(&mut SystemClock);
        });
        result
    }

    /// The old data had to make room for new ones that cannot be had: back to what the log holds, or to nothing, under an
    /// id that nobody takes for a history.
    fn restore(&self, config: &Config) {
        let again = if self.shared.committer.is_on() {
            let drained = self.shared.committer.drain(self.shared);
            drained.and_then(|()| load::read_again(self.shared, config, true))
        } else {
            Err("the log is off".to_owned())
        };
        let mut node = self.shared.node.lock();
        match again {
            Ok((keyspace, beside)) => {
                let old = node.replace_data(keyspace, beside);
                drop(node);
                drop(old);
            }
            Err(error) => {
                tracing::warn!("The data from before the sync cannot be brought back: {error}");
                let id = node.state.fresh_id();
                node.state.stream.disown(id);
            }
        }
    }

    /// Waits until nobody reads or writes files of the old data, and keeps others from beginning to.
    fn begin(&self) -> Result<Config, String> {
        loop {
            {
                let mut node = self.shared.node.lock();
                let state = &mut node.state;
                if state.replication.generation != self.generation {
                    return Err("the node has another MASTER".to_owned());
                }
                let loads = |primary: &Primary| primary.link.is_loading();
                if !state.replication.primary.as_deref().is_some_and(loads) {
                    return Err("the link is lost".to_owned());
                }
                if !state.has_job() && state.persistence.loading.is_none() {
                    let config = state.config.clone();
                    let loading = Loading {
                        started_s: clock::now().unix_s(),
                        total_bytes: 0,
                        loaded_bytes: 0,
                        serves: keeps_old(&config),
                    };
                    state.persistence.loading = Some(loading);
                    return Ok(config);
                }
            }
            std::thread::sleep(walks::JOB_POLL);
        }
    }

    fn exchange(&self, config: &Config) -> Result<(), String> {
        // From here on nobody may send on what the node had until now.
        self.shared.relay.end_history();
        let storage = walks::storage(config);
        let name = &self.temp.name;
        let contents = storage.read(name).map_err(|error| format!("{name}: {error}"))?;
        if !is_whole(&contents) {
            // Before the old data make room: they are worth more than this.
            let text =
                "Failed trying to load the MASTER synchronization DB from disk: wrong checksum";
            return Err(text.to_owned());
        }
        let db = SnapshotFacts::of(&contents).db;
        let old = (!keeps_old(config)).then(|| {
            tracing::info!("MASTER <-> REPLICA sync: Flushing old data");
            self.flushed.set(true);
            let empty = load::empty_keyspace(config);
            self.shared.node.lock().make_room_for_data(empty)
        });
        drop(old);
        tracing::info!("MASTER <-> REPLICA sync: Loading DB in memory");
        let loaded = load::load_received(self.shared, config, &contents)?;
        drop(contents);
        self.install(config, &storage, loaded, db)?;
        tracing::info!("MASTER <-> REPLICA sync: Finished with success");
        Ok(())
    }

    /// Puts what was loaded in force: on disk first, then in memory.
    fn install(
        &self,
        config: &Config,
        storage: &Arc<dyn Storage>,
        (keyspace, beside): (Keyspace, Beside),
        db: Option<u32>,
    ) -> Result<(), String> {
        let _switch = self.shared.log_switch.lock();
        let mut writer = None;
        if config.appendonly {
            writer = Some(self.adopt(config, storage, db)?);
        } else {
            storage.rename(&self.temp.name, &config.dbfilename).map_err(|e| e.to_string())?;
            storage.sync_folder("").map_err(|error| error.to_string())?;
        }
        let logs = writer.is_some();
        // The stream first: what was pending of the old one must not reach the new files.
        self.begin_stream(db);
        let limits = super::commit::relay_limits(config);
        self.shared.committer.begin_history(self.shared, writer, self.history.1, limits);
        let mut node = self.shared.node.lock();
        let old = node.replace_data(keyspace, beside);
        node.state.persistence.aof_enabled = logs;
        node.state.persistence.aof_waits_for_rewrite = false;
        drop(node);
        drop(old);
        Ok(())
    }

    /// The node's stream goes on with the primary's history, behind the snapshot.
    fn begin_stream(&self, db: Option<u32>) {
        let (id, offset) = self.history;
        let released = self.shared.committer.released();
        for connection in self.shared.connections.lock().values() {
            connection.forget_log(released);
        }
        with_node(self.shared, |node| {
            let is_same = node.state.replication.generation == self.generation;
            let state = &mut node.state;
            let mut stream = Stream::new(id.clone());
            stream.end = *offset;
            stream.db = db;
            stream.recording = true;
            state.stream = stream;
            for client in state.clients.iter_mut() {
                client.wait_offset = 0;
            }
            if !is_same && !state.is_replica() {
                let id = state.fresh_id();
                state.stream.change_id(id, *offset);
            }
            // Those who follow this node have nothing in common with it any more.
            state.detach_replicas();
        });
    }

    /// Makes the received file the base of the log, behind which the stream is appended.
    fn adopt(
        &self,
        config: &Config,
        storage: &Arc<dyn Storage>,
        db: Option<u32>,
    ) -> Result<highwater_persistence::log::LogWriter, String> {
        let (id, offset) = self.history;
        if self.shared.node.lock().state.replication.generation != self.generation {
            return Err("the node has another MASTER".to_owned());
        }
        self.shared.log_lock.take(config)?;
        let files = match self.shared.committer.files() {
            Some(files) => files,
            None => LogFiles::open(storage, &walks::log_names(config))
                .map_err(|error| error.to_string())?,
        };
        files.keep_history(config.aof_disable_auto_gc);
        files.retain(config.repl_backlog_disk_size);
        let id: ReplicationId = id.parse().map_err(|_| format!("'{id}' is no id"))?;
        let lineage = highwater_persistence::log::Lineage::new(id);
        let local = db.map(select_command).unwrap_or_default();
        let (writer, rewrite) = files
            .begin(lineage, LogOffset(*offset), &local, Salts::random())
            .map_err(|error| error.to_string())?;
        let finished = rewrite
            .finish(&self.temp.name, BaseKind::Rdb, writer.file_size())
            .map_err(|error| error.to_string())?;
        if let Some(error) = finished.cleanup {
            tracing::warn!("Old files of the log are left behind: {error}");
        }
        Ok(writer)
    }
}

/// Whether the checksum at the end of a snapshot is that of the rest; 0 stands for none.
fn is_whole(snapshot: &[u8]) -> bool {
    let Some((rest, footer)) = snapshot.split_last_chunk::<8>() else { return false };
    let stored = u64::from_le_bytes(*footer);
    stored == 0 || stored == snapshot_crc(rest)
}

/// Whether the old data stay in memory, and are shown, while the new are loaded.
fn keeps_old(config: &Config) -> bool {
    config.repl_diskless_load == DisklessLoad::SwapDb
}
