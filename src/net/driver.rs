//! Carries out what the node asks for, and tells it the time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;
use super::{feed, follow, migration, moves, reload, stop, system, trimming, walks};
use crate::clock::{self, SystemClock};
use crate::node::Node;
use crate::state::Output;
use crate::state::freeing::Waste;
use crate::state::output::Note;

/// What a turn behind the node's lock left to do outside of it.
#[derive(Debug)]
pub(super) struct Extra {
    outputs: Vec<Output>,
    waste: Vec<Waste>,
}

/// Takes what the node wants done. Nothing, as a rule.
#[inline]
pub(super) fn collect(node: &mut Node) -> Option<Extra> {
    let state = &mut node.state;
    if state.outputs.is_empty() && !state.keyspace.has_garbage() && state.freeing.is_empty() {
        return None;
    }
    let mut waste = state.freeing.take();
    if state.keyspace.has_garbage() {
        waste.push(Waste::uncounted(state.keyspace.take_garbage()));
    }
    Some(Extra { outputs: node.take_outputs(), waste })
}

/// Does it, in order.
pub(super) fn carry_out(shared: &Arc<Shared>, extra: Extra) {
    for waste in extra.waste {
        shared.free(waste);
    }
    for output in extra.outputs {
        match output {
            Output::Push { client, bytes } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.push(shared, &bytes, 0);
                }
            }
            Output::Answer { client, bytes, hold } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.push(shared, &bytes, hold);
                }
            }
            Output::MoveKeys { number } => moves::start(shared, number),
            Output::Deliver { client } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.fetch(shared);
                }
            }
            Output::Deadline => shared.deadline_changed.notify_one(),
            Output::Resume { client } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.resume();
                }
            }
            Output::Finish { client } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.finish();
                }
            }
            Output::Close { client } => {
                if let Some(connection) = shared.connections.lock().get(&client) {
                    connection.close();
                }
            }
            Output::Feed(feed) => feed::start(shared, *feed),
            Output::Bus => shared.bus.wake(),
            Output::LinkChanged => shared.link_changed.notify_one(),
            Output::StartSnapshot => walks::start_snapshot(shared),
            Output::StartRewrite => walks::start_rewrite(shared),
            Output::StartTrimming => trimming::start(shared),
            Output::ConfigChanged(names) => settings_changed(shared, &names),
            Output::FollowSettings(follow) => follow::start(shared, follow),
            Output::RewriteConfig { client } => rewrite_config(shared, client),
            Output::Reload { client, log, save } => reload::start(shared, client, log, save),
            Output::MoveSlots { job } => migration::on_threads::move_slots(shared, job),
            Output::TakeSlots { job, client } => {
                migration::on_threads::take_slots(shared, job, client)
            }
            Output::SyncLog { client } => migration::on_threads::sync_log(shared, client),
            Output::RequestSlots { job } => migration::on_threads::request_slots(shared, job),
            Output::Shutdown(how) => stop::start(shared, how),
            Output::Note(Note { warning: true, text }) => tracing::warn!("{text}"),
            Output::Note(Note { warning: false, text }) => tracing::info!("{text}"),
        }
    }
}

/// Runs something with the node and carries out what it asks for.
pub(super) fn with_node<T>(shared: &Arc<Shared>, run: impl FnOnce(&mut Node) -> T) -> T {
    let mut node = shared.node.lock();
    let result = run(&mut node);
    let extra = collect(&mut node);
    drop(node);
    if let Some(extra) = extra {
        carry_out(shared, extra);
    }
    result
}

/// Ends waits of clients at their very moment, which may lie between two ticks.
pub(super) async fn deadline_task(shared: Arc<Shared>) {
    /// Nobody waits that long; whoever comes wakes this task.
    const LONG: Duration = Duration::from_secs(3600);
    while !shared.is_stopping() {
        let next_ms = with_node(&shared, |node| node.end_due_waits(&mut SystemClock));
        let now_ms = clock::now().unix_ms();
        let time = next_ms.map_or(LONG, |next| Duration::from_millis(next.saturating_sub(now_ms)));
        tokio::select! {
            () = tokio::time::sleep(time.min(LONG)) => {}
            () = shared.deadline_changed.notified() => {}
        }
    }
}

/// Ticks the node `hz` times a second until the process stops.
pub(super) async fn tick_task(shared: Arc<Shared>) {
    /// Microseconds between two looks at the facts of the machine: files of `/proc` cost some to read.
    const SYSTEM_FACTS_US: u64 = 90_000;
    let mut facts = shared.node.lock().state.system;
    let mut look_again_us = 0;
    loop {
        let hz = shared.node.lock().state.config.hz.clamp(1, 500);
        tokio::time::sleep(Duration::from_micros(1_000_000 / u64::from(hz))).await;
        if shared.is_stopping() {
            return;
        }
        let sizes = shared.committer.sizes();
        let (written, durable) = shared.committer.progress();
        let delayed = shared.committer.delayed_syncs.load(Ordering::Relaxed);
        let [append_us, sync_us] = shared.committer.take_longest_us();
        let seen = look_at_connections(&shared);
        let now_us = clock::mono_us();
        if now_us >= look_again_us {
            look_again_us = now_us + SYSTEM_FACTS_US;
            system::refresh(&mut facts);
        }
        let unwanted = with_node(&shared, |node| {
            tell_of_connections(node, &shared, &seen);
            node.state.system = facts;
            node.state.replication.backlog = shared.relay.facts();
            let [memory, disk] = &shared.relayed;
            let counts = &mut node.state.replication.counts;
            counts.memory_bytes = memory.load(Ordering::Relaxed);
            counts.disk_bytes = disk.load(Ordering::Relaxed);
            let persistence = &mut node.state.persistence;
            if let Some((current, base)) = sizes {
                persistence.aof_current_size = current;
                persistence.aof_base_size = persistence.aof_base_size.max(base);
            }
            persistence.written = written;
            persistence.durable = durable;
            persistence.delayed_syncs = delayed;
            node.tick(clock::now());
            node.log_took(append_us, sync_us);
            node.stream_is_unwanted()
        });
        // Between slices others get at the node.
        while with_node(&shared, |node| node.expire_slice(&mut SystemClock)) {
            tokio::task::yield_now().await;
        }
        if !shared.committer.is_on() {
            close_slow_replicas(&shared);
        }
        if unwanted {
            shared.committer.stop_relay(&shared);
        }
        // Effects of expiry have to reach the log although nobody waits for them.
        shared.committer.kick_if_pending(&shared);
    }
}

/// With the log off what a slow replica lacks is kept in memory: `client-output-buffer-limit replica` says for how long.
fn close_slow_replicas(shared: &Arc<Shared>) {
    let limit = shared.node.lock().state.config.client_output_buffer_limit.replica;
    for client in shared.relay.too_slow(limit, clock::mono_us() / 1000) {
        let found = shared.connections.lock().get(&client).cloned();
        if let Some(connection) = found {
            tracing::warn!("Replica client id #{} has been too far behind for too long", client.0);
            connection.close();
        }
    }
}

/// Facts of one connection.
struct Seen {
    client: crate::state::ClientId,
    received: u64,
    transmitted: u64,
    unsent: usize,
    unread: usize,
    calls: [u64; 2],
}

fn look_at_connections(shared: &Shared) -> Vec<Seen> {
    let connections = shared.connections.lock();
    let look = |connection: &Arc<super::connection::Connection>| Seen {
        client: connection.id,
        received: connection.received.load(Ordering::Relaxed),
        transmitted: connection.transmitted.load(Ordering::Relaxed),
        unsent: connection.unsent.load(Ordering::Relaxed),
        unread: connection.unread.load(Ordering::Relaxed),
        calls: connection.calls.each_ref().map(|calls| calls.load(Ordering::Relaxed)),
    };
    connections.values().map(look).collect()
}

fn tell_of_connections(node: &mut Node, shared: &Shared, seen: &[Seen]) {
    let [closed_in, closed_out] = &shared.closed_net;
    let mut net_in = closed_in.load(Ordering::Relaxed);
    let mut net_out = closed_out.load(Ordering::Relaxed);
    let mut calls = shared.closed_calls.each_ref().map(|calls| calls.load(Ordering::Relaxed));
    let mut heard = Vec::new();
    for seen in seen {
        net_in += seen.received;
        net_out += seen.transmitted;
        calls[0] += seen.calls[0];
        calls[1] += seen.calls[1];
        if let Some(client) = node.state.clients.get_mut(seen.client) {
            if client.is_replica && seen.received > client.net_in {
                heard.push(client.id.0);
            }
            client.net_in = seen.received;
            client.net_out = seen.transmitted;
            client.output_bytes = seen.unsent;
            client.query_bytes = seen.unread;
        }
    }
    // While it loads a snapshot a replica sends empty lines, which are no requests.
    for client in heard {
        if let Some(replica) = node.state.replication.replicas.get_mut(client) {
            replica.acked_ms = clock::mono_us() / 1000;
        }
    }
    node.state.stats.net_in = net_in;
    node.state.stats.net_out = net_out;
    [node.state.stats.reads, node.state.stats.writes] = calls;
    let [pending, freed] = &*shared.freed;
    node.state.stats.lazyfree_pending = pending.load(Ordering::Relaxed);
    node.state.stats.lazyfreed_objects = freed.load(Ordering::Relaxed);
}

/// Applies the settings that the driver holds itself.
pub(super) fn settings_changed(shared: &Arc<Shared>, names: &[&'static str]) {
    // Two changes at a time: whoever is second looks at the settings after the first one's are in force.
    let _turn = shared.settings.lock();
    let config = shared.node.lock().state.config.clone();
    for name in names {
        match *name {
            "appendfsync" => {
                shared.committer.set_policy(shared, config.appendfsync);
            }
            "appendonly" => {
                walks::set_append_only(shared, config.appendonly);
                shared.relay.set_limits(super::commit::relay_limits(&config));
            }
            "aof-disable-auto-gc" | "repl-backlog-disk-size" => {
                walks::keep_history(shared, &config);
            }
            "proto-max-bulk-len" => {
                shared.bulk_bytes_max.store(config.proto_max_bulk_len, Ordering::Relaxed);
            }
            "client-query-buffer-limit" => {
                shared.query_bytes_max.store(config.client_query_buffer_limit, Ordering::Relaxed);
            }
            "repl-backlog-size" | "client-output-buffer-limit" => {
                shared.relay.set_limits(super::commit::relay_limits(&config));
            }
            "loglevel" => crate::logging::set_level(config.loglevel),
            "oom-score-adj" | "oom-score-adj-values" => {
                super::process::set_oom_score(&config, false);
            }
            _ => {}
        }
    }
}

/// CONFIG REWRITE: writes the file outside of the lock and answers the client.
fn rewrite_config(shared: &Arc<Shared>, client: crate::state::ClientId) {
    let shared = Arc::clone(shared);
    super::spawn_thread("config", move || {
        let config = shared.node.lock().state.config.clone();
        let reply = match config.file() {
            None => "-ERR The server is running without a config file\r\n".to_owned(),
            Some(path) => match config.rewrite(path) {
                Ok(()) => {
                    tracing::info!("CONFIG REWRITE executed with success.");
                    "+OK\r\n".to_owned()
                }
                Err(error) => {
                    tracing::warn!("CONFIG REWRITE failed: {error}");
                    format!("-ERR Rewriting config file: {error}\r\n")
                }
            },
        };
        with_node(&shared, |node| node.answer_job(client, reply.into_bytes()));
    });
}
