//! `--latency` and `--latency-history`: how long a PING takes, as seen from here.

use std::process::ExitCode;
use std::time::Duration;

use super::options::Options;
use super::output::Format;
use super::screen::{complain, print};
use super::session;
use crate::clock;

/// Between samples.
const PAUSE: Duration = Duration::from_millis(10);

/// Of a line, unless `-i` says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_OF_HISTORY: Duration = Duration::from_secs(15);

/// What was sampled, in milliseconds.
#[derive(Debug, Default)]
struct Samples {
    min: u64,
    max: u64,
    total_us: u64,
    count: u64,
}

/// Samples: for ever on a terminal, for one interval elsewhere; with a `history`, an interval per line.
pub(super) fn run(options: &Options, history: bool) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let interval = match options.interval {
        Duration::ZERO if history => INTERVAL_OF_HISTORY,
        Duration::ZERO => INTERVAL,
        interval => interval,
    };
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let is_live = options.format == Format::Standard || history;
    let mut samples = Samples::default();
    let mut begun = clock::mono_us();
    loop {
        let sent = clock::mono_us();
        if let Err(error) = connection.ask(&["PING"]) {
            complain(&format!("\nError: {}", session::plain(&error)));
            return ExitCode::FAILURE;
        }
        let now = clock::mono_us();
        samples.add(now - sent);
        if is_live {
            print(samples.line(options.format).as_bytes());
        }
        let elapsed = now - begun;
        if elapsed > interval_us {
            if !is_live {
                print(samples.line(options.format).as_bytes());
                return ExitCode::SUCCESS;
            }
            if history {
                let hundredths = elapsed / 10_000;
                print(
                    format!(" -- {}.{:02} seconds range\n", hundredths / 100, hundredths % 100)
                        .as_bytes(),
                );
                samples = Samples::default();
                begun = now;
            }
        }
        std::thread::sleep(PAUSE);
    }
}

impl Samples {
    fn add(&mut self, elapsed_us: u64) {
        let elapsed = elapsed_us / 1000;
        self.min = if self.count == 0 { elapsed } else { self.min.min(elapsed) };
        self.max = self.max.max(elapsed);
        self.total_us += elapsed_us;
        self.count += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn line(&self, format: Format) -> String {
        let Self { min, max, count, .. } = self;
        let average = self.total_us as f64 / 1000.0 / (*count).max(1) as f64;
        match format {
            Format::Standard => {
                format!("\x1b[0G\x1b[2Kmin: {min}, max: {max}, avg: {average:.2} ({count} samples)")
            }
            Format::Raw => format!("{min} {max} {average:.2} {count}\n"),
            Format::Csv => format!("{min},{max},{average:.2},{count}\n"),
            Format::Json | Format::QuotedJson => format!(
                "{{\"min\": {min}, \"max\": {max}, \"avg\": {average:.2}, \"count\": {count}}}\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up() {
        let mut samples = Samples::default();
        for elapsed_us in [1500, 2500, 300] {
            samples.add(elapsed_us);
        }
        assert_eq!(samples.line(Format::Raw), "0 2 1.43 3\n");
        assert_eq!(samples.line(Format::Csv), "0,2,1.43,3\n");
        assert_eq!(
            samples.line(Format::Json),
            "{\"min\": 0, \"max\": 2, \"avg\": 1.43, \"count\": 3}\n"
        );
        assert!(samples.line(Format::Standard).ends_with("min: 0, max: 2, avg: 1.43 (3 samples)"));
    }
}
