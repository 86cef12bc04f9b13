//! Scripts, keyspace events, slow log, latency.

use super::I64_MAX;
use crate::config::row::{Row, Special, flag, number};
use crate::config::special::{KeyspaceEvents, parse_percentiles};

const EVENTS: Special = Special {
    form: "letters",
    set: |values, words, _| {
        values.notify_keyspace_events = KeyspaceEvents::parse(&words[0])?;
        Ok(())
    },
    get: |values| values.notify_keyspace_events.print(),
    lines: |values| vec![vec![values.notify_keyspace_events.print()]],
    words: (1, 1),
};

const PERCENTILES: Special = Special {
    form: "percentiles",
    set: |values, words, _| {
        values.latency_tracking_info_percentiles = parse_percentiles(words)?;
        Ok(())
    },
    get: |values| {
        let all = values.latency_tracking_info_percentiles.iter();
        all.map(six_digits).collect::<Vec<_>>().join(" ")
    },
    lines: |values| {
        let all = values.latency_tracking_info_percentiles.iter();
        let words: Vec<String> = all.map(six_digits).collect();
        vec![if words.is_empty() { vec![String::new()] } else { words }]
    },
    words: (1, usize::MAX),
};

/// Up to six digits behind the point, as stock servers print them.
fn six_digits(value: &f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) const ROWS: &[Row] = &[
    Row::number(
        "busy-reply-threshold",
        "5000",
        (0, I64_MAX),
        number!(busy_reply_threshold),
        "Milliseconds after which a running script lets others be answered with -BUSY.",
    )
    .alias("lua-time-limit")
    .later("scripts"),
    Row::special(
        "notify-keyspace-events",
        "",
        EVENTS,
        "Classes of events that are published, one letter each; empty for none.",
    ),
    Row::number(
        "slowlog-log-slower-than",
        "10000",
        (i64::MIN, I64_MAX),
        number!(slowlog_log_slower_than),
        "Microseconds from which on a command is kept in the slow log; negative for never.",
    ),
    Row::number(
        "slowlog-max-len",
        "128",
        (0, I64_MAX),
        number!(slowlog_max_len),
        "Entries of the slow log.",
    ),
    Row::number(
        "latency-monitor-threshold",
        "0",
        (0, I64_MAX),
        number!(latency_monitor_threshold),
        "Milliseconds from which on an event is kept for LATENCY; 0 for never.",
    ),
    Row::flag(
        "latency-tracking",
        "yes",
        flag!(latency_tracking),
        "Keeps a histogram of latencies per command.",
    ),
    Row::special(
        "latency-tracking-info-percentiles",
        "50 99 99.9",
        PERCENTILES,
        "Percentiles of those that INFO shows.",
    ),
    Row::number(
        "tracking-table-max-keys",
        "1000000",
        (0, I64_MAX),
        number!(tracking_table_max_keys),
        "Keys remembered for clients that cache; 0 for no limit.",
    )
    .later("client-side caching"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_print_without_needless_digits() {
        assert_eq!(six_digits(&50.0), "50");
        assert_eq!(six_digits(&99.9), "99.9");
        assert_eq!(six_digits(&0.0), "0");
        assert_eq!(six_digits(&50.123_456_7), "50.123457");
    }
}
