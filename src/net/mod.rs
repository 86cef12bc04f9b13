//! Sockets, threads, signals: the part of the server that waits.

mod bus;
mod commit;
mod connection;
mod driver;
mod feed;
mod follow;
mod full_sync;
mod link;
mod listener;
mod load;
mod lock;
pub mod migration;
mod moves;
pub mod process;
mod receive;
mod relay;
mod release;
mod reload;
mod resp_base;
mod shared;
mod socket;
mod stop;
mod system;
mod trimming;
mod turn;
mod walks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::clock;
use crate::config::Config;
use crate::node::Node;
use crate::state::freeing::Waste;
use crate::state::persistence::Loading;
use crate::state::run::Run;
use listener::{Accepted, Listeners};
use shared::Shared;

/// The most I/O threads.
const IO_THREADS_MAX: u32 = 128;

/// Serves clients until a shutdown.
///
/// # Errors
/// Why the server could not start, in one sentence for the operator.
pub fn serve(config: Config) -> Result<(), String> {
    let listeners = Listeners::bind(&config)?;
    let bus = config.cluster_enabled.then(|| bus::Prepared::new(&config)).transpose()?;
    let kinds = listeners.kinds();
    let threads = config.io_threads.clamp(1, IO_THREADS_MAX) as usize;
    let shared = Arc::new(make_shared(config.clone(), threads));
    spawn_background_threads(&shared);
    if let Some(bus) = bus {
        bus.serve(&shared);
    }
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..threads {
        let (sender, receiver) = unbounded_channel();
        senders.push(sender);
        receivers.push(receiver);
    }
    let mut receivers = receivers.into_iter();
    let first = receivers.next().ok_or("there is at least one thread")?;
    for (index, receiver) in receivers.enumerate() {
        let shared = Arc::clone(&shared);
        spawn_thread("io", move || match runtime() {
            Ok(runtime) => runtime.block_on(io_thread(shared, index + 1, receiver)),
            Err(error) => tracing::error!("an I/O thread could not start: {error}"),
        });
    }
    let (loaded, when_loaded) = tokio::sync::oneshot::channel();
    let settings = config.clone();
    spawn_loader(&shared, config, loaded);
    let runtime = runtime().map_err(|error| format!("the runtime could not start: {error}"))?;
    runtime.block_on(async {
        let accepting = listeners
            .serve(&shared, &senders)
            .map_err(|error| format!("the listening sockets cannot be used: {error}"))?;
        let listening = follow::Listening::new(&settings, senders, accepting);
        shared.listening.set(listening).expect("it is set here only");
        tokio::spawn(driver::tick_task(Arc::clone(&shared)));
        tokio::spawn(driver::deadline_task(Arc::clone(&shared)));
        tokio::spawn(link::link_task(Arc::clone(&shared)));
        tokio::spawn(io_thread(Arc::clone(&shared), 0, first));
        // Before anybody is told that the node is ready: a signal that comes then must find its handler.
        let (terminate, interrupt) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        tokio::spawn(signals(Arc::clone(&shared), terminate, interrupt));
        when_loaded.await.map_err(|_| "loading was broken off".to_owned())??;
        announce(kinds);
        shared.exited().await;
        Ok(())
    })
}

/// Tells everybody that clients are served.
fn announce((tcp, unix): (bool, bool)) {
    if tcp {
        tracing::info!("Ready to accept connections tcp");
    }
    if unix {
        tracing::info!("Ready to accept connections unix");
    }
    process::ready();
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().event_interval(256).build()
}

/// Serves the connections that are handed to this thread.
async fn io_thread(shared: Arc<Shared>, index: usize, mut accepted: UnboundedReceiver<Accepted>) {
    tokio::spawn(turn::flush_task(Arc::clone(&shared), index));
    while let Some(accepted) = accepted.recv().await {
        if let Err(error) = listener::welcome(&shared, accepted) {
            tracing::warn!("Accepting client connection: {error}");
        }
    }
}

fn make_shared(config: Config, threads: usize) -> Shared {
    let time = clock::now();
    let keyspace = load::empty_keyspace(&config);
    let run = Run {
        run_id: load::new_id().to_string(),
        first_replication_id: load::new_id().to_string(),
        pid: std::process::id(),
        started_s: time.unix_s(),
        started_mono_us: time.mono_us,
        executable: std::env::current_exe().unwrap_or_default(),
        config_file: config.file().map(std::path::Path::to_owned),
        port: config.port,
        os: system::os(),
        total_system_memory: system::total_memory(),
    };
    let mut node = Node::new(config, keyspace, run, time);
    node.state.system.startup_memory = crate::alloc::used_memory() as u64;
    // Clients that come before the data are answered -LOADING.
    node.state.persistence.loading =
        Some(Loading { started_s: time.unix_s(), total_bytes: 0, loaded_bytes: 0, serves: false });
    let (waste, collected) = mpsc::channel::<Waste>();
    let freed = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counters = Arc::clone(&freed);
    spawn_thread("free", move || {
        for waste in collected {
            let objects = waste.objects();
            drop(waste);
            counters[0].fetch_sub(objects, Ordering::Relaxed);
            counters[1].fetch_add(objects, Ordering::Relaxed);
        }
    });
    Shared::new(node, threads, (waste, freed))
}

fn spawn_background_threads(shared: &Arc<Shared>) {
    let committing = Arc::clone(shared);
    spawn_thread("commit", move || committing.committer.commit_thread(&committing));
    let syncing = Arc::clone(shared);
    spawn_thread("sync", move || syncing.committer.sync_thread(&syncing));
}

/// Loads on a thread of its own, and says when that is done.
fn spawn_loader(
    shared: &Arc<Shared>,
    config: Config,
    loaded: tokio::sync::oneshot::Sender<Result<(), String>>,
) {
    let shared = Arc::clone(shared);
    spawn_thread("load", move || {
        let result = load::load(&shared, &config).map(|data| load::install(&shared, data));
        if loaded.send(result).is_err() {
            tracing::debug!("nobody waits for the load any more");
        }
    });
}

/// Shuts down on SIGTERM and SIGINT. Never ends.
async fn signals(
    shared: Arc<Shared>,
    terminate: std::io::Result<Signal>,
    interrupt: std::io::Result<Signal>,
) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::warn!("signals cannot be received");
        return;
    };
    loop {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if shared.is_stopping() {
            tracing::warn!("You insist... exiting now.");
            shared.exit();
            return;
        }
        stop::signalled(&shared, name);
    }
}

/// Starts a thread.
///
/// # Panics
/// If the system has no more threads: the node cannot do its work then.
fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    // Threads are not waited for: they end with the process.
    drop(spawned.expect("the system has threads left"));
}
