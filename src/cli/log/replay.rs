//! `highwater log replay`: plays a log to a server.
//!
//! The base goes first, a snapshot in it as commands that build it up (`base.rs`). Commands go out in groups, and their
//! replies are read before the next group. What replication put into the stream for its own sake (REPLCONF, PING) stays
//! out, and so do messages: who was to hear them has heard them.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use highwater_persistence::log::{Entry, EntryKind};
use indicatif::{ProgressBar, ProgressStyle};

use super::Replay;
use super::base::{self, Step};
use super::source::{Piece, Source};
use crate::cli::check_aof::timestamp;
use crate::cli::wire::Reply;
use crate::cli::{complain, say};
use crate::clock;
use crate::resp::inline::encode_into;

/// A group is sent when it is this long, however few its commands: nobody gains by larger ones.
const GROUP_BYTES: usize = 1 << 20;

/// How many errors are shown.
const ERRORS_SHOWN: u64 = 10;

pub(super) fn run(options: &Replay) -> Result<ExitCode, String> {
    let mut source = Source::open(&options.path)?;
    if options.no_base {
        source.leave_out_base();
    }
    let total: usize = source
        .pieces
        .iter()
        .map(|piece| piece.bytes.len() - if options.no_base { piece.commands_at } else { 0 })
        .sum();
    let stream = TcpStream::connect(&options.to)
        .map_err(|error| format!("cannot connect to {}: {error}", options.to))?;
    let mut player = Player::new(stream, options, u64::try_from(total).unwrap_or(u64::MAX))?;
    if let Some(password) = &options.password {
        player.put(&[b"AUTH", password.as_bytes()]);
        player.flush()?;
    }
    // Only the first file of a log begins with a snapshot; what follows counts on its own database 0.
    if let Some(piece) = source.pieces.first().filter(|piece| piece.commands_at > 0)
        && !options.no_base
    {
        base::for_each_step(piece, |step, bytes| player.play_base(step, bytes))?;
        player.put(&["SELECT", "0"]);
    }
    let stopped = source.for_each(|piece, entry| {
        player.play(piece, entry)?;
        Ok(true)
    })?;
    player.flush()?;
    player.bar.finish_and_clear();
    if options.speed.is_some() && player.first_time.is_none() {
        complain(
            "the log has no time stamps ('aof-timestamp-enabled yes' writes them), so --speed had no effect: \
             --rate sets commands per second",
        );
    }
    say(&format!("{} commands, {} errors", player.sent, player.errors));
    if let Some((piece, error)) = stopped {
        complain(&format!("{} stopped {error}", piece.path.display()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(if player.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Player<'a> {
    options: &'a Replay,
    output: TcpStream,
    input: BufReader<TcpStream>,
    waiting: Vec<u8>,
    /// Commands in `waiting`.
    group: u32,
    sent: u64,
    errors: u64,
    /// Monotonic time of the start, or of the first time stamp.
    started_us: u64,
    /// The log's first time stamp.
    first_time: Option<i64>,
    bar: ProgressBar,
}

impl<'a> Player<'a> {
    fn new(stream: TcpStream, options: &'a Replay, total: u64) -> Result<Self, String> {
        let input = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?);
        let bar = if options.quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
        let style = ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}",
        );
        bar.set_style(style.map_err(|error| error.to_string())?);
        Ok(Self {
            options,
            output: stream,
            input,
            waiting: Vec::new(),
            group: 0,
            sent: 0,
            errors: 0,
            started_us: clock::mono_us(),
            first_time: None,
            bar,
        })
    }

    fn play(&mut self, piece: &Piece, entry: &Entry<'_>) -> Result<(), String> {
        self.bar.inc(u64::try_from(entry.size).unwrap_or(0));
        match &entry.kind {
            EntryKind::Comment(text) => match timestamp(text) {
                Some(time) => self.wait_for_time(time),
                None => Ok(()),
            },
            EntryKind::Annotation(_) => Ok(()),
            EntryKind::Command { args, .. } => {
                if is_of_the_moment(args.name()) {
                    return Ok(());
                }
                self.wait_for_rate()?;
                let bytes = &piece.bytes[entry.position..entry.position + entry.size];
                self.waiting.extend_from_slice(bytes);
                self.group += 1;
                self.counted()
            }
        }
    }

    /// Sends a step of the base, which is `bytes` bytes of its file.
    fn play_base(&mut self, step: Step, bytes: u64) -> Result<(), String> {
        self.bar.inc(bytes);
        match step {
            Step::Nothing => Ok(()),
            Step::Unsent(reason) => {
                self.note_error(&reason);
                Ok(())
            }
            Step::Command(words) => {
                self.wait_for_rate()?;
                self.put(&words);
                self.counted()
            }
        }
    }

    /// Puts a command in line.
    fn put(&mut self, words: &[impl AsRef<[u8]>]) {
        encode_into(&mut self.waiting, words);
        self.group += 1;
    }

    /// Counts a command put in line, and sends what is there when it is enough.
    fn counted(&mut self) -> Result<(), String> {
        self.sent += 1;
        let enough = self.group >= self.options.pipeline || self.waiting.len() >= GROUP_BYTES;
        if enough { self.flush() } else { Ok(()) }
    }

    fn note_error(&mut self, error: &str) {
        self.errors += 1;
        if self.errors <= ERRORS_SHOWN {
            self.bar.suspend(|| complain(error));
        }
    }

    /// Sends what is waiting and reads the replies.
    fn flush(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("the server's connection: {error}");
        self.output.write_all(&self.waiting).map_err(failed)?;
        self.waiting.clear();
        for _ in 0..std::mem::take(&mut self.group) {
            let reply = Reply::read(&mut self.input).map_err(failed)?;
            if let Some(error) = first_error(&reply) {
                if let Some(word) = shut_out(error) {
                    self.bar.finish_and_clear();
                    return Err(format!("{word}. The server replied: {error}"));
                }
                self.note_error(&format!("the server replied: {error}"));
            }
        }
        Ok(())
    }

    /// Waits until as much time has passed as between the log's first time stamp and `time`, at the speed asked for.
    fn wait_for_time(&mut self, time: i64) -> Result<(), String> {
        let Some(speed) = self.options.speed.filter(|speed| *speed > 0.0) else { return Ok(()) };
        let first = match self.first_time {
            Some(first) => first,
            None => {
                // What went out before, the base above all, took no time in the log.
                self.flush()?;
                self.started_us = clock::mono_us();
                *self.first_time.insert(time)
            }
        };
        let passed = Duration::from_secs(time.saturating_sub(first).max(0).unsigned_abs());
        let due =
            Duration::try_from_secs_f64(passed.as_secs_f64() / speed).unwrap_or(Duration::MAX);
        self.wait_until(due)
    }

    fn wait_for_rate(&mut self) -> Result<(), String> {
        let Some(rate) = self.options.rate.filter(|rate| *rate > 0.0) else { return Ok(()) };
        #[expect(clippy::cast_precision_loss, reason = "a count of commands below 2^53")]
        let due = Duration::try_from_secs_f64(self.sent as f64 / rate);
        self.wait_until(due.unwrap_or(Duration::MAX))
    }

    /// Waits until `due` after the start, everything sent before it answered.
    fn wait_until(&mut self, due: Duration) -> Result<(), String> {
        let passed = Duration::from_micros(clock::mono_us().saturating_sub(self.started_us));
        if let Some(left) = due.checked_sub(passed)
            && left > Duration::from_millis(1)
        {
            self.flush()?;
            std::thread::sleep(left);
        }
        Ok(())
    }
}

/// What to do about an error that all commands would get; `None`: it is one command's own.
fn shut_out(error: &str) -> Option<&'static str> {
    match error.split(' ').next()? {
        "NOAUTH" => Some("the server wants a password: give it with --password"),
        "WRONGPASS" => Some("the server does not take this --password"),
        "READONLY" => Some("the server is a replica: play to its primary"),
        "LOADING" => Some("the server is still loading its data: try again later"),
        _ => None,
    }
}

/// The first error in a reply, if any.
fn first_error(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Error(text) => Some(text),
        Reply::Map(pairs) => {
            pairs.iter().find_map(|(key, value)| first_error(key).or_else(|| first_error(value)))
        }
        other => other.elements().unwrap_or_default().iter().find_map(first_error),
    }
}

/// Commands of a stream that change no data.
fn is_of_the_moment(name: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b"replconf", b"ping", b"publish", b"spublish"];
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &str, error: Option<&str>) {
        let reply = Reply::read(&mut reply.as_bytes()).unwrap();
        assert_eq!(first_error(&reply), error, "{reply:?}");
    }

    #[test]
    fn errors_that_concern_every_command_end_the_play() {
        assert!(shut_out("NOAUTH Authentication required.").is_some());
        assert!(shut_out("WRONGTYPE Operation against a key").is_none());
        assert!(shut_out("").is_none());
    }

    #[test]
    fn replies_are_read_and_errors_found() {
        check("+OK\r\n", None);
        check("-ERR no\r\n", Some("ERR no"));
        check("$5\r\na\r\nbc\r\n", None);
        check("$-1\r\n", None);
        check("*-1\r\n", None);
        check("*3\r\n:1\r\n*1\r\n-ERR inner\r\n$1\r\nx\r\n", Some("ERR inner"));
        check("%1\r\n+k\r\n:2\r\n", None);
    }
}
