//! The gates a request passes before it runs. Their order can be seen by clients and is stock's.

use crate::commands::{Entry, Flag};
use crate::config::choices::ProtectedAction;
use crate::resp::{Args, CommandError, errors};
use crate::state::State;
use crate::state::client::{Blocked, Client, Queued};
use crate::state::cluster::Membership;

use super::dispatch::resolve;

/// What the gates say.
#[derive(Debug)]
pub(super) enum Gate {
    /// Run it now.
    Open(&'static Entry),
    /// It was queued for EXEC.
    Queued,
    /// Answer an error; a transaction being queued is spoilt.
    Refused(Option<&'static Entry>, CommandError),
    /// The same where the keys are not served here: an EXEC ends with just that error.
    Redirected(&'static Entry, CommandError),
    /// The client is blocked; the request is to be tried again when it goes on.
    Postponed,
}

/// Leads a request through all gates.
#[inline]
pub(super) fn pass(state: &mut State, client: &mut Client, args: Args<'_>) -> Gate {
    let entry = match resolve(&state.command_names, args) {
        Ok(entry) => entry,
        Err((entry, error)) => return Gate::Refused(entry, error),
    };
    if let Err(error) = check_client(state, client, entry) {
        return Gate::Refused(Some(entry), error);
    }
    if let Err(error) = super::routing::route(state, client, entry, args) {
        return Gate::Redirected(entry, error);
    }
    if let Err(error) = check(state, client, entry) {
        return Gate::Refused(Some(entry), error);
    }
    if !state.migrations.is_idle() && waits_for_handoff(state, client, entry) {
        if state.handoff_hangs(client.slot) {
            return Gate::Refused(Some(entry), errors::HANDOFF);
        }
        client.blocked = Some(Blocked::Paused);
        return Gate::Postponed;
    }
    let waits = state.pause.is_some() || writes_wait(state);
    if waits && pauses(state, client, entry) {
        client.blocked = Some(Blocked::Paused);
        return Gate::Postponed;
    }
    if state.keyspace.has_holds() && super::moves::must_wait(state, client, entry, args) {
        client.blocked = Some(Blocked::Held);
        state.moves.waiting.push(client.id);
        return Gate::Postponed;
    }
    if client.transaction.is_some() && !runs_inside_multi(entry) {
        queue(client, entry, args);
        return Gate::Queued;
    }
    Gate::Open(entry)
}

/// Whether the client may run the command at all.
#[inline]
fn check_client(state: &State, client: &Client, entry: &Entry) -> Result<(), CommandError> {
    let flags = entry.flags;
    if flags.has(Flag::Protected) {
        protected(state, client, entry)?;
    }
    if client.transaction.is_some() && (flags.has(Flag::NoMulti) || is_migrate(entry)) {
        return Err(not_in_multi(entry));
    }
    if !client.authenticated && !flags.has(Flag::NoAuth) {
        return Err(errors::NOAUTH);
    }
    Ok(())
}

/// Whether the node can run the command now.
#[inline]
fn check(state: &mut State, client: &Client, entry: &'static Entry) -> Result<(), CommandError> {
    let flags = entry.flags;
    let queued = client.transaction.as_ref().filter(|_| entry.command.name == "exec");
    let writes = flags.has(Flag::Write) || queued.is_some_and(|queued| queued.writes);
    if state.config.maxmemory > 0 {
        let out_of_memory = !super::memory::make_room(state);
        // What is queued takes memory too. A nested MULTI or WATCH is not queued, but stock counts it.
        let queues = client.transaction.is_some() && !ends_transaction(entry);
        let wants = queues || flags.has(Flag::Denyoom) || queued.is_some_and(|queued| queued.grows);
        if out_of_memory && wants {
            return Err(errors::OOM);
        }
    }
    if (writes || entry.command.name == "ping")
        && let Some(error) = disk_error(state)
    {
        return Err(error);
    }
    if writes && state.replication.primary.is_some() && state.config.replica_read_only {
        return Err(errors::READONLY);
    }
    if writes && lacks_replicas(state) {
        return Err(errors::NOREPLICAS);
    }
    if client.subscriptions.any() && !client.resp3 && !runs_for_subscribers(entry) {
        return Err(for_subscribers_not(entry));
    }
    if is_stale(state)
        && (!flags.has(Flag::Stale) || queued.is_some_and(|queued| queued.needs_primary))
    {
        return Err(errors::MASTERDOWN);
    }
    if state
        .persistence
        .loading
        .is_some_and(|loading| !loading.serves || flags.has(Flag::NoAsyncLoading))
        && !flags.has(Flag::AlsoLoading)
        && (!flags.has(Flag::Loading) || queued.is_some_and(|queued| queued.needs_data))
    {
        return Err(errors::LOADING);
    }
    Ok(())
}

/// Whether fewer replicas keep up than `min-replicas-to-write` wants.
#[inline]
fn lacks_replicas(state: &State) -> bool {
    let config = &state.config;
    let (wanted, lag_s) = (config.min_replicas_to_write, config.min_replicas_max_lag);
    if wanted == 0 || lag_s == 0 || state.is_replica() {
        return false;
    }
    let now_ms = state.time.mono_us / 1000;
    state.replication.replicas.good(now_ms, u64::from(lag_s)) < wanted as usize
}

/// Whether the node is a replica without its primary and must not show old data.
#[inline]
fn is_stale(state: &State) -> bool {
    !state.config.replica_serve_stale_data
        && state.replication.primary.as_ref().is_some_and(|primary| !primary.link.is_online())
}

/// Commands that a client may use in RESP2 while it listens to anything: there, messages cannot be told from replies.
#[inline]
fn runs_for_subscribers(entry: &Entry) -> bool {
    matches!(
        entry.full_name.as_str(),
        "ping"
            | "subscribe"
            | "ssubscribe"
            | "psubscribe"
            | "unsubscribe"
            | "sunsubscribe"
            | "punsubscribe"
            | "quit"
            | "reset"
    )
}

#[cold]
fn for_subscribers_not(entry: &Entry) -> CommandError {
    CommandError::owned(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        entry.full_name
    ))
}

#[cold]
fn not_in_multi(entry: &Entry) -> CommandError {
    match entry.command.name {
        "watch" => CommandError::new("ERR WATCH inside MULTI is not allowed"),
        "migrate" => errors::MIGRATE_IN_MULTI,
        _ => CommandError::new("ERR Command not allowed inside a transaction"),
    }
}

/// A transaction runs in one go, and this waits for another node.
fn is_migrate(entry: &Entry) -> bool {
    entry.command.name == "migrate"
}

/// DEBUG and MODULE are for those whom the configuration allows.
#[cold]
fn protected(state: &State, client: &Client, entry: &Entry) -> Result<(), CommandError> {
    let name = entry.full_name.split('|').next().unwrap_or_default();
    let (setting, directive) = match name {
        "debug" => (state.config.enable_debug_command, "enable-debug-command"),
        _ => (state.config.enable_module_command, "enable-module-command"),
    };
    let allowed = match setting {
        ProtectedAction::Yes => true,
        ProtectedAction::Local => client.peer.unix || client.peer.loopback,
        ProtectedAction::No => false,
    };
    if allowed {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR {} command not allowed. If the {directive} option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        name.to_ascii_uppercase()
    )))
}

/// Why writes are refused for the sake of the disk.
pub(super) fn disk_error(state: &State) -> Option<CommandError> {
    if let Some(reason) = &state.persistence.log_error {
        return Some(CommandError::owned(format!(
            "MISCONF Errors writing to the AOF file: {reason}"
        )));
    }
    let is_unsaved = |one: &Membership| one.core.is_claiming() && one.core.has_failed_to_save();
    if state.cluster.as_deref().is_some_and(is_unsaved) {
        return Some(CommandError::new(
            "MISCONF Errors writing the cluster configuration file: see the log",
        ));
    }
    let failing = !state.persistence.last_save_ok
        && state.config.stop_writes_on_bgsave_error
        && !state.config.save.is_empty();
    failing.then_some(errors::MISCONF_RDB)
}

/// Whether commands that may write wait: the node is about to stop, or to hand its place over.
#[inline]
fn writes_wait(state: &State) -> bool {
    state.stopping
        || state.shutdown_waits
        || state.replication.failover.is_some()
        || state.cluster_holds_writes()
}

/// Whether the dataset must not change, whoever asks: clients are paused, the node is about to stop, or to hand its place
/// over.
pub(super) fn stands_still(state: &State) -> bool {
    let now_ms = state.time.unix_ms();
    writes_wait(state) || state.pause.is_some_and(|pause| pause.until_ms > now_ms)
}

fn pauses(state: &State, client: &Client, entry: &Entry) -> bool {
    let now_ms = state.time.unix_ms();
    let pause = state.pause.filter(|pause| pause.until_ms > now_ms);
    if pause.is_none() && !writes_wait(state) {
        return false;
    }
    let queued = client.transaction.as_ref().filter(|_| entry.command.name == "exec");
    let writes = entry.flags.has(Flag::Write)
        || entry.flags.has(Flag::MayReplicate)
        || queued.is_some_and(|queued| queued.writes || queued.may_replicate);
    writes || pause.is_some_and(|pause| !pause.writes_only)
}

/// Whether the request's slot is about to be served elsewhere. What is queued for EXEC waits with that.
#[cold]
fn waits_for_handoff(state: &State, client: &Client, entry: &Entry) -> bool {
    let queued = client.transaction.as_ref().filter(|_| entry.command.name == "exec");
    if client.transaction.is_some() && !runs_inside_multi(entry) {
        return false;
    }
    let writes = entry.flags.has(Flag::Write) || queued.is_some_and(|queued| queued.writes);
    (writes || client.slot.is_some()) && state.waits_for_handoff(client.slot, writes)
}

/// Commands that may end a transaction, for better or worse.
fn ends_transaction(entry: &Entry) -> bool {
    runs_inside_multi(entry) && !matches!(entry.command.name, "multi" | "watch")
}

/// Commands that are not queued between MULTI and EXEC.
#[inline]
fn runs_inside_multi(entry: &Entry) -> bool {
    matches!(entry.command.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
        && !entry.full_name.contains('|')
}

fn queue(client: &mut Client, entry: &'static Entry, args: Args<'_>) {
    let Some(transaction) = &mut client.transaction else { return };
    transaction.writes |= entry.flags.has(Flag::Write);
    transaction.may_replicate |= entry.flags.has(Flag::MayReplicate);
    transaction.grows |= entry.flags.has(Flag::Denyoom);
    transaction.needs_data |= !entry.flags.has(Flag::Loading);
    transaction.needs_primary |= !entry.flags.has(Flag::Stale);
    // A transaction that fails anyway keeps nothing.
    if transaction.refused || client.watch_broken {
        return;
    }
    let (bytes, ranges, canonical) = args.to_owned_parts();
    transaction.queue.push(Queued { bytes, ranges, canonical });
}
