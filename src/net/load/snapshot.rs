//! Loading a snapshot.

use std::io::Read;

use highwater_persistence::snapshot::{Event, ReaderOptions, SnapshotReader};

use super::loader::Loader;
use crate::keyspace::{Entry, KeyRef, Value};
use crate::types::convert::{Built, ValueBuilder};

impl Loader<'_> {
    /// Loads a snapshot; returns its length in bytes.
    pub(super) fn snapshot(&mut self, bytes: &[u8]) -> Result<u64, String> {
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
                    self.progress.count(at);
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
}
