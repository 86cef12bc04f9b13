//! One connection of the bus.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::driver::with_node;
use super::super::shared::Shared;
use super::super::socket;
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::wire::{self, Decoded};
use crate::cluster::{Host, Input};

/// Bytes read at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// A connection that is not open by then is not opened.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where packets for a connection go. Dropped, the connection closes.
#[derive(Debug)]
pub(super) struct Sender {
    queue: UnboundedSender<Bytes>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
}

impl Sender {
    /// Has `bytes` sent behind all others.
    pub(super) fn send(&self, bytes: Bytes) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        // The other end of the queue is gone when the connection is: the state machine hears of that.
        if self.queue.send(bytes).is_err() {
            tracing::trace!("a packet for a connection that is gone");
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Opens a connection and serves it.
pub(super) async fn open(shared: Arc<Shared>, link: LinkId, host: Host, port: u16) {
    let source = shared.node.lock().state.config.bind_source_addr.clone();
    let connecting = socket::open(host.as_str(), port, &source);
    let timeout_ms = shared.node.lock().state.config.cluster_node_timeout.max(1);
    let wait = Duration::from_millis(timeout_ms).min(CONNECT_MAX);
    let connected = match tokio::time::timeout(wait, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    match connected {
        Ok(stream) => {
            let queue = register(&shared, link);
            with_node(&shared, |node| {
                node.step_cluster(clock::now(), Input::Connected { link });
            });
            serve(shared, link, stream, queue).await;
        }
        Err(error) => {
            let is_refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
            tracing::debug!("Unable to connect to Cluster Node [{host}]:{port} -> {error}");
            with_node(&shared, |node| {
                node.step_cluster(clock::now(), Input::Failed { link, is_refused });
            });
        }
    }
}

/// Serves a connection that has come.
pub(super) async fn welcome(shared: Arc<Shared>, stream: TcpStream, remote: IpAddr) {
    let local = stream.local_addr().map_or(Host::UNKNOWN, |local| Host::from(local.ip()));
    let link = with_node(&shared, |node| node.accept_link(clock::now(), Host::from(remote), local));
    let Some(link) = link else { return };
    let queue = register(&shared, link);
    serve(shared, link, stream, queue).await;
}

type Queue = (UnboundedReceiver<Bytes>, Arc<AtomicUsize>);

fn register(shared: &Shared, link: LinkId) -> Queue {
    let (queue, packets) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    shared.bus.add(link, Sender { queue, waiting: Arc::clone(&waiting) });
    (packets, waiting)
}

/// Reads and writes until either fails, or the state machine closes the connection.
async fn serve(shared: Arc<Shared>, link: LinkId, stream: TcpStream, queue: Queue) {
    let timeout_ms = shared.node.lock().state.config.cluster_node_timeout;
    if let Err(error) = prepare(&stream, timeout_ms) {
        tracing::debug!("options of a socket of the bus: {error}");
    }
    let (reader, writer) = stream.into_split();
    tokio::select! {
        () = read(&shared, link, reader) => {}
        () = write(writer, queue) => {}
    }
    shared.bus.remove(link);
    with_node(&shared, |node| node.step_cluster(clock::now(), Input::Closed { link }));
}

fn prepare(stream: &TcpStream, timeout_ms: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let seconds = (2 * (timeout_ms / 1000)).max(1);
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(seconds));
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn write(mut writer: OwnedWriteHalf, (mut packets, waiting): Queue) {
    while let Some(bytes) = packets.recv().await {
        if let Err(error) = writer.write_all(&bytes).await {
            return tracing::debug!("I/O error writing to node link: {error}");
        }
        waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}

async fn read(shared: &Arc<Shared>, link: LinkId, mut reader: OwnedReadHalf) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut piece).await {
            Ok(0) => return,
            Ok(count) => buffer.extend_from_slice(&piece[..count]),
            Err(error) => return tracing::debug!("I/O error reading from node link: {error}"),
        }
        match take_packets(shared, link, &buffer) {
            Ok(used) => buffer.drain(..used),
            Err(error) => return tracing::warn!("Bad message received from Cluster bus: {error}"),
        };
        buffer.shrink_to(PIECE_BYTES);
    }
}

/// Hands whole packets at the front of `buffer` to the state machine. Returns how many bytes they took.
fn take_packets(
    shared: &Arc<Shared>,
    link: LinkId,
    buffer: &[u8],
) -> Result<usize, wire::WireError> {
    let mut used = 0;
    while let Some(length) = wire::frame_length(&buffer[used..])? {
        let Some(bytes) = buffer[used..].get(..length) else { break };
        used += length;
        match wire::decode(bytes)? {
            Decoded::Packet(packet) => with_node(shared, |node| {
                node.step_cluster(clock::now(), Input::Packet { link, packet: &packet });
            }),
            Decoded::Dropped { why, .. } if why.is_silent() => {}
            Decoded::Dropped { why, .. } => tracing::warn!("{why}"),
        }
    }
    Ok(used)
}

/// The address of the other side, without what IPv6 adds to those of IPv4.
pub(super) fn ip_of(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}
