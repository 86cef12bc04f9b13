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
use crate::clock::mono_us;

/// Longest time that an executed command waits for others to share its sync with, in microseconds.
const GATHER_US: u64 = 200;

/// How other threads reach a thread's flush task.
#[derive(Debug, Default)]
pub(super) struct ThreadWaker {
    waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ThreadWaker {
    /// Wakes the flush task if replies wait there.
    pub(super) fn wake_if_waiting(&self) {
        if self.waiting.load(Ordering::SeqCst)
            && self.waiting.swap(false, Ordering::SeqCst)
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake_by_ref();
        }
    }
}

/// This thread's turn.
#[derive(Debug, Default)]
struct Turn {
    /// Connections whose output is to be sent at the end of the turn.
    ready: Vec<Arc<Connection>>,
    /// There are bytes to be committed that nobody waits for.
    commits: bool,
    waker: Option<Waker>,
}

thread_local! {
    static TURN: RefCell<Turn> = RefCell::new(Turn::default());
}

/// Has `connection` flushed at the end of this turn.
pub(super) fn flush_later(connection: &Arc<Connection>) {
    TURN.with_borrow_mut(|turn| {
        turn.ready.push(Arc::clone(connection));
        if turn.ready.len() == 1
            && let Some(waker) = &turn.waker
        {
            waker.wake_by_ref();
        }
    });
}

/// Has what is pending handed on at the end of this turn, though nothing is to be sent for it.
pub(super) fn commit_later() {
    TURN.with_borrow_mut(|turn| {
        if !std::mem::replace(&mut turn.commits, true)
            && turn.ready.is_empty()
            && let Some(waker) = &turn.waker
        {
            waker.wake_by_ref();
        }
    });
}

/// The flush task of I/O thread `index`. Never ends.
pub(super) async fn flush_task(shared: Arc<Shared>, index: usize) {
    let mut batch: Vec<Arc<Connection>> = Vec::new();
    let mut held = Held::default();
    loop {
        wait_for_turn(&shared, index).await;
        let commits = TURN.with_borrow_mut(|turn| {
            std::mem::swap(&mut batch, &mut turn.ready);
            std::mem::take(&mut turn.commits)
        });
        // Only what is new has to be committed. For what is held that has been seen to: asking again would make two
        // threads keep each other busy as long as the disk fails.
        let has_new = !batch.is_empty();
        if has_new && shared.committer.replies_wait_for_syncs() {
            held.flush(&shared, index, &mut batch);
            gather(&shared, index, &mut batch, &mut held).await;
        }
        if has_new || commits {
            shared.committer.commit_turn(&shared);
        }
        held.flush(&shared, index, &mut batch);
    }
}

/// Waits until a connection has something to send, or the log may have released what is held.
async fn wait_for_turn(shared: &Shared, index: usize) {
    let mut is_woken = false;
    poll_fn(|context| {
        TURN.with_borrow_mut(|turn| {
            if !turn.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                turn.waker = Some(context.waker().clone());
                *shared.threads[index].waker.lock() = Some(context.waker().clone());
            }
            if std::mem::replace(&mut is_woken, true) || !turn.ready.is_empty() || turn.commits {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    })
    .await;
}

/// Before a sync is asked for: has what is ready executed too, so that it shares the sync, as long as there is anything
/// and not for long.
async fn gather(shared: &Shared, index: usize, batch: &mut Vec<Arc<Connection>>, held: &mut Held) {
    let started_us = mono_us();
    while mono_us() - started_us < GATHER_US {
        tokio::task::yield_now().await;
        let is_idle = TURN.with_borrow_mut(|turn| {
            std::mem::swap(batch, &mut turn.ready);
            batch.is_empty()
        });
        held.flush(shared, index, batch);
        if is_idle {
            return;
        }
    }
}

/// Connections with replies that the log has not released, and up to where it had when they were last looked at.
#[derive(Debug, Default)]
struct Held {
    connections: Vec<Arc<Connection>>,
    released: u64,
}

impl Held {
    /// Writes what is released, of those who are held and of those in `batch`, and keeps the others.
    fn flush(&mut self, shared: &Shared, index: usize, batch: &mut Vec<Arc<Connection>>) {
        self.flush_held(shared.committer.released());
        let released = self.released;
        batch.retain(|connection| !connection.flush(released));
        self.connections.append(batch);
        if !self.connections.is_empty() {
            // Whoever releases more looks at the flag afterwards; so set it, then look once more.
            shared.threads[index].waiting.store(true, Ordering::SeqCst);
            self.flush_held(shared.committer.released());
        }
    }

    fn flush_held(&mut self, released: u64) {
        if released != self.released {
            self.released = released;
            self.connections.retain(|connection| !connection.flush(released));
        }
    }
}
