//! `--replica`: follows a server and prints the changes it streams.

use std::process::ExitCode;

use super::{End, begin, receive};
use crate::cli::client::options::Options;
use crate::cli::client::output::{self, Format};
use crate::cli::client::screen::{complain, print};
use crate::cli::client::session::{connect, lost};

/// Prints what comes until the connection breaks. The snapshot before it is not kept.
pub(in crate::cli::client) fn run(options: &Options) -> ExitCode {
    let Ok(mut connection) = connect(options) else { return ExitCode::FAILURE };
    // No data and no functions, where the server knows how to leave them out.
    let end = match begin(&mut connection, &["REPLCONF", "rdb-filter-only", ""]) {
        Ok(end) => end,
        Err(text) => {
            complain(&text);
            return ExitCode::FAILURE;
        }
    };
    complain(&match &end {
        End::After(length) => {
            format!("SYNC with master, discarding {length} bytes of bulk transfer...")
        }
        End::Marker(_) => {
            "SYNC with master, discarding bytes of bulk transfer until EOF marker...".to_owned()
        }
    });
    match receive(&mut connection, &end, |_| Ok(())) {
        Ok(length) => complain(&match end {
            End::After(_) => "SYNC done. Logging commands from master.".to_owned(),
            End::Marker(_) => {
                format!("SYNC done after {length} bytes. Logging commands from master.")
            }
        }),
        Err(error) => return lost(&error),
    }
    // A server that marks the end streams only once it has been told that it was seen.
    complain("sending REPLCONF ACK 0");
    connection.put(&["REPLCONF", "ACK", "0"]);
    if let Err(error) = connection.flush() {
        return lost(&error);
    }
    loop {
        match connection.receive() {
            Ok(request) => print(&output::format(&request, Format::Csv, options)),
            Err(error) => return lost(&error),
        }
    }
}
