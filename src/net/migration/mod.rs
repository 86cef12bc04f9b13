//! Slots on their way: one thread for each job that moves slots away from here, and one for each claim that is about to be
//! made here. They wait for sockets, disks and replicas; what follows is the node's to decide (`node/migration.rs`).

mod encode;
mod mover;
mod pace;
mod peer;
mod session;
mod stream;
mod taker;

pub(super) use mover::start as move_slots;
pub(super) use taker::{request as request_slots, start as take_slots, sync as sync_log};

use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::clock;

/// Between two looks at what another thread or node does.
const POLL: Duration = Duration::from_micros(200);

/// How long replicas have for what they must have before slots change hands.
const REPLICAS_WAIT: Duration = Duration::from_secs(1);

/// Waits until the log is on disk up to where it is now, and until all replicas that follow have it. Whether they do in time.
///
/// # Errors
/// Why the log is not on disk.
fn settle_log(shared: &Shared) -> Result<bool, String> {
    shared.committer.drain(shared)?;
    let offset = {
        let mut node = shared.node.lock();
        node.ask_replicas();
        node.state.stream.end
    };
    shared.committer.settle(shared);
    let started = started();
    loop {
        {
            let node = shared.node.lock();
            let replicas = &node.state.replication.replicas;
            if replicas.acked(offset) >= replicas.online_count() {
                return Ok(true);
            }
        }
        if started.elapsed() > REPLICAS_WAIT {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

#[expect(clippy::disallowed_methods, reason = "threads of the driver wait for real time to pass")]
fn started() -> Instant {
    Instant::now()
}

/// The moment as the node is told it.
fn now() -> clock::Time {
    clock::now()
}
