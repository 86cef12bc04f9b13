//! Loading at the start: plan, load, carry out. Runs on a thread of its own while clients are answered `-LOADING`.

mod batch;
mod crew;
mod loader;
mod parallel;
mod records;
mod snapshot;

use std::sync::Arc;

use highwater_persistence::log::{LogWriter, ReplicationId, Salts};
use highwater_persistence::recovery::{self, Options, Plan};
use highwater_persistence::snapshot::{Event, SnapshotReader};
use highwater_persistence::storage::Storage;

use super::shared::Shared;
use super::walks::{log_names, storage};
use crate::clock;
use crate::config::Config;
use crate::keyspace::{HashKey, Keyspace};
use crate::random;
use crate::state::persistence::{Beside, Loading};
use crate::state::stream::Stream;
use crate::types::limits;
use loader::Loader;

/// What has been loaded, to be put into the serving node.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) keyspace: Keyspace,
    pub(super) beside: Beside,
    pub(super) stream: Stream,
    pub(super) writer: Option<LogWriter>,
    keys: u64,
    expired: u64,
}

/// An empty keyspace as `config` wants it.
pub(super) fn empty_keyspace(config: &Config) -> Keyspace {
    let mut keyspace = Keyspace::new(config.databases, HashKey::random(), random::seed());
    keyspace.settings.limits = limits(config);
    keyspace
}

/// A fresh replication id.
pub(super) fn new_id() -> ReplicationId {
    ReplicationId::from_bytes(&random::hex_id()).expect("an id is 40 hex digits")
}

/// Loads what the configuration says: the log where `appendonly` is on, else the snapshot.
///
/// # Errors
/// In a sentence for the operator. Nothing on disk has changed, or only as the plan said.
pub(super) fn load(shared: &Shared, config: &Config) -> Result<Loaded, String> {
    let storage = storage(config);
    let loaded = match config.appendonly {
        true => load_log(shared, config, &storage),
        false => load_rdb(shared, config, &storage),
    }?;
    refuse_databases(config, &loaded.keyspace)?;
    Ok(loaded)
}

/// Loads the log and opens it for appending.
fn load_log(
    shared: &Shared,
    config: &Config,
    storage: &Arc<dyn Storage>,
) -> Result<Loaded, String> {
    shared.log_lock.take(config)?;
    let started_us = clock::mono_us();
    let options = Options {
        names: log_names(config),
        load_truncated: config.aof_load_truncated,
        keep_history: config.aof_disable_auto_gc,
        retain: config.repl_backlog_disk_size,
    };
    let plan = recovery::plan(storage, &options).map_err(|error| error.to_string())?;
    for line in plan.to_string().lines() {
        tracing::info!("{line}");
    }
    refuse_to_forget(config, storage, &plan)?;
    begin_progress(shared, plan.bytes());
    // A log is as new as what was in memory.
    announce(shared, plan.offset.0, (!plan.is_empty()).then_some(0));
    let mut loader = Loader::new(shared, config, true);
    for step in &plan.steps {
        loader.step(storage, step).map_err(|error| format!("{}: {error}", step.name))?;
    }
    let lineage = match plan.lineage {
        // A replica adds nothing of its own: whatever of its primary's history it holds, it may go on from.
        Some(lineage) if is_replica(shared, config) && plan.lineage_end == plan.offset => lineage,
        _ => plan.successor(new_id()),
    };
    let writer = recovery::carry_out(storage, &plan, lineage, Salts::random())
        .map_err(|error| error.to_string())?;
    let mut stream = stream_of(&plan, &writer);
    if is_replica(shared, config) {
        stream.db = Some(loader.replay.db());
        stream.is_told = true;
    }
    let seconds = (clock::mono_us() - started_us) as f64 / 1e6;
    if !plan.is_empty() {
        tracing::info!("DB loaded from append only file: {seconds:.3} seconds");
    }
    loader.finish(stream, Some(writer))
}

/// The cluster hears what the node has before all of it is loaded: a primary that has less must know, and one that has all
/// must not wait. `age_ms`: how old that is; None: there is nothing.
fn announce(shared: &Shared, offset: u64, age_ms: Option<u64>) {
    let now_ms = clock::now().mono_ms();
    let state = &mut shared.node.lock().state;
    state.note_loaded_age(now_ms, age_ms);
    state.stream.end = offset;
}

/// A folder with a snapshot and no log: whoever switched the log on in the settings wants the data, and an empty start
/// would end with a snapshot that overwrites them.
fn refuse_to_forget(
    config: &Config,
    storage: &Arc<dyn Storage>,
    plan: &Plan,
) -> Result<(), String> {
    let name = &config.dbfilename;
    let size = storage.size(name).map_err(|error| format!("{name}: {error}"))?;
    if !plan.steps.is_empty() || size.unwrap_or(0) == 0 {
        return Ok(());
    }
    Err(format!(
        "{name} is here, but no log, and appendonly is yes: its data would be passed over. Start with --appendonly no and switch the log on with CONFIG SET appendonly yes, or move the file away. No data were changed"
    ))
}

/// Whether the node that loads is a replica: the cluster's configuration says so, or the settings.
fn is_replica(shared: &Shared, config: &Config) -> bool {
    match &shared.node.lock().state.cluster {
        Some(membership) => membership.core.peers().me().is_replica(),
        None => config.replicaof.is_some(),
    }
}

/// Clusters have one database.
fn refuse_databases(config: &Config, keyspace: &Keyspace) -> Result<(), String> {
    let others = 1..keyspace.db_count();
    let used = |db: &u32| keyspace.db(*db).is_some_and(|database| !database.is_empty());
    match others.into_iter().find(used).filter(|_| config.cluster_enabled) {
        Some(db) => Err(format!(
            "You can't have keys in a DB different than DB 0 when in Cluster mode: there are some in DB {db}. Exiting."
        )),
        None => Ok(()),
    }
}

/// The stream goes on where the log ends.
fn stream_of(plan: &Plan, writer: &LogWriter) -> Stream {
    let lineage = writer.lineage();
    let mut stream = Stream::new(lineage.id.to_string());
    if !lineage.id2.is_none() {
        stream.former = Some((lineage.id2.to_string(), lineage.off2.0));
    }
    stream.end = plan.offset.0;
    stream.recording = true;
    stream
}

/// Loads the snapshot, if there is one.
fn load_rdb(
    shared: &Shared,
    config: &Config,
    storage: &Arc<dyn Storage>,
) -> Result<Loaded, String> {
    let started_us = clock::mono_us();
    let mut stream = Stream::new(new_id().to_string());
    let name = &config.dbfilename;
    let mut loader = Loader::new(shared, config, false);
    let size = storage.size(name).map_err(|error| format!("{name}: {error}"))?;
    if let Some(size) = size {
        begin_progress(shared, size);
        let contents = storage.read(name).map_err(|error| format!("{name}: {error}"))?;
        let facts = SnapshotFacts::of(&contents);
        // Where the stream goes on, whoever follows it has the expired keys too: a DEL says when they go.
        loader.keeps_expired = facts.history.is_some();
        let made_ms = facts.made_s.map(|made_s| made_s.saturating_mul(1000));
        let age_ms = made_ms.map(|made_ms| clock::now().unix_ms().saturating_sub(made_ms));
        let offset = facts.history.as_ref().map(|(_, offset)| *offset);
        announce(shared, offset.unwrap_or(0), offset.and(age_ms));
        loader.snapshot(&contents).map_err(|error| {
            format!(
                "Fatal error loading the DB, check server logs. {name}: {error}. Nothing was changed. 'highwater check \
                 rdb FILE' looks into it; restore it from a copy, or move it away to start with empty data"
            )
        })?;
        resume(&mut stream, &facts, is_replica(shared, config));
        let seconds = (clock::mono_us() - started_us) as f64 / 1e6;
        tracing::info!("DB loaded from disk: {seconds:.3} seconds");
    } else {
        announce(shared, 0, None);
    }
    loader.finish(stream, None)
}

/// The stream goes on where a snapshot was cut. A replica keeps the id of its primary's history; a primary, which may have
/// written more than the snapshot holds, takes a new one.
fn resume(stream: &mut Stream, facts: &SnapshotFacts, is_replica: bool) {
    let Some((id, offset)) = facts.history.clone() else { return };
    stream.end = offset;
    if is_replica {
        stream.id = id;
        stream.is_told = true;
        stream.db = facts.db;
    } else {
        stream.former = Some((id, offset));
    }
}

/// What a snapshot says of the stream behind it.
#[derive(Debug, Default)]
pub(super) struct SnapshotFacts {
    /// Id and offset of the history whose state it holds.
    history: Option<(String, u64)>,
    /// The database that the stream is in.
    pub(super) db: Option<u32>,
    /// When it was made, seconds since 1970.
    made_s: Option<u64>,
}

impl SnapshotFacts {
    /// Of a snapshot. Damage is reported by whoever loads it, with more to say about it.
    pub(super) fn of(snapshot: &[u8]) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let (mut facts, mut id, mut offset) = (Self::default(), None, None);
        let mut reader = SnapshotReader::new(snapshot);
        while let Ok(Some(event)) = reader.next() {
            match event {
                Event::Header { .. } => {}
                Event::Aux { key: b"repl-stream-db", value } => facts.db = text(value).parse().ok(),
                Event::Aux { key: b"ctime", value } => facts.made_s = text(value).parse().ok(),
                Event::Aux { key: b"repl-id", value } => {
                    id = ReplicationId::from_bytes(value).ok().map(|id| id.to_string());
                }
                Event::Aux { key: b"repl-offset", value } => offset = text(value).parse().ok(),
                Event::Aux { .. } => {}
                _ => break,
            }
        }
        facts.history = id.zip(offset);
        facts
    }
}

/// Loads a snapshot that a primary has sent. Expired keys stay: the primary says when they go.
///
/// # Errors
/// In a sentence for the operator.
pub(super) fn load_received(
    shared: &Shared,
    config: &Config,
    snapshot: &[u8],
) -> Result<(Keyspace, Beside), String> {
    begin_progress(shared, snapshot.len() as u64);
    let mut loader = Loader::new(shared, config, true);
    loader.snapshot(snapshot).map_err(|error| {
        format!("Failed trying to load the MASTER synchronization DB from disk: {error}")
    })?;
    let loaded = loader.finish(Stream::new(new_id().to_string()), None)?;
    Ok((loaded.keyspace, loaded.beside))
}

fn begin_progress(shared: &Shared, total_bytes: u64) {
    let started_s = clock::now().unix_s();
    let mut node = shared.node.lock();
    let serves = node.state.persistence.loading.is_some_and(|loading| loading.serves);
    node.state.persistence.loading =
        Some(Loading { started_s, total_bytes, loaded_bytes: 0, serves });
}

/// Reads the data from disk once more; the log stays open as it is.
///
/// # Errors
/// In a sentence for the operator.
pub(super) fn read_again(
    shared: &Shared,
    config: &Config,
    log: bool,
) -> Result<(Keyspace, Beside), String> {
    let storage = storage(config);
    // Expired keys stay where there is a log: it has to be told when they go.
    let mut loader = Loader::new(shared, config, log || shared.committer.is_on());
    if log {
        let options = Options {
            names: log_names(config),
            load_truncated: false,
            keep_history: true,
            retain: 0,
        };
        let plan = recovery::plan(&storage, &options).map_err(|error| error.to_string())?;
        begin_progress(shared, plan.bytes());
        for step in &plan.steps {
            loader.step(&storage, step).map_err(|error| format!("{}: {error}", step.name))?;
        }
    } else {
        let name = &config.dbfilename;
        let contents = storage.read(name).map_err(|error| format!("{name}: {error}"))?;
        begin_progress(shared, contents.len() as u64);
        loader.snapshot(&contents).map_err(|error| format!("{name}: {error}"))?;
    }
    let loaded = loader.finish(Stream::new(new_id().to_string()), None)?;
    Ok((loaded.keyspace, loaded.beside))
}

/// Puts what was loaded into the serving node, which stops answering `-LOADING`.
pub(super) fn install(shared: &Arc<Shared>, loaded: Loaded) {
    let logs = loaded.writer.is_some();
    if let Some(writer) = loaded.writer {
        shared.committer.open(shared, writer, true);
    }
    let sizes = shared.committer.sizes();
    let mut node = shared.node.lock();
    let old = std::mem::replace(&mut node.state.keyspace, loaded.keyspace);
    node.state.set_beside(loaded.beside);
    node.state.stream = loaded.stream;
    let persistence = &mut node.state.persistence;
    persistence.loading = None;
    persistence.dirty = 0;
    persistence.load_keys_loaded = loaded.keys;
    persistence.load_keys_expired = loaded.expired;
    persistence.aof_enabled = logs;
    if let Some((current, _)) = sizes {
        persistence.aof_current_size = current;
        persistence.aof_base_size = current;
    }
    node.apply_settings();
    node.claim_loaded_slots();
    node.resume_jobs();
    let extra = super::driver::collect(&mut node);
    drop(node);
    if let Some(extra) = extra {
        super::driver::carry_out(shared, extra);
    }
    drop(old);
}
