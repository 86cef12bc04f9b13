//! INFO replication.

use super::info::{Source, fields};
use crate::replication::failover::Failover;
use crate::replication::replicas::{Stage, lag_s_of};
use crate::state::State;
use crate::state::replication::Primary;

pub(super) fn replication(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    match &state.replication.primary {
        None => fields!(out, "role": "master"),
        Some(primary) => of_replica(state, primary, out),
    }
    replicas(state, out);
    let stream = &state.stream;
    let former = stream.former.as_ref();
    // The offset named is that of the first byte which is no longer common, as in stock.
    let second = former.map_or(-1, |(_, common)| i64::try_from(common + 1).unwrap_or(-1));
    let backlog = &state.replication.backlog;
    let held = backlog.end - backlog.first;
    fields!(out,
        "master_failover_state": Failover::name(state.replication.failover.as_ref()),
        "master_replid": stream.id,
        "master_replid2": former.map_or_else(|| "0".repeat(40), |(id, _)| id.clone()),
        "master_repl_offset": stream.end,
        "second_repl_offset": second,
        "repl_backlog_active": u8::from(backlog.active),
        "repl_backlog_size": state.config.repl_backlog_size,
        "repl_backlog_first_byte_offset": if backlog.active { backlog.first + 1 } else { 0 },
        "repl_backlog_histlen": held,
    );
}

fn of_replica(state: &State, primary: &Primary, out: &mut String) {
    let now_ms = state.time.mono_us / 1000;
    let link = &primary.link;
    let silent_s = link.silent_s(now_ms).and_then(|seconds| i64::try_from(seconds).ok());
    fields!(out,
        "role": "slave",
        "master_host": primary.address.host,
        "master_port": primary.address.port,
        "master_link_status": if link.is_online() { "up" } else { "down" },
        "master_last_io_seconds_ago": silent_s.unwrap_or(-1),
        "master_sync_in_progress": u8::from(link.is_syncing()),
        "slave_read_repl_offset": state.stream.end,
        "slave_repl_offset": state.stream.end,
    );
    if link.is_syncing() {
        let (total, received) = link.transfer;
        let perc = total
            .filter(|total| *total > 0)
            .map_or(0.0, |total| received as f64 * 100.0 / total as f64);
        fields!(out,
            "master_sync_total_bytes": total.unwrap_or(0),
            "master_sync_read_bytes": received,
            "master_sync_left_bytes": total.unwrap_or(received).saturating_sub(received),
            "master_sync_perc": format!("{perc:.2}"),
            "master_sync_last_io_seconds_ago": link.heard_s(now_ms),
            "master_sync_eta_seconds": link.eta_s(now_ms).map_or(-1, u64::cast_signed),
        );
    }
    if let Some(down_s) = link.down_s(now_ms) {
        fields!(out, "master_link_down_since_seconds": down_s);
    }
    if let Some(why) = &primary.stopped {
        fields!(out, "master_link_stopped": why);
    }
    fields!(out,
        "slave_priority": state.config.replica_priority,
        "slave_read_only": u8::from(state.config.replica_read_only),
        "replica_announced": u8::from(state.config.replica_announced),
    );
}

fn replicas(state: &State, out: &mut String) {
    let now_ms = state.time.mono_us / 1000;
    let replicas = &state.replication.replicas;
    fields!(out, "connected_slaves": replicas.len());
    let max_lag_s = u64::from(state.config.min_replicas_max_lag);
    if state.config.min_replicas_to_write > 0 && max_lag_s > 0 {
        fields!(out, "min_slaves_good_slaves": replicas.good(now_ms, max_lag_s));
    }
    for (index, replica) in replicas.iter().enumerate() {
        let lag_s = if replica.stage == Stage::Online { lag_s_of(replica, now_ms) } else { 0 };
        out.push_str(&format!(
            "slave{index}:ip={},port={},state={},offset={},lag={lag_s}",
            replica.ip,
            replica.port,
            replica.stage.name(),
            replica.acked,
        ));
        if let Some((total, sent)) = replica.sync {
            let total = total.map_or_else(|| "unknown".to_owned(), |total| total.to_string());
            out.push_str(&format!(",sync_total={total},sync_sent={sent}"));
        }
        out.push_str("\r\n");
    }
}
