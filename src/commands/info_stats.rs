//! INFO stats, commandstats, errorstats and latencystats.

use super::info::{Source, fields, ratio};
use super::table::{Entry, table};
use crate::pubsub::Kind;
use crate::resp::number::push_f64;

pub(super) fn stats(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let (stats, keys) = (&state.stats, &state.keyspace.stats);
    let since_us = stats.exceeds_since_us.unwrap_or(state.time.mono_us);
    let exceeding_us = state.time.mono_us.saturating_sub(since_us);
    let [per_second, in_bytes, out_bytes] = stats.rates.mean();
    let kilo = |bytes: u64| format!("{:.2}", ratio(bytes, 1024));
    fields!(out,
        "total_connections_received": stats.connections,
        "total_commands_processed": stats.commands,
        "instantaneous_ops_per_sec": per_second,
        "total_net_input_bytes": stats.net_in.saturating_sub(stats.net_before[0]),
        "total_net_output_bytes": stats.net_out.saturating_sub(stats.net_before[1]),
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": kilo(in_bytes),
        "instantaneous_output_kbps": kilo(out_bytes),
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": stats.rejected_connections,
        "sync_full": state.replication.counts.full,
        "sync_partial_ok": state.replication.counts.partial,
        "sync_partial_err": state.replication.counts.partial_refused,
        "repl_stream_bytes_from_memory": state.replication.counts.memory_bytes,
        "repl_stream_bytes_from_disk": state.replication.counts.disk_bytes,
        "expired_keys": keys.expired,
        "expired_subkeys": keys.expired_fields,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": keys.expire_time_cap_reached,
        "expire_cycle_cpu_milliseconds": stats.expire_cycle_us / 1000,
        "evicted_keys": keys.evicted,
        "evicted_clients": stats.evicted_clients,
        "total_eviction_exceeded_time": (stats.exceeded_us + exceeding_us) / 1000,
        "current_eviction_exceeded_time": exceeding_us / 1000,
        "keyspace_hits": keys.hits,
        "keyspace_misses": keys.misses,
        "pubsub_channels": state.pubsub.topics(Kind::Channel),
        "pubsub_patterns": state.pubsub.topics(Kind::Pattern),
        "pubsubshard_channels": state.pubsub.topics(Kind::Shard),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": state.moves.cached_sockets,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
    );
    more_stats(source, out);
}

fn more_stats(source: &Source<'_>, out: &mut String) {
    let stats = &source.state.stats;
    fields!(out,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": stats.errors,
        "dump_payload_sanitizations": 0,
        "total_reads_processed": stats.reads.saturating_sub(stats.calls_before[0]),
        "total_writes_processed": stats.writes.saturating_sub(stats.calls_before[1]),
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "eventloop_cycles": 0,
        "eventloop_duration_sum": 0,
        "eventloop_duration_cmd_sum": 0,
        "instantaneous_eventloop_cycles_per_sec": 0,
        "instantaneous_eventloop_duration_usec": 0,
        "acl_access_denied_auth": stats.auth_failures,
        "acl_access_denied_cmd": 0,
        "acl_access_denied_key": 0,
        "acl_access_denied_channel": 0,
        "client_query_buffer_limit_disconnections": stats.query_limit_disconnections,
        "client_output_buffer_limit_disconnections": stats.output_limit_disconnections,
    );
}

/// Calls `visit` for each command and subcommand.
pub(super) fn for_each_entry(mut visit: impl FnMut(&'static Entry)) {
    for entry in table().entries() {
        visit(entry);
        entry.subcommands.iter().for_each(&mut visit);
    }
}

pub(super) fn commandstats(source: &Source<'_>, out: &mut String) {
    for_each_entry(|entry| {
        let Some(stats) = source.state.stats.by_command.get(entry.id) else { return };
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            return;
        }
        out.push_str(&format!(
            "cmdstat_{}:calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}\r\n",
            entry.full_name,
            stats.calls,
            stats.usec,
            ratio(stats.usec, stats.calls),
            stats.rejected,
            stats.failed,
        ));
    });
}

pub(super) fn errorstats(source: &Source<'_>, out: &mut String) {
    for (code, count) in &source.state.stats.errors_by_code {
        out.push_str(&format!("errorstat_{code}:count={count}\r\n"));
    }
}

/// Percentiles of the durations of each command, in microseconds.
pub(super) fn latencystats(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let wanted = &state.config.latency_tracking_info_percentiles;
    for_each_entry(|entry| {
        let stats = state.stats.by_command.get(entry.id);
        let Some(durations) = stats.and_then(|stats| stats.latency.as_deref()) else { return };
        out.push_str(&format!("latency_percentiles_usec_{}:", entry.full_name));
        for (index, &percentile) in wanted.iter().enumerate() {
            let mut label = Vec::new();
            push_f64(&mut label, percentile);
            let value_ns = durations.value_at_percentile(percentile);
            out.push_str(&format!(
                "{}p{}={}.{:03}",
                if index == 0 { "" } else { "," },
                String::from_utf8_lossy(&label),
                value_ns / 1000,
                value_ns % 1000,
            ));
        }
        out.push_str("\r\n");
    });
}
