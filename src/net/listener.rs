//! Listens on TCP and unix sockets and hands connections to the I/O threads.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::connection::Connection;
use super::shared::Shared;
use super::socket::{split_tcp, split_unix};
use crate::clock;
use crate::config::Config;
use crate::state::client::Peer;

/// A socket that has been accepted, on its way to an I/O thread.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

/// Sockets that listen, not yet served.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    tcp: Vec<std::net::TcpListener>,
    unix: Option<std::os::unix::net::UnixListener>,
}

impl Listeners {
    /// Binds all addresses of the configuration.
    ///
    /// # Errors
    /// An address cannot be bound (those marked with a leading `-` may be missing), or there is none.
    pub(super) fn bind(config: &Config) -> Result<Self, String> {
        let mut listeners = Self::bind_tcp(config)?;
        if !config.unixsocket.is_empty() {
            listeners.unix = Some(bind_unix(config).map_err(|error| {
                format!("Failed opening Unix socket: bind: {error} ({})", config.unixsocket)
            })?);
        }
        if listeners.tcp.is_empty() && listeners.unix.is_none() {
            return Err("Configured to not listen anywhere, exiting.".to_owned());
        }
        Ok(listeners)
    }

    /// Binds the TCP addresses of the configuration; none where `port` is 0.
    ///
    /// # Errors
    /// An address cannot be bound (those marked with a leading `-` may be missing).
    pub(super) fn bind_tcp(config: &Config) -> Result<Self, String> {
        let mut listeners = Self::default();
        if config.port != 0 {
            for address in &config.bind {
                let (optional, name) = match address.strip_prefix('-') {
                    Some(name) => (true, name),
                    None => (false, address.as_str()),
                };
                match bind_address(name, config.port, config) {
                    Ok(listener) => listeners.tcp.push(listener),
                    Err(error) if optional => {
                        tracing::debug!("not listening on {name}:{}: {error}", config.port);
                    }
                    Err(error) => {
                        tracing::warn!(
                            "Warning: Could not create server TCP listening socket {name}:{}: bind: {error}",
                            config.port
                        );
                        return Err(format!(
                            "Failed listening on port {} (tcp), aborting.",
                            config.port
                        ));
                    }
                }
            }
        }
        Ok(listeners)
    }

    /// Whether a unix socket is among them, and whether TCP is.
    pub(super) fn kinds(&self) -> (bool, bool) {
        (!self.tcp.is_empty(), self.unix.is_some())
    }

    /// Accepts for ever and deals the connections out to `threads` in turn. Returns the tasks that accept TCP.
    ///
    /// # Errors
    /// The sockets cannot be given to the runtime.
    pub(super) fn serve(
        self,
        shared: &Arc<Shared>,
        threads: &[UnboundedSender<Accepted>],
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let mut tasks = Vec::new();
        for listener in self.tcp {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let accepting = accept_tcp(listener, Arc::clone(shared), threads.to_vec());
            tasks.push(tokio::spawn(accepting));
        }
        if let Some(listener) = self.unix {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            tokio::spawn(accept_unix(listener, threads.to_vec()));
        }
        Ok(tasks)
    }
}

/// Binds one address.
pub(super) fn bind_address(
    name: &str,
    port: u16,
    config: &Config,
) -> io::Result<std::net::TcpListener> {
    let ip: IpAddr = match name {
        "*" => IpAddr::from([0, 0, 0, 0]),
        "::*" => IpAddr::from([0u16; 8]),
        name => name.parse().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("'{name}' is no address"))
        })?,
    };
    let address = SocketAddr::new(ip, port);
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if config.socket_mark_id != 0 {
        socket.set_mark(config.socket_mark_id)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(config: &Config) -> io::Result<std::os::unix::net::UnixListener> {
    let path = Path::new(&config.unixsocket);
    // A socket left by a former process is in the way.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    if config.unixsocketperm != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(config.unixsocketperm))?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn accept_tcp(
    listener: tokio::net::TcpListener,
    shared: Arc<Shared>,
    threads: Vec<UnboundedSender<Accepted>>,
) {
    let mut next = 0;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let keepalive_s = shared.keepalive_s();
                if let Err(error) = prepare(&stream, keepalive_s) {
                    tracing::debug!("options of an accepted socket: {error}");
                }
                match stream.into_std() {
                    Ok(stream) => hand_over(&threads, &mut next, Accepted::Tcp(stream, address)),
                    Err(error) => tracing::warn!("Accepting client connection: {error}"),
                }
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_unix(listener: tokio::net::UnixListener, threads: Vec<UnboundedSender<Accepted>>) {
    let mut next = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.into_std() {
                Ok(stream) => hand_over(&threads, &mut next, Accepted::Unix(stream)),
                Err(error) => tracing::warn!("Accepting client connection: {error}"),
            },
            Err(error) => accept_failed(&error).await,
        }
    }
}

fn hand_over(threads: &[UnboundedSender<Accepted>], next: &mut usize, accepted: Accepted) {
    *next = (*next + 1) % threads.len();
    // A thread that is gone means that the process ends.
    if threads[*next].send(accepted).is_err() {
        tracing::debug!("a connection came while stopping");
    }
}

/// Out of descriptors or memory: says so and waits a little, since trying again at once would fail again.
async fn accept_failed(error: &io::Error) {
    tracing::warn!("Accepting client connection: accept: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn prepare(stream: &tokio::net::TcpStream, keepalive_s: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let interval = Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(keepalive_s))
            .with_interval(interval)
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// Makes a client of an accepted socket; runs on the I/O thread that will serve it.
pub(super) fn welcome(shared: &Arc<Shared>, accepted: Accepted) -> io::Result<()> {
    let ((reader, writer), peer) = match accepted {
        Accepted::Tcp(stream, address) => {
            let local = stream.local_addr().map(|local| local.to_string()).unwrap_or_default();
            let fd = stream.as_raw_fd();
            let loopback = address.ip().to_canonical().is_loopback();
            let address = address.to_string();
            let peer = Peer { address, local_address: local, fd, unix: false, loopback };
            (split_tcp(tokio::net::TcpStream::from_std(stream)?), peer)
        }
        Accepted::Unix(stream) => {
            let path = shared.node.lock().state.config.unixsocket.clone();
            let address = format!("{path}:0");
            let fd = stream.as_raw_fd();
            let peer =
                Peer { local_address: address.clone(), address, fd, unix: true, loopback: false };
            (split_unix(tokio::net::UnixStream::from_std(stream)?), peer)
        }
    };
    let mut node = shared.node.lock();
    match node.connect(peer, clock::now()) {
        Ok(id) => {
            let authenticated =
                node.state.clients.get(id).is_some_and(|client| client.authenticated);
            drop(node);
            let connection = Connection::new(id, writer);
            connection.set_authenticated(authenticated);
            shared.connections.lock().insert(id, Arc::clone(&connection));
            tokio::spawn(connection.run(reader, Arc::clone(shared)));
        }
        Err(reply) => {
            drop(node);
            // A fresh socket has room for a line; only the runtime has yet to find that out.
            tokio::spawn(async move {
                let room = writer.writable().await;
                if let Err(error) = room.and_then(|()| writer.try_write(reply.as_bytes())) {
                    tracing::debug!("a refused client: {error}");
                }
                drop(reader);
            });
        }
    }
    Ok(())
}
