//! FAILOVER: a primary hands its place to a replica.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::replication::failover::{Failover, Step};
use crate::replication::replicas::Stage;
use crate::resp::{Args, CommandError, errors, number};

const FAILOVER: Command = Command {
    name: "failover",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale],
    group: Group::Server,
    since: "6.2.0",
    summary: "Hands the place of the primary to one of its replicas, which this server follows then.",
    syntax: "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
    run: failover,
    ..Command::DEFAULT
};

/// The words of a request.
#[derive(Default)]
struct Wanted {
    target: Option<(String, u16)>,
    force: bool,
    abort: bool,
    timeout_ms: Option<u64>,
}

fn failover(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.config.cluster_enabled {
        return Err(
            "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead."
                .into(),
        );
    }
    let wanted = parse(args)?;
    let running = ctx.state.replication.failover.is_some();
    if wanted.abort {
        if args.len() > 2 {
            return Err(errors::SYNTAX);
        }
        if !running {
            return Err("ERR No failover in progress.".into());
        }
        ctx.state.abort_failover("by command");
        ctx.reply.ok();
        return Ok(());
    }
    if running {
        return Err("ERR FAILOVER already in progress.".into());
    }
    if ctx.state.is_replica() {
        return Err("ERR FAILOVER is not valid when server is a replica.".into());
    }
    if ctx.state.replication.replicas.is_empty() {
        return Err("ERR FAILOVER requires connected replicas.".into());
    }
    if wanted.force && (wanted.timeout_ms.is_none() || wanted.target.is_none()) {
        return Err(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.".into(),
        );
    }
    if let Some((host, port)) = &wanted.target {
        let mut replicas = ctx.state.replication.replicas.iter();
        let found = replicas.find(|replica| replica.ip == *host && replica.port == *port);
        match found.map(|replica| replica.stage) {
            None => return Err("ERR FAILOVER target HOST and PORT is not a replica.".into()),
            Some(Stage::Online) => {}
            Some(_) => return Err("ERR FAILOVER target replica is not online.".into()),
        }
    }
    let now_ms = ctx.time.mono_us / 1000;
    ctx.state.replication.failover = Some(Failover {
        target: wanted.target,
        force: wanted.force,
        deadline_ms: wanted.timeout_ms.map(|timeout_ms| now_ms.saturating_add(timeout_ms)),
        step: Step::WaitingForSync,
    });
    ctx.state.replication.asks_for_acks = true;
    ctx.note("FAILOVER requested".to_owned());
    ctx.reply.ok();
    Ok(())
}

fn parse(args: Args<'_>) -> Result<Wanted, CommandError> {
    let mut wanted = Wanted::default();
    let mut index = 1;
    while let Some(word) = args.get(index) {
        match word.to_ascii_lowercase().as_slice() {
            b"to" if args.len() > index + 2 && wanted.target.is_none() => {
                let port = number::parse_i64(&args[index + 2]).ok_or(errors::NOT_INTEGER)?;
                let port = u16::try_from(port).map_err(|_| errors::NOT_INTEGER)?;
                wanted.target =
                    Some((String::from_utf8_lossy(&args[index + 1]).into_owned(), port));
                index += 2;
            }
            b"force" if wanted.target.is_some() => wanted.force = true,
            b"abort" => wanted.abort = true,
            b"timeout" if args.len() > index + 1 && wanted.timeout_ms.is_none() => {
                let ms = number::parse_i64(&args[index + 1]).ok_or(errors::NOT_INTEGER)?;
                let positive = u64::try_from(ms).ok().filter(|ms| *ms > 0);
                let refused = CommandError::new("ERR FAILOVER timeout must be greater than 0");
                wanted.timeout_ms = Some(positive.ok_or(refused)?);
                index += 1;
            }
            _ => return Err(errors::SYNTAX),
        }
        index += 1;
    }
    Ok(wanted)
}

/// The family.
pub const COMMANDS: &[Command] = &[FAILOVER];
