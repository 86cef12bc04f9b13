//! The cluster bus: its sockets, and the configuration file. One thread does all of it, beside those of the clients.
//!
//! The state machine's outputs are carried out here in the order of [`Outbox`]: a promise leaves when it is on disk. Reading,
//! and answering with what is no promise, goes on meanwhile.

mod config_file;
mod link;
mod listen;
mod reading;
mod saver;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::driver::with_node;
use super::shared::Shared;
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::outbox::Outbox;
use crate::cluster::{Cluster, Input, Output, Packet, wire};
use crate::config::Config;
use crate::node::Node;
use config_file::ConfigFile;
use link::Sender;
use saver::Saver;
use strangers::Strangers;

/// Between two ticks of the state machine.
const TICK: Duration = Duration::from_millis(100);

/// Between a change that is no promise and its being saved.
const SAVE_SOON: Duration = Duration::from_secs(1);

/// The bus as other threads see it.
#[derive(Debug, Default)]
pub(super) struct Bus {
    wake: tokio::sync::Notify,
    /// Open connections.
    links: Mutex<HashMap<LinkId, Sender>>,
    strangers: Strangers,
    /// How many outputs wait for the configuration file.
    waiting: AtomicUsize,
}

impl Bus {
    /// Something is to be done.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    fn add(&self, link: LinkId, sender: Sender) {
        self.links.lock().insert(link, sender);
    }

    fn remove(&self, link: LinkId) {
        self.links.lock().remove(&link);
    }
}

/// A bus that is bound and not served yet, and the node's place in its cluster.
#[derive(Debug)]
pub(super) struct Prepared {
    listeners: Vec<std::net::TcpListener>,
    file: ConfigFile,
    cluster: Cluster,
}

impl Prepared {
    /// Binds the bus port, takes the configuration file and reads it.
    ///
    /// # Errors
    /// In a sentence for the operator. A file that was there has not changed.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let listeners = listen::bind(config)?;
        let (cluster, file) = config_file::open(config)?;
        Ok(Self { listeners, file, cluster })
    }

    /// Makes the node a part of its cluster, and serves the bus on a thread of its own until the process ends.
    pub(super) fn serve(self, shared: &Arc<Shared>) {
        let Self { listeners, file, cluster } = self;
        with_node(shared, |node| node.join_cluster(clock::now(), cluster));
        let shared = Arc::clone(shared);
        super::spawn_thread("bus", move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("the bus could not start: {error}"),
            };
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(listen::accept(Arc::clone(&shared), listener));
                }
                tokio::spawn(tick(Arc::clone(&shared)));
                let kept =
                    shared.node.lock().state.cluster.as_ref().map(|one| one.core.own_claim());
                let driver = Driver {
                    shared,
                    saver: Saver::start(file),
                    outbox: kept.map(Outbox::new).unwrap_or_default(),
                    save_due: None,
                };
                driver.run().await;
            });
        });
    }
}

/// Whether the node is not there yet for others: a primary that is loading its data.
fn is_absent(shared: &Shared) -> bool {
    let state = &shared.node.lock().state;
    let is_loading = state.persistence.loading.is_some_and(|loading| !loading.serves);
    is_loading && state.cluster.as_ref().is_some_and(|one| one.core.peers().me().is_primary())
}

/// Whether it is known whose connection that is: not that of a stranger, nor one that is gone.
fn is_known(node: &Node, link: LinkId) -> bool {
    node.state.cluster.as_ref().is_some_and(|one| one.core.link_peer(link).is_some())
}

/// Tells the state machine the time.
async fn tick(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TICK).await;
        if shared.is_stopping() {
            return;
        }
        if is_absent(&shared) {
            continue;
        }
        let sizes: Vec<(LinkId, usize)> = {
            let links = shared.bus.links.lock();
            links.iter().map(|(link, sender)| (*link, sender.waiting())).collect()
        };
        with_node(&shared, |node| {
            let limit = node.state.config.cluster_link_sendbuf_limit;
            for (link, bytes) in &sizes {
                if limit > 0 && *bytes as u64 > limit {
                    node.step_cluster(clock::now(), Input::Clogged { link: *link });
                }
            }
            if let Some(membership) = &mut node.state.cluster {
                membership.link_bytes = sizes;
            }
            node.step_cluster(clock::now(), Input::Tick);
        });
    }
}

/// Carries out what the state machine wants.
struct Driver {
    shared: Arc<Shared>,
    saver: Saver,
    outbox: Outbox,
    /// When a change that is no promise is to be saved.
    save_due: Option<Instant>,
}

/// A write of the configuration that is under way.
struct Save {
    done: oneshot::Receiver<Result<(), String>>,
    /// Which state of it: [`Cluster::saves_wanted`].
    number: u64,
}

impl Driver {
    async fn run(mut self) {
        let mut save: Option<Save> = None;
        loop {
            self.take();
            let is_due = self.save_due.is_some_and(|due| due <= Instant::now());
            if save.is_none() && (is_due || self.outbox.wants_save()) {
                save = self.begin_save();
            }
            let due = self.save_due.filter(|_| save.is_none());
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let saved = async {
                match &mut save {
                    Some(Save { done, number }) => {
                        let gone = |_| Err("its thread is gone".to_owned());
                        (done.await.unwrap_or_else(gone), *number)
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.bus.wake.notified() => {}
                () = due => {}
                (result, number) = saved => {
                    save = None;
                    self.end_save(result, number);
                }
            }
        }
    }

    /// Takes what is to be done, and does what need not wait.
    fn take(&mut self) {
        let outputs = {
            let mut node = self.shared.node.lock();
            let Some(membership) = &mut node.state.cluster else { return };
            std::mem::take(&mut membership.bus)
        };
        let now = self.outbox.add(outputs);
        self.shared.bus.waiting.store(self.outbox.len(), Ordering::Relaxed);
        self.carry_out(now);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut encoded = Encoded::default();
        for output in outputs {
            match output {
                Output::SaveSoon => {
                    self.save_due.get_or_insert(Instant::now() + SAVE_SOON);
                }
                Output::Connect { link, host, port } => {
                    tokio::spawn(link::open(Arc::clone(&self.shared), link, host, port));
                }
                Output::Close { link } => self.shared.bus.remove(link),
                Output::Send { link, packet } => {
                    let bytes = encoded.of(&packet);
                    if let Some(sender) = self.shared.bus.links.lock().get(&link) {
                        sender.send(bytes);
                    }
                }
                other => unreachable!("the node carries out {other:?} itself"),
            }
        }
    }

    /// Begins to write the configuration as it is now.
    fn begin_save(&mut self) -> Option<Save> {
        let (conf, number, claim) = {
            let node = self.shared.node.lock();
            let core = &node.state.cluster.as_ref()?.core;
            (core.to_conf(), core.saves_wanted(), core.own_claim())
        };
        self.save_due = None;
        self.outbox.begin_save(claim);
        Some(Save { done: self.saver.begin(conf), number })
    }

    /// Tells the state machine whether the configuration is on disk, and does what waited for that.
    fn end_save(&mut self, result: Result<(), String>, number: u64) {
        if let Err(error) = &result {
            tracing::error!(
                "the cluster configuration file cannot be written: {error}. Nothing is promised until it can be"
            );
        }
        let is_saved = result.is_ok();
        let now = self.outbox.end_save(is_saved);
        self.shared.bus.waiting.store(self.outbox.len(), Ordering::Relaxed);
        self.carry_out(now);
        with_node(&self.shared, |node| {
            node.step_cluster(clock::now(), Input::Saved { is_saved, number });
        });
    }
}

/// The bytes of the packet last sent: those that go to many are encoded once.
#[derive(Default)]
struct Encoded(Option<(Arc<Packet>, bytes::Bytes)>);

impl Encoded {
    fn of(&mut self, packet: &Arc<Packet>) -> bytes::Bytes {
        match &self.0 {
            Some((known, bytes)) if Arc::ptr_eq(known, packet) => bytes.clone(),
            _ => {
                let mut bytes = Vec::new();
                wire::encode(packet, &mut bytes);
                let bytes = bytes::Bytes::from(bytes);
                self.0 = Some((Arc::clone(packet), bytes.clone()));
                bytes
            }
        }
    }
}
