//! INFO persistence.

use super::info::{Source, fields};
use crate::state::State;
use crate::state::persistence::Job;

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "err" }
}

/// Seconds, or -1 for none.
fn or_none(seconds: Option<u64>) -> i64 {
    seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
}

pub(super) fn persistence(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let persistence = &state.persistence;
    let now_s = state.time.unix_s();
    let elapsed = |job: Option<Job>| or_none(job.map(|job| now_s.saturating_sub(job.started_s)));
    let job = persistence.snapshot.or(persistence.rewrite);
    let (done, total) = job.map_or((0, 0), |job| (job.keys_done, job.keys_total));
    fields!(out,
        "loading": u8::from(persistence.loading.is_some()),
        "async_loading": 0,
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": format_args!("{:.2}", 100.0 * super::info::ratio(done, total)),
        "current_save_keys_processed": done,
        "current_save_keys_total": total,
        "rdb_changes_since_last_save": persistence.dirty,
        "rdb_bgsave_in_progress": u8::from(persistence.snapshot.is_some()),
        "rdb_last_save_time": persistence.last_save_s,
        "rdb_last_bgsave_status": word(persistence.last_save_ok),
        "rdb_last_bgsave_time_sec": or_none(persistence.last_save_duration_s),
        "rdb_current_bgsave_time_sec": elapsed(persistence.snapshot),
        "rdb_saves": persistence.saves,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": persistence.load_keys_expired,
        "rdb_last_load_keys_loaded": persistence.load_keys_loaded,
        "aof_enabled": u8::from(persistence.aof_enabled),
        "aof_rewrite_in_progress": u8::from(persistence.rewrite.is_some()),
        "aof_rewrite_scheduled": u8::from(persistence.rewrite_scheduled),
        "aof_last_rewrite_time_sec": or_none(persistence.last_rewrite_duration_s),
        "aof_current_rewrite_time_sec": elapsed(persistence.rewrite),
        "aof_last_bgrewrite_status": word(persistence.last_rewrite_ok),
        "aof_rewrites": persistence.rewrites,
        "aof_rewrites_consecutive_failures": persistence.rewrite_failures,
        "aof_last_write_status": word(persistence.log_error.is_none()),
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    );
    if persistence.aof_enabled {
        log(state, out);
    }
    if persistence.loading.is_some() {
        loading(state, out);
    }
}

fn log(state: &State, out: &mut String) {
    let persistence = &state.persistence;
    fields!(out,
        "aof_current_size": persistence.aof_current_size,
        "aof_base_size": persistence.aof_base_size,
        "aof_pending_rewrite": u8::from(persistence.aof_waits_for_rewrite),
        "aof_buffer_length": state.stream.pending.len(),
        "aof_pending_bio_fsync": u8::from(persistence.durable < persistence.written),
        "aof_delayed_fsync": persistence.delayed_syncs.saturating_sub(persistence.delayed_syncs_before),
    );
}

fn loading(state: &State, out: &mut String) {
    let Some(loading) = state.persistence.loading else { return };
    let elapsed_s = state.time.unix_s().saturating_sub(loading.started_s);
    let left = loading.total_bytes.saturating_sub(loading.loaded_bytes);
    // At the speed so far; 1 while nothing is loaded yet, as stock says.
    let eta_s = elapsed_s.saturating_mul(left).checked_div(loading.loaded_bytes).unwrap_or(1);
    let percent = 100.0 * super::info::ratio(loading.loaded_bytes, loading.total_bytes);
    fields!(out,
        "loading_start_time": loading.started_s,
        "loading_total_bytes": loading.total_bytes,
        "loading_rdb_used_mem": 0,
        "loading_loaded_bytes": loading.loaded_bytes,
        "loading_loaded_perc": format_args!("{percent:.2}"),
        "loading_eta_seconds": eta_s,
    );
}
