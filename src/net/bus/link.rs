//! One connection of the bus.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::driver::with_node;
use super::super::shared::Shared;
use super::super::socket;
use super::reading::Reading;
use super::strangers::Stranger;
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::{Host, Input};

/// A connection that is not open by then is not opened.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where packets for a connection go. Dropped, the connection closes.
#[derive(Debug)]
pub(super) struct Sender {
    queue: UnboundedSender<Bytes>,
    waiting: Arc<Waiting>,
}

/// What waits to be sent over a connection.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: AtomicUsize,
    /// A packet has left.
    left: Notify,
}

impl Waiting {
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.left.notify_one();
    }

    /// Returns once no more than `bytes_max` wait. One task at a time may ask.
    pub(super) async fn at_most(&self, bytes_max: usize) {
        while self.bytes.load(Ordering::Relaxed) > bytes_max {
            self.left.notified().await;
        }
    }
}

impl Sender {
    /// Has `bytes` sent behind all others.
    pub(super) fn send(&self, bytes: Bytes) {
        self.waiting.add(bytes.len());
        // The other end of the queue is gone when the connection is: the state machine hears of that.
        if self.queue.send(bytes).is_err() {
            tracing::trace!("a packet for a connection that is gone");
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.bytes.load(Ordering::Relaxed)
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
            let is_wanted = with_node(&shared, |node| {
                node.step_cluster(clock::now(), Input::Connected { link });
                super::is_known(node, link)
            });
            // Given up while it was being opened, when there was nothing to close yet.
            if !is_wanted {
                return shared.bus.remove(link);
            }
            serve(shared, link, stream, queue, None).await;
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
pub(super) async fn welcome(
    shared: Arc<Shared>,
    stream: TcpStream,
    remote: IpAddr,
    stranger: Stranger,
) {
    let local = stream.local_addr().map_or(Host::UNKNOWN, |local| Host::from(local.ip()));
    let link = with_node(&shared, |node| node.accept_link(clock::now(), Host::from(remote), local));
    let Some(link) = link else { return };
    // Who closes it from here on does so through the driver, which is on this thread and finds it registered.
    let queue = register(&shared, link);
    serve(shared, link, stream, queue, Some(stranger)).await;
}

type Queue = (UnboundedReceiver<Bytes>, Arc<Waiting>);

fn register(shared: &Shared, link: LinkId) -> Queue {
    let (queue, packets) = unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    shared.bus.add(link, Sender { queue, waiting: Arc::clone(&waiting) });
    (packets, waiting)
}

/// Reads and writes until either fails, or the state machine closes the connection.
async fn serve(
    shared: Arc<Shared>,
    link: LinkId,
    stream: TcpStream,
    (packets, waiting): Queue,
    stranger: Option<Stranger>,
) {
    let timeout_ms = shared.node.lock().state.config.cluster_node_timeout;
    if let Err(error) = prepare(&stream, timeout_ms) {
        tracing::debug!("options of a socket of the bus: {error}");
    }
    let (mut reader, writer) = stream.into_split();
    let mut reading = match stranger {
        Some(stranger) => Reading::of_stranger(&shared, link, stranger, Arc::clone(&waiting)),
        None => Reading::new(&shared, link),
    };
    tokio::select! {
        () = reading.run(&mut reader) => {}
        () = write(writer, packets, &waiting) => {}
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

async fn write(
    mut writer: OwnedWriteHalf,
    mut packets: UnboundedReceiver<Bytes>,
    waiting: &Waiting,
) {
    while let Some(bytes) = packets.recv().await {
        if let Err(error) = writer.write_all(&bytes).await {
            return tracing::debug!("I/O error writing to node link: {error}");
        }
        waiting.remove(bytes.len());
    }
}

/// The address of the other side, without what IPv6 adds to those of IPv4.
pub(super) fn ip_of(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}
