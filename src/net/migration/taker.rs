//! The target's part that waits: a claim waits for the disk and the replicas, a request for another node.

use std::time::Duration;

use super::ask::{ask, connect};
use super::settle_log;
use super::world::{Answer, World};
use crate::cluster::NodeId;
use crate::migration::{Outcome, shown_ranges};
use crate::node::Node;
use crate::state::ClientId;

/// How often a source is asked to begin.
const TRIES: u32 = 20;

/// Between two of them.
const RETRY: Duration = Duration::from_millis(500);

/// The log says that the slots of a job are taken: claims them once that cannot be lost.
pub async fn take_slots<W: World>(world: &W, job: NodeId, client: ClientId) {
    match settle_log(world).await {
        Ok(true) => world.run(|node, time| node.claim_taken(&job, client, time)).await,
        Ok(false) => {
            let why = "Replicas of the target are too far behind";
            world.run(|node, time| node.untake(&job, client, why, time)).await;
        }
        Err(why) => world.run(|node, time| node.untake(&job, client, &why, time)).await,
    }
}

/// Brings the log to disk and to the replicas, so that the last step before a claim has little to do, and tells a client.
pub async fn sync_log<W: World>(world: &W, client: ClientId) {
    let reply = match settle_log(world).await {
        Ok(true) => "+OK\r\n".to_owned(),
        Ok(false) => "-TRYAGAIN Replicas of the target are too far behind\r\n".to_owned(),
        Err(why) => format!("-ERR The log cannot be synced: {why}\r\n"),
    };
    world.run(|node, _| node.answer_job(client, reply.into_bytes())).await;
}

/// Asks the source of a job to move its slots here.
pub async fn request_slots<W: World>(world: &W, job: NodeId) {
    let mut why = String::new();
    for _ in 0..TRIES {
        match request(world, &job).await {
            Ok(Answer::Error(text)) => {
                why = text;
                break;
            }
            Ok(_) => return,
            Err(error) => why = error,
        }
        world.sleep(RETRY).await;
    }
    let end = |node: &mut Node, time| {
        // Otherwise it ends since nothing comes.
        if !node.state.stands_still() {
            node.end_job(&job, Outcome::Failed, &why, time);
        }
    };
    world.run(end).await;
}

async fn request<W: World>(world: &W, job: &NodeId) -> Result<Answer, String> {
    let (plan, place) = world.look(|node| {
        let state = &node.state;
        let job = state.migrations.get(job).ok_or("the job is gone")?;
        let core = &state.cluster.as_ref().ok_or("there is no cluster")?.core;
        let source = core.primary_of_shard(&job.plan.source).ok_or("the source has failed")?;
        let peer = &core.peers()[source];
        Ok::<_, String>((job.plan.clone(), (peer.host.to_string(), peer.ports.client)))
    })?;
    let mut link = connect(world, (&place.0, place.1)).await?;
    let slots = shown_ranges(&plan.slots, ",", false);
    let (name, target) = (job.as_bytes(), plan.target.as_bytes());
    let words: [&[u8]; 6] = [b"CLUSTER", b"HANDOVER", b"REQUEST", name, target, slots.as_bytes()];
    ask(&mut link, &words).await.map_err(|error| error.to_string())
}
