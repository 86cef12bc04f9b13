//! DEBUG RELOAD and DEBUG LOADAOF: the data leave memory and come back from disk.

use std::sync::Arc;

use super::driver::with_node;
use super::shared::Shared;
use super::{load, walks};
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
    shared.node.lock().state.persistence.loading = None;
    result
}

/// Refuses clients from now on, unless a job is running.
fn begin_loading(state: &mut State) -> bool {
    let is_free = !state.has_job();
    if is_free {
        let started_s = crate::clock::now().unix_s();
        let loading = Loading { started_s, total_bytes: 0, loaded_bytes: 0 };
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
    let (keyspace, functions) = load::read_again(shared, &config, log)?;
    let mut node = shared.node.lock();
    let state = &mut node.state;
    let end = state.stream.end;
    let old = std::mem::replace(&mut state.keyspace, keyspace);
    // Replies that show what was reloaded wait for as much of the log as those before.
    state.keyspace.succeed(&old, end);
    for client in state.clients.iter_mut().filter(|client| client.watching) {
        client.watch_broken = true;
    }
    // What was loaded instead of the data is in no log.
    state.persistence.rewrite_scheduled |= !log && !save && state.persistence.aof_enabled;
    state.functions = functions;
    node.apply_settings();
    drop(node);
    drop(old);
    Ok(())
}
