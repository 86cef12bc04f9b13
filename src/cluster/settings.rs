//! What the configuration says about the cluster.

use crate::cluster::Host;
use crate::cluster::packet::Ports;
use crate::config::Config;

/// Distance of the bus port from the client port where `cluster-port` does not say otherwise.
pub const BUS_PORT_OFFSET: u16 = 10_000;

/// Settings of the cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `cluster-node-timeout` in milliseconds.
    pub timeout_ms: u64,
    /// `cluster-replica-validity-factor`; 0: data of any age will do.
    pub validity_factor: u64,
    /// `repl-ping-replica-period` in milliseconds.
    pub primary_ping_ms: u64,
    /// `cluster-replica-no-failover`.
    pub no_failover: bool,
    /// `cluster-migration-barrier`.
    pub migration_barrier: usize,
    /// `cluster-allow-replica-migration`.
    pub allows_replica_moves: bool,
    /// `cluster-require-full-coverage`.
    pub needs_all_slots: bool,
    /// Host that others are told; unknown: they see it from the connection.
    pub announced_host: Host,
    /// Ports that others are told.
    pub ports: Ports,
    /// `cluster-announce-hostname`.
    pub hostname: String,
    /// `cluster-announce-human-nodename`.
    pub nodename: String,
    /// A peer on this host whose bus port refuses is suspected at once (`cluster-suspect-refused`).
    pub suspects_refused: bool,
    /// Elections begin after a delay that follows from the timeout (`cluster-fast-election`).
    pub fast_election: bool,
    /// A restarted primary that lacks what its replicas have steps back (`cluster-primary-guard`).
    pub guards_replicas: bool,
}

impl Settings {
    /// The settings of `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let bus = bus_port(config);
        let or = |announced: u16, real: u16| if announced == 0 { real } else { announced };
        Self {
            timeout_ms: config.cluster_node_timeout,
            validity_factor: u64::from(config.cluster_replica_validity_factor),
            primary_ping_ms: u64::from(config.repl_ping_replica_period) * 1000,
            no_failover: config.cluster_replica_no_failover,
            migration_barrier: config.cluster_migration_barrier as usize,
            allows_replica_moves: config.cluster_allow_replica_migration,
            needs_all_slots: config.cluster_require_full_coverage,
            announced_host: Host::new(&config.cluster_announce_ip).unwrap_or(Host::UNKNOWN),
            ports: Ports {
                client: or(config.cluster_announce_port, config.port),
                other: config.cluster_announce_tls_port,
                bus: or(config.cluster_announce_bus_port, bus),
            },
            hostname: config.cluster_announce_hostname.clone(),
            nodename: config.cluster_announce_human_nodename.clone(),
            suspects_refused: config.cluster_suspect_refused,
            fast_election: config.cluster_fast_election,
            guards_replicas: config.cluster_primary_guard,
        }
    }
}

/// The port that the bus listens on. A client port too high for one has been refused at the start.
#[must_use]
pub fn bus_port(config: &Config) -> u16 {
    match config.cluster_port {
        0 => config.port.saturating_add(BUS_PORT_OFFSET),
        port => port,
    }
}
