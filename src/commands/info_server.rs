//! INFO: the sections server, clients, replication, cpu, cluster and keyspace.

use std::collections::HashSet;

use super::info::{Source, fields};
use crate::config::choices::Supervision;
use crate::state::client::Blocked;
use crate::state::key_waits::{KeyWait, Wanted};

const SECONDS_PER_DAY: u64 = 86_400;

/// Seconds wrapped to 24 bits, as stock's access clock counts them.
const LRU_CLOCK_MASK: u64 = (1 << 24) - 1;

pub(super) fn server(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let (run, config, time) = (&state.run, &state.config, state.time);
    let uptime_s = time.unix_s().saturating_sub(run.started_s);
    let supervised = match config.supervised {
        Supervision::Systemd => "systemd",
        Supervision::Upstart => "upstart",
        Supervision::Auto | Supervision::No => "no",
    };
    let file = config.file().map(|path| path.display().to_string()).unwrap_or_default();
    fields!(out,
        "redis_version": crate::REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": if config.cluster_enabled { "cluster" } else { "standalone" },
        "os": run.os,
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "c11-builtin",
        "gcc_version": "0.0.0",
        "process_id": run.pid,
        "process_supervised": supervised,
        "run_id": run.run_id,
        "tcp_port": run.port,
        "server_time_usec": time.unix_us,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s / SECONDS_PER_DAY,
        "hz": config.hz,
        "configured_hz": config.hz,
        "lru_clock": time.unix_s() & LRU_CLOCK_MASK,
        "executable": run.executable.display(),
        "config_file": file,
        "io_threads_active": u8::from(config.io_threads > 1),
    );
    listeners(source, out);
    fields!(out, "highwater_version": env!("CARGO_PKG_VERSION"));
}

/// One line for each socket that is listened on.
fn listeners(source: &Source<'_>, out: &mut String) {
    let (config, run) = (&source.state.config, &source.state.run);
    let mut listeners = Vec::new();
    if run.port != 0 {
        let bind: String = config.bind.iter().map(|address| format!(",bind={address}")).collect();
        listeners.push(format!("name=tcp{bind},port={}", run.port));
    }
    if !config.unixsocket.is_empty() {
        listeners.push(format!("name=unix,bind={}", config.unixsocket));
    }
    for (index, listener) in listeners.iter().enumerate() {
        out.push_str(&format!("listener{index}:{listener}\r\n"));
    }
}

pub(super) fn clients(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let waiting = |timed: bool| {
        let counted = state.clients.iter().filter(|client| match client.blocked {
            Some(Blocked::Waiting { until_ms, .. }) => !timed || until_ms != 0,
            Some(Blocked::OnKeys) => {
                !timed || state.key_waits.get(client.id).is_some_and(|wait| wait.until_ms != 0)
            }
            Some(_) => !timed,
            None => false,
        });
        counted.count()
    };
    let for_group = |wait: &&KeyWait| matches!(wait.wanted, Wanted::Group { .. });
    let with_loss = state.key_waits.clients().map(|(_, wait)| wait).filter(for_group);
    let keys_with_loss = with_loss.flat_map(KeyWait::keys).collect::<HashSet<_>>().len();
    let input = state.clients.iter().map(|client| client.query_bytes).max().unwrap_or(0);
    let output = state.clients.iter().map(|client| client.output_bytes).max().unwrap_or(0);
    fields!(out,
        "connected_clients": state.clients.len(),
        "cluster_connections": state.bus_connections(),
        "maxclients": state.config.maxclients,
        "client_recent_max_input_buffer": input.max(source.own_query_bytes),
        "client_recent_max_output_buffer": output,
        "blocked_clients": waiting(false),
        "tracking_clients": 0,
        "clients_in_timeout_table": waiting(true),
        "total_blocking_keys": state.keyspace.waited_keys(),
        "total_blocking_keys_on_nokey": keys_with_loss,
    );
}

/// Microseconds as seconds with six digits.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

pub(super) fn cpu(source: &Source<'_>, out: &mut String) {
    let system = &source.state.system;
    fields!(out,
        "used_cpu_sys": seconds(system.cpu_sys_us),
        "used_cpu_user": seconds(system.cpu_user_us),
        "used_cpu_sys_children": seconds(system.children_sys_us),
        "used_cpu_user_children": seconds(system.children_user_us),
        "used_cpu_sys_main_thread": seconds(system.main_sys_us),
        "used_cpu_user_main_thread": seconds(system.main_user_us),
    );
}

pub(super) fn cluster(source: &Source<'_>, out: &mut String) {
    fields!(out, "cluster_enabled": u8::from(source.state.config.cluster_enabled));
}

pub(super) fn keyspace(source: &Source<'_>, out: &mut String) {
    let keyspace = &source.state.keyspace;
    for number in 0..keyspace.db_count() {
        let Some(db) = keyspace.db(number).filter(|db| !db.is_empty()) else { continue };
        out.push_str(&format!(
            "db{number}:keys={},expires={},avg_ttl={}\r\n",
            db.len(),
            db.volatile(),
            db.avg_ttl_ms(keyspace.now_ms()),
        ));
    }
}
