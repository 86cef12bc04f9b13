//! DEBUG RELOAD and DEBUG LOADAOF: the data leave memory and come back from disk.

use std::sync::Arc;

use super::driver::with_node;
use super::shared::Shared;
use super::{load, walks};
use crate::state::ClientId;
use crate::state::persistence::Loading;

/// Reloads on a thread of its own and answers `client`. Other clients are answered `-LOADING` meanwhile.
pub(super) fn start(shared: &Arc<Shared>, client: ClientId, log: bool, save: bool) {
    let shared = Arc::clone(shared);
    super::spawn_thread("reload", move || {
        let reply = match reload(&shared, log, save) {
            Ok(()) => "+OK\r\n".to_owned(),
            Err(error) => {
                tracing::warn!("Reloading failed: {error}");
                "-ERR Error trying to load the RDB dump, check server logs.\r\n".to_owned()
            }
        };
        with_node(&shared, |node| node.answer_job(client, reply.into_bytes()));
    });
}

fn reload(shared: &Arc<Shared>, log: bool, save: bool) -> Result<(), String> {
    while shared.node.lock().state.has_job() {
        std::thread::sleep(walks::JOB_POLL);
    }
    // Nobody may write between the save and the load.
    shared.node.lock().state.persistence.loading =
        Some(Loading { started_s: 0, total_bytes: 1, loaded_bytes: 0 });
    let result = exchange(shared, log, save);
    shared.node.lock().state.persistence.loading = None;
    result
}

fn exchange(shared: &Arc<Shared>, log: bool, save: bool) -> Result<(), String> {
    if log {
        shared.committer.drain(shared);
    } else if save {
        walks::start_snapshot(shared);
        while shared.node.lock().state.has_job() {
            std::thread::sleep(walks::JOB_POLL);
        }
        if !shared.node.lock().state.persistence.last_save_ok {
            return Err("the snapshot could not be written".to_owned());
        }
    }
    let config = shared.node.lock().state.config.clone();
    let (keyspace, functions) = load::read_again(shared, &config, log)?;
    let mut node = shared.node.lock();
    let old = std::mem::replace(&mut node.state.keyspace, keyspace);
    node.state.functions = functions;
    node.apply_settings();
    drop(node);
    drop(old);
    Ok(())
}
