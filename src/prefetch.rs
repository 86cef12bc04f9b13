//! Fetching memory ahead of its use: where several lookups are known in advance (a pipeline, a command with many keys), their
//! waits for memory can overlap.

#![expect(unsafe_code, reason = "the prefetch instruction is an unsafe intrinsic")]

/// Bytes that processors fetch at a time.
pub const LINE: usize = 64;

/// Asks the processor to fetch the cache line at `place`. A hint: nothing happens on processors without.
#[inline]
pub fn prefetch<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction reads nothing; any address may be given, even one that is not mapped.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
