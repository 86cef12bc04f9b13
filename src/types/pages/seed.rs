//! The key of the hashes that pick a page. Random per process: SCAN shows their order, and whoever could predict them
//! could fill one page.

use std::sync::OnceLock;

use siphasher::sip::SipHasher13;

static KEY: OnceLock<SipHasher13> = OnceLock::new();

/// SipHash-1-3 of `key` under the process's key.
#[inline]
pub(in crate::types) fn hash(key: &[u8]) -> u64 {
    KEY.get_or_init(first_key).hash(key)
}

/// Makes the order of large sets and hashes that of `seed` for the whole process, for tests: to be called before there are
/// any. Says whether it came in time.
pub fn fix_order(seed: u64) -> bool {
    KEY.set(SipHasher13::new_with_keys(seed, !seed)).is_ok()
}

#[cfg(not(test))]
fn first_key() -> SipHasher13 {
    SipHasher13::new_with_key(&crate::random::hash_key())
}

#[cfg(test)]
fn first_key() -> SipHasher13 {
    SipHasher13::new_with_keys(1, !1)
}
