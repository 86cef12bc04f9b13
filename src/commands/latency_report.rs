//! The texts of LATENCY GRAPH and LATENCY DOCTOR.

use std::fmt::Write as _;

use crate::state::latency::{Latency, Series};

/// Rows of a graph.
const ROWS: u64 = 4;

/// Columns of a graph.
const COLUMNS: usize = 80;

/// A column for each sample, as high as it was long, the age of the sample written downwards below it.
pub(super) fn graph(event: &str, series: &Series, now_s: u64) -> String {
    let from = series.samples.len().saturating_sub(COLUMNS);
    let samples = &series.samples[from..];
    let high = samples.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = samples.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    for row in (0..ROWS).rev() {
        for (_, ms) in samples {
            // The longest sample fills all rows, the shortest shows in the lowest.
            let height = ((ms - low) * ROWS).checked_div(high - low).unwrap_or(0);
            text.push(match () {
                () if height > row => '#',
                () if height == row => '_',
                () => ' ',
            });
        }
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|(at_s, _)| age(now_s, *at_s)).collect();
    for row in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let letters = ages.iter().map(|age| age.chars().nth(row).unwrap_or(' '));
        text.extend(letters);
        text.push('\n');
    }
    text
}

/// How long ago, in the largest unit that fits: `15s`, `3m`, `2h`, `1d`.
fn age(now_s: u64, at_s: u64) -> String {
    match now_s.saturating_sub(at_s) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// What was slow, in sentences.
pub(super) fn doctor(latency: &Latency, threshold_ms: u64) -> String {
    if threshold_ms == 0 && latency.events().len() == 0 {
        return "Latency monitoring is disabled: nothing has been measured. Switch it on with \
                \"CONFIG SET latency-monitor-threshold <milliseconds>\".\n"
            .to_owned();
    }
    if latency.events().len() == 0 {
        return format!("Nothing has taken longer than {threshold_ms} milliseconds.\n");
    }
    let mut text = String::from("Latency spikes were observed in this node.\n\n");
    for (index, (event, series)) in latency.events().enumerate() {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{}. {}", index + 1, describe(event, series));
    }
    text.push_str("\nAdvice:\n\n");
    for advice in ADVICE.iter().filter(|advice| latency.event(advice.0.as_bytes()).is_some()) {
        let _infallible = writeln!(text, "- {}", advice.1);
    }
    text.push_str("- LATENCY HISTOGRAM and SLOWLOG GET tell which commands are slow, and when.\n");
    text
}

/// What to look at first, by event.
const ADVICE: [(&str, &str); 3] = [
    (
        "command",
        "Commands over many elements ran: look for KEYS, large ranges and deletions of large values (UNLINK does those aside).",
    ),
    (
        "fast-command",
        "Commands that should be quick were not: the machine may swap, or its processors be shared with others.",
    ),
    ("expire-cycle", "Many keys expire at the same time: spread their times to live."),
];

fn describe(event: &str, series: &Series) -> String {
    let count = series.samples.len() as u64;
    let sum: u64 = series.samples.iter().map(|(_, ms)| ms).sum();
    let average = sum / count.max(1);
    let deviation: u64 = series.samples.iter().map(|(_, ms)| ms.abs_diff(average)).sum();
    let first_s = series.samples.first().map_or(0, |(at_s, _)| *at_s);
    let last_s = series.samples.last().map_or(0, |(at_s, _)| *at_s);
    format!(
        "{event}: {count} latency spikes (average {average}ms, mean deviation {}ms, period {} sec). Worst all time event {}ms.",
        deviation / count.max(1),
        last_s.saturating_sub(first_s) / count.max(1),
        series.max_ms,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graph_shows_heights_and_ages() {
        let mut latency = Latency::default();
        latency.add("command", 100, 10);
        latency.add("command", 161, 50);
        let text = graph("command", latency.event(b"command").unwrap(), 170);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 50 ms, low 10 ms (all time high 50 ms)");
        assert_eq!(lines[2..6], [" #", " #", " #", "_#"]);
        assert_eq!(lines[7..], ["19", "ms"]);
    }

    #[test]
    fn doctor_says_what_there_is() {
        assert!(doctor(&Latency::default(), 0).contains("disabled"));
        assert!(doctor(&Latency::default(), 5).contains("Nothing"));
        let mut latency = Latency::default();
        latency.add("command", 100, 10);
        let text = doctor(&latency, 5);
        assert!(text.contains("1. command: 1 latency spikes (average 10ms"), "{text}");
    }
}
