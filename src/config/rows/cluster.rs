//! Redis Cluster.

use super::{I32_MAX, I64_MAX};
use crate::config::row::{Row, choice, flag, number, text};

/// Longest name of a host, in bytes.
const HOSTNAME_MAX: usize = 255;

fn hostname(text: &str) -> Result<(), String> {
    if text.len() > HOSTNAME_MAX {
        return Err(format!("Hostnames must be less than {} characters", HOSTNAME_MAX + 1));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        return Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into());
    }
    Ok(())
}

fn nodename(text: &str) -> Result<(), String> {
    if text.len() > HOSTNAME_MAX {
        return Err(format!("Human nodename must be less than {} characters", HOSTNAME_MAX + 1));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err("Human nodename contains invalid character".into());
    }
    Ok(())
}

pub(super) const ROWS: &[Row] = &[
    Row::flag("cluster-enabled", "no", flag!(cluster_enabled), "Makes this node part of a cluster.").at_start(),
    Row::text("cluster-config-file", "nodes.conf", text!(cluster_config_file), "File in which the node keeps the state of the cluster.").at_start(),
    Row::number("cluster-node-timeout", "15000", (0, I64_MAX), number!(cluster_node_timeout), "Milliseconds of silence after which a node counts as failing."),
    Row::number("cluster-port", "0", (0, 65535), number!(cluster_port), "Port of the cluster bus; 0 for the client port plus 10000.").at_start(),
    Row::number("cluster-replica-validity-factor", "10", (0, I32_MAX), number!(cluster_replica_validity_factor), "How old a replica's data may be for a failover, in multiples of the timeout; 0 for any age.").alias("cluster-slave-validity-factor"),
    Row::flag("cluster-replica-no-failover", "no", flag!(cluster_replica_no_failover), "Keeps this replica from promoting itself.").alias("cluster-slave-no-failover"),
    Row::number("cluster-migration-barrier", "1", (0, I32_MAX), number!(cluster_migration_barrier), "Replicas that a primary keeps before one may move to a primary without."),
    Row::flag("cluster-allow-replica-migration", "yes", flag!(cluster_allow_replica_migration), "Lets replicas move to primaries without."),
    Row::flag("cluster-require-full-coverage", "yes", flag!(cluster_require_full_coverage), "Refuses all commands while a slot is served by nobody."),
    Row::flag("cluster-allow-reads-when-down", "no", flag!(cluster_allow_reads_when_down), "Answers reads while the cluster is down."),
    Row::flag("cluster-allow-pubsubshard-when-down", "yes", flag!(cluster_allow_pubsubshard_when_down), "Delivers messages of sharded channels while the cluster is down."),
    Row::memory("cluster-link-sendbuf-limit", "0", (0, u64::MAX), number!(cluster_link_sendbuf_limit), "Bytes that may wait for another node before the link is closed; 0 for no limit."),
    Row::text("cluster-announce-ip", "", text!(cluster_announce_ip), "Address that other nodes are told."),
    Row::number("cluster-announce-port", "0", (0, 65535), number!(cluster_announce_port), "Client port that other nodes are told; 0 for the real one."),
    Row::number("cluster-announce-tls-port", "0", (0, 65535), number!(cluster_announce_tls_port), "TLS port that other nodes are told; 0 for the real one."),
    Row::number("cluster-announce-bus-port", "0", (0, 65535), number!(cluster_announce_bus_port), "Bus port that other nodes are told; 0 for the real one."),
    Row::text("cluster-announce-hostname", "", text!(cluster_announce_hostname), "Host name that clients are told.").checked(hostname),
    Row::text("cluster-announce-human-nodename", "", text!(cluster_announce_human_nodename), "Name of this node in log lines.").checked(nodename),
    Row::flag("cluster-slot-stats-enabled", "no", flag!(cluster_slot_stats_enabled), "Counts time and traffic of each slot for CLUSTER SLOT-STATS."),
    Row::number("cluster-slot-migration-log-max-len", "1000", (0, I32_MAX), number!(cluster_slot_migration_log_max_len), "Jobs that are over and shown by CLUSTER GETSLOTMIGRATIONS."),
    Row::memory("cluster-slot-migration-max-bandwidth", "0", (0, u64::MAX), number!(cluster_slot_migration_max_bandwidth), "Bytes a second that each job which moves slots may send; 0 for no limit."),
    Row::memory("cluster-slot-migration-handoff-max-lag-bytes", "1mb", (0, u64::MAX), number!(cluster_slot_migration_handoff_max_lag_bytes), "Bytes of the log that may be missing at the target when writes to moving slots begin to wait."),
    Row::number("cluster-slot-migration-write-pause-timeout", "10000", (1, I64_MAX), number!(cluster_slot_migration_write_pause_timeout), "Milliseconds that writes to moving slots wait at most before the handoff is put off."),
    Row::flag("cluster-suspect-refused", "yes", flag!(cluster_suspect_refused), "Suspects a node on this host at once when its bus port refuses connections."),
    Row::flag("cluster-fast-election", "yes", flag!(cluster_fast_election), "Derives the delay before an election from cluster-node-timeout, down from half a second."),
    Row::flag("cluster-primary-guard", "yes", flag!(cluster_primary_guard), "A restarted primary whose log is behind that of its replicas lets them take over."),
    Row::choice("cluster-preferred-endpoint-type", "ip", choice!(cluster_preferred_endpoint_type), "What a redirection names."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostname_is_letters_digits_hyphens_and_dots() {
        assert!(hostname("db-1.example.com").is_ok());
        assert!(hostname("").is_ok());
        assert!(hostname("a b").is_err());
        assert!(hostname(&"x".repeat(256)).is_err());
    }
}
