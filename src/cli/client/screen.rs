//! Standard output and standard error.

use std::io::Write;

/// Writes to standard output. Where nobody reads it any more there is nothing left to do: the program ends.
pub(super) fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Writes a line to standard error.
pub(super) use crate::cli::complain;
