//! Databases, memory, expiry, eviction.

use super::{I32_MAX, I64_MAX, SIZE_MAX};
use crate::config::row::{Row, choice, flag, number};

/// Why some settings of lazy freeing do nothing.
const LAZY: &str = "a value is freed in the same way whichever command removes it";
/// Why the settings of defragmentation do nothing.
const DEFRAG: &str = "memory is not defragmented while the server runs";

pub(super) const ROWS: &[Row] = &[
    Row::number(
        "databases",
        "16",
        (1, I32_MAX),
        number!(databases),
        "Number of databases. In cluster mode only database 0 is used.",
    )
    .at_start(),
    Row::memory(
        "maxmemory",
        "0",
        (0, u64::MAX),
        number!(maxmemory),
        "Bytes of memory from which on keys are evicted and writes refused; 0 for no limit.",
    ),
    Row::choice(
        "maxmemory-policy",
        "noeviction",
        choice!(maxmemory_policy),
        "Which keys are evicted when memory is full.",
    ),
    Row::number(
        "maxmemory-samples",
        "5",
        (1, I32_MAX),
        number!(maxmemory_samples),
        "Keys looked at for each that is evicted. More is more exact and slower.",
    ),
    Row::number(
        "maxmemory-eviction-tenacity",
        "10",
        (0, 100),
        number!(maxmemory_eviction_tenacity),
        "How long one round of eviction may take, from 0 (short) to 100 (until done).",
    ),
    Row::number(
        "lfu-log-factor",
        "10",
        (0, I32_MAX),
        number!(lfu_log_factor),
        "How slowly the access counter of a key grows.",
    ),
    Row::number(
        "lfu-decay-time",
        "1",
        (0, I32_MAX),
        number!(lfu_decay_time),
        "Minutes after which the access counter of an idle key is decremented; 0 for never.",
    ),
    Row::number(
        "active-expire-effort",
        "1",
        (1, 10),
        number!(active_expire_effort),
        "How much work goes into finding expired keys that nobody asks for.",
    ),
    Row::flag(
        "activerehashing",
        "yes",
        flag!(activerehashing),
        "Moves entries of a growing table in idle moments.",
    )
    .without("tables are one per slot, so small that they grow at once"),
    Row::flag(
        "lazyfree-lazy-eviction",
        "no",
        flag!(lazyfree_lazy_eviction),
        "Tells log and replicas of an eviction by UNLINK rather than DEL.",
    ),
    Row::flag(
        "lazyfree-lazy-expire",
        "no",
        flag!(lazyfree_lazy_expire),
        "Tells log and replicas of an expiry by UNLINK rather than DEL.",
    ),
    Row::flag(
        "lazyfree-lazy-server-del",
        "no",
        flag!(lazyfree_lazy_server_del),
        "Frees overwritten values in the background.",
    )
    .without(LAZY),
    Row::flag(
        "lazyfree-lazy-user-del",
        "no",
        flag!(lazyfree_lazy_user_del),
        "Makes DEL behave as UNLINK.",
    )
    .without(LAZY),
    Row::flag(
        "lazyfree-lazy-user-flush",
        "no",
        flag!(lazyfree_lazy_user_flush),
        "Makes FLUSHALL and FLUSHDB without a word behave as with ASYNC.",
    )
    .without(LAZY),
    Row::flag(
        "activedefrag",
        "no",
        flag!(activedefrag),
        "Moves values together in idle moments. `yes` is refused.",
    )
    .without(DEFRAG),
    Row::memory(
        "active-defrag-ignore-bytes",
        "100mb",
        (1, SIZE_MAX),
        number!(active_defrag_ignore_bytes),
        "Wasted bytes from which on it starts.",
    )
    .without(DEFRAG),
    Row::number(
        "active-defrag-threshold-lower",
        "10",
        (0, 1000),
        number!(active_defrag_threshold_lower),
        "Waste in percent from which on it starts.",
    )
    .without(DEFRAG),
    Row::number(
        "active-defrag-threshold-upper",
        "100",
        (0, 1000),
        number!(active_defrag_threshold_upper),
        "Waste in percent at which it works hardest.",
    )
    .without(DEFRAG),
    Row::number(
        "active-defrag-cycle-min",
        "1",
        (1, 99),
        number!(active_defrag_cycle_min),
        "Least CPU time in percent.",
    )
    .without(DEFRAG),
    Row::number(
        "active-defrag-cycle-max",
        "25",
        (1, 99),
        number!(active_defrag_cycle_max),
        "Most CPU time in percent.",
    )
    .without(DEFRAG),
    Row::number(
        "active-defrag-max-scan-fields",
        "1000",
        (1, I64_MAX),
        number!(active_defrag_max_scan_fields),
        "Elements of a value that are looked at in one go.",
    )
    .without(DEFRAG),
    Row::flag(
        "jemalloc-bg-thread",
        "yes",
        flag!(jemalloc_bg_thread),
        "A thread of the allocator that gives memory back.",
    )
    .without("the allocator gives memory back by itself"),
];
