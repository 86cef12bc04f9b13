//! INFO memory, and the figures that MEMORY STATS shares with it.

use super::info::{Source, fields, human, ratio};
use crate::config::choices::Choice;
use crate::state::State;

/// Figures about memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) used: u64,
    pub(super) peak: u64,
    pub(super) startup: u64,
    pub(super) clients: u64,
    pub(super) log_buffer: u64,
    /// All that is not data.
    pub(super) overhead: u64,
    pub(super) dataset: u64,
    pub(super) rss: u64,
    pub(super) allocated: u64,
    pub(super) active: u64,
    pub(super) resident: u64,
}

/// Adds up where memory goes; `own` is what the client takes that is executing.
pub(super) fn figures(state: &State, own: usize) -> Figures {
    let used = crate::alloc::used_memory() as u64;
    let system = &state.system;
    let startup = system.startup_memory.min(used);
    let clients: usize = state.clients.iter().map(crate::state::Client::memory_usage).sum();
    let (clients, log_buffer) = ((clients + own) as u64, state.stream.pending.capacity() as u64);
    let overhead = startup + clients + log_buffer;
    // Without the allocator's own figures the count stands for all of them.
    let or_used = |figure: u64| if figure == 0 { used } else { figure };
    Figures {
        used,
        peak: state.stats.peak_memory.max(used),
        startup,
        clients,
        log_buffer,
        overhead,
        dataset: used.saturating_sub(overhead),
        rss: or_used(system.rss),
        allocated: or_used(system.allocated),
        active: or_used(system.active),
        resident: or_used(system.resident),
    }
}

impl Figures {
    /// The part of what came after the start that is data, in percent.
    pub(super) fn dataset_percent(&self) -> f64 {
        100.0 * ratio(self.dataset, self.used.saturating_sub(self.startup))
    }
}

/// The difference of two figures, negative where the first is smaller.
pub(super) fn difference(one: u64, other: u64) -> i64 {
    i64::try_from(one).unwrap_or(i64::MAX) - i64::try_from(other).unwrap_or(i64::MAX)
}

pub(super) fn memory(source: &Source<'_>, out: &mut String) {
    let state = source.state;
    let figures = figures(state, source.own_memory);
    let total = state.run.total_system_memory;
    fields!(out,
        "used_memory": figures.used,
        "used_memory_human": human(figures.used),
        "used_memory_rss": figures.rss,
        "used_memory_rss_human": human(figures.rss),
        "used_memory_peak": figures.peak,
        "used_memory_peak_human": human(figures.peak),
        "used_memory_peak_perc": format_args!("{:.2}%", 100.0 * ratio(figures.used, figures.peak)),
        "used_memory_overhead": figures.overhead,
        "used_memory_startup": figures.startup,
        "used_memory_dataset": figures.dataset,
        "used_memory_dataset_perc": format_args!("{:.2}%", figures.dataset_percent()),
        "allocator_allocated": figures.allocated,
        "allocator_active": figures.active,
        "allocator_resident": figures.resident,
        "total_system_memory": total,
        "total_system_memory_human": human(total),
    );
    scripts(state, out);
    let maxmemory = state.config.maxmemory;
    fields!(out,
        "maxmemory": maxmemory,
        "maxmemory_human": human(maxmemory),
        "maxmemory_policy": state.config.maxmemory_policy.word(),
    );
    allocator(&figures, out);
    let stats = &state.stats;
    fields!(out,
        "mem_not_counted_for_evict": figures.log_buffer,
        "mem_replication_backlog": 0,
        "mem_total_replication_buffers": 0,
        "mem_clients_slaves": 0,
        "mem_clients_normal": figures.clients,
        "mem_cluster_links": link_bytes(state),
        "mem_aof_buffer": figures.log_buffer,
        "mem_allocator": if cfg!(feature = "jemalloc") { "jemalloc-5.3.1" } else { "libc" },
        "active_defrag_running": 0,
        "lazyfree_pending_objects": stats.lazyfree_pending,
        "lazyfreed_objects": stats.lazyfreed_objects.saturating_sub(stats.lazyfreed_before),
    );
}

/// What waits to be sent to other nodes of the cluster.
fn link_bytes(state: &State) -> usize {
    let waiting = state.cluster.iter().flat_map(|membership| &membership.link_bytes);
    waiting.map(|(_, bytes)| bytes).sum()
}

/// There are no script engines; libraries of functions are kept as text.
fn scripts(state: &State, out: &mut String) {
    let functions: usize = state.functions.iter().map(Vec::len).sum();
    fields!(out,
        "used_memory_lua": 0,
        "used_memory_vm_eval": 0,
        "used_memory_lua_human": human(0),
        "used_memory_scripts_eval": 0,
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "number_of_libraries": state.functions.len(),
        "used_memory_vm_functions": 0,
        "used_memory_vm_total": 0,
        "used_memory_vm_total_human": human(0),
        "used_memory_functions": functions,
        "used_memory_scripts": functions,
        "used_memory_scripts_human": human(functions as u64),
    );
}

fn allocator(figures: &Figures, out: &mut String) {
    fields!(out,
        "allocator_frag_ratio": format_args!("{:.2}", ratio(figures.active, figures.allocated)),
        "allocator_frag_bytes": difference(figures.active, figures.allocated),
        "allocator_rss_ratio": format_args!("{:.2}", ratio(figures.resident, figures.active)),
        "allocator_rss_bytes": difference(figures.resident, figures.active),
        "rss_overhead_ratio": format_args!("{:.2}", ratio(figures.rss, figures.resident)),
        "rss_overhead_bytes": difference(figures.rss, figures.resident),
        "mem_fragmentation_ratio": format_args!("{:.2}", ratio(figures.rss, figures.used)),
        "mem_fragmentation_bytes": difference(figures.rss, figures.used),
    );
}
