//! The process itself: background, process id file, process manager, limits of the kernel.
//!
//! [`go_to_background`] runs before any thread exists and before anything is logged; [`prepare`] right after the first log
//! lines, and what it returns is kept until the server has stopped. [`ready`] and [`status`] may be called at any time.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, info, warn};

use crate::config::choices::{OomScoreAdj, Supervision};
use crate::config::{Config, Values, os_reason};

mod background;
mod notify;

pub use background::go_to_background;
use notify::Manager;

/// Files and sockets that a server has open besides its clients.
const FILES_RESERVED: u64 = 32;
/// The most connections on the cluster bus at a time on which nobody is known.
pub(super) const STRANGERS_MAX: u64 = 1000;
/// Files that a node of a cluster has besides: a connection to and from each of 250 others, and those of strangers.
const FILES_OF_BUS: u64 = 2 * 250 + STRANGERS_MAX;
/// Where a daemon without `pidfile` writes its process id.
const PIDFILE_DEFAULT: &str = "/var/run/redis.pid";

/// Who started this process: a fact of the process, found once.
static MANAGER: OnceLock<Manager> = OnceLock::new();

/// Tells the process manager that clients are served.
pub fn ready() {
    MANAGER.get().unwrap_or(&Manager::Nobody).ready();
}

/// Tells the process manager something that an operator may like to see, on one line.
pub fn status(text: &str) {
    MANAGER.get().unwrap_or(&Manager::Nobody).status(text);
}

/// What lasts as long as the server: the process id file. When this is dropped the file is removed, and the process
/// manager hears of the stop.
#[derive(Debug)]
pub struct Running {
    pidfile: Option<PathBuf>,
}

impl Drop for Running {
    fn drop(&mut self) {
        MANAGER.get().unwrap_or(&Manager::Nobody).stopping();
        if let Some(path) = &self.pidfile {
            info!("Removing the pid file.");
            if let Err(error) = fs::remove_file(path) {
                debug!(path = %path.display(), %error, "the pid file could not be removed");
            }
        }
    }
}

/// Sets the process up as `config` says, and lowers `maxclients` where the kernel allows fewer files.
///
/// # Errors
/// So few files are allowed that no client could connect.
pub fn prepare(config: &mut Config) -> Result<Running, String> {
    MANAGER.get_or_init(|| Manager::find(config.supervised)).loading();
    raise_file_limit(config.values_mut())?;
    if config.disable_thp {
        disable_huge_pages();
    }
    set_oom_score(config, false);
    let daemon = runs_in_background(config);
    let pidfile = (daemon || !config.pidfile.is_empty()).then(|| write_pidfile(config)).flatten();
    Ok(Running { pidfile })
}

/// Whether the server leaves the terminal: a process manager wants it to stay.
#[must_use]
pub fn runs_in_background(config: &Config) -> bool {
    config.daemonize && config.supervised == Supervision::No
}

fn write_pidfile(config: &Config) -> Option<PathBuf> {
    let name = if config.pidfile.is_empty() { PIDFILE_DEFAULT } else { &config.pidfile };
    let path = std::path::absolute(name).ok()?;
    match fs::write(&path, format!("{}\n", std::process::id())) {
        Ok(()) => Some(path),
        Err(error) => {
            warn!("Failed to write PID file {}: {}", path.display(), os_reason(&error));
            None
        }
    }
}

/// Makes room for `maxclients` connections. Where the kernel refuses, `maxclients` is lowered to what there is.
///
/// # Errors
/// Not even the files that the server itself needs are allowed.
pub fn raise_file_limit(values: &mut Values) -> Result<(), String> {
    let for_bus = if values.cluster_enabled { FILES_OF_BUS } else { 0 };
    let needed = u64::from(values.maxclients) + FILES_RESERVED + for_bus;
    let limits = getrlimit(Resource::Nofile);
    // No limit is a very high one.
    let current = limits.current.unwrap_or(u64::MAX);
    if current >= needed {
        return Ok(());
    }
    let (reached, refused) = raise_to(needed, limits);
    if reached >= needed {
        info!(
            "Increased maximum number of open files to {reached} (it was originally set to {current})."
        );
        return Ok(());
    }
    if reached <= FILES_RESERVED {
        return Err(format!(
            "Your current 'ulimit -n' of {reached} is not enough for the server to start. \
             Please increase your open file limit to at least {needed}. Exiting."
        ));
    }
    let room = reached - FILES_RESERVED;
    // Clients are what a node is for: most of the little there is stays theirs.
    let clients = u32::try_from(room - for_bus.min(room / 4)).unwrap_or(u32::MAX);
    if clients >= values.maxclients {
        return Ok(());
    }
    warn!(
        "You requested maxclients of {} requiring at least {needed} max file descriptors.",
        values.maxclients
    );
    if let Some(error) = refused {
        warn!(
            "Server can't set maximum open files to {needed} because of OS error: {}.",
            os_reason(&error)
        );
    }
    warn!(
        "Current maximum open files is {reached}. maxclients has been reduced to {clients} to compensate for low \
         ulimit. If you need higher maxclients increase 'ulimit -n'."
    );
    values.maxclients = clients;
    Ok(())
}

/// Files that may be open besides those of `maxclients` clients and of the server itself: room for the bus.
pub(super) fn files_beyond(maxclients: u32) -> u64 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub(u64::from(maxclients) + FILES_RESERVED)
}

/// Raises the limit to `needed`, or as far as the hard limit; returns where it is then, and why it is not higher.
fn raise_to(needed: u64, limits: Rlimit) -> (u64, Option<io::Error>) {
    let hard = limits.maximum.unwrap_or(u64::MAX);
    let both = Rlimit { current: Some(needed), maximum: Some(hard.max(needed)) };
    let wish = if hard >= needed { Rlimit { maximum: limits.maximum, ..both } } else { both };
    let Err(error) = setrlimit(Resource::Nofile, wish) else { return (needed, None) };
    let most = Rlimit { current: limits.maximum, maximum: limits.maximum };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => (hard, Some(error.into())),
        Err(_) => (limits.current.unwrap_or(u64::MAX), Some(error.into())),
    }
}

fn disable_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        debug!(%error, "transparent huge pages stay as they are");
    }
}

/// Range of the kernel's score.
const SCORE_RANGE: std::ops::RangeInclusive<i32> = -1000..=1000;
const SCORE_FILE: &str = "/proc/self/oom_score_adj";

/// Tells the kernel how gladly to lose this process, by `oom-score-adj`. Call it again when the role changes.
pub fn set_oom_score(values: &Values, is_replica: bool) {
    /// The score that the process was started with.
    static BASE: OnceLock<i32> = OnceLock::new();
    if values.oom_score_adj == OomScoreAdj::No {
        return;
    }
    let read = || fs::read_to_string(SCORE_FILE).ok()?.trim().parse().ok();
    let base = *BASE.get_or_init(|| read().unwrap_or(0));
    let score = oom_score(values, is_replica, base);
    if let Err(error) = fs::write(SCORE_FILE, score.to_string()) {
        warn!(score, %error, "Unable to write oom_score_adj");
    }
}

fn oom_score(values: &Values, is_replica: bool, base: i32) -> i32 {
    let value = values.oom_score_adj_values[usize::from(is_replica)];
    let score = if values.oom_score_adj == OomScoreAdj::Relative { base + value } else { value };
    score.clamp(*SCORE_RANGE.start(), *SCORE_RANGE.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_relative_or_absolute_and_within_bounds() {
        let mut config = Config::default();
        let values = config.values_mut();
        values.oom_score_adj_values = [10, 200, 800];
        values.oom_score_adj = OomScoreAdj::Relative;
        assert_eq!(oom_score(values, false, 5), 15);
        assert_eq!(oom_score(values, true, 900), 1000);
        values.oom_score_adj = OomScoreAdj::Absolute;
        assert_eq!(oom_score(values, true, 900), 200);
    }

    #[test]
    fn process_id_is_written_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hw.pid");
        let mut config = Config::default();
        path.to_str().unwrap().clone_into(&mut config.values_mut().pidfile);
        let pidfile = write_pidfile(&config);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(Running { pidfile });
        assert!(!path.exists());
    }

    #[test]
    fn enough_files_need_no_change() {
        let mut config = Config::default();
        config.values_mut().maxclients = 1;
        raise_file_limit(config.values_mut()).unwrap();
        assert_eq!(config.maxclients, 1);
    }

    #[test]
    fn manager_keeps_the_server_in_the_foreground() {
        let mut config = Config::default();
        config.values_mut().daemonize = true;
        assert!(runs_in_background(&config));
        config.values_mut().supervised = Supervision::Systemd;
        assert!(!runs_in_background(&config));
    }
}
