//! A connected socket, TCP or unix.

use std::io;

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// A connected, non-blocking socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Waits until there is something to read, or the other side is gone.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.readable().await,
            Socket::Unix(stream) => stream.readable().await,
        }
    }

    /// Waits until there is room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.ready(Interest::WRITABLE).await.map(drop),
            Socket::Unix(stream) => stream.ready(Interest::WRITABLE).await.map(drop),
        }
    }

    /// Reads what is there.
    #[inline]
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buffer),
            Socket::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// Writes as much as there is room for.
    #[inline]
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Ends the connection in both directions; whoever reads sees its end.
    pub(super) fn shutdown(&self) {
        let result = match self {
            Socket::Tcp(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Both)
            }
            Socket::Unix(stream) => {
                socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Both)
            }
        };
        // A socket that is gone already is what was wanted.
        if let Err(error) = result {
            tracing::trace!("shutdown of a socket: {error}");
        }
    }
}
