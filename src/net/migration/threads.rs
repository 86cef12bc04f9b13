//! Jobs on threads of the driver, one each: whatever they wait for, the thread waits for.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::peer::PeerLink;
use super::stream::StreamReader;
use super::world::World;
use super::{mover, taker};
use crate::clock::{self, Time};
use crate::cluster::NodeId;
use crate::migration::QUEUED;
use crate::net::driver::with_node;
use crate::net::shared::Shared;
use crate::net::spawn_thread;
use crate::node::Node;
use crate::state::ClientId;

/// Jobs that move slots away at a time; others wait their turn.
const MOVERS_MAX: usize = 16;

/// The process that this is.
struct Threads {
    shared: Arc<Shared>,
}

/// Runs what is ready when it is asked, since it waits by itself.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).as_mut().poll(&mut context) {
        Poll::Ready(result) => result,
        Poll::Pending => {
            unreachable!("everything that `Threads` does has been done when it returns")
        }
    }
}

impl World for Threads {
    type Link = PeerLink;
    type Stream = StreamReader;

    fn look<T>(&self, look: impl FnOnce(&mut Node) -> T) -> T {
        look(&mut self.shared.node.lock())
    }

    async fn run<T>(&self, run: impl FnOnce(&mut Node, Time) -> T) -> T {
        with_node(&self.shared, |node| run(node, clock::now()))
    }

    async fn open(&self, host: &str, port: u16) -> Result<PeerLink, String> {
        PeerLink::open(host, port).map_err(|error| format!("{host}:{port}: {error}"))
    }

    async fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now_us(&self) -> u64 {
        clock::mono_us()
    }

    async fn append(&self) {
        self.shared.committer.settle(&self.shared);
    }

    async fn sync(&self) -> Result<(), String> {
        self.shared.committer.drain(&self.shared)
    }

    fn keep_stream(&self) {
        self.shared.committer.start_relay(&self.shared);
    }

    fn stream_from(&self, at: u64) -> StreamReader {
        StreamReader::new(Arc::clone(&self.shared), at)
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }
}

/// Begins with a job that moves slots away, unless a thread is at it.
pub(in crate::net) fn move_slots(shared: &Arc<Shared>, job: NodeId) {
    {
        let mut movers = shared.movers.lock();
        if movers.contains(&job) {
            return;
        }
        if movers.len() >= MOVERS_MAX {
            drop(movers);
            // The node asks again.
            if let Some(job) = shared.node.lock().state.migrations.get_mut(&job) {
                job.phase = QUEUED;
            }
            return;
        }
        movers.insert(job);
    }
    let world = Threads { shared: Arc::clone(shared) };
    spawn_thread("move-slots", move || {
        block_on(mover::move_slots(&world, job));
        world.shared.movers.lock().remove(&job);
    });
}

/// The log says that the slots of a job are taken: claims them once that cannot be lost.
pub(in crate::net) fn take_slots(shared: &Arc<Shared>, job: NodeId, client: ClientId) {
    let world = Threads { shared: Arc::clone(shared) };
    spawn_thread("take-slots", move || block_on(taker::take_slots(&world, job, client)));
}

/// Brings the log to disk, so that the last sync before a claim has little to do.
pub(in crate::net) fn sync_log(shared: &Arc<Shared>, client: ClientId) {
    let world = Threads { shared: Arc::clone(shared) };
    spawn_thread("sync-log", move || block_on(taker::sync_log(&world, client)));
}

/// Asks the source of a job to move its slots here.
pub(in crate::net) fn request_slots(shared: &Arc<Shared>, job: NodeId) {
    let world = Threads { shared: Arc::clone(shared) };
    spawn_thread("request-slots", move || block_on(taker::request_slots(&world, job)));
}
