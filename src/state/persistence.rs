//! What snapshots, rewrites, loads and the committer are doing: the facts behind INFO persistence and the gates.

use crate::migration::Jobs;

/// What data hold beside keys, and what goes with them into files and to replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Libraries of functions, as they stand in snapshots.
    pub functions: Vec<Vec<u8>>,
    /// Slots on their way.
    pub jobs: Jobs,
}

/// What is being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// When it began, seconds since 1970.
    pub started_s: u64,
    /// Bytes to load.
    pub total_bytes: u64,
    /// Bytes loaded.
    pub loaded_bytes: u64,
    /// The data that were there before are shown meanwhile.
    pub serves: bool,
}

/// A walk to disk in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// When it began, seconds since 1970.
    pub started_s: u64,
    /// Keys at the cut.
    pub keys_total: u64,
    /// Keys written.
    pub keys_done: u64,
    /// Value of the change counter at the cut.
    pub dirty_at_cut: u64,
}

/// State of persistence.
#[derive(Debug, Clone)]
pub struct Persistence {
    /// Data is being loaded; commands but a few are refused.
    pub loading: Option<Loading>,
    /// A snapshot is being written.
    pub snapshot: Option<Job>,
    /// A rewrite of the log is running.
    pub rewrite: Option<Job>,
    /// A snapshot is to start when the rewrite has ended.
    pub snapshot_scheduled: bool,
    /// A rewrite is to start when the snapshot has ended.
    pub rewrite_scheduled: bool,
    /// Clients that wait for the snapshot to end (SAVE).
    pub save_waiters: Vec<super::ClientId>,
    /// Changes since the last snapshot.
    pub dirty: u64,
    /// When the last good snapshot was made, seconds since 1970.
    pub last_save_s: u64,
    /// When a snapshot was last tried, seconds since 1970.
    pub last_save_try_s: u64,
    /// Whether the last snapshot was written whole.
    pub last_save_ok: bool,
    /// Seconds the last snapshot took.
    pub last_save_duration_s: Option<u64>,
    /// Snapshots written since the start.
    pub saves: u64,
    /// Keys of the last load that were expired.
    pub load_keys_expired: u64,
    /// Keys of the last load.
    pub load_keys_loaded: u64,
    /// The append-only file is on: acknowledgements wait for it.
    pub aof_enabled: bool,
    /// The append-only file was switched on and waits for its first rewrite.
    pub aof_waits_for_rewrite: bool,
    /// Whether the last rewrite ended well.
    pub last_rewrite_ok: bool,
    /// Seconds the last rewrite took.
    pub last_rewrite_duration_s: Option<u64>,
    /// Rewrites since the start.
    pub rewrites: u64,
    /// Rewrites that failed one after the other.
    pub rewrite_failures: u64,
    /// Until then automatic rewrites wait, seconds since 1970.
    pub rewrite_retry_s: u64,
    /// Why the log cannot be appended to or synced; writes are refused.
    pub log_error: Option<String>,
    /// A sync failed: only a rewrite into new files puts the log right.
    pub log_needs_rewrite: bool,
    /// When a rewrite that the log needs is tried next, seconds since 1970.
    pub log_rewrite_due_s: u64,
    /// Size of the log on disk, base included.
    pub aof_current_size: u64,
    /// Size of the log after the last rewrite or load.
    pub aof_base_size: u64,
    /// Syncs that were late (`everysec`).
    pub delayed_syncs: u64,
    /// Late syncs before CONFIG RESETSTAT.
    pub delayed_syncs_before: u64,
    /// Log offset written to the file.
    pub written: u64,
    /// Log offset synced.
    pub durable: u64,
}

impl Persistence {
    /// Nothing has happened yet.
    pub fn new(now_s: u64) -> Self {
        Self {
            loading: None,
            snapshot: None,
            rewrite: None,
            snapshot_scheduled: false,
            rewrite_scheduled: false,
            save_waiters: Vec::new(),
            dirty: 0,
            last_save_s: now_s,
            last_save_try_s: 0,
            last_save_ok: true,
            last_save_duration_s: None,
            saves: 0,
            load_keys_expired: 0,
            load_keys_loaded: 0,
            aof_enabled: false,
            aof_waits_for_rewrite: false,
            last_rewrite_ok: true,
            last_rewrite_duration_s: None,
            rewrites: 0,
            rewrite_failures: 0,
            rewrite_retry_s: 0,
            log_error: None,
            log_needs_rewrite: false,
            log_rewrite_due_s: 0,
            aof_current_size: 0,
            aof_base_size: 0,
            delayed_syncs: 0,
            delayed_syncs_before: 0,
            written: 0,
            durable: 0,
        }
    }
}

impl super::State {
    /// Asks the driver for a snapshot.
    pub fn request_snapshot(&mut self) {
        self.persistence.snapshot_scheduled = false;
        let started_s = self.time.unix_s();
        self.persistence.last_save_try_s = started_s;
        // It counts as running from here, so that no second one is asked for before the walk begins.
        let dirty_at_cut = self.persistence.dirty;
        self.persistence.snapshot =
            Some(Job { started_s, keys_total: 0, keys_done: 0, dirty_at_cut });
        self.outputs.push(super::Output::StartSnapshot);
        self.ends_batch = true;
    }

    /// Asks the driver for a rewrite of the log.
    pub fn request_rewrite(&mut self) {
        self.persistence.rewrite_scheduled = false;
        self.outputs.push(super::Output::StartRewrite);
    }
}
