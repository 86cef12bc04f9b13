//! Time as values. This is the only module that asks the system for it.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment: wall time for expiry and dates, monotonic time for durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Microseconds since 1970, as the system's clock says.
    pub unix_us: u64,
    /// Microseconds since the process started; never goes back.
    pub mono_us: u64,
}

impl Time {
    /// Milliseconds since 1970.
    #[inline]
    pub fn unix_ms(self) -> u64 {
        self.unix_us / 1000
    }

    /// Seconds since 1970.
    pub fn unix_s(self) -> u64 {
        self.unix_us / 1_000_000
    }

    /// Milliseconds since the process started.
    pub fn mono_ms(self) -> u64 {
        self.mono_us / 1000
    }
}

/// Where the node's time comes from: the system's clocks, or a test.
pub trait Clock {
    /// The moment.
    fn now(&mut self) -> Time;

    /// Monotonic microseconds alone: cheaper, for measuring commands.
    fn mono_us(&mut self) -> u64 {
        self.now().mono_us
    }
}

/// The system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

static START: OnceLock<Instant> = OnceLock::new();

impl Clock for SystemClock {
    #[inline]
    fn now(&mut self) -> Time {
        Time { unix_us: unix_us(), mono_us: mono_us() }
    }

    #[inline]
    fn mono_us(&mut self) -> u64 {
        mono_us()
    }
}

/// The moment by the system's clocks.
pub fn now() -> Time {
    SystemClock.now()
}

/// Monotonic microseconds since the first call in this process.
#[expect(clippy::disallowed_methods, reason = "this module owns the clock")]
#[inline]
pub fn mono_us() -> u64 {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
}

#[expect(clippy::disallowed_methods, reason = "this module owns the clock")]
#[inline]
fn unix_us() -> u64 {
    // A clock set before 1970 counts as 1970.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
}

/// A clock that a test moves by hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualClock(pub Time);

impl ManualClock {
    /// Moves both clocks on.
    pub fn advance_ms(&mut self, ms: u64) {
        self.0.unix_us += ms * 1000;
        self.0.mono_us += ms * 1000;
    }
}

impl Clock for ManualClock {
    fn now(&mut self) -> Time {
        self.0
    }
}
