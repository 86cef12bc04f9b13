//! How fast a job sends: up to a number of bytes a second, and the figures that people are shown.

use std::time::Duration;

use crate::migration::Progress;

/// Figures are made anew so often.
const FIGURES: Duration = Duration::from_millis(500);

/// The pace of a job.
#[derive(Debug)]
pub(super) struct Pace {
    /// From when on bytes count for the limit, and how many there were.
    limited_since_us: u64,
    limited_bytes: u64,
    limit: u64,
    /// When the figures were last made, and the bytes then.
    shown_at_us: u64,
    shown_bytes: u64,
    bytes: u64,
    bytes_per_s: f64,
}

impl Pace {
    pub(super) fn new(now_us: u64) -> Self {
        Self {
            limited_since_us: now_us,
            limited_bytes: 0,
            limit: 0,
            shown_at_us: now_us,
            shown_bytes: 0,
            bytes: 0,
            bytes_per_s: 0.0,
        }
    }

    /// Bytes have been sent.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.limited_bytes += bytes;
    }

    /// How long to wait before more are sent, with `limit` bytes a second (0: no limit). All times are monotonic microseconds.
    #[expect(clippy::cast_precision_loss, reason = "bytes of one job, below 2^53")]
    pub(super) fn wait(&mut self, limit: u64, now_us: u64) -> Duration {
        if limit != self.limit {
            (self.limit, self.limited_since_us, self.limited_bytes) = (limit, now_us, 0);
        }
        if limit == 0 {
            return Duration::ZERO;
        }
        let due = Duration::from_secs_f64(self.limited_bytes as f64 / limit as f64);
        due.saturating_sub(since(self.limited_since_us, now_us))
    }

    /// The figures, whenever it is time for new ones.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for people"
    )]
    pub(super) fn figures(&mut self, progress: &mut Progress, now_us: u64) {
        progress.bytes = self.bytes;
        let passed = since(self.shown_at_us, now_us);
        if passed < FIGURES {
            return;
        }
        let rate = (self.bytes - self.shown_bytes) as f64 / passed.as_secs_f64();
        let is_first = self.bytes_per_s == 0.0;
        self.bytes_per_s = if is_first { rate } else { 0.5 * self.bytes_per_s + 0.5 * rate };
        (self.shown_at_us, self.shown_bytes) = (now_us, self.bytes);
        progress.bytes_per_s = self.bytes_per_s as u64;
        progress.eta_ms = None;
        let (done, total) = (progress.keys_done as f64, progress.keys_total as f64);
        if done > 0.0 && self.bytes_per_s > 0.0 {
            let left =
                (total - done).max(0.0) * (self.bytes as f64 / done) + progress.lag_bytes as f64;
            progress.eta_ms = Some((left / self.bytes_per_s * 1000.0) as u64);
        }
    }
}

fn since(then_us: u64, now_us: u64) -> Duration {
    Duration::from_micros(now_us.saturating_sub(then_us))
}
