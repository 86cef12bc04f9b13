//! A connection to a server, used by one thread that waits for what it asked.

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

use super::{Reply, reply};
use crate::resp::inline::encode_into;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::cli) enum Address {
    /// A host, by name or address, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Who is asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Credentials {
    /// The user; the default one if there is none.
    pub(in crate::cli) user: Option<String>,
    /// The password; without one nobody logs in.
    pub(in crate::cli) password: Option<String>,
}

/// Why there is no reply, or no good one.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// The connection could not be opened, broke, or was silent for too long.
    Connection(io::Error),
    /// The server replied with this error, its code first.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "{error}"),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An open connection.
pub(in crate::cli) struct Connection {
    /// Requests that were put in line.
    waiting: Vec<u8>,
    socket: BufReader<Socket>,
}

impl Connection {
    /// Connects. Where a name has several addresses each is tried, for `timeout` if there is one.
    ///
    /// # Errors
    /// That of the last address tried.
    pub(in crate::cli) fn open(address: &Address, timeout: Option<Duration>) -> io::Result<Self> {
        let socket = match address {
            Address::Tcp(host, port) => Socket::Tcp(open_tcp(host, *port, timeout)?),
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        };
        Ok(Self { waiting: Vec::new(), socket: BufReader::with_capacity(64 * 1024, socket) })
    }

    /// Connects and logs in, where there is a password.
    ///
    /// # Errors
    /// Those of the connection; what the server says of the password.
    pub(in crate::cli) fn log_in(
        address: &Address,
        credentials: &Credentials,
        timeout: Option<Duration>,
    ) -> Result<Self, Failure> {
        let mut connection = Self::open(address, timeout)?;
        connection.authenticate(credentials)?;
        Ok(connection)
    }

    /// Logs in, where there is a password.
    ///
    /// # Errors
    /// Those of the connection; what the server says of the password.
    pub(in crate::cli) fn authenticate(
        &mut self,
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let Some(password) = &credentials.password else { return Ok(()) };
        match &credentials.user {
            Some(user) => self.call(&["AUTH", user, password])?,
            None => self.call(&["AUTH", password])?,
        };
        Ok(())
    }

    /// How long a read or a write may take; `None`: for ever.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::cli) fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.socket.get_ref() {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    /// Puts a request in line.
    pub(in crate::cli) fn put(&mut self, words: &[impl AsRef<[u8]>]) {
        encode_into(&mut self.waiting, words);
    }

    /// Puts bytes that are requests already in line.
    pub(in crate::cli) fn put_raw(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Sends what was put in line.
    ///
    /// # Errors
    /// Those of the connection.
    pub(in crate::cli) fn flush(&mut self) -> io::Result<()> {
        let sent = self.socket.get_mut().write_all(&self.waiting);
        self.waiting.clear();
        sent
    }

    /// Reads the next reply, pushed messages included.
    ///
    /// # Errors
    /// Those of the connection, and [`Reply::read`]'s.
    pub(in crate::cli) fn receive(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.socket)
    }

    /// Sends a request and reads its reply, whatever it is.
    ///
    /// # Errors
    /// Those of the connection. An error reply is a reply.
    pub(in crate::cli) fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.put(words);
        self.flush()?;
        self.receive()
    }

    /// Sends a request that has to succeed.
    ///
    /// # Errors
    /// Those of the connection, and an error reply.
    pub(in crate::cli) fn call(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Reply, Failure> {
        match self.ask(words)? {
            Reply::Error(text) => Err(Failure::Refused(text)),
            reply => Ok(reply),
        }
    }

    /// A second handle, for a thread that sends while this one receives.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::cli) fn sender(&self) -> io::Result<impl Write + Send + use<>> {
        Ok(match self.socket.get_ref() {
            Socket::Tcp(stream) => Socket::Tcp(stream.try_clone()?),
            Socket::Unix(stream) => Socket::Unix(stream.try_clone()?),
        })
    }

    /// Waits until there is something to read, the end of the connection included. False: nothing came for so long.
    ///
    /// # Errors
    /// Those of the system.
    pub(in crate::cli) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        if self.has_buffered() {
            return Ok(true);
        }
        let mut polled = [PollFd::new(self, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a line that is no reply, without its end.
    ///
    /// # Errors
    /// Those of the connection; `UnexpectedEof` where it ended.
    pub(in crate::cli) fn read_line(&mut self) -> io::Result<Vec<u8>> {
        reply::read_line(&mut self.socket)
    }

    /// Whether bytes have come that were not read yet.
    pub(in crate::cli) fn has_buffered(&self) -> bool {
        !self.socket.buffer().is_empty()
    }

    /// Whether the server has closed the connection already. A reply that waits to be read says that it has not.
    pub(in crate::cli) fn is_closed(&mut self) -> bool {
        if self.has_buffered() {
            return false;
        }
        let socket = self.socket.get_ref();
        let mut polled = [PollFd::new(socket, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_ready = poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0);
        is_ready
            && recv(socket, &mut [0; 1][..], RecvFlags::PEEK)
                .map_or(true, |(length, _)| length == 0)
    }

    /// Reads bytes that are no reply (a snapshot, a stream of replication) into `bytes`; how many came.
    ///
    /// # Errors
    /// Those of the connection.
    pub(in crate::cli) fn read_raw(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.read(bytes)
    }
}

fn open_tcp(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let opened = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match opened {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that reads `expected` and replies with `replies`.
    fn play(
        expected: &'static str,
        replies: &'static str,
    ) -> (Address, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; expected.len()];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
            stream.write_all(replies.as_bytes()).unwrap();
        });
        (Address::Tcp("127.0.0.1".into(), port), server)
    }

    #[test]
    fn requests_are_answered_in_order() {
        let (address, server) =
            play("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "+PONG\r\n-ERR no\r\n");
        let mut connection = Connection::open(&address, None).unwrap();
        connection.put(&["PING"]);
        connection.put(&["GET", "k"]);
        connection.flush().unwrap();
        assert_eq!(connection.receive().unwrap(), Reply::Status("PONG".into()));
        assert_eq!(connection.receive().unwrap().error(), Some("ERR no"));
        assert_eq!(connection.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        server.join().unwrap();
    }

    #[test]
    fn passwords_that_are_refused_are_told() {
        let (address, server) =
            play("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n", "-WRONGPASS invalid\r\n");
        let who = Credentials { user: Some("u".into()), password: Some("p".into()) };
        match Connection::log_in(&address, &who, Some(Duration::from_secs(5))) {
            Err(Failure::Refused(text)) => assert_eq!(text, "WRONGPASS invalid"),
            other => panic!("{:?}", other.map(|_| ())),
        }
        server.join().unwrap();
    }
}
