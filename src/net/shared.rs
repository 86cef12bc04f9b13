//! What all threads of the driver share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::commit::Committer;
use super::connection::Connection;
use super::follow::Listening;
use super::lock::FolderLock;
use super::relay::Relay;
use super::turn::ThreadWaker;
use crate::cluster::NodeId;
use crate::node::Node;
use crate::state::ClientId;
use crate::state::freeing::Waste;

/// Bytes of a log buffer that are kept from turn to turn.
const BUFFER_KEPT: usize = 1 << 20;

/// The node and those around it.
#[derive(Debug)]
pub(super) struct Shared {
    /// The node, behind its one lock. Never held across a file operation, a sync or an await.
    pub(super) node: Mutex<Node>,
    pub(super) committer: Committer,
    pub(super) relay: Relay,
    /// Bytes of the stream sent to replicas: from memory, from files of the log.
    pub(super) relayed: [AtomicU64; 2],
    /// The cluster bus.
    pub(super) bus: super::bus::Bus,
    /// Keys on their way to other nodes.
    pub(super) moves: super::moves::Mover,
    /// Tells the task of the link that the node has another primary.
    pub(super) link_changed: tokio::sync::Notify,
    /// A client gives up waiting sooner than the driver knew.
    pub(super) deadline_changed: tokio::sync::Notify,
    pub(super) log_lock: FolderLock,
    /// Held by the one who switches the log on or off. Taken before all other locks.
    pub(super) log_switch: Mutex<()>,
    /// Held by the one who applies settings. Taken before `log_switch`.
    pub(super) settings: Mutex<()>,
    pub(super) connections: Mutex<HashMap<ClientId, Arc<Connection>>>,
    /// One for each I/O thread.
    pub(super) threads: Vec<ThreadWaker>,
    pub(super) buffer_kept: usize,
    /// `proto-max-bulk-len`.
    pub(super) bulk_bytes_max: AtomicU64,
    /// `client-query-buffer-limit`.
    pub(super) query_bytes_max: AtomicU64,
    /// What is listened on, from the start on.
    pub(super) listening: OnceLock<Listening>,
    /// Jobs that move slots away and have a thread; whether it has been asked for again meanwhile.
    pub(super) movers: Mutex<HashMap<NodeId, bool>>,
    stopping: AtomicBool,
    waste: std::sync::mpsc::Sender<Waste>,
    /// Values that wait to be freed, and those freed, outside of the node's lock.
    pub(super) freed: Arc<[AtomicU64; 2]>,
    exit: tokio::sync::Notify,
    /// Bytes received and sent by connections that are gone.
    pub(super) closed_net: [AtomicU64; 2],
    /// Reads and writes of theirs.
    pub(super) closed_calls: [AtomicU64; 2],
}

impl Shared {
    /// The shared state of a driver with `threads` I/O threads.
    pub(super) fn new(
        node: Node,
        threads: usize,
        (waste, freed): (std::sync::mpsc::Sender<Waste>, Arc<[AtomicU64; 2]>),
    ) -> Self {
        let config = &node.state.config;
        let policy = config.appendfsync;
        let bulk_bytes_max = AtomicU64::new(config.proto_max_bulk_len);
        let query_bytes_max = AtomicU64::new(config.client_query_buffer_limit);
        Self {
            node: Mutex::new(node),
            committer: Committer::new(policy),
            relay: Relay::new(),
            relayed: Default::default(),
            bus: super::bus::Bus::default(),
            moves: super::moves::Mover::default(),
            link_changed: tokio::sync::Notify::new(),
            deadline_changed: tokio::sync::Notify::new(),
            log_lock: FolderLock::default(),
            log_switch: Mutex::new(()),
            settings: Mutex::new(()),
            connections: Mutex::new(HashMap::new()),
            threads: std::iter::repeat_with(ThreadWaker::default).take(threads).collect(),
            buffer_kept: BUFFER_KEPT,
            bulk_bytes_max,
            query_bytes_max,
            listening: OnceLock::new(),
            movers: Mutex::new(HashMap::new()),
            stopping: AtomicBool::new(false),
            waste,
            freed,
            exit: tokio::sync::Notify::new(),
            closed_net: Default::default(),
            closed_calls: Default::default(),
        }
    }

    /// Wakes the flush tasks of threads that have replies waiting for the log.
    pub(super) fn wake_all(&self) {
        for thread in &self.threads {
            thread.wake_if_waiting();
        }
    }

    /// The process is about to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Says that the process is about to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Lets [`Shared::exited`] return: the main thread ends the process.
    pub(super) fn exit(&self) {
        self.exit.notify_one();
    }

    /// Waits for [`Shared::exit`].
    pub(super) async fn exited(&self) {
        self.exit.notified().await;
    }

    /// `tcp-keepalive` in seconds, 0 for none.
    pub(super) fn keepalive_s(&self) -> u64 {
        u64::from(self.node.lock().state.config.tcp_keepalive)
    }

    /// Has waste freed on another thread.
    pub(super) fn free(&self, waste: Waste) {
        self.freed[0].fetch_add(waste.objects(), Ordering::Relaxed);
        // Without that thread it is freed here.
        if let Err(unsent) = self.waste.send(waste) {
            drop(unsent);
        }
    }
}
