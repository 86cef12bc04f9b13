//! How far the log has come, and which replies may leave because of it.
//!
//! ```text
//!   written >= durable        everysec, no: released = written        always: released = durable
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::choices::AppendFsync;

/// Offsets of the log that threads tell each other. `released` is what everybody reads; it is computed from the others.
#[derive(Debug)]
pub(super) struct Progress {
    written: AtomicU64,
    durable: AtomicU64,
    released: AtomicU64,
    policy: AtomicU64,
    /// The log is on, and acknowledgements wait for it.
    on: AtomicBool,
    /// Nothing is synced for the time being (`no-appendfsync-on-rewrite`).
    suspended: AtomicBool,
    /// Makes one step of computing `released` and storing it. Without that a thread that has computed an older value
    /// could store it last, and replies would wait for an offset that has long been written.
    deciding: Mutex<()>,
}

impl Progress {
    /// The log is off: everything is released.
    pub(super) fn new(policy: AppendFsync) -> Self {
        Self {
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            released: AtomicU64::new(u64::MAX),
            policy: AtomicU64::new(policy as u64),
            on: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            deciding: Mutex::new(()),
        }
    }

    /// Offset up to which replies may leave.
    #[inline]
    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::SeqCst)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    /// Whether something is written and not synced.
    pub(super) fn is_behind(&self) -> bool {
        self.written() > self.durable()
    }

    /// Whether a reply waits for a sync.
    #[inline]
    pub(super) fn is_always(&self) -> bool {
        self.policy.load(Ordering::SeqCst) == AppendFsync::Always as u64 && !self.is_suspended()
    }

    /// Whether syncs run by the clock.
    pub(super) fn is_every_second(&self) -> bool {
        self.policy.load(Ordering::SeqCst) == AppendFsync::EverySec as u64 && !self.is_suspended()
    }

    fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::SeqCst)
    }

    /// Suspends syncs, or takes them up again. While they are suspended replies wait for the write alone, under
    /// `always` too, as with stock.
    pub(super) fn suspend_syncs(&self, suspend: bool) {
        let _step = self.deciding.lock();
        self.suspended.store(suspend, Ordering::SeqCst);
        self.decide();
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// A log that is written and durable up to `end`.
    pub(super) fn start_at(&self, end: u64) {
        self.written.store(end, Ordering::SeqCst);
        self.durable.store(end, Ordering::SeqCst);
    }

    /// The log has been written up to `end`. Told by the one who commits only.
    pub(super) fn note_written(&self, end: u64) {
        self.written.store(end, Ordering::SeqCst);
    }

    /// The log is durable up to `end`.
    pub(super) fn note_durable(&self, end: u64) {
        self.durable.fetch_max(end, Ordering::SeqCst);
    }

    /// Changes `appendfsync`. What was released stays so for those who have looked already.
    pub(super) fn set_policy(&self, policy: AppendFsync) {
        let _step = self.deciding.lock();
        self.policy.store(policy as u64, Ordering::SeqCst);
        self.decide();
    }

    /// Switches waiting on or off; when it is off everything is released.
    pub(super) fn set_on(&self, on: bool) {
        let _step = self.deciding.lock();
        self.on.store(on, Ordering::SeqCst);
        self.decide();
    }

    /// Recomputes what may leave. Whether that has changed.
    pub(super) fn release(&self) -> bool {
        let _step = self.deciding.lock();
        self.decide()
    }

    fn decide(&self) -> bool {
        let released = match (self.is_on(), self.is_always()) {
            (false, _) => u64::MAX,
            (true, true) => self.durable(),
            (true, false) => self.written(),
        };
        self.released.swap(released, Ordering::SeqCst) != released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_says_what_is_released() {
        let progress = Progress::new(AppendFsync::EverySec);
        assert_eq!(progress.released(), u64::MAX, "the log is off");
        progress.start_at(10);
        progress.set_on(true);
        assert_eq!(progress.released(), 10);
        progress.note_written(20);
        assert!(progress.release());
        assert!(!progress.release());
        assert_eq!((progress.released(), progress.is_behind()), (20, true));
        progress.set_policy(AppendFsync::Always);
        assert_eq!(progress.released(), 10, "what is not durable waits from now on");
        progress.note_durable(15);
        progress.note_durable(12);
        assert!(progress.release());
        assert_eq!(progress.released(), 15);
        progress.suspend_syncs(true);
        assert_eq!((progress.released(), progress.is_always()), (20, false), "no syncs for now");
        progress.suspend_syncs(false);
        assert_eq!((progress.released(), progress.is_always()), (15, true));
        progress.set_policy(AppendFsync::No);
        assert_eq!(progress.released(), 20);
        progress.set_on(false);
        assert_eq!(progress.released(), u64::MAX);
    }

    #[test]
    fn released_does_not_go_back_when_threads_release_at_once() {
        let progress = Progress::new(AppendFsync::No);
        progress.start_at(0);
        progress.set_on(true);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 20_000 {
                        progress.release();
                        let released = progress.released();
                        assert!(released >= last, "{released} after {last}");
                        last = released;
                    }
                });
            }
            for end in 1..=20_000 {
                progress.note_written(end);
                progress.release();
            }
        });
    }
}
