//! `--pipe`: sends the requests of standard input, as fast as they are taken, and counts the replies.

mod keys;
mod plain;
mod requests;
mod routed;

use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;

use super::options::Options;
use super::screen::{complain, print};
use super::session;

/// What a snapshot begins with; its version follows in four digits.
const SNAPSHOT: &[u8] = b"REDIS";

/// Replies so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    errors: u64,
    replies: u64,
    /// Of the errors: keys of other nodes.
    moved: u64,
}

/// Sends all of standard input: to one node, or with `-c` to those that serve the keys.
pub(super) fn run(options: &Options) -> ExitCode {
    let mut input = BufReader::with_capacity(64 * 1024, io::stdin());
    if begins_with_snapshot(&mut input) {
        complain(
            "The input begins with a snapshot (RDB), which is no request: nothing was sent.\n\
             A log that begins with one is played by: highwater log replay PATH TARGET",
        );
        return ExitCode::FAILURE;
    }
    let Ok(connection) = session::connect(options) else { return ExitCode::FAILURE };
    let (counts, done) = if options.cluster {
        routed::run(options, connection, input)
    } else {
        plain::run(options, connection, input)
    };
    print(format!("errors: {}, replies: {}\n", counts.errors, counts.replies).as_bytes());
    if counts.moved > 0 && options.hints {
        complain("(add -c to send each request to the node that serves its keys)");
    }
    if done && counts.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks at the first bytes, which stay where they are.
fn begins_with_snapshot(input: &mut impl BufRead) -> bool {
    // The first piece of a pipe holds more than these few bytes, or all there is.
    let start = input.fill_buf().unwrap_or_default();
    let Some(version) = start.strip_prefix(SNAPSHOT).and_then(|rest| rest.get(..4)) else {
        return false;
    };
    version.iter().all(u8::is_ascii_digit)
}

/// Told once all has been sent.
fn say_sent() {
    print(b"All data transferred. Waiting for the last reply...\n");
}

/// Told once all has been answered.
fn say_answered() {
    print(b"Last reply received from server.\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_noticed() {
        assert!(begins_with_snapshot(&mut &b"REDIS0011\xfa"[..]));
        for other in [&b"REDIS x"[..], b"*1\r\n", b"REDIS", b""] {
            assert!(!begins_with_snapshot(&mut &*other));
        }
    }
}
