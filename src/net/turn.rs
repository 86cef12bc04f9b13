//! The turn of an I/O thread: replies collect while requests run, then the log is committed once and all sockets are
//! written.
//!
//! The flush task is woken by the first connection that has something to send, and so stands in the thread's queue
//! behind every connection that was ready by then: tokio's single-threaded scheduler runs tasks in the order of waking.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use super::connection::Connection;
use super::shared::Shared;

/// How other threads reach a thread's flush task.
#[derive(Debug, Default)]
pub(super) struct ThreadWaker {
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ThreadWaker {
    /// Wakes the flush task if replies wait there.
    pub(super) fn wake_if_waiting(&self) {
        if self.waiting.swap(false, Ordering::SeqCst)
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake_by_ref();
        }
    }
}

/// This thread's turn.
#[derive(Debug, Default)]
struct Turn {
    /// Connections whose output waits for the log.
    pending: Vec<Arc<Connection>>,
    waker: Option<Waker>,
}

thread_local! {
    static TURN: RefCell<Turn> = RefCell::new(Turn::default());
}

/// Has `connection` flushed at the end of this turn.
pub(super) fn flush_later(connection: &Arc<Connection>) {
    TURN.with_borrow_mut(|turn| {
        turn.pending.push(Arc::clone(connection));
        if turn.pending.len() == 1
            && let Some(waker) = &turn.waker
        {
            waker.wake_by_ref();
        }
    });
}

/// The flush task of I/O thread `index`. Never ends.
pub(super) async fn flush_task(shared: Arc<Shared>, index: usize) {
    let mut batch: Vec<Arc<Connection>> = Vec::new();
    poll_fn(|context| {
        TURN.with_borrow_mut(|turn| {
            if !turn.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                turn.waker = Some(context.waker().clone());
                *shared.threads[index].waker.lock() = Some(context.waker().clone());
            }
            std::mem::swap(&mut batch, &mut turn.pending);
        });
        if !batch.is_empty() {
            shared.committer.commit_turn(&shared);
            flush_batch(&shared, index, &mut batch);
        }
        Poll::Pending
    })
    .await
}

/// Writes what is released and keeps the others for the next time.
fn flush_batch(shared: &Shared, index: usize, batch: &mut Vec<Arc<Connection>>) {
    let thread = &shared.threads[index];
    let mut released = shared.committer.released();
    batch.retain(|connection| !connection.flush(released));
    if batch.is_empty() {
        return;
    }
    // Whoever releases more looks at the flag afterwards; so set it, then look once more.
    thread.waiting.store(true, Ordering::SeqCst);
    let now = shared.committer.released();
    if now != released {
        released = now;
        batch.retain(|connection| !connection.flush(released));
    }
    TURN.with_borrow_mut(|turn| turn.pending.append(batch));
}
