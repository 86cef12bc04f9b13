//! Settings that take effect only where the system plays along: `port`, `bind`, `maxclients`. Whoever set them is answered
//! afterwards, and a call that cannot be followed is taken back whole.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::driver::{settings_changed, with_node};
use super::listener::{Accepted, Listeners};
use super::process::raise_file_limit;
use super::shared::Shared;
use crate::config::{Client, Config, Values};
use crate::state::ClientId;
use crate::state::output::Follow;

/// What is listened on, and who gets the connections.
#[derive(Debug)]
pub(super) struct Listening {
    runtime: Handle,
    threads: Vec<UnboundedSender<Accepted>>,
    tcp: Mutex<Tcp>,
}

/// The tasks that accept TCP connections.
#[derive(Debug)]
struct Tcp {
    tasks: Vec<JoinHandle<()>>,
    port: u16,
    bind: Vec<String>,
}

impl Listening {
    /// Sockets of `config` that are served already, by `tasks` of the current runtime.
    pub(super) fn new(
        config: &Config,
        threads: Vec<UnboundedSender<Accepted>>,
        tasks: Vec<JoinHandle<()>>,
    ) -> Self {
        let tcp = Tcp { tasks, port: config.port, bind: config.bind.clone() };
        Self { runtime: Handle::current(), threads, tcp: Mutex::new(tcp) }
    }

    /// Listens where `config` says, or stays where it is.
    async fn follow(&self, shared: &Arc<Shared>, config: &Config) -> Result<(), String> {
        let mut tcp = self.tcp.lock().await;
        if tcp.port == config.port && tcp.bind == config.bind {
            return Ok(());
        }
        let mut former = config.clone();
        former.values_mut().port = tcp.port;
        former.values_mut().bind.clone_from(&tcp.bind);
        // On the same port the old sockets are in the way of the new ones.
        let same_port = tcp.port == config.port;
        if same_port {
            tcp.close().await;
        }
        let bound = Listeners::bind_tcp(config)
            .and_then(|listeners| self.serve(shared, listeners).map_err(|error| error.to_string()));
        match bound {
            Ok(tasks) => {
                tcp.close().await;
                *tcp = Tcp { tasks, port: config.port, bind: config.bind.clone() };
                Ok(())
            }
            Err(reason) => {
                if same_port {
                    let back = Listeners::bind_tcp(&former).and_then(|listeners| {
                        self.serve(shared, listeners).map_err(|error| error.to_string())
                    });
                    tcp.tasks = back.unwrap_or_else(|error| {
                        tracing::warn!("The former addresses are lost too: {error}");
                        Vec::new()
                    });
                }
                Err(reason)
            }
        }
    }

    fn serve(
        &self,
        shared: &Arc<Shared>,
        listeners: Listeners,
    ) -> std::io::Result<Vec<JoinHandle<()>>> {
        listeners.serve(shared, &self.threads)
    }
}

impl Tcp {
    /// Stops accepting; when this returns the sockets are closed.
    async fn close(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // It was told to stop, so that is how it ends.
            drop(task.await);
        }
    }
}

/// Follows a call of CONFIG SET and answers who made it.
pub(super) fn start(shared: &Arc<Shared>, follow: Follow) {
    let task = run(Arc::clone(shared), follow);
    match shared.listening.get() {
        Some(listening) => drop(listening.runtime.spawn(task)),
        // Nobody is connected before anything listens.
        None => tracing::debug!("settings changed before the start"),
    }
}

async fn run(shared: Arc<Shared>, follow: Follow) {
    let Follow { client, names, before } = follow;
    let config = shared.node.lock().state.config.clone();
    match try_to(&shared, &names, &config).await {
        Ok(()) => {
            with_node(&shared, |node| node.state.run.port = config.port);
            settings_changed(&shared, &names);
            answer(&shared, client, "+OK\r\n".to_owned());
        }
        Err((name, reason)) => {
            tracing::warn!(
                "Failed applying new configuration. Possibly related to new {name} setting. Restoring previous settings."
            );
            with_node(&shared, |node| {
                let everyone = Client { local: true, loading: false };
                if let Err(error) = node.state.config.set(&before, everyone) {
                    tracing::warn!("a former setting is not taken back: {error}");
                }
                node.apply_settings();
                node.state.stats.count_error("ERR");
            });
            let reply = format!(
                "-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}\r\n"
            );
            answer(&shared, client, reply);
        }
    }
}

fn answer(shared: &Arc<Shared>, client: ClientId, reply: String) {
    with_node(shared, |node| node.answer_job(client, reply.into_bytes()));
}

/// Does what `names` ask for; or the name that it fails at, and what stock says then.
async fn try_to(
    shared: &Arc<Shared>,
    names: &[&'static str],
    config: &Config,
) -> Result<(), (&'static str, String)> {
    if names.contains(&"maxclients") {
        allow_files(config).map_err(|reason| ("maxclients", reason))?;
    }
    let Some(&name) = names.iter().find(|name| matches!(**name, "port" | "bind")) else {
        return Ok(());
    };
    let Some(listening) = shared.listening.get() else { return Ok(()) };
    listening.follow(shared, config).await.map_err(|reason| {
        tracing::warn!("{reason}");
        let text = match name {
            "port" => "Unable to listen on this port. Check server logs.",
            _ => "Failed to bind to specified addresses.",
        };
        (name, text.to_owned())
    })
}

/// Asks the kernel for as many files as `maxclients` needs.
fn allow_files(config: &Config) -> Result<(), String> {
    let mut values = Values::clone(config);
    raise_file_limit(&mut values)?;
    if values.maxclients == config.maxclients {
        return Ok(());
    }
    Err(format!(
        "The operating system is not able to handle the specified number of clients, try with {}",
        values.maxclients
    ))
}
