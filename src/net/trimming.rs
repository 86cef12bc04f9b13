//! The thread that has the keys of former slots removed, slice by slice.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::driver::{carry_out, collect};
use super::shared::Shared;
use crate::clock::SystemClock;

/// Drives the node's trimming until there is nothing left to trim. A thread of its own, so that no I/O thread's clients
/// wait for a slice unless they want the node.
pub(super) fn start(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    super::spawn_thread("trim", move || {
        while !shared.is_stopping()
            && let Some(pause_us) = step(&shared)
        {
            if pause_us > 0 {
                std::thread::sleep(Duration::from_micros(pause_us));
            }
        }
    });
}

fn step(shared: &Arc<Shared>) -> Option<u64> {
    let mut node = shared.node.lock();
    let pause_us = node.trim_step(&mut SystemClock);
    let extra = collect(&mut node);
    let has_pending = !node.state.stream.pending.is_empty();
    // Whoever waits gets the lock before the next slice does.
    MutexGuard::unlock_fair(node);
    if let Some(extra) = extra {
        carry_out(shared, extra);
    }
    if has_pending {
        shared.committer.kick();
    }
    pause_us
}
