//! Leaving the terminal. The calls are few, and no safe binding of them is among the dependencies.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Goes on in a child process without a terminal; the parent exits with status 0. Standard input and outputs become
/// `/dev/null`.
///
/// # Errors
/// The process could not be split, or has no `/dev/null`. In the first case it is the parent that returns.
///
/// # Panics
/// If the process has more than one thread: the others would be missing in the child, with whatever locks they held.
#[expect(unsafe_code, reason = "fork has no safe form")]
pub fn go_to_background() -> io::Result<()> {
    assert_eq!(threads()?, 1, "the process splits before it starts threads");
    // SAFETY: the process has one thread, as was just checked, so the child is a full copy: no lock is held by a thread
    // that does not exist there.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => std::process::exit(0),
    }
    rustix::process::setsid()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        replace(standard, null.as_raw_fd())?;
    }
    Ok(())
}

/// Makes `old` another name of what `new` is.
#[expect(unsafe_code, reason = "the safe form wants an owner for the standard descriptors")]
fn replace(old: RawFd, new: RawFd) -> io::Result<()> {
    // SAFETY: both are open descriptors. `old` is one of the three standard ones, which no object of this program owns
    // and closes, so nobody's descriptor changes under him but those who meant the terminal.
    match unsafe { libc::dup2(new, old) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}
