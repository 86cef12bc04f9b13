//! Loading at the start: plan, load, carry out. Runs on a thread of its own while clients are answered `-LOADING`.

use std::io::Read;
use std::sync::Arc;

use highwater_persistence::log::reader::{Entries, EntryKind};
use highwater_persistence::log::{LogWriter, ReplicationId, Salts};
use highwater_persistence::recovery::{self, Options, Plan, Step, StepKind};
use highwater_persistence::snapshot::{Event, ReaderOptions, SnapshotReader};
use highwater_persistence::storage::Storage;

use super::shared::Shared;
use super::walks::{log_names, storage};
use crate::clock;
use crate::config::Config;
use crate::keyspace::{Entry, HashKey, KeyRef, Keyspace, Value};
use crate::node::Node;
use crate::node::replay::Replay;
use crate::random;
use crate::resp::Args;
use crate::state::persistence::Loading;
use crate::state::run::Run;
use crate::state::stream::Stream;
use crate::types::convert::{Built, ValueBuilder};

/// Commands read ahead of being played.
const AHEAD: usize = 16;

/// Entries between two reports of progress.
const REPORT_ENTRIES: u64 = 65_536;

/// What has been loaded, to be put into the serving node.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) keyspace: Keyspace,
    pub(super) functions: Vec<Vec<u8>>,
    pub(super) stream: Stream,
    pub(super) writer: Option<LogWriter>,
    keys: u64,
    expired: u64,
}

/// An empty keyspace as `config` wants it.
pub(super) fn empty_keyspace(config: &Config) -> Keyspace {
    Keyspace::new(config.databases, HashKey::random(), random::seed())
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
    if config.appendonly {
        load_log(shared, config, &storage)
    } else {
        load_rdb(shared, config, &storage)
    }
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
    };
    let plan = recovery::plan(storage, &options).map_err(|error| error.to_string())?;
    for line in plan.to_string().lines() {
        tracing::info!("{line}");
    }
    begin_progress(shared, plan.bytes());
    let mut loader = Loader::new(shared, config, true);
    for step in &plan.steps {
        loader.step(storage, step).map_err(|error| format!("{}: {error}", step.name))?;
    }
    let lineage = plan.successor(new_id());
    let writer = recovery::carry_out(storage, &plan, lineage, Salts::random())
        .map_err(|error| error.to_string())?;
    let stream = stream_of(&plan, &writer);
    let seconds = (clock::mono_us() - started_us) as f64 / 1e6;
    if !plan.is_empty() {
        tracing::info!("DB loaded from append only file: {seconds:.3} seconds");
    }
    loader.finish(stream, Some(writer))
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
    let stream = Stream::new(new_id().to_string());
    let name = &config.dbfilename;
    let mut loader = Loader::new(shared, config, false);
    let size = storage.size(name).map_err(|error| format!("{name}: {error}"))?;
    if let Some(size) = size {
        begin_progress(shared, size);
        let contents = storage.read(name).map_err(|error| format!("{name}: {error}"))?;
        loader.snapshot(&contents).map_err(|error| {
            format!("Fatal error loading the DB, check server logs. {name}: {error}")
        })?;
        let seconds = (clock::mono_us() - started_us) as f64 / 1e6;
        tracing::info!("DB loaded from disk: {seconds:.3} seconds");
    }
    loader.finish(stream, None)
}

fn begin_progress(shared: &Shared, total_bytes: u64) {
    let started_s = clock::now().unix_s();
    let mut node = shared.node.lock();
    node.state.persistence.loading = Some(Loading { started_s, total_bytes, loaded_bytes: 0 });
}

/// Commands of a log that have been read and not played.
#[derive(Default)]
struct Ahead {
    /// Position and size of each in the file, and how many arguments it has.
    commands: Vec<(usize, usize, usize)>,
    /// Where the arguments lie, counted from the command's own position.
    ranges: Vec<(u32, u32)>,
}

impl Ahead {
    /// Reads the next few commands. False: there are no more.
    fn fill(&mut self, bytes: &[u8], entries: &mut Entries<'_>) -> Result<bool, String> {
        debug_assert!(bytes.len() >= entries.position(), "the entries are of these bytes");
        self.commands.clear();
        self.ranges.clear();
        while self.commands.len() < AHEAD {
            let Some(entry) = entries.next() else { return Ok(false) };
            let entry = entry.map_err(|error| error.to_string())?;
            let EntryKind::Command { args, .. } = entry.kind else { continue };
            let relative = |place: usize| u32::try_from(place - entry.position);
            for &(start, end) in args.places() {
                let (Ok(start), Ok(end)) = (relative(start), relative(end)) else {
                    return Err(format!("a command at byte {} is too large", entry.position));
                };
                self.ranges.push((start, end));
            }
            self.commands.push((entry.position, entry.size, args.len()));
        }
        Ok(true)
    }

    /// Positions and arguments of the commands.
    fn iter<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = (usize, Args<'b>)> {
        let mut ranges = &self.ranges[..];
        self.commands.iter().map(move |&(position, size, count)| {
            let (own, rest) = ranges.split_at(count);
            ranges = rest;
            (position, Args::new(&bytes[position..position + size], own, None))
        })
    }
}

/// Loads files into a node that serves nobody.
struct Loader<'a> {
    shared: &'a Shared,
    replay: Replay,
    hash_key: HashKey,
    /// Expired keys are kept: the log says when they go. Otherwise they are dropped.
    keeps_expired: bool,
    now_ms: u64,
    /// Bytes of the steps before.
    done_bytes: u64,
    entries: u64,
    keys: u64,
    expired: u64,
    reported_percent: u64,
}

impl<'a> Loader<'a> {
    fn new(shared: &'a Shared, config: &Config, keeps_expired: bool) -> Self {
        let time = clock::now();
        let keyspace = empty_keyspace(config);
        let hash_key = keyspace.hash_key();
        let run = Run { first_replication_id: new_id().to_string(), ..Run::default() };
        let node = Node::new(config.clone(), keyspace, run, time);
        Self {
            shared,
            replay: Replay::new(node, time),
            hash_key,
            keeps_expired,
            now_ms: time.unix_ms(),
            done_bytes: 0,
            entries: 0,
            keys: 0,
            expired: 0,
            reported_percent: 0,
        }
    }

    fn step(&mut self, storage: &Arc<dyn Storage>, step: &Step) -> Result<(), String> {
        let contents = storage.read(&step.name).map_err(|error| error.to_string())?;
        let (start, end) = (narrow(step.range.start), narrow(step.range.end));
        let bytes = contents.get(..end).ok_or("the file has become shorter")?;
        let mut at = start;
        if step.kind == StepKind::Snapshot {
            at = start + narrow(self.snapshot(&bytes[start..])?);
        }
        if at < end {
            self.commands(bytes, at)?;
        }
        self.done_bytes += step.range.end - step.range.start;
        Ok(())
    }

    /// Plays commands from position `at` of a file on. They are read some ahead of being played, so that the memory
    /// of their keys can be fetched meanwhile.
    fn commands(&mut self, bytes: &[u8], at: usize) -> Result<(), String> {
        let mut entries = Entries::new(bytes, None).unverified().from_position(at);
        let mut ahead = Ahead::default();
        loop {
            let more = ahead.fill(bytes, &mut entries)?;
            self.replay.prefetch(ahead.iter(bytes).filter_map(|(_, args)| args.get(1)));
            for (position, args) in ahead.iter(bytes) {
                self.replay.command(args).map_err(|error| {
                    let name = crate::resp::errors::printable(&args[0]);
                    let error = error.text();
                    format!("Unknown command '{name}' reading the append only file at byte {position}: {error}")
                })?;
                self.count(position as u64);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Loads a snapshot; returns its length in bytes.
    fn snapshot(&mut self, bytes: &[u8]) -> Result<u64, String> {
        let options = ReaderOptions { total: Some(bytes.len() as u64), ..ReaderOptions::default() };
        let mut reader = SnapshotReader::with_options(bytes, &options);
        let mut db = 0;
        loop {
            let at = reader.offset();
            let Some(event) = reader.next().map_err(|error| error.to_string())? else { break };
            match event {
                Event::SelectDb(number) => db = self.check_db(number)?,
                Event::Function(code) => {
                    self.replay.node().state.functions.push(code.to_vec());
                }
                Event::ModuleAux { module } => {
                    tracing::warn!("data of module '{}' was passed over", module.name());
                }
                Event::Key { key, expires_ms, idle_s, freq } => {
                    let key = key.to_vec();
                    let expires_ms = expires_ms.map(|when| u64::try_from(when).unwrap_or(0));
                    let access = self.access(idle_s, freq);
                    self.value(&mut reader, (db, &key), expires_ms, access)?;
                    self.count(at);
                }
                _ => {}
            }
        }
        Ok(reader.offset())
    }

    fn check_db(&mut self, number: u32) -> Result<u32, String> {
        let databases = self.replay.node().state.keyspace.db_count();
        if number < databases {
            return Ok(number);
        }
        Err(format!(
            "FATAL: Data file was created with a Redis server configured to handle more than {databases} databases. Exiting"
        ))
    }

    /// The access clock of a key: what the snapshot says of it, where that is of the kind that the policy in force
    /// keeps, else that of a key just made.
    fn access(&mut self, idle_s: Option<u64>, freq: Option<u8>) -> u32 {
        let access = self.replay.node().state.keyspace.settings.access;
        let told = if access.lfu {
            freq.map(|counter| access.with_frequency(counter, self.now_ms))
        } else {
            idle_s.map(|idle_s| access.with_idle(idle_s, self.now_ms))
        };
        told.unwrap_or_else(|| access.fresh(self.now_ms))
    }

    /// Reads a key's value and stores it.
    fn value<R: Read>(
        &mut self,
        reader: &mut SnapshotReader<R>,
        (db, key): (u32, &[u8]),
        expires_ms: Option<u64>,
        access: u32,
    ) -> Result<(), String> {
        let at = reader.offset();
        let mut entry = match reader.next().map_err(|error| error.to_string())? {
            // The `ValueEnd` behind it is read with the next key.
            Some(Event::String(bytes)) => Entry::new(key, Value::string(bytes), expires_ms),
            Some(first) => {
                let mut builder = ValueBuilder::new(at);
                let mut built = builder.put(first).map_err(|error| error.to_string())?;
                while built.is_none() {
                    let event = reader.next().map_err(|error| error.to_string())?;
                    let event = event.ok_or("a value without an end")?;
                    built = builder.put(event).map_err(|error| error.to_string())?;
                }
                match built {
                    Some(Built::Object(object)) => {
                        Entry::new(key, Value::object(object), expires_ms)
                    }
                    // Stock servers pass over collections without elements, too.
                    _ => return Ok(()),
                }
            }
            None => return Err("a key without a value".to_owned()),
        };
        if !self.keeps_expired && expires_ms.is_some_and(|when| when < self.now_ms) {
            self.expired += 1;
            return Ok(());
        }
        entry.set_access(access);
        let key_ref = KeyRef::new(&self.hash_key, key);
        if !self.replay.node().state.keyspace.load(db, &key_ref, entry) {
            return Err(format!("Duplicated key found in RDB file: {}", key.escape_ascii()));
        }
        self.keys += 1;
        Ok(())
    }

    /// Counts an entry and reports progress every now and then; `at` is a position in the file being loaded.
    fn count(&mut self, at: u64) {
        self.entries += 1;
        if !self.entries.is_multiple_of(REPORT_ENTRIES) {
            return;
        }
        let mut node = self.shared.node.lock();
        let Some(loading) = &mut node.state.persistence.loading else { return };
        loading.loaded_bytes = (self.done_bytes + at).min(loading.total_bytes);
        let percent = loading.loaded_bytes * 100 / loading.total_bytes.max(1);
        drop(node);
        if percent >= self.reported_percent + 10 {
            self.reported_percent = percent;
            tracing::info!("Loading: {percent}% done");
        }
    }

    fn finish(self, stream: Stream, writer: Option<LogWriter>) -> Result<Loaded, String> {
        let (failed, error) = &self.replay.failed;
        if let Some(error) = error {
            tracing::warn!(
                "{failed} commands of the log answered an error, the last: {}",
                error.text()
            );
        }
        let (keys, expired) = (self.keys, self.expired);
        let mut node = self.replay.finish();
        let databases = node.state.config.databases;
        let keyspace =
            std::mem::replace(&mut node.state.keyspace, Keyspace::new(databases, self.hash_key, 0));
        let functions = std::mem::take(&mut node.state.functions);
        Ok(Loaded { keyspace, functions, stream, writer, keys, expired })
    }
}

/// Reads the data from disk once more; the log stays open as it is.
///
/// # Errors
/// In a sentence for the operator.
pub(super) fn read_again(
    shared: &Shared,
    config: &Config,
    log: bool,
) -> Result<(Keyspace, Vec<Vec<u8>>), String> {
    let storage = storage(config);
    let mut loader = Loader::new(shared, config, log);
    if log {
        let options =
            Options { names: log_names(config), load_truncated: false, keep_history: true };
        let plan = recovery::plan(&storage, &options).map_err(|error| error.to_string())?;
        for step in &plan.steps {
            loader.step(&storage, step).map_err(|error| format!("{}: {error}", step.name))?;
        }
    } else {
        let name = &config.dbfilename;
        let contents = storage.read(name).map_err(|error| format!("{name}: {error}"))?;
        loader.snapshot(&contents).map_err(|error| format!("{name}: {error}"))?;
    }
    let loaded = loader.finish(Stream::new(new_id().to_string()), None)?;
    Ok((loaded.keyspace, loaded.functions))
}

/// Puts what was loaded into the serving node, which stops answering `-LOADING`.
pub(super) fn install(shared: &Arc<Shared>, loaded: Loaded) {
    let logs = loaded.writer.is_some();
    if let Some(writer) = loaded.writer {
        shared.committer.open(writer, true);
    }
    let sizes = shared.committer.sizes();
    let mut node = shared.node.lock();
    let old = std::mem::replace(&mut node.state.keyspace, loaded.keyspace);
    node.state.functions = loaded.functions;
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
    drop(node);
    drop(old);
}

fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).expect("this machine has 64 bits")
}
