//! Starting a server: from arguments to the call that serves.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::ExitCode;

use tracing::{error, info, warn};

use super::{complain, local, say, system_check};
use crate::REDIS_VERSION;
use crate::commands::table;
use crate::config::choices::AppendFsync;
use crate::config::{self, CommandNames, Config, LoadError, Source};
use crate::logging::{self, Role};
use crate::net::{self, process};

/// As which program the server was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `highwater server`: without a file, the log is on and has a folder of its own.
    Own,
    /// `redis-server`: stock's defaults.
    Stock,
}

/// Runs a server with `arguments`, or does what else they ask for.
pub(super) fn run(arguments: &[OsString], flavour: Flavour) -> ExitCode {
    let arguments: Vec<Vec<u8>> =
        arguments.iter().map(|argument| argument.clone().into_vec()).collect();
    if let Some(status) = other_than_serving(&arguments, flavour) {
        return status;
    }
    let config = match configure(&arguments, flavour) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::FAILURE;
        }
    };
    // Before there is a log, standard error has to do.
    if let Err(reason) = open_log(&config) {
        complain(&reason);
        return ExitCode::FAILURE;
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Version, help, and checks of the host: a single first argument.
fn other_than_serving(arguments: &[Vec<u8>], flavour: Flavour) -> Option<ExitCode> {
    let words: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [b"-v" | b"--version"] => say(&version()),
        [b"-h" | b"--help"] => say(&help(flavour)),
        [b"--check-system"] => return Some(system_check::check_system()),
        [b"--test-memory"] => {
            complain("Please specify the amount of memory to test in megabytes.");
            return Some(ExitCode::FAILURE);
        }
        [b"--test-memory", megabytes] => return Some(system_check::test_memory(megabytes)),
        [.., b"--sentinel"] | [_, b"--sentinel", ..] => {
            return Some(super::absent("Sentinel mode"));
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn version() -> String {
    let allocator = if cfg!(feature = "jemalloc") { "jemalloc-5.3.0" } else { "libc" };
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc={allocator} bits=64 build=highwater-{}",
        env!("CARGO_PKG_VERSION")
    )
}

fn help(flavour: Flavour) -> String {
    let name = match flavour {
        Flavour::Own => "highwater server",
        Flavour::Stock => "redis-server",
    };
    format!(
        "Usage: {name} [FILE] [--SETTING VALUE...]... [-]\n\
         \n\
         Reads settings from FILE (in the syntax of redis.conf), then from standard input where `-` is the first or the\n\
         last argument, then from the arguments. Later ones win. docs/settings.md lists them all.\n\
         \n\
         \x20 {name} /etc/redis/redis.conf\n\
         \x20 {name} --port 7777 --appendonly yes\n\
         \x20 {name} /etc/redis/redis.conf --loglevel verbose\n\
         \x20 echo 'maxmemory 128mb' | {name} -\n\
         \n\
         \x20 {name} -v | --version              shows the version\n\
         \x20 {name} -h | --help                 shows this text\n\
         \x20 {name} --test-memory MEGABYTES     writes and reads so much memory\n\
         \x20 {name} --check-system              looks at settings of the host"
    )
}

/// Reads all settings, makes and enters the folder of the server's files.
fn configure(arguments: &[Vec<u8>], flavour: Flavour) -> Result<Config, String> {
    let sources = config::sources(arguments);
    let alone = !sources.iter().any(|source| matches!(source, Source::File(_) | Source::Stdin));
    let own = flavour == Flavour::Own && alone;
    let base = if own { Config::server_defaults() } else { Config::default() };
    let config = config::load(base, &sources).map_err(|error: LoadError| error.to_string())?;
    if own && local::is_cluster(Path::new(&config.dir)) {
        return Err(format!(
            "The folder '{}' holds a cluster made by 'highwater cluster up': name another one for this server with --dir",
            config.dir
        ));
    }
    if own {
        std::fs::create_dir_all(&config.dir)
            .map_err(|error| format!("Can't create the folder '{}': {error}", config.dir))?;
    }
    // Relative paths of other settings (logfile, unixsocket, pidfile) are taken from there, as with stock servers.
    std::env::set_current_dir(&config.dir)
        .map_err(|error| format!("Can't enter the folder '{}': {error}", config.dir))?;
    Ok(config)
}

/// Leaves the terminal if that is wanted, then opens the log: in this order, because the log has a lock.
fn open_log(config: &Config) -> Result<(), String> {
    if process::runs_in_background(config) {
        process::go_to_background()
            .map_err(|error| format!("Can't go to the background: {error}"))?;
    }
    logging::start(config)
}

fn serve(mut config: Config) -> Result<(), String> {
    greet(&config);
    CommandNames::check(&config.rename_command, |name| table().find(name.as_bytes()).is_some())?;
    if let Some(missing) = missing(&config) {
        return Err(format!(
            "{missing} is not part of this version: take the setting out to start"
        ));
    }
    let running = process::prepare(&mut config)?;
    logging::set_role(if config.replicaof.is_some() { Role::Replica } else { Role::Primary });
    info!("monotonic clock: POSIX clock_gettime");
    let mode = if config.cluster_enabled { "cluster" } else { "standalone" };
    info!("Running mode={mode}, port={}.", config.port);
    if !config.appendonly && config.appendfsync == AppendFsync::Always {
        warn!(
            "appendonly is no: appendfsync has no effect, a killed process loses what was written since the last snapshot"
        );
    }
    info!("Server initialized");
    let served = net::serve(config);
    drop(running);
    served.map_err(|error| error.to_string())
}

/// What the settings ask for and this version does not have. Going on without it would break a promise: that a copy
/// is kept, that somebody may not do something.
pub(super) fn missing(config: &Config) -> Option<&'static str> {
    let asked = [
        (!config.user.is_empty(), "access control by users (user)"),
        (!config.aclfile.is_empty(), "access control by users (aclfile)"),
    ];
    asked.iter().find(|(asked, _)| *asked).map(|(_, what)| *what)
}

/// The first lines of the log. Tools find the start of a process by them.
fn greet(config: &Config) {
    info!("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    info!(
        "Redis version={REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid={}, just started",
        std::process::id()
    );
    info!("Highwater version={}", env!("CARGO_PKG_VERSION"));
    match config.file() {
        Some(path) => info!(path = %path.display(), "Configuration loaded"),
        None => warn!(
            dir = config.dir,
            "Warning: no config file specified, using the default config. Name one as the first argument."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_has_the_shape_of_stock() {
        let text = version();
        assert!(text.starts_with("Redis server v=7.2.4 sha=00000000:0 malloc="), "{text}");
        assert!(text.contains(" bits=64 build="), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut config = Config::default();
        assert_eq!(missing(&config), None);
        config.values_mut().aclfile = "users.acl".into();
        assert!(missing(&config).is_some());
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in help(Flavour::Own).lines() {
            assert!(line.len() <= 120, "{line}");
        }
    }

    #[test]
    fn folder_of_a_cluster_is_no_place_for_a_server() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cluster.state"), "").unwrap();
        let path = folder.path().to_str().unwrap();
        let arguments = [b"--dir".to_vec(), path.as_bytes().to_vec()];
        let error = configure(&arguments, Flavour::Own).unwrap_err();
        assert!(error.contains("highwater cluster up") && error.contains("--dir"), "{error}");
    }

    #[test]
    fn wrong_setting_is_told_before_anything_happens() {
        let arguments = [b"--port".to_vec(), b"x".to_vec()];
        let error = configure(&arguments, Flavour::Stock).unwrap_err();
        assert!(error.contains("couldn't be parsed into an integer"), "{error}");
    }
}
