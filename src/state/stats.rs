//! Counters behind INFO stats, commandstats, errorstats and latencystats.

use std::collections::BTreeMap;

/// Counters of one command or subcommand.
#[derive(Debug, Clone, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: u64,
    /// Microseconds it took in all.
    pub usec: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it ran and answered an error.
    pub failed: u64,
    /// Durations in nanoseconds, once it has run.
    pub latency: Option<Box<hdrhistogram::Histogram<u64>>>,
}

/// The most kinds of errors that are counted apart (a script can invent codes).
pub const ERROR_CODES_MAX: usize = 128;

/// Counters since the start or CONFIG RESETSTAT.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused for `maxclients`.
    pub rejected_connections: u64,
    /// Commands executed.
    pub commands: u64,
    /// Error replies sent.
    pub errors: u64,
    /// Error replies by code.
    pub errors_by_code: BTreeMap<String, u64>,
    /// Bytes read from clients.
    pub net_in: u64,
    /// Bytes written to clients.
    pub net_out: u64,
    /// Bytes read and written before CONFIG RESETSTAT.
    pub net_before: [u64; 2],
    /// Reads and writes before CONFIG RESETSTAT.
    pub calls_before: [u64; 2],
    /// Wrong passwords given.
    pub auth_failures: u64,
    /// Clients closed for their memory.
    pub evicted_clients: u64,
    /// Microseconds spent by the active cycle of expiry.
    pub expire_cycle_us: u64,
    /// Microseconds for which memory was above its limit.
    pub exceeded_us: u64,
    /// Since when it is (monotonic microseconds).
    pub exceeds_since_us: Option<u64>,
    /// Values freed off the node's lock.
    pub lazyfreed_objects: u64,
    /// The same before CONFIG RESETSTAT.
    pub lazyfreed_before: u64,
    /// Values that wait to be freed.
    pub lazyfree_pending: u64,
    /// Largest memory use seen.
    pub peak_memory: u64,
    /// Clients closed for their output.
    pub output_limit_disconnections: u64,
    /// Clients closed for their query buffer.
    pub query_limit_disconnections: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Per command, indexed by the table's id.
    pub by_command: Vec<CommandStats>,
    /// Commands per second, bytes in and out per second: samples of the last 1.6 s.
    pub rates: Rates,
}

/// Samples from which INFO computes instantaneous rates.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// The last samples: commands, bytes in, bytes out, per second.
    pub samples: [[u64; 3]; 16],
    /// Where the next sample goes.
    pub next: usize,
    /// Totals and moment of the last sample (microseconds).
    pub last: ([u64; 3], u64),
}

impl Rates {
    /// Takes a sample of three growing totals at a moment.
    pub fn sample(&mut self, totals: [u64; 3], mono_us: u64) {
        let (last, at) = self.last;
        let elapsed = mono_us.saturating_sub(at).max(1);
        for ((sample, total), last) in self.samples[self.next].iter_mut().zip(totals).zip(last) {
            *sample = total.saturating_sub(last).saturating_mul(1_000_000) / elapsed;
        }
        self.next = (self.next + 1) % self.samples.len();
        self.last = (totals, mono_us);
    }

    /// Mean of the samples: commands, bytes in, bytes out, per second.
    pub fn mean(&self) -> [u64; 3] {
        let mut sums = [0u64; 3];
        for sample in &self.samples {
            for (sum, value) in sums.iter_mut().zip(sample) {
                *sum += value;
            }
        }
        sums.map(|sum| sum / self.samples.len() as u64)
    }
}

impl CommandStats {
    /// Adds a duration to the distribution.
    #[inline]
    pub fn record(&mut self, elapsed_us: u64) {
        let latency = self.latency.get_or_insert_with(|| Box::new(new_histogram()));
        latency.saturating_record((elapsed_us * 1000).max(1));
    }
}

/// Durations from 1 ns to 1 s with two significant digits, as stock keeps them.
fn new_histogram() -> hdrhistogram::Histogram<u64> {
    hdrhistogram::Histogram::new_with_bounds(1, 1_000_000_000, 2).expect("the bounds are sound")
}

impl Stats {
    /// Counts an error reply by its code.
    pub fn count_error(&mut self, code: &str) {
        self.errors += 1;
        if let Some(count) = self.errors_by_code.get_mut(code) {
            *count += 1;
        } else if self.errors_by_code.len() < ERROR_CODES_MAX {
            self.errors_by_code.insert(code.to_owned(), 1);
        }
    }

    /// Forgets all counters but the largest memory use. Bytes are counted elsewhere, so where they stand is remembered.
    pub fn reset(&mut self) {
        let commands = self.by_command.len();
        let (peak_memory, net_in, net_out) = (self.peak_memory, self.net_in, self.net_out);
        let rates = Rates { last: ([0, net_in, net_out], self.rates.last.1), ..Rates::default() };
        let net_before = [net_in, net_out];
        let (reads, writes) = (self.reads, self.writes);
        let calls_before = [reads, writes];
        let bytes = Self {
            net_in,
            net_out,
            net_before,
            lazyfreed_objects: self.lazyfreed_objects,
            lazyfreed_before: self.lazyfreed_objects,
            lazyfree_pending: self.lazyfree_pending,
            ..Self::default()
        };
        *self = Self { peak_memory, rates, reads, writes, calls_before, ..bytes };
        self.by_command.resize_with(commands, CommandStats::default);
    }

    /// The counters of command `id`.
    #[inline]
    pub fn command(&mut self, id: usize) -> &mut CommandStats {
        if id >= self.by_command.len() {
            self.by_command.resize_with(id + 1, CommandStats::default);
        }
        &mut self.by_command[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_of_samples() {
        let mut rates = Rates::default();
        for tick in 1..=16u64 {
            rates.sample([tick * 100, tick * 10, 0], tick * 100_000);
        }
        assert_eq!(rates.mean(), [1000, 100, 0]);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut stats = Stats::default();
        for code in 0..1000 {
            stats.count_error(&format!("E{code}"));
        }
        assert_eq!((stats.errors, stats.errors_by_code.len()), (1000, ERROR_CODES_MAX));
    }
}
