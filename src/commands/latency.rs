//! LATENCY: events that took longer than `latency-monitor-threshold`, and how long commands take.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use super::info_stats::for_each_entry;
use super::table::{Entry, table};
use super::{help, latency_report};
use crate::resp::{Args, CommandError, quoted};
use crate::state::stats::CommandStats;

const ALL_NODES: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale],
    group: Group::Server,
    since: "2.8.13",
    tips: ALL_NODES,
    ..Command::DEFAULT
};

const LATENCY: Command = Command {
    name: "latency",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "2.8.13",
    summary: "Looks at what was slow.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Reports what was slow, in sentences.",
            run: doctor,
            ..SUBCOMMAND
        },
        Command {
            name: "graph",
            arity: Arity::Exactly(3),
            summary: "Draws the samples of an event.",
            syntax: "event",
            run: graph,
            ..SUBCOMMAND
        },
        Command { group: Group::Server, since: "2.8.13", ..help::HELP },
        Command {
            name: "histogram",
            arity: Arity::AtLeast(2),
            since: "7.0.0",
            summary: "Returns how often commands took how long, by powers of two of a microsecond.",
            complexity: "O(N) with N the commands with durations",
            syntax: "[command [command ...]]",
            run: histogram,
            ..SUBCOMMAND
        },
        Command {
            name: "history",
            arity: Arity::Exactly(3),
            summary: "Returns the samples of an event: seconds since 1970, milliseconds.",
            syntax: "event",
            run: history,
            ..SUBCOMMAND
        },
        Command {
            name: "latest",
            summary: "Returns the latest and the longest sample of each event.",
            run: latest,
            ..SUBCOMMAND
        },
        Command {
            name: "reset",
            arity: Arity::AtLeast(2),
            summary: "Forgets the samples of the events named, or of all.",
            syntax: "[event [event ...]]",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            run: reset,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn latest(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let events = ctx.state.latency.events();
    ctx.reply.array(events.len());
    for (name, series) in events {
        let (at_s, ms) = series.samples.last().copied().unwrap_or_default();
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(at_s.cast_signed());
        ctx.reply.int(ms.cast_signed());
        ctx.reply.int(series.max_ms.cast_signed());
    }
    Ok(())
}

fn history(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let samples = ctx.state.latency.event(&args[2]).map_or(&[][..], |series| &series.samples);
    ctx.reply.array(samples.len());
    for (at_s, ms) in samples {
        ctx.reply.array(2);
        ctx.reply.int(at_s.cast_signed());
        ctx.reply.int(ms.cast_signed());
    }
    Ok(())
}

fn reset(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let count = if args.len() == 2 {
        ctx.state.latency.reset_all()
    } else {
        args.iter_from(2).filter(|event| ctx.state.latency.reset(event)).count()
    };
    ctx.reply.len(count);
    Ok(())
}

fn graph(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let Some(series) = ctx.state.latency.event(&args[2]) else {
        let event = quoted(&args[2]);
        return Err(CommandError::owned(format!("ERR No samples available for event '{event}'")));
    };
    let event = String::from_utf8_lossy(&args[2]).to_ascii_lowercase();
    let text = latency_report::graph(&event, series, ctx.time.unix_s());
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

fn doctor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let threshold_ms = ctx.state.config.latency_monitor_threshold;
    let text = latency_report::doctor(&ctx.state.latency, threshold_ms);
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

fn histogram(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut wanted: Vec<&Entry> = Vec::new();
    if args.len() == 2 {
        for_each_entry(|entry| wanted.push(entry));
    }
    for name in args.iter_from(2) {
        // A container stands for its subcommands; unknown names are left out.
        let Some(entry) = table().find_full(name) else { continue };
        wanted.push(entry);
        wanted.extend(&entry.subcommands);
    }
    let stats = &ctx.state.stats.by_command;
    let known: Vec<(&Entry, &CommandStats)> = wanted
        .into_iter()
        .filter_map(|entry| Some((entry, stats.get(entry.id)?)))
        .filter(|(_, stats)| stats.calls > 0 && stats.latency.is_some())
        .collect();
    ctx.reply.map(known.len());
    for (entry, stats) in known {
        let buckets = buckets(stats);
        ctx.reply.bulk(entry.full_name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.int(stats.calls.cast_signed());
        ctx.reply.bulk(b"histogram_usec");
        ctx.reply.map(buckets.len());
        for (usec, count) in buckets {
            ctx.reply.int(usec.cast_signed());
            ctx.reply.int(count.cast_signed());
        }
    }
    Ok(())
}

/// How many calls took at most so many microseconds, for each power of two that adds any.
fn buckets(stats: &CommandStats) -> Vec<(u64, u64)> {
    /// Nanoseconds of the first bucket.
    const FIRST_NS: u64 = 1024;
    let Some(durations) = stats.latency.as_deref() else { return Vec::new() };
    let mut buckets = Vec::new();
    let (mut level_ns, mut counted) = (FIRST_NS, 0);
    while counted < durations.len() {
        let count = durations.count_between(0, level_ns);
        if count > counted {
            buckets.push((durations.highest_equivalent(level_ns) / 1000, count));
            counted = count;
        }
        level_ns *= 2;
    }
    buckets
}

/// The family.
pub const COMMANDS: &[Command] = &[LATENCY];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_powers_of_two() {
        let mut stats = CommandStats::default();
        for usec in [0, 1, 3, 3, 20, 2_000_000] {
            stats.record(usec);
        }
        let found = buckets(&stats);
        assert_eq!(found[0], (1, 2));
        assert_eq!(found[1], (4, 4));
        assert_eq!(found.last().unwrap().1, 6);
        assert!(found.is_sorted());
        assert!(buckets(&CommandStats::default()).is_empty());
    }
}
