//! A connection to the target of a MIGRATE.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resp::CommandError;
use crate::resp::inline::encode_into;
use crate::state::moves::Target;

/// Bytes written at a time: each piece has the whole timeout.
const PIECE_BYTES: usize = 64 * 1024;

/// The longest reply that is an answer to RESTORE.
const LINE_BYTES_MAX: usize = 64 * 1024;

const CONNECTING: CommandError =
    CommandError::new("IOERR error or timeout connecting to the client");
const WRITING: CommandError =
    CommandError::new("IOERR error or timeout writing to target instance");
const READING: CommandError =
    CommandError::new("IOERR error or timeout reading to target instance");

/// Why a round has come to nothing.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the client is told.
    pub(super) error: CommandError,
    /// Nothing went wrong but that nothing came.
    pub(super) is_timeout: bool,
    /// The target had answered something by then, or it was its answer.
    pub(super) has_answered: bool,
}

impl Failure {
    /// There was no connection yet, and there is none.
    pub(super) fn before(error: CommandError) -> Self {
        Self { error, is_timeout: false, has_answered: true }
    }
}

/// The connection, and what is known of the other side.
#[derive(Debug)]
pub(super) struct Link {
    address: (String, u16),
    stream: TcpStream,
    /// The database that is selected there.
    db: Option<u32>,
    unsent: Vec<u8>,
    unread: Vec<u8>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// What the client is told. That nobody listens there shows with stock at the first write.
    pub(super) async fn open(target: &Target, source: &str) -> Result<Link, CommandError> {
        let opening = super::super::socket::open(&target.host, target.port, source);
        let stream = match timeout(patience(target), opening).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.raw_os_error().is_some() => return Err(WRITING),
            Ok(Err(_)) | Err(_) => return Err(CONNECTING),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("an option of a socket: {error}");
        }
        let address = (target.host.clone(), target.port);
        Ok(Link { address, stream, db: None, unsent: Vec::new(), unread: Vec::new() })
    }

    /// Whether it is a connection to `target`.
    pub(super) fn leads_to(&self, target: &Target) -> bool {
        self.address.0 == target.host && self.address.1 == target.port
    }

    /// Authenticates, each time, and selects the database where it is another one. Nothing is sent behind these before they
    /// are answered: keys must not end up in another database.
    pub(super) async fn prepare(&mut self, target: &Target) -> Result<(), Failure> {
        let mut requests = 0;
        if !target.auth.is_empty() {
            let words: Vec<&[u8]> = std::iter::once(&b"AUTH"[..])
                .chain(target.auth.iter().map(Vec::as_slice))
                .collect();
            self.request(&words);
            requests += 1;
        }
        if self.db != Some(target.db) {
            self.request(&[b"SELECT", target.db.to_string().as_bytes()]);
            requests += 1;
        }
        self.flush(target).await?;
        let mut refused = None;
        for _ in 0..requests {
            if let Err(error) = self.reply(target).await? {
                refused.get_or_insert(error);
            }
        }
        match refused {
            Some(error) => Err(Failure { error, is_timeout: false, has_answered: true }),
            None => {
                self.db = Some(target.db);
                Ok(())
            }
        }
    }

    /// Sends a key.
    pub(super) async fn restore(
        &mut self,
        target: &Target,
        (key, ttl_ms): (&[u8], u64),
        payload: Vec<u8>,
    ) -> Result<(), Failure> {
        let name: &[u8] = if target.asks { b"RESTORE-ASKING" } else { b"RESTORE" };
        let ttl = ttl_ms.to_string();
        let mut words = vec![name, key, ttl.as_bytes(), &payload];
        if target.replaces {
            words.push(b"REPLACE");
        }
        self.request(&words);
        drop(payload);
        if self.unsent.len() >= PIECE_BYTES { self.flush(target).await } else { Ok(()) }
    }

    fn request(&mut self, words: &[&[u8]]) {
        encode_into(&mut self.unsent, words);
    }

    /// Sends all that has not been sent.
    pub(super) async fn flush(&mut self, target: &Target) -> Result<(), Failure> {
        let bytes = std::mem::take(&mut self.unsent);
        for piece in bytes.chunks(PIECE_BYTES) {
            let written = timeout(patience(target), self.stream.write_all(piece)).await;
            done(written, WRITING)?;
        }
        Ok(())
    }

    /// Whether a whole reply has been received already.
    pub(super) fn has_line(&self) -> bool {
        self.unread.contains(&b'\n')
    }

    /// The next reply: fine, or the error that it is.
    pub(super) async fn reply(
        &mut self,
        target: &Target,
    ) -> Result<Result<(), CommandError>, Failure> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                // Whatever that is, asking again would not make it a node.
                return read(&line)
                    .ok_or_else(|| Failure { has_answered: true, ..closed(READING) });
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return Err(Failure { has_answered: true, ..closed(READING) });
            }
            let reading = self.stream.read_buf(&mut self.unread);
            if done(timeout(patience(target), reading).await, READING)? == 0 {
                return Err(closed(READING));
            }
        }
    }

    /// Closes the connection after something went wrong. What the other side has not received is to get lost: a key that
    /// arrives long after its MIGRATE was given up would be a surprise.
    pub(super) fn abandon(self) {
        let result = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        if let Err(error) = result {
            tracing::debug!("an option of a socket: {error}");
        }
    }
}

fn patience(target: &Target) -> Duration {
    Duration::from_millis(target.timeout_ms)
}

fn closed(error: CommandError) -> Failure {
    Failure { error, is_timeout: false, has_answered: false }
}

fn done<T>(
    result: Result<io::Result<T>, tokio::time::error::Elapsed>,
    error: CommandError,
) -> Result<T, Failure> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(closed(error)),
        Err(_) => Err(Failure { error, is_timeout: true, has_answered: false }),
    }
}

/// What a line says; nothing if it is none of those that are expected.
fn read(line: &[u8]) -> Option<Result<(), CommandError>> {
    let line = line.trim_ascii_end();
    match line.split_first()? {
        (b'+', _) => Some(Ok(())),
        (b'-', text) => {
            let text = String::from_utf8_lossy(text);
            let text = format!("ERR Target instance replied with error: {text}");
            Some(Err(CommandError::owned(text)))
        }
        _ => None,
    }
}
