//! Fetching the entries of pipelined requests before they are executed.
//!
//! In a large keyspace a lookup mostly waits for memory. The keys of requests that arrived together are known
//! before the first of them runs, so these waits can overlap: sixteen lookups of random keys among a million take
//! 94 instead of 246 ns each.

use smallvec::SmallVec;

use crate::keyspace::{KeyRef, Keyspace};
use crate::resp::Requests;

/// Requests looked ahead at a time.
pub(super) const AHEAD: usize = 16;

/// Below this many keys the processor's caches hold the keyspace, and looking ahead costs more than it saves.
const KEYS_MIN: u64 = 50_000;

/// Longer arguments are more likely scripts than keys: hashing them twice would cost more than is saved.
const KEY_BYTES_MAX: usize = 512;

/// Fetches the keys of up to [`AHEAD`] requests from index `from` on. The first argument is taken for the key, which
/// is right for most commands and does no harm where it is wrong.
pub(super) fn prefetch(
    keyspace: &Keyspace,
    db: u32,
    (requests, buffer): (&Requests, &[u8]),
    from: usize,
) {
    let end = requests.len().min(from + AHEAD);
    if end - from < 2 || keyspace.db(db).is_none_or(|database| database.len() < KEYS_MIN) {
        return;
    }
    let requests = (from..end).filter_map(|index| requests.get(index, buffer).get(1));
    keyspace.prefetch(db, &keys(keyspace, requests));
}

/// Slots and hashes of a few keys.
pub(super) fn keys<'k>(
    keyspace: &Keyspace,
    keys: impl Iterator<Item = &'k [u8]>,
) -> SmallVec<[KeyRef<'k>; AHEAD]> {
    keys.filter(|key| key.len() <= KEY_BYTES_MAX).map(|bytes| keyspace.key(bytes)).collect()
}
