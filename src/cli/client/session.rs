//! A user's session with a server: it connects when it has to, follows redirections, and knows what the server keeps of a
//! connection (database, transaction, version of the protocol), which the prompt shows and a new connection needs.

use std::io;
use std::process::ExitCode;

use super::command::{self, Stream, is_word};
use super::docs::Docs;
use super::interrupt::Keys;
use super::options::{Options, Protocol};
use super::output::{self, Format};
use super::redirect::{REDIRECTS_MAX, Redirect};
use super::screen::{complain, print};
use crate::cli::wire::{Address, Connection, Credentials, Failure, Reply};

/// Servers that a session remembers having been at.
const KNOWN_MAX: usize = 64;

/// Why a command has no reply. What there is to say has been said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// A session. It is connected, or tries to be with the next command.
pub(super) struct Session<'a> {
    options: &'a Options,
    address: Address,
    credentials: Credentials,
    connection: Option<Connection>,
    protocol: Protocol,
    database: i64,
    /// The database before MULTI: a SELECT inside counts only once it has been executed.
    database_before: i64,
    transaction: bool,
    /// At a prompt, or with commands from standard input.
    interactive: bool,
    /// Ctrl-C ends a stream of messages, not the program.
    stop_with_key: bool,
    /// How often it has connected.
    connections: u64,
    /// Servers that it has been connected to, the first ones first.
    known: Vec<Address>,
}

impl<'a> Session<'a> {
    /// A session that is not connected yet.
    pub(super) fn new(options: &'a Options, interactive: bool) -> Self {
        Self {
            options,
            address: options.address(),
            credentials: options.credentials.clone(),
            connection: None,
            protocol: options.protocol,
            database: options.database,
            database_before: options.database,
            transaction: false,
            interactive,
            stop_with_key: false,
            connections: 0,
            known: Vec::new(),
        }
    }

    /// Whether Ctrl-C is to end a stream of messages rather than the program.
    pub(super) fn stop_with_key(&mut self, stop: bool) {
        self.stop_with_key = stop;
    }

    /// How often it has connected.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// What the server says of its commands. `None`: it does not, or there is no connection.
    pub(super) fn docs(&mut self) -> Option<Docs> {
        let connection = self.connection.as_mut().filter(|_| !self.transaction)?;
        connection.put(&["COMMAND", "DOCS"]);
        let reply = connection.flush().and_then(|()| receive(connection, self.options));
        // A connection that broke is noticed by the next command.
        Docs::from_reply(&reply.ok()?)
    }

    /// Connects, in place of a connection that there may be: logs in, selects the database, chooses the version of the
    /// protocol. What the server refuses of these is told, and the session goes on without.
    ///
    /// # Errors
    /// There is no connection; it has been said why.
    pub(super) fn connect(&mut self) -> Result<(), Broken> {
        self.connection = None;
        self.transaction = false;
        match Connection::open(&self.address, None) {
            Ok(connection) => self.begin(connection),
            Err(error) => {
                complain(&could_not_connect(&self.address, &error));
                Err(Broken)
            }
        }
    }

    fn begin(&mut self, mut connection: Connection) -> Result<(), Broken> {
        self.connections += 1;
        if !self.known.contains(&self.address) && self.known.len() < KNOWN_MAX {
            self.known.push(self.address.clone());
        }
        let ready = self.prepare(&mut connection);
        self.connection = Some(connection);
        ready.map_err(|error| self.lost(&error))
    }

    /// Connects once more. At a prompt that follows redirections, where the server is gone, to another one it has been at: that
    /// one knows who has taken its place.
    fn connect_again(&mut self) -> Result<(), Broken> {
        if self.connect().is_ok() {
            return Ok(());
        }
        if !self.options.cluster || !self.interactive {
            return Err(Broken);
        }
        let others: Vec<Address> =
            self.known.iter().filter(|known| **known != self.address).cloned().collect();
        for address in others {
            if let Ok(connection) = Connection::open(&address, None) {
                print(format!("-> Asking {address}\n").as_bytes());
                self.address = address;
                return self.begin(connection);
            }
        }
        Err(Broken)
    }

    fn prepare(&mut self, connection: &mut Connection) -> io::Result<()> {
        if let Err(failure) = connection.authenticate(&self.credentials) {
            match failure {
                Failure::Refused(text) => complain(&format!("AUTH failed: {text}")),
                Failure::Connection(error) => return Err(error),
            }
        }
        if self.database != 0 {
            select(connection, self.database)?;
        }
        if matches!(self.protocol, Protocol::Three | Protocol::PreferThree)
            && let Some(text) = connection.ask(&["HELLO", "3"])?.error()
            && self.protocol == Protocol::Three
        {
            complain(&format!("HELLO 3 failed: {text}"));
        }
        Ok(())
    }

    /// Goes to another server.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(super) fn go_to(&mut self, address: Address) -> Result<(), Broken> {
        self.address = address;
        self.connect()
    }

    /// Runs a command `repeat` times (negative: for ever) and prints what it replies. The status that a script is to see.
    ///
    /// # Errors
    /// The connection broke, or there is none.
    pub(super) fn run(&mut self, words: &[Vec<u8>], repeat: i64) -> Result<u8, Broken> {
        let mut left = repeat;
        let mut status = 0;
        while left != 0 {
            left -= i64::from(left > 0);
            let reply = self.ask(words)?;
            let moved = reply.error().and_then(Redirect::parse).is_some_and(|to| !to.is_ask);
            status = self.show(words, reply)?;
            if moved && self.options.hints && !self.options.cluster {
                complain("(add -c to follow redirections)");
            }
            if status != 0 && self.options.error_status && !self.interactive {
                return Ok(status);
            }
            std::thread::sleep(self.options.interval);
        }
        Ok(status)
    }

    /// Sends a command and follows where its reply points.
    fn ask(&mut self, words: &[Vec<u8>]) -> Result<Reply, Broken> {
        let stream = command::stream(words);
        let mut asking = false;
        for hop in 0..=REDIRECTS_MAX {
            if self.connection.is_none() {
                self.connect_again()?;
            }
            let Some(connection) = self.connection.as_mut() else { return Err(Broken) };
            // It is said rather than mended silently: a transaction, or WATCH, has gone with it.
            if connection.is_closed() {
                return Err(self.lost(&io::Error::other("Server closed the connection")));
            }
            if asking {
                connection.put(&["ASKING"]);
            }
            connection.put(words);
            let sent = connection.flush();
            let reply = sent.and_then(|()| {
                if asking {
                    receive(connection, self.options)?;
                }
                // Where messages were asked for, what comes unasked is the reply.
                if stream == Stream::Messages {
                    connection.receive()
                } else {
                    receive(connection, self.options)
                }
            });
            let reply = match reply {
                Ok(reply) => reply,
                // It does what it was told.
                Err(_) if is_word(words, 0, "shutdown") => {
                    self.connection = None;
                    return Ok(Reply::Array(Vec::new()));
                }
                Err(error) => return Err(self.lost(&error)),
            };
            let redirect = reply.error().filter(|_| self.options.cluster).and_then(Redirect::parse);
            match redirect {
                Some(redirect) if hop < REDIRECTS_MAX => {
                    self.follow(&redirect)?;
                    asking = redirect.is_ask;
                }
                _ => return Ok(reply),
            }
        }
        Err(Broken)
    }

    fn follow(&mut self, redirect: &Redirect) -> Result<(), Broken> {
        let address = redirect.address(&self.address);
        if self.interactive {
            print(
                format!("-> Redirected to slot [{}] located at {address}\n", redirect.slot)
                    .as_bytes(),
            );
        }
        self.go_to(address)
    }

    /// Prints a reply, and all that follows it.
    fn show(&mut self, words: &[Vec<u8>], reply: Reply) -> Result<u8, Broken> {
        if let Some(text) = reply.error()
            && self.options.error_status
            && !self.interactive
        {
            complain(text);
            return Ok(1);
        }
        let is_text = command::replies_with_text(words);
        let stream = if reply.error().is_some() { Stream::Reply } else { command::stream(words) };
        if stream == Stream::Messages && self.options.format != Format::Raw {
            print(b"Reading messages... (press Ctrl-C to quit)\n");
        }
        if self.connection.is_some() {
            self.print_reply(&reply, is_text);
        }
        self.note(words, &reply);
        // Nobody pings for the exit status of having been refused: a check of health that fails has to fail.
        let status = u8::from(is_word(words, 0, "ping") && reply.error().is_some());
        match stream {
            Stream::Reply | Stream::Replication => Ok(status),
            Stream::Messages | Stream::Monitor => self.show_stream(),
        }
    }

    /// Prints what comes until the connection ends.
    fn show_stream(&mut self) -> Result<u8, Broken> {
        let keys = if self.stop_with_key { Keys::watch().ok() } else { None };
        loop {
            let Some(connection) = self.connection.as_mut() else { return Err(Broken) };
            if let Some(keys) = &keys
                && keys.wait(connection).unwrap_or(false)
            {
                print(b"\n");
                // The server knows no other end of MONITOR.
                return self.connect().map(|()| 0);
            }
            match connection.receive() {
                Ok(reply) => self.print_reply(&reply, false),
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn print_reply(&self, reply: &Reply, is_text: bool) {
        if is_text {
            print(&output::text(reply));
        } else {
            print(&output::format(reply, self.options.format, self.options));
        }
    }

    /// Notes what a command has changed on the server's side of this connection.
    fn note(&mut self, words: &[Vec<u8>], reply: &Reply) {
        let is = |name: &str, length: usize| words.len() == length && is_word(words, 0, name);
        let failed = reply.error().is_some();
        if is("select", 2) && !failed {
            self.database = String::from_utf8_lossy(&words[1]).trim().parse().unwrap_or(0);
        } else if (is("auth", 2) || is("auth", 3)) && !failed {
            self.note_login(&words[1..]);
        } else if is("multi", 1) && !failed {
            self.transaction = true;
            self.database_before = self.database;
        } else if is("exec", 1) && self.transaction {
            self.transaction = false;
            if failed || *reply == Reply::Nil {
                self.database = self.database_before;
            }
        } else if is("discard", 1) && !failed {
            self.transaction = false;
            self.database = self.database_before;
        } else if is("reset", 1) && !failed {
            self.transaction = false;
            self.database = 0;
            self.protocol = Protocol::Two;
        } else if is_word(words, 0, "hello") && !failed {
            self.protocol = if is_word(words, 1, "3") { Protocol::Three } else { Protocol::Two };
            if is_word(words, 2, "auth") && words.len() >= 5 {
                self.note_login(&words[3..5]);
            }
        }
    }

    /// A later connection logs in as this one has: `who` is a password, or a user and a password.
    fn note_login(&mut self, who: &[Vec<u8>]) {
        let mut texts = who.iter().rev().map(|word| String::from_utf8_lossy(word).into_owned());
        self.credentials = Credentials { password: texts.next(), user: texts.next() };
        // Where that was refused before the login it is not now.
        if self.database != 0
            && let Some(connection) = self.connection.as_mut()
            && let Err(error) = select(connection, self.database)
        {
            self.lost(&error);
        }
    }

    /// Says that the connection has broken.
    fn lost(&mut self, error: &io::Error) -> Broken {
        if self.connection.take().is_some() {
            complain(&format!("Error: {}", plain(error)));
        }
        self.transaction = false;
        Broken
    }

    /// What stands before the cursor.
    pub(super) fn prompt(&self) -> String {
        if self.connection.is_none() {
            return "not connected> ".to_owned();
        }
        let place = match &self.address {
            Address::Unix(path) => format!("redis {}", path.display()),
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            address @ Address::Tcp(..) => address.to_string(),
        };
        let database =
            if self.database == 0 { String::new() } else { format!("[{}]", self.database) };
        let transaction = if self.transaction { "(TX)" } else { "" };
        format!("{place}{database}{transaction}> ")
    }
}

/// Reads the next reply. What the server sends unasked before it is printed, if that is wanted.
fn receive(connection: &mut Connection, options: &Options) -> io::Result<Reply> {
    loop {
        match connection.receive()? {
            push @ Reply::Push(_) => {
                if options.show_pushes {
                    print(&output::push(&push, options));
                }
            }
            reply => return Ok(reply),
        }
    }
}

/// Selects a database, or says why not.
fn select(connection: &mut Connection, database: i64) -> io::Result<()> {
    let number = database.to_string();
    if let Some(text) = connection.ask(&["SELECT", &number])?.error() {
        complain(&format!("SELECT {number} failed: {text}"));
    }
    Ok(())
}

/// What is said where no connection could be opened.
pub(super) fn could_not_connect(address: &Address, error: &io::Error) -> String {
    format!("Could not connect to Redis at {address}: {}", plain(error))
}

/// What the system says of an error, without its number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Says that a connection broke in the middle of what cannot go on without.
pub(super) fn lost(error: &io::Error) -> ExitCode {
    complain(&format!("Error: {}", plain(error)));
    ExitCode::FAILURE
}

/// A connection for a mode that cannot do without: logged in, and in the database asked for.
///
/// # Errors
/// There is none; it has been said why.
pub(super) fn connect(options: &Options) -> Result<Connection, Broken> {
    let mut session = Session::new(options, false);
    session.connect()?;
    session.connection.take().ok_or(Broken)
}
