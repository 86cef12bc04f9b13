//! The log on disk (AOF).

use super::{I32_MAX, SIZE_MAX, file_name};
use crate::config::row::{Row, choice, flag, number, text};

pub(super) const ROWS: &[Row] = &[
    Row::flag(
        "appendonly",
        "no",
        flag!(appendonly),
        "Keeps the log on disk. Without it only snapshots survive.",
    )
    .not_while_loading(),
    Row::choice(
        "appendfsync",
        "everysec",
        choice!(appendfsync),
        "When the log is synced: before each acknowledgement, once per second, or when the kernel likes. docs/durability.md says what each survives.",
    ),
    Row::text(
        "appendfilename",
        "appendonly.aof",
        text!(appendfilename),
        "First part of the names of log files.",
    )
    .at_start()
    .checked(|text| file_name("appendfilename", text)),
    Row::text(
        "appenddirname",
        "appendonlydir",
        text!(appenddirname),
        "Folder of the log files, inside `dir`.",
    )
    .at_start()
    .checked(|text| file_name("appenddirname", text)),
    Row::number(
        "auto-aof-rewrite-percentage",
        "100",
        (0, I32_MAX),
        number!(auto_aof_rewrite_percentage),
        "Growth in percent since the last rewrite that starts the next; 0 for never.",
    ),
    Row::memory(
        "auto-aof-rewrite-min-size",
        "64mb",
        (0, SIZE_MAX),
        number!(auto_aof_rewrite_min_size),
        "Bytes below which a log is not rewritten by itself.",
    ),
    Row::flag(
        "no-appendfsync-on-rewrite",
        "no",
        flag!(no_appendfsync_on_rewrite),
        "Does not sync the log while a rewrite or snapshot keeps the disk busy. Acknowledged writes may then be lost in a power cut.",
    ),
    Row::flag(
        "aof-load-truncated",
        "yes",
        flag!(aof_load_truncated),
        "Starts although the end of the log is cut short, dropping the incomplete end. `no` refuses the start.",
    ),
    Row::flag(
        "aof-use-rdb-preamble",
        "yes",
        flag!(aof_use_rdb_preamble),
        "Writes the base of a rewritten log as a snapshot, which is smaller and faster to load than commands.",
    ),
    Row::flag(
        "aof-timestamp-enabled",
        "no",
        flag!(aof_timestamp_enabled),
        "Writes the time into the log, so that it can be cut at a time.",
    ),
    Row::flag(
        "aof-rewrite-incremental-fsync",
        "yes",
        flag!(aof_rewrite_incremental_fsync),
        "Syncs the base every few megabytes while it is written, so that the disk is never flooded.",
    ),
    Row::flag(
        "aof-disable-auto-gc",
        "no",
        flag!(aof_disable_auto_gc),
        "Keeps log files that are no longer needed.",
    ),
];
