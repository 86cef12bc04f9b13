//! The allocator, counted.
//!
//! `maxmemory` needs to know after each write how much memory the process holds. Asking the allocator costs
//! microseconds; counting what passes costs about a nanosecond, if each thread counts for itself and adds to the
//! common number only when [`FLUSH_BYTES`] have gathered.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

#[cfg(not(feature = "jemalloc"))]
use std::alloc::System as Inner;
#[cfg(feature = "jemalloc")]
use tikv_jemallocator::Jemalloc as Inner;

/// Bytes a thread keeps to itself before it adds them to the common count, and so the most by which
/// [`used_memory`] is off per other thread.
pub const FLUSH_BYTES: i64 = 64 * 1024;

static USED_BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    // Const and without a destructor, so that reaching it neither allocates nor checks for a first use.
    static PENDING_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// The allocator of the process: jemalloc (or the system's, without the feature) with a count.
#[derive(Debug)]
struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Bytes allocated and not yet freed, rounded up to size classes. Memory that other threads took or gave back
/// in the last [`FLUSH_BYTES`] may be missing.
pub fn used_memory() -> usize {
    let pending = PENDING_BYTES.with(Cell::get);
    usize::try_from(USED_BYTES.load(Ordering::Relaxed) + pending).unwrap_or(0)
}

/// Adds what this thread keeps to itself to the common count: a thread that has done much does so before it ends.
pub fn settle() {
    let pending = PENDING_BYTES.with(|pending| pending.replace(0));
    USED_BYTES.fetch_add(pending, Ordering::Relaxed);
}

/// What an `Arc` has in front of its value: two counters.
pub const ARC_BYTES: usize = 2 * size_of::<usize>();

/// Memory of an `Arc` of `T`.
pub const fn arc_bytes<T>() -> usize {
    size_class(ARC_BYTES + size_of::<T>())
}

/// Bytes handed out, in pages in use, and in main memory, as the allocator counts them. `None` without jemalloc.
#[cfg(feature = "jemalloc")]
pub fn totals() -> Option<(u64, u64, u64)> {
    use tikv_jemalloc_ctl::{epoch, stats};
    // The figures are those of the moment at which the epoch was last advanced.
    epoch::advance().ok()?;
    let figures = (stats::allocated::read(), stats::active::read(), stats::resident::read());
    Some((figures.0.ok()? as u64, figures.1.ok()? as u64, figures.2.ok()? as u64))
}

/// Bytes handed out, in pages in use, and in main memory, as the allocator counts them. `None` without jemalloc.
#[cfg(not(feature = "jemalloc"))]
pub fn totals() -> Option<(u64, u64, u64)> {
    None
}

/// What the allocator says of itself, for people.
pub fn statistics() -> String {
    match totals() {
        Some((allocated, active, resident)) => {
            format!("Allocated: {allocated}, active: {active}, resident: {resident}\n")
        }
        None => "Stats not supported for the current allocator".to_owned(),
    }
}

/// What an allocation of `bytes` really takes: jemalloc's size classes, sixteen apart up to 128, then four
/// to each doubling; whole pages from 16 KiB on.
#[inline]
pub const fn size_class(bytes: usize) -> usize {
    if bytes <= 8 {
        return 8;
    }
    let step = match (bytes - 1).ilog2() {
        ..7 => 16,
        doubling @ ..14 => 1 << (doubling - 2),
        _ => 4096,
    };
    (bytes + step - 1) & !(step - 1)
}

#[inline]
fn count(bytes: i64) {
    // A thread that is past its end counts directly; with a const cell this does not happen in practice.
    let counted = PENDING_BYTES.try_with(|pending| {
        let sum = pending.get() + bytes;
        if sum.abs() < FLUSH_BYTES {
            pending.set(sum);
        } else {
            pending.set(0);
            USED_BYTES.fetch_add(sum, Ordering::Relaxed);
        }
    });
    if counted.is_err() {
        USED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[inline]
fn class_of(layout: &Layout) -> i64 {
    size_class(layout.size()).cast_signed() as i64
}

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract; counting touches neither the
// memory nor the layout, and does not allocate.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let memory = unsafe { Inner.alloc(layout) };
        if !memory.is_null() {
            count(class_of(&layout));
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let memory = unsafe { Inner.alloc_zeroed(layout) };
        if !memory.is_null() {
            count(class_of(&layout));
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { Inner.dealloc(memory, layout) };
        count(-class_of(&layout));
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        let moved = unsafe { Inner.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(size_class(size).cast_signed() as i64 - class_of(&layout));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        let check = |bytes, class| assert_eq!(size_class(bytes), class, "{bytes}");
        check(0, 8);
        check(1, 8);
        check(8, 8);
        check(9, 16);
        check(16, 16);
        check(17, 32);
        check(56, 64);
        check(65, 80);
        check(128, 128);
        check(129, 160);
        check(256, 256);
        check(257, 320);
        check(4096, 4096);
        check(4097, 5120);
        check(1 << 20, 1 << 20);
        check((1 << 20) + 1, (1 << 20) + 4096);
    }

    #[cfg(feature = "jemalloc")]
    #[test]
    fn size_classes_agree_with_the_allocator() {
        let check = |bytes: usize, align: usize| {
            let layout = Layout::from_size_align(bytes, align).unwrap();
            // SAFETY: the layout is not empty; the memory is given back with it and not used in between.
            unsafe {
                let memory = GLOBAL.alloc(layout);
                let usable = tikv_jemallocator::usable_size(memory);
                GLOBAL.dealloc(memory, layout);
                assert_eq!(usable, size_class(bytes), "{bytes} bytes aligned to {align}");
            }
        };
        for bytes in
            (1..3000).chain((3000..300_000).step_by(97)).chain((300_000..9_000_000).step_by(99_991))
        {
            check(bytes, 8);
        }
        // Arrays of buckets.
        for buckets in 1..1200 {
            check(buckets * 64, 64);
        }
    }

    #[test]
    fn large_allocations_show_at_once() {
        let before = used_memory();
        let block = vec![1u8; 64 << 20];
        let during = used_memory();
        drop(block);
        let after = used_memory();
        // Other tests run beside this one: the block is larger than anything they hold.
        assert!(during > before + (48 << 20), "{before} {during}");
        assert!(after + (48 << 20) < during, "{during} {after}");
    }
}
