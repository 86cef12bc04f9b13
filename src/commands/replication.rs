//! ROLE, REPLICAOF, WAIT, WAITAOF, and what replicas say: REPLCONF, PSYNC, SYNC.

use super::client_control::parse_timeout;
use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::cluster::core::Guard;
use crate::config::PrimaryAddress;
use crate::replication::replicas::{Announced, Replica, Stage};
use crate::replication::resync::Asked;
use crate::resp::{Args, CommandError, errors, number, quoted};
use crate::state::Output;
use crate::state::client::{Blocked, Timeout};
use crate::state::output::Feed;

const ROLE: Command = Command {
    name: "role",
    arity: Arity::Exactly(1),
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["admin", "dangerous"],
    group: Group::Server,
    since: "2.8.12",
    summary: "Returns the role in replication, the offset and the replicas.",
    run: role,
    ..Command::DEFAULT
};

fn role(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let offset = ctx.state.stream.end.cast_signed();
    if let Some(primary) = &ctx.state.replication.primary {
        ctx.reply.array(5);
        ctx.reply.bulk(b"slave");
        ctx.reply.bulk(primary.address.host.as_bytes());
        ctx.reply.int(i64::from(primary.address.port));
        ctx.reply.bulk(primary.link.name().as_bytes());
        ctx.reply.int(offset);
        return Ok(());
    }
    let online = |replica: &&Replica| replica.stage == Stage::Online;
    let replicas: Vec<&Replica> = ctx.state.replication.replicas.iter().filter(online).collect();
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(offset);
    ctx.reply.array(replicas.len());
    for replica in replicas {
        ctx.reply.array(3);
        ctx.reply.bulk(replica.ip.as_bytes());
        ctx.reply.bulk(replica.port.to_string().as_bytes());
        ctx.reply.bulk(replica.acked.to_string().as_bytes());
    }
    Ok(())
}

const REPLICAOF: Command = Command {
    name: "replicaof",
    arity: Arity::Exactly(3),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale, Flag::NoAsyncLoading],
    group: Group::Server,
    since: "5.0.0",
    summary: "Makes the server a replica of another, or with NO ONE a primary.",
    syntax: "<host port | NO ONE>",
    run: replicaof,
    ..Command::DEFAULT
};

const SLAVEOF: Command = Command {
    name: "slaveof",
    since: "1.0.0",
    summary: "The former name of REPLICAOF.",
    ..REPLICAOF
};

fn replicaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.config.cluster_enabled {
        return Err("ERR REPLICAOF not allowed in cluster mode.".into());
    }
    if ctx.state.replication.failover.is_some() {
        return Err("ERR REPLICAOF not allowed while failing over.".into());
    }
    let by = super::describe_client(ctx.client, ctx.time);
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        if ctx.state.is_replica() {
            ctx.state.config.values_mut().replicaof = None;
            ctx.state.set_primary(None);
            ctx.note(format!("MASTER MODE enabled (user request from '{by}')"));
        }
        ctx.reply.ok();
        return Ok(());
    }
    let port = number::parse_i64(&args[2]).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Err("ERR Invalid master port".into()) };
    let host = String::from_utf8_lossy(&args[1]).into_owned();
    let address = PrimaryAddress { host, port };
    if let Some(primary) = &ctx.state.replication.primary
        && primary.address == address
        && primary.stopped.is_none()
    {
        ctx.note("REPLICAOF would result into synchronization with the master we are already connected with. No operation performed.".to_owned());
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(());
    }
    if ctx.state.replication.primary.as_ref().is_some_and(|primary| primary.stopped.is_some()) {
        // To go on from where the stream stopped would stop it again. A full copy may hold what a command could not bring.
        let id = ctx.state.fresh_id();
        ctx.state.stream.disown(id);
    }
    let text = format!("REPLICAOF {}:{port} enabled (user request from '{by}')", address.host);
    ctx.state.config.values_mut().replicaof = Some(address.clone());
    ctx.state.set_primary(Some(address));
    ctx.note(text);
    ctx.reply.ok();
    Ok(())
}

const WAIT: Command = Command {
    name: "wait",
    arity: Arity::Exactly(3),
    flags: &[Flag::Blocking],
    categories: &["connection"],
    since: "3.0.0",
    summary: "Waits until replicas have acknowledged the connection's writes, and returns how many have.",
    syntax: "numreplicas timeout",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    run: wait,
    ..Command::DEFAULT
};

fn wait(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if ctx.state.is_replica() {
        return Err("ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.".into());
    }
    let until_ms = parse_timeout(&args[2], ctx.now_ms());
    let replicas = number::parse_i64(&args[1]).ok_or(errors::NOT_INTEGER)?;
    let until_ms = until_ms?;
    let replicas = usize::try_from(replicas).unwrap_or(0);
    wait_for(ctx, Timeout::Acked { offset: seen(ctx), replicas }, until_ms)
}

const WAITAOF: Command = Command {
    name: "waitaof",
    arity: Arity::Exactly(4),
    flags: &[Flag::Blocking],
    categories: &["connection"],
    since: "7.2.0",
    summary: "Waits until the connection's writes are synced here and on replicas, and returns how often they are.",
    syntax: "numlocal numreplicas timeout",
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    run: waitaof,
    ..Command::DEFAULT
};

fn waitaof(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let local = within(&args[1], 1)? > 0;
    let replicas = within(&args[2], i64::MAX)?;
    let until_ms = parse_timeout(&args[3], ctx.now_ms())?;
    if ctx.state.is_replica() {
        return Err("ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not propagated.".into());
    }
    if local && !ctx.state.persistence.aof_enabled {
        return Err(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.".into()
        );
    }
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    wait_for(ctx, Timeout::Synced { offset: seen(ctx), local, replicas }, until_ms)
}

/// The log offset behind all that the client has written or seen, also in the transaction that runs.
fn seen(ctx: &Context<'_>) -> u64 {
    let state = &*ctx.state;
    let now = if ctx.client.in_exec { state.keyspace.observed.min(state.stream.end) } else { 0 };
    ctx.client.wait_offset.max(now)
}

/// Answers at once where nothing has to be waited for, or nothing may.
fn wait_for(ctx: &mut Context<'_>, reply: Timeout, until_ms: u64) -> CommandResult {
    if ctx.client.in_exec || ctx.state.wait_is_over(reply) {
        let bytes = ctx.state.wait_reply(reply);
        ctx.reply.raw(&bytes);
        return Ok(());
    }
    ctx.client.blocked = Some(Blocked::Waiting { until_ms, reply });
    ctx.state.replication.asks_for_acks = true;
    Ok(())
}

/// A number from 0 to `max`.
fn within(word: &[u8], max: i64) -> Result<i64, CommandError> {
    let number = number::parse_i64(word).ok_or(errors::NOT_INTEGER)?;
    if (0..=max).contains(&number) {
        return Ok(number);
    }
    Err(CommandError::owned(format!("ERR value is out of range, value must between 0 and {max}")))
}

const REPLCONF: Command = Command {
    name: "replconf",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale, Flag::AllowBusy],
    group: Group::Server,
    since: "3.0.0",
    summary: "How replicas introduce themselves and acknowledge; for them only.",
    run: replconf,
    ..Command::DEFAULT
};

fn replconf(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(errors::SYNTAX);
    }
    for index in (1..args.len()).step_by(2) {
        let (option, value) = (args[index].to_ascii_lowercase(), &args[index + 1]);
        match option.as_slice() {
            b"ack" => {
                let synced = match args.get(index + 2) {
                    Some(word) if word.eq_ignore_ascii_case(b"fack") => args.get(index + 3),
                    _ => None,
                };
                acknowledge(ctx, value, synced);
                return Ok(());
            }
            // A replica answers this where it follows the stream; from anybody else it means nothing.
            b"getack" => return Ok(()),
            option => introduce(ctx, option, value)?,
        }
    }
    ctx.reply.ok();
    Ok(())
}

fn introduce(ctx: &mut Context<'_>, option: &[u8], value: &[u8]) -> CommandResult {
    let announced = ctx.client.announced.get_or_insert_default();
    let flag = |value: &[u8]| number::parse_i64(value).ok_or(errors::NOT_INTEGER);
    match option {
        b"listening-port" => {
            let port = number::parse_i64(value).ok_or(errors::NOT_INTEGER)?;
            announced.port = u16::try_from(port).map_err(|_| errors::NOT_INTEGER)?;
        }
        b"ip-address" => {
            /// Longer ones are no addresses.
            const ADDRESS_BYTES_MAX: usize = 255;
            if value.len() > ADDRESS_BYTES_MAX {
                return Err(CommandError::owned(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            announced.ip = String::from_utf8_lossy(value).into_owned();
        }
        b"capa" if value.eq_ignore_ascii_case(b"eof") => announced.takes_eof = true,
        b"capa" if value.eq_ignore_ascii_case(b"psync2") => announced.takes_ids = true,
        b"capa" | b"version" => {}
        b"rdb-only" => announced.snapshot_only = flag(value)? != 0,
        b"rdb-filter-only" => announced.without_keys = true,
        option => {
            let option = quoted(option);
            return Err(CommandError::owned(format!("ERR Unrecognized REPLCONF option: {option}")));
        }
    }
    Ok(())
}

/// What a replica has got. From a client that is none, as stock, nothing is answered and nothing done.
fn acknowledge(ctx: &mut Context<'_>, acked: &[u8], synced: Option<&[u8]>) {
    ctx.client.answers_nothing = true;
    let offset =
        |word: &[u8]| number::parse_i64(word).and_then(|offset| u64::try_from(offset).ok());
    let now_ms = ctx.time.mono_us / 1000;
    let Some(acked) = offset(acked) else { return };
    let Some(replica) = ctx.state.replication.replicas.get_mut(ctx.client.id.0) else { return };
    replica.has_acked = true;
    replica.acked = replica.acked.max(acked);
    replica.synced = synced.and_then(offset).or(replica.synced);
    replica.acked_ms = now_ms;
    ctx.state.end_met_waits();
}

const PSYNC: Command = Command {
    name: "psync",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading, Flag::NoMulti],
    group: Group::Server,
    since: "2.8.0",
    summary: "Asks for the stream from an offset on; for replicas only.",
    syntax: "replicationid offset",
    run: psync,
    ..Command::DEFAULT
};

fn psync(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let offset = number::parse_i64(&args[2]).ok_or(errors::NOT_INTEGER)?;
    let id = String::from_utf8_lossy(&args[1]).into_owned();
    // The byte wanted next is the one behind the offset that is held.
    let from = u64::try_from(offset).ok().and_then(|next| next.checked_sub(1));
    if args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"failover")) {
        take_over(ctx, &id)?;
    }
    feed(ctx, Some(Asked { id, from }))
}

/// The primary asks this replica to take its place.
fn take_over(ctx: &mut Context<'_>, id: &str) -> CommandResult {
    if !ctx.state.is_replica() {
        return Err("ERR PSYNC FAILOVER can't be sent to a master.".into());
    }
    if !id.eq_ignore_ascii_case(&ctx.state.stream.id) {
        return Err("ERR PSYNC FAILOVER replid must match my replid.".into());
    }
    ctx.state.config.values_mut().replicaof = None;
    ctx.state.set_primary(None);
    ctx.note(format!("Failover request received for replid {id}: this replica is the primary now"));
    Ok(())
}

const SYNC: Command = Command {
    name: "sync",
    arity: Arity::Exactly(1),
    summary: "Asks for a snapshot and the stream behind it; for replicas only.",
    since: "1.0.0",
    syntax: "",
    run: sync,
    ..PSYNC
};

fn sync(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    feed(ctx, None)
}

/// Makes the client a replica; its connection gets what it asks for from the driver.
fn feed(ctx: &mut Context<'_>, asked: Option<Asked>) -> CommandResult {
    let id = ctx.client.id;
    if ctx.state.replication.replicas.has(id.0) {
        ctx.client.answers_nothing = true;
        return Ok(());
    }
    let guard = ctx.state.cluster.as_ref().map(|one| one.core.guard());
    if guard.is_some_and(|guard| guard != Guard::Clear) {
        // Whoever has more than this node must not lose it to a full sync.
        return Err(
            "NOMASTERLINK Can't SYNC while it is not known whether a replica has more".into()
        );
    }
    if let Some(primary) = &ctx.state.replication.primary {
        if ctx.state.replication.failover.is_some() {
            return Err("NOMASTERLINK Can't SYNC while failing over".into());
        }
        if !primary.link.is_online() {
            return Err("NOMASTERLINK Can't SYNC while not connected with my master".into());
        }
    }
    let announced: Announced = ctx.client.announced.as_deref().cloned().unwrap_or_default();
    let address = &ctx.client.peer.address;
    let peer_ip = address.rsplit_once(':').map_or(address.as_str(), |(ip, _)| ip);
    let ip = if announced.ip.is_empty() { peer_ip.trim_matches(['[', ']']) } else { &announced.ip };
    ctx.state.replication.replicas.attach(Replica {
        client: id.0,
        ip: ip.to_owned(),
        port: announced.port,
        stage: Stage::WaitsForSnapshot,
        has_acked: false,
        acked: 0,
        synced: None,
        acked_ms: ctx.time.mono_us / 1000,
        sync: None,
    });
    ctx.client.is_replica = true;
    ctx.state.outputs.push(Output::Feed(Box::new(Feed { client: id, asked, announced })));
    Ok(())
}

/// The family.
pub const COMMANDS: &[Command] = &[ROLE, REPLICAOF, SLAVEOF, WAIT, WAITAOF, REPLCONF, PSYNC, SYNC];
