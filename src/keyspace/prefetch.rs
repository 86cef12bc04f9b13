//! Fetching entries ahead of their use.
//!
//! A lookup in a large keyspace waits three times for memory: for the slot, the bucket, the entry. When several
//! keys are known in advance (a pipeline, a command with many keys), the waits can overlap.

use super::Keyspace;
use super::key::KeyRef;
use crate::prefetch::prefetch;

impl Keyspace {
    /// Fetches what lookups of `keys` will need. Worth it from two keys on; more than about thirty at a time do
    /// not fit the processor's queues and first-level cache.
    pub fn prefetch(&self, db: u32, keys: &[KeyRef<'_>]) {
        let Some(database) = self.db(db) else { return };
        for key in keys {
            prefetch(database.slot(key.slot));
        }
        for key in keys {
            database.slot(key.slot).table.prefetch_bucket(key.hash);
        }
        for key in keys {
            database.slot(key.slot).table.prefetch_entry(key.hash);
        }
    }
    /// As [`Keyspace::prefetch`], for keys that are likely to be new: what the tables move when they grow is fetched
    /// too.
    pub fn prefetch_new(&self, db: u32, keys: &[KeyRef<'_>]) {
        let Some(database) = self.db(db) else { return };
        for key in keys {
            prefetch(database.slot(key.slot));
        }
        for key in keys {
            let table = &database.slot(key.slot).table;
            table.prefetch_bucket(key.hash);
            table.prefetch_split();
        }
        for key in keys {
            let table = &database.slot(key.slot).table;
            table.prefetch_entry(key.hash);
            table.prefetch_moved();
        }
    }
}
