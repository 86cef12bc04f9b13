//! Stopping in an orderly way.

use std::sync::Arc;

use super::driver::with_node;
use super::shared::Shared;
use super::walks;
use crate::clock::mono_us;
use crate::node::Node;
use crate::state::output::Shutdown;

/// Stops the process as `how` says, on a thread of its own. If a snapshot that was wanted fails, the process stays.
pub(super) fn start(shared: &Arc<Shared>, how: Shutdown) {
    let shared = Arc::clone(shared);
    super::spawn_thread("shutdown", move || {
        if let Err(reason) = stop(&shared, how) {
            tracing::warn!("{reason}");
            with_node(&shared, |node| {
                (node.state.shutdown_waits, node.state.stopping) = (false, false);
                node.state.resume_paused();
            });
            if let Some(client) = how.client {
                let reply = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n".to_vec();
                with_node(&shared, |node| node.answer_job(client, reply));
            }
        }
    });
}

/// Stops on behalf of a signal.
pub(super) fn signalled(shared: &Arc<Shared>, name: &str) {
    tracing::warn!("Received {name} scheduling shutdown...");
    let how = {
        let node = shared.node.lock();
        let config = &node.state.config;
        let flags = match name {
            "SIGINT" => config.shutdown_on_sigint,
            _ => config.shutdown_on_sigterm,
        };
        let save = match (flags.save, flags.nosave) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Shutdown { save, force: flags.force, now: flags.now, client: None }
    };
    start(shared, how);
}

fn stop(shared: &Arc<Shared>, how: Shutdown) -> Result<(), String> {
    tracing::warn!("User requested shutdown...");
    let (loading, saves) = {
        let node = shared.node.lock();
        let state = &node.state;
        (state.persistence.loading.is_some(), !state.config.save.is_empty())
    };
    if !how.now {
        wait_for_replicas(shared)?;
    }
    if !loading && how.save.unwrap_or(saves) {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        if !save(shared) && !how.force {
            return Err(
                "Error trying to save the DB, can't exit (SHUTDOWN FORCE exits all the same)."
                    .to_owned(),
            );
        }
    }
    shared.stop();
    // Whoever gets the node's lock from here on executes nothing; so what is pending now is all there will be.
    let unixsocket = shared.node.lock().state.config.unixsocket.clone();
    if !loading && shared.committer.is_on() {
        tracing::info!("Calling fsync() on the AOF file.");
        if let Err(error) = shared.committer.finish(shared) {
            tracing::warn!("The log could not be finished: {error}");
            if !how.force {
                tracing::warn!("Exiting all the same: nothing unwritten was acknowledged.");
            }
        }
    }
    if !unixsocket.is_empty()
        && let Err(error) = std::fs::remove_file(&unixsocket)
    {
        tracing::debug!("the unix socket stays: {error}");
    }
    tracing::warn!("Redis is now ready to exit, bye bye...");
    // The main thread ends the process.
    shared.exit();
    Ok(())
}

/// Waits until replicas have everything, for `shutdown-timeout` at most. Writes wait meanwhile.
fn wait_for_replicas(shared: &Arc<Shared>) -> Result<(), String> {
    let timeout_s = with_node(shared, |node| {
        node.state.shutdown_waits = true;
        u64::from(node.state.config.shutdown_timeout)
    });
    let deadline_us = mono_us() + timeout_s * 1_000_000;
    let mut said = false;
    loop {
        let (lagging, waits) =
            with_node(shared, |node| (node.lagging_replicas(), node.state.shutdown_waits));
        if !waits {
            return Err("Shutdown aborted by a client".to_owned());
        }
        let over = mono_us() >= deadline_us;
        if lagging == 0 || over {
            if lagging > 0 {
                tracing::warn!(
                    "{lagging} replicas do not have everything; they can ask for it later"
                );
            }
            // Writes wait on: what comes next may take a while too. A replica that gets a snapshot would keep the last one
            // from being written, for as long as it likes.
            with_node(shared, |node| {
                node.state.shutdown_waits = false;
                node.state.stopping = true;
                node.detach_unsynced();
            });
            return Ok(());
        }
        if !std::mem::replace(&mut said, true) {
            tracing::info!("{lagging} replicas lag behind: waiting up to {timeout_s} s for them");
        }
        std::thread::sleep(walks::JOB_POLL);
    }
}

/// Writes a snapshot and waits for it. Whether it was written.
fn save(shared: &Arc<Shared>) -> bool {
    // From its cut on nothing may be acknowledged that the snapshot does not hold: writes wait for the end.
    let begin = |node: &mut Node| {
        let state = &mut node.state;
        let is_free = !state.has_job();
        if is_free {
            state.stopping = true;
            state.request_snapshot();
        }
        is_free.then_some(state.persistence.saves)
    };
    let before = loop {
        if let Some(saves) = with_node(shared, begin) {
            break saves;
        }
        std::thread::sleep(walks::JOB_POLL);
    };
    wait_for_jobs(shared);
    with_node(shared, |node| {
        let persistence = &node.state.persistence;
        let ok = persistence.last_save_ok && persistence.saves > before;
        if !ok {
            node.state.stopping = false;
            node.state.resume_paused();
        }
        ok
    })
}

fn wait_for_jobs(shared: &Shared) {
    while shared.node.lock().state.has_job() {
        std::thread::sleep(walks::JOB_POLL);
    }
}
