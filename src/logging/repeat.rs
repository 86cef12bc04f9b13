//! A line that would repeat for as long as a state lasts is logged once per interval.

/// Decides which repetitions of a line are logged. Time is handed in.
///
/// ```
/// use highwater::logging::Repeat;
///
/// let mut full_disk = Repeat::every_ms(10_000);
/// assert_eq!(full_disk.pass(0), Some(0));
/// assert_eq!(full_disk.pass(5_000), None);
/// assert_eq!(full_disk.pass(10_000), Some(1), "one line was left out in between");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    interval_ms: u64,
    /// When the last line passed, in milliseconds of any clock that does not go back.
    last_ms: Option<u64>,
    left_out: u64,
}

impl Repeat {
    /// At most one line per `interval_ms` milliseconds.
    #[must_use]
    pub const fn every_ms(interval_ms: u64) -> Self {
        Self { interval_ms, last_ms: None, left_out: 0 }
    }

    /// `Some` if the line is to be logged at `now_ms`, with the number of those left out since the last.
    pub fn pass(&mut self, now_ms: u64) -> Option<u64> {
        let due = self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) >= self.interval_ms);
        if !due {
            self.left_out += 1;
            return None;
        }
        self.last_ms = Some(now_ms);
        Some(std::mem::take(&mut self.left_out))
    }

    /// The state is over: the next line passes at once.
    pub const fn reset(&mut self) {
        self.last_ms = None;
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval() {
        let mut repeat = Repeat::every_ms(100);
        assert_eq!(repeat.pass(1000), Some(0));
        assert_eq!(repeat.pass(1001), None);
        assert_eq!(repeat.pass(1099), None);
        assert_eq!(repeat.pass(1100), Some(2));
        assert_eq!(repeat.pass(1101), None);
        repeat.reset();
        assert_eq!(repeat.pass(1102), Some(0));
    }
}
