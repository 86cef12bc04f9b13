//! `--replica`: follows a server and prints the changes it streams.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use super::{End, begin, receive};
use crate::cli::client::options::Options;
use crate::cli::client::output::{self, Format};
use crate::cli::client::screen::{complain, print};
use crate::cli::client::session::{connect, lost};
use crate::cli::wire::Connection;
use crate::clock;

/// Between acknowledgements.
const ACKNOWLEDGE_US: u64 = 1_000_000;
const LOOK: Duration = Duration::from_millis(200);

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
    if matches!(end, End::Marker(_)) {
        complain("sending REPLCONF ACK 0");
    }
    follow(&mut connection, options).map_or_else(|error| lost(&error), |never| match never {})
}

/// Prints the stream.
///
/// A server that marks the end of its snapshot streams only once it has been told that the end was seen. It does not hear
/// that as long as it has not finished sending itself; so it is told again and again, as replicas do it anyway.
fn follow(connection: &mut Connection, options: &Options) -> io::Result<Infallible> {
    let mut told = None;
    loop {
        if told.is_none_or(|told| clock::mono_us() - told > ACKNOWLEDGE_US) {
            connection.put(&["REPLCONF", "ACK", "0"]);
            connection.flush()?;
            told = Some(clock::mono_us());
        }
        if connection.wait(LOOK)? {
            print(&output::format(&connection.receive()?, Format::Csv, options));
        }
    }
}
