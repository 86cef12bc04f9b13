//! A node as one that can be asked.

use std::fmt;
use std::time::Duration;

use super::super::wire::{Address, Connection, Credentials, Failure, Reply};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);

/// A node by its address, and the connection to it once it was asked something.
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Credentials,
    connection: Option<Connection>,
}

impl Peer {
    pub(super) fn new(host: &str, port: u16, credentials: &Credentials) -> Self {
        Self { host: host.to_owned(), port, credentials: credentials.clone(), connection: None }
    }

    /// Opens the connection, unless there is one.
    ///
    /// # Errors
    /// What is to be said of it, and whether the node itself said it.
    pub(super) fn connect(&mut self) -> Result<&mut Connection, Unreachable> {
        if self.connection.is_none() {
            let address = Address::Tcp(self.host.clone(), self.port);
            let opened = Connection::log_in(&address, &self.credentials, Some(CONNECT));
            self.connection = Some(opened.map_err(|failure| self.unreachable(failure))?);
        }
        Ok(self.connection.as_mut().expect("it was opened above"))
    }

    fn unreachable(&self, failure: Failure) -> Unreachable {
        match failure {
            Failure::Connection(error) => {
                let text = plain_reason(&error);
                Unreachable::Silent(format!("Could not connect to Redis at {self}: {text}\n"))
            }
            Failure::Refused(text) => Unreachable::Refuses(self.replied(&text)),
        }
    }

    /// What is said of an error reply.
    pub(super) fn replied(&self, text: &str) -> String {
        format!("Node {self} replied with error:\n{text}\n")
    }

    /// Asks, over a new connection if the old one broke.
    ///
    /// # Errors
    /// Those of the connection, and an error reply.
    pub(super) fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Reply, Failure> {
        let connection = match self.connect() {
            Ok(connection) => connection,
            Err(reason) => {
                let reason = reason.text().trim_end().to_owned();
                return Err(Failure::Connection(std::io::Error::other(reason)));
            }
        };
        let reply = connection.call(words);
        if matches!(reply, Err(Failure::Connection(_))) {
            self.connection = None;
        }
        reply
    }

    /// The same for a line whose words hold no blanks.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) fn line(&mut self, line: &str) -> Result<Reply, Failure> {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// The text that the node replies with.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) fn text(&mut self, line: &str) -> Result<String, Failure> {
        self.line(line).map(|reply| reply.text().unwrap_or_default())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a node cannot be asked, with the text that says so.
#[derive(Debug)]
pub(super) enum Unreachable {
    /// Nobody is there.
    Silent(String),
    /// It does not let us in.
    Refuses(String),
}

impl Unreachable {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Silent(text) | Self::Refuses(text) => text,
        }
    }
}

/// The system's words for an error, without its number; names that have no address in the C library's words.
pub(super) fn plain_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    if let Some(reason) = text.strip_prefix("failed to lookup address information: ") {
        return reason.to_owned();
    }
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A field of INFO or CLUSTER INFO.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
