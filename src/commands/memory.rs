//! MEMORY: where memory goes.

use super::arguments::{integer, is};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::help;
use super::info::ratio;
use super::info_memory::{Figures, difference, figures};
use crate::keyspace::Access;
use crate::resp::{Args, Reply, errors};

const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(2),
    group: Group::Server,
    since: "4.0.0",
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    ..Command::DEFAULT
};

const MEMORY: Command = Command {
    name: "memory",
    arity: Arity::AtLeast(2),
    group: Group::Server,
    since: "4.0.0",
    summary: "Looks at memory.",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Command {
            name: "doctor",
            summary: "Reports what is unusual about memory, in sentences.",
            run: doctor,
            ..SUBCOMMAND
        },
        Command { group: Group::Server, since: "4.0.0", ..help::HELP },
        Command {
            name: "malloc-stats",
            summary: "Returns the statistics of the allocator as it writes them.",
            complexity: "Depends on the allocator's pools",
            run: malloc_stats,
            ..SUBCOMMAND
        },
        Command {
            name: "purge",
            summary: "Does nothing: the allocator gives unused pages back by itself.",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: purge,
            ..SUBCOMMAND
        },
        Command {
            name: "stats",
            summary: "Returns figures about memory.",
            run: stats,
            ..SUBCOMMAND
        },
        Command {
            name: "usage",
            arity: Arity::AtLeast(3),
            flags: &[Flag::Readonly],
            keys: &[key(2, &[KeyFlag::Ro])],
            summary: "Returns the bytes of memory that a key and its value take.",
            complexity: "O(N) with N the elements of the value",
            syntax: "key [SAMPLES count]",
            tips: &[],
            run: usage,
            ..SUBCOMMAND
        },
    ],
    ..Command::DEFAULT
};

fn usage(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // The count is checked, though values are measured whole.
    for at in (3..args.len()).step_by(2) {
        let count = args.get(at + 1).filter(|_| is(&args[at], "SAMPLES")).ok_or(errors::SYNTAX)?;
        if integer(count)? < 0 {
            return Err(errors::SYNTAX);
        }
    }
    let key = ctx.key(&args[2]);
    let db = ctx.db();
    match ctx.state.keyspace.lookup(db, &key, Access::PEEK) {
        Some(entry) => ctx.reply.len(entry.memory_usage()),
        None => ctx.reply.nil(),
    }
    Ok(())
}

fn purge(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.ok();
    Ok(())
}

fn malloc_stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    ctx.reply.verbatim("txt", &crate::alloc::statistics());
    Ok(())
}

fn stats(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let figures = figures(ctx.state, ctx.client.memory_usage());
    let keyspace = &ctx.state.keyspace;
    let used: Vec<u32> = (0..keyspace.db_count())
        .filter(|number| keyspace.db(*number).is_some_and(|db| !db.is_empty()))
        .collect();
    let keys: u64 = used.iter().filter_map(|number| Some(keyspace.db(*number)?.len())).sum();
    let functions: usize = ctx.state.functions.iter().map(Vec::len).sum();
    let reply = &mut ctx.reply;
    reply.map(27 + used.len());
    let before = [
        ("peak.allocated", figures.peak),
        ("total.allocated", figures.used),
        ("startup.allocated", figures.startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", figures.clients),
        ("cluster.links", 0),
        ("aof.buffer", figures.log_buffer),
        ("lua.caches", 0),
        ("functions.caches", functions as u64),
    ];
    before.iter().for_each(|(name, value)| count(reply, name, *value));
    for number in used {
        databases_overhead(reply, number);
    }
    count(reply, "overhead.total", figures.overhead);
    count(reply, "keys.count", keys);
    count(reply, "keys.bytes-per-key", figures.dataset.checked_div(keys).unwrap_or(0));
    count(reply, "dataset.bytes", figures.dataset);
    share(reply, "dataset.percentage", figures.dataset_percent());
    share(reply, "peak.percentage", 100.0 * ratio(figures.used, figures.peak));
    allocator(reply, &figures);
    Ok(())
}

/// Tables belong to the slots and are counted with the data: nothing is left over for a database.
fn databases_overhead(reply: &mut Reply<'_>, number: u32) {
    reply.bulk(format!("db.{number}").as_bytes());
    reply.map(3);
    for name in
        ["overhead.hashtable.main", "overhead.hashtable.expires", "overhead.hashtable.slot-to-keys"]
    {
        count(reply, name, 0);
    }
}

fn allocator(reply: &mut Reply<'_>, figures: &Figures) {
    count(reply, "allocator.allocated", figures.allocated);
    count(reply, "allocator.active", figures.active);
    count(reply, "allocator.resident", figures.resident);
    let pairs = [
        ("allocator-fragmentation", figures.active, figures.allocated),
        ("allocator-rss", figures.resident, figures.active),
        ("rss-overhead", figures.rss, figures.resident),
    ];
    for (name, more, less) in pairs {
        share(reply, &format!("{name}.ratio"), ratio(more, less));
        reply.bulk(format!("{name}.bytes").as_bytes());
        reply.int(difference(more, less));
    }
    share(reply, "fragmentation", ratio(figures.rss, figures.used));
    reply.bulk(b"fragmentation.bytes");
    reply.int(difference(figures.rss, figures.used));
}

fn count(reply: &mut Reply<'_>, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.int(i64::try_from(value).unwrap_or(i64::MAX));
}

fn share(reply: &mut Reply<'_>, name: &str, value: f64) {
    reply.bulk(name.as_bytes());
    reply.double(value);
}

fn doctor(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    /// Below this many bytes ratios say nothing.
    const LITTLE: u64 = 5 << 20;
    let figures = figures(ctx.state, ctx.client.memory_usage());
    let checks = [
        (
            ratio(figures.peak, figures.used) > 1.5,
            "Peak memory: memory use was once half as high again as now. Pages freed since may still be counted as resident.",
        ),
        (
            ratio(figures.rss, figures.used) > 1.4,
            "High total fragmentation: much more memory is resident than is in use.",
        ),
        (
            ratio(figures.active, figures.allocated) > 1.1,
            "High allocator fragmentation: pages are used in part only.",
        ),
        (
            figures.clients > figures.used / 4,
            "Big client buffers: connections hold a large part of memory. CLIENT LIST shows which.",
        ),
    ];
    let found: Vec<&str> =
        checks.iter().filter_map(|(wrong, text)| wrong.then_some(*text)).collect();
    let text = match found.len() {
        _ if figures.used < LITTLE => {
            "There is hardly anything in memory: nothing can be said yet.\n".to_owned()
        }
        0 => "Nothing unusual was found.\n".to_owned(),
        _ => found.iter().map(|line| format!("* {line}\n")).collect(),
    };
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[MEMORY];
