//! One node gets the input as it is, whatever it holds. A request of our own behind it tells when all of it has been
//! answered.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Counts, say_answered, say_sent};
use crate::cli::client::options::Options;
use crate::cli::client::screen::complain;
use crate::cli::client::session::plain as plain_text;
use crate::cli::wire::{Connection, Reply};
use crate::clock;

/// Bytes sent at once.
const PIECE: usize = 64 * 1024;

/// How long the reader waits before it looks at the clock again.
const LOOK: Duration = Duration::from_millis(250);

/// Sends `input` and reads all replies. False: not all came.
pub(super) fn run(
    options: &Options,
    mut connection: Connection,
    mut input: impl Read + Send,
) -> (Counts, bool) {
    let mut counts = Counts::default();
    let mut marker = [0; 20];
    let sender = connection.sender();
    if let (Ok(mut sender), Ok(())) = (sender, getrandom::fill(&mut marker)) {
        let sent = AtomicBool::new(false);
        let sent = &sent;
        // The sender may wait for input for ever: the program ends without it when the connection breaks.
        let done = std::thread::scope(|scope| {
            scope.spawn(move || {
                // That the server has gone is told by the other side.
                if let Err(error) = send(&mut input, &mut sender, &marker)
                    && error.kind() != io::ErrorKind::BrokenPipe
                {
                    complain(&format!("Error writing to the server: {}", plain_text(&error)));
                }
                sent.store(true, Ordering::Release);
            });
            let done = receive(options, &mut connection, sent, &marker, &mut counts);
            if !done && !sent.load(Ordering::Acquire) {
                std::process::exit(1);
            }
            done
        });
        return (counts, done);
    }
    complain("Error: the connection cannot be shared by two threads");
    (counts, false)
}

fn send(input: &mut impl Read, out: &mut impl Write, marker: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; PIECE];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => out.write_all(&bytes[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    say_sent();
    // A last line without an end is ended first.
    out.write_all(b"\r\n*2\r\n$4\r\nECHO\r\n$20\r\n")?;
    out.write_all(marker)?;
    out.write_all(b"\r\n")
}

/// Reads replies up to the one to our own request.
fn receive(
    options: &Options,
    connection: &mut Connection,
    sent: &AtomicBool,
    marker: &[u8],
    counts: &mut Counts,
) -> bool {
    let timeout_us = u64::try_from(options.pipe_timeout.as_micros()).unwrap_or(0);
    let mut last = clock::mono_us();
    loop {
        if !connection.wait(LOOK).unwrap_or(true) {
            if !sent.load(Ordering::Acquire) {
                last = clock::mono_us();
            } else if timeout_us > 0 && clock::mono_us() - last > timeout_us {
                complain(&format!("No replies for {} seconds: exiting.", timeout_us / 1_000_000));
                counts.errors += 1;
                return false;
            }
            continue;
        }
        match connection.receive() {
            Ok(Reply::Bulk(bytes)) if bytes == marker => {
                say_answered();
                return true;
            }
            Ok(Reply::Push(_)) => {}
            Ok(reply) => {
                counts.replies += 1;
                if let Some(text) = reply.error() {
                    complain(text);
                    counts.errors += 1;
                    counts.moved += u64::from(text.starts_with("MOVED "));
                }
            }
            Err(error) => {
                complain(&format!("Error reading from the server: {}", plain_text(&error)));
                return false;
            }
        }
        last = clock::mono_us();
    }
}
