//! A connection to the other node of a job, as a socket.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::world::{Answer, Link};

/// For connecting, and for bytes to go out.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer is a number or a line.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The connection.
#[derive(Debug)]
pub(super) struct PeerLink {
    output: TcpStream,
    input: BufReader<TcpStream>,
}

impl PeerLink {
    /// Connects.
    pub(super) fn open(host: &str, port: u16) -> io::Result<Self> {
        let address = (host, port).to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("it has no address"))?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let input = BufReader::new(stream.try_clone()?);
        Ok(Self { output: stream, input })
    }
}

impl Link for PeerLink {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    async fn answer(&mut self, timeout: Duration) -> io::Result<Answer> {
        self.output.set_read_timeout(Some(timeout))?;
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.input, LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            let text = "the other node has closed the connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let text = String::from_utf8_lossy(&line);
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer: {text}"));
        Answer::parse(text.trim_end()).ok_or_else(unknown)
    }

    fn has_answer(&mut self) -> io::Result<bool> {
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
