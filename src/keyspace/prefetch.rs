//! Fetching memory ahead of its use.
//!
//! A lookup in a large keyspace waits three times for memory: for the slot, the bucket, the entry. When several
//! keys are known in advance (a pipeline, a command with many keys), the waits can overlap.

#![expect(unsafe_code, reason = "the prefetch instruction is an unsafe intrinsic")]

use super::Keyspace;
use super::key::KeyRef;

/// Asks the processor to fetch the cache line at `place`. A hint: nothing happens on processors without.
#[inline]
pub(super) fn prefetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction reads nothing; any address may be given, even one that is not mapped.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

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
