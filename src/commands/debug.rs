//! DEBUG: what tests and people who look for faults want of a server. What touches values is in `debug_values`.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::config::wait_for_job;
use super::context::Context;
use super::{debug_protocol, debug_values, help};
use crate::config::memory as config_memory;
use crate::resp::{Args, CommandError, errors, quoted};
use crate::state::Output;
use crate::state::client::{Blocked, Timeout};
use crate::state::output::Note;

const DEBUG: Command = Command {
    name: "debug",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Protected],
    group: Group::Server,
    summary: "For tests and for finding faults; `enable-debug-command` says who may.",
    complexity: "Depends on subcommand.",
    syntax: "subcommand [arg [arg ...]]",
    run: debug,
    ..Command::DEFAULT
};

const HELP: &[&str] = &[
    "CHANGE-REPL-ID",
    "    Give the history of this node another id.",
    "DICT-RESIZING <0|1>",
    "    Accepted, without effect.",
    "DIGEST",
    "    Return one checksum over all data: equal for equal data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Return a checksum for the value of each key.",
    "ERROR <string>",
    "    Answer this error.",
    "LISTPACK <key>",
    "    Say whether a value is small enough for stock's flat encoding.",
    "LOADAOF",
    "    Drop the data and load the log again.",
    "LOG <message>",
    "    Write a line to the log.",
    "OBJECT <key>",
    "    Describe the value at a key.",
    "PANIC",
    "    Crash.",
    "PROTOCOL <type>",
    "    Answer an example of a type: string, integer, double, bignum, null, array,",
    "    set, map, attrib, push, verbatim, true, false.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Accepted, without effect.",
    "RELOAD [NOSAVE]",
    "    Write a snapshot, drop the data and load the snapshot again.",
    "SEGFAULT",
    "    Crash.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Stop removing expired keys that nobody asks for, or do it again.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Accepted, without effect.",
    "SLEEP <seconds>",
    "    Keep this connection waiting; decimals are allowed. Other clients are served.",
    "STRINGMATCH-LEN <pattern> <string>",
    "    Return 1 if the pattern matches.",
];

/// Subcommands of stock servers that look into structures which this server has not, or are for their tests only.
const ELSEWHERE: [&str; 20] = [
    "jmap",
    "aof-flush-sleep",
    "client-eviction",
    "clusterlink",
    "config-rewrite-force-all",
    "crash-and-recover",
    "drop-cluster-packet-filter",
    "htstats",
    "htstats-key",
    "leak",
    "mallctl",
    "mallctl-str",
    "pause-cron",
    "populate",
    "quicklist",
    "replicate",
    "replybuffer",
    "restart",
    "sdslen",
    "structsize",
];

fn debug(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 2) => help::answer(ctx, "debug", HELP),
        (b"segfault" | b"panic" | b"assert" | b"oom", 2) => crash(&args[1]),
        (b"sleep", 3) => return sleep(ctx, &args[2]),
        (b"error", 3) => return Err(CommandError::owned(quoted(&args[2]))),
        (b"log", 3) => {
            let note =
                Note { warning: true, text: format!("DEBUG LOG: {}", errors::printable(&args[2])) };
            ctx.state.outputs.push(Output::Note(note));
            ctx.reply.ok();
        }
        (b"reload", 2..) => return reload(ctx, args),
        (b"loadaof", 2) => return load_log(ctx),
        (b"set-active-expire", 3) => {
            ctx.state.debug.active_expire = args[2] != *b"0";
            ctx.reply.ok();
        }
        (b"change-repl-id", 2) => {
            ctx.state.outputs.push(Output::Note(Note {
                warning: false,
                text: "Changing replication IDs after receiving change-repl-id".to_owned(),
            }));
            // One hash of what is there already: a node draws no random numbers of its own.
            let id = &ctx.state.stream.id;
            ctx.state.stream.id = debug_values::another_id(id, ctx.time.unix_us);
            ctx.state.stream.former = None;
            ctx.reply.ok();
        }
        (b"quicklist-packed-threshold", 3) => {
            // Values of any size have the same place in a list here, so there is nothing to be set.
            let bytes = std::str::from_utf8(&args[2]).ok().and_then(config_memory);
            if bytes.is_none_or(|bytes| bytes > u64::from(u32::MAX)) {
                return Err(
                    "ERR argument must be a memory value bigger than 1 and smaller than 4gb".into(),
                );
            }
            ctx.reply.ok();
        }
        (b"set-skip-checksum-validation" | b"set-disable-deny-scripts" | b"dict-resizing", 3) => {
            ctx.reply.ok()
        }
        (b"stringmatch-len", 4) => {
            ctx.reply.int(i64::from(crate::glob::matches(&args[2], &args[3])));
        }
        (b"protocol", 3) => return debug_protocol::example(ctx, &args[2]),
        (b"object", 3..=4) => return debug_values::object(ctx, args),
        (b"listpack", 3) => return debug_values::listpack(ctx, args),
        (b"digest", 2) => debug_values::digest(ctx),
        (b"digest-value", 2..) => debug_values::digest_value(ctx, args),
        (word, _) => return Err(unknown(word, &args[1])),
    }
    Ok(())
}

fn unknown(word: &[u8], given: &[u8]) -> CommandError {
    if ELSEWHERE.iter().any(|name| name.as_bytes() == word) {
        return CommandError::owned(format!(
            "ERR DEBUG {} is not supported by this server",
            quoted(given).to_ascii_uppercase()
        ));
    }
    let given = &given[..given.len().min(128)];
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
        quoted(given)
    ))
}

/// Ends the process at once, as a fault would: what was acknowledged has to be found again.
fn crash(word: &[u8]) {
    tracing::error!("DEBUG {}: crashing as asked", errors::printable(word).to_ascii_uppercase());
    std::process::abort();
}

/// Differs: stock servers sleep as a whole; here the one connection waits.
fn sleep(ctx: &mut Context<'_>, word: &[u8]) -> CommandResult {
    /// Longer sleeps are cut to this: a thousand years.
    const SECONDS_MAX: f64 = 1e9 * 31.536;
    // Like stock, whatever is no number is no time at all.
    let seconds: f64 = std::str::from_utf8(word).ok().and_then(|t| t.parse().ok()).unwrap_or(0.0);
    let wait = std::time::Duration::try_from_secs_f64(seconds.clamp(0.0, SECONDS_MAX));
    let ms = wait.map_or(0, |wait| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(0));
    if ms == 0 {
        ctx.reply.ok();
        return Ok(());
    }
    if ctx.client.in_exec {
        return Err("ERR DEBUG SLEEP is not allowed inside a transaction".into());
    }
    let until_ms = ctx.now_ms() + ms;
    ctx.client.blocked = Some(Blocked::Waiting { until_ms, reply: Timeout::Ok });
    Ok(())
}

fn reload(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut save = true;
    for option in args.iter_from(2) {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => save = false,
            b"merge" | b"noflush" => {
                return Err("ERR DEBUG RELOAD loads into an empty dataset only: MERGE and NOFLUSH are not supported".into());
            }
            _ => {
                return Err(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.".into(),
                );
            }
        }
    }
    wait_for_job(ctx)?;
    ctx.state.outputs.push(Output::Reload { client: ctx.client.id, log: false, save });
    Ok(())
}

fn load_log(ctx: &mut Context<'_>) -> CommandResult {
    if !ctx.state.persistence.aof_enabled {
        return Err("ERR Error trying to load the AOF files, check server logs.".into());
    }
    wait_for_job(ctx)?;
    let client = ctx.client.id;
    ctx.state.outputs.push(Output::Reload { client, log: true, save: false });
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[DEBUG];
