//! Walks over all keys: `--scan`, and what the modes that look at each key begin with.

use std::process::ExitCode;

use super::options::Options;
use super::output::{Format, quoted};
use super::screen::{complain, print};
use super::session::{self, lost};
use crate::cli::wire::{Connection, Failure, Reply};

/// A walk. Keys may come more than once.
pub(super) struct Walk<'a> {
    options: &'a Options,
    /// `None`: it has come to its end.
    cursor: Option<Vec<u8>>,
    steps: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self { options, cursor: Some(b"0".to_vec()), steps: 0 }
    }

    /// The next keys, which may be none. `None`: that was all.
    ///
    /// # Errors
    /// Those of the connection; what the server refuses.
    pub(super) fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let count = self.options.scan_count.to_string();
        let mut words: Vec<&[u8]> = vec![b"SCAN", &cursor];
        if let Some(pattern) = &self.options.pattern {
            words.extend([&b"MATCH"[..], pattern]);
        }
        words.extend([&b"COUNT"[..], count.as_bytes()]);
        let reply = connection.call(&words)?;
        let [next, keys] = reply.elements().unwrap_or_default() else {
            return Err(Failure::Refused("the reply to SCAN is no cursor with keys".to_owned()));
        };
        let next = next.bytes().unwrap_or(b"0").to_vec();
        self.cursor = (next != b"0").then_some(next);
        self.steps += 1;
        let keys = keys.elements().unwrap_or_default();
        Ok(Some(keys.iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)).collect()))
    }

    /// Pauses as `-i` says, each `steps`.
    pub(super) fn pause(&self, steps: u64) {
        if self.cursor.is_some() && self.steps.is_multiple_of(steps) {
            std::thread::sleep(self.options.interval);
        }
    }
}

/// Prints all keys.
pub(super) fn run(options: &Options) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let mut walk = Walk::new(options);
    loop {
        match walk.next(&mut connection) {
            Ok(Some(keys)) => keys.iter().for_each(|key| print(&line(key, options.format))),
            Ok(None) => return ExitCode::SUCCESS,
            Err(Failure::Refused(text)) => {
                complain(&format!("SCAN error: {text}"));
                return ExitCode::FAILURE;
            }
            Err(Failure::Connection(error)) => return lost(&error),
        }
        walk.pause(1);
    }
}

fn line(key: &[u8], format: Format) -> Vec<u8> {
    let mut line = if format == Format::Standard { quoted(key) } else { key.to_vec() };
    line.push(b'\n');
    line
}

/// How many keys there are.
///
/// # Errors
/// It has been said why it is not known.
pub(super) fn count_keys(connection: &mut Connection) -> Result<u64, ExitCode> {
    let count = connection.call(&["DBSIZE"]).map(|reply| reply.integer().unwrap_or(0));
    match count {
        Ok(count) => Ok(u64::try_from(count).unwrap_or(0)),
        Err(failure) => {
            complain(&format!("Couldn't determine DBSIZE: {failure}"));
            Err(ExitCode::FAILURE)
        }
    }
}

/// Sends a request per key and reads all replies.
///
/// # Errors
/// Those of the connection.
pub(super) fn ask_each(
    connection: &mut Connection,
    requests: &[Vec<Vec<u8>>],
) -> std::io::Result<Vec<Reply>> {
    requests.iter().for_each(|words| connection.put(words));
    connection.flush()?;
    requests.iter().map(|_| connection.receive()).collect()
}
