//! The first moment of a node: it leaves the supervisor's session, then becomes the server.
//!
//! In the supervisor's session Ctrl-C would reach the nodes, too; and the kernel hangs up on (SIGHUP) a paused process whose
//! group loses its parent, so that a paused node would not outlive its supervisor.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::process::SERVER;

/// The word for it behind `highwater cluster`.
pub(super) const WORD: &str = "launch";

/// Becomes the node with this file.
///
/// # Errors
/// There is no session to be had, or the program is gone.
pub(super) fn run(config: &Path) -> Result<ExitCode, String> {
    rustix::process::setsid().map_err(|error| format!("cannot make a session: {error}"))?;
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let error = Command::new(&program).arg(SERVER).arg(config).exec();
    Err(format!("cannot start {}: {error}", program.display()))
}
