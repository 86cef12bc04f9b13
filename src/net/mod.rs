//! Sockets, threads, signals: the part of the server that waits.

pub mod process;

use crate::config::Config;

/// Serves clients until a shutdown.
///
/// # Errors
/// Why the server could not start, in one sentence for the operator.
pub fn serve(config: Config) -> Result<(), String> {
    let Config { .. } = config;
    Err("this build has no listener".to_owned())
}
