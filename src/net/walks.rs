//! Snapshots and rewrites: a thread walks the keyspace step by step and writes what it gets, outside of the lock.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater_persistence::log::{BaseKind, LogFiles, LogNames, LogOffset, Rewrite, Salts};
use highwater_persistence::snapshot::{
    Event, KeyMeta, SnapshotError, SnapshotWriter, WriterOptions,
};
use highwater_persistence::storage::{ReadFile, RealStorage, Storage, StorageFile};

use super::commit::lineage;
use super::driver::with_node;
use super::shared::Shared;
use crate::clock::{self, mono_us};
use crate::config::Config;
use crate::keyspace::{ValueRef, WalkBatch, WalkBudget, WalkEntry};
use crate::node::{Begun, Node, access_clock};
use crate::state::ClientId;
use crate::state::persistence::Beside;
use crate::state::stream::select_command;
use crate::types::convert::write_object;

/// What one step may do while the node is locked.
const STEP: WalkBudget = WalkBudget { entries: 256, bytes: 64 * 1024 };

/// Bytes after which the file is synced on the way (`rdb-save-incremental-fsync`, `aof-rewrite-incremental-fsync`), so
/// that the last sync is short.
const SYNC_BYTES: u64 = 256 << 10;

static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

/// The folder of the node's files.
pub(super) fn storage(config: &Config) -> Arc<dyn Storage> {
    Arc::new(RealStorage::new(PathBuf::from(&config.dir)))
}

/// The names of the log's files.
pub(super) fn log_names(config: &Config) -> LogNames {
    LogNames::new(&config.appenddirname, &config.appendfilename)
}

/// Begins a snapshot in the background.
pub(super) fn start_snapshot(shared: &Arc<Shared>) {
    let begun = shared.node.lock().begin_walk(false, clock::now());
    let Some(begun) = begun else {
        tracing::warn!("Can't save in background: too many walks are running");
        with_node(shared, |node| node.snapshot_ended(false, clock::now()));
        return;
    };
    tracing::info!("Background saving started");
    shared.committer.suspend_syncs(shared, suspends(shared));
    let shared = Arc::clone(shared);
    super::spawn_thread("snapshot", move || {
        lower_priority();
        let config = shared.node.lock().state.config.clone();
        let started_us = mono_us();
        let temp = temp_name();
        let result = save(&shared, &config, &begun, &temp);
        let ok = result.is_ok();
        match result {
            Ok(()) => {
                tracing::info!("DB saved on disk");
                let seconds = (mono_us() - started_us) / 1_000_000;
                tracing::info!("Background saving terminated with success, {seconds} s");
            }
            Err(error) => {
                tracing::warn!("Failed saving the DB: {error}");
                tracing::warn!("Background saving error");
                remove_temp(&storage(&config), &temp);
            }
        }
        shared.committer.suspend_syncs(&shared, false);
        with_node(&shared, |node| {
            node.state.keyspace.cancel_walk(begun.walk);
            node.snapshot_ended(ok, clock::now());
        });
    });
}

/// Writes a snapshot for a replica to a file without a name, and returns it with its size. `begun` is told the offset
/// of the state that it shows; from there on the stream is kept.
pub(super) fn snapshot_to_file(
    shared: &Arc<Shared>,
    client: ClientId,
    begun: impl FnOnce(u64) -> io::Result<()>,
) -> io::Result<(Arc<dyn ReadFile>, u64)> {
    snapshot_for_replica(shared, client, begun, |config, walk| {
        let storage = storage(config);
        let temp = temp_name();
        let written = write_base(shared, config, &storage, walk, (&temp, false));
        let opened = written.and_then(|()| storage.open_read(&temp));
        remove_temp(&storage, &temp);
        let file = opened?;
        let size = file.size()?;
        Ok((file, size))
    })
}

/// As [`snapshot_to_file`], to whatever takes the bytes.
pub(super) fn snapshot_to_socket(
    shared: &Arc<Shared>,
    client: ClientId,
    begun: impl FnOnce(u64) -> io::Result<()>,
    socket: &mut dyn Write,
) -> io::Result<()> {
    snapshot_for_replica(shared, client, begun, |config, walk| {
        write_snapshot(shared, config, walk, false, socket).map_err(io::Error::other)
    })
}

fn snapshot_for_replica<T>(
    shared: &Arc<Shared>,
    client: ClientId,
    begun: impl FnOnce(u64) -> io::Result<()>,
    write: impl FnOnce(&Config, &Begun) -> io::Result<T>,
) -> io::Result<T> {
    lower_priority();
    let walk = loop {
        {
            let mut node = shared.node.lock();
            if !node.state.replication.replicas.has(client.0) {
                return Err(io::Error::other("the replica is gone"));
            }
            let is_free = !node.state.has_job() && node.state.persistence.loading.is_none();
            if is_free && let Some(walk) = node.begin_walk(false, clock::now()) {
                shared.relay.hold(client, walk.cut.offset);
                break walk;
            }
        }
        std::thread::sleep(JOB_POLL);
    };
    let config = shared.node.lock().state.config.clone();
    let written = begun(walk.cut.offset).and_then(|()| write(&config, &walk));
    let mut node = shared.node.lock();
    node.state.keyspace.cancel_walk(walk.walk);
    node.state.persistence.snapshot = None;
    written
}

/// Writes a walk to `temp` and puts it in the place of `dbfilename`.
fn save(shared: &Shared, config: &Config, begun: &Begun, temp: &str) -> io::Result<()> {
    let storage = storage(config);
    write_base(shared, config, &storage, begun, (temp, false))?;
    storage.rename(temp, &config.dbfilename)?;
    storage.sync_folder("")
}

fn suspends(shared: &Shared) -> bool {
    shared.node.lock().state.config.no_appendfsync_on_rewrite
}

/// A name for an unfinished snapshot that no other one in this process has.
pub(super) fn temp_name() -> String {
    let number = SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
    format!("temp-{}-{number}.rdb", std::process::id())
}

pub(super) fn remove_temp(storage: &Arc<dyn Storage>, temp: &str) {
    if let Err(error) = storage.remove(temp)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{temp} could not be removed: {error}");
    }
}

/// Begins a rewrite of the log in the background.
pub(super) fn start_rewrite(shared: &Arc<Shared>) {
    let files = shared.committer.files();
    let Some(files) = files else {
        let _switch = shared.log_switch.lock();
        // It may be wanted by now: a first try to switch it on has failed, or another rewrite was in the way.
        let stays = shared.node.lock().state.config.appendonly;
        return switch_on(shared, stays);
    };
    // The node counts the rewrite as running from here, so that no second one starts while the file is prepared.
    {
        let mut node = shared.node.lock();
        let persistence = &mut node.state.persistence;
        if persistence.rewrite.is_some() {
            return;
        }
        if persistence.loading.is_some() {
            // The keyspace is about to be exchanged (DEBUG RELOAD).
            persistence.rewrite_scheduled = true;
            return;
        }
        node.rewrite_prepares(clock::now());
    }
    let shared = Arc::clone(shared);
    super::spawn_thread("rewrite", move || {
        lower_priority();
        shared.committer.suspend_syncs(&shared, suspends(&shared));
        let result = rewrite(&shared, &files);
        finish_rewrite(&shared, result);
    });
}

fn rewrite(shared: &Arc<Shared>, files: &Arc<LogFiles>) -> Result<(), String> {
    let prepared = files.prepare_next().map_err(|error| error.to_string())?;
    shared.committer.offer(prepared);
    let begun = {
        let mut node = shared.node.lock();
        if !node.state.stream.recording {
            return Err("the log was switched off".to_owned());
        }
        node.begin_walk(true, clock::now()).ok_or("too many walks are running")?
    };
    tracing::info!("Background append only file rewriting started");
    let Some(rewrite) = shared.committer.wait_for_switch(shared) else {
        // Neither the walk nor the cut may stay behind: the one would collect old values for ever, the other be in the
        // way of the next rewrite.
        let mut node = shared.node.lock();
        node.state.keyspace.cancel_walk(begun.walk);
        node.state.stream.cut = None;
        return Err("the log was switched off".to_owned());
    };
    write_and_finish(shared, rewrite, &begun)
}

/// What a base is called while it is written. One rewrite runs at a time.
fn rewrite_temp() -> String {
    format!("temp-rewriteaof-bg-{}.aof", std::process::id())
}

/// Writes the base of a rewrite and puts it in force.
fn write_and_finish(shared: &Arc<Shared>, rewrite: Rewrite, begun: &Begun) -> Result<(), String> {
    let config = shared.node.lock().state.config.clone();
    // Not `dir`, which may have changed since the log was opened.
    let storage = Arc::clone(rewrite.storage());
    let temp = rewrite_temp();
    let kind = if config.aof_use_rdb_preamble { BaseKind::Rdb } else { BaseKind::Resp };
    let written = write_base(shared, &config, &storage, begun, (&temp, true));
    if let Err(error) = written {
        shared.node.lock().state.keyspace.cancel_walk(begun.walk);
        rewrite.abandon(&temp);
        return Err(format!("{temp}: {error}"));
    }
    let finished = rewrite
        .finish(&temp, kind, shared.committer.file_size())
        .map_err(|error| error.to_string())?;
    if let Some(error) = finished.cleanup {
        tracing::warn!("Old files of the log are left behind: {error}");
    }
    Ok(())
}

fn finish_rewrite(shared: &Arc<Shared>, result: Result<(), String>) {
    shared.committer.suspend_syncs(shared, false);
    let ok = result.is_ok();
    match result {
        Ok(()) => {
            shared.committer.rewrite_finished(shared);
            tracing::info!("Background AOF rewrite finished successfully");
        }
        Err(error) => tracing::warn!("Background AOF rewrite terminated with error: {error}"),
    }
    let size = shared.committer.sizes().map_or(0, |(current, _)| current);
    with_node(shared, |node| node.rewrite_ended(ok, size, clock::now()));
}

/// `CONFIG SET` of `aof-disable-auto-gc` or `repl-backlog-disk-size`: files that were kept as history may go, on a thread of
/// their own.
pub(super) fn keep_history(shared: &Arc<Shared>, config: &Config) {
    let Some(files) = shared.committer.files() else { return };
    files.keep_history(config.aof_disable_auto_gc);
    files.retain(config.repl_backlog_disk_size);
    super::spawn_thread("history", move || {
        if let Err(error) = files.remove_history() {
            tracing::warn!("Old files of the log are left behind: {error}");
        }
    });
}

/// `CONFIG SET appendonly`.
pub(super) fn set_append_only(shared: &Arc<Shared>, on: bool) {
    let _switch = shared.log_switch.lock();
    if on == shared.node.lock().state.persistence.aof_enabled {
        return;
    }
    if on {
        switch_on(shared, true);
        return;
    }
    shared.node.lock().state.persistence.aof_enabled = false;
    shared.committer.close(shared);
    shared.log_lock.release();
    let mut node = shared.node.lock();
    node.state.persistence.aof_waits_for_rewrite = false;
    node.state.persistence.log_error = None;
    stop_recording(&mut node, shared);
    tracing::info!("The append only file is off");
}

/// The log is off: nothing is recorded any more, unless replicas want it.
fn stop_recording(node: &mut Node, shared: &Shared) {
    node.state.stream.cut = None;
    if !shared.relay.is_active() {
        node.state.stream.recording = false;
        node.state.stream.forget_pending();
    }
}

/// Writes the files of a log from scratch. With `stays` the log is on from then; acknowledgements wait for it once the
/// base is in force. Where another rewrite runs, the tick tries again after it. The caller holds `log_switch`.
fn switch_on(shared: &Arc<Shared>, stays: bool) {
    let begun = shared.committer.hold(shared, |node| {
        let persistence = &mut node.state.persistence;
        if persistence.rewrite.is_some() || persistence.loading.is_some() {
            persistence.rewrite_scheduled = true;
            return None;
        }
        // A snapshot may be running; its job is not ours.
        let snapshot = persistence.snapshot.take();
        let begun = node.begin_walk(false, clock::now());
        let state = &mut node.state;
        let job = std::mem::replace(&mut state.persistence.snapshot, snapshot);
        if begun.is_none() {
            state.persistence.rewrite_scheduled = true;
            return None;
        }
        state.persistence.rewrite = job;
        state.persistence.aof_enabled = stays;
        state.persistence.aof_waits_for_rewrite = stays;
        state.stream.recording = true;
        begun
    });
    let Some(begun) = begun else { return };
    let shared = Arc::clone(shared);
    super::spawn_thread("rewrite", move || {
        lower_priority();
        let result = write_new_log(&shared, &begun);
        let switch = shared.log_switch.lock();
        let is_on = result.is_ok() && stays && shared.committer.wait_from_now_on(&shared);
        if !is_on {
            shared.node.lock().state.keyspace.cancel_walk(begun.walk);
            shared.committer.close(&shared);
            shared.log_lock.release();
            let mut node = shared.node.lock();
            stop_recording(&mut node, &shared);
        }
        drop(switch);
        finish_rewrite(&shared, result);
    });
}

fn write_new_log(shared: &Arc<Shared>, begun: &Begun) -> Result<(), String> {
    let (config, lineage) = {
        let node = shared.node.lock();
        let stream = &node.state.stream;
        (node.state.config.clone(), lineage(&stream.id, stream.former.as_ref()))
    };
    shared.log_lock.take(&config)?;
    let storage = storage(&config);
    let files = LogFiles::open(&storage, &log_names(&config)).map_err(|error| error.to_string())?;
    files.keep_history(config.aof_disable_auto_gc);
    files.retain(config.repl_backlog_disk_size);
    // A replica cannot select in a stream that is its primary's.
    let local = begun.cut.db.map(select_command).unwrap_or_default();
    let (writer, rewrite) = files
        .begin(lineage, LogOffset(begun.cut.offset), &local, Salts::random())
        .map_err(|error| error.to_string())?;
    let switch = shared.log_switch.lock();
    if !shared.committer.is_holding() {
        rewrite.abandon(&rewrite_temp());
        return Err("the log was switched off".to_owned());
    }
    shared.committer.open(shared, writer, false);
    drop(switch);
    write_and_finish(shared, rewrite, begun)
}

/// Writes what a walk gives to a file, synced. `base` says whether it is the base of a log.
fn write_base(
    shared: &Shared,
    config: &Config,
    storage: &Arc<dyn Storage>,
    begun: &Begun,
    (name, base): (&str, bool),
) -> io::Result<()> {
    let file = storage.create(name)?;
    let mut sink =
        SyncedFile { file: Arc::clone(&file), unsynced: 0, step: sync_step(config, base) };
    if base && !config.aof_use_rdb_preamble {
        let options = crate::commands::dump::encoder_options(config);
        super::resp_base::write(begun, &options, &mut sink, |batch| {
            step(shared, begun, base, batch)
        })?;
    } else {
        write_snapshot(shared, config, begun, base, sink).map_err(io::Error::other)?;
    }
    file.sync_data()
}

/// Bytes after which a file is synced on the way.
fn sync_step(config: &Config, base: bool) -> u64 {
    let on_the_way = match base {
        true => config.aof_rewrite_incremental_fsync,
        false => config.rdb_save_incremental_fsync,
    };
    if on_the_way { SYNC_BYTES } else { u64::MAX }
}

fn write_snapshot(
    shared: &Shared,
    config: &Config,
    begun: &Begun,
    base: bool,
    sink: impl Write,
) -> Result<(), SnapshotError> {
    let mut writer = SnapshotWriter::new(sink, &writer_options(config));
    let used = crate::alloc::used_memory() as u64;
    writer.standard_aux(clock::now().unix_s(), used)?;
    writer.aux(b"aof-base", if base { b"1" } else { b"0" })?;
    writer.aux(b"hw-id", begun.id.as_bytes())?;
    writer.aux(b"hw-offset", begun.cut.offset.to_string().as_bytes())?;
    // What stock writes for replicas: with these a replica that gets the file knows where the stream goes on.
    if let Some(db) = begun.cut.db {
        writer.aux(b"repl-stream-db", db.to_string().as_bytes())?;
    }
    writer.aux(b"repl-id", begun.id.as_bytes())?;
    writer.aux(b"repl-offset", begun.cut.offset.to_string().as_bytes())?;
    write_beside(&mut writer, &begun.beside)?;
    let mut db = None;
    let mut batch = WalkBatch::default();
    loop {
        let done = step(shared, begun, base, &mut batch)
            .map_err(|error| SnapshotError::Io { offset: writer.offset(), error })?;
        for entry in batch.iter() {
            if db != Some(entry.db) {
                db = Some(entry.db);
                writer.select_db(entry.db)?;
                let size = begun.sizes.iter().find(|(number, ..)| *number == entry.db);
                if let Some((_, keys, expires)) = size {
                    writer.resize_db(*keys, *expires)?;
                }
            }
            write_entry(&mut writer, &entry, config)?;
        }
        batch.clear();
        if done {
            break;
        }
    }
    writer.finish().map(drop)
}

/// What stands in a snapshot beside keys.
pub(super) fn write_beside<W: Write>(
    writer: &mut SnapshotWriter<W>,
    beside: &Beside,
) -> Result<(), SnapshotError> {
    for note in beside.jobs.notes() {
        writer.aux(b"hw-slots", note.to_text().as_bytes())?;
    }
    beside.functions.iter().try_for_each(|function| writer.function(function))
}

/// One step behind the node's lock. Whether the walk has come to its end.
///
/// # Errors
/// The walk is gone: what has been written is not the whole.
fn step(shared: &Shared, begun: &Begun, rewrite: bool, batch: &mut WalkBatch) -> io::Result<bool> {
    rest();
    let progress = shared.node.lock().walk_step(begun.walk, rewrite, STEP, batch);
    progress
        .map(|progress| progress.done)
        .ok_or_else(|| io::Error::other("the walk was broken off"))
}

/// Rests for as long as this thread has worked since it last did.
///
/// Where threads share a processor, a walker that went on would be given slices of milliseconds, however low its
/// priority, and every client would feel each of them. So it works for a tenth of a millisecond at a time, and for half
/// of the time at most.
fn rest() {
    /// Work at a stretch.
    const STRETCH_US: u64 = 100;
    thread_local! {
        static BEGAN_US: Cell<u64> = const { Cell::new(0) };
    }
    BEGAN_US.with(|began_us| {
        let worked_us = mono_us() - began_us.get();
        if began_us.get() == 0 {
            began_us.set(mono_us());
        } else if worked_us >= STRETCH_US {
            std::thread::sleep(Duration::from_micros(worked_us.min(10 * STRETCH_US)));
            began_us.set(mono_us());
        }
    });
}

fn write_entry<W: Write>(
    writer: &mut SnapshotWriter<W>,
    entry: &WalkEntry<'_>,
    config: &Config,
) -> Result<(), SnapshotError> {
    let expires_ms = entry.expiry_ms.and_then(|when| i64::try_from(when).ok());
    let mut meta = KeyMeta { expires_ms, idle_s: None, freq: None };
    let policy = config.maxmemory_policy;
    if policy.is_lru() || policy.is_lfu() {
        let (access, now_ms) = (access_clock(config), clock::now().unix_ms());
        let idle_s = || u64::from(access.idle_seconds(entry.access, now_ms));
        meta.idle_s = policy.is_lru().then(idle_s);
        meta.freq = policy.is_lfu().then(|| access.frequency(entry.access, now_ms));
    }
    writer.key(entry.key, meta)?;
    match entry.value {
        ValueRef::Str(bytes) => writer.value(Event::String(bytes))?,
        ValueRef::Int(number) => {
            writer.value(Event::String(itoa::Buffer::new().format(number).as_bytes()))?;
        }
        ValueRef::Object(object) => {
            return write_object(object, |event| writer.value(event));
        }
    }
    writer.value(Event::ValueEnd)
}

/// How an empty snapshot is written.
pub(super) fn plain_options() -> WriterOptions {
    writer_options(&Config::default())
}

/// How snapshots are written under `config`.
pub(super) fn writer_options(config: &Config) -> WriterOptions {
    WriterOptions {
        encoder: crate::commands::dump::encoder_options(config),
        checksum: config.rdbchecksum,
    }
}

/// A file that is synced every now and then while it is written.
struct SyncedFile {
    file: Arc<dyn StorageFile>,
    unsynced: u64,
    step: u64,
}

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= self.step {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The walker gives way to the threads that serve.
fn lower_priority() {
    /// Nice value of walkers.
    const NICE: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("the priority of a background thread stays: {error}");
    }
}

/// Pause between tries of something that waits for another job.
pub(super) const JOB_POLL: Duration = Duration::from_millis(10);
