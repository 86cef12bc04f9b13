//! Loading on all cores, whatever is loaded: a worker for each part of the slots, and a thread that deals out.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::alloc;

/// The most workers. Small commands of a log are read about four times as fast as one worker plays them, small keys of a
/// snapshot up to twice as fast as one stores them; more would only wait.
const WORKERS_MAX: usize = 8;

/// Less than this is loaded by one thread.
const PARALLEL_BYTES_MIN: usize = 4 << 20;

/// Batches that may wait for a worker: the reader gets no further ahead.
const QUEUE: usize = 16;

/// How many workers load `bytes` bytes on this machine; 1 means that the thread that reads loads too.
pub(super) fn workers_for(bytes: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if bytes < PARALLEL_BYTES_MIN { 1 } else { cores.min(WORKERS_MAX) }
}

/// What is handed to a worker at a time.
pub(super) trait Deal: Send {
    /// An empty one.
    fn new() -> Self;
    /// Whether it is time to hand it over.
    fn is_full(&self) -> bool;
}

/// Deals out to the workers.
#[derive(Debug)]
pub(super) struct Dealer<B> {
    workers: Vec<SyncSender<B>>,
    /// For each worker, what has not been handed to it yet.
    waiting: Vec<B>,
}

impl<B: Deal> Dealer<B> {
    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.workers.len()
    }

    /// Adds to what the worker of `part` gets next. Says whether that worker still takes something.
    #[inline]
    pub(super) fn put(&mut self, part: usize, add: impl FnOnce(&mut B)) -> bool {
        let waiting = &mut self.waiting[part];
        add(waiting);
        if !waiting.is_full() {
            return true;
        }
        let full = std::mem::replace(waiting, B::new());
        self.workers[part].send(full).is_ok()
    }

    /// Hands over the rest. A worker that takes nothing more has failed, and tells so itself.
    fn finish(self) {
        for (worker, last) in self.workers.into_iter().zip(self.waiting) {
            drop(worker.send(last));
        }
    }
}

/// Runs `work` on a thread for each of `parts`, and `deal`, which gives them work, on this one. Returns what `deal`
/// returned and what the workers did, in the order of the parts. A panic of theirs is passed on.
pub(super) fn on_all_cores<P: Send, B: Deal, D: Send, R>(
    parts: Vec<P>,
    work: impl Fn(P, &Receiver<B>) -> D + Sync,
    deal: impl FnOnce(&mut Dealer<B>) -> R,
) -> (R, Vec<D>) {
    let work = &work;
    thread::scope(|scope| {
        let start = |part| {
            let (sender, batches) = sync_channel(QUEUE);
            let worker = move || {
                let done = work(part, &batches);
                alloc::settle();
                done
            };
            (sender, scope.spawn(worker))
        };
        let (workers, threads): (Vec<_>, Vec<_>) = parts.into_iter().map(start).unzip();
        let waiting = workers.iter().map(|_| B::new()).collect();
        let mut dealer = Dealer { workers, waiting };
        let dealt = deal(&mut dealer);
        dealer.finish();
        let join = |thread: thread::ScopedJoinHandle<'_, D>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (dealt, threads.into_iter().map(join).collect())
    })
}
