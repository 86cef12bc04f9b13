//! Fetching records ahead of their use.
//!
//! A lookup in a large table waits for memory three times: for the place of the page, for its columns, for the record.

use smallvec::SmallVec;

use super::{Pages, fingerprint, hash};
use crate::prefetch::prefetch;

/// Below so many bytes the processor's caches hold the table, and fetching ahead costs more than it saves.
const BYTES_MIN: usize = 1 << 20;

/// Keys for which there is room without an allocation.
const KEYS: usize = 16;

impl<const VALUES: bool> Pages<VALUES> {
    /// Fetches what lookups and changes of some records will need. Worth it from two keys on; more than about twenty do not
    /// fit the processor's queues.
    pub(in crate::types) fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        if self.page_bytes < BYTES_MIN {
            return;
        }
        let hashes: SmallVec<[u64; KEYS]> = keys.map(hash).collect();
        let page = |hash| self.directory.page(self.directory.index(hash));
        for &hash in &hashes {
            prefetch(page(hash));
        }
        for &hash in &hashes {
            page(hash).prefetch_columns();
        }
        for &hash in &hashes {
            page(hash).prefetch_record(fingerprint(hash));
        }
    }
}
