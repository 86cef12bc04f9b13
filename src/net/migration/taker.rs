//! The target's part that waits: a claim waits for the disk and the replicas, a request for another node.

use std::sync::Arc;
use std::time::Duration;

use super::peer::{Answer, PeerLink};
use super::{now, settle_log};
use crate::cluster::NodeId;
use crate::migration::{Outcome, shown_ranges};
use crate::net::driver::with_node;
use crate::net::shared::Shared;
use crate::state::ClientId;

/// How often a source is asked to begin.
const TRIES: u32 = 20;

/// Between two of them.
const RETRY: Duration = Duration::from_millis(500);

/// The log says that the slots of a job are taken: claims them once that cannot be lost.
pub(in crate::net) fn start(shared: &Arc<Shared>, job: NodeId, client: ClientId) {
    let shared = Arc::clone(shared);
    crate::net::spawn_thread("take-slots", move || match settle_log(&shared) {
        Ok(true) => with_node(&shared, |node| node.claim_taken(&job, client, now())),
        Ok(false) => with_node(&shared, |node| {
            node.untake(&job, client, "Replicas of the target are too far behind", now());
        }),
        Err(why) => with_node(&shared, |node| node.untake(&job, client, &why, now())),
    });
}

/// Brings the log to disk, so that the last sync before a claim has little to do.
pub(in crate::net) fn sync(shared: &Arc<Shared>, client: ClientId) {
    let shared = Arc::clone(shared);
    crate::net::spawn_thread("sync-log", move || {
        let reply = match shared.committer.drain(&shared) {
            Ok(()) => "+OK\r\n".to_owned(),
            Err(why) => format!("-ERR The log cannot be synced: {why}\r\n"),
        };
        with_node(&shared, |node| node.answer_job(client, reply.into_bytes()));
    });
}

/// Asks the source of a job to move its slots here.
pub(in crate::net) fn request(shared: &Arc<Shared>, job: NodeId) {
    let shared = Arc::clone(shared);
    crate::net::spawn_thread("request-slots", move || {
        let mut why = String::new();
        for _ in 0..TRIES {
            match ask(&shared, &job) {
                Ok(Answer::Error(text)) => {
                    why = text;
                    break;
                }
                Ok(_) => return,
                Err(error) => why = error,
            }
            std::thread::sleep(RETRY);
        }
        with_node(&shared, |node| node.end_job(&job, Outcome::Failed, &why, now()));
    });
}

fn ask(shared: &Shared, job: &NodeId) -> Result<Answer, String> {
    let (plan, place, config) = {
        let node = shared.node.lock();
        let state = &node.state;
        let job = state.migrations.get(job).ok_or("the job is gone")?;
        let core = &state.cluster.as_ref().ok_or("there is no cluster")?.core;
        let source = core.primary_of_shard(&job.plan.source).ok_or("the source has failed")?;
        let peer = &core.peers()[source];
        (job.plan.clone(), (peer.host.to_string(), peer.ports.client), state.config.clone())
    };
    let mut link = PeerLink::open(&place.0, place.1, &config)?;
    let slots = shown_ranges(&plan.slots, ",", false);
    let (name, target) = (job.as_bytes(), plan.target.as_bytes());
    let words: [&[u8]; 6] = [b"CLUSTER", b"HANDOVER", b"REQUEST", name, target, slots.as_bytes()];
    link.ask(&words).map_err(|error| error.to_string())
}
