//! DEBUG RELOAD and DEBUG LOADAOF: the data leave memory and come back from disk.

use std::sync::Arc;

use super::driver::with_node;
use super::shared::Shared;
use super::{load, walks};
use crate::clock::SystemClock;
use crate::state::persistence::Loading;
use crate::state::{ClientId, State};

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
    // Nobody may write between the save and the load, and no walk begin on what is to be replaced.
    while !begin_loading(&mut shared.node.lock().state) {
        std::thread::sleep(walks::JOB_POLL);
    }
    let result = exchange(shared, log, save);
    with_node(shared, |node| {
        node.state.persistence.loading = None;
        node.serve_ready(&mut SystemClock);
    });
    result
}

/// Refuses clients from now on, unless a job is running.
fn begin_loading(state: &mut State) -> bool {
    let is_free = !state.has_job();
    if is_free {
        let started_s = crate::clock::now().unix_s();
        let loading = Loading { started_s, total_bytes: 0, loaded_bytes: 0, serves: false };
        state.persistence.loading = Some(loading);
    }
    is_free
}

fn exchange(shared: &Arc<Shared>, log: bool, save: bool) -> Result<(), String> {
    if log {
        shared.committer.drain(shared)?;
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
    let (keyspace, beside) = load::read_again(shared, &config, log)?;
    let mut node = shared.node.lock();
    let old = node.replace_data(keyspace, beside);
    // What was loaded instead of the data is in no log.
    let persistence = &mut node.state.persistence;
    persistence.rewrite_scheduled |= !log && !save && persistence.aof_enabled;
    drop(node);
    drop(old);
    Ok(())
}
