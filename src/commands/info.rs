//! INFO: which sections are shown, in which order. Their fields are in `info_server`, `info_memory` and `info_stats`.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use super::{info_memory, info_persistence, info_replication, info_server, info_stats};
use crate::resp::Args;
use crate::state::State;

const INFO: Command = Command {
    name: "info",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Loading, Flag::Stale],
    categories: &["dangerous"],
    group: Group::Server,
    summary: "Describes the server: facts and counters by section.",
    syntax: "[section [section ...]]",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    run: info,
    ..Command::DEFAULT
};

/// What the sections are made from.
pub(super) struct Source<'a> {
    pub(super) state: &'a State,
    /// Connected clients, and what the one executing has sent.
    pub(super) own_query_bytes: usize,
    /// Memory of the client that is executing.
    pub(super) own_memory: usize,
}

/// One section: its name, whether it is shown unasked, and its text.
struct Section {
    name: &'static str,
    unasked: bool,
    write: fn(&Source<'_>, &mut String),
}

const fn section(name: &'static str, write: fn(&Source<'_>, &mut String)) -> Section {
    Section { name, unasked: true, write }
}

/// All sections, in stock's order.
const SECTIONS: [Section; 13] = [
    section("Server", info_server::server),
    section("Clients", info_server::clients),
    section("Memory", info_memory::memory),
    section("Persistence", info_persistence::persistence),
    section("Stats", info_stats::stats),
    section("Replication", info_replication::replication),
    section("CPU", info_server::cpu),
    section("Modules", |_, _| ()),
    Section { unasked: false, ..section("Commandstats", info_stats::commandstats) },
    section("Errorstats", info_stats::errorstats),
    Section { unasked: false, ..section("Latencystats", info_stats::latencystats) },
    section("Cluster", info_server::cluster),
    section("Keyspace", info_server::keyspace),
];

fn info(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let words: Vec<Vec<u8>> = args.iter_from(1).map(<[u8]>::to_ascii_lowercase).collect();
    let wanted = |section: &&Section| {
        let named = |word: &Vec<u8>| match &word[..] {
            b"default" => section.unasked,
            b"all" | b"everything" => true,
            word => section.name.as_bytes().eq_ignore_ascii_case(word),
        };
        if words.is_empty() { section.unasked } else { words.iter().any(named) }
    };
    let own_query_bytes = args.iter().map(<[u8]>::len).sum();
    let source =
        Source { state: ctx.state, own_query_bytes, own_memory: ctx.client.memory_usage() };
    let mut text = String::with_capacity(6000);
    for section in SECTIONS.iter().filter(wanted) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(section.name);
        text.push_str("\r\n");
        (section.write)(&source, &mut text);
    }
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

/// Appends lines `name:value`.
macro_rules! fields {
    ($out:expr, $($name:literal: $value:expr),+ $(,)?) => {{
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        $(let _infallible = write!($out, concat!($name, ":{}\r\n"), $value);)+
    }};
}
pub(super) use fields;

/// A size for people: `895.05K`.
#[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2}{}", UNITS[unit])
}

/// `part / whole`, or 0 where there is no whole.
#[expect(clippy::cast_precision_loss, reason = "ratios are shown with two digits")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The family.
pub const COMMANDS: &[Command] = &[INFO];

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(916_536), "895.05K");
        assert_eq!(human(25_276_510_208), "23.54G");
    }
}
