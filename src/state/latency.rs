//! Events that took longer than `latency-monitor-threshold`: the samples behind LATENCY.

use std::collections::BTreeMap;

/// Samples kept per event.
const SAMPLES_MAX: usize = 160;

/// Samples of one event, one for each second in which it was slow.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Moments (seconds since 1970) and milliseconds, oldest first.
    pub samples: Vec<(u64, u64)>,
    /// The longest ever, milliseconds.
    pub max_ms: u64,
}

/// All events.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    events: BTreeMap<&'static str, Series>,
}

impl Latency {
    /// Notes that `event` took `ms` at `at_s`; of one second the longest is kept.
    pub fn add(&mut self, event: &'static str, at_s: u64, ms: u64) {
        let series = self.events.entry(event).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.last_mut() {
            Some((last_s, last_ms)) if *last_s == at_s => *last_ms = (*last_ms).max(ms),
            _ => {
                if series.samples.len() == SAMPLES_MAX {
                    series.samples.remove(0);
                }
                series.samples.push((at_s, ms));
            }
        }
    }

    /// All events by name.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Series)> {
        self.events.iter().map(|(name, series)| (*name, series))
    }

    /// The samples of one event.
    pub fn event(&self, name: &[u8]) -> Option<&Series> {
        self.events
            .iter()
            .find(|(event, _)| name.eq_ignore_ascii_case(event.as_bytes()))
            .map(|(_, series)| series)
    }

    /// Forgets one event; whether there was any.
    pub fn reset(&mut self, name: &[u8]) -> bool {
        let before = self.events.len();
        self.events.retain(|event, _| !name.eq_ignore_ascii_case(event.as_bytes()));
        self.events.len() < before
    }

    /// Forgets all events and says how many there were.
    pub fn reset_all(&mut self) -> usize {
        let count = self.events.len();
        self.events.clear();
        count
    }
}

impl super::State {
    /// Notes that `event` took so long, if that is what `latency-monitor-threshold` asks for.
    pub fn note_latency(&mut self, event: &'static str, elapsed_us: u64) {
        let threshold_ms = self.config.latency_monitor_threshold;
        if threshold_ms > 0 && elapsed_us >= threshold_ms.saturating_mul(1000) {
            self.latency.add(event, self.time.unix_s(), elapsed_us / 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_for_each_second_and_a_bounded_number() {
        let mut latency = Latency::default();
        latency.add("command", 1, 5);
        latency.add("command", 1, 9);
        latency.add("command", 1, 3);
        assert_eq!(latency.event(b"COMMAND").unwrap().samples, [(1, 9)]);
        for second in 2..500 {
            latency.add("command", second, 1);
        }
        assert_eq!(latency.event(b"command").unwrap().samples.len(), SAMPLES_MAX);
        assert_eq!(latency.event(b"command").unwrap().max_ms, 9);
        assert!(latency.reset(b"command"));
        assert_eq!(latency.reset_all(), 0);
    }
}
