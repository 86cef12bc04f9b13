//! Facts of this process, collected by the driver.

use std::path::PathBuf;

/// What INFO server says of the process, and ids drawn at its start.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// 40 hex digits, new at each start.
    pub run_id: String,
    /// Replication id of a node without history.
    pub first_replication_id: String,
    /// Process id.
    pub pid: u32,
    /// When the process started, seconds since 1970.
    pub started_s: u64,
    /// When it started, on the monotonic clock.
    pub started_mono_us: u64,
    /// The binary.
    pub executable: PathBuf,
    /// The configuration file, where there is one.
    pub config_file: Option<PathBuf>,
    /// TCP port in use.
    pub port: u16,
    /// Kernel name, release and machine.
    pub os: String,
    /// Bytes of memory in this machine.
    pub total_system_memory: u64,
}
