//! Loading a snapshot, on all cores where it is large.
//!
//! The thread that reads the file looks for the keys, for what is said of each, and for the end of its value. It does
//! not look into the values: it deals the keys out, by their slots, to workers that do, and that store them. On one core,
//! and for small files, the same thread stores what it finds, some keys at a time.
//!
//! The error that is told is the first of the file. A worker stops at its first, and the reader when it notices that.
//! All keys that the reader has dealt out stand in front of what it stumbles over itself, so its own error counts only
//! if no worker has one. A key whose value has no end that the reader could find is dealt out all the same: reading the
//! value tells what is wrong with it.

use std::sync::mpsc::Receiver;

use highwater_persistence::snapshot::{Event, RawValue, ReaderOptions, SnapshotReader};

use super::batch::AHEAD;
use super::crew::{self, Deal};
use super::records::{Counts, Failure, Head, Key, Records, Storer};
use crate::keyspace::{AccessClock, Keyspace, SLOT_COUNT, Slot, part_of};
use crate::migration::Note;

/// A key takes at least this much of a file: its type, and a length and a byte in either of key and value.
const RECORD_BYTES_MIN: u64 = 4;

/// What a snapshot held, beside its keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Length of the snapshot in bytes: more may follow in the file.
    pub(super) size: u64,
    pub(super) functions: Vec<Vec<u8>>,
    /// What it says of slots on their way.
    pub(super) notes: Vec<Note>,
    pub(super) counts: Counts,
}

/// How a snapshot is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) workers: usize,
    pub(super) now_ms: u64,
    /// Expired keys are kept: the log behind says when they go. Otherwise they are dropped.
    pub(super) keeps_expired: bool,
}

impl Plan {
    /// Loads the snapshot at the beginning of `bytes` into `keyspace`. `count` is told the position of each key.
    ///
    /// # Errors
    /// The first of the file, in a sentence. What has been loaded until then is of no use.
    pub(super) fn load(
        self,
        keyspace: &mut Keyspace,
        bytes: &[u8],
        mut count: impl FnMut(u64),
    ) -> Result<Held, String> {
        let mut held = Held::default();
        let mut finder = Finder {
            plan: self,
            bytes,
            databases: keyspace.db_count(),
            access: keyspace.settings.access,
            held: &mut held,
            count: &mut count,
        };
        let (found, failure) =
            if self.workers < 2 { finder.alone(keyspace) } else { finder.dealing(keyspace) };
        match failure {
            Some(failure) => Err(failure.error),
            None => found.map(|()| held),
        }
    }

    fn options(bytes: &[u8]) -> ReaderOptions {
        ReaderOptions { total: Some(bytes.len() as u64), blocks: true, ..ReaderOptions::default() }
    }

    fn storer<'f>(self, keyspace: &'f mut Keyspace, bytes: &'f [u8]) -> Storer<'f> {
        let expired_before_ms = if self.keeps_expired { 0 } else { self.now_ms };
        Storer::new(keyspace, bytes, &Plan::options(bytes), expired_before_ms)
    }
}

/// Finds the keys of a snapshot.
struct Finder<'p> {
    plan: Plan,
    bytes: &'p [u8],
    databases: u32,
    access: AccessClock,
    held: &'p mut Held,
    count: &'p mut dyn FnMut(u64),
}

/// What the reader met, and what was met first by those who stored.
type Outcome = (Result<(), String>, Option<Failure>);

impl Finder<'_> {
    fn alone(&mut self, keyspace: &mut Keyspace) -> Outcome {
        let mut storer = self.plan.storer(keyspace, self.bytes);
        let mut batch = Records::new();
        let mut failure = None;
        let found = self.find(|head, key, value| {
            batch.push(head, key, value);
            if batch.len() == AHEAD || batch.is_full() {
                failure = storer.store(&batch).err();
                batch.clear();
            }
            failure.is_none()
        });
        let failure = failure.or_else(|| storer.store(&batch).err());
        self.held.counts = storer.counts;
        (found, failure)
    }

    fn dealing(&mut self, keyspace: &mut Keyspace) -> Outcome {
        let (plan, bytes) = (self.plan, self.bytes);
        let work = |mut part: Keyspace, batches: &Receiver<Records>| {
            let mut storer = plan.storer(&mut part, bytes);
            let failure = batches.iter().find_map(|batch| storer.store(&batch).err());
            let counts = storer.counts;
            (part, counts, failure)
        };
        let (found, done) = crew::on_all_cores(keyspace.split(plan.workers), work, |dealer| {
            self.find(|head, key, value| {
                let part = part_of(head.slot, dealer.parts());
                dealer.put(part, |batch: &mut Records| batch.push(head, key, value))
            })
        });
        let mut parts = Vec::new();
        let mut failures = Vec::new();
        for (part, counts, failure) in done {
            parts.push(part);
            self.held.counts.stored += counts.stored;
            self.held.counts.expired += counts.expired;
            failures.extend(failure);
        }
        keyspace.join(parts);
        (found, failures.into_iter().min_by_key(|failure| failure.position))
    }

    /// Reads the file and gives its keys to `put`, until that says that no more are wanted.
    fn find(&mut self, mut put: impl FnMut(Head, Key<'_>, RawValue) -> bool) -> Result<(), String> {
        let mut reader = SnapshotReader::with_options(self.bytes, &Plan::options(self.bytes));
        let mut key_bytes = Vec::new();
        let (mut db, mut room) = (0, 0);
        let mut keys_left = self.bytes.len() as u64 / RECORD_BYTES_MIN;
        loop {
            let at = reader.offset();
            let Some(event) = reader.next().map_err(|error| error.to_string())? else { break };
            match event {
                Event::SelectDb(number) => (db, room) = (self.check_db(number)?, 0),
                Event::ResizeDb { keys, .. } => room = self.room(keys, at, &mut keys_left),
                Event::Function(code) => self.held.functions.push(code.to_vec()),
                Event::Aux { key: b"hw-slots", value } => {
                    self.held.notes.extend(Note::parse(value));
                }
                Event::ModuleAux { module } => {
                    tracing::warn!("data of module '{}' was passed over", module.name());
                }
                Event::Key { key, expires_ms, idle_s, freq } => {
                    key_bytes.clear();
                    key_bytes.extend_from_slice(key);
                    let head = Head {
                        db,
                        slot: Slot::of(&key_bytes),
                        expires_ms: expires_ms.map(|when| u64::try_from(when).unwrap_or(0)),
                        access: self.access(idle_s, freq),
                        room,
                    };
                    (self.count)(at);
                    let (value, passed) = reader.pass_value();
                    let wanted = put(head, Key::find(self.bytes, &key_bytes, &value), value);
                    passed.map_err(|error| error.to_string())?;
                    if !wanted {
                        break;
                    }
                }
                _ => {}
            }
        }
        self.held.size = reader.offset();
        Ok(())
    }

    fn check_db(&self, number: u32) -> Result<u32, String> {
        let databases = self.databases;
        if number < databases {
            return Ok(number);
        }
        Err(format!(
            "FATAL: Data file was created with a Redis server configured to handle more than {databases} databases. Exiting"
        ))
    }

    /// How many keys a slot of a database will hold in the mean, if the database has as many as the file says.
    fn room(&self, keys: u64, at: u64, keys_left: &mut u64) -> u16 {
        // What is left of the file bounds what a lie can cost: four times as much memory, in slots that have keys. All
        // databases share one file, so what is granted to one is not there for the next.
        let keys_max = (self.bytes.len() as u64).saturating_sub(at) / RECORD_BYTES_MIN;
        let granted = keys.min(keys_max).min(*keys_left);
        *keys_left -= granted;
        u16::try_from(granted / SLOT_COUNT as u64).unwrap_or(u16::MAX)
    }

    /// The access clock of a key: what the snapshot says of it, where that is of the kind that the policy in force
    /// keeps, else that of a key just made.
    fn access(&self, idle_s: Option<u64>, freq: Option<u8>) -> u32 {
        let now_ms = self.plan.now_ms;
        let told = if self.access.lfu {
            freq.map(|counter| self.access.with_frequency(counter, now_ms))
        } else {
            idle_s.map(|idle_s| self.access.with_idle(idle_s, now_ms))
        };
        told.unwrap_or_else(|| self.access.fresh(now_ms))
    }
}

#[cfg(test)]
mod tests;
