//! A connection to the other node of a job: requests go out, numbers and errors come back, in order.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::encode::command;
use crate::config::Config;

/// For connecting, and for the answer to anything but a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer is a number or a line.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What the other node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// `+OK`
    Ok,
    /// A number.
    Number(u64),
    /// An error, its code first.
    Error(String),
}

/// The connection.
#[derive(Debug)]
pub(super) struct PeerLink {
    output: TcpStream,
    input: BufReader<TcpStream>,
}

impl PeerLink {
    /// Connects, and logs in as a replica would.
    ///
    /// # Errors
    /// In a sentence.
    pub(super) fn open(host: &str, port: u16, config: &Config) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{host}:{port}: {error}");
        let address = (host, port).to_socket_addrs().map_err(failed)?.next();
        let address = address.ok_or_else(|| format!("{host}:{port} has no address"))?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
        let input = BufReader::new(stream.try_clone().map_err(failed)?);
        let mut link = Self { output: stream, input };
        if !config.masterauth.is_empty() {
            let answer = match config.masteruser.is_empty() {
                true => link.ask(&[b"AUTH", &config.masterauth]),
                false => link.ask(&[b"AUTH", &config.masteruser, &config.masterauth]),
            }
            .map_err(failed)?;
            if let Answer::Error(text) = answer {
                return Err(format!("{host}:{port} does not take masterauth: {text}"));
            }
        }
        Ok(link)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> io::Result<Answer> {
        self.ask_for(words, TIMEOUT)
    }

    /// The same, for as long as that.
    pub(super) fn ask_for(&mut self, words: &[&[u8]], timeout: Duration) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        command(&mut bytes, words);
        self.send(&bytes)?;
        self.answer(timeout)
    }

    /// Sends bytes that are requests.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Waits for the next answer.
    pub(super) fn answer(&mut self, timeout: Duration) -> io::Result<Answer> {
        self.output.set_read_timeout(Some(timeout))?;
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.input, LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            let text = "the other node has closed the connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text}"));
        match text.split_at_checked(1).ok_or_else(unknown)? {
            ("+", _) => Ok(Answer::Ok),
            (":", number) => number.parse().map(Answer::Number).map_err(|_| unknown()),
            ("-", error) => Ok(Answer::Error(error.to_owned())),
            _ => Err(unknown()),
        }
    }

    /// Whether an answer, or a part of one, is there to be read.
    pub(super) fn has_answer(&self) -> io::Result<bool> {
        if !self.input.buffer().is_empty() {
            return Ok(true);
        }
        self.output.set_nonblocking(true)?;
        let peeked = self.output.peek(&mut [0]);
        self.output.set_nonblocking(false)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
