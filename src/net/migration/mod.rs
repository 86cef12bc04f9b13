//! Slots on their way: one task for each job that moves slots away from here, and one for each claim that is about to be
//! made here. They wait for sockets, disks and replicas; what follows is the node's to decide (`node/migration.rs`).
//!
//! What they wait for is a [`World`]: here the threads of the driver (`threads.rs`), in `tests/sim` a played one.

mod ask;
mod drive;
mod encode;
mod mover;
mod pace;
mod peer;
mod session;
mod stream;
mod taker;
mod threads;
mod world;

pub use mover::move_slots;
pub use taker::{request_slots, sync_log, take_slots};
pub use world::{Answer, Link, OwnStream, Sizes, World};

pub(super) mod on_threads {
    pub(in crate::net) use super::threads::{move_slots, request_slots, sync_log, take_slots};
}

use std::time::Duration;

/// Between two looks at what another thread or node does.
const POLL: Duration = Duration::from_micros(200);

/// How long replicas have for what they must have before slots change hands.
const REPLICAS_WAIT: Duration = Duration::from_secs(1);

/// Waits until the log is on disk up to where it is now, and until all replicas that follow have it. Whether they do in time.
///
/// # Errors
/// Why the log is not on disk.
async fn settle_log<W: World>(world: &W) -> Result<bool, String> {
    world.sync().await?;
    let offset = world
        .run(|node, _| {
            node.ask_replicas();
            node.state.stream.end
        })
        .await;
    world.append().await;
    let began_us = world.now_us();
    loop {
        let have_all = world.look(|node| {
            if node.state.is_replica() || node.state.is_being_replaced() {
                return Err("the node is not the primary any more".to_owned());
            }
            let replicas = &node.state.replication.replicas;
            // One that is not linked just now may be elected as well as one that is.
            let working = node.state.cluster.as_ref().map_or(0, |one| one.core.replicas_at_work());
            Ok(replicas.acked(offset) >= replicas.online_count().max(working))
        })?;
        if have_all || passed(world, began_us) > REPLICAS_WAIT {
            return Ok(have_all);
        }
        world.sleep(POLL).await;
    }
}

/// The time since a moment.
fn passed<W: World>(world: &W, since_us: u64) -> Duration {
    Duration::from_micros(world.now_us().saturating_sub(since_us))
}
