//! Replication.

use super::{I32_MAX, I64_MAX, SIZE_MAX};
use crate::config::row::{Row, Special, choice, flag, number, text};
use crate::config::special::PrimaryAddress;

const REPLICAOF: Special = Special {
    form: "host port",
    set: |values, words, _| {
        values.replicaof = match words {
            [only] if only.is_empty() => None,
            words => PrimaryAddress::parse(words)?,
        };
        Ok(())
    },
    get: |values| match &values.replicaof {
        Some(primary) => format!("{} {}", primary.host, primary.port),
        None => String::new(),
    },
    lines: |values| {
        let primary = values.replicaof.iter();
        primary.map(|primary| vec![primary.host.clone(), primary.port.to_string()]).collect()
    },
    words: (1, 2),
};

pub(super) const ROWS: &[Row] = &[
    Row::special("replicaof", "", REPLICAOF, "The primary whose replica this node is.")
        .alias("slaveof")
        .at_start(),
    Row::secret("masterauth", text!(masterauth), "Password for the primary."),
    Row::secret("masteruser", text!(masteruser), "User name for the primary."),
    Row::flag(
        "replica-serve-stale-data",
        "yes",
        flag!(replica_serve_stale_data),
        "Answers from old data while there is no primary.",
    )
    .alias("slave-serve-stale-data"),
    Row::flag("replica-read-only", "yes", flag!(replica_read_only), "Refuses writes on a replica.")
        .alias("slave-read-only"),
    Row::flag(
        "replica-lazy-flush",
        "no",
        flag!(replica_lazy_flush),
        "Frees the old data in the background before a full sync.",
    )
    .without("old data are always freed by a thread of their own")
    .alias("slave-lazy-flush"),
    Row::flag(
        "replica-ignore-maxmemory",
        "yes",
        flag!(replica_ignore_maxmemory),
        "Leaves eviction to the primary.",
    )
    .alias("slave-ignore-maxmemory"),
    Row::flag(
        "replica-ignore-disk-write-errors",
        "no",
        flag!(replica_ignore_disk_write_errors),
        "Goes on replicating although the disk fails, instead of stopping.",
    )
    .without("a replica whose disk fails goes on, and acknowledges only what its log holds"),
    Row::number(
        "replica-priority",
        "100",
        (0, I32_MAX),
        number!(replica_priority),
        "Preference in a failover by Sentinel; 0 for never.",
    )
    .alias("slave-priority"),
    Row::text(
        "replica-announce-ip",
        "",
        text!(replica_announce_ip),
        "Address that the primary is told.",
    )
    .alias("slave-announce-ip"),
    Row::number(
        "replica-announce-port",
        "0",
        (0, 65535),
        number!(replica_announce_port),
        "Port that the primary is told; 0 for that of the connection.",
    )
    .alias("slave-announce-port"),
    Row::flag(
        "replica-announced",
        "yes",
        flag!(replica_announced),
        "Whether Sentinel lists this replica.",
    ),
    Row::memory(
        "repl-backlog-size",
        "1mb",
        (1, SIZE_MAX),
        number!(repl_backlog_size),
        "Bytes of the stream kept in memory for replicas that come back.",
    ),
    Row::memory(
        "repl-backlog-disk-size",
        "256mb",
        (0, SIZE_MAX),
        number!(repl_backlog_disk_size),
        "Bytes of older files of the log that a rewrite leaves on disk for replicas that come back; 0 for none.",
    ),
    Row::number(
        "repl-backlog-ttl",
        "3600",
        (0, I64_MAX),
        number!(repl_backlog_ttl),
        "Seconds without replicas after which those bytes are freed; 0 for never.",
    ),
    Row::flag(
        "repl-disable-tcp-nodelay",
        "no",
        flag!(repl_disable_tcp_nodelay),
        "Lets the kernel join packets to replicas: fewer of them, later.",
    ),
    Row::flag(
        "repl-diskless-sync",
        "yes",
        flag!(repl_diskless_sync),
        "Sends a snapshot to replicas without a file.",
    ),
    Row::number(
        "repl-diskless-sync-delay",
        "5",
        (0, I32_MAX),
        number!(repl_diskless_sync_delay),
        "Seconds to wait for more replicas before that.",
    )
    .without("each replica gets its snapshot at once"),
    Row::number(
        "repl-diskless-sync-max-replicas",
        "0",
        (0, I32_MAX),
        number!(repl_diskless_sync_max_replicas),
        "Replicas that end the wait; 0 for any number.",
    )
    .without("each replica gets its snapshot at once"),
    Row::choice(
        "repl-diskless-load",
        "disabled",
        choice!(repl_diskless_load),
        "Whether a replica loads a snapshot from the socket.",
    )
    .not_while_loading(),
    Row::number(
        "repl-ping-replica-period",
        "10",
        (1, I32_MAX),
        number!(repl_ping_replica_period),
        "Seconds between two PINGs to replicas.",
    )
    .alias("repl-ping-slave-period"),
    Row::number(
        "repl-timeout",
        "60",
        (1, I32_MAX),
        number!(repl_timeout),
        "Seconds of silence after which a replication link is given up.",
    ),
    Row::number(
        "min-replicas-to-write",
        "0",
        (0, I32_MAX),
        number!(min_replicas_to_write),
        "Replicas that must keep up for writes to be accepted; 0 for none.",
    )
    .alias("min-slaves-to-write"),
    Row::number(
        "min-replicas-max-lag",
        "10",
        (0, I32_MAX),
        number!(min_replicas_max_lag),
        "Seconds of lag up to which a replica counts as keeping up.",
    )
    .alias("min-slaves-max-lag"),
    Row::choice(
        "propagation-error-behavior",
        "ignore",
        choice!(propagation_error_behavior),
        "What happens when a command of the stream fails.",
    )
    .without("a replica that cannot execute a command of the stream stops following it"),
];
