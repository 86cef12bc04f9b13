//! A connected socket, TCP or unix, in two halves: one task reads, whoever has something to say writes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, tcp, unix};

/// The half that is read.
#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

/// The half that is written.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

/// Halves of a TCP connection.
pub(super) fn split_tcp(stream: TcpStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (Reader::Tcp(reader), Writer::Tcp(writer))
}

/// Halves of a unix connection.
pub(super) fn split_unix(stream: UnixStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (Reader::Unix(reader), Writer::Unix(writer))
}

impl Reader {
    /// Reads what is there into `buffer`, or has the task woken when there is something. A read that does not fill the
    /// buffer tells tokio that the socket is empty, which saves the call that would find out.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = match self {
            Reader::Tcp(half) => Pin::new(half).poll_read(context, &mut buffer),
            Reader::Unix(half) => Pin::new(half).poll_read(context, &mut buffer),
        };
        polled.map(|result| result.map(|()| buffer.filled().len()))
    }
}

impl Writer {
    /// Waits until there is room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Writer::Tcp(half) => half.writable().await,
            Writer::Unix(half) => half.writable().await,
        }
    }

    /// Writes as much as there is room for.
    #[inline]
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Tcp(half) => half.try_write(bytes),
            Writer::Unix(half) => half.try_write(bytes),
        }
    }

    /// Whether the kernel may hold small pieces back to join them.
    pub(super) fn joins_packets(&self, joins: bool) {
        if let Writer::Tcp(half) = self
            && let Err(error) = half.as_ref().set_nodelay(!joins)
        {
            tracing::debug!("an option of a replica's socket: {error}");
        }
    }

    /// Ends the connection in both directions; whoever reads sees its end.
    pub(super) fn shutdown(&self) {
        let both = std::net::Shutdown::Both;
        let result = match self {
            Writer::Tcp(half) => socket2::SockRef::from(half.as_ref()).shutdown(both),
            Writer::Unix(half) => socket2::SockRef::from(half.as_ref()).shutdown(both),
        };
        // A socket that is gone already is what was wanted.
        if let Err(error) = result {
            tracing::trace!("shutdown of a socket: {error}");
        }
    }
}

/// Opens a connection from the address `source`, where that is set (`bind-source-addr`).
pub(super) async fn open(host: &str, port: u16, source: &str) -> io::Result<TcpStream> {
    if source.is_empty() {
        return TcpStream::connect((host, port)).await;
    }
    let invalid =
        |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{source} is no address"));
    let source: IpAddr = source.parse().map_err(invalid)?;
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for target in tokio::net::lookup_host((host, port)).await? {
        if target.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(target).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
